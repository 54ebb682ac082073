//! Colours of a terminal: [`Paint`].

use std::env;
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
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
        Paint(stderr().is_terminal() && !no_color && !is_dumb)
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
