//! Target `required`: `GPU_STREAM_REQUIRE`, and the names of backends.

use gpu_stream_conformance::{Required, Verdict};
use gpu_stream_core::BackendKind;

const OWN: BackendKind = BackendKind::Other("mine");
const TESTED: [BackendKind; 4] = [BackendKind::Host, BackendKind::Cuda, BackendKind::Hip, OWN];

/// Returns the backend with this name or alias.
fn backend_of(item: &str) -> Option<BackendKind> {
    match item {
        "host" | "cpu" => Some(BackendKind::Host),
        "cuda" => Some(BackendKind::Cuda),
        "hip" | "rocm" => Some(BackendKind::Hip),
        "mine" => Some(OWN),
        _ => None,
    }
}

/// Parses one item: a second implementation. Numbers are as Rust parses them, with an optional plus sign.
fn expected(item: &str) -> Option<(BackendKind, u32)> {
    match item.split_once(':') {
        None => Some((backend_of(item)?, 1)),
        Some((name, number)) => {
            let number: u32 = number.parse().ok()?;
            if number == 0 { None } else { Some((backend_of(name)?, number)) }
        }
    }
}

/// Parses a list of required backends.
pub fn target(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let items: Vec<_> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let expected_items: Option<Vec<_>> = items.iter().map(|item| expected(item)).collect();
    match (Required::parse(&text, &TESTED), expected_items) {
        (Ok(required), Some(expected_items)) => {
            for kind in TESTED {
                let devices =
                    expected_items.iter().filter(|(one, _)| *one == kind).map(|(_, n)| *n).max();
                assert_eq!(required.contains(kind), devices.is_some(), "{text:?}");
                for count in [1, 2, 3, u32::MAX] {
                    let skip = || Err(Verdict::needs_devices(count));
                    let fails = required.apply(kind, skip()).is_err_and(|v| v.is_failed());
                    assert_eq!(fails, devices.is_some_and(|n| n >= count), "{text:?} and {count}");
                }
            }
        }
        (Err(error), None) => {
            let error = error.to_string();
            let wrong = items.iter().find(|item| expected(item).is_none()).expect("one is wrong");
            assert!(error.contains(&format!("{wrong:?}")), "{wrong:?} is not in {error:?}");
            assert!(error.contains("mine") && error.contains("GPU_STREAM_REQUIRE"), "{error:?}");
        }
        (parsed, expected_items) => {
            panic!("{text:?} was parsed as {parsed:?} instead of {expected_items:?}")
        }
    }
    for item in items {
        let known: Option<BackendKind> = item.parse().ok();
        assert_eq!(known, backend_of(item).filter(|kind| *kind != OWN));
        if let Some(kind) = known {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }
}
