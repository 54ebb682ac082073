//! Result of a run: [`Report`], its [`Sample`]s, and the [`Limits`] of growth.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Plan;

/// Measurement while all threads are paused and no stream has work.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Number of the part before it. 0 is before the first part, when threads and streams exist.
    pub part: u32,
    /// Calls so far.
    pub operations: u64,
    /// Seconds since the start.
    pub seconds: f64,
    /// Bytes in use on Rust's heap.
    pub heap_bytes: u64,
    /// Allocations in use on Rust's heap.
    pub heap_blocks: u64,
    /// Allocations since the start of the process.
    pub allocations: u64,
    /// Resident bytes of the process.
    pub resident_bytes: Option<u64>,
    /// Number of threads of the process.
    pub threads: Option<u64>,
    /// Events that the threads created with `new_event`.
    pub events_requested: u64,
    /// Events that the driver created, if its calls are counted.
    pub events_created: Option<u64>,
    /// Events that the driver destroyed, if its calls are counted.
    pub events_destroyed: Option<u64>,
    /// Closures that ran.
    pub closures: u64,
    /// Owners of foreign streams that were created.
    pub owners: u64,
}

impl Sample {
    /// Returns the number of live events of the driver.
    pub fn events_alive(&self) -> Option<u64> {
        Some(self.events_created?.saturating_sub(self.events_destroyed?))
    }

    /// Returns the number of events created internally, for `record_event` and for waits.
    pub fn events_internal(&self) -> Option<u64> {
        Some(self.events_created?.saturating_sub(self.events_requested))
    }
}

/// Allowed growth between the end of the first part and the end of the run.
///
/// By the end of the first part, pools and queues have reached their sizes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of Rust's heap.
    pub heap_bytes: u64,
    /// Resident bytes. The allocator caches free memory for each of the eight threads.
    pub resident_bytes: u64,
    /// Live events of the driver, and events created internally.
    pub events: u64,
    /// Threads. A driver can start some on demand.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { heap_bytes: 128 << 10, resident_bytes: 4 << 20, events: 64, threads: 4 }
    }
}

/// Result of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The backend.
    pub backend: String,
    /// The version of its driver.
    pub driver: Option<String>,
    /// The library that the backend loaded.
    pub library: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// Number of threads.
    pub threads: usize,
    /// The seed.
    pub seed: u64,
    /// Samples in order of time: one before the first part, and one after each part.
    pub samples: Vec<Sample>,
    /// Bytes in use on Rust's heap after all streams and events were dropped.
    pub heap_after_drop: Option<u64>,
    /// Findings, one text each.
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
            heap_after_drop: None,
            findings: Vec::new(),
        }
    }

    /// Returns one text for each measure that grew beyond its limit after the first part.
    pub fn growth(&self, limits: Limits) -> Vec<String> {
        let (Some(first), Some(last)) = (self.samples.get(1), self.samples.last()) else {
            return vec!["there are too few samples to compare; run at least one part".into()];
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
        let (one, other) = (first.events_internal(), last.events_internal());
        compare("events created internally", one, other, limits.events);
        grown
    }

    /// Formats the report as JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_else(|error| format!("{error}"))
    }

    /// Formats the report as a Markdown table.
    pub fn markdown(&self) -> String {
        let mut text = format!("Backend {}", self.backend);
        let facts = [&self.driver, &self.library, &self.device];
        facts.into_iter().flatten().for_each(|fact| text.push_str(&format!(", {fact}")));
        let _ = writeln!(text, "; {} threads, seed {}.\n", self.threads, self.seed);
        text.push_str(
            "| calls | closures | owners | heap, bytes | heap, blocks | allocations made | resident, KiB | \
             threads | events alive | events requested | events created internally |\n\
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
                sample.events_requested,
                number(sample.events_internal()),
            );
        }
        if let Some(after) = self.heap_after_drop {
            let _ = writeln!(
                text,
                "\nAfter all streams and events were dropped: {after} bytes of heap."
            );
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
            events_requested: 10,
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
    fn growth_beyond_a_limit_is_reported_by_name() {
        let flat = [(0, 0, Some(0)), (50, 500, Some(40)), (60, 600, Some(45))];
        assert_eq!(grows(&flat), Vec::<String>::new());
        let heap = grows(&[flat[0], flat[1], (61, 600, Some(45))]);
        assert_eq!(heap, ["bytes of the heap: 50 after the first part, 61 after the last"]);
        assert!(grows(&[flat[0], flat[1], (60, 601, None)])[0].starts_with("resident"));
        let events = grows(&[flat[0], flat[1], (60, 600, Some(46))]);
        assert!(events[0].starts_with("events alive") && events.len() == 2, "{events:?}");
        assert_eq!(grows(&[flat[0]]).len(), 1, "too few samples");
    }
}
