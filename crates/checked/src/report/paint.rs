//! Colours of a terminal: [`Paint`].

use std::env;
use std::ffi::OsStr;
use std::io::{IsTerminal, stderr};

/// Whether text is coloured.
#[derive(Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// No colours.
    pub(super) const PLAIN: Paint = Paint(false);
    /// Colours, by the escape sequences of ANSI X3.64.
    #[cfg(test)]
    pub(super) const COLOURED: Paint = Paint(true);

    /// Returns the colours for the standard error stream: none if it is no terminal, or if [`NO_COLOR`] or `TERM=dumb`
    /// is set.
    ///
    /// [`NO_COLOR`]: https://no-color.org
    pub(super) fn of_stderr() -> Paint {
        let [no_color, term] = ["NO_COLOR", "TERM"].map(env::var_os);
        Paint(is_coloured(stderr().is_terminal(), no_color.as_deref(), term.as_deref()))
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }

    pub(super) fn blue(self, text: &str) -> String {
        self.with("1;34", text)
    }

    pub(super) fn cyan(self, text: &str) -> String {
        self.with("1;36", text)
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn is_coloured(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    is_terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::{OsStr, is_coloured};

    #[test]
    fn only_a_terminal_has_colours_and_variables_turn_them_off() {
        let text = |text| Some(OsStr::new(text));
        assert!(is_coloured(true, None, None) && is_coloured(true, text(""), text("xterm")));
        assert!(!is_coloured(false, None, text("xterm")));
        assert!(!is_coloured(true, text("1"), None) && !is_coloured(true, None, text("dumb")));
    }
}
