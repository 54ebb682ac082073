//! Work of a stream: its kinds, how it is enqueued, and how it is done.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gpu_stream_core::Stream as _;
use gpu_stream_host::{Gate, HostStream};

use crate::call::{Answer, Ptr, exports};
use crate::codes::Code;
use crate::gates::{self, Condition};
use crate::host_funcs::{HostFn, HostFuncCall};
use crate::kernels::Kernel;
use crate::memory;
use crate::state::{Fault, State, host_device, host_error, state};

/// A unit of work, repeated by each launch of a graph.
#[derive(Clone)]
pub enum Work {
    Kernel(Kernel),
    Host {
        function: HostFn,
        argument: usize,
    },
    /// Waits until a word in memory matches.
    Wait {
        address: usize,
        value: u32,
        flags: u32,
    },
    Set {
        address: usize,
        bytes: Arc<[u8]>,
        count: usize,
    },
    Copy {
        to: usize,
        from: usize,
        length: usize,
    },
    /// Writes bytes that the call has copied.
    Write {
        to: usize,
        bytes: Arc<[u8]>,
    },
    Free {
        address: usize,
    },
    /// Fails and breaks the context, as a kernel can.
    Fail(Code),
}

impl State {
    /// Enqueues work. Adds it to the capture if the stream is capturing.
    pub fn submit(&mut self, stream: usize, work: Work) -> Answer {
        if let Some(capture) = self.capture_of(stream)? {
            return self.capture_work(stream, capture, work);
        }
        self.apply_implicit_sync(stream)?;
        let it = self.streams.get(stream);
        execute(&it.host, &self.contexts.get(it.context).fault, work)
    }
}

/// Enqueues `body` on a stream. It is skipped if the context has failed by then.
fn launch(host: &HostStream, fault: &Fault, body: impl FnOnce(&Fault) + Send + 'static) -> Answer {
    let fault = Arc::clone(fault);
    let task = move || {
        if fault.load(Ordering::Acquire) == 0 {
            body(&fault);
        }
    };
    host.launch(task).map_err(host_error)
}

/// Marks a context as failed. Only the first failure is kept.
pub fn fail(fault: &Fault, code: Code) {
    let _ = fault.compare_exchange(0, code.0, Ordering::AcqRel, Ordering::Acquire);
}

/// Blocks a stream until the gate that `begin` receives is opened. `begin` runs when the stream
/// reaches it.
fn block_stream(
    host: &HostStream,
    fault: &Fault,
    begin: impl FnOnce(Arc<Gate>, &Fault) + Send + 'static,
) -> Answer {
    let gate = Arc::new(Gate::new(host_device()?).map_err(host_error)?);
    let opened = Arc::clone(&gate);
    let fault = Arc::clone(fault);
    let task = move || match fault.load(Ordering::Acquire) {
        0 => begin(opened, &fault),
        _ => opened.open(),
    };
    host.launch(task).map_err(host_error)?;
    host.wait_event(gate.event()).map_err(host_error)
}

/// Enqueues work on a stream that is not capturing.
pub fn execute(host: &HostStream, fault: &Fault, work: Work) -> Answer {
    match work {
        Work::Kernel(kernel) => {
            if let Some(time) = kernel.time() {
                block_stream(host, fault, move |gate, fault| {
                    gates::open_when(gate, Condition::after(time), fault);
                })?;
            }
            launch(host, fault, move |fault| {
                if let Err(code) = kernel.run() {
                    fail(fault, code);
                }
            })
        }
        Work::Host { function, argument } => block_stream(host, fault, move |gate, fault| {
            HostFuncCall { function, argument, fault: Arc::clone(fault), gate }.dispatch();
        }),
        Work::Wait { address, value, flags } => block_stream(host, fault, move |gate, fault| {
            gates::open_when(gate, Condition::Word { address, value, flags }, fault);
        }),
        Work::Set { address, bytes, count } => launch(host, fault, move |fault| {
            if let Err(code) = memory::fill(address, &bytes, count) {
                fail(fault, code);
            }
        }),
        Work::Copy { to, from, length } => launch(host, fault, move |fault| {
            if let Err(code) = memory::copy(to, from, length) {
                fail(fault, code);
            }
        }),
        Work::Write { to, bytes } => launch(host, fault, move |fault| {
            if let Err(code) = memory::write(to, &bytes) {
                fail(fault, code);
            }
        }),
        Work::Free { address } => launch(host, fault, move |_| memory::free(address)),
        Work::Fail(code) => launch(host, fault, move |fault| fail(fault, code)),
    }
}

exports! {
    // The simulator's own function: enqueues work that fails with the code.
    initialized cuda_sim_fail(stream: Ptr, code: c_int) {
        if code <= 0 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Fail(Code(code)))
    }

    inside cuLaunchHostFunc(stream: Ptr, function: Option<HostFn>, argument: *mut c_void) {
        let function = function.ok_or(Code::INVALID_VALUE)?;
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Host { function, argument: argument.expose_provenance() })
    }

    // Measured on an H100: the flag 1 of the older form, a write without a memory barrier, is an error here.
    initialized cuStreamWriteValue32_v2(stream: Ptr, address: u64, value: u32, flags: u32) {
        let address = memory::word(address)?;
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Kernel(Kernel::Store { to: address, value, time: None }))
    }

    initialized cuStreamWaitValue32_v2(stream: Ptr, address: u64, value: u32, flags: u32) {
        let address = memory::word(address)?;
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Wait { address, value, flags })
    }
}
