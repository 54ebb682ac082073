//! Where the output goes, and what may be put there.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::CommandError;

/// The width of text that goes into a file or a pipe.
const WIDTH_OF_A_FILE: usize = 100;

/// What the output may look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputStyle {
    /// Columns.
    pub width: usize,
    /// Whether colours may be used.
    pub colour: bool,
    /// Whether lines may be drawn.
    pub lines: bool,
    /// Whether a progress bar may be shown on stderr.
    pub progress: bool,
}

impl OutputStyle {
    /// What this process may do with its stdout and stderr.
    pub fn of_process(plain: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let size = console::Term::stdout().size_checked();
        let width = size.map_or(WIDTH_OF_A_FILE, |(_, columns)| columns.into());
        OutputStyle {
            width: if terminal { width } else { WIDTH_OF_A_FILE },
            colour: terminal && !plain && !no_colour && !dumb,
            lines: !plain,
            progress: terminal && io::stderr().is_terminal() && !plain && !dumb,
        }
    }

    /// `text` as a heading.
    pub fn bold(&self, text: &str) -> String {
        console::style(text).bold().force_styling(self.colour).to_string()
    }

    /// A screen like a file's, for tests.
    pub const fn plain(width: usize) -> Self {
        OutputStyle { width, colour: false, lines: false, progress: false }
    }
}

/// The place that `--json` names. A file is made at once, so that a bad name is found before
/// anything runs.
///
/// # Errors
/// If the file cannot be made.
pub fn json_target(name: &str) -> Result<Box<dyn Write>, CommandError> {
    target("--json", name)
}

/// The place that an option names, as [`json_target`]; `-` is stdout.
///
/// # Errors
/// If the file cannot be made; the text names the option.
pub fn target(option: &str, name: &str) -> Result<Box<dyn Write>, CommandError> {
    if name == "-" {
        return Ok(Box::new(io::stdout()));
    }
    match File::create(name) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(CommandError(format!("{option}: {name} cannot be written: {error}"))),
    }
}

/// Writes `text` to `target`. A reader that has gone away, as `head` does, is no error: it has what
/// it wanted.
///
/// # Errors
/// If the text cannot be written for any other reason.
pub fn put(target: &mut dyn Write, text: &str) -> Result<(), CommandError> {
    let written = target.write_all(text.as_bytes()).and_then(|()| target.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError(format!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says on stderr why the command stops.
pub fn complain(text: &str) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr(), "error: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed(ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        assert!(put(&mut Closed(ErrorKind::BrokenPipe), "text").is_ok());
        let CommandError(text) = put(&mut Closed(ErrorKind::StorageFull), "text").unwrap_err();
        assert!(text.contains("cannot be written"), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let Err(CommandError(text)) = json_target("/no/such/folder/x.json") else { panic!("made") };
        assert!(text.contains("/no/such/folder/x.json"), "{text}");
    }
}
