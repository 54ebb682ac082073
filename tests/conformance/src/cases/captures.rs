//! Captures that another library runs: the caller's stream is captured, and the library that gets
//! the stream does not know. Skipped where the backend has no graphs.

use std::sync::Arc;
use std::thread;

use super::support::*;
use crate::fixture::CaptureMode;

/// A stream that is being captured. Dropping it ends the capture: if a case fails, the driver would
/// otherwise refuse calls of the cases that follow.
struct Capture<'f, F: Fixture> {
    fx: &'f F,
    stream: StreamOf<F>,
    mode: CaptureMode,
    ended: bool,
}

impl<'f, F: Fixture> Capture<'f, F> {
    /// Begins a capture of a foreign stream.
    fn begin(fx: &'f F, mode: CaptureMode) -> Result<Self, Verdict> {
        Self::of(fx, callers(fx)?, mode)
    }

    fn of(fx: &'f F, stream: StreamOf<F>, mode: CaptureMode) -> Result<Self, Verdict> {
        fx.begin_capture(&stream, mode)?;
        Ok(Capture { fx, stream, mode, ended: false })
    }

    #[track_caller]
    fn check_alive(&self, after: &str) -> Outcome {
        let mode = self.mode;
        check(
            self.fx.is_capturing(&self.stream)?,
            format_args!("the capture, {mode:?}, is broken after {after}"),
        )
    }

    /// Checks that a call was refused as [`Capturing`](ErrorKind::Capturing), and that the capture
    /// survives. Returns the error's text.
    #[track_caller]
    fn check_refused<T, E: Error>(
        &self,
        call: &str,
        result: Result<T, E>,
    ) -> Result<String, Verdict> {
        let text = check_err(result, ErrorKind::Capturing, call)?;
        self.check_alive(call)?;
        Ok(text)
    }

    /// Ends the capture, and runs the graph once if `launch` is set.
    fn end(mut self, launch: bool) -> Result<Option<usize>, Verdict> {
        self.ended = true;
        let nodes = self.fx.end_capture(&self.stream, launch)?;
        if launch {
            self.stream.synchronize()?;
        }
        Ok(nodes)
    }
}

impl<F: Fixture> Drop for Capture<'_, F> {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.fx.end_capture(&self.stream, false);
        }
    }
}

/// Creates a foreign stream, as a caller passes it to a library.
fn callers<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    Ok(F::Backend::stream_from_owner(Arc::new(foreign(fx)?), None)?)
}

#[track_caller]
fn check_nodes(nodes: Option<usize>, least: usize) -> Outcome {
    let nodes = nodes.unwrap_or(least);
    check(nodes >= least, format_args!("the graph has {nodes} nodes, and should have {least}"))
}

/// Checks that query and synchronize of a captured stream are refused, and the capture survives;
/// `capture_status` reports it.
pub fn query_of_a_captured_stream<F: Fixture>(fx: &F) -> Outcome {
    let (from, to) = (fx.data(device(fx)?, 1)?, fx.data(device(fx)?, 0)?);
    for mode in CaptureMode::ALL {
        let capture = Capture::begin(fx, mode)?;
        let caller = &capture.stream;
        fx.copy(caller, &from, &to)?;
        for _ in 0..3 {
            capture.check_refused("query", caller.query())?;
            capture.check_refused("query of a clone", caller.clone().query())?;
            capture.check_refused("synchronize", caller.synchronize())?;
            let status = optional("capture status", caller.capture_status())?;
            check_eq(status, CaptureStatus::Active, "the capture status")?;
            capture.check_alive("capture_status")?;
        }
        let stream = caller.clone();
        check_nodes(capture.end(false)?, 1)?;
        check_eq(stream.capture_status()?, CaptureStatus::None, "the status afterwards")?;
        check(is_idle(fx, &stream)?, "query is false after the capture, with no work submitted")?;
    }
    check_eq(fx.load(&to)?, 0, "the number that captured work would change")
}

/// Checks that an event recorded in a capture is `Capturing` while the capture lasts,
/// `InvalidEvent` after it, and valid again once it is recorded outside.
pub fn event_of_a_capture<F: Fixture>(fx: &F) -> Outcome {
    let other = stream(fx)?;
    for mode in CaptureMode::ALL {
        let capture = Capture::begin(fx, mode)?;
        let caller = &capture.stream;
        let given = caller.new_event(EventOptions::new())?;
        caller.record(&given)?;
        capture.check_alive("record")?;
        let events = [given, caller.record_event()?];
        capture.check_alive("record_event")?;
        for event in &events {
            capture.check_refused("query of its event", event.query())?;
            capture.check_refused("status of its event", event.status())?;
            capture.check_refused("synchronize of its event", event.synchronize())?;
        }
        capture.end(false)?;
        for event in &events {
            check_err(event.query(), ErrorKind::InvalidEvent, "query afterwards")?;
            check_err(event.status(), ErrorKind::InvalidEvent, "status afterwards")?;
            check_err(event.synchronize(), ErrorKind::InvalidEvent, "synchronize afterwards")?;
            let waited = other.wait_event(event);
            check_err(waited, ErrorKind::InvalidEvent, "a wait for it afterwards")?;
            other.record(event)?;
            event.synchronize()?;
            check_eq(event.status()?, EventStatus::Complete, "the status when recorded outside")?;
            other.wait_event(event)?;
        }
        other.synchronize()?;
    }
    Ok(())
}

/// Checks that a stream that waits for a captured one is captured, too: its later work becomes part
/// of the graph.
pub fn waiter_is_taken_into_the_capture<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    for mode in CaptureMode::ALL {
        let side = stream(fx)?;
        let numbers = [fx.data(device, 1)?, fx.data(device, 0)?, fx.data(device, 0)?];
        let capture = Capture::begin(fx, mode)?;
        fx.copy(&capture.stream, &numbers[0], &numbers[1])?;
        side.wait_stream(&capture.stream)?;
        check(fx.is_capturing(&side)?, "the waiter is not taken into the capture")?;
        fx.copy(&side, &numbers[1], &numbers[2])?;
        fx.settle(&[&side]);
        check_eq(fx.load(&numbers[2])?, 0, "the number that captured work would change")?;
        capture.stream.wait_stream(&side)?;
        capture.check_alive("a wait in both directions")?;
        check_nodes(capture.end(true)?, 2)?;
        check_eq(fx.load(&numbers[2])?, 1, "the number that the graph copies")?;
        // HIP 5.2 leaves the branch in the ended capture.
        if !fx.is_capturing(&side)? {
            let after = work(fx, &side)?;
            side.synchronize()?;
            check_done(fx, &after)?;
        }
    }
    Ok(())
}

/// Checks that inside a capture, a library that forks to its own streams, creates one, joins them
/// and drops them adds its nodes and breaks nothing.
pub fn library_in_a_capture<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    for mode in CaptureMode::ALL {
        let kept = stream(fx)?;
        let numbers = (0..5).map(|_| fx.data(device, 0)).collect::<Result<Vec<_>, _>>()?;
        let one = fx.data(device, 1)?;
        let capture = Capture::begin(fx, mode)?;
        let caller = &capture.stream;
        fx.copy(caller, &one, &numbers[0])?;
        let made = caller.new_stream(StreamOptions::new())?;
        capture.check_alive("new_stream")?;
        caller.fork([&kept, &made])?;
        capture.check_alive("fork")?;
        fx.copy(&kept, &numbers[0], &numbers[1])?;
        fx.copy(&made, &numbers[0], &numbers[2])?;
        caller.join([&kept, &made])?;
        capture.check_alive("join")?;
        fx.copy(caller, &numbers[1], &numbers[3])?;
        fx.copy(caller, &numbers[2], &numbers[4])?;
        drop((kept, made));
        capture.check_alive("dropping streams of the capture")?;
        check_nodes(capture.end(true)?, 5)?;
        for number in &numbers {
            check_eq(fx.load(number)?, 1, "a number that the graph copies")?;
        }
    }
    Ok(())
}

/// Checks that branches of a branch, joined in reverse, add their nodes and break nothing.
pub fn nested_forks_in_a_capture<F: Fixture>(fx: &F) -> Outcome {
    fx.captures_nested_forks()?;
    let device = device(fx)?;
    for mode in CaptureMode::ALL {
        let (outer, inner) = (stream(fx)?, streams(fx, 2)?);
        let numbers = (0..5).map(|_| fx.data(device, 0)).collect::<Result<Vec<_>, _>>()?;
        let one = fx.data(device, 1)?;
        let capture = Capture::begin(fx, mode)?;
        fx.copy(&capture.stream, &one, &numbers[0])?;
        capture.stream.fork([&outer])?;
        fx.copy(&outer, &numbers[0], &numbers[1])?;
        outer.fork(&inner)?;
        for (branch, to) in inner.iter().zip(&numbers[2..4]) {
            fx.copy(branch, &numbers[1], to)?;
        }
        outer.join(&inner)?;
        capture.stream.join([&outer])?;
        fx.copy(&capture.stream, &numbers[3], &numbers[4])?;
        capture.check_alive("nested forks and joins")?;
        check_nodes(capture.end(true)?, 5)?;
        for number in &numbers {
            check_eq(fx.load(number)?, 1, "a number that the graph copies")?;
        }
    }
    Ok(())
}

/// Checks that a captured stream that waits for its own latest record, or for itself, continues,
/// and its graph gets no extra node.
pub fn own_record_in_a_capture<F: Fixture>(fx: &F) -> Outcome {
    let (from, to) = (fx.data(device(fx)?, 1)?, fx.data(device(fx)?, 0)?);
    for mode in CaptureMode::ALL {
        let mut counts = Vec::new();
        for waits in [false, true] {
            let capture = Capture::begin(fx, mode)?;
            let caller = &capture.stream;
            fx.copy(caller, &from, &to)?;
            let event = caller.record_event()?;
            if waits {
                caller.wait_event(&event)?;
                caller.wait_stream(&caller.clone())?;
                capture.check_alive("a wait for its own record")?;
            }
            fx.copy(caller, &from, &to)?;
            counts.push(capture.end(true)?);
        }
        check_eq(counts[1], counts[0], "the nodes of the graph with waits for itself")?;
    }
    check_eq(fx.load(&to)?, 1, "the number that the graph copies")
}

/// Checks that a captured stream that would wait for work outside its capture is refused before
/// anything breaks, whichever call requests it. The text names both.
pub fn wait_for_uncaptured_work<F: Fixture>(fx: &F) -> Outcome {
    let (from, to) = (fx.data(device(fx)?, 1)?, fx.data(device(fx)?, 0)?);
    for mode in CaptureMode::ALL {
        let (outside, gate) = gated(fx)?;
        let event = outside.record_event()?;
        let capture = Capture::begin(fx, mode)?;
        let caller = &capture.stream;
        fx.copy(caller, &from, &to)?;
        let (raw, its_raw) = (caller.raw().to_bits(), outside.raw().to_bits());
        let event_raw = event.raw().to_bits();
        for (call, result, awaited) in [
            ("wait_event", caller.wait_event(&event), event_raw),
            ("wait_stream", caller.wait_stream(&outside), its_raw),
            ("join", caller.join([&outside]), its_raw),
            ("fork", outside.fork([caller]), its_raw),
        ] {
            let text = capture.check_refused(call, result)?;
            check_names(&text, format_args!("{raw:#x}"))?;
            check_names(&text, format_args!("{awaited:#x}"))?;
        }
        check(!fx.is_capturing(&outside)?, "the stream outside is in the capture")?;
        check_nodes(capture.end(false)?, 1)?;
        fx.open(&gate);
        outside.synchronize()?;
    }
    Ok(())
}

/// Checks that a wait of a captured stream for another capture is refused, the text names both, and
/// both captures survive.
pub fn wait_between_captures<F: Fixture>(fx: &F) -> Outcome {
    let (from, to) = (fx.data(device(fx)?, 1)?, fx.data(device(fx)?, 0)?);
    for mode in CaptureMode::ALL {
        let (one, other) = (Capture::begin(fx, mode)?, Capture::begin(fx, mode)?);
        fx.copy(&one.stream, &from, &to)?;
        fx.copy(&other.stream, &from, &to)?;
        let event = other.stream.record_event()?;
        for (call, result, awaited) in [
            ("wait_event", one.stream.wait_event(&event), event.raw().to_bits()),
            ("wait_stream", one.stream.wait_stream(&other.stream), other.stream.raw().to_bits()),
            ("join", one.stream.join([&other.stream]), other.stream.raw().to_bits()),
        ] {
            let text = one.check_refused(call, result)?;
            other.check_alive(call)?;
            check_names(&text, format_args!("{:#x}", one.stream.raw().to_bits()))?;
            check_names(&text, format_args!("{awaited:#x}"))?;
        }
        check_nodes(other.end(false)?, 1)?;
        check_nodes(one.end(false)?, 1)?;
    }
    Ok(())
}

/// Checks that a host function for a captured stream is refused and dropped, and the text gives the
/// reason: a graph may be launched many times.
pub fn host_function_in_a_capture<F: Fixture>(fx: &F) -> Outcome {
    for mode in CaptureMode::ALL {
        let capture = Capture::begin(fx, mode)?;
        let held = Arc::new(());
        let inner = Arc::clone(&held);
        let launched = capture.stream.launch_host_func(Box::new(move || drop(inner)));
        if matches!(&launched, Err(error) if error.kind() == ErrorKind::Unsupported) {
            return optional("host functions", launched);
        }
        let text = capture.check_refused("launch_host_func", launched)?;
        check_names(&text, "graph")?;
        check_names(&text, "many times")?;
        check_eq(Arc::strong_count(&held) - 1, 0, "how many refused functions are kept")?;
        capture.end(false)?;
    }
    Ok(())
}

/// Checks that queries of streams outside a capture leave it alive, on its own thread and on
/// another, in every mode.
pub fn queries_beside_a_capture<F: Fixture>(fx: &F) -> Outcome {
    let (from, to) = (fx.data(device(fx)?, 1)?, fx.data(device(fx)?, 0)?);
    for mode in CaptureMode::ALL {
        let (idle, (held, gate)) = (stream(fx)?, gated(fx)?);
        let (done, pending) = (idle.record_event()?, held.record_event()?);
        idle.synchronize()?;
        // The bare driver's own calls that make and destroy it may break a capture.
        let theirs = Arc::new(foreign(fx)?);
        let capture = Capture::begin(fx, mode)?;
        fx.copy(&capture.stream, &from, &to)?;
        let query_all = |whose: &str| -> Outcome {
            let step = |call: &str, outcome: Outcome| {
                outcome?;
                capture.check_alive(&format!("{call}, on {whose} thread"))
            };
            step("query of an idle stream", answered(idle.query(), Some(true)))?;
            step("query of a held stream", answered(held.query(), Some(false)))?;
            step("synchronize", answered(idle.synchronize(), None))?;
            step("query of a complete event", answered(done.query(), Some(true)))?;
            step("status of a pending event", answered(pending.query(), Some(false)))?;
            step("synchronize of an event", answered(done.synchronize(), None))?;
            step("device", check_eq(idle.device(), held.device(), "the device"))?;
            let status = optional("capture status", idle.capture_status())?;
            step("capture_status", check_eq(status, CaptureStatus::None, "its status"))?;
            let wrapped = F::Backend::stream_from_owner(Arc::clone(&theirs), None)?;
            step("wrapping", Ok(()))?;
            drop(wrapped);
            step("dropping a wrapper", Ok(()))
        };
        query_all("the capturing")?;
        thread::scope(|scope| {
            let other = scope.spawn(|| (0..20).try_for_each(|_| query_all("another")));
            other.join().unwrap_or_else(|_| Err(Verdict::failed("a query panicked")))
        })?;
        check_nodes(capture.end(false)?, 1)?;
        fx.open(&gate);
        held.synchronize()?;
    }
    Ok(())
}

/// Checks that a query returned `wanted`, or was refused because of the capture beside it.
#[track_caller]
fn answered<T: PartialEq + std::fmt::Debug, E: Error>(
    result: Result<T, E>,
    wanted: Option<T>,
) -> Outcome {
    match (result, wanted) {
        (Ok(seen), Some(wanted)) => check_eq(seen, wanted, "the answer beside a capture"),
        (Ok(_), None) => Ok(()),
        (Err(error), _) if error.kind() == ErrorKind::Capturing => Ok(()),
        (Err(error), _) => Err(error.into()),
    }
}
