//! Owners of streams that have retained values, on the host backend.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;

use common::{kept, retain, shut, stream};
use gpu_stream_core::{Backend, Event, Stream};
use gpu_stream_host::{Gate, Host, HostStream};
use gpu_stream_retain::Reclaimer;

/// An owner of a stream.
struct Owner {
    stream: HostStream,
    #[allow(dead_code)] // held only to be dropped
    held: Arc<()>,
}
// SAFETY: the handle is that of the stream inside, which lives as long as `self`.
unsafe impl gpu_stream_core::StreamOwner<Host> for Owner {
    fn raw_stream(&self) -> gpu_stream_core::RawStream<Host> {
        self.stream.raw()
    }
}

/// An owner whose destructor panics.
struct FailingOwner(HostStream);
impl Drop for FailingOwner {
    fn drop(&mut self) {
        resume_unwind(Box::new("an owner that is meant to fail"));
    }
}
// SAFETY: the handle is that of the stream inside, which lives as long as `self`.
unsafe impl gpu_stream_core::StreamOwner<Host> for FailingOwner {
    fn raw_stream(&self) -> gpu_stream_core::RawStream<Host> {
        self.0.raw()
    }
}

#[test]
fn stream_is_kept_with_its_values_and_no_longer() {
    let (reclaimer, held, owned) = (Reclaimer::new(), Arc::new(()), Arc::new(()));
    for round in 0..3 {
        let owner = Arc::new(Owner { stream: stream(), held: Arc::clone(&owned) });
        let wrapped = Host::stream_from_owner(owner, None).expect("wrap");
        let gate = shut(&wrapped);
        retain(&reclaimer, &held, &[&wrapped]);
        if round > 0 {
            // With a mark, whose event keeps the owner as well.
            reclaimer.collect().expect("collect");
        }
        drop(wrapped);
        assert_eq!((kept(&held), kept(&owned)), (1, 1));
        gate.open();
        reclaimer.drain().expect("drain");
        assert_eq!((kept(&held), kept(&owned)), (0, 0), "in round {round}");
    }
}

/// The first wrapper of a handle has no owner, and has to be valid only for the first value.
#[test]
fn each_value_keeps_the_owner_of_its_own_wrapper() {
    let (reclaimer, owned) = (Reclaimer::new(), Arc::new(()));
    let (first, second, third) = (Arc::new(()), Arc::new(()), Arc::new(()));
    let owner = Arc::new(Owner { stream: stream(), held: Arc::clone(&owned) });
    // SAFETY: the owner lives until the first value is dropped.
    let raw = unsafe { Host::stream_from_raw(owner.stream.raw(), None) }.expect("wrap");
    let gate = shut(&raw);
    retain(&reclaimer, &first, &[&raw]);
    reclaimer.collect().expect("collect"); // records a mark
    drop(raw);
    let wrapped = Host::stream_from_owner(owner, None).expect("wrap");
    let passed = wrapped.record_event().expect("record");
    let last = shut(&wrapped);
    retain(&reclaimer, &second, &[&wrapped]);
    gate.open();
    passed.synchronize().expect("synchronize");
    drop(passed);
    reclaimer.collect().expect("collect");
    assert_eq!((kept(&first), kept(&second)), (0, 1));
    retain(&reclaimer, &third, &[&wrapped]);
    drop(wrapped);
    assert_eq!(kept(&owned), 1, "the pending values keep the owner");
    assert_eq!(reclaimer.collect().expect("collect").pending, 2);
    last.open();
    reclaimer.drain().expect("drain");
    assert_eq!((kept(&second), kept(&third), kept(&owned)), (0, 0, 0));
}

/// An owner whose destructor panics is dropped with the reclaimer's clone of its stream.
#[test]
fn panic_of_an_owner_reaches_the_caller_and_breaks_nothing() {
    let (reclaimer, held, other) = (Reclaimer::new(), Arc::new(()), stream());
    for round in 0..3 {
        let wrapped =
            Host::stream_from_owner(Arc::new(FailingOwner(stream())), None).expect("wrap");
        retain(&reclaimer, &held, &[&wrapped]);
        retain(&reclaimer, &held, &[&other]);
        drop(wrapped);
        let call = AssertUnwindSafe(|| match round {
            0 => reclaimer.drain(),
            _ => reclaimer.collect().map(drop),
        });
        assert!(catch_unwind(call).is_err(), "the panic did not reach the caller in round {round}");
        assert_eq!((kept(&held), reclaimer.pending()), (0, 0), "in round {round}");
    }
}

/// Several owners: a second panic while the first unwinds would abort the process.
#[test]
fn abandon_loses_no_value_to_the_panics_of_owners() {
    let (reclaimer, held, other) = (Reclaimer::new(), Arc::new(()), stream());
    let gates: Vec<_> = (0..3)
        .map(|number| {
            let wrapped = Host::stream_from_owner(Arc::new(FailingOwner(stream())), None);
            let wrapped = wrapped.expect("wrap");
            let gate = shut(&wrapped);
            retain(&reclaimer, &held, &[&wrapped, &other]);
            if number < 2 {
                // Its event keeps the owner, too.
                reclaimer.collect().expect("collect");
            }
            retain(&reclaimer, &held, &[&wrapped]);
            gate
        })
        .collect();
    assert_eq!(reclaimer.pending(), 6);
    let values = reclaimer.abandon();
    assert_eq!((values.len(), kept(&held)), (6, 6));
    drop(values);
    assert_eq!(kept(&held), 0);
    gates.iter().for_each(Gate::open);
}

/// The first value brings the owner, and the second one a wrapper without an owner.
#[test]
fn owner_of_the_first_value_lives_until_the_batch_is_dropped() {
    let (reclaimer, held, owned) = (Reclaimer::new(), Arc::new(()), Arc::new(()));
    let owner = Arc::new(Owner { stream: stream(), held: Arc::clone(&owned) });
    let bits = owner.stream.raw();
    let wrapped = Host::stream_from_owner(owner, None).expect("wrap");
    let gate = shut(&wrapped);
    retain(&reclaimer, &held, &[&wrapped]);
    // SAFETY: the reclaimer keeps the owner of the first value until it drops both.
    let raw = unsafe { Host::stream_from_raw(bits, None) }.expect("wrap");
    retain(&reclaimer, &held, &[&raw]);
    drop((wrapped, raw));
    for _ in 0..2 {
        assert_eq!(reclaimer.collect().expect("collect").pending, 2);
        assert_eq!(kept(&owned), 1, "the marks are recorded on its stream");
    }
    gate.open();
    reclaimer.drain().expect("drain");
    assert_eq!((kept(&held), kept(&owned)), (0, 0));
}

/// While later values of the same stream are pending, batches that can be used again keep nothing of earlier ones.
#[test]
fn unused_batches_keep_no_owner() {
    let (reclaimer, held, owned) = (Reclaimer::new(), Arc::new(()), Arc::new(()));
    let theirs = Arc::new(stream());
    let mut gates = Vec::new();
    for _ in 0..3 {
        let owner = Owner { stream: (*theirs).clone(), held: Arc::clone(&owned) };
        let wrapped = Host::stream_from_owner(Arc::new(owner), None).expect("wrap");
        gates.push((shut(&wrapped), wrapped.record_event().expect("record")));
        retain(&reclaimer, &held, &[&wrapped]);
        reclaimer.collect().expect("collect"); // records a mark
    }
    let last = shut(&theirs);
    // SAFETY: `theirs` lives until the end of the test.
    let raw = unsafe { Host::stream_from_raw(theirs.raw(), None) }.expect("wrap");
    retain(&reclaimer, &held, &[&raw]);
    reclaimer.collect().expect("collect");
    assert_eq!((kept(&held), kept(&owned)), (4, 3));
    for (gate, passed) in gates {
        gate.open();
        passed.synchronize().expect("synchronize");
    }
    // The marks are behind the events that have passed.
    let collected = || reclaimer.collect().expect("collect").pending;
    while collected() > 1 {
        thread::yield_now();
    }
    assert_eq!((kept(&held), kept(&owned)), (1, 0));
    last.open();
    reclaimer.drain().expect("drain");
    assert_eq!(kept(&held), 0);
}
