//! The numbered notes below the matrix: [`Notes`].

use crate::output::OutputStyle;
use crate::report::{Cell, Report};
use crate::select::full_name;

/// The notes with the reasons that do not fit into the matrix.
#[derive(Default, Debug)]
pub struct Notes {
    failed: Vec<(usize, Failure)>,
    skipped: Vec<(usize, String)>,
    last: usize,
}

#[derive(Debug)]
struct Failure {
    backend: &'static str,
    first: String,
    cases: usize,
    reason: String,
    rules: Vec<String>,
}

impl Notes {
    /// Returns the text of the cell at `row` and `column` of `report`, with the reason if it fits into
    /// `width`, or else with the number of a note.
    ///
    /// A failure always gets a note.
    pub fn cell(&mut self, report: &Report, row: usize, column: usize, width: usize) -> String {
        let cell = &report.rows[row].cells[column];
        let Some(reason) = cell.reason() else { return cell.word().into() };
        let in_full = format!("{}: {reason}", cell.word());
        let fits = !reason.contains('\n') && console::measure_text_width(&in_full) <= width;
        match (cell.is_failed(), fits) {
            (false, true) => in_full,
            (false, false) => format!("{} [{}]", cell.word(), self.skip(reason)),
            (true, fits) => {
                let number = self.failure(report, row, column, cell);
                if fits { in_full } else { format!("{} [{number}]", cell.word()) }
            }
        }
    }

    /// Returns the next number.
    fn next(&mut self) -> usize {
        self.last += 1;
        self.last
    }

    /// Returns the number of the note for a skip. All skips for the same reason share a note.
    fn skip(&mut self, reason: &str) -> usize {
        if let Some((number, _)) = self.skipped.iter().find(|(_, known)| known == reason) {
            return *number;
        }
        let number = self.next();
        self.skipped.push((number, reason.to_owned()));
        number
    }

    /// Returns the number of the note for a failure.
    ///
    /// Cases of one backend that failed for the same reason, such as a missing driver, share a note.
    fn failure(&mut self, report: &Report, row: usize, column: usize, cell: &Cell) -> usize {
        let backend = report.columns[column].backend.name();
        let reason = cell.reason().unwrap_or_default();
        let is_same = |known: &Failure| known.backend == backend && known.reason == reason;
        if let Some((number, known)) = self.failed.iter_mut().find(|(_, known)| is_same(known)) {
            known.cases += 1;
            return *number;
        }
        let case = report.rows[row].case;
        let number = self.next();
        let failure = Failure {
            backend,
            first: full_name(case),
            cases: 1,
            reason: reason.to_owned(),
            rules: case.rules.iter().map(|rule| format!("checks {rule}")).collect(),
        };
        self.failed.push((number, failure));
        number
    }

    /// Renders the notes under their headings, wrapped to the style's width. Empty if there are none.
    pub fn draw(&self, style: &OutputStyle) -> String {
        let width = style.width;
        let mut text = String::new();
        if !self.failed.is_empty() {
            text.push_str(&format!("\n{}\n", style.bold("Failed")));
        }
        for (number, failure) in &self.failed {
            text.push_str(&wrap(&format!("[{number}] {}", failure.title()), 0, 4, width));
            text.push_str(&wrap(&failure.reason, 4, 4, width));
            let rules = failure.rules.iter().filter(|_| failure.cases == 1);
            rules.for_each(|rule| text.push_str(&wrap(rule, 4, 6, width)));
        }
        if !self.skipped.is_empty() {
            text.push_str(&format!("\n{}\n", style.bold("Skipped")));
        }
        for (number, reason) in &self.skipped {
            text.push_str(&wrap(&format!("[{number}] {reason}"), 0, 4, width));
        }
        text
    }
}

impl Failure {
    /// Returns the names of the failed cases and of the backend.
    fn title(&self) -> String {
        match self.cases {
            1 => format!("{} on {}", self.first, self.backend),
            many => format!("{} and {} more on {}", self.first, many - 1, self.backend),
        }
    }
}

/// Wraps `text` into lines of at most `width`. Indents the first line by `first` blanks and the others by
/// `others`.
pub fn wrap(text: &str, first: usize, others: usize, width: usize) -> String {
    let (first, others) = (" ".repeat(first), " ".repeat(others));
    let options = textwrap::Options::new(width.max(20))
        .initial_indent(&first)
        .subsequent_indent(&others)
        .break_words(false);
    let mut wrapped = textwrap::fill(text, options);
    wrapped.push('\n');
    wrapped
}
