//! Work: what a stream does, how it is enqueued, and how it is done.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gpu_stream_core::Stream as _;
use gpu_stream_host::{Gate, HostStream};

use crate::call::{Answer, Ptr, exports};
use crate::codes::Code;
use crate::gates::{self, Until};
use crate::host_funcs::{Call, HostFn};
use crate::kernels::Kernel;
use crate::memory;
use crate::state::{Fault, State, host_device, refused, state};

/// Something to do, as often as a graph is launched.
#[derive(Clone)]
pub enum Work {
    Kernel(Kernel),
    Host {
        function: HostFn,
        argument: usize,
    },
    /// Until a word in memory is right.
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
    /// Into memory, from what the call has copied.
    Write {
        to: usize,
        bytes: Arc<[u8]>,
    },
    Free {
        address: usize,
    },
    /// Fails, as a kernel does that breaks its context.
    Fail(Code),
}

impl State {
    /// Enqueues work, or notes it if the stream is captured.
    pub fn submit(&mut self, stream: usize, work: Work) -> Answer {
        if let Some(capture) = self.capture_of(stream)? {
            return self.note(stream, capture, work);
        }
        self.apply_implicit_sync(stream)?;
        let it = self.streams.get(stream);
        execute(&it.host, &self.contexts.get(it.context).fault, work)
    }
}

/// Has a stream do `body` when it comes to it, unless its context has failed by then.
fn launch(host: &HostStream, fault: &Fault, body: impl FnOnce(&Fault) + Send + 'static) -> Answer {
    let fault = Arc::clone(fault);
    let task = move || {
        if fault.load(Ordering::Acquire) == 0 {
            body(&fault);
        }
    };
    host.launch(task).map_err(refused)
}

/// Work of a context has failed, and the first failure is what it was.
pub fn fail(fault: &Fault, code: Code) {
    let _ = fault.compare_exchange(0, code.0, Ordering::AcqRel, Ordering::Acquire);
}

/// Holds a stream back from when it comes to it until the gate that `begin` gets is open.
fn hold(
    host: &HostStream,
    fault: &Fault,
    begin: impl FnOnce(Arc<Gate>, &Fault) + Send + 'static,
) -> Answer {
    let gate = Arc::new(Gate::new(host_device()?).map_err(refused)?);
    let theirs = Arc::clone(&gate);
    let fault = Arc::clone(fault);
    let task = move || match fault.load(Ordering::Acquire) {
        0 => begin(theirs, &fault),
        _ => theirs.open(),
    };
    host.launch(task).map_err(refused)?;
    host.wait_event(gate.event()).map_err(refused)
}

/// Enqueues work.
pub fn execute(host: &HostStream, fault: &Fault, work: Work) -> Answer {
    match work {
        Work::Kernel(kernel) => {
            if let Some(time) = kernel.time() {
                hold(host, fault, move |gate, fault| {
                    gates::hold(gate, Until::in_a_while(time), fault);
                })?;
            }
            launch(host, fault, move |fault| {
                if let Err(code) = kernel.run() {
                    fail(fault, code);
                }
            })
        }
        Work::Host { function, argument } => hold(host, fault, move |gate, fault| {
            Call { function, argument, fault: Arc::clone(fault), gate }.hand_over();
        }),
        Work::Wait { address, value, flags } => hold(host, fault, move |gate, fault| {
            gates::hold(gate, Until::Word { address, value, flags }, fault);
        }),
        Work::Set { address, bytes, count } => launch(host, fault, move |fault| {
            for index in 0..count {
                if let Err(code) = memory::write(address + index * bytes.len(), &bytes) {
                    return fail(fault, code);
                }
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
    // Not of the real driver: enqueues work that fails with the code.
    ready driver_sim_fail(stream: Ptr, code: c_int) {
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

    ready cuStreamWaitValue32_v2(stream: Ptr, address: u64, value: u32, flags: u32) {
        let address = memory::word(address)?;
        let mut state = state();
        let stream = state.stream(stream)?;
        state.submit(stream, Work::Wait { address, value, flags })
    }
}
