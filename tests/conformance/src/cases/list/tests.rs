//! The list matches the cases.

use super::*;

/// Returns the name and the doc comment of every case in an area's source.
fn documented(source: &str) -> Vec<(&str, String)> {
    let (mut found, mut about) = (Vec::new(), Vec::new());
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("/// ") {
            about.push(text);
            continue;
        }
        if let Some(name) = line.strip_prefix("pub fn ").and_then(|rest| rest.split('<').next()) {
            found.push((name, about.join(" ")));
        }
        about.clear();
    }
    found
}

/// Returns the doc comment of a case: "Checks that", and its description with a small first letter.
fn doc_comment(about: &str) -> String {
    let (first, rest) = about.split_at(about.chars().next().map_or(0, char::len_utf8));
    format!("Checks that {}{rest}", first.to_lowercase())
}

#[test]
fn every_case_is_listed_with_its_documentation() {
    for (area, source) in SOURCES {
        let listed = ALL.iter().filter(|case| case.area == *area);
        let listed: Vec<_> = listed.map(|case| (case.name, doc_comment(case.about))).collect();
        assert_eq!(documented(source), listed, "in {area}.rs and in list.rs");
    }
}

#[test]
fn names_are_unique_and_every_case_has_a_rule() {
    for (index, case) in ALL.iter().enumerate() {
        assert!(ALL[..index].iter().all(|other| other.name != case.name), "{}", case.name);
        assert!(!case.rules.is_empty(), "{} checks no rule", case.name);
    }
}
