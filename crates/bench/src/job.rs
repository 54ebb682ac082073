//! The jobs that are measured: [`Job`].

use serde::{Deserialize, Serialize};

/// The number of branches in a fork or a join.
pub const BRANCHES: usize = 16;

/// The number of branches that the library function of [`Job::ShortLived`] forks to.
pub const SIDES: usize = 4;

macro_rules! jobs {
    ($($(#[$doc:meta])* $job:ident = $name:literal $title:literal,)*) => {
        /// A task that each contender does with its own library.
        ///
        /// All streams are idle at the start, and have had work before.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Job {
            $($(#[$doc])* #[serde(rename = $name)] $job,)*
        }

        impl Job {
            /// All jobs, in the order of the reports.
            pub const ALL: &'static [Job] = &[$(Job::$job),*];

            /// Returns the name that `--operation`, the reports and the peer scripts use.
            pub const fn name(self) -> &'static str {
                match self { $(Job::$job => $name,)* }
            }

            /// Returns a short description for readers.
            pub const fn title(self) -> &'static str {
                match self { $(Job::$job => $title,)* }
            }
        }
    };
}

jobs! {
    /// `stream_from_raw` with a device, and the drop of the wrapper.
    WrapChecked = "wrap_checked" "wrap a handle, device checked",
    /// `stream_from_raw_unchecked`, and the drop of the wrapper.
    WrapUnchecked = "wrap_unchecked" "wrap a handle, device not checked",
    /// `Stream::query`.
    Query = "query" "query an idle stream",
    /// `Stream::synchronize`.
    Synchronize = "synchronize" "synchronize an idle stream",
    /// `Stream::record`.
    Record = "record" "record an existing event",
    /// `Stream::record_event`, and the drop of the event.
    RecordEvent = "record_event" "record a new event",
    /// `Event::query`.
    EventQuery = "event_query" "query a complete event",
    /// `Event::synchronize`.
    EventSynchronize = "event_synchronize" "synchronize a complete event",
    /// `Stream::wait_event`.
    WaitEvent = "wait_event" "make a stream wait for an event",
    /// `Stream::wait_stream`.
    WaitStream = "wait_stream" "make a stream wait for another",
    /// `Stream::fork`.
    Fork = "fork_16" "make 16 streams wait for one",
    /// `Stream::join`.
    Join = "join_16" "make one stream wait for 16",
    /// `Backend::new_stream`, and the drop of the stream.
    NewStream = "new_stream" "create and destroy a stream",
    /// `Backend::new_event`, and the drop of the event.
    NewEvent = "new_event" "create and destroy an event",
    /// A library function that takes a stream handle and checks its device.
    ///
    /// It wraps the handle, makes a stream of its own wait for it, forks to four streams and joins
    /// them, and makes the caller's stream wait for the result.
    ShortLivedChecked = "short_lived_checked" "wrap (checked), wait, fork 4, join 4, wait",
    /// The library function of [`Job::ShortLivedChecked`] without the device check.
    ShortLived = "short_lived" "wrap (not checked), wait, fork 4, join 4, wait",
    /// `Stream::capture_status`.
    CaptureStatus = "capture_status" "get a stream's capture status",
    /// `Stream::priority`.
    Priority = "priority" "get a stream's priority",
    /// `Stream::id`.
    Id = "id" "get a stream's id",
    /// `Event::elapsed_since`.
    ElapsedSince = "elapsed_since" "get the time between two events",
    /// `Stream::launch_host_func`, and a `Stream::synchronize` that waits for the function.
    HostFunc = "host_func" "run a closure on a stream and wait for it",
}

impl Job {
    /// Returns the job with this name. `None` if there is no such job.
    pub fn of_name(name: &str) -> Option<Job> {
        Job::ALL.iter().copied().find(|job| job.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_are_unique_and_parse_back() {
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
