//! No call changes the thread's current context or its capture mode, whether it succeeds or not.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, EventOptions, Stream, StreamOptions};
use gpu_stream_cuda::Cuda;
use support::bare::{Space, set_current, thread_state};
use support::{device, operations, wrap};

fn main() -> ExitCode {
    support::main(&[
        ("every_call", every_call),
        ("while_work_is_pending", while_work_is_pending),
        ("objects_dropped_on_another_thread", objects_dropped_on_another_thread),
    ])
}

fn every_call() {
    // The capture continues on the thread that created `world`: this one.
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let counted = operations::all(&world).len();
    eprintln!("{counted} calls, with 3 contexts and 3 capture modes");
}

fn while_work_is_pending() {
    for space in [Space::primary(), Space::second()] {
        let raw = space.stream(1, 0);
        let (stream, other) =
            (wrap(raw), Cuda::new_stream(device(), StreamOptions::new()).unwrap());
        for current in [std::ptr::null_mut(), Space::primary().context, Space::second().context] {
            set_current(current);
            let gate = space.gate(raw);
            let found = thread_state();
            let event = stream.record_event().unwrap();
            assert!(!stream.query().unwrap() && !event.query_now());
            other.wait_stream(&stream).unwrap();
            other.wait_event(&event).unwrap();
            drop(event);
            assert_eq!(thread_state(), found);
            gate.open();
            other.synchronize().unwrap();
            assert_eq!(thread_state(), found);
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
    let stream = Cuda::new_stream(device(), StreamOptions::new()).unwrap();
    let events = [EventOptions::new(), EventOptions::timed()]
        .map(|options| Cuda::new_event(device(), options).unwrap());
    for event in &events {
        stream.record(event).unwrap();
    }
    let second = Space::second();
    std::thread::spawn(move || {
        set_current(second.context);
        let found = thread_state();
        drop((stream, events));
        assert_eq!(thread_state(), found);
    })
    .join()
    .unwrap();
}
