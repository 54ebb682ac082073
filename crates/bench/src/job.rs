//! The list of what is measured.

use serde::{Deserialize, Serialize};

/// Streams in a fork or a join.
pub const BRANCHES: usize = 16;

/// Streams that a library function forks to in [`Job::ShortLived`].
pub const SIDES: usize = 4;

macro_rules! jobs {
    ($($(#[$doc:meta])* $job:ident = $name:literal $title:literal,)*) => {
        /// Something that a program wants done, whoever does it. All streams are idle, and have had
        /// work before.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Job {
            $($(#[$doc])* #[serde(rename = $name)] $job,)*
        }

        impl Job {
            /// All of them, in the order in which reports list them.
            pub const ALL: &'static [Job] = &[$(Job::$job),*];

            /// The name, as `--operation`, the reports and the peers' scripts have it.
            pub const fn name(self) -> &'static str {
                match self { $(Job::$job => $name,)* }
            }

            /// What is done, in some words.
            pub const fn title(self) -> &'static str {
                match self { $(Job::$job => $title,)* }
            }
        }
    };
}

jobs! {
    /// `stream_from_raw` with a device, and the wrapper's end.
    WrapChecked = "wrap_checked" "wrap a handle, its device compared",
    /// `stream_from_raw_unchecked`, and the wrapper's end.
    WrapUnchecked = "wrap_unchecked" "wrap a handle, its device believed",
    /// `Stream::query`.
    Query = "query" "ask whether a stream is done",
    /// `Stream::synchronize`.
    Synchronize = "synchronize" "wait on the host for an idle stream",
    /// `Stream::record`.
    Record = "record" "record an event that there is",
    /// `Stream::record_event`, and the event's end.
    RecordEvent = "record_event" "record into a new event",
    /// `Event::query`.
    EventQuery = "event_query" "ask whether an event is complete",
    /// `Event::synchronize`.
    EventSynchronize = "event_synchronize" "wait on the host for a complete event",
    /// `Stream::wait_event`.
    WaitEvent = "wait_event" "let a stream wait for an event",
    /// `Stream::wait_stream`.
    WaitStream = "wait_stream" "let a stream wait for a stream",
    /// `Stream::fork`.
    Fork = "fork_16" "let 16 streams wait for one",
    /// `Stream::join`.
    Join = "join_16" "let one stream wait for 16",
    /// `Backend::new_stream`, and the stream's end.
    NewStream = "new_stream" "make and destroy a stream",
    /// `Backend::new_event`, and the event's end.
    NewEvent = "new_event" "make and destroy an event",
    /// A library's function: wraps the handle that it is given, with the device compared, lets a
    /// stream of its own wait for it, forks to four and joins them, lets the given stream wait for
    /// that, and returns.
    ShortLivedChecked = "short_lived_checked" "wrap (compared), wait, fork 4, join 4, wait",
    /// The same, with the device believed.
    ShortLived = "short_lived" "wrap (believed), wait, fork 4, join 4, wait",
    /// `Stream::capture_status`.
    CaptureStatus = "capture_status" "ask whether a stream is captured",
    /// `Stream::priority`.
    Priority = "priority" "ask for a stream's priority",
    /// `Stream::id`.
    Id = "id" "ask for a stream's number",
    /// `Event::elapsed_since`.
    ElapsedSince = "elapsed_since" "the time between two events",
    /// `Stream::launch_host_func`, and a `Stream::synchronize` that waits for it.
    HostFunc = "host_func" "run a closure on a stream, and wait for it",
}

impl Job {
    /// The job with this name.
    pub fn of_name(name: &str) -> Option<Job> {
        Job::ALL.iter().copied().find(|job| job.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_once_and_found() {
        for job in Job::ALL {
            assert_eq!(Job::of_name(job.name()), Some(*job));
            assert_eq!(serde_json::to_value(job).unwrap(), job.name());
            assert!(
                job.name()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            );
        }
        assert_eq!(Job::of_name("nothing"), None);
        assert!(Job::Fork.name().ends_with(&BRANCHES.to_string()));
    }
}
