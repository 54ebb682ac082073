//! What each of the runtime's functions does to a capture: a table, for the record, and a check that
//! the backend makes each in a way that is harmless.

mod support;

use std::ffi::{c_int, c_void};
use std::process::ExitCode;
use std::ptr::null_mut;

use support::bare::{Bare, Ptr, bare, new_stream, ok, set_capture_mode, version};
use support::capture::Capture;

fn main() -> ExitCode {
    support::main(&[("what_calls_do_to_a_capture", what_calls_do_to_a_capture)])
}

/// What a call may be made on.
struct Things {
    captured: Ptr,
    /// Recorded on `captured`, inside of the capture.
    captured_event: Ptr,
    /// Recorded on `captured`, before the capture.
    earlier_event: Ptr,
    other: Ptr,
    /// Recorded on `other`, and complete.
    events: [Ptr; 2],
    /// To be destroyed.
    last_stream: Ptr,
    last_event: Ptr,
    memory: Ptr,
}

// SAFETY: handles may be used from any thread.
unsafe impl Send for Things {}
// SAFETY: as above.
unsafe impl Sync for Things {}

/// How the backend makes the call.
enum Made {
    /// As it is.
    Plain,
    /// In the relaxed mode on HIP's NVIDIA platform and in versions that nobody tried; else as it is.
    Careful,
    /// In the relaxed mode since HIP 6.
    Since6,
    /// In the relaxed mode since HIP 7.
    Since7,
    /// In the relaxed mode since HIP 7, and in HIP 6 not at all.
    NotIn6,
    /// Not at all.
    Never,
}
use Made::{Careful, Never, NotIn6, Plain, Since6, Since7};

impl Made {
    /// Whether the backend makes the call so on a thread in this mode, in this version.
    fn so(&self, mode: c_int, version: c_int) -> bool {
        let is_tried = (50_000_000..70_300_000).contains(&version);
        let is_before = |since: c_int| is_tried && version < since;
        let never = match self {
            Never => true,
            NotIn6 => (60_000_000..70_000_000).contains(&version),
            _ => false,
        };
        // What is made as it is, is made in whichever mode the thread is.
        let as_it_is = match self {
            Plain => true,
            Careful => is_tried,
            Since6 => is_before(60_000_000),
            Since7 | NotIn6 => is_before(70_000_000),
            Never => false,
        };
        !never && (as_it_is || mode == 2)
    }
}

type Call = unsafe fn(&Bare, &Things) -> c_int;

unsafe extern "C" fn nothing(_: *mut c_void) {}

macro_rules! calls {
    (|$driver:ident, $things:ident| $($name:literal $made:ident $call:expr;)*) => {
        const CALLS: &[(&str, Made, Call)] = &[$((
            $name,
            $made,
            // SAFETY: the caller promises that the things are alive; what is written has its place.
            |$driver, $things| unsafe { let _ = $things; $call },
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
    "hipDeviceGetStreamPriorityRange" Careful (d.device_priorities)(&mut 0, &mut 0);
    "hipStreamCreateWithPriority" Careful (d.stream_create)(&mut null_mut(), 1, 0);
    "hipStreamDestroy" Careful (d.stream_destroy)(t.last_stream);
    "hipStreamIsCapturing" Plain (d.capture_status)(t.other, &mut 0);
    "hipStreamIsCapturing, captured" Plain (d.capture_status)(t.captured, &mut 0);
    "hipStreamIsCapturing, default" Plain (d.capture_status)(null_mut(), &mut 0);
    "hipStreamGetCaptureInfo_v2, captured" Plain (d.capture_info)(t.captured, &mut 0, &mut 0, null_mut(), null_mut(), null_mut());
    "hipStreamGetDevice" Careful d.stream_device.map_or(0, |f| f(t.other, &mut 0));
    "hipStreamGetDevice, captured" Careful d.stream_device.map_or(0, |f| f(t.captured, &mut 0));
    "hipStreamGetId" Careful d.stream_id.map_or(0, |f| f(t.other, &mut 0));
    "hipStreamGetId, captured" Never d.stream_id.map_or(0, |f| f(t.captured, &mut 0));
    "hipStreamGetPriority" Careful (d.stream_priority)(t.other, &mut 0);
    "hipStreamGetPriority, captured" Careful (d.stream_priority)(t.captured, &mut 0);
    "hipStreamQuery" Since6 ready((d.stream_query)(t.other));
    "hipStreamQuery, captured" Never (d.stream_query)(t.captured);
    "hipStreamQuery, default" Since6 ready((d.stream_query)(null_mut()));
    "hipStreamSynchronize" Never (d.stream_synchronize)(t.other);
    "hipStreamSynchronize, captured" Never (d.stream_synchronize)(t.captured);
    "hipLaunchHostFunc" Plain d.launch_host_func.map_or(0, |f| f(t.other, nothing, null_mut()));
    "hipLaunchHostFunc, captured" Never d.launch_host_func.map_or(0, |f| f(t.captured, nothing, null_mut()));
    "hipStreamAddCallback" Plain (d.add_callback)(t.other, nothing_back, null_mut(), 0);
    "hipStreamAddCallback, captured" Never (d.add_callback)(t.captured, nothing_back, null_mut(), 0);
    "hipEventCreateWithFlags" Careful (d.event_create)(&mut null_mut(), 2);
    "hipEventDestroy" Careful (d.event_destroy)(t.last_event);
    "hipEventRecord" Plain (d.event_record)(t.last_event, t.other);
    "hipEventRecord, captured" Plain (d.event_record)(t.last_event, t.captured);
    "hipEventRecord, default" Plain (d.event_record)(t.last_event, null_mut());
    "hipEventQuery" Since7 ready((d.event_query)(t.events[0]));
    "hipEventQuery, earlier event" NotIn6 ready((d.event_query)(t.earlier_event));
    "hipEventQuery, captured event" Never ready((d.event_query)(t.captured_event));
    "hipEventSynchronize" Never (d.event_synchronize)(t.events[0]);
    "hipEventSynchronize, earlier event" Never (d.event_synchronize)(t.earlier_event);
    "hipEventSynchronize, captured event" Never (d.event_synchronize)(t.captured_event);
    "hipEventElapsedTime" Careful (d.event_elapsed)(&mut 0.0, t.events[0], t.events[1]);
    "hipEventElapsedTime, earlier event" Careful (d.event_elapsed)(&mut 0.0, t.earlier_event, t.earlier_event);
    "hipStreamWaitEvent" Plain (d.stream_wait_event)(t.other, t.events[0], 0);
    "hipStreamWaitEvent, earlier event" Plain (d.stream_wait_event)(t.other, t.earlier_event, 0);
    "hipStreamWaitEvent, captured event" Plain (d.stream_wait_event)(t.other, t.captured_event, 0);
    // A misuse: what the runtime says of it, the caller has to know.
    "hipStreamWaitEvent, by captured" Never (d.stream_wait_event)(t.captured, t.events[0], 0);
    "hipMalloc" Never (d.mem_alloc)(&mut null_mut(), 4);
    "hipFree" Never (d.mem_free)(t.memory);
}

/// "Not ready" is an answer.
fn ready(code: c_int) -> c_int {
    if code == 600 { 0 } else { code }
}

/// A new event, recorded on the stream and complete.
fn event_on(stream: Ptr, flags: u32) -> Ptr {
    let mut event = null_mut();
    // SAFETY: a place for one event; the stream is alive.
    unsafe {
        ok("event_create", (bare().event_create)(&mut event, flags));
        ok("event_record", (bare().event_record)(event, stream));
        ok("stream_synchronize", (bare().stream_synchronize)(stream));
    }
    event
}

impl Things {
    fn new() -> Self {
        let (captured, other) = (new_stream(0, 1, 0), new_stream(0, 1, 0));
        let mut memory = null_mut();
        // SAFETY: a place for one pointer.
        ok("mem_alloc", unsafe { (bare().mem_alloc)(&mut memory, 4) });
        Things {
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

    /// In place of what was destroyed, or drawn into the capture.
    fn renew(&mut self) {
        let renew = || {
            set_capture_mode(2);
            *self = Things::new();
        };
        std::thread::scope(|scope| scope.spawn(renew).join().expect("another thread"));
    }
}

/// Where a call is made.
#[derive(Clone, Copy, Debug)]
struct Column {
    /// The mode of the capture.
    capture: c_int,
    /// Whether another thread calls than the one that captures.
    elsewhere: bool,
    /// The mode of the thread that calls.
    thread: c_int,
}

/// The code of the call, and what becomes of the capture.
///
/// On threads of its own: after a capture that was broken, HIP goes on to refuse calls on its thread.
fn probe(things: &Things, call: Call, column: Column) -> (c_int, Result<c_int, c_int>) {
    let make = || {
        set_capture_mode(column.thread);
        // SAFETY: the things are alive: they are made anew after each call.
        let code = unsafe { call(bare(), things) };
        set_capture_mode(0);
        code
    };
    let probe = || {
        // SAFETY: both are alive.
        let code = unsafe { (bare().event_record)(things.earlier_event, things.captured) };
        ok("event_record", code);
        let capture = Capture::begin(things.captured, column.capture);
        // SAFETY: as above.
        let code = unsafe { (bare().event_record)(things.captured_event, things.captured) };
        ok("event_record", code);
        capture.alive("a record in the capture");
        let code = if column.elsewhere {
            std::thread::scope(|scope| scope.spawn(make).join().expect("another thread"))
        } else {
            make()
        };
        (code, capture.status())
    };
    std::thread::scope(|scope| scope.spawn(probe).join().expect("the capturing thread"))
}

fn what_calls_do_to_a_capture() {
    let columns: Vec<Column> = [0, 1, 2]
        .into_iter()
        .flat_map(|capture| {
            [(false, 0), (false, 2), (true, 0), (true, 2)].map(|(elsewhere, thread)| Column {
                capture,
                elsewhere,
                thread,
            })
        })
        .collect();
    println!(
        "HIP {}. Each cell: the runtime's code, not ready as 0, and ! if the capture was broken after it.",
        version()
    );
    println!(
        "Columns: the mode of the capture (g global, t thread-local, r relaxed), the thread that"
    );
    println!("calls (own, other), and the mode of that thread.");
    print!("{:<40}", "");
    for Column { capture, elsewhere, thread } in &columns {
        let who = if *elsewhere { "oth" } else { "own" };
        let name = |mode: &c_int| ["g", "t", "r"][*mode as usize];
        print!(" {:>7}", format!("{}-{who}-{}", name(capture), name(thread)));
    }
    println!();
    let mut things = Things::new();
    let mut harmful = Vec::new();
    for (name, made, call) in CALLS {
        let mut row = format!("{name:<40}");
        for &column in &columns {
            let (code, status) = probe(&things, *call, column);
            things.renew();
            let mark = if status == Ok(1) { "" } else { "!" };
            row.push_str(&format!(" {:>7}", format!("{code}{mark}")));
            let ours = made.so(column.thread, version());
            // Some are refused beside a capture that goes on, and an error of ours says so.
            if ours && status != Ok(1) {
                harmful.push(format!("{name}: code {code}, the capture {status:?}; {column:?}"));
            }
        }
        println!("{row}");
    }
    assert!(harmful.is_empty(), "calls that the backend makes so:\n{}", harmful.join("\n"));
}
