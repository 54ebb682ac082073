//! Forks of a process that uses the backend.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use gpu_stream_conformance::outcome::check_eq;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, ErrorKind, Stream, StreamOptions, StreamOwner};

use super::calls::{Handles, every_call};
use super::{check_usable, device, exit, own_stream, print_line, stream, wait_until};

/// Runs `child` in a forked process, which ends by `_exit` with the returned code. Blocks, and returns the code.
///
/// The supervisor kills a child that hangs, together with this process.
pub(super) fn run_in_child(child: impl FnOnce() -> i32) -> Result<i32, Verdict> {
    // SAFETY: the child makes only the calls under test, and prints by system calls.
    match unsafe { libc::fork() } {
        -1 => Err(Verdict::failed(std::io::Error::last_os_error())),
        0 => {
            let code = child();
            // SAFETY: `_exit` accepts any code.
            unsafe { libc::_exit(code) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `&mut status` is a valid out-pointer.
            let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
            check_eq(waited, pid, "the process that was waited for")?;
            if libc::WIFEXITED(status) {
                return Ok(libc::WEXITSTATUS(status));
            }
            Err(Verdict::failed(format_args!("a child ended by signal {}", libc::WTERMSIG(status))))
        }
    }
}

/// Work on two streams that is blocked until `open` is set.
struct BlockedWork<F: Fixture> {
    streams: [super::StreamOf<F>; 2],
    data: F::Data,
    open: Arc<AtomicBool>,
}

/// Submits blocked work to two streams.
fn block<F: Fixture>(fx: &F) -> Result<BlockedWork<F>, Verdict> {
    let (first, second) = (stream(fx)?, stream(fx)?);
    let (open, data) = (Arc::new(AtomicBool::new(false)), fx.data(first.device(), 0)?);
    let flag = Arc::clone(&open);
    first.launch_host_func(Box::new(move || wait_until(|| flag.load(Ordering::SeqCst))))?;
    second.wait_stream(&first)?;
    fx.store(&second, &data, 1)?;
    Ok(BlockedWork { streams: [first, second], data, open })
}

impl<F: Fixture> BlockedWork<F> {
    /// Unblocks the work, and checks that the fork did not affect the parent.
    fn finish(self, fx: &F) -> Outcome {
        self.open.store(true, Ordering::SeqCst);
        self.streams[1].synchronize()?;
        check_eq(fx.load(&self.data)?, 1, "the number that the work writes")?;
        check_usable(fx)
    }
}

pub(super) fn child_ends<F: Fixture>(fx: &'static F) -> Outcome {
    let blocked = block(fx)?;
    check_eq(run_in_child(|| 9)?, 9, "the exit code of the child")?;
    blocked.finish(fx)
}

pub(super) fn child_calls_exit<F: Fixture>(fx: &'static F) -> Outcome {
    let (blocked, handles) = (block(fx)?, Handles::new(fx)?);
    // SAFETY: `exit` accepts any code. It runs the `atexit` handlers, which are under test.
    let exit = |code| unsafe { libc::exit(code) };
    check_eq(run_in_child(|| exit(10))?, 10, "the exit code of a child that does nothing")?;
    let BlockedWork { streams, data, open } = blocked;
    let mut all = Some((streams, handles));
    let code = run_in_child(|| {
        drop(all.take());
        exit(11)
    })?;
    check_eq(code, 11, "the exit code of a child that drops all")?;
    let Some((streams, _handles)) = all else {
        return Err(Verdict::failed("a drop in the child affected the parent"));
    };
    BlockedWork { streams, data, open }.finish(fx)
}

/// Makes every call in the child, and prints each that is not rejected as required. Returns the exit code.
fn make_child_calls<F: Fixture>(fx: &F, handles: &Handles<F>) -> i32 {
    let mut wrong = 0;
    for result in every_call(fx, handles, None) {
        match &result.outcome {
            Err((ErrorKind::NotPermitted, text)) if text.contains("fork") => {}
            Ok(()) => {
                wrong += 1;
                print_line(&format!("note: child: {}: succeeded", result.call));
            }
            Err((kind, text)) => {
                wrong += 1;
                print_line(&format!("note: child: {}: {kind}: {text}", result.call));
            }
        }
    }
    i32::from(wrong > 0)
}

pub(super) fn child_uses<F: Fixture>(fx: &'static F) -> Outcome {
    let (blocked, handles) = (block(fx)?, Handles::new(fx)?);
    let own = own_stream(fx)?;
    let own_event = own.record_event()?;
    let code = {
        let (streams, handles, own_event) = (blocked.streams.clone(), &handles, &own_event);
        run_in_child(move || {
            use gpu_stream_core::Event;
            let mut code = make_child_calls(fx, handles);
            let rejected =
                [own.query().is_err(), own_event.status().is_err(), streams[1].query().is_err()];
            if rejected != [true; 3] {
                print_line(&format!(
                    "note: child: rejected (per-thread stream, its event, busy stream): {rejected:?}"
                ));
                code = 1;
            }
            drop((streams, own));
            code
        })?
    };
    check_eq(code, 0, "the exit code of the child")?;
    blocked.finish(fx)
}

/// An owner whose drops are counted in this process.
struct Counted<F: Fixture>(F::Foreign);

static DROPPED: AtomicU32 = AtomicU32::new(0);

impl<F: Fixture> Drop for Counted<F> {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

// SAFETY: the stream is that of the foreign owner inside, which lives as long as this.
unsafe impl<F: Fixture> StreamOwner<F::Backend> for Counted<F> {
    fn raw_stream(&self) -> <F::Backend as Backend>::RawStream {
        self.0.raw_stream()
    }
}

pub(super) fn deferred_drop<F: Fixture>(fx: &'static F) -> Outcome {
    let (handles, caller) = (Handles::new(fx)?, stream(fx)?);
    let theirs = fx.foreign(device(fx)?, StreamOptions::new())?;
    let wrapper = F::Backend::stream_from_owner(Arc::new(Counted::<F>(theirs)), None)?;
    let (launched, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let flags = (Arc::clone(&launched), Arc::clone(&dropped));
    // CUDA and HIP defer a drop in here until the next call ends. The host backend drops at once.
    caller.launch_host_func(Box::new(move || {
        wait_until(|| flags.0.load(Ordering::SeqCst));
        drop(wrapper);
        flags.1.store(true, Ordering::SeqCst);
    }))?;
    launched.store(true, Ordering::SeqCst);
    wait_until(|| dropped.load(Ordering::SeqCst));
    let code = run_in_child(|| {
        let before = DROPPED.load(Ordering::SeqCst);
        let code = make_child_calls(fx, &handles);
        let after = DROPPED.load(Ordering::SeqCst);
        if after != before {
            print_line("note: child: it ran a destructor that the parent had deferred");
        }
        code | i32::from(after != before) << 1
    })?;
    check_eq(code, 0, "the exit code of the child")?;
    caller.synchronize()?;
    check_eq(DROPPED.load(Ordering::SeqCst), 1, "owners that the parent dropped")?;
    check_usable(fx)
}

pub(super) fn before_the_first_use<F: Fixture>(make: &dyn Fn() -> Result<F, Verdict>) -> Outcome {
    let work = || {
        let fx: &'static F = Box::leak(Box::new(make()?));
        check_usable(fx)
    };
    const SKIPPED: i32 = 77;
    let code = run_in_child(|| {
        let code = match work() {
            Ok(()) => 12,
            Err(verdict) if !verdict.is_failed() => SKIPPED,
            Err(verdict) => {
                print_line(&format!("note: child: {}", verdict.reason()));
                1
            }
        };
        // SAFETY: `exit` accepts any code. It runs the `atexit` handlers.
        unsafe { libc::exit(code) }
    })?;
    if code == SKIPPED {
        return work();
    }
    check_eq(code, 12, "the exit code of the child")?;
    work()?;
    print_line("done");
    Ok(())
}

pub(super) fn while_others_submit<F: Fixture>(fx: &'static F) -> Outcome {
    let (handles, shared) = (Handles::new(fx)?, stream(fx)?);
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (stop, rounds, shared) = (Arc::clone(&stop), Arc::clone(&rounds), shared.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    exit::submit(fx, &shared)?;
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, Verdict>(())
            })
        })
        .collect();
    let mut outcome = Ok(());
    for round in 0..40 {
        wait_until(|| {
            rounds.load(Ordering::SeqCst) > round * 10 || threads.iter().any(|t| t.is_finished())
        });
        outcome = run_in_child(|| make_child_calls(fx, &handles))
            .and_then(|code| check_eq(code, 0, "the exit code of a child"));
        if outcome.is_err() {
            break;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().map_err(|_| Verdict::failed("a thread panicked"))??;
    }
    outcome?;
    shared.synchronize()?;
    check_usable(fx)
}

pub(super) fn exec<F: Fixture>(fx: &'static F) -> Outcome {
    let blocked = block(fx)?;
    for _ in 0..20 {
        let status = Command::new("/bin/true").env_clear().status()?;
        check_eq(status.code(), Some(0), "the status of /bin/true")?;
    }
    blocked.finish(fx)
}
