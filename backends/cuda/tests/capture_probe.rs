//! What each driver function does to a capture: prints a table, and checks that the backend makes each call
//! in a harmless way.

mod support;

use std::ffi::{c_int, c_void};
use std::process::ExitCode;
use std::ptr::null_mut;

use gpu_stream_test_support::shared::capture_probe::{Column, Effect, Table, check_effects};
use support::bare::{Bare, Ptr, Space, bare, enter, ok, set_capture_mode, set_current};
use support::capture::Capture;

fn main() -> ExitCode {
    support::main(&[
        ("effect_of_each_call_on_a_capture", effect_of_each_call_on_a_capture),
        ("state_of_events_after_their_capture", state_of_events_after_their_capture),
    ])
}

/// The objects that a call can name.
struct Things {
    context: Ptr,
    captured: Ptr,
    /// An event that was recorded on `captured`, inside of the capture.
    captured_event: Ptr,
    /// A timed event that was recorded on `captured`, inside of the capture.
    captured_timed: Ptr,
    /// An event of another context.
    foreign_event: Ptr,
    other: Ptr,
    /// An event that was recorded on `other`, and is complete.
    events: [Ptr; 2],
    /// Objects for a call to destroy.
    last_stream: Ptr,
    last_event: Ptr,
    memory: u64,
}

// SAFETY: the driver accepts its handles on any thread.
unsafe impl Sync for Things {}

/// How the backend makes the call.
enum Made {
    /// Without a change of the capture mode.
    Plain,
    /// In the relaxed mode.
    CaptureModeGuard,
    /// In any mode; fails if the event and the stream belong to different contexts.
    Foreign,
    /// The backend does not make the call.
    Never,
}
use Made::{CaptureModeGuard, Foreign, Never, Plain};

/// `CUDA_ERROR_INVALID_HANDLE`.
const INVALID_HANDLE: c_int = 400;

type Call = unsafe fn(&Bare, &Things) -> c_int;

unsafe extern "C" fn nothing(_: *mut c_void) {}

macro_rules! calls {
    (|$driver:ident, $things:ident| $($name:literal $made:ident $call:expr;)*) => {
        const CALLS: &[(&str, Made, Call)] = &[$((
            $name,
            $made,
            // SAFETY: the objects are alive (caller contract), and all out-pointers are valid.
            |$driver, $things| unsafe { let _ = $things; $call },
        )),*];
    };
}

calls! { |d, t|
    "cuInit" Plain (d.init)(0);
    "cuDeviceGetCount" Plain (d.device_count)(&mut 0);
    "cuDeviceGet" Plain (d.device_get)(&mut 0, 0);
    "cuDeviceGetName" Plain (d.device_name)([0; 256].as_mut_ptr(), 256, 0);
    "cuDevicePrimaryCtxRetain" CaptureModeGuard (d.primary_retain)(&mut null_mut(), 0);
    "cuDevicePrimaryCtxGetState" CaptureModeGuard (d.primary_state)(0, &mut 0, &mut 0);
    "cuCtxGetCurrent" Plain (d.ctx_current)(&mut null_mut());
    "cuCtxSetCurrent" Plain (d.ctx_set_current)(t.context);
    "cuCtxPushCurrent, cuCtxPopCurrent" Plain (d.ctx_push)(t.context) + (d.ctx_pop)(&mut null_mut());
    "cuCtxSynchronize" Never (d.ctx_synchronize)();
    "cuCtxGetDevice" CaptureModeGuard (d.ctx_device)(&mut 0);
    "cuCtxGetStreamPriorityRange" CaptureModeGuard (d.ctx_priorities)(&mut 0, &mut 0);
    "cuStreamCreateWithPriority" CaptureModeGuard (d.stream_create)(&mut null_mut(), 1, 0);
    "cuStreamDestroy" CaptureModeGuard (d.stream_destroy)(t.last_stream);
    "cuStreamIsCapturing" Plain (d.capture_status)(t.other, &mut 0);
    "cuStreamIsCapturing, captured" Plain (d.capture_status)(t.captured, &mut 0);
    "cuStreamGetCaptureInfo, captured" Plain (d.capture_info)(t.captured, &mut 0, &mut 0, null_mut(), null_mut(), null_mut());
    "cuStreamGetCtx" Plain (d.stream_context)(t.other, &mut null_mut());
    "cuStreamGetCtx, captured" Plain (d.stream_context)(t.captured, &mut null_mut());
    "cuStreamGetId" CaptureModeGuard (d.stream_id)(t.other, &mut 0);
    "cuStreamGetId, captured" Never (d.stream_id)(t.captured, &mut 0);
    "cuStreamGetPriority" CaptureModeGuard (d.stream_priority)(t.other, &mut 0);
    "cuStreamGetPriority, captured" CaptureModeGuard (d.stream_priority)(t.captured, &mut 0);
    "cuStreamQuery" CaptureModeGuard (d.stream_query)(t.other);
    "cuStreamQuery, captured" Never (d.stream_query)(t.captured);
    "cuStreamSynchronize" CaptureModeGuard (d.stream_synchronize)(t.other);
    "cuStreamSynchronize, captured" Never (d.stream_synchronize)(t.captured);
    "cuLaunchHostFunc" Plain (d.launch_host_func)(t.other, nothing, null_mut());
    "cuLaunchHostFunc, captured" Never (d.launch_host_func)(t.captured, nothing, null_mut());
    "cuEventCreate" CaptureModeGuard (d.event_create)(&mut null_mut(), 2);
    "cuEventDestroy" CaptureModeGuard (d.event_destroy)(t.last_event);
    "cuEventRecord" Plain (d.event_record)(t.last_event, t.other);
    "cuEventRecord, captured" Plain (d.event_record)(t.last_event, t.captured);
    // The event is then like any other, also while its former capture continues.
    "cuEventRecord, captured event" Plain (d.event_record)(t.captured_event, t.other);
    "cuEventRecord, foreign event" Foreign (d.event_record)(t.foreign_event, t.other);
    "cuEventRecord, captured, foreign event" Foreign (d.event_record)(t.foreign_event, t.captured);
    "cuEventQuery" CaptureModeGuard (d.event_query)(t.events[0]);
    "cuEventQuery, captured" Never (d.event_query)(t.captured_event);
    "cuEventSynchronize" CaptureModeGuard (d.event_synchronize)(t.events[0]);
    "cuEventSynchronize, captured" Never (d.event_synchronize)(t.captured_event);
    "cuEventElapsedTime" CaptureModeGuard (d.event_elapsed)(&mut 0.0, t.events[0], t.events[1]);
    "cuEventElapsedTime, untimed" Never (d.event_elapsed)(&mut 0.0, t.last_event, t.last_event);
    "cuEventElapsedTime, captured untimed" Never (d.event_elapsed)(&mut 0.0, t.captured_event, t.captured_event);
    "cuEventElapsedTime, captured timed" Never (d.event_elapsed)(&mut 0.0, t.captured_timed, t.captured_timed);
    "cuEventElapsedTime, to captured untimed" Never (d.event_elapsed)(&mut 0.0, t.events[0], t.captured_event);
    "cuEventElapsedTime, to captured timed" Never (d.event_elapsed)(&mut 0.0, t.events[0], t.captured_timed);
    "cuStreamWaitEvent" Plain (d.stream_wait_event)(t.other, t.events[0], 0);
    "cuStreamWaitEvent, captured event" Plain (d.stream_wait_event)(t.other, t.captured_event, 0);
    // A misuse: the driver rejects it, and the caller has to know.
    "cuStreamWaitEvent, by captured" Never (d.stream_wait_event)(t.captured, t.events[0], 0);
    "cuMemAlloc" Never (d.mem_alloc)(&mut 0, 4);
    "cuMemFree" Never (d.mem_free)(t.memory);
}

/// Returns a new event of the current context, recorded on the stream and complete.
fn event_on(stream: Ptr, flags: u32) -> Ptr {
    let mut event = null_mut();
    // SAFETY: the out-pointer is valid, and the stream is alive.
    unsafe {
        ok("event_create", (bare().event_create)(&mut event, flags));
        ok("event_record", (bare().event_record)(event, stream));
        ok("stream_synchronize", (bare().stream_synchronize)(stream));
    }
    event
}

impl Things {
    fn new() -> Self {
        let space = Space::primary();
        let _current = enter(space.context);
        let (captured, other) = (space.stream(1, 0), space.stream(1, 0));
        let mut things = Things {
            context: space.context,
            captured,
            captured_event: event_on(other, 2),
            captured_timed: event_on(other, 0),
            foreign_event: {
                let second = Space::second();
                let _current = enter(second.context);
                event_on(second.stream(1, 0), 2)
            },
            other,
            events: [event_on(other, 0), event_on(other, 0)],
            last_stream: null_mut(),
            last_event: null_mut(),
            memory: 0,
        };
        things.renew();
        things
    }

    /// Replaces the objects that a call has destroyed.
    fn renew(&mut self) {
        let space = Space::primary();
        let _current = enter(space.context);
        self.last_stream = space.stream(1, 0);
        self.last_event = event_on(self.other, 2);
        self.memory = space.words(1);
    }
}

/// Returns the code of the call, and the capture's end.
fn probe(things: &Things, call: Call, column: Column) -> Effect {
    let _current = enter(things.context);
    let capture = Capture::begin(things.captured, column.capture);
    for event in [things.captured_event, things.captured_timed] {
        // SAFETY: both are alive.
        ok("event_record", unsafe { (bare().event_record)(event, things.captured) });
    }
    capture.alive("a record in the capture");
    let make = || {
        set_current(things.context);
        set_capture_mode(column.thread);
        // SAFETY: the objects are alive: those that a call destroys are replaced after it.
        let code = unsafe { call(bare(), things) };
        set_capture_mode(0);
        code
    };
    let code = column.make(make);
    let status = capture.status();
    drop(capture);
    Space::primary().synchronize(things.other);
    (code, status)
}

/// Checks that the simulated driver answers as the real one did when the table was made.
fn check(table: &Table) {
    const MEASURED: &str =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/measurements/cuda-capture-h100.txt");
    if !support::is_simulated() {
        return;
    }
    match std::fs::read_to_string(MEASURED) {
        Ok(measured) if measured.contains(&table.0) => {}
        Ok(measured) => {
            let unlike: Vec<_> = table.0.lines().filter(|line| !measured.contains(line)).collect();
            panic!("unlike a real driver:\n{}", unlike.join("\n"));
        }
        Err(error) => eprintln!("note: not compared with the real driver's table: {error}"),
    }
}

fn effect_of_each_call_on_a_capture() {
    let (mut table, mut things) = (Table::default(), Things::new());
    let probe = |name: &str, call: Call, column: Column| {
        let effect = probe(&things, call, column);
        if ["cuStreamDestroy", "cuEventDestroy", "cuMemFree"].contains(&name) {
            things.renew();
        }
        effect
    };
    check_effects(&mut table, "the driver's code", CALLS, probe, |made, column, effect| {
        let wanted = match made {
            Plain => Some(0),
            CaptureModeGuard if column.thread == 2 => Some(0),
            Foreign => Some(INVALID_HANDLE),
            _ => None,
        };
        wanted.is_some_and(|wanted| effect != (wanted, Ok(1)))
    });
    check(&table);
}

/// How a capture ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Ended,
    /// It was invalidated before its end.
    Broken,
    /// It was invalidated, and is not ended.
    BrokenOnly,
}

/// The driver's answers for an event that was recorded in a capture that has ended. The backend does not
/// ask, and returns `InvalidEvent` at once. The code does not tell such an event from a bad argument, and a
/// captured stream that waits for one loses its own capture.
fn state_of_events_after_their_capture() {
    type Ask = unsafe fn(&Bare, Ptr, Ptr) -> c_int;
    const NAMES: [&str; 4] =
        ["cuEventElapsedTime", "cuEventQuery", "cuEventSynchronize", "cuStreamWaitEvent"];
    // SAFETY: the callers below pass live events and streams.
    const ASKS: [Ask; 4] = unsafe {
        [
            |d, event, _| (d.event_elapsed)(&mut 0.0, event, event),
            |d, event, _| (d.event_query)(event),
            |d, event, _| (d.event_synchronize)(event),
            |d, event, stream| (d.stream_wait_event)(stream, event, 0),
        ]
    };
    let things = Things::new();
    let _current = enter(things.context);
    let mut seen = Table::default();
    seen.say("What the driver answers about an event that was recorded in a capture, by the mode");
    seen.say("of the capture and how it came to its end. In the relaxed mode.");
    let [first, second, third, fourth] = NAMES;
    seen.say(&format!("{:<30} {first:>22} {second:>14} {third:>20} {fourth:>20}", ""));
    let mut unlike = Vec::new();
    for mode in [0, 1, 2] {
        for end in [End::Ended, End::Broken, End::BrokenOnly] {
            for (name, event) in
                [("untimed", things.captured_event), ("timed", things.captured_timed)]
            {
                let codes = ASKS.map(|ask| {
                    let capture = Capture::begin(things.captured, mode);
                    // SAFETY: all handles are alive.
                    ok("event_record", unsafe { (bare().event_record)(event, things.captured) });
                    if !matches!(end, End::Ended) {
                        // SAFETY: the stream is alive.
                        unsafe { (bare().stream_query)(things.captured) };
                    }
                    let capture = match end {
                        End::BrokenOnly => Some(capture),
                        _ => {
                            let _ = capture.end();
                            None
                        }
                    };
                    set_capture_mode(2);
                    // SAFETY: the event and the stream are alive.
                    let code = unsafe { ask(bare(), event, things.other) };
                    set_capture_mode(0);
                    drop(capture);
                    Space::primary().synchronize(things.other);
                    code
                });
                let [elapsed, query, synchronize, wait] = codes;
                let row = format!("mode {mode}, {end:?}, {name}");
                let codes = format!("{elapsed:>22} {query:>14} {synchronize:>20} {wait:>20}");
                seen.say(&format!("{row:<30} {codes}"));
                // If a stale event answered as a valid one, the backend could ask it.
                if [query, synchronize, wait].contains(&0) {
                    unlike.push(row);
                }
            }
        }
    }
    // A stream that is itself being captured.
    for mode in [0, 1, 2] {
        drop(Capture::begin(things.captured, mode));
        let capture = Capture::begin(things.captured, mode);
        // SAFETY: all handles are alive.
        ok("event_record", unsafe {
            (bare().event_record)(things.captured_event, things.captured)
        });
        drop(capture.end());
        let capture = Capture::begin(things.captured, mode);
        // SAFETY: all handles are alive.
        let code = unsafe { (bare().stream_wait_event)(things.captured, things.captured_event, 0) };
        let status = capture.status();
        seen.say(&format!(
            "mode {mode}, a wait in the next capture: {code}, which is then {status:?}"
        ));
        if code == 0 || status == Ok(1) {
            unlike.push(format!("mode {mode}, a wait in the next capture"));
        }
    }
    check(&seen);
    assert!(unlike.is_empty(), "unlike what the backend assumes: {unlike:?}");
}
