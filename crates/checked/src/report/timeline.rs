//! Lays out the calls of a finding on the lines of their streams, for the drawings: [`Timeline`].

use std::panic::Location;
use std::sync::Arc;

use crate::{Action, Finding, Site, Step, StreamInfo};

use super::names::{self, Names};

/// The calls that a drawing shows. If there are more, the latest records and waits are shown.
const MOST: usize = 14;

/// The calls of a finding in columns, by time, and rows, by stream.
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    /// The number of columns.
    pub(super) columns: usize,
    /// The columns before which calls are left out.
    pub(super) gaps: Vec<usize>,
    /// The number of calls that are left out.
    pub(super) omitted: usize,
    /// In the order of the columns.
    pub(super) marks: Vec<Mark>,
    pub(super) edges: Vec<Edge>,
}

/// The line of a stream, or of the host.
pub(super) struct Row {
    pub(super) name: String,
    /// `None` for the host.
    pub(super) stream: Option<Arc<StreamInfo>>,
}

/// A call.
pub(super) struct Mark {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) action: Action,
    pub(super) place: &'static Location<'static>,
    /// Accesses and other work have letters.
    pub(super) letter: Option<char>,
    /// Whether this is one of the two calls of the finding.
    pub(super) is_site: bool,
}

/// A wait: the order between a record and what waits for it.
pub(super) struct Edge {
    /// The row and column of the record.
    pub(super) from: (usize, usize),
    /// The row and column of the wait.
    pub(super) to: (usize, usize),
    /// Whether this is the wait that the program lacks.
    pub(super) is_missing: bool,
}

impl Row {
    /// Returns the number of the stream, or that of the host.
    pub(super) fn number(&self) -> u32 {
        self.stream.as_ref().map_or(names::HOST, |stream| stream.number)
    }
}

impl Timeline {
    /// Lays out the calls of `finding`.
    pub(super) fn of(finding: &Finding, names: &Names) -> Timeline {
        let Selected { steps, omitted_before } = Selected::of(finding);
        let mut timeline = Timeline {
            rows: rows(finding, &steps, names),
            columns: 0,
            gaps: Vec::new(),
            omitted: omitted_before.iter().sum(),
            marks: Vec::new(),
            edges: Vec::new(),
        };
        let missing_before = missing_before(finding, &steps);
        // Where the records are, by the number of the call.
        let mut records: Vec<(u64, (usize, usize))> = Vec::new();
        let mut letters = 'A'..='Z';
        let mut previous: Option<&Step> = None;
        for (index, step) in steps.iter().enumerate() {
            if missing_before == index {
                previous = None;
                timeline.add_missing(finding);
            }
            let row = timeline.row_of(step.stream);
            if omitted_before[index] > 0 {
                timeline.gaps.push(timeline.columns);
            }
            let is_one_call = previous.is_some_and(|one| timeline.is_one_call(one, step, row));
            if !is_one_call || omitted_before[index] > 0 {
                timeline.columns += 1;
            }
            previous = Some(step);
            let at = (row, timeline.columns - 1);
            match step.action {
                Action::Record { .. } => records.push((step.number, at)),
                Action::Wait { record: Some(number) } => {
                    let record = records.iter().find(|record| record.0 == number);
                    if let Some((_, from)) = record.filter(|(_, from)| from.0 != row) {
                        timeline.edges.push(Edge { from: *from, to: at, is_missing: false });
                    }
                }
                _ => {}
            }
            let has_letter = matches!(step.action, Action::Access(..) | Action::Submit);
            timeline.marks.push(Mark {
                row,
                column: at.1,
                action: step.action.clone(),
                place: step.place,
                letter: if has_letter { letters.next() } else { None },
                is_site: sites(finding).any(|site| site.number == step.number),
            });
        }
        if missing_before >= steps.len() {
            timeline.add_missing(finding);
        }
        timeline
    }

    fn row_of(&self, stream: u32) -> usize {
        let is_it = |row: &Row| row.number() == stream;
        self.rows.iter().position(is_it).unwrap_or_default()
    }

    /// Adds the column of the wait that is missing.
    fn add_missing(&mut self, finding: &Finding) {
        let Some(missing) = &finding.missing else { return };
        let from = self.row_of(missing.awaited.number);
        let waiter = missing.waiter.as_ref();
        let to = self.row_of(waiter.map_or(names::HOST, |waiter| waiter.number));
        if from != to {
            let column = self.columns;
            self.columns += 1;
            self.edges.push(Edge { from: (from, column), to: (to, column), is_missing: true });
        }
    }

    /// Returns `true` if `step` belongs to the column of the step before: both are parts of one `wait_stream`, `fork` or
    /// `join`.
    fn is_one_call(&self, previous: &Step, step: &Step, row: usize) -> bool {
        let is_edge =
            |step: &Step| matches!(step.action, Action::Record { .. } | Action::Wait { .. });
        let mut in_column = self.marks.iter().filter(|mark| mark.column + 1 == self.columns);
        let is_free = match in_column.rfind(|mark| mark.row == row) {
            None => true,
            // A join: each branch has a record, and one stream waits for them all.
            Some(mark) => {
                matches!(mark.action, Action::Wait { .. })
                    && matches!(step.action, Action::Wait { .. })
                    && matches!(previous.action, Action::Record { .. })
            }
        };
        previous.place == step.place && is_edge(previous) && is_edge(step) && is_free
    }
}

/// The calls that a drawing shows.
struct Selected {
    /// In the order of their numbers.
    steps: Vec<Step>,
    /// The number of calls that are left out before each.
    omitted_before: Vec<usize>,
}

impl Selected {
    /// Selects the two calls of the finding, and then the latest records and waits, and then the latest other calls.
    fn of(finding: &Finding) -> Selected {
        let streams = names::streams(finding);
        let is_site = |number: u64| sites(finding).any(|site| site.number == number);
        let is_known = |step: &Step| streams.iter().any(|stream| stream.number == step.stream);
        // Other accesses of the host order nothing.
        let is_shown =
            |step: &&Step| step.stream != names::HOST && is_known(step) && !is_site(step.number);
        let steps = finding.steps.iter().filter(is_shown);
        let mut steps: Vec<Step> = steps.cloned().collect();
        // The steps are the latest ones, so that a site is not always among them.
        steps.extend(sites(finding).map(|site| Step {
            number: site.number,
            place: site.place,
            stream: site.stream.number,
            action: site.action.clone(),
        }));
        steps.sort_by_key(|step| step.number);
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|index| {
            let step = &steps[*index];
            let rank = match step.action {
                _ if is_site(step.number) => 0,
                Action::Access(..) | Action::Submit => 2,
                _ => 1,
            };
            (rank, std::cmp::Reverse(*index))
        });
        let mut is_shown = vec![false; steps.len()];
        order.iter().take(MOST).for_each(|index| is_shown[*index] = true);
        let (mut selected, mut omitted_before, mut omitted) = (Vec::new(), Vec::new(), 0);
        for (step, is_shown) in steps.into_iter().zip(is_shown) {
            if is_shown {
                selected.push(step);
                omitted_before.push(std::mem::take(&mut omitted));
            } else {
                omitted += 1;
            }
        }
        Selected { steps: selected, omitted_before }
    }
}

fn sites(finding: &Finding) -> impl Iterator<Item = &Site> {
    finding.first.iter().chain([&finding.second])
}

/// Returns the rows of the streams that take part in the steps or lack a wait, in the order of their numbers, and then
/// that of the host if it takes part.
fn rows(finding: &Finding, steps: &[Step], names: &Names) -> Vec<Row> {
    let missing = finding.missing.as_ref();
    let mut streams = names::streams(finding);
    streams.retain(|stream| {
        let is_it = |other: &Arc<StreamInfo>| other.number == stream.number;
        steps.iter().any(|step| step.stream == stream.number)
            || missing
                .is_some_and(|one| is_it(&one.awaited) || one.waiter.as_ref().is_some_and(is_it))
    });
    streams.sort_by_key(|stream| stream.number);
    let has_host = streams.iter().any(|stream| stream.number == names::HOST)
        || missing.is_some_and(|missing| missing.waiter.is_none());
    streams.retain(|stream| stream.number != names::HOST);
    let named = |stream: Arc<StreamInfo>| Row {
        name: names.of_stream(stream.number).text,
        stream: Some(stream),
    };
    let mut rows: Vec<_> = streams.into_iter().map(named).collect();
    if has_host {
        rows.push(Row { name: "host".into(), stream: None });
    }
    rows
}

/// Returns the index of the step before which the missing wait belongs.
fn missing_before(finding: &Finding, steps: &[Step]) -> usize {
    let at = |number: u64| steps.iter().position(|step| step.number == number);
    let second = at(finding.second.number).unwrap_or(steps.len());
    let Some(missing) = &finding.missing else { return second };
    // The wait comes after the work that it is for.
    let awaited = sites(finding).filter(|site| site.stream.number == missing.awaited.number);
    let awaited = awaited.map(|site| site.number).max().unwrap_or_default();
    let is_there = |step: &Step| step.place == missing.before && step.number > awaited;
    if missing.before == finding.second.place && finding.second.number > awaited {
        return second;
    }
    let after_awaited = at(awaited).map_or(second, |index| index + 1);
    steps.iter().position(is_there).unwrap_or(after_awaited)
}
