//! Optional capabilities: priority, id, capture status, host functions. Where one is absent, the
//! case is skipped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::support::*;

/// Checks that the range of priorities contains the normal one, and the most urgent is the lowest
/// number.
pub fn priority_range_holds_zero<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let range = optional("priorities", F::Backend::priority_range(device))?;
        check(
            range.greatest <= 0 && range.least >= 0,
            format_args!("the range is {} to {}", range.least, range.greatest),
        )?;
    }
    Ok(())
}

/// Checks that every priority of the range is accepted and returned; a stream has the normal one
/// unless its options say otherwise.
pub fn priority_is_kept<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let range = optional("priorities", F::Backend::priority_range(device))?;
    for priority in range.greatest..=range.least {
        let options = StreamOptions::new().priority(priority);
        let stream = F::Backend::new_stream(device, options)?;
        let seen = optional("priority of a stream", stream.priority())?;
        check_eq(seen, priority, "the priority of a new stream")?;
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
        let foreign = fx.foreign(device, options)?;
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
        check_eq(wrapped.priority()?, priority, "the priority of a foreign stream")?;
    }
    check_eq(stream(fx)?.priority()?, 0, "the default priority")
}

/// Checks that a priority outside of the range is refused, and the error names it and the range.
pub fn priority_out_of_range<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let range = optional("priorities", F::Backend::priority_range(device))?;
    for given in [range.greatest - 1, range.least + 1, i32::MIN, i32::MAX] {
        let made = F::Backend::new_stream(device, StreamOptions::new().priority(given));
        let text = check_err(made, ErrorKind::InvalidOptions, "new_stream with this priority")?;
        for part in [given, range.least, range.greatest] {
            check_names(&text, part)?;
        }
    }
    Ok(())
}

/// Checks that priorities do not change order: an urgent stream still waits for a less urgent one.
pub fn priority_changes_no_order<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let range = optional("priorities", F::Backend::priority_range(device))?;
    let make = |priority| F::Backend::new_stream(device, StreamOptions::new().priority(priority));
    let (slow, urgent) = (make(range.least)?, make(range.greatest)?);
    let gate = fx.gate(&slow)?;
    let before = work(fx, &slow)?;
    urgent.wait_stream(&slow)?;
    let copy = fx.data(device, 0)?;
    fx.copy(&urgent, &before, &copy)?;
    check_held(fx, &[&slow, &urgent], &copy)?;
    fx.open(&gate);
    urgent.synchronize()?;
    check_done(fx, &copy)
}

/// Checks that two streams have two ids, all wrappers of one stream have one id, and a new stream
/// does not get the id of a destroyed one.
pub fn ids_are_unique<F: Fixture>(fx: &F) -> Outcome {
    let mut seen = Vec::new();
    for _ in 0..16 {
        let stream = stream(fx)?;
        let id = optional("stream ids", stream.id())?;
        check(!seen.contains(&id), format_args!("a new stream has the id {id} of another"))?;
        check_eq(stream.clone().id()?, id, "the id of a clone")?;
        // SAFETY: `stream` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(stream.raw(), None) }?;
        check_eq(wrapped.id()?, id, "the id of another wrapper")?;
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
        check_eq(stream.id()?, id, "the id after some work")?;
        seen.push(id);
    }
    Ok(())
}

/// Checks that a stream that is not captured has capture status `None`, idle and pending.
pub fn capture_status_is_none<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let status = optional("capture status", stream.capture_status())?;
    check_eq(status, CaptureStatus::None, "the capture status while pending")?;
    fx.open(&gate);
    stream.synchronize()?;
    check_eq(stream.capture_status()?, CaptureStatus::None, "the capture status when idle")
}

/// Checks that a host function runs after the work before it, and the work after it runs when the
/// function has returned.
pub fn host_function_is_in_order<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let log = Arc::new(Mutex::new(Vec::new()));
    for index in 0..20 {
        let log = Arc::clone(&log);
        let note = move || log.lock().unwrap_or_else(PoisonError::into_inner).push(index);
        optional("host functions", stream.launch_host_func(Box::new(note)))?;
    }
    let after = work(fx, &stream)?;
    check_held(fx, &[&stream], &after)?;
    let entries = || log.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check_eq(entries(), Vec::<i32>::new(), "what ran after a closed gate")?;
    fx.open(&gate);
    stream.synchronize()?;
    check_eq(entries(), (0..20).collect(), "the order of the host functions")?;
    check_done(fx, &after)
}

/// Checks that two host functions of a stream never run at once: the next one starts after the
/// previous one has returned.
pub fn host_functions_do_not_overlap<F: Fixture>(fx: &F) -> Outcome {
    let stream = stream(fx)?;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let task = |inside: Box<dyn FnOnce() + Send>| {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        Box::new(move || {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            inside();
            running.fetch_sub(1, Ordering::SeqCst);
        })
    };
    let (started, has_started) = channel();
    let (release, released) = channel::<()>();
    let submitter = thread::current().id();
    let first = task(Box::new(move || {
        let inside_the_call = thread::current().id() == submitter;
        let _ = started.send(inside_the_call);
        // Ends when the case releases it, or when the case ends.
        let _ = if inside_the_call { Ok(()) } else { released.recv() };
    }));
    optional("host functions", stream.launch_host_func(first))?;
    for _ in 0..100 {
        stream.launch_host_func(task(Box::new(|| ())))?;
    }
    let inside_the_call = loop {
        match has_started.try_recv() {
            Ok(inside_the_call) => break inside_the_call,
            Err(_) => check(!stream.query()?, "query is true, and the function has not begun")?,
        }
        thread::yield_now();
    };
    check(!inside_the_call, "a function ran inside the call that submitted it")?;
    check(!stream.query()?, "query is true while a function runs")?;
    for _ in 0..100 {
        stream.launch_host_func(task(Box::new(thread::yield_now)))?;
    }
    check_eq(most.load(Ordering::SeqCst), 1, "how many functions ran at once")?;
    drop(release);
    stream.synchronize()?;
    check_eq(most.load(Ordering::SeqCst), 1, "how many functions ran at once")
}

/// Checks that a host function has run, and everything it held is dropped, before the stream is
/// done.
pub fn host_function_is_dropped_before_done<F: Fixture>(fx: &F) -> Outcome {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let stream = stream(fx)?;
    check(is_idle(fx, &stream)?, "query of a new stream is false")?;
    for by_query in [false, true] {
        let (ran, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for _ in 0..50 {
            let (held, ran) = (Held(Arc::clone(&dropped)), Arc::clone(&ran));
            let task = move || {
                let _held = &held;
                ran.fetch_add(1, Ordering::SeqCst);
            };
            optional("host functions", stream.launch_host_func(Box::new(task)))?;
        }
        if by_query {
            while !stream.query()? {
                thread::yield_now();
            }
        } else {
            stream.synchronize()?;
        }
        check_eq(ran.load(Ordering::SeqCst), 50, "how many functions had run")?;
        check_eq(dropped.load(Ordering::SeqCst), 50, "how many functions were dropped")?;
    }
    Ok(())
}
