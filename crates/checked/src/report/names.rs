//! Names of streams: [`Names`].

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::Arc;

use crate::{Action, Finding, Site, StreamInfo};

use super::call::Call;
use super::plain::plain;
use super::sources::Sources;

/// The number that stands for the host in findings that have it in the place of a stream.
pub(super) const HOST: u32 = 0;

/// What a stream is called in the reports of one finding.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// `side`, or `stream 3`.
    pub(super) text: String,
    /// The place at which `text` is the variable of the stream. `None` if it is not a variable's name.
    pub(super) place: Option<&'static Location<'static>>,
}

/// The names of a finding's streams. No two are equal.
pub(super) struct Names(BTreeMap<u32, Name>);

impl Names {
    /// Reads the names from the lines of the calls, and from those that create the streams.
    pub(super) fn of(finding: &Finding, sources: &Sources) -> Names {
        let mut names = Names(BTreeMap::new());
        for stream in streams(finding).into_iter().filter(|stream| stream.number != HOST) {
            let name = candidates(finding, &stream, sources)
                .into_iter()
                .find(|(name, _)| names.0.values().all(|other| other.text != *name));
            let name = match name {
                Some((text, place)) => Name { text, place: Some(place) },
                None => Name { text: plain(&stream.name), place: None },
            };
            names.0.insert(stream.number, name);
        }
        names
    }

    /// Returns the name of a stream.
    pub(super) fn of_stream(&self, number: u32) -> Name {
        let unknown = || Name { text: format!("stream {number}"), place: None };
        self.0.get(&number).cloned().unwrap_or_else(unknown)
    }

    /// Returns the name of a stream for a sentence: a variable's is in backticks.
    pub(super) fn quoted(&self, number: u32) -> String {
        let name = self.of_stream(number);
        if number == HOST {
            return "the host".into();
        }
        if name.place.is_some() { format!("`{}`", name.text) } else { name.text }
    }
}

/// Returns the streams of a finding. Those of its two calls come first.
pub(super) fn streams(finding: &Finding) -> Vec<Arc<StreamInfo>> {
    let mut streams: Vec<Arc<StreamInfo>> = Vec::new();
    let missing = finding.missing.iter();
    let missing = missing.flat_map(|missing| missing.waiter.iter().chain([&missing.awaited]));
    let sites = [Some(&finding.second), finding.first.as_ref()];
    let sites = sites.into_iter().flatten().map(|site| &site.stream);
    for stream in sites.chain(missing).chain(&finding.streams) {
        if streams.iter().all(|other| other.number != stream.number) {
            streams.push(Arc::clone(stream));
        }
    }
    streams
}

/// Returns the variables that can be `stream`, and where. The best one comes first.
fn candidates(
    finding: &Finding,
    stream: &StreamInfo,
    sources: &Sources,
) -> Vec<(String, &'static Location<'static>)> {
    let of_site = |site: &Site| (site.stream.number, site.action.clone(), site.place);
    let sites = [Some(&finding.second), finding.first.as_ref()];
    let sites = sites.into_iter().flatten().map(of_site);
    let of_step = |step: &crate::Step| (step.stream, step.action.clone(), step.place);
    // Later calls are nearer to the mistake. A few tell enough.
    let steps = finding.steps.iter().rev().map(of_step);
    let calls = sites.chain(steps).filter(|(number, ..)| *number == stream.number).take(16);
    let mut names = Vec::new();
    for (_, action, place) in calls {
        if let Some(name) = sources.call(place).and_then(|call| variable(&call, &action)) {
            names.push((name, place));
        }
    }
    if let Some(name) = sources.call(stream.created).and_then(|call| call.binding) {
        names.push((name, stream.created));
    }
    names
}

/// Returns the variable of the stream that `call` did `action` on.
fn variable(call: &Call, action: &Action) -> Option<String> {
    let receiver = || call.receiver.clone();
    let is_name = |name: &&String| name.chars().all(|c| c.is_alphanumeric() || "_.".contains(c));
    match (action, call.method.as_str()) {
        (Action::Record { .. }, "wait_stream") => call.arguments.first().filter(is_name).cloned(),
        (Action::Access(..), "reads" | "writes" | "released") => receiver(),
        (Action::Record { .. }, "record" | "record_event" | "fork") => receiver(),
        (Action::Wait { .. }, "wait_event" | "wait_stream" | "join") => receiver(),
        (Action::Submit, "raw" | "launch_host_func" | "launch") => receiver(),
        _ => None,
    }
}
