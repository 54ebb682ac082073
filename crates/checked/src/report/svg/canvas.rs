//! Writes SVG elements: [`Canvas`].

use std::fmt::Write;

use crate::report::plain::{plain_char, width};

/// The style sheet, with colours for light and dark mode. Its rules name the picture's class, so that they change
/// nothing else on a page that holds the picture.
const STYLE: &str = include_str!("style.css");

/// The height of a line of text.
const LINE: f64 = 18.0;

/// The elements written so far.
#[derive(Default)]
pub(super) struct Canvas(String);

impl Canvas {
    /// Returns the whole document. `title` and `about` are its text alternative.
    pub(super) fn finish(self, [width, height]: [f64; 2], title: &str, about: &str) -> String {
        let [width, height] = [width, height].map(number);
        let style = STYLE.trim();
        let [title, about] = [title, about].map(escaped);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"stream-order\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<desc>{about}</desc>\n\
             <style>\n{style}\n</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n{}</svg>\n",
            self.0
        )
    }

    /// Writes text. `y` is that of its base line.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let ([x, y], text) = ([x, y].map(number), escaped(text));
        self.put(format_args!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>"));
    }

    /// Writes a paragraph between two x, below `y`. `character` is the width of a character, about. Returns the `y` of
    /// its last line.
    pub(super) fn paragraph(
        &mut self,
        [left, right]: [f64; 2],
        mut y: f64,
        class: &str,
        character: f64,
        text: &str,
    ) -> f64 {
        for line in folded(text, ((right - left) / character) as usize) {
            y += LINE;
            self.text(left, y, class, &line);
        }
        y
    }

    /// Draws a straight line.
    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], class: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
        self.put(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"
        ));
    }

    /// Draws a vertical line from `y0` to the first point, and then a curve that begins and ends vertically.
    pub(super) fn curve(&mut self, y0: f64, [x1, y1, x2, y2]: [f64; 4], class: &str) {
        let middle = number((y1 + y2) / 2.0);
        let y0 = number(y0);
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
        self.put(format_args!(
            "<path d=\"M{x1} {y0}V{y1}C{x1} {middle} {x2} {middle} {x2} {y2}\" class=\"{class}\"/>"
        ));
    }

    /// Draws a box around (`x`, `y`) with text in its middle and a tooltip.
    pub(super) fn labelled(
        &mut self,
        [x, y]: [f64; 2],
        [width, height]: [f64; 2],
        class: &str,
        text: &str,
        tooltip: &str,
    ) {
        let [left, top] = [x - width / 2.0, y - height / 2.0].map(number);
        let ([width, height], base, x) = ([width, height].map(number), number(y + 4.0), number(x));
        let [text, tooltip] = [text, tooltip].map(escaped);
        self.put(format_args!(
            "<g class=\"{class}\"><title>{tooltip}</title><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" \
             height=\"{height}\" rx=\"5\"/><text x=\"{x}\" y=\"{base}\">{text}</text></g>"
        ));
    }

    /// Draws a dot with a tooltip.
    pub(super) fn dot(&mut self, x: f64, y: f64, class: &str, tooltip: &str) {
        let ([x, y], tooltip) = ([x, y].map(number), escaped(tooltip));
        self.put(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" class=\"{class}\"><title>{tooltip}</title></circle>"
        ));
    }

    /// Draws the head of an arrow whose point is at (`x`, `y`).
    pub(super) fn head(&mut self, x: f64, y: f64, is_down: bool, class: &str) {
        let back = if is_down { y - 11.0 } else { y + 11.0 };
        let [left, right] = [x - 6.0, x + 6.0].map(number);
        let [x, y, back] = [x, y, back].map(number);
        self.put(format_args!(
            "<path d=\"M{left} {back}L{right} {back}L{x} {y}Z\" class=\"{class}\"/>"
        ));
    }

    /// Writes an element.
    fn put(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{element}");
    }
}

/// Formats a number with one decimal, or without if that is 0.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Escapes text for XML. Characters that XML cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(plain_char(c)),
        }
    }
    safe
}

/// Folds text at blanks into lines of at most `most` characters, if its words are not longer.
fn folded(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_makes_a_document(text in any::<String>()) {
            let mut canvas = Canvas::default();
            canvas.text(0.0, 0.25, "name", &text);
            canvas.labelled([0.0; 2], [0.0; 2], "name", &text, &text);
            let document = canvas.finish([1.0, 1.0], &text, &text);
            prop_assert!(roxmltree::Document::parse(&document).is_ok(), "{document}");
        }
    }
}
