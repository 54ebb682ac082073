//! Draws findings as an SVG picture: [`finding`], [`report`].

mod canvas;
mod picture;

use crate::{Finding, Report};

use self::canvas::Canvas;
use self::picture::{EDGE, NARROW, Picture, SMALL};
use super::paint::Paint;
use super::plain::width;
use super::sources::Sources;
use super::text;

/// What a stranger has to know to read the picture.
const KEY: &str = "Each line is a stream, with its calls in their order from left to right. An arrow is a wait: what is \
                   right of its head runs after what is left of its dot.";

/// Draws one finding.
pub(super) fn finding(finding: &Finding) -> String {
    document(std::slice::from_ref(finding), None)
}

/// Draws all findings, one below the other.
pub(super) fn report(report: &Report) -> String {
    document(&report.findings, Some(text::summary(report, Paint::PLAIN)))
}

fn document(findings: &[Finding], title: Option<String>) -> String {
    let sources = Sources::default();
    let pictures: Vec<_> = findings.iter().map(|finding| Picture::of(finding, &sources)).collect();
    let first_title = pictures.first().map(Picture::title);
    let title = title.or(first_title).unwrap_or_default();
    let mut canvas = Canvas::default();
    let mut size = [0.0, EDGE];
    if pictures.is_empty() {
        canvas.text(EDGE, size[1] + 14.0, "title", &title);
        size = [9.0 * width(&title) as f64, size[1] + 14.0 + EDGE];
    }
    for picture in &pictures {
        let [right, bottom] = picture.draw(&mut canvas, size[1]);
        size = [size[0].max(right), bottom + EDGE];
    }
    if !pictures.is_empty() {
        let right = size[0].max(NARROW);
        let y = canvas.paragraph([EDGE, right], size[1] - EDGE / 2.0, "small", SMALL, KEY);
        size = [right, y + EDGE];
    }
    let about: Vec<_> = pictures.iter().map(Picture::about).collect();
    canvas.finish([size[0] + EDGE, size[1]], &title, &about.join("\n"))
}
