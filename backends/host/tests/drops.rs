//! Tests of closures that do not run, and of destructors that panic.

use std::panic::panic_any;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use gpu_stream_core::{Backend, Event, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};

/// The time after which a test fails instead of hanging.
const LIMIT: Duration = Duration::from_secs(60);

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

/// Panics when it is dropped. The payload is a `Bomb` too, up to this depth.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Bomb(self.0 - 1));
        }
    }
}

/// Returns a closure that must not run. Dropping it closes the channel, and panics.
fn unrun(sender: &Sender<()>) -> impl FnOnce() + Send + 'static {
    let (sender, bomb) = (sender.clone(), Bomb(3));
    move || {
        let _all = (&sender, &bomb);
        unreachable!("it is after a fault")
    }
}

/// A stream fails, and a chain of streams waits for it. All their closures are dropped, although no
/// handle is left and each drop panics.
#[test]
fn closures_after_a_fault_are_dropped_without_handles() {
    let (send, receive) = mpsc::channel();
    let gate = Gate::new(Host::device(0).expect("device")).expect("gate");
    let failing = stream();
    failing.wait_event(gate.event()).expect("wait");
    failing.launch(|| panic_any(Bomb(3))).expect("launch");
    (0..3).for_each(|_| failing.launch(unrun(&send)).expect("launch"));
    let mut last = failing;
    for _ in 0..5 {
        let next = stream();
        next.wait_stream(&last).expect("wait");
        // A closure that is too large to be stored inline.
        let (large, closure) = ([0u64; 100], unrun(&send));
        let boxed = move || {
            let _large = &large;
            closure();
        };
        next.launch(boxed).expect("launch");
        next.launch(unrun(&send)).expect("launch");
        last = next;
    }
    let event = last.record_event().expect("event");
    drop((last, send, gate));
    assert_eq!(receive.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
    event.synchronize().expect_err("the fault was passed on");
}

#[test]
fn rejected_closure_is_dropped_by_the_call() {
    let stream = stream();
    stream.launch(|| panic!("intended")).expect("launch");
    stream.synchronize().expect_err("fault");
    let (send, receive) = mpsc::channel::<()>();
    let held = send.clone();
    stream.launch(move || drop(held)).expect_err("rejected");
    let held = send.clone();
    stream.launch_host_func(Box::new(move || drop(held))).expect_err("rejected");
    drop(send);
    assert_eq!(receive.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// Run and unrun closures panic on many streams at once, so that each worker gets several.
#[test]
fn workers_survive_destructors_that_panic() {
    const STREAMS: usize = if cfg!(miri) { 4 } else { 64 };
    let (send, receive) = mpsc::channel();
    for _ in 0..STREAMS {
        let stream = stream();
        let (bomb, ran) = (Bomb(2), send.clone());
        let run = move || {
            ran.send(()).expect("send");
            drop(bomb);
        };
        stream.launch(run).expect("launch");
        let _ = stream.launch(unrun(&send));
        let _ = stream.launch(unrun(&send));
    }
    drop(send);
    let ran = std::iter::from_fn(|| match receive.recv_timeout(LIMIT) {
        Ok(()) => Some(()),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("a closure was neither run nor dropped"),
    });
    assert_eq!(ran.count(), STREAMS);
    // All workers are alive: they run as many streams again.
    let streams: Vec<_> = (0..STREAMS).map(|_| stream()).collect();
    streams.iter().for_each(|stream| stream.launch(|| ()).expect("launch"));
    streams.iter().for_each(|stream| stream.synchronize().expect("synchronize"));
}
