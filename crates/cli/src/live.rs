//! Shows results as they arrive: a line for each case, and a progress bar on a terminal.

use std::io::Write;

use gpu_stream::BackendKind;
use gpu_stream_conformance::CaseInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::CommandError;
use crate::notes::wrap;
use crate::output::{self, OutputStyle};
use crate::report::Cell;
use crate::select::full_name;

/// The display of results while the cases run.
pub struct Live<'a> {
    bar: ProgressBar,
    lines: Option<&'a mut dyn Write>,
    width: usize,
}

impl<'a> Live<'a> {
    /// Creates a display that writes a line for each case to `lines`. It has a progress bar if `style`
    /// allows one.
    pub fn new(style: &OutputStyle, lines: Option<&'a mut dyn Write>) -> Self {
        Live { bar: progress_bar(style), lines, width: style.width }
    }

    /// Sets the total number of rounds.
    pub fn start(&mut self, rounds: usize) {
        self.bar.set_length(rounds as u64);
    }

    /// Writes `text` above the bar, and flushes it.
    ///
    /// # Errors
    /// [`CommandError`] if the text cannot be written. A closed pipe is no error.
    pub fn say(&mut self, text: &str) -> Result<(), CommandError> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        self.bar.suspend(|| output::put(&mut **lines, text))
    }

    /// Shows the name of the running case.
    pub fn case_begins(&self, backend: BackendKind, case: &CaseInfo) {
        self.bar.set_message(format!("{backend} {}", full_name(case)));
    }

    /// Counts one round.
    pub fn round_ends(&self) {
        self.bar.inc(1);
    }

    /// Writes the result of a case, and counts the rounds that were skipped.
    ///
    /// # Errors
    /// [`CommandError`] if the line cannot be written. A closed pipe is no error.
    pub fn case_ends(
        &mut self,
        backend: BackendKind,
        case: &CaseInfo,
        cell: &Cell,
        left_out: u32,
    ) -> Result<(), CommandError> {
        self.bar.inc(left_out.into());
        let seconds = cell.duration.as_secs_f64();
        let process = if cell.own_process { ", in a separate process" } else { "" };
        let reason = cell.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (word, name) = (cell.word(), full_name(case));
        let line = format!("{word:<7} {backend} {name} ({seconds:.3} s{process}){reason}");
        self.say(&wrap(&line, 0, 8, self.width))
    }

    /// Removes the bar.
    pub fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Creates the progress bar. It is hidden if the style has none.
fn progress_bar(style: &OutputStyle) -> ProgressBar {
    if !style.progress {
        return ProgressBar::hidden();
    }
    let color = if style.color { ".cyan" } else { "" };
    let template = format!("{{bar:30{color}}} {{pos}}/{{len}} {{wide_msg}}");
    // An invalid template changes only the appearance.
    let bar_style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(bar_style)
}
