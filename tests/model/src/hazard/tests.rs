//! What the rules about captures say of small programs, by hand.

use super::*;
use crate::campaign::GPU_LIMITS;
use crate::check::{Limits, Schedule, check};

const LIMITS: Limits =
    Limits { schedule: Schedule::Serial { implicit: true }, captures: true, ..GPU_LIMITS };

/// Three streams, one of them captured, an event and a region.
const BEGIN: &str = "\
r0 = region 0..8
s0 = stream 0
s1 = stream 0
s2 = stream 0
e0 = event 0
";

/// Returns the order of a program that begins with [`BEGIN`].
fn order_of(text: &str) -> Order {
    let program = format!("{BEGIN}{text}").parse().expect("a program");
    check(&program, &LIMITS).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the statements that are refused, counted from the end of [`BEGIN`].
fn refused(order: &Order) -> Vec<usize> {
    let all = order.refused.iter().enumerate();
    all.filter(|(_, is_refused)| **is_refused).map(|(index, _)| index - 5).collect()
}

/// Returns the statements of the hazards, counted from the end of [`BEGIN`].
fn hazards(order: &Order) -> Vec<(usize, usize)> {
    assert_eq!(all(order), latest(order));
    all(order).iter().map(|hazard| (hazard.first - 5, hazard.second - 5)).collect()
}

#[test]
fn captured_accesses_are_compared_within_their_capture() {
    let order = order_of(
        "s2 writes r0 0..8\ncapture s0\ns0 writes r0 0..8\ns1 wait s0\ns0 writes r0 0..8\ns1 reads r0 0..8\nend s0\n\
         s1 reads r0 0..8\n",
    );
    assert_eq!(hazards(&order), [(0, 7), (4, 5)]);
    assert_eq!(order.captures, [2]);
}

#[test]
fn captured_waits_order_no_executed_work() {
    let order = order_of(
        "s1 writes r0 0..8\ncapture s0\ns1 wait s0\ns0 wait s1\nend s0\ns0 writes r0 0..8\n",
    );
    assert_eq!(hazards(&order), [(0, 5)]);
}

#[test]
fn two_captures_are_not_compared() {
    let order =
        order_of("capture s0\ns0 writes r0 0..8\ncapture s1\ns1 writes r0 0..8\nend s0\nend s1\n");
    assert_eq!(hazards(&order), []);
    let order =
        order_of("capture s0\ns0 writes r0 0..8\nend s0\ncapture s1\ns1 writes r0 0..8\nend s1\n");
    assert_eq!(hazards(&order), []);
}

#[test]
fn captured_streams_refuse_queries_and_waits_for_other_work() {
    let order = order_of(
        "s2 record e0\ncapture s0\nquery s0\nsync s0\ns0 wait e0\ns0 wait s1\ns0 join s1 s2\ns1 fork s2 s0\n\
         s0 record e0\nquery e0\nsync e0\nend s0\ns1 wait e0\nquery e0\nsync s0\n",
    );
    assert_eq!(refused(&order), [2, 3, 4, 5, 6, 7, 9, 10, 12, 13]);
}

#[test]
fn waits_between_captures_are_refused() {
    let order = order_of(
        "capture s0\ncapture s1\ns1 record e0\ns0 wait e0\ns0 wait s1\ns2 wait e0\ns2 wait s0\nend s0\nend s1\n",
    );
    assert_eq!(refused(&order), [3, 4, 6]);
    assert_eq!(order.captures, [1, 2]);
}

#[test]
fn default_stream_is_refused_while_a_blocking_stream_is_captured() {
    let order = order_of(
        "s3 = default 0\ns4 = blocking 0\ncapture s0\nquery s3\ns3 wait s0\ns3 wait s1\ns4 wait s0\nquery s3\ns1 wait s3\n\
         s3 record e0\nquery s1\nend s0\nquery s3\n",
    );
    assert_eq!(refused(&order), [4, 7, 8, 9]);
}

#[test]
fn waits_without_a_record_are_lost() {
    let lost = |text| lost_waits(&order_of(text));
    let wait = |wait: usize, record: Option<usize>| {
        BTreeSet::from([LostWait { wait: wait + 5, record: record.map(|record| record + 5) }])
    };
    assert_eq!(lost("s0 wait e0\n"), wait(0, None));
    assert_eq!(lost("s0 wait e0\ns1 record e0\n"), wait(0, Some(1)));
    assert_eq!(lost("s0 wait e0\ns1 record e0\ns0 wait e0\n"), BTreeSet::new());
    assert_eq!(lost("s0 wait e0\ns0 record e0\n"), BTreeSet::new());
    assert_eq!(lost("s0 wait e0\ns1 wait s0\ns1 record e0\n"), BTreeSet::new());
    assert_eq!(lost("s0 wait e0\nsync s0\ns1 record e0\n"), BTreeSet::new());
    assert_eq!(lost("s0 wait e0\ns1 record e0\nsync s0\n"), wait(0, Some(1)));
    // In a capture, and about one.
    assert_eq!(lost("capture s0\ns0 wait e0\nend s0\ns1 record e0\n"), wait(1, Some(3)));
    assert_eq!(lost("capture s0\ns0 wait e0\nend s0\ns0 record e0\n"), BTreeSet::new());
    assert_eq!(lost("s1 wait e0\ncapture s0\ns0 record e0\ns1 wait e0\nend s0\n"), BTreeSet::new());
    assert_eq!(lost("s1 wait e0\ncapture s0\ns0 record e0\nend s0\n"), wait(0, Some(2)));
}

#[test]
fn programs_that_captures_do_not_allow_are_rejected() {
    for (text, why) in [
        ("capture s0\n", "the capture is never ended"),
        ("end s0\n", "no capture has begun on the stream"),
        ("capture s0\ns1 wait s0\nend s1\nend s0\n", "no capture has begun on the stream"),
        ("capture s0\ncapture s0\nend s0\n", "the stream is in a capture"),
        ("s3 = default 0\ncapture s3\nend s3\n", "the default stream cannot be captured"),
        ("capture s0\ns0 gate g0\nend s0\n", "a gate cannot be captured"),
        ("capture s0\ns1 fork s0\nend s0\n", "all branches are refused"),
        (
            "s3 = default 0\ns4 = blocking 0\ncapture s4\ne1 = record s3\nend s4\n",
            "while a blocking stream is captured",
        ),
    ] {
        let program = format!("{BEGIN}{text}").parse().expect("a program");
        let error = check(&program, &LIMITS).expect_err(text).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
    let program = "s0 = stream 0\ncapture s0\nend s0\n".parse().expect("a program");
    let error = check(&program, &GPU_LIMITS).expect_err("no captures").to_string();
    assert!(error.contains("captures are only for backends that have them"), "{error}");
}
