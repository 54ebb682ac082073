//! Retained values on the host backend: what the conformance suite does not see.

mod common;

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use common::{kept, retain, shut, stream};
use gpu_stream_core::{Backend, Error, ErrorKind, Stream};
use gpu_stream_host::{Host, HostStream};
use gpu_stream_retain::{Reclaimer, RetainUntilDone, release_on};

/// A stream with a fault.
fn failed() -> HostStream {
    let failed = stream();
    failed.launch(|| resume_unwind(Box::new("work that is meant to fail"))).expect("launch");
    assert_eq!(failed.synchronize().map_err(|error| error.kind()), Err(ErrorKind::StreamFault));
    failed
}

#[test]
fn value_without_streams_is_dropped_at_once() {
    let (reclaimer, held) = (Reclaimer::new(), Arc::new(()));
    retain(&reclaimer, &held, &[]);
    assert_eq!((kept(&held), reclaimer.pending()), (0, 0));
}

#[test]
fn refused_value_comes_back_with_the_reason() {
    let (reclaimer, failed) = (Reclaimer::new(), failed());
    let refused = reclaimer.retain(String::from("value"), &[&stream(), &failed]).unwrap_err();
    assert_eq!(refused.error().kind(), ErrorKind::StreamFault);
    assert_eq!(refused.to_string(), refused.error().to_string());
    assert_eq!(refused.source().is_some(), refused.error().source().is_some());
    assert!(format!("{refused:?}").starts_with("Refused"), "{refused:?}");
    assert_eq!(refused.value(), "value");
    assert_eq!(refused.into_value(), "value");
    let refused = release_on(&failed, [&stream()], 7).unwrap_err();
    assert_eq!(refused.into_parts().0, 7);
    assert_eq!(reclaimer.pending(), 0);
}

/// The batch becomes full after the fault, so its record fails.
#[test]
fn value_that_completes_a_batch_comes_back_if_the_record_fails() {
    let (reclaimer, held, stream) = (Reclaimer::new(), Arc::new(()), stream());
    let gate = shut(&stream);
    for _ in 0..63 {
        retain(&reclaimer, &held, &[&stream]);
    }
    stream.launch(|| resume_unwind(Box::new("meant"))).expect("launch");
    gate.open();
    assert!(stream.synchronize().is_err());
    for _ in 0..3 {
        let refused = reclaimer.retain(Arc::clone(&held), &[&stream]).unwrap_err();
        assert_eq!(refused.error().kind(), ErrorKind::StreamFault);
        assert_eq!((kept(&held), reclaimer.pending()), (64, 63));
    }
    assert_eq!(reclaimer.abandon().len(), 63);
}

#[test]
fn values_of_many_short_lived_streams_leave_nothing() {
    let (reclaimer, held) = (Reclaimer::new(), Arc::new(()));
    for _ in 0..1_000 {
        let stream = stream();
        stream.launch(|| ()).expect("launch");
        retain(&reclaimer, &held, &[&stream]);
    }
    reclaimer.drain().expect("drain");
    assert_eq!((kept(&held), reclaimer.pending()), (0, 0));
}

#[test]
fn process_wide_reclaimer_is_one_for_each_backend() {
    let barrier = Barrier::new(8);
    let first = |_| {
        barrier.wait();
        std::ptr::from_ref(Reclaimer::<Host>::process_wide()) as usize
    };
    let all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(move || first(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:?}");
}

#[test]
fn retain_until_done_keeps_and_a_full_batch_drops() {
    let (held, stream) = (Arc::new(()), stream());
    let gate = shut(&stream);
    for _ in 0..64 {
        stream.retain_until_done(Arc::clone(&held)).expect("retain");
    }
    assert_eq!(kept(&held), 64);
    gate.open();
    stream.synchronize().expect("synchronize");
    // No collect: the next full batch drops the one before.
    for _ in 0..64 {
        stream.retain_until_done(Arc::clone(&held)).expect("retain");
    }
    assert!(kept(&held) <= 64, "{} values are kept", kept(&held));
    let own = Host::per_thread_stream(stream.device()).expect("per-thread stream");
    own.retain_until_done(Arc::clone(&held)).expect("retain");
    Reclaimer::<Host>::process_wide().drain().expect("drain");
    assert_eq!(kept(&held), 0);
}

#[test]
fn call_from_work_never_waits_for_another_thread() {
    let reclaimer = Arc::new(Reclaimer::<Host>::new());
    let (held, one) = (Arc::new(()), stream());
    let gate = shut(&one);
    retain(&reclaimer, &held, &[&one]);
    reclaimer.collect().expect("collect");
    thread::scope(|scope| {
        let drainer = scope.spawn(|| reclaimer.drain());
        // The drainer waits for the gate, and only this work opens it.
        let inner = Arc::clone(&reclaimer);
        let gate = Arc::new(gate);
        let (opener, kind) = (Arc::clone(&gate), Arc::new(std::sync::Mutex::new(None)));
        let slot = Arc::clone(&kind);
        let other = stream();
        let work = move || {
            let drained = inner.drain().map_err(|error| error.kind());
            *slot.lock().expect("lock") = Some(drained);
            opener.open();
        };
        other.launch(work).expect("launch");
        other.synchronize().expect("synchronize");
        let drained = kind.lock().expect("lock").take();
        // Refused, or there was nothing left: the thread above may not have begun.
        assert!(
            matches!(drained, Some(Err(ErrorKind::NotPermitted) | Ok(()))),
            "{drained:?} came from work"
        );
        drainer.join().expect("no panic").expect("drain");
    });
    assert_eq!(kept(&held), 0);
}

#[test]
fn panic_during_an_unwind_does_not_abort() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("a destructor that is meant to fail"));
        }
    }
    struct CollectsOnDrop<'a>(&'a Reclaimer<Host>);
    impl Drop for CollectsOnDrop<'_> {
        fn drop(&mut self) {
            let _ = self.0.drain();
        }
    }
    let (reclaimer, stream) = (Reclaimer::new(), stream());
    reclaimer.retain(Bomb, &[&stream]).expect("retain");
    reclaimer.retain(Bomb, &[&stream]).expect("retain");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _collects = CollectsOnDrop(&reclaimer);
        resume_unwind(Box::new(1));
    }));
    assert_eq!(unwound.unwrap_err().downcast_ref::<i32>(), Some(&1));
    assert_eq!(reclaimer.pending(), 0);
}

/// Threads retain, collect and drain on shared streams. Each value checks, when it is dropped, that
/// the work before its retain has run.
#[test]
fn threads_drop_no_value_early_and_lose_none() {
    struct Checked(Arc<AtomicBool>, Arc<AtomicUsize>);
    impl Drop for Checked {
        fn drop(&mut self) {
            assert!(self.0.load(Ordering::SeqCst), "dropped before the work");
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    const THREADS: usize = 6;
    const ROUNDS: usize = 2_000;
    let (reclaimer, dropped) = (Reclaimer::new(), Arc::new(AtomicUsize::new(0)));
    let streams: Vec<_> = (0..4).map(|_| stream()).collect();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (reclaimer, dropped, streams) = (&reclaimer, &dropped, &streams);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let (one, other) =
                        (&streams[(thread + round) % 4], &streams[(thread + 1 + round / 7) % 4]);
                    let ran = Arc::new(AtomicBool::new(false));
                    let runs = Arc::clone(&ran);
                    one.launch(move || runs.store(true, Ordering::SeqCst)).expect("launch");
                    let value = Checked(ran, Arc::clone(dropped));
                    let retained = match round % 3 {
                        0 => reclaimer.retain(value, &[other, one]),
                        _ => reclaimer.retain(value, &[one]),
                    };
                    retained.expect("retain");
                    match round % 97 {
                        0 => reclaimer.drain().expect("drain"),
                        count if count % 13 == 0 => {
                            assert!(reclaimer.collect().is_ok())
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    reclaimer.drain().expect("drain");
    assert_eq!(dropped.load(Ordering::SeqCst), THREADS * ROUNDS);
    assert_eq!(reclaimer.pending(), 0);
}

/// The parent's values are the parent's, and its locks may be locked.
#[cfg(unix)]
#[test]
fn child_of_a_fork_frees_nothing_and_does_not_hang() {
    struct Dropped(Arc<AtomicUsize>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (reclaimer, other) = (Reclaimer::new(), Reclaimer::new());
    let (count, stream) = (Arc::new(AtomicUsize::new(0)), stream());
    for reclaimer in [&reclaimer, &other] {
        reclaimer.retain(Dropped(Arc::clone(&count)), &[&stream]).expect("retain");
    }
    // SAFETY: the child makes only the calls under test, and ends by `_exit`.
    let child = match unsafe { libc::fork() } {
        0 => {
            // SAFETY: `alarm` has no requirements. It ends a child that hangs.
            unsafe { libc::alarm(60) };
            let forked = Some(ErrorKind::NotPermitted);
            let refused = reclaimer.retain((), &[&stream]).err();
            let kinds = [
                refused.map(|refused| refused.error().kind()),
                reclaimer.collect().err().map(|error| error.kind()),
                reclaimer.drain().err().map(|error| error.kind()),
            ];
            let is_empty = reclaimer.pending() == 0 && other.abandon().is_empty();
            drop(reclaimer);
            let works = kinds == [forked; 3] && is_empty && count.load(Ordering::SeqCst) == 0;
            // SAFETY: `_exit` has no requirements.
            unsafe { libc::_exit(if works { 0 } else { 1 }) }
        }
        child => child,
    };
    let mut status = -1;
    // SAFETY: `&mut status` is a valid out-pointer.
    let waited = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    reclaimer.drain().expect("drain");
    assert_eq!((count.load(Ordering::SeqCst), other.pending()), (1, 1));
}
