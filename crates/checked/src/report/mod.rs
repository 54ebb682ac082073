//! Reports as text, as JSON and as a picture.

mod call;
mod drawing;
mod json;
mod names;
mod paint;
mod plain;
mod sources;
mod svg;
mod text;
mod timeline;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::Location;

use crate::{Finding, Report};

use self::paint::Paint;
use self::sources::Sources;

/// Writes the finding as text in the style of rustc, without colours.
///
/// The text quotes both calls if the source files can be read, and names the streams as the variables there. It looks
/// for the files in the current folder, in `CARGO_MANIFEST_DIR`, and in the folders above the two.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::finding(self, &Sources::default(), Paint::PLAIN).trim_end())
    }
}

/// Writes all findings as text, without colours, and how many there are.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::report(self, Paint::PLAIN))
    }
}

impl Finding {
    /// Returns a picture of the order that was found, as an SVG document: streams as lines, records and waits as
    /// arrows, and the missing wait as a dashed one.
    ///
    /// The picture follows the reader's system in light and dark mode, and has a text alternative. It has no script,
    /// and refers to no other file.
    pub fn to_svg(&self) -> String {
        svg::finding(self)
    }

    /// Returns the text for the standard error stream: as [`Display`](fmt::Display), with colours if it is a terminal and
    /// `NO_COLOR` is not set.
    pub fn to_terminal(&self) -> String {
        text::finding(self, &Sources::default(), Paint::of_stderr()).trim_end().to_owned()
    }
}

impl Report {
    /// Returns the report as one JSON document.
    ///
    /// [The schema](https://docs.rs/gpu-stream-checked) is in the README of this crate. Its `version` changes if a
    /// reader has to change.
    pub fn to_json(&self) -> String {
        json::report(self)
    }

    /// Returns the pictures of all findings in one SVG document, one below the other.
    pub fn to_svg(&self) -> String {
        svg::report(self)
    }

    /// Returns the text for the standard error stream: as [`Display`](fmt::Display), with colours if it is a terminal and
    /// `NO_COLOR` is not set.
    pub fn to_terminal(&self) -> String {
        text::report(self, Paint::of_stderr())
    }

    /// Does nothing if the report is empty. For tests.
    ///
    /// # Panics
    /// Panics with the text of the report if anything was found, warnings included.
    #[track_caller]
    pub fn assert_empty(&self) {
        assert!(self.is_empty(), "{self}");
    }

    /// Does nothing if the report has no errors. Warnings are ignored. For tests.
    ///
    /// # Panics
    /// Panics with the text of the report if it has an error.
    #[track_caller]
    pub fn assert_no_errors(&self) {
        assert!(self.errors().next().is_none(), "{self}");
    }
}

/// Returns a place as editors and terminals read it: `src/lib.rs:31:10`.
fn place(place: &Location<'_>) -> String {
    format!("{}:{}:{}", plain::plain(place.file()), place.line(), place.column())
}
