//! Tests of the backend, its streams and its scopes, over the host.

use std::any::TypeId;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use gpu_stream_core::{
    Access, Backend, ErrorOf, EventOf, EventOptions, PerThread, RawStream, Region, Stream,
    StreamOf, StreamOptions,
};
use gpu_stream_host::Host;

use crate::{Checked, CheckedStream, Finding, FindingKind, Report};

type Result<T = ()> = std::result::Result<T, gpu_stream_host::HostError>;

/// The backend under test.
type Sut = Checked<Host>;

fn stream() -> Result<CheckedStream<Host>> {
    Sut::new_stream(Sut::device(0)?, StreamOptions::new())
}

/// Returns a region at an address of its own.
fn region() -> Region {
    static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
    Region::new("data", NEXT.fetch_add(16, Ordering::Relaxed), 16)
}

/// Submits a write and a read without an order.
fn race<S: Stream>(first: &S, second: &S) {
    let data = region();
    first.writes(&data);
    second.reads(&data);
}

fn kinds(report: &Report) -> Vec<FindingKind> {
    report.findings.iter().map(|finding| finding.kind).collect()
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[track_caller]
fn check_lines(finding: &Finding, first: u32, second: u32) {
    let site = finding.first.as_ref().expect("two calls make the mistake");
    for (place, line) in [(site.place, first), (finding.second.place, second)] {
        assert_eq!((place.file(), place.line()), (file!(), line), "{finding}");
    }
}

#[test]
fn scope_has_the_findings_of_threads_that_entered_it() -> Result {
    let (one, two) = (stream()?, stream()?);
    let ((), outer) = Sut::scope(|scope| {
        let ((), inner) = Sut::scope(|_| race(&one, &two));
        assert_eq!(kinds(&inner), [FindingKind::ReadAfterWrite]);
        thread::scope(|threads| {
            threads.spawn(|| {
                let _entered = scope.enter();
                let data = region();
                one.reads(&data);
                two.writes(&data);
            });
        });
        // Another thread's findings go into its own scope.
        let other = thread::scope(|threads| {
            let other = threads.spawn(|| Sut::scope(|_| race(&two, &one)).1);
            other.join().expect("the thread ends")
        });
        assert_eq!(kinds(&other), [FindingKind::ReadAfterWrite]);
    });
    assert_eq!(kinds(&outer), [FindingKind::WriteAfterRead]);
    Ok(())
}

#[test]
fn allowed_kinds_are_left_out_of_one_scope() -> Result {
    let (one, two) = (stream()?, stream()?);
    let ((), report) = Sut::scope(|scope| {
        scope.allow(FindingKind::ReadAfterWrite);
        race(&one, &two);
    });
    report.assert_empty();
    let ((), report) = Sut::scope(|_| race(&two, &one));
    assert_eq!(kinds(&report), [FindingKind::ReadAfterWrite]);
    Ok(())
}

#[test]
fn panic_passes_through_a_scope_and_ends_it() -> Result {
    let (one, two) = (stream()?, stream()?);
    let ((), report) = Sut::scope(|_| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            Sut::scope(|_| resume_unwind(Box::new(7_u32)));
        }));
        assert_eq!(panic.expect_err("it panics").downcast_ref(), Some(&7_u32));
        race(&one, &two);
    });
    assert_eq!(kinds(&report), [FindingKind::ReadAfterWrite]);
    Ok(())
}

#[test]
fn hook_is_called_outside_of_scopes_and_may_use_streams() -> Result {
    // A backend type of its own: other tests have no part in its findings.
    type Twice = Checked<Sut>;
    let stream = || Twice::new_stream(Twice::device(0)?, StreamOptions::new());
    let (one, two) = (stream()?, stream()?);
    let found: Arc<Mutex<Vec<FindingKind>>> = Arc::default();
    let (kept, other) = (Arc::clone(&found), two.clone());
    Twice::set_hook(Some(Arc::new(move |finding| {
        other.record_event().expect("the stream works");
        kept.lock().expect("no thread panics").push(finding.kind);
    })));
    race(&one, &two);
    let ((), scoped) = Twice::scope(|_| race(&two, &one));
    assert_eq!(scoped.findings.len(), 1);
    two.wait_event(&two.new_event(EventOptions::new())?)?;
    let report = Twice::report();
    let expected = [FindingKind::ReadAfterWrite, FindingKind::UnrecordedWait];
    assert_eq!(kinds(&report), expected);
    assert_eq!(*found.lock().expect("no thread panics"), expected);
    assert!(Twice::report().is_empty());
    Ok(())
}

#[test]
fn findings_have_the_places_of_generic_code_and_of_per_thread_streams() -> Result {
    let one = stream()?;
    let mine = Sut::per_thread_stream(Sut::device(0)?)?;
    let (data, mut lines) = (region(), (0, 0));
    let ((), report) = Sut::scope(|_| {
        fn writes<S: Stream>(stream: &S, data: &Region) -> u32 {
            stream.writes(data);
            line() - 1
        }
        lines = (writes(&one, &data), line() + 1);
        mine.reads(&data);
    });
    assert_eq!(kinds(&report), [FindingKind::ReadAfterWrite]);
    check_lines(&report.findings[0], lines.0, lines.1);
    Ok(())
}

/// A stream type of another crate, with what a backend author has to write and no more.
struct Wrapped<S>(S);

// SAFETY: every method forwards to the stream inside.
unsafe impl<S: Stream> Stream for Wrapped<S> {
    type Backend = S::Backend;

    fn raw(&self) -> <S::Backend as Backend>::RawStream {
        self.0.raw()
    }

    fn device(&self) -> gpu_stream_core::Device {
        self.0.device()
    }

    fn query(&self) -> std::result::Result<bool, ErrorOf<S>> {
        self.0.query()
    }

    fn synchronize(&self) -> std::result::Result<(), ErrorOf<S>> {
        self.0.synchronize()
    }

    fn record(&self, event: &EventOf<S>) -> std::result::Result<(), ErrorOf<S>> {
        self.0.record(event)
    }

    fn wait_event(&self, event: &EventOf<S>) -> std::result::Result<(), ErrorOf<S>> {
        self.0.wait_event(event)
    }

    fn reads(&self, region: &Region) {
        self.0.reads(region);
    }

    fn writes(&self, region: &Region) {
        self.0.writes(region);
    }
}

/// Checks that `order` orders the second stream after the first, and that the check sees it.
fn orders<A: Stream, B: Stream>(
    first: &A,
    second: &B,
    order: impl FnOnce(&A, &B) -> Result,
) -> Result {
    let ((), report) = Sut::scope(|_| {
        let data = region();
        first.writes(&data);
        second.reads(&data);
    });
    assert_eq!(kinds(&report), [FindingKind::ReadAfterWrite], "the streams have no order yet");
    let data = region();
    first.writes(&data);
    let (result, report) = Sut::scope(|_| {
        order(first, second)?;
        second.reads(&data);
        Ok(())
    });
    report.assert_empty();
    result
}

#[test]
fn waits_of_wrapped_and_per_thread_streams_are_seen() -> Result {
    let new = || Ok::<_, gpu_stream_host::HostError>((stream()?, Wrapped(stream()?)));
    let mine: PerThread<StreamOf<CheckedStream<Host>>> = Sut::per_thread_stream(Sut::device(0)?)?;
    let (plain, wrapped) = new()?;
    orders(&wrapped, &plain, |wrapped, plain| plain.wait_stream(wrapped))?;
    let (plain, wrapped) = new()?;
    orders(&plain, &wrapped, |plain, wrapped| wrapped.wait_stream(plain))?;
    let (plain, wrapped) = new()?;
    orders(&plain, &wrapped, |plain, wrapped| plain.fork([wrapped]))?;
    let (plain, wrapped) = new()?;
    orders(&wrapped, &plain, |wrapped, plain| plain.join([wrapped]))?;
    let (plain, _) = new()?;
    orders(&mine, &plain, |mine, plain| plain.wait_stream(mine))?;
    let (plain, _) = new()?;
    orders(&plain, &mine, |plain, mine| plain.fork([mine]))?;
    let (plain, _) = new()?;
    orders(&mine, &plain, |mine, plain| plain.join([mine]))?;
    let (plain, other) = (stream()?, stream()?);
    orders(&plain, &other, |plain, other| plain.fork([other, plain]))?;
    let (plain, other) = (stream()?, stream()?);
    orders(&plain, &other, |plain, other| other.join([plain, other]))
}

#[test]
fn host_waits_and_foreign_wrappers_are_seen() -> Result {
    let (one, two) = (stream()?, stream()?);
    orders(&one, &two, |one, _| one.synchronize())?;
    orders(&one, &two, |one, _| one.record_event().map(drop).and(one.synchronize()))?;
    let data = region();
    let (result, report) = Sut::scope(|_| {
        one.writes(&data);
        Sut::host_access(Access::Read, &data);
        // SAFETY: `one` outlives the wrapper, and nothing is recorded through it.
        let again =
            unsafe { Sut::stream_from_raw(RawStream::from_bits(one.raw().to_bits()), None) };
        again?.reads(&data);
        Sut::wrap(one.inner().clone()).reads(&data);
        Ok(())
    });
    assert_eq!(kinds(&report), [FindingKind::ReadAfterWrite], "of the host alone");
    assert_eq!(one.backend_type(), TypeId::of::<Sut>());
    result
}
