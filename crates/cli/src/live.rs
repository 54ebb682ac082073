//! Shows results as they come: a line for each case, and a progress bar where there is a terminal.

use std::io::Write;

use gpu_stream::BackendKind;
use gpu_stream_conformance::CaseInfo;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::CommandError;
use crate::notes::wrap;
use crate::output::{self, OutputStyle};
use crate::report::Cell;
use crate::select::full_name;

/// Where results are shown while the cases run.
pub struct Live<'a> {
    bar: ProgressBar,
    lines: Option<&'a mut dyn Write>,
    width: usize,
}

impl<'a> Live<'a> {
    /// Shows a progress bar if `screen` may have one, and writes a line for each case to `lines`.
    pub fn new(screen: &OutputStyle, lines: Option<&'a mut dyn Write>) -> Self {
        Live { bar: progress_bar(screen), lines, width: screen.width }
    }

    /// Announces that `rounds` rounds are to be run.
    pub fn start(&mut self, rounds: usize) {
        self.bar.set_length(rounds as u64);
    }

    /// Writes `text` above the bar, and flushes it.
    ///
    /// # Errors
    /// If it cannot be written. A reader that has gone away is no error.
    pub fn say(&mut self, text: &str) -> Result<(), CommandError> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        self.bar.suspend(|| output::put(&mut **lines, text))
    }

    /// Shows which case is running.
    pub fn case_begins(&self, backend: BackendKind, case: &CaseInfo) {
        self.bar.set_message(format!("{backend} {}", full_name(case)));
    }

    /// Counts one round.
    pub fn round_ends(&self) {
        self.bar.inc(1);
    }

    /// Writes the result of a case, and counts the rounds that were left out.
    ///
    /// # Errors
    /// As [`say`](Self::say).
    pub fn case_ends(
        &mut self,
        backend: BackendKind,
        case: &CaseInfo,
        cell: &Cell,
        left_out: u32,
    ) -> Result<(), CommandError> {
        self.bar.inc(left_out.into());
        let seconds = cell.duration.as_secs_f64();
        let apart = if cell.own_process { ", in a process of its own" } else { "" };
        let reason = cell.reason().map(|reason| format!(": {reason}")).unwrap_or_default();
        let (word, name) = (cell.word(), full_name(case));
        let line = format!("{word:<7} {backend} {name} ({seconds:.3} s{apart}){reason}");
        self.say(&wrap(&line, 0, 8, self.width))
    }

    /// Takes the bar away.
    pub fn end(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn progress_bar(screen: &OutputStyle) -> ProgressBar {
    if !screen.progress {
        return ProgressBar::hidden();
    }
    let colour = if screen.colour { ".cyan" } else { "" };
    let template = format!("{{bar:30{colour}}} {{pos}}/{{len}} {{wide_msg}}");
    // A template that cannot be read costs the looks and not the run.
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}
