//! Writes the output: targets, style, and errors.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::CommandError;

/// The width of text that is written to a file or a pipe.
const WIDTH_OF_A_FILE: usize = 100;

/// The style of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutputStyle {
    /// The width in characters.
    pub width: usize,
    /// `true` if colors may be used.
    pub color: bool,
    /// `true` if lines may be drawn.
    pub lines: bool,
    /// `true` if a progress bar may be shown on stderr.
    pub progress: bool,
}

impl OutputStyle {
    /// Determines the style from this process's stdout, stderr and environment.
    pub fn of_process(plain: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let size = console::Term::stdout().size_checked();
        let width = size.map_or(WIDTH_OF_A_FILE, |(_, columns)| columns.into());
        OutputStyle {
            width: if terminal { width } else { WIDTH_OF_A_FILE },
            color: terminal && !plain && !no_color && !dumb,
            lines: !plain,
            progress: terminal && io::stderr().is_terminal() && !plain && !dumb,
        }
    }

    /// Formats `text` as a heading.
    pub fn bold(&self, text: &str) -> String {
        console::style(text).bold().force_styling(self.color).to_string()
    }

    /// Returns the style of a file with the given width, for tests.
    pub const fn plain(width: usize) -> Self {
        OutputStyle { width, color: false, lines: false, progress: false }
    }
}

/// Opens the target of `--json`. `-` is stdout.
///
/// Creates a file at once, so that an invalid name is found before anything runs.
///
/// # Errors
/// [`CommandError`] if the file cannot be created.
pub fn json_target(name: &str) -> Result<Box<dyn Write>, CommandError> {
    target("--json", name)
}

/// Opens the target of an output option. `-` is stdout.
///
/// Creates a file at once, so that an invalid name is found before anything runs.
///
/// # Errors
/// [`CommandError`] with the option's name if the file cannot be created.
pub fn target(option: &str, name: &str) -> Result<Box<dyn Write>, CommandError> {
    if name == "-" {
        return Ok(Box::new(io::stdout()));
    }
    match File::create(name) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(CommandError(format!("{option}: {name} cannot be written: {error}"))),
    }
}

/// Returns an error if two of the output options name one target, or if one names a file of `inputs`, which it would
/// overwrite.
///
/// # Errors
/// [`CommandError`] with the names of the options.
pub fn ensure_distinct(
    outputs: &[(&str, &Option<String>)],
    inputs: &[PathBuf],
) -> Result<(), CommandError> {
    let inputs: Vec<_> = inputs.iter().map(|input| resolve(input)).collect();
    let mut known: Vec<(&str, PathBuf)> = Vec::new();
    for (option, name) in outputs {
        let Some(name) = name else { continue };
        let path = if name == "-" { PathBuf::from(name) } else { resolve(Path::new(name)) };
        if inputs.contains(&path) {
            return Err(CommandError(format!(
                "{option}: {name} is one of the reports; name another file"
            )));
        }
        if let Some((other, _)) = known.iter().find(|(_, known)| *known == path) {
            return Err(CommandError(format!(
                "{other} and {option} both write to {name}; name two files"
            )));
        }
        known.push((option, path));
    }
    Ok(())
}

/// Returns the absolute path of a file without links, as far as it exists.
fn resolve(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new(".")).canonicalize();
    match (parent, path.file_name()) {
        (Ok(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// Writes `text` to `target`, and flushes it.
///
/// A closed pipe is no error, because a reader such as `head` stops reading when it has enough.
///
/// # Errors
/// [`CommandError`] if the text cannot be written for any other reason.
pub fn put(target: &mut dyn Write, text: &str) -> Result<(), CommandError> {
    let written = target.write_all(text.as_bytes()).and_then(|()| target.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(CommandError(format!("the output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes an error message to stderr.
pub fn complain(text: &str) {
    // A failure here cannot be reported anywhere.
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
    fn closed_pipe_is_no_error_and_a_full_disk_is() {
        assert!(put(&mut Closed(ErrorKind::BrokenPipe), "text").is_ok());
        let CommandError(text) = put(&mut Closed(ErrorKind::StorageFull), "text").unwrap_err();
        assert!(text.contains("cannot be written"), "{text}");
    }

    #[test]
    fn file_that_cannot_be_created_is_named() {
        let Err(CommandError(text)) = json_target("/no/such/folder/x.json") else { panic!("made") };
        assert!(text.contains("/no/such/folder/x.json"), "{text}");
    }
}
