//! Renders a report as an SVG picture.
//!
//! Each operation has a small chart with a bar for each contender. Each chart has its own scale,
//! because operations differ by a factor of thousands. The picture has its own background, and colors
//! for light and dark mode.

mod bars;
mod lines;
mod text;

use crate::report::{BackendReport, Report};
use crate::tables;

use self::text::Canvas;

/// The width of the picture.
const WIDTH: f64 = 1080.0;
/// The margin at the edges and between two charts.
const EDGE: f64 = 24.0;

/// What the figures in brackets are.
const RATIOS: &str = "In brackets: the time divided by that of the bare call, and then by that of the careful calls, \
                      if these are other calls.";

/// Draws all backends, one below the other.
pub fn draw(report: &Report) -> String {
    let mut canvas = Canvas::default();
    let mut y = EDGE + 14.0;
    let title = "What a call costs in nanoseconds: the bare driver, gpu-stream, and others";
    canvas.text(EDGE, y, "title", title);
    let lines =
        [tables::machine(report), tables::variables(report), tables::method(report), RATIOS.into()];
    for line in lines {
        for part in text::folded(&line, 170) {
            y += 17.0;
            canvas.text(EDGE, y, "small", &part);
        }
    }
    for backend in &report.backends {
        y = of_backend(&mut canvas, backend, y + 2.0 * EDGE);
    }
    canvas.finish(WIDTH, y + EDGE)
}

/// Draws the charts of one backend from `y` on, and returns the `y` below them.
fn of_backend(canvas: &mut Canvas, backend: &BackendReport, mut y: f64) -> f64 {
    canvas.text(EDGE, y, "head", &tables::backend(backend));
    y += EDGE;
    let charts: Vec<_> = backend.operations.iter().filter_map(bars::Chart::of).collect();
    y = in_columns(y, 3, charts.iter().map(bars::Chart::height), |index, x, y, width| {
        charts[index].draw(canvas, x, y, width);
    });
    let plots = lines::of(backend);
    in_columns(y, 2, plots.iter().map(|_| lines::HEIGHT), |index, x, y, width| {
        plots[index].draw(canvas, x, y, width);
    })
}

/// Places items of the given heights in columns, and returns the `y` below them.
fn in_columns(
    mut y: f64,
    columns: usize,
    heights: impl Iterator<Item = f64>,
    mut draw: impl FnMut(usize, f64, f64, f64),
) -> f64 {
    let heights: Vec<f64> = heights.collect();
    let width = (WIDTH - EDGE * (columns + 1) as f64) / columns as f64;
    for (row, in_row) in heights.chunks(columns).enumerate() {
        for column in 0..in_row.len() {
            let x = EDGE + (width + EDGE) * column as f64;
            draw(row * columns + column, x, y, width);
        }
        y += in_row.iter().copied().fold(0.0, f64::max) + EDGE;
    }
    y
}
