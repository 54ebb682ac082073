//! Host functions: all of the process are called by one thread, one after the other, as the real
//! driver does it. One that blocks holds up the others, and no other work.

use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gpu_stream_host::Gate;

use crate::state::Fault;
use crate::thread;

/// `CUhostFn`.
pub type HostFn = unsafe extern "C" fn(*mut c_void);

/// A function whose turn it is on its stream, which goes on when the gate is open.
pub struct Call {
    pub function: HostFn,
    pub argument: usize,
    pub fault: Fault,
    pub gate: Arc<Gate>,
}

impl Call {
    /// Hands it to the thread that calls.
    pub fn hand_over(self) {
        static CALLER: LazyLock<Mutex<Sender<Call>>> = LazyLock::new(|| {
            let (sender, calls) = channel();
            let caller = std::thread::Builder::new().name("driver-sim calls".into());
            if let Err(error) = caller.spawn(|| call_all(calls)) {
                eprintln!("driver-sim: no thread for host functions: {error}");
                std::process::abort();
            }
            Mutex::new(sender)
        });
        let caller = CALLER.lock().unwrap_or_else(PoisonError::into_inner);
        // The other end is there as long as the process.
        let _ = caller.send(self);
    }
}

fn call_all(calls: Receiver<Call>) {
    thread::is_the_callers();
    for Call { function, argument, fault, gate } in calls {
        if fault.load(Ordering::Acquire) == 0 {
            // SAFETY: who launched the function promised that it can be called with the argument
            // when the stream comes to it.
            unsafe { function(std::ptr::with_exposed_provenance_mut(argument)) };
        }
        gate.open();
    }
}
