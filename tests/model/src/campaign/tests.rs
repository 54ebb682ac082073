//! Tests of campaigns, and of the shrinking of programs.

use super::*;

#[test]
fn variables_select_programs() {
    let parse = |count, seed| Campaign::parse(10, count, seed);
    assert_eq!(parse(None, None), Ok(Campaign { seed: 1, first: 0, programs: 10 }));
    let both = parse(Some("3"), Some("7:12"));
    assert_eq!(both, Ok(Campaign { seed: 7, first: 12, programs: 3 }));
    assert!(parse(Some("many"), None).unwrap_err().to_string().contains("many"));
    for wrong in ["x", "7:", ":7", "7:x", "-1"] {
        let error = parse(None, Some(wrong)).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[test]
fn programs_are_valid_varied_and_reproducible() {
    let campaign = Campaign::new(0);
    let mut texts = std::collections::BTreeSet::new();
    for number in 0..300 {
        let program = campaign.program(number, &GPU_LIMITS).unwrap().current();
        let again = campaign.program(number, &GPU_LIMITS).unwrap().current();
        assert_eq!(program, again);
        check(&program, &GPU_LIMITS).unwrap_or_else(|error| panic!("{error}\n{program}"));
        let read: Program = program.to_string().parse().unwrap();
        assert_eq!(read, program);
        texts.insert(program.to_string());
    }
    assert!(texts.len() > 290, "only {} of 300 programs differ", texts.len());
}

#[test]
fn shrinking_keeps_the_failure_when_the_backend_becomes_unusable() {
    let failure = |message: &str| Failure { statement: None, message: message.into() };
    let tree = || Campaign::new(0).program(0, &GPU_LIMITS).unwrap();
    let first = || (tree().current(), failure("a wrong number"));
    let mut attempts = 0;
    let found = shrink(tree(), failure("a wrong number"), 1_000, |_| {
        attempts += 1;
        if attempts > 1 { Attempt::BackendUnusable } else { Attempt::Passes }
    });
    assert_eq!((found, attempts), (first(), 2));
    let found =
        shrink(tree(), failure("a wrong number"), 1_000, |order| match order.program.0.len() {
            0..3 => Attempt::BackendUnusable,
            _ => Attempt::Fails(failure("another wrong number")),
        });
    assert!(found.0.0.len() >= 3 && found.1.message == "another wrong number", "{found:?}");
}

#[test]
fn shrinking_reduces_a_program_to_what_fails() {
    // Stands for a backend on which the second wait of a stream always fails.
    let fails = |program: &Program| {
        let text = program.to_string();
        text.lines().filter(|line| line.starts_with("s1 wait ")).count() > 1
    };
    let campaign = Campaign::new(0);
    let found = (0..1_000).find_map(|number| {
        let tree = campaign.program(number, &GPU_LIMITS).unwrap();
        (fails(&tree.current()) && tree.current().0.len() > 20).then_some(tree)
    });
    let mut tree = found.expect("a program that fails");
    let mut best = tree.current();
    let mut more = tree.simplify();
    while more {
        let current = tree.current();
        assert!(current.0.len() <= best.0.len());
        check(&current, &GPU_LIMITS).unwrap();
        more = if fails(&current) {
            best = current;
            tree.simplify()
        } else {
            tree.complicate()
        };
    }
    // A stream, one or two events, and the waits.
    assert!(best.0.len() <= 5, "{best}");
    assert!(fails(&best));
}
