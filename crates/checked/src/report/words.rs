//! The sentences of a report.

use std::sync::Arc;

use gpu_stream_core::{Access, Region};

use crate::{Action, Finding, FindingKind, MissingWait, Site, Step, StreamInfo};

use super::names::Names;
use super::place;
use super::plain::plain;
use super::sources::Sources;

/// Returns what is wrong, in one sentence without a full stop.
pub(super) fn headline(finding: &Finding, names: &Names) -> String {
    let second = &finding.second;
    let (stream, does) = (names.quoted(second.stream.number), action(&second.action));
    let Some(first) = &finding.first else { return alone(finding, names) };
    let noun = match first.action {
        Action::Access(Access::Read, _) => "read",
        Action::Access(Access::Write, _) => "write",
        _ => "use",
    };
    let is_one_stream = first.stream.number == second.stream.number;
    let other = names.quoted(first.stream.number);
    let before =
        if is_one_stream { format!("its own {noun}") } else { format!("the {noun} by {other}") };
    match finding.kind {
        FindingKind::ReadAfterWrite
        | FindingKind::WriteAfterRead
        | FindingKind::WriteAfterWrite => {
            format!("{stream} {does} with no wait for {before}")
        }
        FindingKind::UseAfterRelease => match (&first.action, &second.action) {
            (Action::Access(Access::Release, old), Action::Access(_, new))
                if old.allocation() != new.allocation() =>
            {
                let old = plain(old.name());
                format!(
                    "{stream} {does} where `{old}` was, with no wait for its release by {other}"
                )
            }
            (Action::Access(Access::Release, _), _) => {
                format!("{stream} {does} after its release by {other}")
            }
            _ => format!("{stream} {does} with no wait for {before}"),
        },
        _ => alone(finding, names),
    }
}

/// Returns what is wrong with a call that needs no other one to be wrong.
fn alone(finding: &Finding, names: &Names) -> String {
    let second = &finding.second;
    let stream = names.quoted(second.stream.number);
    let does = action(&second.action);
    match finding.kind {
        FindingKind::UnrecordedWait => {
            format!("{} waits for an event that was never recorded", waiter(finding, names))
        }
        FindingKind::WaitBeforeRecord => {
            format!("{} waits for an event before its first record", waiter(finding, names))
        }
        FindingKind::NotJoined => {
            let joined =
                finding.missing.as_ref().map_or(second.stream.number, |m| m.awaited.number);
            format!("nothing waits for the work of {}", names.quoted(joined))
        }
        FindingKind::UseAfterOwner => format!("{stream} is used after the end of its owner"),
        FindingKind::BehindFault => format!("work is submitted to {stream}, whose work has failed"),
        _ => format!("{stream} {does} in no order"),
    }
}

/// Returns the stream of the call that waits.
fn waiter(finding: &Finding, names: &Names) -> String {
    let sites = [finding.first.as_ref(), Some(&finding.second)];
    let waits = |site: &&Site| matches!(site.action, Action::Wait { .. });
    let site = sites.into_iter().flatten().find(waits).unwrap_or(&finding.second);
    names.quoted(site.stream.number)
}

/// Returns what one of the two calls of a finding does, with the bytes.
pub(super) fn site(finding: &Finding, site: &Site) -> String {
    match (finding.kind, &site.action) {
        (FindingKind::BehindFault, Action::HostWait) => "reports a fault".into(),
        (_, does) => action(does) + &bytes(does),
    }
}

/// Returns what a call does, as the verb of a sentence about the stream.
pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Access(Access::Read, region) => format!("reads `{}`", plain(region.name())),
        Action::Access(Access::Write, region) => format!("writes `{}`", plain(region.name())),
        Action::Access(Access::Release, region) => format!("releases `{}`", plain(region.name())),
        Action::Record { event } => format!("records event {event}"),
        Action::Wait { record: Some(_) } => "waits for a record".into(),
        Action::Wait { record: None } => "waits for an event".into(),
        Action::Submit => "is given work".into(),
        Action::HostWait => "is waited for by the host".into(),
        Action::Drop => "is dropped".into(),
    }
}

/// Returns what follows from a finding of `kind`, in one sentence.
pub(super) fn meaning(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::ReadAfterWrite => {
            "the read can see the memory before, during or after the write"
        }
        FindingKind::WriteAfterRead => "the write can change the memory before the read is done",
        FindingKind::WriteAfterWrite => "the memory can keep either write, or a part of each",
        FindingKind::UseAfterRelease => {
            "the memory can belong to another allocation while it is used"
        }
        FindingKind::UnrecordedWait => "a wait for an event that has no record has no effect",
        FindingKind::WaitBeforeRecord => {
            "a wait is for the record that the event has at the call, and this event had none"
        }
        FindingKind::NotJoined => {
            "a wait for the streams that this work follows does not cover the work"
        }
        FindingKind::UseAfterOwner => {
            "the owner can destroy the stream, and its handle can be that of another one"
        }
        FindingKind::BehindFault => {
            "work behind a fault does not run, or its results are not valid"
        }
    }
}

/// Returns what to do if the program is right. Returns `None` if it cannot be.
pub(super) fn allowed(finding: &Finding) -> Option<String> {
    let kind = finding.kind;
    match kind {
        FindingKind::UseAfterRelease if finding.missing.is_none() => None,
        FindingKind::ReadAfterWrite
        | FindingKind::WriteAfterRead
        | FindingKind::WriteAfterWrite
        | FindingKind::UseAfterRelease => Some(
            "if a call that the check does not see makes this order (`cuCtxSynchronize`, `cuMemFree`, a host function's \
             message, other code), also call `synchronize` of the stream or of an event, or wait for an event of that code"
                .into(),
        ),
        FindingKind::UseAfterOwner => {
            Some("if another owner keeps the stream alive, wrap it with that one".into())
        }
        FindingKind::UnrecordedWait
        | FindingKind::WaitBeforeRecord
        | FindingKind::NotJoined
        | FindingKind::BehindFault => {
            Some(format!("if this is meant, call `scope.allow(FindingKind::{kind:?})`"))
        }
    }
}

/// Returns the call that orders the two: `ours.wait_stream(&side)?`. The second part says which streams the names stand
/// for, where that is not clear.
pub(super) fn missing_call(
    missing: &MissingWait,
    names: &Names,
    sources: &Sources,
) -> (String, Vec<String>) {
    let mut notes = Vec::new();
    let mut variable = |stream: &StreamInfo, placeholder: &str| {
        let (number, name) = (stream.number, names.of_stream(stream.number));
        match name.place {
            Some(_) if sources.has_name(missing.before, &name.text) => name.text,
            Some(at) => {
                let variable = &name.text;
                notes.push(format!(
                    "`{placeholder}` is stream {number}, `{variable}` at {}",
                    place(at)
                ));
                placeholder.to_owned()
            }
            None => {
                let (called, created) = (names.quoted(number), place(stream.created));
                notes.push(format!("`{placeholder}` is {called}, created at {created}"));
                placeholder.to_owned()
            }
        }
    };
    let awaited = &missing.awaited;
    let call = match &missing.waiter {
        Some(waiter) => {
            let (waiter, awaited) = (variable(waiter, "waiter"), variable(awaited, "other"));
            format!("{waiter}.wait_stream(&{awaited})?")
        }
        None => format!("{}.synchronize()?", variable(awaited, "other")),
    };
    (call, notes)
}

/// Returns the wait that would put the awaited work before what the host has waited for: of the stream that the host
/// synchronized last. Returns `None` if the host synchronized no other stream after the earlier call.
fn wait_before_synchronize(
    finding: &Finding,
    missing: &MissingWait,
    names: &Names,
    sources: &Sources,
) -> Option<MissingWait> {
    let first = finding.first.as_ref().filter(|_| missing.waiter.is_none())?;
    let is_host_wait = |step: &&Step| matches!(step.action, Action::HostWait);
    let step = finding.steps.iter().rev().find(is_host_wait)?;
    let stream = finding.streams.iter().find(|stream| stream.number == step.stream)?;
    // A wait that comes after the record of an event is too late for the event.
    let call = sources.call(step.place)?;
    let is_of_stream = ["synchronize", "query"].contains(&call.method.as_str())
        && call.receiver == Some(names.of_stream(step.stream).text);
    let is_other = stream.number != missing.awaited.number && step.number > first.number;
    (is_of_stream && is_other).then(|| MissingWait {
        waiter: Some(Arc::clone(stream)),
        awaited: Arc::clone(&missing.awaited),
        before: step.place,
    })
}

/// Returns the call that is missing with where it belongs.
fn missing_help(
    finding: &Finding,
    missing: &MissingWait,
    names: &Names,
    sources: &Sources,
) -> String {
    let (call, mut notes) = missing_call(missing, names, sources);
    // Nothing followed the work that is to be waited for.
    let second = &finding.second;
    let is_after = missing.before == second.place
        && missing.awaited.number == second.stream.number
        && missing.waiter.as_ref().is_none_or(|waiter| waiter.number != second.stream.number);
    let side = if is_after { "after" } else { "before" };
    let mut help = format!("`{call}` {side} {}", place(missing.before));
    if let Some(wait) = wait_before_synchronize(finding, missing, names, sources) {
        let (call, more) = missing_call(&wait, names, sources);
        help = format!("`{call}` before {}, or {help}", place(wait.before));
        notes.extend(more.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
    }
    let notes =
        if notes.is_empty() { String::new() } else { format!(", where {}", notes.join(", and ")) };
    format!("call {help}{notes}")
}

/// Returns what to do, in one sentence without a full stop.
pub(super) fn help(finding: &Finding, names: &Names, sources: &Sources) -> String {
    let missing = finding.missing.as_ref();
    let missing = missing.map(|missing| missing_help(finding, missing, names, sources));
    match finding.kind {
        FindingKind::UnrecordedWait => {
            format!("record {} before the wait, or remove the wait", event(finding, sources))
        }
        FindingKind::WaitBeforeRecord => {
            let again = missing.unwrap_or_else(|| "wait again after the record".into());
            format!("record {} before the wait, or {again}", event(finding, sources))
        }
        FindingKind::UseAfterOwner => {
            "keep the owner in the stream: wrap it with `stream_from_owner`".into()
        }
        FindingKind::BehindFault => {
            "return the error of the call that reported the fault, and submit to a new stream"
                .into()
        }
        kind => missing.unwrap_or_else(|| match kind {
            FindingKind::UseAfterRelease => {
                "release the memory after its last use, and order the release after that use".into()
            }
            FindingKind::NotJoined => {
                let stream = names.quoted(finding.second.stream.number);
                format!(
                    "let the stream that goes on wait for {stream} with `wait_stream` or `join`"
                )
            }
            _ => "order the two with `wait_stream`, or with a record and a wait for it".into(),
        }),
    }
}

/// Returns the event of the wait: its variable, if the call can be read.
fn event(finding: &Finding, sources: &Sources) -> String {
    let sites = [finding.first.as_ref(), Some(&finding.second)];
    let calls = sites.into_iter().flatten().filter_map(|site| sources.call(site.place));
    let events = calls.filter(|call| call.method == "wait_event").map(|call| call.arguments);
    let event = events.flatten().next().map(|event| format!("`{}`", plain(&event)));
    event.unwrap_or_else(|| "the event".into())
}

/// Returns the bytes that a label adds to what a call does.
fn bytes(action: &Action) -> String {
    match action {
        Action::Access(_, region) => {
            let bytes = region.addresses().len();
            format!(
                ", {bytes} {} at {:#x}",
                if bytes == 1 { "byte" } else { "bytes" },
                region.addresses().start
            )
        }
        _ => String::new(),
    }
}

/// Returns the bytes that both accesses of a finding use. Returns `None` if both use the same range.
pub(super) fn overlap(finding: &Finding) -> Option<String> {
    let region = |site: &Site| match site.action {
        Action::Access(_, region) => Some(region),
        _ => None,
    };
    let (second, first): (Region, Region) =
        (region(&finding.second)?, region(finding.first.as_ref()?)?);
    let (one, other) = (first.addresses(), second.addresses());
    let (start, end) = (one.start.max(other.start), one.end.min(other.end));
    (one != other && start < end)
        .then(|| format!("both use {} bytes, from {start:#x} to before {end:#x}", end - start))
}
