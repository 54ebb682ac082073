//! Any report can be rendered, whatever its calls and the source files are.

use std::panic::Location;
use std::sync::Arc;

use gpu_stream_core::{Access, BackendKind, Device, Region};
use proptest::prelude::*;

use crate::report::call::{self, Call};
use crate::{Action, Finding, FindingKind, MissingWait, Report, Site, Step, StreamInfo};

use super::samples;

/// Names that are hard to print.
const NAMES: [&str; 8] =
    ["x", "", "größe", "日本語", "<a href=\"&\">", "\u{1b}[31m\u{202e}", "a\nb\0", "\u{ffff}`{}"];

/// Places of this crate, and of the standard library, whose files are often missing.
fn places() -> Vec<&'static Location<'static>> {
    let mut places: Vec<_> =
        samples::all().iter().map(|(_, finding)| finding.second.place).collect();
    // The place of a function pointer is where the function is defined: in the core library, whose source is not here.
    places.push((Location::caller as fn() -> &'static Location<'static>)());
    places.push(Location::caller());
    places
}

fn place() -> impl Strategy<Value = &'static Location<'static>> {
    proptest::sample::select(places())
}

fn region() -> impl Strategy<Value = Region> {
    (proptest::sample::select(&NAMES[..]), any::<usize>(), any::<usize>())
        .prop_map(|(name, start, bytes)| Region::new(name, start, bytes))
}

fn action() -> impl Strategy<Value = Action> {
    let access = proptest::sample::select(&[Access::Read, Access::Write, Access::Release][..]);
    prop_oneof![
        (access, region()).prop_map(|(access, region)| Action::Access(access, region)),
        (0..4_u32).prop_map(|event| Action::Record { event }),
        proptest::option::of(0..64_u64).prop_map(|record| Action::Wait { record }),
        Just(Action::Submit),
        Just(Action::HostWait),
        Just(Action::Drop),
    ]
}

fn stream() -> impl Strategy<Value = Arc<StreamInfo>> {
    (0..6_u32, proptest::sample::select(&NAMES[..]), any::<usize>(), place()).prop_map(
        |(number, name, handle, created)| {
            let device = Device::new(BackendKind::Host, 0);
            Arc::new(StreamInfo { number, name: name.into(), device, handle, created })
        },
    )
}

fn site() -> impl Strategy<Value = Site> {
    (0..64_u64, place(), stream(), action()).prop_map(|(number, place, stream, action)| Site {
        number,
        place,
        stream,
        action,
    })
}

fn step() -> impl Strategy<Value = Step> {
    (0..64_u64, place(), 0..8_u32, action()).prop_map(|(number, place, stream, action)| Step {
        number,
        place,
        stream,
        action,
    })
}

fn missing() -> impl Strategy<Value = MissingWait> {
    (proptest::option::of(stream()), stream(), place())
        .prop_map(|(waiter, awaited, before)| MissingWait { waiter, awaited, before })
}

fn finding() -> impl Strategy<Value = Finding> {
    let calls = (site(), proptest::option::of(site()), proptest::option::of(missing()));
    let streams = proptest::collection::vec(stream(), 0..6);
    let steps = proptest::collection::vec(step(), 0..64);
    let kind = proptest::sample::select(&FindingKind::ALL[..]);
    (kind, calls, any::<u64>(), streams, steps).prop_map(
        |(kind, (second, first, missing), count, streams, steps)| Finding {
            kind,
            second,
            first,
            missing,
            count,
            streams,
            steps,
        },
    )
}

fn check(report: &Report) {
    let text = report.to_string();
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).expect("valid JSON");
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(report.findings.len()));
    let svg = report.to_svg();
    let document = roxmltree::Document::parse(&svg).expect("valid XML");
    assert!(document.descendants().any(|node| node.has_tag_name("desc")));
    assert!(document.descendants().all(|node| !node.has_tag_name("script")));
    let numbers = document.descendants().flat_map(|node| node.attributes());
    assert!(
        numbers.into_iter().all(|one| !one.value().contains("NaN") && !one.value().contains("inf"))
    );
}

proptest! {
    #[test]
    fn any_report_is_rendered(findings in proptest::collection::vec(finding(), 0..4)) {
        check(&Report { findings });
    }

    #[test]
    fn any_source_is_read(text in any::<String>(), line in 0..9_u32, column in 0..40_u32) {
        let _ = Call::read(&text, line, column);
        let _ = call::has_name(&text, line, &text);
    }

    #[test]
    fn text_like_code_is_read(
        text in r#"[a-c.:<>()\[\]{}"&,;/ \n\té日!?=*\\']{0,80}"#,
        line in 1..6_u32,
        column in 1..40_u32,
    ) {
        if let Some(call) = Call::read(&text, line, column) {
            let columns: usize = call.line.chars().map(crate::report::plain::char_width).sum();
            prop_assert!(call.start <= columns && call.width >= 1, "{call:?}");
        }
    }
}

#[test]
fn a_thousand_calls_are_rendered() {
    let mut finding = samples::read_after_write();
    let steps = finding.steps.clone();
    finding.steps = (0..1000).map(|index| steps[index % steps.len()].clone()).collect();
    for (step, number) in finding.steps.iter_mut().zip(0..) {
        step.number = number;
    }
    let report = Report { findings: vec![finding] };
    check(&report);
    assert!(report.to_string().lines().count() < 60, "{report}");
}

#[test]
fn finding_and_report_without_anything_are_rendered() {
    check(&Report::default());
    let mut finding = samples::read_after_write();
    finding.streams.clear();
    finding.steps.clear();
    (finding.first, finding.missing) = (None, None);
    check(&Report { findings: vec![finding] });
}

#[test]
fn steps_of_unknown_streams_are_left_out() {
    let finding = samples::read_after_write();
    let mut more = finding.clone();
    let step = Step { number: 3, stream: 77, ..finding.steps[0].clone() };
    more.steps.insert(3, step);
    assert_eq!(more.to_string(), finding.to_string());
    assert_eq!(more.to_svg(), finding.to_svg());
}

#[test]
fn place_without_a_source_file_is_shown_without_a_line() {
    let mut finding = samples::read_after_write();
    finding.second.place = (Location::caller as fn() -> &'static Location<'static>)();
    finding.missing = None;
    let text = finding.to_string();
    let file = finding.second.place.file();
    assert!(text.contains(&format!("--> {file}:")), "{text}");
    assert!(text.contains("| `ours` (stream 1) reads `counts`"), "{text}");
    assert!(!text.contains("^^^") && text.contains("----"), "{text}");
}

#[test]
fn an_assertion_shows_the_report() {
    let is_shown = |assert: fn(&Report), report: &Report| {
        let report = report.clone();
        let panic = std::panic::catch_unwind(move || assert(&report)).err();
        panic
            .and_then(|panic| panic.downcast::<String>().ok())
            .is_some_and(|text| text.contains("[read-after-write]"))
    };
    let error = Report { findings: vec![samples::read_after_write()] };
    assert!(is_shown(Report::assert_empty, &error));
    assert!(is_shown(Report::assert_no_errors, &error));
    let warnings = samples::report().findings.into_iter();
    let severity = crate::Severity::Warning;
    let warnings = warnings.filter(|finding| finding.kind.severity() == severity).collect();
    let warnings = Report { findings: warnings };
    warnings.assert_no_errors();
    assert!(std::panic::catch_unwind(move || warnings.assert_empty()).is_err());
    Report::default().assert_empty();
}
