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
/// for the files in the current folder, in `CARGO_MANIFEST_DIR`, and in the folders above the two. It blocks while it reads
/// them. The text does not end with a newline.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text::finding(self, &Sources::default(), Paint::PLAIN).trim_end())
    }
}

/// Writes all findings as text, without colours, and how many there are. The text does not end with a newline.
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
    /// Returns the report as one JSON document, in one line of UTF-8.
    ///
    /// ```text
    /// {"version":1, "errors":1, "warnings":0, "findings":[{
    ///   "kind":"read-after-write", "severity":"error", "message":"`ours` reads …", "help":"call `ours.wait_stream…",
    ///   "count":1, "second":CALL, "first":CALL,
    ///   "missing":{"waiter":1, "awaited":2, "before":PLACE, "call":"ours.wait_stream(&side)?"},
    ///   "streams":[{"number":1, "name":"stream 1", "variable":"ours", "device":"host:0", "handle":"0x5", "created":PLACE}],
    ///   "steps":[CALL, …]}]}
    ///
    /// PLACE {"file":"src/lib.rs", "line":31, "column":10}
    /// CALL  {"number":5, "place":PLACE, "stream":1, "action":"read", "region":REGION}
    /// REGION {"name":"counts", "allocation":7, "start":"0x2000", "bytes":256}
    /// ```
    ///
    /// | field | value |
    /// |---|---|
    /// | `version` | 1. It changes if a field is removed or changes its meaning. Fields and kinds can be added without that |
    /// | `kind` | [`FindingKind::name`](crate::FindingKind::name) |
    /// | `severity` | `error` or `warning` |
    /// | `message`, `help` | sentences for people, which can change |
    /// | `count` | how often it was found at these two places |
    /// | `second`, `first` | the later call and the earlier one; `first` is `null` if one call makes the mistake |
    /// | `missing` | the wait that would order the two, or `null`; `waiter` is `null` where the host has to wait |
    /// | `number` of a call | counts the calls of the process |
    /// | `action` | `read`, `write` and `release`, with a `region`; `record` with an `event`; `wait` with a `record`, the number of the call that made it, or `null`; `submit`, `host-wait`, `drop` |
    /// | `stream`, `waiter`, `awaited` | the `number` of a stream; 0 is the host |
    /// | `variable` | the stream's name in the source, or `null` |
    /// | `start`, `handle` | an address as text, because many readers of JSON round large numbers |
    /// | `bytes` | the length of the region in bytes |
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
