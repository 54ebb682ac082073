//! Host functions: one thread calls all of the process's host functions in sequence, as the real
//! driver does.
//!
//! A host function that blocks delays the others, but no other work.

use std::ffi::c_void;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use gpu_stream_host::Gate;

use crate::state::Fault;
use crate::thread;

/// `CUhostFn`.
pub type HostFn = unsafe extern "C" fn(*mut c_void);

/// A host function that is due on its stream. The stream continues when the gate opens.
pub struct HostFuncCall {
    pub function: HostFn,
    pub argument: usize,
    pub fault: Fault,
    pub gate: Arc<Gate>,
}

impl HostFuncCall {
    /// Sends the call to the thread that calls host functions.
    pub fn dispatch(self) {
        static CALLER: LazyLock<Mutex<Sender<HostFuncCall>>> = LazyLock::new(|| {
            let (sender, calls) = channel();
            let caller = std::thread::Builder::new().name("cuda-sim calls".into());
            if let Err(error) = caller.spawn(|| call_all(calls)) {
                eprintln!("cuda-sim: the thread for host functions cannot be started: {error}");
                std::process::abort();
            }
            Mutex::new(sender)
        });
        let caller = CALLER.lock().unwrap_or_else(PoisonError::into_inner);
        // The receiver lives as long as the process.
        let _ = caller.send(self);
    }
}

fn call_all(calls: Receiver<HostFuncCall>) {
    thread::mark_host_func_thread();
    for HostFuncCall { function, argument, fault, gate } in calls {
        if fault.load(Ordering::Acquire) == 0 {
            // SAFETY: the caller of the launch promised that `function` can be called with
            // `argument` when the stream reaches it.
            unsafe { function(std::ptr::with_exposed_provenance_mut(argument)) };
        }
        gate.open();
    }
}
