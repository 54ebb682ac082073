//! The picture of a finding: [`Picture`].

use std::panic::Location;
use std::path::Path;

use gpu_stream_core::Access;

use crate::report::names::Names;
use crate::report::plain::{plain, shortened, width};
use crate::report::sources::Sources;
use crate::report::text::severity;
use crate::report::timeline::{Edge, Mark, Timeline};
use crate::report::{place, words};
use crate::{Action, Finding};

use super::canvas::Canvas;

/// The margin at the edges.
pub(super) const EDGE: f64 = 24.0;
/// The distance of two streams.
const ROW: f64 = 88.0;
/// The height of the box of an access.
const BOX: f64 = 26.0;
/// The narrowest column.
const NARROWEST: f64 = 44.0;
/// The narrowest picture.
pub(super) const NARROW: f64 = 760.0;
/// The room that a column has beside its text.
const MARGIN: f64 = 20.0;
/// The room for the sign that calls are left out.
const GAP: f64 = 34.0;
/// The most characters of a name.
const LONGEST: usize = 28;
/// The width of a character, about, by class.
pub(super) const SMALL: f64 = 6.2;
const NORMAL: f64 = 7.0;
const TITLE: f64 = 8.6;

/// The picture of a finding.
pub(super) struct Picture {
    timeline: Timeline,
    severity: &'static str,
    title: String,
    notes: Vec<String>,
    help: String,
    /// The wait that is missing, as a call.
    call: Option<String>,
    labels: Vec<Label>,
    /// Where the lines of the streams begin.
    left: f64,
    /// The middle of each column.
    columns: Vec<f64>,
    /// Where the lines of the streams end.
    right: f64,
}

/// The text at a mark.
struct Label {
    /// In the box. `None` for records and waits, which have none.
    inside: Option<String>,
    /// The file and line.
    beside: String,
    tooltip: String,
}

impl Picture {
    pub(super) fn of(finding: &Finding, sources: &Sources) -> Picture {
        let names = Names::of(finding, sources);
        let timeline = Timeline::of(finding, &names);
        let missing = finding.missing.as_ref();
        let meaning = words::meaning(finding.kind);
        let mut notes = vec![format!("{}{}.", meaning[..1].to_uppercase(), &meaning[1..])];
        if timeline.omitted > 0 {
            notes.push(format!("Calls that are left out: {}.", timeline.omitted));
        }
        let mut picture = Picture {
            severity: severity(finding),
            title: format!(
                "{}[{}]: {}",
                severity(finding),
                finding.kind.name(),
                words::headline(finding, &names)
            ),
            notes,
            help: format!("help: {}", words::help(finding, &names, sources)),
            call: missing.map(|missing| words::missing_call(missing, &names, sources).0),
            labels: timeline.marks.iter().map(|mark| Label::of(mark, &timeline, &names)).collect(),
            left: 0.0,
            columns: Vec::new(),
            right: 0.0,
            timeline,
        };
        picture.place_columns();
        picture
    }

    /// Returns the first line of the finding.
    pub(super) fn title(&self) -> String {
        self.title.clone()
    }

    /// Returns the text alternative.
    pub(super) fn about(&self) -> String {
        let marks = self.labels.iter().map(|label| label.tooltip.clone() + ".");
        let marks = marks.collect::<Vec<_>>().join(" ");
        format!("{}. {marks} {}.", self.title, self.help)
    }

    /// Gives each column the room of its widest text.
    fn place_columns(&mut self) {
        let names = self.timeline.rows.iter().flat_map(|row| {
            let name = NORMAL * width(&shortened(&row.name, LONGEST)) as f64;
            [name, SMALL * width(&about_row(row)) as f64]
        });
        self.left = EDGE + names.fold(0.0, f64::max) + MARGIN;
        let mut widths = vec![NARROWEST; self.timeline.columns];
        for (mark, label) in self.timeline.marks.iter().zip(&self.labels) {
            let inside =
                label.inside.as_ref().map_or(0.0, |text| NORMAL * width(text) as f64 + 12.0);
            let beside = SMALL * width(&label.beside) as f64;
            widths[mark.column] = widths[mark.column].max(inside.max(beside) + MARGIN);
        }
        let mut x = self.left;
        for (column, width) in widths.into_iter().enumerate() {
            if self.timeline.gaps.contains(&column) {
                x += GAP;
            }
            self.columns.push(x + width / 2.0);
            x += width;
        }
        let missing = self.timeline.edges.iter().filter(|edge| edge.is_missing);
        let call = self.call.as_deref().map_or(0.0, |call| NORMAL * width(call) as f64);
        let ends = missing.map(|edge| self.columns[edge.to.1] + call);
        self.right = ends.fold(x, f64::max).max(NARROW) + MARGIN;
    }

    /// Draws the picture with its top at `top`. Returns its right edge and its bottom.
    pub(super) fn draw(&self, canvas: &mut Canvas, top: f64) -> [f64; 2] {
        let room = [EDGE, self.right];
        let class = format!("title {}", self.severity);
        let mut y = canvas.paragraph(room, top, &class, TITLE, &self.title);
        for note in &self.notes {
            y = canvas.paragraph(room, y, "small", SMALL, note);
        }
        let first = y + 52.0;
        let y_of = |row: usize| first + ROW * row as f64;
        self.draw_lines(canvas, y_of);
        for edge in &self.timeline.edges {
            self.draw_edge(canvas, edge, y_of);
        }
        for (mark, label) in self.timeline.marks.iter().zip(&self.labels) {
            self.draw_mark(canvas, mark, label, y_of(mark.row));
        }
        let y = y_of(self.timeline.rows.len().saturating_sub(1)) + 44.0;
        let y = canvas.paragraph(room, y, "name", NORMAL, &self.help);
        [self.right, y]
    }

    /// Draws the streams.
    fn draw_lines(&self, canvas: &mut Canvas, y_of: impl Fn(usize) -> f64) {
        for (index, row) in self.timeline.rows.iter().enumerate() {
            let y = y_of(index);
            canvas.text(EDGE, y - 1.0, "name", &shortened(&row.name, LONGEST));
            canvas.text(EDGE, y + 14.0, "small", &about_row(row));
            canvas.line([self.left, y, self.right, y], "stream");
            for gap in &self.timeline.gaps {
                let before = gap.checked_sub(1).map_or(self.left, |column| self.columns[column]);
                let x = (before + self.columns[*gap]) / 2.0;
                canvas.line([x - 12.0, y, x + 12.0, y], "cut");
            }
        }
    }

    fn draw_edge(&self, canvas: &mut Canvas, edge: &Edge, y_of: impl Fn(usize) -> f64) {
        let ((from_row, from), (to_row, to)) = (edge.from, edge.to);
        let is_down = to_row > from_row;
        let sign = if is_down { 1.0 } else { -1.0 };
        let (start, end) = (y_of(from_row), y_of(to_row) - sign);
        let (x1, x2) = (self.columns[from], self.columns[to]);
        let before_head = end - 10.0 * sign;
        if !edge.is_missing {
            // Straight past the streams between: no box is in this column.
            let last_gap = y_of(to_row) - sign * ROW;
            canvas.curve(start, [x1, last_gap, x2, before_head], "edge");
            return canvas.head(x2, end, is_down, "wait");
        }
        canvas.line([x1, start + 6.0 * sign, x2, before_head], "missing");
        canvas.dot(x1, start, "lacking", "The record of the missing wait");
        canvas.head(x2, end, is_down, "lacking");
        let y = y_of(to_row) - sign * ROW / 2.0;
        canvas.text(x2 + 9.0, y + 1.0, "note halo", "missing:");
        canvas.text(x2 + 9.0, y + 16.0, "note halo code", self.call.as_deref().unwrap_or_default());
    }

    fn draw_mark(&self, canvas: &mut Canvas, mark: &Mark, label: &Label, y: f64) {
        let x = self.columns[mark.column];
        let is_here = |end: (usize, usize)| end == (mark.row, mark.column);
        let edges =
            self.timeline.edges.iter().filter(|edge| is_here(edge.from) || is_here(edge.to));
        let mut goes_down = false;
        for edge in edges {
            let other = if is_here(edge.from) { edge.to.0 } else { edge.from.0 };
            goes_down |= other > mark.row;
        }
        if let Some(text) = &label.inside {
            let class = if mark.is_site { "site" } else { "work" };
            let size = [NORMAL * width(text) as f64 + 12.0, BOX];
            canvas.labelled([x, y], size, class, text, &label.tooltip);
        } else if !self.timeline.edges.iter().any(|edge| is_here(edge.to)) {
            // The head of a wait that has its record in the picture is drawn with the arrow.
            let class = match (&mark.action, mark.is_site) {
                (_, true) => "lacking",
                (Action::Record { .. }, false) => "record",
                _ => "wait",
            };
            match mark.action {
                Action::Record { .. } => canvas.dot(x, y, class, &label.tooltip),
                _ => canvas.head(x, y - 1.0, true, class),
            }
        }
        // The parts of one call share a label.
        let is_above = |other: &Mark| {
            other.column == mark.column && other.row < mark.row && other.place == mark.place
        };
        if self.timeline.marks.iter().any(is_above) {
            return;
        }
        let height = if label.inside.is_some() { BOX / 2.0 } else { 5.0 };
        let below = if goes_down { y - height - 7.0 } else { y + height + 14.0 };
        canvas.text(x, below, "small middle halo", &label.beside);
    }
}

impl Label {
    fn of(mark: &Mark, timeline: &Timeline, names: &Names) -> Label {
        let region =
            |verb: &str, name: &str| Some(format!("{verb} {}", shortened(&plain(name), LONGEST)));
        let inside = match &mark.action {
            Action::Access(Access::Read, region_) => region("read", region_.name()),
            Action::Access(Access::Write, region_) => region("write", region_.name()),
            Action::Access(Access::Release, region_) => region("release", region_.name()),
            Action::Submit => Some("work".into()),
            Action::HostWait => Some("host waits".into()),
            Action::Drop => Some("drop".into()),
            Action::Record { .. } | Action::Wait { .. } => None,
        };
        let stream = names.quoted(timeline.rows[mark.row].number());
        let tooltip = format!("{stream} {}, {}", words::action(&mark.action), place(mark.place));
        let beside = short_place(mark.place);
        let has_arrow = timeline
            .edges
            .iter()
            .any(|edge| [edge.from, edge.to].contains(&(mark.row, mark.column)));
        // Boxes and arrows show what the call does.
        let beside = match mark.action {
            Action::Record { .. } if !has_arrow => format!("record, {beside}"),
            Action::Wait { .. } if !has_arrow => format!("wait, {beside}"),
            _ => beside,
        };
        Label { inside, beside, tooltip }
    }
}

/// Returns what is written below the name of a stream.
fn about_row(row: &crate::report::timeline::Row) -> String {
    match &row.stream {
        Some(stream) if row.name != stream.name => {
            format!("{}, {}", plain(&stream.name), stream.device)
        }
        Some(stream) => stream.device.to_string(),
        None => "this program".into(),
    }
}

/// Returns the file without its folders, and the line.
fn short_place(place: &Location<'_>) -> String {
    let name = Path::new(place.file()).file_name().unwrap_or_default().to_string_lossy();
    let name = if name.is_empty() { place.file().into() } else { name };
    format!("{}:{}", shortened(&plain(&name), LONGEST), place.line())
}
