//! Writes SVG shapes and text: [`Canvas`].

use std::fmt::Write;

/// The style sheet, with colors for light and dark mode. An embedded picture follows the reader's
/// system.
const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:12px;fill:#1f2328}
.title{font-size:18px;font-weight:600}.head{font-size:14px;font-weight:600}.name{font-weight:600}
.small{font-size:11px;fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}
.paper{fill:#ffffff}.bare{fill:#818b98}.careful{fill:#b3bac2}.ours{fill:#0969da}.form{fill:#54aeff}.peer{fill:#d1a050}
.whisker{stroke:#1f2328;stroke-width:1}.mark{stroke:#818b98;stroke-width:1;stroke-dasharray:2 2}
.axis{stroke:#d1d9e0;stroke-width:1}
.line{fill:none;stroke-width:2}.line.bare{stroke:#818b98;fill:none}.line.ours{stroke:#0969da;fill:none}
.line.peer{stroke:#d1a050;fill:none}.line.careful{stroke:#b3bac2;fill:none}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.small{fill:#9198a1}.paper{fill:#0d1117}
.bare{fill:#6e7681}.careful{fill:#484f58}.ours{fill:#4493f8}.form{fill:#1f6feb}.peer{fill:#9e6a03}
.whisker{stroke:#f0f6fc}.axis{stroke:#3d444d}.line.bare{stroke:#6e7681}.line.ours{stroke:#4493f8}
.line.peer{stroke:#9e6a03}.line.careful{stroke:#484f58}}";

/// The SVG elements drawn so far.
#[derive(Default)]
pub(super) struct Canvas(String);

impl Canvas {
    /// Returns the complete SVG document.
    pub(super) fn finish(self, width: f64, height: f64) -> String {
        let (width, height) = (number(width), number(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\">\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" \
             height=\"{height}\"/>\n{}</svg>\n",
            self.0
        )
    }

    /// Draws text.
    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let (x, y, text) = (number(x), number(y), escaped(text));
        self.put(format_args!("<text x=\"{x}\" y=\"{y}\" class=\"{class}\">{text}</text>"));
    }

    /// Draws a bar with a tooltip.
    pub(super) fn bar(&mut self, [x, y, width, height]: [f64; 4], class: &str, tooltip: &str) {
        let [x, y, width, height] = [x, y, width, height].map(number);
        let tooltip = escaped(tooltip);
        self.put(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"1.5\" class=\"{class}\"><title>{tooltip}\
             </title></rect>"
        ));
    }

    /// Draws a straight line.
    pub(super) fn line(&mut self, [x1, y1, x2, y2]: [f64; 4], class: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(number);
        self.put(format_args!(
            "<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" class=\"{class}\"/>"
        ));
    }

    /// Draws a line through all points.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        let points = points.iter().map(|(x, y)| format!("{},{}", number(*x), number(*y)));
        let points = points.collect::<Vec<_>>().join(" ");
        self.put(format_args!("<polyline points=\"{points}\" class=\"line {class}\"/>"));
    }

    /// Draws a point with a tooltip.
    pub(super) fn dot(&mut self, x: f64, y: f64, class: &str, tooltip: &str) {
        let (x, y, tooltip) = (number(x), number(y), escaped(tooltip));
        self.put(format_args!(
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" class=\"{class}\"><title>{tooltip}</title></circle>"
        ));
    }

    /// Appends an element.
    fn put(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{shape}");
    }
}

/// Formats a number with one decimal, or without if that is 0.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// Escapes text for XML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // XML cannot represent control characters.
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

/// Wraps `text` at blanks into lines of at most `most` characters.
pub(super) fn folded(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
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
    use super::*;

    #[test]
    fn text_is_escaped_and_wrapped() {
        assert_eq!(escaped("a<b> & \"c\"\u{1}"), "a&lt;b&gt; &amp; &quot;c&quot; ");
        assert_eq!(folded("one two three", 7), ["one two", "three"]);
        assert_eq!([1.0, 1.25, -0.04].map(number), ["1", "1.2", "-0"]);
    }
}
