//! What the process of a test tells the test that started it: [`Message`], one line of JSON on stdout.

use std::io::Write;

use gpu_stream::BackendInfo;
use gpu_stream_conformance::Verdict;
use serde::{Deserialize, Serialize};

use crate::TestResult;

/// A line that the process of a test writes, after a word that no output of the test has.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub enum Message {
    /// The driver works, and the test begins.
    Ready(Ready),
    /// The test is over.
    Over(Over),
}

/// The backend that a test runs on.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Ready {
    /// The version of the driver or runtime.
    pub version: String,
    /// The file of the library.
    pub library: Option<String>,
    /// The devices.
    pub devices: Vec<Device>,
}

/// A device of a backend.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Device {
    /// The device, as in `cuda:0`.
    pub device: String,
    /// Its name.
    pub name: String,
}

/// The outcome of a test.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct Over {
    /// `passed`, `failed` or `skipped`.
    pub outcome: String,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// `true` for a skip that no machine would change.
    pub inapplicable: bool,
    /// The duration, without the start of the process and the driver.
    pub seconds: f64,
}

impl Ready {
    /// Converts the description of a backend.
    pub fn of(info: &BackendInfo) -> Self {
        let devices = info
            .devices
            .iter()
            .map(|device| Device { device: device.device.to_string(), name: device.name.clone() });
        let (version, library) = (info.version.clone(), info.library.clone());
        Ready { version, library, devices: devices.collect() }
    }
}

impl Over {
    /// Converts the outcome of a test.
    pub fn of(outcome: &TestResult, seconds: f64) -> Self {
        let (word, inapplicable) = match outcome {
            Ok(()) => ("passed", false),
            Err(Verdict::Failed(_)) => ("failed", false),
            Err(Verdict::Skipped(skip)) => ("skipped", skip.is_by_nature()),
        };
        let reason = outcome.as_ref().err().map(|verdict| verdict.reason().to_owned());
        Over { outcome: word.into(), reason, inapplicable, seconds }
    }

    /// Returns the outcome. A word that is not known is a failure.
    pub fn result(&self) -> TestResult {
        let reason = self.reason.clone().unwrap_or_default();
        match (self.outcome.as_str(), self.inapplicable) {
            ("passed", _) => Ok(()),
            ("skipped", true) => Err(Verdict::inapplicable(reason)),
            ("skipped", false) => Err(Verdict::skipped(reason)),
            _ => Err(Verdict::Failed(reason)),
        }
    }
}

impl Message {
    /// Writes the line to stdout, past the capture of libtest. Does nothing if `word` is empty.
    pub fn send(&self, word: &str) {
        if word.is_empty() {
            return;
        }
        // The output of the test may have ended within a line.
        if let Ok(json) = serde_json::to_string(self) {
            let mut stdout = std::io::stdout().lock();
            // Without a parent nothing is lost: its end ends this process.
            let _ = stdout.write_all(format!("\n{word} {json}\n").as_bytes());
            let _ = stdout.flush();
        }
    }

    /// Parses a line. Returns `None` if it is output of the test.
    pub fn parse(line: &[u8], word: &str) -> Option<Self> {
        let json = line.strip_prefix(word.as_bytes())?.strip_prefix(b" ")?;
        serde_json::from_slice(json).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_arrives_as_it_was_sent() {
        for outcome in [
            Ok(()),
            Err(Verdict::Failed("a\n\"b\" 😀".into())),
            Err(Verdict::skipped("no GPU")),
            Err(Verdict::inapplicable("no graphs")),
        ] {
            let message = Message::Over(Over::of(&outcome, 0.5));
            let line = format!("word {}\n", serde_json::to_string(&message).unwrap());
            let Some(Message::Over(over)) = Message::parse(line.as_bytes(), "word") else {
                panic!("{line}");
            };
            assert_eq!(over.result(), outcome);
            assert_eq!(Message::parse(line.as_bytes(), "another"), None);
        }
        assert_eq!(Message::parse(b"output of a test", "word"), None);
        let unknown = Over { outcome: "perhaps".into(), ..Over::of(&Ok(()), 0.0) };
        assert!(unknown.result().unwrap_err().is_failed());
    }
}
