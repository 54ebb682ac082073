//! What the scripts of peers say: a line of JSON each.

use gpu_stream_bench::{Job, script};
use serde_json::Value;

/// A line, taken for a greeting and for an answer.
pub fn target(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    let (greeting, answer) = (script::greeting(&line), script::answer(&line));
    // One that has a number in a field of no interest that is too large for serde's value.
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
            let off = (time.as_secs_f64() * 1e9 - ns).abs();
            assert!(ns >= 0.0 && off <= 1.0 + ns * 1e-9, "{line:?} was read as {time:?}");
            assert!(field("error").is_none_or(Value::is_null), "{line:?} tells an error");
        }
        Err(reason) => {
            let told = field("error").and_then(Value::as_str);
            assert!(told == Some(&*reason) || reason.contains(&format!("{line:?}")), "{reason:?}");
        }
    }
}
