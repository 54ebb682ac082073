//! The documents in the repository say what the suite says.

use gpu_stream_conformance::rules;

#[test]
fn the_page_of_rules_is_the_suites() {
    let page = include_str!("../../../docs/rules.md");
    let said: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let meant: Vec<String> =
        rules::ALL.iter().map(|rule| format!("| {} | {} |", rule.id, rule.text)).collect();
    assert_eq!(said, meant);
}
