//! No call changes the thread's current device, capture mode or last error, whatever they are and
//! whether the call succeeds.

mod support;

use std::process::ExitCode;
use std::sync::{Arc, mpsc};

use gpu_stream_core::{Backend, EventOptions, RawStream, Stream, StreamOptions, StreamOwner};
use gpu_stream_hip::{Hip, HipStream};
use gpu_stream_test_support::cases;
use support::bare::{bare, fetch_error, gate, new_stream, peek_error, set_device, thread_state};
use support::{devices, operations, own_event, own_stream, wrap};

fn main() -> ExitCode {
    support::main(&cases![
        every_call,
        while_work_is_pending,
        objects_dropped_on_another_thread,
        owner_is_dropped_with_the_callers_state
    ])
}

fn every_call() {
    // The capture continues on the thread that created the objects: this one.
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let counted = operations::all(&world).len();
    eprintln!("{counted} calls, with {} devices and 3 capture modes", devices().min(2));
}

fn while_work_is_pending() {
    for of in 0..devices().min(2) {
        let raw = new_stream(of, 1, 0);
        let (stream, other) = (wrap(raw), own_stream());
        for current in 0..devices().min(2) {
            set_device(current);
            let gate = gate(raw);
            let previous = thread_state();
            let event = stream.record_event().unwrap();
            assert!(!stream.query().unwrap() && !event.query_now());
            other.wait_stream(&stream).unwrap();
            other.wait_event(&event).unwrap();
            drop(event);
            assert_eq!(thread_state(), previous);
            gate.open();
            other.synchronize().unwrap();
            assert_eq!(thread_state(), previous);
        }
    }
}

trait QueryNow {
    fn query_now(&self) -> bool;
}

impl<E: gpu_stream_core::Event> QueryNow for E {
    fn query_now(&self) -> bool {
        self.query().unwrap()
    }
}

fn objects_dropped_on_another_thread() {
    let stream = own_stream();
    let events = [EventOptions::new(), EventOptions::timed()].map(|options| own_event(options));
    for event in &events {
        stream.record(event).unwrap();
    }
    std::thread::spawn(move || {
        set_device(devices() - 1);
        let previous = thread_state();
        drop((stream, events));
        assert_eq!(thread_state(), previous);
    })
    .join()
    .unwrap();
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
