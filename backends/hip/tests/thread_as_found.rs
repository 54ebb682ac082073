//! No call changes the thread's current device, capture mode or last error, whatever they are and
//! whether the call succeeds.

mod support;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use gpu_stream_core::{Backend, EventOptions, RawStream, Stream, StreamOptions, StreamOwner};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::shared::thread_as_found::{
    objects_dropped_on_another_thread, while_work_is_pending,
};
use support::bare::{bare, fetch_error, peek_error, set_device, thread_state};
use support::{OnHip, devices, operations};

fn main() -> ExitCode {
    support::main(&[
        ("every_call", every_call),
        ("while_work_is_pending", while_work_is_pending::<OnHip>),
        ("objects_dropped_on_another_thread", objects_dropped_on_another_thread::<OnHip>),
        ("owner_is_dropped_with_the_callers_state", owner_is_dropped_with_the_callers_state),
    ])
}

fn every_call() {
    // The capture continues on the thread that created the objects: this one.
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let counted = operations::all(&world).len();
    eprintln!("{counted} calls, with {} devices and 3 capture modes", devices().min(2));
}

/// The destructor of an owner that a record drops runs with the caller's thread state. Its own changes
/// stay.
fn owner_is_dropped_with_the_callers_state() {
    struct Owner(HipStream, mpsc::Sender<(i32, i32)>);
    // SAFETY: the inner stream lives until the owner is dropped.
    unsafe impl StreamOwner<Hip> for Owner {
        fn raw_stream(&self) -> RawStream<Hip> {
            self.0.raw()
        }
    }
    impl Drop for Owner {
        fn drop(&mut self) {
            self.1.send(thread_state()).unwrap();
            // SAFETY: the function accepts any number.
            unsafe { (bare().set_device)(9_999) };
        }
    }
    let of = Hip::device(devices() as u32 - 1).unwrap();
    let (send, receive) = mpsc::channel();
    set_device(0);
    let streams =
        [Hip::default_stream(of).unwrap(), Hip::new_stream(of, Default::default()).unwrap()];
    for stream in streams {
        let event = Hip::new_event(of, EventOptions::new()).unwrap();
        let inner = Hip::new_stream(of, StreamOptions::new()).unwrap();
        // `inner` stays alive: its destruction would be one more call after the failed one.
        let owner = Arc::new(Owner(inner.clone(), send.clone()));
        Hip::stream_from_owner(owner, None).unwrap().record(&event).unwrap();
        let previous = thread_state();
        fetch_error();
        stream.record(&event).unwrap();
        assert_eq!(peek_error(), 101, "the error that the owner left");
        fetch_error();
        assert_eq!(receive.try_recv(), Ok(previous));
    }
}
