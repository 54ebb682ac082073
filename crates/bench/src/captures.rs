//! What each library's calls do to a capture of another thread: [`beside_capture`].

use std::sync::mpsc::channel;
use std::thread;

use crate::contenders;
use crate::report::BesideCapture;
use crate::{Bare, BenchFixture, BenchStreams, ContenderKind, Failed, Job};

/// The calls that are made beside the capture. None of them concerns the captured stream.
pub const JOBS: [Job; 5] =
    [Job::WrapUnchecked, Job::Query, Job::Synchronize, Job::EventQuery, Job::EventSynchronize];

/// Makes one call of each library on an idle stream, while another thread captures a stream in the mode *global*.
/// Returns what the call answered, and how the capture ended. Blocks until all calls are made.
///
/// The capture begins and ends by the bare driver's calls, and captures nothing. Each call has a capture of its own.
///
/// # Errors
/// The error text if a capture cannot begin.
pub fn beside_capture<F: BenchFixture>(
    streams: BenchStreams<'_, F>,
) -> Result<Vec<BesideCapture>, String> {
    let fixture = streams.fixture;
    let Some(bare) = fixture.bare() else { return Ok(Vec::new()) };
    if fixture.skip_reason(Job::CaptureStatus).is_some() {
        // Such a driver has no captures.
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for job in JOBS.into_iter().filter(|job| fixture.skip_reason(*job).is_none()) {
        for (contender, mut call) in contenders::all(job, streams) {
            if matches!(contender, ContenderKind::ObjectSafe | ContenderKind::Kept) {
                continue;
            }
            streams.settle()?;
            let captured = fixture.foreign()?;
            let (answer, capture) = while_captured(fixture, bare, &captured, || call(1))?;
            found.push(BesideCapture {
                contender,
                job,
                error: answer.err(),
                capture_error: capture.err().map(|failed| failed.to_string()),
            });
        }
    }
    Ok(found)
}

/// Makes `call` while another thread captures a stream. Returns the answer, and that of the capture's end.
///
/// # Errors
/// The error text if the capture cannot begin.
fn while_captured<F: BenchFixture, T>(
    fixture: &F,
    bare: &F::Bare,
    captured: &F::Foreign,
    call: impl FnOnce() -> T,
) -> Result<(T, Result<(), Failed>), String> {
    let (begun, has_begun) = channel();
    let (end, may_end) = channel::<()>();
    thread::scope(|scope| {
        // The thread that begins a capture in the mode *global* must also end it.
        let capturing = scope.spawn(move || {
            let answer = fixture.enter_thread().and_then(|()| bare.begin_capture(captured));
            let is_capturing = answer.is_ok();
            // Fails only if the other thread has panicked, and then the capture ends all the same.
            let _ = begun.send(answer);
            // Returns when the sender is dropped.
            let _ = may_end.recv();
            if is_capturing { bare.end_capture(captured) } else { Ok(()) }
        });
        has_begun.recv().map_err(|_| "the capturing thread has ended")??;
        let answer = call();
        drop(end);
        let ended = capturing.join().map_err(|_| "the capturing thread has panicked")?;
        Ok((answer, ended))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BenchStream;
    use crate::fake::FakeFixture;

    #[test]
    fn each_call_has_a_capture_of_its_own() {
        for (failing, is_broken) in [(None, false), (Some("end_capture"), true)] {
            let fixture = FakeFixture::new(failing);
            let two: Vec<_> = (0..2).map(|_| BenchStream::new(&fixture).unwrap()).collect();
            let (main, other) = (&two[0], &two[1]);
            let streams = BenchStreams { fixture: &fixture, main, other, branches: &[] };
            let found = beside_capture(streams).unwrap();
            let counts = fixture.bare.take();
            assert_eq!(counts["begin_capture"], found.len() as u64);
            assert_eq!(counts["end_capture"], found.len() as u64);
            for one in &found {
                assert!(one.error.is_none(), "{one:?}");
                assert_eq!(one.capture_error.is_some(), is_broken, "{one:?}");
            }
            for job in JOBS {
                let has = |kind| found.iter().any(|one| one.job == job && one.contender == kind);
                assert!(has(ContenderKind::Bare) && has(ContenderKind::Ours), "{}", job.name());
            }
        }
    }

    #[test]
    fn capture_that_cannot_begin_is_an_error() {
        let fixture = FakeFixture::new(Some("begin_capture"));
        let one = BenchStream::new(&fixture).unwrap();
        let streams = BenchStreams { fixture: &fixture, main: &one, other: &one, branches: &[] };
        assert_eq!(beside_capture(streams).unwrap_err(), "begin_capture answered 700");
    }
}
