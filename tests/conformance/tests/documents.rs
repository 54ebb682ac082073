//! The documents of the repository match the suite.

use gpu_stream_conformance::rules;

#[test]
fn rules_page_matches_the_suite() {
    let page = include_str!("../../../docs/rules.md");
    let written: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let expected: Vec<String> =
        rules::ALL.iter().map(|rule| format!("| {} | {} |", rule.id, rule.text)).collect();
    assert_eq!(written, expected);
}
