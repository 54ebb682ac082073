//! Target `peers`: JSON lines of peer scripts.

use gpu_stream_bench::{Job, script};
use serde_json::Value;

/// Parses a line as a greeting and as an answer.
pub fn target(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let (greeting, answer) = (script::greeting(&line), script::answer(&line));
    // A number in an ignored field can be too large for `Value`, so either parse can succeed here.
    let Ok(json) = serde_json::from_str::<Value>(&line) else {
        for reason in [greeting.err(), answer.err()].into_iter().flatten() {
            assert!(!reason.is_empty());
        }
        return;
    };
    let field = |name: &str| json.get(name);

    match greeting {
        Ok(greeting) => {
            assert_eq!(field("peer").and_then(Value::as_str), Some(&*greeting.peer), "{line:?}");
            let missing = field("missing").filter(|missing| !missing.is_null());
            assert_eq!(missing.and_then(Value::as_str), greeting.missing.as_deref(), "{line:?}");
            for name in &greeting.operations {
                assert!(Job::of_name(name).is_none_or(|job| job.name() == name));
            }
        }
        Err(reason) => assert!(reason.contains(&format!("{line:?}")), "{reason:?}"),
    }

    match answer {
        Ok(time) => {
            let ns = field("ns").and_then(Value::as_f64).expect("a time is a number");
            let error = (time.as_secs_f64() * 1e9 - ns).abs();
            assert!(ns >= 0.0 && error <= 1.0 + ns * 1e-9, "{line:?} was read as {time:?}");
            assert!(field("error").is_none_or(Value::is_null), "{line:?} contains an error");
        }
        Err(reason) => {
            let message = field("error").and_then(Value::as_str);
            assert!(
                message == Some(&*reason) || reason.contains(&format!("{line:?}")),
                "{reason:?}"
            );
        }
    }
}
