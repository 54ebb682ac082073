//! What a run says: its samples, what grew, and what was found wrong.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Plan;

/// What was measured while all threads stood still and no stream had work.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// After which part; 0 is before the first, when threads and streams are there.
    pub part: u32,
    /// Calls of the contract made so far.
    pub operations: u64,
    /// Seconds since the start.
    pub seconds: f64,
    /// Bytes in use of Rust's heap.
    pub heap_bytes: u64,
    /// Allocations in use of Rust's heap.
    pub heap_blocks: u64,
    /// Allocations ever made.
    pub allocations: u64,
    /// Bytes of the process that are resident.
    pub resident_bytes: Option<u64>,
    /// Threads of the process.
    pub threads: Option<u64>,
    /// Events that the threads have asked for with `new_event`.
    pub events_asked_for: u64,
    /// Events that the driver was asked to make, if somebody counts.
    pub events_created: Option<u64>,
    /// Events that the driver was asked to destroy, likewise.
    pub events_destroyed: Option<u64>,
    /// Closures that ran.
    pub closures: u64,
    /// Owners of foreign streams that were made.
    pub owners: u64,
}

impl Sample {
    /// Events that the driver has.
    pub fn events_alive(&self) -> Option<u64> {
        Some(self.events_created?.saturating_sub(self.events_destroyed?))
    }

    /// Events that were made although nobody asked for one: for `record_event` and for waits.
    pub fn events_besides(&self) -> Option<u64> {
        Some(self.events_created?.saturating_sub(self.events_asked_for))
    }
}

/// How much may be more at the end than after the first part, by when pools and queues have come to
/// their sizes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of Rust's heap.
    pub heap_bytes: u64,
    /// Resident bytes: the allocators of eight threads keep free memory for themselves.
    pub resident_bytes: u64,
    /// Events that the driver has, and events made that nobody asked for.
    pub events: u64,
    /// Threads: a driver may start some when it needs them.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { heap_bytes: 128 << 10, resident_bytes: 4 << 20, events: 64, threads: 4 }
    }
}

/// What a run says.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// The version of its driver.
    pub driver: Option<String>,
    /// The library, as it was loaded.
    pub library: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// How many threads.
    pub threads: usize,
    /// The seed.
    pub seed: u64,
    /// From the start to the end, one more than there were parts.
    pub samples: Vec<Sample>,
    /// Bytes in use of Rust's heap when all streams and events were gone.
    pub after: Option<u64>,
    /// What was found wrong.
    pub findings: Vec<String>,
}

impl Report {
    pub(crate) fn new(backend: &str, plan: &Plan) -> Self {
        Report {
            backend: backend.to_owned(),
            driver: None,
            library: None,
            device: None,
            threads: plan.threads,
            seed: plan.seed,
            samples: Vec::new(),
            after: None,
            findings: Vec::new(),
        }
    }

    /// What grew from the end of the first part to that of the last, beyond the limits.
    pub fn growth(&self, limits: Limits) -> Vec<String> {
        let (Some(first), Some(last)) = (self.samples.get(1), self.samples.last()) else {
            return vec!["there are no samples, so nothing is known".into()];
        };
        let mut grown = Vec::new();
        let mut compare = |what: &str, first: Option<u64>, last: Option<u64>, limit: u64| {
            if let (Some(first), Some(last)) = (first, last)
                && last > first.saturating_add(limit)
            {
                grown.push(format!("{what}: {first} after the first part, {last} after the last"));
            }
        };
        let bytes = |sample: &Sample| Some(sample.heap_bytes);
        compare("bytes of the heap", bytes(first), bytes(last), limits.heap_bytes);
        let (one, other) = (first.resident_bytes, last.resident_bytes);
        compare("resident bytes", one, other, limits.resident_bytes);
        compare("threads", first.threads, last.threads, limits.threads);
        compare("events alive", first.events_alive(), last.events_alive(), limits.events);
        let (one, other) = (first.events_besides(), last.events_besides());
        compare("events that nobody asked for", one, other, limits.events);
        grown
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{error}"))
    }

    /// As a table in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("Backend {}", self.backend);
        let facts = [&self.driver, &self.library, &self.device];
        facts.into_iter().flatten().for_each(|fact| text.push_str(&format!(", {fact}")));
        let _ = writeln!(text, "; {} threads, seed {}.\n", self.threads, self.seed);
        text.push_str(
            "| calls | closures | owners | heap, bytes | heap, blocks | allocations made | resident, KiB | \
             threads | events alive | events asked for | events made besides |\n\
             |--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for sample in &self.samples {
            let number =
                |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                sample.operations,
                sample.closures,
                sample.owners,
                sample.heap_bytes,
                sample.heap_blocks,
                sample.allocations,
                number(sample.resident_bytes.map(|bytes| bytes / 1024)),
                number(sample.threads),
                number(sample.events_alive()),
                sample.events_asked_for,
                number(sample.events_besides()),
            );
        }
        if let Some(after) = self.after {
            let _ =
                writeln!(text, "\nWhen all streams and events were gone: {after} bytes of heap.");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(samples: &[(u64, u64, Option<u64>)]) -> Report {
        let sample = |(part, &(heap_bytes, resident, created)): (u32, &_)| Sample {
            part,
            operations: 0,
            seconds: 0.0,
            heap_bytes,
            heap_blocks: 0,
            allocations: 0,
            resident_bytes: Some(resident),
            threads: Some(9),
            events_asked_for: 10,
            events_created: created,
            events_destroyed: created.map(|_| 10),
            closures: 0,
            owners: 0,
        };
        let samples = (0..).zip(samples).map(sample).collect();
        Report { samples, ..Report::new("host", &Plan::new(0)) }
    }

    fn grows(samples: &[(u64, u64, Option<u64>)]) -> Vec<String> {
        report(samples).growth(Limits {
            heap_bytes: 10,
            resident_bytes: 100,
            events: 5,
            threads: 0,
        })
    }

    #[test]
    fn what_grows_is_named() {
        let flat = [(0, 0, Some(0)), (50, 500, Some(40)), (60, 600, Some(45))];
        assert_eq!(grows(&flat), Vec::<String>::new());
        let heap = grows(&[flat[0], flat[1], (61, 600, Some(45))]);
        assert_eq!(heap, ["bytes of the heap: 50 after the first part, 61 after the last"]);
        assert!(grows(&[flat[0], flat[1], (60, 601, None)])[0].starts_with("resident"));
        let events = grows(&[flat[0], flat[1], (60, 600, Some(46))]);
        assert!(events[0].starts_with("events alive") && events.len() == 2, "{events:?}");
        assert_eq!(grows(&[flat[0]]).len(), 1, "nothing is known");
    }
}
