//! Layers over the contract, as futures and deferred release, which ask streams in calls of their own.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use gpu_stream_async::DoneExt;
use gpu_stream_checked::{Checked, CheckedStream};
use gpu_stream_core::{Backend, Region, Stream, StreamOptions};
use gpu_stream_host::Host;

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

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

/// Calls of a layer come after the work that nothing joins, so the missing wait belongs before them.
#[test]
fn places_of_calls_in_layers_are_those_of_the_program() -> Result {
    let before_call = |call: &dyn Fn(&CheckedStream<Host>) -> Result<u32>| {
        let caller = stream()?;
        // Busy until the end of the call, so `done` records an event.
        let (_held, gate) = std::sync::mpsc::channel::<()>();
        let wait = move || assert!(gate.recv().is_err(), "the other end is dropped");
        caller.launch_host_func(Box::new(wait))?;
        let (line, report) = Sut::scope(|_| {
            let side = stream()?;
            side.wait_stream(&caller)?;
            side.writes(&region());
            call(&caller)
        });
        let missing = report.findings.first().and_then(|finding| finding.missing.as_ref());
        let before = missing.expect("the work of `side` is not joined").before;
        assert_eq!((before.file(), before.line()), (file!(), line?), "{report}");
        Ok(())
    };
    before_call(&|caller| {
        drop(caller.done()?);
        Ok(line() - 1)
    })?;
    before_call(&|caller| {
        let user = stream()?;
        gpu_stream_retain::release_on(caller, [&user], ()).map_err(|refused| refused.leak())?;
        Ok(line() - 1)
    })?;
    before_call(&|caller| {
        let kept = gpu_stream_retain::Reclaimer::new();
        kept.retain((), &[caller]).map_err(|refused| refused.leak())?;
        kept.collect()?;
        Ok(line() - 1)
    })
}

/// The stream was asked before, or its event is asked, which outlives it.
#[test]
fn dropped_stream_is_not_used_by_a_future_or_a_drain() -> Result {
    let (outcome, report) = Sut::scope(|_| {
        for is_idle in [false, true] {
            let caller = stream()?;
            let (opened, gate) = std::sync::mpsc::channel::<()>();
            let wait = move || assert!(gate.recv().is_err(), "the other end is dropped");
            caller.launch_host_func(Box::new(wait))?;
            let held = (!is_idle).then_some(opened);
            let mut done = caller.done()?;
            drop((caller, held));
            let mut poll = || Pin::new(&mut done).poll(&mut Context::from_waker(Waker::noop()));
            while poll().map(|outcome| outcome.expect("the work ends")).is_pending() {
                std::thread::yield_now();
            }
        }
        let (caller, kept) = (stream()?, gpu_stream_retain::Reclaimer::new());
        caller.launch_host_func(Box::new(|| ()))?;
        kept.retain(5, &[&caller]).map_err(|refused| refused.leak())?;
        drop(caller);
        while kept.collect()?.pending > 0 {}
        kept.drain()
    });
    outcome?;
    assert!(report.is_empty(), "{report}");
    Ok(())
}

/// The future of an idle stream makes no record, so the program is told of its work only when the future resolves.
#[test]
fn place_of_a_future_that_resolves_is_that_of_done() -> Result {
    // What is called on it directly is not seen by the check.
    let unchecked = Host::new_stream(Host::device(0)?, StreamOptions::new())?;
    let (caller, side) = (Sut::wrap(unchecked.clone()), stream()?);
    let (done, report) = Sut::scope(|_| {
        side.wait_stream(&caller)?;
        side.writes(&region());
        unchecked.synchronize()?;
        let (mut future, done) = (caller.done()?, line());
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))), "the stream is idle");
        Ok::<_, gpu_stream_host::HostError>(done)
    });
    let missing = report.findings.first().and_then(|finding| finding.missing.as_ref());
    let before = missing.expect("the work of `side` is not joined").before;
    assert_eq!((before.file(), before.line()), (file!(), done?), "{report}");
    Ok(())
}
