//! The bar chart of an operation: [`Chart`].

use crate::figures::{ns, quartiles, ratio};
use crate::report::{Measured, Operation, result};
use crate::{ContenderKind, Job};

use super::text::Canvas;

const ROW: f64 = 20.0;
const HEAD: f64 = 34.0;
/// The width of the names before the bars.
const NAMES: f64 = 104.0;
/// The width of the figures after the bars.
const FIGURES: f64 = 112.0;

/// The bar chart of an operation.
pub(super) struct Chart<'a> {
    operation: &'a Operation,
    bars: Vec<&'a Measured>,
}

impl<'a> Chart<'a> {
    /// Creates the chart of `operation`. Returns `None` if it has no results to show.
    pub(super) fn of(operation: &'a Operation) -> Option<Self> {
        let shown = |one: &&Measured| one.contender != ContenderKind::Kept;
        let bars: Vec<_> = operation.results.iter().filter(shown).collect();
        (!bars.is_empty()).then_some(Chart { operation, bars })
    }

    /// Returns the height of the chart.
    pub(super) fn height(&self) -> f64 {
        HEAD + ROW * self.bars.len() as f64
    }

    /// Draws the chart with its top left corner at (`x`, `y`).
    pub(super) fn draw(&self, canvas: &mut Canvas, x: f64, y: f64, width: f64) {
        canvas.text(x, y + 12.0, "name", self.operation.job.name());
        canvas.text(x, y + 26.0, "small", &self.operation.title);
        // A whisker that is too long is cut at the edge, so that it does not shorten all bars.
        let longest = 1.1 * self.bars.iter().map(|one| one.ns.median).fold(0.0, f64::max);
        let room = width - NAMES - FIGURES;
        let long = |time: f64| if longest > 0.0 { (room * time / longest).min(room) } else { 0.0 };
        let left = x + NAMES;
        for (row, one) in self.bars.iter().enumerate() {
            let top = y + HEAD + ROW * row as f64;
            let middle = top + ROW / 2.0;
            canvas.text(left - 6.0, middle + 4.0, "small end", short(&one.contender));
            let length = long(one.ns.median).max(1.0);
            let spread = quartiles(&one.ns, ns);
            let tooltip = format!("{}: {} ns ({spread})", one.contender.label(), ns(one.ns.median));
            canvas.bar([left, top + 3.0, length, ROW - 6.0], class(&one.contender), &tooltip);
            let [from, to] = [one.ns.q1, one.ns.q3].map(|time| left + long(time));
            canvas.line([from, middle, to, middle], "whisker");
            let after = left + length.max(to - left) + 5.0;
            canvas.text(after, middle + 4.0, "small", &self.figure(one));
        }
        if let Some(bare) = result(&self.operation.results, &ContenderKind::Bare) {
            let at = left + long(bare.ns.median);
            let bottom = y + self.height();
            canvas.line([at, y + HEAD, at, bottom], "mark");
        }
    }

    /// Returns the time, its ratio to the bare call's time, and that to the careful calls' if these are others.
    fn figure(&self, one: &Measured) -> String {
        let time = ns(one.ns.median);
        let is_measured = self.operation.job != Job::WrapUnchecked;
        let Some(bare) = one.to_bare.filter(|_| is_measured) else { return time };
        let to_bare = ratio(bare.ratio.median);
        let careful = result(&self.operation.results, &ContenderKind::Careful);
        match one.to_careful.filter(|_| careful.is_some()) {
            Some(careful) => format!("{time} ({to_bare}, {})", ratio(careful.ratio.median)),
            None => format!("{time} ({to_bare})"),
        }
    }
}

/// Returns a short label that fits before a bar.
fn short(kind: &ContenderKind) -> &str {
    match kind {
        ContenderKind::ObjectSafe => "object-safe",
        other => other.label(),
    }
}

/// Returns the CSS class of a contender.
pub(super) fn class(kind: &ContenderKind) -> &'static str {
    match kind {
        ContenderKind::Bare => "bare",
        ContenderKind::Careful => "careful",
        ContenderKind::Ours => "ours",
        ContenderKind::ObjectSafe | ContenderKind::Kept => "form",
        ContenderKind::Peer(_) => "peer",
    }
}
