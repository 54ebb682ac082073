//! The scenarios as they are played.

mod calls;
mod drops;
mod exit;
mod faults;
mod forks;
mod panics;
mod reentrance;
mod threads;
mod twice;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Device, PerThread, Stream, StreamOptions};

/// Plays the scenario of this name on what `make` makes. May end the process.
///
/// # Errors
/// What was not as it has to be; a skip if there is no such backend here.
pub fn on<F: Fixture>(scenario: &str, make: impl Fn() -> Result<F, String> + Sync) -> Outcome {
    if scenario == "fork::before_the_first_use" {
        return forks::before_the_first_use(&|| make().map_err(Verdict::skipped));
    }
    // Before the backend, so that it is called behind whatever the driver registers.
    exit::register_early();
    let made = match scenario {
        "exit::loaded_by_a_thread" => std::thread::scope(|scope| {
            scope.spawn(&make).join().map_err(|_| Verdict::failed("a thread panicked"))
        })?,
        _ => make(),
    };
    let fx: &'static F = Box::leak(Box::new(made.map_err(Verdict::skipped)?));
    if let Some(case) = scenario.strip_prefix("fault::") {
        faults::case(fx, case)?;
        say("played");
        return Ok(());
    }
    let run_scenario: fn(&'static F) -> Outcome = match scenario {
        "exit::main_returns" => exit::main_returns,
        "exit::behind_a_gate" => exit::behind_a_gate,
        "exit::exit_is_called" => exit::exit_is_called,
        "exit::main_panics" => exit::main_panics,
        "exit::quick_exit" => exit::quick_exit,
        "exit::abort" => exit::abort,
        "exit::while_others_submit" => exit::while_others_submit,
        "exit::while_others_wait" => exit::while_others_wait,
        "exit::in_a_host_function" => exit::in_a_host_function,
        "exit::in_a_host_function_too" => exit::in_a_host_function_too,
        "exit::loaded_by_a_thread" => exit::loaded_by_a_thread,
        "exit::handlers_call" => exit::handlers_call,
        "thread::pooled_events" => threads::pooled_events,
        "thread::busy" => threads::busy,
        "thread::destructors_before" => threads::destructors_before,
        "thread::destructors_behind" => threads::destructors_behind,
        "thread::destructors_of_main" => threads::destructors_of_main,
        "drop::every_order" => drops::every_order,
        "drop::every_order_idle" => drops::every_order_idle,
        "panic::in_a_host_function" => panics::in_a_host_function,
        "panic::in_an_owner" => panics::in_an_owner,
        "panic::with_all_alive" => panics::with_all_alive,
        "panic::through_calls" => panics::through_calls,
        "fork::child_ends" => forks::child_ends,
        "fork::child_calls_exit" => forks::child_calls_exit,
        "fork::child_uses" => forks::child_uses,
        "fork::put_off" => forks::put_off,
        "fork::while_others_submit" => forks::while_others_submit,
        "fork::exec" => forks::exec,
        "twice::two_copies" => twice::two_copies,
        "reentrance::from_a_host_function" => reentrance::from_a_host_function,
        _ => return Err(Verdict::failed(format_args!("there is no scenario {scenario:?}"))),
    };
    run_scenario(fx)?;
    say("played");
    Ok(())
}

/// Writes a line to stdout, by the system alone: it is called where Rust's own stdout may be gone, or
/// locked by a thread that a fork has left behind.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    // SAFETY: so many bytes are there to be read. Whoever listens may be gone; nothing can be done.
    let _ = unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

pub(crate) fn device<F: Fixture>(fx: &F) -> Result<Device, Verdict> {
    fx.devices()?.first().copied().ok_or_else(|| Verdict::skipped("there is no device"))
}

pub(crate) fn stream<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    Ok(F::Backend::new_stream(device(fx)?, StreamOptions::new())?)
}

/// Waits until `ready` says so. What never comes is a hang, which is noticed from outside.
pub(crate) fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// That all is well: new streams do new work, in order, and pooled events come and go.
pub(crate) fn check_usable<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = (stream(fx)?, stream(fx)?);
    for value in 1..20 {
        let (from, to) = (fx.data(first.device(), 0)?, fx.data(first.device(), 0)?);
        fx.store(&first, &from, value)?;
        second.wait_stream(&first)?;
        fx.copy(&second, &from, &to)?;
        let event = second.record_event()?;
        first.wait_event(&event)?;
        first.synchronize()?;
        let seen = fx.load(&to)?;
        if seen != value {
            return Err(Verdict::failed(format_args!("the copy is {seen} and not {value}")));
        }
    }
    Ok(())
}

static EXITING: AtomicBool = AtomicBool::new(false);

/// Streams that work until the process ends, and a bit longer; their events; the thread's own.
pub(crate) type Busy<F> = ([StreamOf<F>; 2], Vec<EventOf<F>>, PerThread<StreamOf<F>>);

/// Makes streams busy: the first with work that goes on until the process is ending, the second with
/// what waits for that and says so, and a thread's own with a bit of work.
pub(crate) fn busy<F: Fixture>(fx: &F) -> Result<Busy<F>, Verdict> {
    let (first, second) = (stream(fx)?, stream(fx)?);
    let data = Arc::new(fx.data(first.device(), 0)?);
    let long = || wait_until(|| EXITING.load(Ordering::SeqCst));
    first.launch_host_func(Box::new(long))?;
    fx.store(&first, &data, 1)?;
    // Some that are kept, and more that go to the pool.
    let mut events = vec![first.record_event()?];
    for _ in 0..20 {
        drop(second.record_event()?);
    }
    second.wait_stream(&first)?;
    second.launch_host_func(Box::new(|| say("the last task ran")))?;
    events.push(second.record_event()?);
    let own = F::Backend::per_thread_stream(device(fx)?)?;
    fx.store(&own, &data, 1)?;
    events.push(own.record_event()?);
    Ok(([first, second], events, own))
}
