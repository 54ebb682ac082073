//! The line plots for threads and growth: [`Plot`].

use crate::figures::ns;
use crate::report::{BackendReport, Grows, Measured};
use crate::{ContenderKind, Job};

use super::bars::class;
use super::text::Canvas;

/// The height of a plot.
pub(super) const HEIGHT: f64 = 210.0;
const HEAD: f64 = 30.0;
const FOOT: f64 = 34.0;
/// The width of the labels of the vertical axis.
const SIDE: f64 = 44.0;

/// A plot with a logarithmic horizontal axis and a linear vertical axis from 0.
///
/// The sizes are equally spaced, because each is the same multiple of the previous one.
pub(super) struct Plot {
    title: String,
    unit: &'static str,
    sizes: Vec<u64>,
    lines: Vec<(ContenderKind, Vec<(usize, f64)>)>,
}

/// Creates all plots of a backend.
pub(super) fn of(report: &BackendReport) -> Vec<Plot> {
    let mut plots = Vec::new();
    for shared in [false, true] {
        let rows = report.threads.iter().filter(|row| row.shared == shared);
        let source =
            if shared { "on one shared source stream" } else { "on source streams of their own" };
        let title = format!("wait_stream, threads {source}");
        let rows = rows.map(|row| (row.threads as u64, row.results.as_slice()));
        plots.extend(Plot::new(title, "million calls/s", rows, |size, ns| size as f64 * 1e3 / ns));
    }
    for job in crate::growth::JOBS {
        let rows = report.growth.iter().filter(|row| row.grows == Grows::Alive && row.job == job);
        let rows = rows.map(|row| (row.size, row.results.as_slice()));
        let title = format!("{}, {}", job.name(), Grows::Alive.title());
        plots.extend(Plot::new(title, "ns a call", rows, |_, ns| ns));
    }
    let rows = report.growth.iter().filter(|row| row.grows == Grows::Queue);
    let rows = rows.map(|row| (row.size, row.results.as_slice()));
    let title = format!("{}, {}", Job::WaitStream.name(), Grows::Queue.title());
    plots.extend(Plot::new(title, "ns a hop", rows, |_, ns| ns));
    plots
}

impl Plot {
    /// Creates a plot of the medians, converted by `figure`. Returns `None` if there are no results.
    fn new<'a>(
        title: String,
        unit: &'static str,
        rows: impl Iterator<Item = (u64, &'a [Measured])>,
        figure: fn(u64, f64) -> f64,
    ) -> Option<Self> {
        let (mut sizes, mut lines) = (Vec::new(), Vec::<(ContenderKind, Vec<_>)>::new());
        for (index, (size, results)) in rows.enumerate() {
            sizes.push(size);
            for one in results {
                let point = (index, figure(size, one.ns.median));
                match lines.iter_mut().find(|(kind, _)| *kind == one.contender) {
                    Some((_, points)) => points.push(point),
                    None => lines.push((one.contender.clone(), vec![point])),
                }
            }
        }
        (!lines.is_empty()).then_some(Plot { title, unit, sizes, lines })
    }

    /// Draws the plot with its top left corner at (`x`, `y`).
    pub(super) fn draw(&self, canvas: &mut Canvas, x: f64, y: f64, width: f64) {
        canvas.text(x, y + 12.0, "name", &self.title);
        canvas.text(x, y + 26.0, "small", self.unit);
        let values = self.lines.iter().flat_map(|(_, points)| points.iter().map(|point| point.1));
        let highest = round_up(values.fold(0.0, f64::max));
        let (left, top, bottom) = (x + SIDE, y + HEAD + 8.0, y + HEIGHT - FOOT);
        let steps = self.sizes.len().saturating_sub(1).max(1) as f64;
        let x_of = |step: usize| left + (width - SIDE - 10.0) * step as f64 / steps;
        let height = |value: f64| bottom - (bottom - top) * value / highest;
        for part in [0.0, 0.5, 1.0] {
            let at = height(highest * part);
            canvas.line([left, at, x + width, at], "axis");
            canvas.text(left - 6.0, at + 4.0, "small end", &ns(highest * part));
        }
        for (step, size) in self.sizes.iter().enumerate() {
            let text = if *size < 100 { size.to_string() } else { ns(*size as f64) };
            canvas.text(x_of(step), bottom + 15.0, "small middle", &text);
        }
        let mut legend = left;
        for (kind, points) in &self.lines {
            let at: Vec<_> =
                points.iter().map(|(step, value)| (x_of(*step), height(*value))).collect();
            canvas.curve(&at, class(kind));
            for ((step, value), (x, y)) in points.iter().zip(at) {
                let tooltip = format!("{}, {}: {value:.2}", kind.label(), self.sizes[*step]);
                canvas.dot(x, y, class(kind), &tooltip);
            }
            canvas.dot(legend + 4.0, bottom + 27.0, class(kind), kind.label());
            canvas.text(legend + 12.0, bottom + 31.0, "small", kind.label());
            legend += 24.0 + 6.0 * kind.label().len() as f64;
        }
    }
}

/// Returns the smallest round number that is at least `value`.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let found = [1.0, 2.0, 4.0, 5.0, 10.0].into_iter().find(|step| step * power >= value);
    found.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 1.0, 1.7, 230.0, 999.0].map(round_up), [1.0, 1.0, 2.0, 400.0, 1000.0]);
    }
}
