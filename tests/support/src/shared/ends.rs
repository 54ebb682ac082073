//! Owners whose destructors panic, and streams after a panic. What the conformance suite checks too is not
//! here: see its module `ends`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use gpu_stream_core::{
    Backend, ErrorKind, EventOptions, EventOwner, RawEvent, RawStream, Stream, StreamOwner,
};

use crate::expect_kind;
use crate::vendor::{Capture, Ptr, StreamOf, Vendor, own_stream, ptr};

/// An owner of a stream that is never destroyed. It calls a function when it is dropped.
pub struct Owner {
    raw: usize,
    on_drop: Box<dyn Fn() + Send + Sync>,
}

impl Owner {
    /// Creates an owner of a stream.
    pub fn new(raw: Ptr, on_drop: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Owner { raw: raw.expose_provenance(), on_drop: Box::new(on_drop) })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        (self.on_drop)();
    }
}

// SAFETY: the tests' streams are never destroyed.
unsafe impl<B: Backend<RawStream = RawStream<B>>> StreamOwner<B> for Owner {
    fn raw_stream(&self) -> RawStream<B> {
        RawStream::from_bits(self.raw)
    }
}

// SAFETY: the null handle is no event, and the backend rejects it without using it.
unsafe impl<B: Backend<RawEvent = RawEvent<B>>> EventOwner<B> for Owner {
    fn raw_event(&self) -> RawEvent<B> {
        RawEvent::from_bits(0)
    }
}

/// Wraps a stream with an owner that calls `on_drop` when it is dropped.
///
/// # Panics
/// If the backend rejects it.
pub fn owned<V: Vendor>(raw: Ptr, on_drop: impl Fn() + Send + Sync + 'static) -> StreamOf<V> {
    V::Backend::stream_from_owner(Owner::new(raw, on_drop), None).expect("a stream with an owner")
}

/// Checks that the panic of one owner unwinds its caller, and that a second one does not abort.
pub fn panics_of_owners_do_not_abort<V: Vendor>() {
    let bomb = |place| {
        let panics = || resume_unwind(Box::new("the owner's"));
        owned::<V>(V::new_stream(place, 1, 0), panics)
    };
    let alone = bomb(0);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(alone))).is_err(), "alone, it is the caller's");
    let pair = (bomb(0), bomb(0));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pair))).is_err());
    let unwound = catch_unwind(|| {
        // An event that keeps the owner, also where only a record in a capture does, or another context.
        let foreign = bomb(V::places() - 1);
        let _current = V::enter(V::places() - 1);
        let event = foreign.new_event(EventOptions::new()).expect("an event");
        let capture = Capture::<V>::begin(ptr::<V>(&foreign), 2);
        foreign.record(&event).expect("a record in a capture");
        drop(capture.end());
        let (_first, _second) = (foreign, bomb(0));
        resume_unwind(Box::new("the caller's"));
    });
    assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's"));
}

/// Checks that a failing call does not abort if it drops an owner whose `Drop` panics, on a thread that is
/// already unwinding.
pub fn failed_wrapping_during_unwinding_does_not_abort<V: Vendor>() {
    struct Wraps<V: Vendor>(std::marker::PhantomData<V>);
    impl<V: Vendor> Drop for Wraps<V> {
        fn drop(&mut self) {
            // Handle 2 is the calling thread's own stream, which is never wrapped.
            let own = std::ptr::without_provenance_mut(2);
            let owner = || Owner::new(own, || resume_unwind(Box::new("the owner's")));
            let kind = ErrorKind::InvalidHandle;
            expect_kind("a stream", V::Backend::stream_from_owner(owner(), None), kind);
            expect_kind("an event", V::Backend::event_from_owner(owner(), None), kind);
        }
    }
    let unwound = catch_unwind(|| {
        let _wraps = Wraps::<V>(std::marker::PhantomData);
        resume_unwind(Box::new("the caller's"));
    });
    assert_eq!(unwound.unwrap_err().downcast_ref::<&str>(), Some(&"the caller's"));
}

/// Checks that a new stream has no fault, although the driver may reuse the handle of a destroyed one.
pub fn new_stream_with_a_reused_handle_has_no_fault<V: Vendor>() {
    for _ in 0..20 {
        let stream = own_stream::<V>();
        stream.synchronize().expect("a new stream has no fault");
        stream.launch_host_func(Box::new(|| resume_unwind(Box::new("meant to fail")))).unwrap();
        V::synchronize(ptr::<V>(&stream));
        expect_kind("query", stream.query(), ErrorKind::StreamFault);
    }
}
