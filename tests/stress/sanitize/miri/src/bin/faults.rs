//! A task panics. Later closures, on its stream and on a stream that waits for it, are dropped
//! without running, and their destructors panic.

use std::panic::resume_unwind;
use std::sync::mpsc;

use gpu_stream_core::{Backend, Stream};
use gpu_stream_host::{Gate, Host};
use gpu_stream_miri::stream;

/// Panics on drop if the number is above 0. The payload is a `Bomb` with the next lower number.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            // Panics without a message.
            resume_unwind(Box::new(Bomb(self.0 - 1)));
        }
    }
}

fn main() {
    let (failing, waiting) = (stream(0), stream(0));
    let gate = Gate::new(Host::device(0).expect("device")).expect("gate");
    failing.wait_event(gate.event()).expect("wait");
    failing.launch(|| resume_unwind(Box::new(Bomb(1)))).expect("launch");
    let (send, receive) = mpsc::channel::<()>();
    let unrun_task = |sender: &mpsc::Sender<()>| {
        let (sender, bomb, size) = (sender.clone(), Bomb(2), [0_u64; 20]);
        move || drop((sender, bomb, size))
    };
    failing.launch(unrun_task(&send)).expect("launch");
    waiting.wait_stream(&failing).expect("wait");
    waiting.launch(unrun_task(&send)).expect("launch");
    drop(failing);
    gate.open();
    waiting.synchronize().expect_err("fault");
    // The closure is dropped inside `launch`, whose panic must not reach `main`.
    waiting.launch(move || drop(send)).expect_err("fault");
    assert!(receive.recv().is_err());
}
