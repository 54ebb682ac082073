//! Optional capabilities: priority, id, capture status, host functions. Where one is absent, the
//! case is skipped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::support::*;

/// The range of priorities contains the normal one, and the most urgent is the lowest number.
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

/// Every priority of the range is accepted and given back; a stream has the normal one unless
/// asked.
pub fn priority_is_kept<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let range = optional("priorities", F::Backend::priority_range(device))?;
    for priority in range.greatest..=range.least {
        let options = StreamOptions::new().priority(priority);
        let stream = F::Backend::new_stream(device, options)?;
        let seen = optional("priority of a stream", stream.priority())?;
        check_eq("the priority of a new stream", seen, priority)?;
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
        let foreign = fx.foreign(device, options)?;
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
        check_eq("the priority of a foreign stream", wrapped.priority()?, priority)?;
    }
    check_eq("the default priority", stream(fx)?.priority()?, 0)
}

/// A priority outside of the range is refused, and the error names it and the range.
pub fn priority_out_of_range<F: Fixture>(fx: &F) -> Outcome {
    let device = device(fx)?;
    let range = optional("priorities", F::Backend::priority_range(device))?;
    for given in [range.greatest - 1, range.least + 1, i32::MIN, i32::MAX] {
        let made = F::Backend::new_stream(device, StreamOptions::new().priority(given));
        let text = check_err("new_stream with this priority", made, ErrorKind::InvalidOptions)?;
        for part in [given, range.least, range.greatest] {
            check_names(&text, part)?;
        }
    }
    Ok(())
}

/// Order holds whatever the priorities are: an urgent stream that waits for one that is not still
/// waits.
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

/// Two streams have two ids, wrappers of one stream have one, and a new stream does not get that of
/// a stream that is gone.
pub fn ids_are_unique<F: Fixture>(fx: &F) -> Outcome {
    let mut seen = Vec::new();
    for _ in 0..16 {
        let stream = stream(fx)?;
        let id = optional("stream ids", stream.id())?;
        check(!seen.contains(&id), format_args!("a new stream has the id {id} of another"))?;
        check_eq("the id of a clone", stream.clone().id()?, id)?;
        // SAFETY: `stream` outlives the wrapper; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(stream.raw(), None) }?;
        check_eq("the id of another wrapper", wrapped.id()?, id)?;
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
        check_eq("the id after some work", stream.id()?, id)?;
        seen.push(id);
    }
    Ok(())
}

/// A stream that is not captured says so, idle and pending.
pub fn capture_status_is_none<F: Fixture>(fx: &F) -> Outcome {
    let (stream, gate) = gated(fx)?;
    let status = optional("capture status", stream.capture_status())?;
    check_eq("the capture status while pending", status, CaptureStatus::None)?;
    fx.open(&gate);
    stream.synchronize()?;
    check_eq("the capture status when idle", stream.capture_status()?, CaptureStatus::None)
}

/// A host function runs after the work before it, and the work after it runs when it has returned.
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
    check_eq("what ran behind a shut gate", entries(), Vec::<i32>::new())?;
    fx.open(&gate);
    stream.synchronize()?;
    check_eq("the order of the host functions", entries(), (0..20).collect())?;
    check_done(fx, &after)
}

/// A stream's functions never run two at once, and the next one starts when the one before has
/// returned.
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
        // Ends when the case lets it, or when the case is over.
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
    check_eq("how many functions ran at once", most.load(Ordering::SeqCst), 1)?;
    drop(release);
    stream.synchronize()?;
    check_eq("how many functions ran at once", most.load(Ordering::SeqCst), 1)
}

/// A host function has run and what it held is dropped before the stream says that it is done.
pub fn host_function_is_dropped_before_done<F: Fixture>(fx: &F) -> Outcome {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let stream = stream(fx)?;
    check(stream.query()?, "query of a new stream is false")?;
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
        check_eq("how many functions had run", ran.load(Ordering::SeqCst), 50)?;
        check_eq("how many functions were dropped", dropped.load(Ordering::SeqCst), 50)?;
    }
    Ok(())
}
