//! The effect of each runtime function on a capture: prints a table, and checks that the backend makes
//! each call in a harmless way.

mod support;

use std::ffi::{c_int, c_void};
use std::process::ExitCode;
use std::ptr::null_mut;

use gpu_stream_test_support::shared::capture_probe::{Column, Effect, Table, check_effects};
use support::bare::{
    Bare, Ptr, bare, new_event, new_stream, ok, record, set_capture_mode, synchronize, version,
};
use support::capture::Capture;

fn main() -> ExitCode {
    support::main(&[("effect_of_each_call_on_a_capture", effect_of_each_call_on_a_capture)])
}

/// The objects of the calls.
struct Objects {
    captured: Ptr,
    /// An event that was recorded on `captured`, inside the capture.
    captured_event: Ptr,
    /// An event that was recorded on `captured`, before the capture.
    earlier_event: Ptr,
    other: Ptr,
    /// Events that were recorded on `other`, and are complete.
    events: [Ptr; 2],
    /// Destroyed by the call under test, as is `last_event`.
    last_stream: Ptr,
    last_event: Ptr,
    memory: Ptr,
}

// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Send for Objects {}
// SAFETY: the runtime accepts its handles on any thread.
unsafe impl Sync for Objects {}

/// How the backend makes a call.
enum Policy {
    /// In the thread's own capture mode.
    Plain,
    /// In the relaxed mode on HIP's NVIDIA platform and in untested versions, else in the thread's own.
    RelaxedIfUnsure,
    /// In the relaxed mode since HIP 6.
    RelaxedSince6,
    /// In the relaxed mode since HIP 7.
    RelaxedSince7,
    /// In the relaxed mode since HIP 7, and not at all in HIP 6.
    RelaxedSince7NotIn6,
    /// Not at all.
    Never,
}
use Policy::{Never, Plain, RelaxedIfUnsure, RelaxedSince6, RelaxedSince7, RelaxedSince7NotIn6};

impl Policy {
    /// Returns `true` if the backend makes the call on a thread in this mode, in this version.
    fn allows(&self, mode: c_int, version: c_int) -> bool {
        let is_tested = (50_000_000..70_300_000).contains(&version);
        let is_before = |since: c_int| is_tested && version < since;
        let is_never = match self {
            Never => true,
            RelaxedSince7NotIn6 => (60_000_000..70_000_000).contains(&version),
            _ => false,
        };
        // A call that the backend makes in the thread's own mode can come in any mode.
        let in_any_mode = match self {
            Plain => true,
            RelaxedIfUnsure => is_tested,
            RelaxedSince6 => is_before(60_000_000),
            RelaxedSince7 | RelaxedSince7NotIn6 => is_before(70_000_000),
            Never => false,
        };
        !is_never && (in_any_mode || mode == 2)
    }
}

type Call = unsafe fn(&Bare, &Objects) -> c_int;

unsafe extern "C" fn nothing(_: *mut c_void) {}

macro_rules! calls {
    (|$driver:ident, $objects:ident| $($name:literal $policy:ident $call:expr;)*) => {
        const CALLS: &[(&str, Policy, Call)] = &[$((
            $name,
            $policy,
            // SAFETY: all objects are alive (caller contract), and all out-pointers are valid.
            |$driver, $objects| unsafe { let _ = $objects; $call },
        )),*];
    };
}

unsafe extern "C" fn nothing_back(_: Ptr, _: c_int, _: *mut c_void) {}

calls! { |d, t|
    "hipGetDeviceCount" Plain (d.device_count)(&mut 0);
    "hipDeviceGet" Plain (d.device_get)(&mut 0, 0);
    "hipDeviceGetName" Plain (d.device_name)([0; 256].as_mut_ptr(), 256, 0);
    "hipGetDevice" Plain (d.get_device)(&mut 0);
    "hipSetDevice" Plain (d.set_device)(0);
    "hipPeekAtLastError, hipGetLastError" Plain { (d.peek_error)(); (d.last_error)(); 0 };
    "hipDeviceGetStreamPriorityRange" RelaxedIfUnsure (d.device_priorities)(&mut 0, &mut 0);
    "hipStreamCreateWithPriority" RelaxedIfUnsure (d.stream_create)(&mut null_mut(), 1, 0);
    "hipStreamDestroy" RelaxedIfUnsure (d.stream_destroy)(t.last_stream);
    "hipStreamIsCapturing" Plain (d.capture_status)(t.other, &mut 0);
    "hipStreamIsCapturing, captured" Plain (d.capture_status)(t.captured, &mut 0);
    "hipStreamIsCapturing, default" Plain (d.capture_status)(null_mut(), &mut 0);
    "hipStreamGetCaptureInfo_v2, captured" Plain (d.capture_info)(t.captured, &mut 0, &mut 0, null_mut(), null_mut(), null_mut());
    "hipStreamGetDevice" RelaxedIfUnsure d.stream_device.map_or(0, |f| f(t.other, &mut 0));
    "hipStreamGetDevice, captured" RelaxedIfUnsure d.stream_device.map_or(0, |f| f(t.captured, &mut 0));
    "hipStreamGetId" RelaxedIfUnsure d.stream_id.map_or(0, |f| f(t.other, &mut 0));
    "hipStreamGetId, captured" Never d.stream_id.map_or(0, |f| f(t.captured, &mut 0));
    "hipStreamGetPriority" RelaxedIfUnsure (d.stream_priority)(t.other, &mut 0);
    "hipStreamGetPriority, captured" RelaxedIfUnsure (d.stream_priority)(t.captured, &mut 0);
    "hipStreamQuery" RelaxedSince6 ready((d.stream_query)(t.other));
    "hipStreamQuery, captured" Never (d.stream_query)(t.captured);
    "hipStreamQuery, default" RelaxedSince6 ready((d.stream_query)(null_mut()));
    "hipStreamSynchronize" Never (d.stream_synchronize)(t.other);
    "hipStreamSynchronize, captured" Never (d.stream_synchronize)(t.captured);
    "hipLaunchHostFunc" Plain d.launch_host_func.map_or(0, |f| f(t.other, nothing, null_mut()));
    "hipLaunchHostFunc, captured" Never d.launch_host_func.map_or(0, |f| f(t.captured, nothing, null_mut()));
    "hipStreamAddCallback" Plain (d.add_callback)(t.other, nothing_back, null_mut(), 0);
    "hipStreamAddCallback, captured" Never (d.add_callback)(t.captured, nothing_back, null_mut(), 0);
    "hipEventCreateWithFlags" RelaxedIfUnsure (d.event_create)(&mut null_mut(), 2);
    "hipEventDestroy" RelaxedIfUnsure (d.event_destroy)(t.last_event);
    "hipEventRecord" Plain (d.event_record)(t.last_event, t.other);
    "hipEventRecord, captured" Plain (d.event_record)(t.last_event, t.captured);
    "hipEventRecord, default" Plain (d.event_record)(t.last_event, null_mut());
    "hipEventQuery" RelaxedSince7 ready((d.event_query)(t.events[0]));
    "hipEventQuery, earlier event" RelaxedSince7NotIn6 ready((d.event_query)(t.earlier_event));
    "hipEventQuery, captured event" Never ready((d.event_query)(t.captured_event));
    "hipEventSynchronize" Never (d.event_synchronize)(t.events[0]);
    "hipEventSynchronize, earlier event" Never (d.event_synchronize)(t.earlier_event);
    "hipEventSynchronize, captured event" Never (d.event_synchronize)(t.captured_event);
    "hipEventElapsedTime" RelaxedIfUnsure (d.event_elapsed)(&mut 0.0, t.events[0], t.events[1]);
    "hipEventElapsedTime, earlier event" RelaxedIfUnsure (d.event_elapsed)(&mut 0.0, t.earlier_event, t.earlier_event);
    "hipStreamWaitEvent" Plain (d.stream_wait_event)(t.other, t.events[0], 0);
    "hipStreamWaitEvent, earlier event" Plain (d.stream_wait_event)(t.other, t.earlier_event, 0);
    "hipStreamWaitEvent, captured event" Plain (d.stream_wait_event)(t.other, t.captured_event, 0);
    // A misuse that the caller must learn from the runtime's answer.
    "hipStreamWaitEvent, by captured" Never (d.stream_wait_event)(t.captured, t.events[0], 0);
    "hipMalloc" Never (d.mem_alloc)(&mut null_mut(), 4);
    "hipFree" Never (d.mem_free)(t.memory);
}

/// Maps "not ready" to success.
fn ready(code: c_int) -> c_int {
    if code == 600 { 0 } else { code }
}

/// Creates an event, records it on the stream and waits for it.
fn event_on(stream: Ptr, flags: u32) -> Ptr {
    let event = new_event(flags);
    record(event, stream);
    synchronize(stream);
    event
}

impl Objects {
    fn new() -> Self {
        let (captured, other) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let mut memory = null_mut();
        // SAFETY: `&mut memory` is a valid out-pointer.
        ok("mem_alloc", unsafe { (bare().mem_alloc)(&mut memory, 4) });
        Objects {
            captured,
            captured_event: event_on(other, 2),
            earlier_event: event_on(other, 0),
            other,
            events: [event_on(other, 0), event_on(other, 0)],
            last_stream: new_stream(0, 1, 0),
            last_event: event_on(other, 2),
            memory,
        }
    }

    /// Replaces objects that were destroyed, or drawn into the capture.
    fn renew(&mut self) {
        let renew = || {
            set_capture_mode(2);
            *self = Objects::new();
        };
        std::thread::scope(|scope| scope.spawn(renew).join().expect("another thread"));
    }
}

/// Makes a call beside a capture. Returns the call's code and the capture's status.
///
/// Runs on threads of its own, because HIP keeps rejecting calls on the thread of a broken capture.
fn probe(objects: &Objects, call: Call, column: Column) -> Effect {
    let make = || {
        set_capture_mode(column.thread);
        // SAFETY: the objects are alive: they are replaced after each call.
        let code = unsafe { call(bare(), objects) };
        set_capture_mode(0);
        code
    };
    let probe = || {
        record(objects.earlier_event, objects.captured);
        let capture = Capture::begin(objects.captured, column.capture);
        record(objects.captured_event, objects.captured);
        capture.alive("a record in the capture");
        let code = column.make(make);
        (code, capture.status())
    };
    std::thread::scope(|scope| scope.spawn(probe).join().expect("the capturing thread"))
}

fn effect_of_each_call_on_a_capture() {
    println!("HIP {}", version());
    let mut objects = Objects::new();
    let probe = |_: &str, call: Call, column: Column| {
        let effect = probe(&objects, call, column);
        objects.renew();
        effect
    };
    let cell = "the runtime's code, not ready as 0";
    check_effects(&mut Table::default(), cell, CALLS, probe, |policy, column, (_, status)| {
        // The runtime rejects some calls beside an active capture. The backend reports those errors.
        policy.allows(column.thread, version()) && status != Ok(1)
    });
}
