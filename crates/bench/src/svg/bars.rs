//! The chart of an operation.

use crate::figures::{ns, quartiles, ratio};
use crate::report::{Measured, Operation, result};
use crate::{ContenderKind, Job};

use super::text::Canvas;

const ROW: f64 = 20.0;
const HEAD: f64 = 34.0;
/// Where the bars begin, after the names.
const NAMES: f64 = 104.0;
/// What is left for the figures behind the bars.
const FIGURES: f64 = 84.0;

/// An operation's bars.
pub(super) struct Chart<'a> {
    operation: &'a Operation,
    bars: Vec<&'a Measured>,
}

impl<'a> Chart<'a> {
    /// `None` if nothing was measured, or nothing but ours.
    pub(super) fn of(operation: &'a Operation) -> Option<Self> {
        let shown = |one: &&Measured| {
            !matches!(
                one.who,
                ContenderKind::BareOnly | ContenderKind::BareLooking | ContenderKind::Kept
            )
        };
        let bars: Vec<_> = operation.results.iter().filter(shown).collect();
        (!bars.is_empty()).then_some(Chart { operation, bars })
    }

    pub(super) fn height(&self) -> f64 {
        HEAD + ROW * self.bars.len() as f64
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, x: f64, y: f64, width: f64) {
        canvas.text(x, y + 12.0, "name", self.operation.job.name());
        canvas.text(x, y + 26.0, "small", &self.operation.title);
        // A quartile that lies far out ends at the edge, and does not make all bars short.
        let longest = 1.1 * self.bars.iter().map(|one| one.ns.median).fold(0.0, f64::max);
        let room = width - NAMES - FIGURES;
        let long = |time: f64| if longest > 0.0 { (room * time / longest).min(room) } else { 0.0 };
        let left = x + NAMES;
        for (row, one) in self.bars.iter().enumerate() {
            let top = y + HEAD + ROW * row as f64;
            let middle = top + ROW / 2.0;
            canvas.text(left - 6.0, middle + 4.0, "small end", short(&one.who));
            let length = long(one.ns.median).max(1.0);
            let spread = quartiles(&one.ns, ns);
            let told = format!("{}: {} ns ({spread})", one.who.label(), ns(one.ns.median));
            canvas.bar([left, top + 3.0, length, ROW - 6.0], class(&one.who), &told);
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

    /// The time, and how many times the bare driver's that is.
    fn figure(&self, one: &Measured) -> String {
        let time = ns(one.ns.median);
        match one.to_bare.filter(|_| self.operation.job != Job::WrapUnchecked) {
            Some(beside) => format!("{time} ({}×)", ratio(beside.ratio.median)),
            None => time,
        }
    }
}

fn short(who: &ContenderKind) -> &str {
    match who {
        ContenderKind::ObjectSafe => "object-safe",
        other => other.label(),
    }
}

pub(super) fn class(who: &ContenderKind) -> &'static str {
    match who {
        ContenderKind::Bare | ContenderKind::BareOnly | ContenderKind::BareLooking => "bare",
        ContenderKind::Ours => "ours",
        ContenderKind::ObjectSafe | ContenderKind::Kept => "form",
        ContenderKind::Peer(_) => "peer",
    }
}
