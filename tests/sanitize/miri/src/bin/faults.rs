//! A task panics. Closures behind it, here and on a stream that waits, are dropped, and their
//! destructors panic.

use std::panic::resume_unwind;
use std::sync::mpsc;

use gpu_stream_core::{Backend, Stream};
use gpu_stream_host::{Gate, Host};
use gpu_stream_miri::stream;

/// Panics when it is dropped, with a payload that does so, too.
struct Bomb(u32);

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.0 > 0 {
            // Without a message.
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
    let unrun = |sender: &mpsc::Sender<()>| {
        let (sender, bomb, size) = (sender.clone(), Bomb(2), [0_u64; 20]);
        move || drop((sender, bomb, size))
    };
    failing.launch(unrun(&send)).expect("launch");
    waiting.wait_stream(&failing).expect("wait");
    waiting.launch(unrun(&send)).expect("launch");
    drop(failing);
    gate.open();
    waiting.synchronize().expect_err("fault");
    // Dropped here: its destructor must not panic into `main`.
    waiting.launch(move || drop(send)).expect_err("fault");
    assert!(receive.recv().is_err());
}
