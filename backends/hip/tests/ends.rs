//! What a stream is given ends, and with it what it owns. The conformance suite's cases of the same name say more.

mod support;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{EventOptions, Stream};
use gpu_stream_test_support::shared::ends::owned;
use gpu_stream_test_support::{cases, shared_cases};
use support::bare::{Ptr, bare, new_stream, synchronize};
use support::{OnHip, own_event, own_stream};

fn main() -> ExitCode {
    let shared = shared_cases![OnHip, ends:
        panics_of_owners_do_not_abort,
        failed_wrapping_during_unwinding_does_not_abort,
        new_stream_with_a_reused_handle_has_no_fault
    ];
    let more: [support::Case; 2] = cases![
        panic_of_an_owner_does_not_reach_the_record_that_drops_it,
        objects_dropped_in_a_foreign_callback_are_destroyed
    ];
    support::main(&[&shared[..], &more].concat())
}

fn panic_of_an_owner_does_not_reach_the_record_that_drops_it() {
    let (source, event) = (own_stream(), own_event(EventOptions::new()));
    let gone = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&gone);
    let foreign = owned::<OnHip>(new_stream(0, 1, 0), move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::panic::resume_unwind(Box::new("meant to fail"));
    });
    foreign.record(&event).expect("a record");
    drop(foreign);
    source.record(&event).expect("the record is made, whatever the owner does");
    source.record(&event).expect("and once more");
    assert_eq!(gone.load(Ordering::SeqCst), 1);
}

/// HIP's own destroy functions hang inside a callback, from 5.7 on. The thread belongs to the runtime,
/// and has never made a call of this crate.
fn objects_dropped_in_a_foreign_callback_are_destroyed() {
    static OBJECTS: Mutex<Vec<Box<dyn std::any::Any + Send>>> = Mutex::new(Vec::new());
    unsafe extern "C" fn drops(_: Ptr, _: std::ffi::c_int, _: Ptr) {
        OBJECTS.lock().expect("no panic").clear();
    }
    for _ in 0..10 {
        let stream = own_stream();
        let event = own_event(EventOptions::timed());
        stream.record(&event).expect("a record");
        stream.synchronize().expect("synchronize");
        OBJECTS.lock().expect("no panic").push(Box::new((stream, event)));
    }
    let raw = new_stream(0, 1, 0);
    // SAFETY: the stream is alive, and the function accepts any user data.
    let code = unsafe { (bare().add_callback)(raw, drops, std::ptr::null_mut(), 0) };
    assert_eq!(code, 0);
    synchronize(raw);
    assert!(OBJECTS.lock().expect("no panic").is_empty());
    // The next calls destroy the dropped objects, and continue.
    let keep = own_stream();
    (0..100).for_each(|_| _ = keep.query().expect("query"));
}
