//! Code of the scenarios, and their dispatch by name: [`on`].
//!
//! A module is an area, and a function is the scenario of its name. [`list`](crate::list) describes each of them.

mod awaits;
mod calls;
mod copies;
mod drop_orders;
mod exit;
mod faults;
mod fork;
mod panics;
mod reentrance;
mod retained;
mod thread_exit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gpu_stream_conformance::fixture::{EventOf, StreamOf};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Device, Error, ErrorKind, PerThread, Stream, StreamOptions};

/// Runs the named scenario on the fixture that `make` creates. May end the process.
///
/// # Errors
/// A failure if the scenario found a deviation, a skip if the backend is not available.
pub fn on<F: Fixture>(scenario: &str, make: impl Fn() -> Result<F, String> + Sync) -> Outcome {
    if scenario == "fork::before_the_first_use" {
        return fork::before_the_first_use(&|| make().map_err(Verdict::skipped));
    }
    // Registered before the backend is loaded, so that it runs after the driver's exit handlers.
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
        print_line("done");
        return Ok(());
    }
    let run_scenario: fn(&'static F) -> Outcome = match scenario {
        "exit::main_returns" => exit::main_returns,
        "exit::gated_work" => exit::gated_work,
        "exit::futures_are_pending" => awaits::exit_with_futures,
        "exit::exit_is_called" => exit::exit_is_called,
        "exit::main_panics" => exit::main_panics,
        "exit::quick_exit" => exit::quick_exit,
        "exit::abort" => exit::abort,
        "exit::while_others_submit" => exit::while_others_submit,
        "exit::while_others_wait" => exit::while_others_wait,
        "exit::in_a_host_function" => exit::in_a_host_function,
        "exit::in_a_host_function_during_exit" => exit::in_a_host_function_during_exit,
        "exit::loaded_by_a_thread" => exit::loaded_by_a_thread,
        "exit::atexit_handlers" => exit::atexit_handlers,
        "exit::values_are_pending" => retained::exit_with_values,
        "thread::pooled_events" => thread_exit::pooled_events,
        "thread::busy" => thread_exit::busy,
        "thread::destructors_before" => thread_exit::destructors_before,
        "thread::destructors_after" => thread_exit::destructors_after,
        "thread::destructors_of_main" => thread_exit::destructors_of_main,
        "drop::every_order" => drop_orders::every_order,
        "drop::every_order_idle" => drop_orders::every_order_idle,
        "drop::beside_a_host_function" => drop_orders::beside_a_host_function,
        "panic::in_a_host_function" => panics::in_a_host_function,
        "panic::in_an_owner" => panics::in_an_owner,
        "panic::with_all_alive" => panics::with_all_alive,
        "panic::through_calls" => panics::through_calls,
        "fork::child_ends" => fork::child_ends,
        "fork::child_calls_exit" => fork::child_calls_exit,
        "fork::child_uses" => fork::child_uses,
        "fork::deferred_drop" => fork::deferred_drop,
        "fork::while_others_submit" => fork::while_others_submit,
        "fork::values_are_pending" => retained::fork_with_values,
        "fork::exec" => fork::exec,
        "copies::three_copies" => copies::three_copies,
        "reentrance::from_a_host_function" => reentrance::from_a_host_function,
        _ => return Err(Verdict::failed(format_args!("{scenario:?} is not a scenario"))),
    };
    run_scenario(fx)?;
    print_line("done");
    Ok(())
}

/// Writes a line to stdout by a system call.
///
/// Rust's own stdout may be gone during exit, and in a forked child a thread of the parent may hold its lock.
pub(crate) fn print_line(line: &str) {
    let line = format!("{line}\n");
    // An error is ignored: the reader may be gone.
    // SAFETY: `line` is valid for reads of `line.len()` bytes.
    let _ = unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

/// Returns the first device, or a skip if there is none.
pub(crate) fn device<F: Fixture>(fx: &F) -> Result<Device, Verdict> {
    fx.devices()?.first().copied().ok_or_else(|| Verdict::skipped("there is no device"))
}

/// Creates a stream on the first device.
pub(crate) fn stream<F: Fixture>(fx: &F) -> Result<StreamOf<F>, Verdict> {
    Ok(F::Backend::new_stream(device(fx)?, StreamOptions::new())?)
}

/// Returns the per-thread stream of the calling thread. Where the engine has none, returns a new stream that stays on
/// this thread.
pub(crate) fn own_stream<F: Fixture>(fx: &F) -> Result<PerThread<StreamOf<F>>, Verdict> {
    match F::Backend::per_thread_stream(device(fx)?) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            // SAFETY: the stream is new, and this is its only wrapper.
            Ok(unsafe { PerThread::new_unchecked(stream(fx)?) })
        }
        own => Ok(own?),
    }
}

/// Blocks until `ready` returns `true`. The supervisor detects a hang.
pub(crate) fn wait_until(ready: impl Fn() -> bool) {
    while !ready() {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Checks that the backend still works: new streams run new work in order, and pooled events are reused.
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
        let copied = fx.load(&to)?;
        if copied != value {
            return Err(Verdict::failed(format_args!("the copy is {copied} instead of {value}")));
        }
    }
    Ok(())
}

static EXITING: AtomicBool = AtomicBool::new(false);

/// Streams whose work lasts beyond the start of the process exit, their events, and the per-thread stream.
pub(crate) type Busy<F> = ([StreamOf<F>; 2], Vec<EventOf<F>>, PerThread<StreamOf<F>>);

/// Makes streams busy until the process exits.
///
/// The first stream's work lasts until exit begins. The second stream waits for the first, and then prints a
/// line. The per-thread stream has short work.
pub(crate) fn busy<F: Fixture>(fx: &F) -> Result<Busy<F>, Verdict> {
    let (first, second) = (stream(fx)?, stream(fx)?);
    let data = Arc::new(fx.data(first.device(), 0)?);
    let until_exit = || wait_until(|| EXITING.load(Ordering::SeqCst));
    first.launch_host_func(Box::new(until_exit))?;
    fx.store(&first, &data, 1)?;
    // Some events are kept, and more are returned to the pool.
    let mut events = vec![first.record_event()?];
    for _ in 0..20 {
        drop(second.record_event()?);
    }
    second.wait_stream(&first)?;
    second.launch_host_func(Box::new(|| print_line("the last task ran")))?;
    events.push(second.record_event()?);
    let own = own_stream(fx)?;
    fx.store(&own, &data, 1)?;
    events.push(own.record_event()?);
    Ok(([first, second], events, own))
}
