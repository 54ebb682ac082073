//! Draws the order of the calls with characters: [`lines`].

use crate::Action;

use super::paint::Paint;
use super::plain::{shortened, width};
use super::timeline::{Edge, Mark, Timeline};

/// The characters from a column to the next.
const PITCH: usize = 3;
/// The most characters of a stream's name.
const LONGEST_NAME: usize = 24;

const UP: u8 = 1;
const DOWN: u8 = 2;
const LEFT: u8 = 4;
const RIGHT: u8 = 8;

/// How a character is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Plain,
    Site,
    Missing,
}

/// Characters in a grid. Lines that cross are joined when the grid is read.
struct Grid {
    width: usize,
    /// The directions of the lines in each cell.
    lines: Vec<u8>,
    signs: Vec<Option<(char, Look)>>,
}

/// Returns the drawing, line by line.
pub(super) fn lines(timeline: &Timeline, paint: Paint) -> Vec<String> {
    let lanes = Lanes::of(timeline);
    let grid_width = timeline.columns * PITCH + 3;
    let mut grid = Grid::new(grid_width, lanes.height());
    for row in 0..timeline.rows.len() {
        let y = lanes.line_of(row);
        for x in 0..grid_width {
            grid.add(x, y, LEFT | RIGHT);
        }
        for gap in &timeline.gaps {
            grid.sign(x_of(*gap) - 2, y, '┄', Look::Plain);
            grid.sign(x_of(*gap) - 1, y, '┄', Look::Plain);
        }
    }
    for (edge, lane) in timeline.edges.iter().zip(&lanes.of_edge) {
        draw_edge(&mut grid, &lanes, edge, *lane);
    }
    for mark in &timeline.marks {
        let look = if mark.is_site { Look::Site } else { Look::Plain };
        grid.sign(x_of(mark.column), lanes.line_of(mark.row), sign(mark, timeline), look);
    }
    let names: Vec<_> =
        timeline.rows.iter().map(|row| shortened(&row.name, LONGEST_NAME)).collect();
    let indent = names.iter().map(|name| width(name)).max().unwrap_or_default();
    (0..lanes.height())
        .map(|y| {
            let row = (0..names.len()).find(|row| lanes.line_of(*row) == y);
            let name = row.map_or("", |row| names[row].as_str());
            let blanks = " ".repeat(indent - width(name));
            format!("{name}{blanks}  {}", grid.line(y, paint)).trim_end().to_owned()
        })
        .collect()
}

/// Returns the characters that the drawing of `timeline` uses, with what they mean.
pub(super) fn legend(timeline: &Timeline) -> Option<String> {
    let has = |is: fn(&Action) -> bool| timeline.marks.iter().any(|mark| is(&mark.action));
    let waits = timeline.marks.iter().filter(|mark| matches!(mark.action, Action::Wait { .. }));
    let mut waits: Vec<_> = waits.map(|mark| sign(mark, timeline)).collect();
    waits.sort_unstable();
    waits.dedup();
    let waits = waits.into_iter().rev().collect::<String>();
    let mut parts = Vec::new();
    if has(|action| matches!(action, Action::Record { .. })) {
        parts.push("● record".to_owned());
    }
    if !waits.is_empty() {
        parts.push(format!("{waits} wait"));
    }
    if has(|action| matches!(action, Action::HostWait)) {
        parts.push("■ the host waits".into());
    }
    if has(|action| matches!(action, Action::Drop)) {
        parts.push("× drop".into());
    }
    if let Some(edge) = timeline.edges.iter().find(|edge| edge.is_missing) {
        parts.push(format!("○┄{} the missing wait", missing_head(edge)));
    }
    (!parts.is_empty()).then(|| parts.join("   "))
}

fn x_of(column: usize) -> usize {
    column * PITCH + 2
}

fn sign(mark: &Mark, timeline: &Timeline) -> char {
    let from_below = timeline
        .edges
        .iter()
        .any(|edge| edge.to == (mark.row, mark.column) && edge.from.0 > mark.row);
    match mark.action {
        Action::Record { .. } => '●',
        Action::Wait { .. } if from_below => '▲',
        Action::Wait { .. } => '▼',
        Action::HostWait => '■',
        Action::Drop => '×',
        Action::Access(..) | Action::Submit => mark.letter.unwrap_or('*'),
    }
}

fn missing_head(edge: &Edge) -> char {
    if edge.to.0 > edge.from.0 { '▽' } else { '△' }
}

/// Draws an edge: down or up in the column of the record, then in its lane beside the row of the wait, and to the wait.
fn draw_edge(grid: &mut Grid, lanes: &Lanes, edge: &Edge, lane: Option<usize>) {
    let ((from_row, from), (to_row, to)) = (edge.from, edge.to);
    let (start, end) = (lanes.line_of(from_row), lanes.line_of(to_row));
    let (from, to) = (x_of(from), x_of(to));
    if edge.is_missing {
        for y in start.min(end) + 1..start.max(end) {
            grid.sign(from, y, '┊', Look::Missing);
        }
        grid.sign(from, start, '○', Look::Missing);
        grid.sign(from, end, missing_head(edge), Look::Missing);
        return;
    }
    let Some(lane) = lane else { return grid.vertical(from, start, end) };
    let gap = if end > start { to_row - 1 } else { to_row };
    let y = lanes.line_of(gap) + 1 + lane;
    grid.vertical(from, start, y);
    for x in from..to {
        grid.add(x, y, RIGHT);
        grid.add(x + 1, y, LEFT);
    }
    grid.vertical(to, y, end);
}

/// The lines between two rows, in which edges go from column to column.
struct Lanes {
    /// The number of lines below each row.
    below: Vec<usize>,
    /// The lane of each edge. `None` if it is straight.
    of_edge: Vec<Option<usize>>,
}

impl Lanes {
    /// Gives each edge the first lane in which no other edge is at its columns.
    fn of(timeline: &Timeline) -> Lanes {
        let rows = timeline.rows.len();
        let mut taken: Vec<Vec<Vec<(usize, usize)>>> = vec![Vec::new(); rows];
        let of_edge = timeline.edges.iter().map(|edge| {
            let ((from_row, from), (to_row, to)) = (edge.from, edge.to);
            if from == to {
                return None;
            }
            let gap = if to_row > from_row { to_row - 1 } else { to_row };
            let lanes = &mut taken[gap];
            let is_free = |lane: &Vec<(usize, usize)>| {
                lane.iter().all(|(start, end)| to < *start || from > *end)
            };
            let lane = lanes.iter().position(is_free).unwrap_or_else(|| {
                lanes.push(Vec::new());
                lanes.len() - 1
            });
            lanes[lane].push((from, to));
            Some(lane)
        });
        let of_edge = of_edge.collect();
        let fewest = usize::from(!timeline.edges.is_empty());
        let mut below: Vec<_> = taken.iter().map(|lanes| lanes.len().max(fewest)).collect();
        if let Some(last) = below.last_mut() {
            *last = 0;
        }
        Lanes { below, of_edge }
    }

    fn line_of(&self, row: usize) -> usize {
        row + self.below[..row].iter().sum::<usize>()
    }

    fn height(&self) -> usize {
        self.below.len() + self.below.iter().sum::<usize>()
    }
}

impl Grid {
    fn new(width: usize, height: usize) -> Grid {
        Grid { width, lines: vec![0; width * height], signs: vec![None; width * height] }
    }

    fn add(&mut self, x: usize, y: usize, directions: u8) {
        self.lines[y * self.width + x] |= directions;
    }

    fn sign(&mut self, x: usize, y: usize, sign: char, look: Look) {
        self.signs[y * self.width + x] = Some((sign, look));
    }

    /// Adds a line from the middle of one cell to that of another.
    fn vertical(&mut self, x: usize, start: usize, end: usize) {
        for y in start.min(end)..start.max(end) {
            self.add(x, y, DOWN);
            self.add(x, y + 1, UP);
        }
    }

    fn line(&self, y: usize, paint: Paint) -> String {
        let cells = y * self.width..(y + 1) * self.width;
        let mut text = String::new();
        for cell in cells {
            match self.signs[cell] {
                Some((sign, Look::Plain)) => text.push(sign),
                Some((sign, Look::Site)) => text += &paint.red(&sign.to_string()),
                Some((sign, Look::Missing)) => text += &paint.cyan(&sign.to_string()),
                None => text.push(joined(self.lines[cell])),
            }
        }
        text
    }
}

/// Returns the character that has lines in these directions.
fn joined(directions: u8) -> char {
    const SIGNS: [char; 16] =
        [' ', '│', '│', '│', '─', '╯', '╮', '┤', '─', '╰', '╭', '├', '─', '┴', '┬', '┼'];
    SIGNS[usize::from(directions & 15)]
}
