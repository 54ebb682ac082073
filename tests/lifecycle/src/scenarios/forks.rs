//! Processes that are forked from one that works.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use gpu_stream_conformance::outcome::check_eq;
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, ErrorKind, Stream, StreamOptions, StreamOwner};

use super::calls::{ASK_NOBODY, Handles, every_call};
use super::{check_usable, device, exit, say, stream, wait_until};

/// Runs `child` in a child, which it ends by `_exit` with the code that `child` returns, and waits
/// for that. A child that hangs is ended from outside, with this process.
fn forked(child: impl FnOnce() -> i32) -> Result<i32, Verdict> {
    // SAFETY: the child makes only calls that are under test here, and writes by the system alone.
    match unsafe { libc::fork() } {
        -1 => Err(Verdict::failed(std::io::Error::last_os_error())),
        0 => {
            let code = child();
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` is a place for the number.
            let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
            check_eq("the child that ended", waited, pid)?;
            if libc::WIFEXITED(status) {
                return Ok(libc::WEXITSTATUS(status));
            }
            Err(Verdict::failed(format_args!("a child ended by signal {}", libc::WTERMSIG(status))))
        }
    }
}

/// Work that is held back until the flag is set, on two streams.
struct Held<F: Fixture> {
    streams: [super::StreamOf<F>; 2],
    data: F::Data,
    open: Arc<AtomicBool>,
}

fn held<F: Fixture>(fx: &F) -> Result<Held<F>, Verdict> {
    let (first, second) = (stream(fx)?, stream(fx)?);
    let (open, data) = (Arc::new(AtomicBool::new(false)), fx.data(first.device(), 0)?);
    let flag = Arc::clone(&open);
    first.launch_host_func(Box::new(move || wait_until(|| flag.load(Ordering::SeqCst))))?;
    second.wait_stream(&first)?;
    fx.store(&second, &data, 1)?;
    Ok(Held { streams: [first, second], data, open })
}

impl<F: Fixture> Held<F> {
    /// What the parent had before the fork is done as if there had been none.
    fn finish(self, fx: &F) -> Outcome {
        self.open.store(true, Ordering::SeqCst);
        self.streams[1].synchronize()?;
        check_eq("the number that the work changes", fx.load(&self.data)?, 1)?;
        check_usable(fx)
    }
}

pub(super) fn child_ends<F: Fixture>(fx: &'static F) -> Outcome {
    let held = held(fx)?;
    check_eq("the code of the child", forked(|| 9)?, 9)?;
    held.finish(fx)
}

pub(super) fn child_calls_exit<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, kit) = (held(fx)?, Handles::new(fx)?);
    // SAFETY: ends the process, and runs the functions of atexit, which is what is looked at.
    let exit = |code| unsafe { libc::exit(code) };
    check_eq("the code of a child that does nothing", forked(|| exit(10))?, 10)?;
    let Held { streams, data, open } = held;
    let mut all = Some((streams, kit));
    let code = forked(|| {
        drop(all.take());
        exit(11)
    })?;
    check_eq("the code of a child that drops all", code, 11)?;
    let Some((streams, _kit)) = all else { return Err(Verdict::failed("a child's drop was seen")) };
    Held { streams, data, open }.finish(fx)
}

/// Makes every call in the child, and says what is not refused as it has to be.
fn child_calls<F: Fixture>(fx: &F, kit: &Handles<F>) -> i32 {
    let mut wrong = 0;
    for answer in every_call(fx, kit, None) {
        match &answer.outcome {
            Err((ErrorKind::NotPermitted, text)) if text.contains("fork") => {}
            Ok(()) if ASK_NOBODY.contains(&answer.call) => {}
            Ok(()) => {
                wrong += 1;
                say(&format!("note: child: {}: got through", answer.call));
            }
            Err((kind, text)) => {
                wrong += 1;
                say(&format!("note: child: {}: {kind}: {text}", answer.call));
            }
        }
    }
    i32::from(wrong > 0)
}

pub(super) fn child_uses<F: Fixture>(fx: &'static F) -> Outcome {
    let (held, kit) = (held(fx)?, Handles::new(fx)?);
    let own = F::Backend::per_thread_stream(device(fx)?)?;
    let own_event = own.record_event()?;
    let code = {
        let (streams, kit, own_event) = (held.streams.clone(), &kit, &own_event);
        forked(move || {
            use gpu_stream_core::Event;
            let mut code = child_calls(fx, kit);
            let refused =
                [own.query().is_err(), own_event.status().is_err(), streams[1].query().is_err()];
            if refused != [true; 3] {
                say(&format!("note: child: the thread's own, its event, a busy one: {refused:?}"));
                code = 1;
            }
            drop((streams, own));
            code
        })?
    };
    check_eq("the code of the child", code, 0)?;
    held.finish(fx)
}

/// An owner that counts how many of its kind were dropped in this process.
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

pub(super) fn put_off<F: Fixture>(fx: &'static F) -> Outcome {
    let (kit, caller) = (Handles::new(fx)?, stream(fx)?);
    let theirs = fx.foreign(device(fx)?, StreamOptions::new())?;
    let wrapper = F::Backend::stream_from_owner(Arc::new(Counted::<F>(theirs)), None)?;
    let (launched, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let flags = (Arc::clone(&launched), Arc::clone(&dropped));
    // CUDA and HIP put a drop off in here, until the next call ends. The host backend has no need to.
    caller.launch_host_func(Box::new(move || {
        wait_until(|| flags.0.load(Ordering::SeqCst));
        drop(wrapper);
        flags.1.store(true, Ordering::SeqCst);
    }))?;
    launched.store(true, Ordering::SeqCst);
    wait_until(|| dropped.load(Ordering::SeqCst));
    let code = forked(|| {
        let before = DROPPED.load(Ordering::SeqCst);
        let code = child_calls(fx, &kit);
        let after = DROPPED.load(Ordering::SeqCst);
        if after != before {
            say("note: child: it ran what the parent had put off");
        }
        code | i32::from(after != before) << 1
    })?;
    check_eq("the code of the child", code, 0)?;
    caller.synchronize()?;
    check_eq("owners that the parent dropped", DROPPED.load(Ordering::SeqCst), 1)?;
    check_usable(fx)
}

pub(super) fn before_the_first_use<F: Fixture>(make: &dyn Fn() -> Result<F, Verdict>) -> Outcome {
    let work = || {
        let fx: &'static F = Box::leak(Box::new(make()?));
        check_usable(fx)
    };
    const NOT_HERE: i32 = 77;
    let code = forked(|| {
        let code = match work() {
            Ok(()) => 12,
            Err(verdict) if !verdict.is_failed() => NOT_HERE,
            Err(verdict) => {
                say(&format!("note: child: {}", verdict.reason()));
                1
            }
        };
        // SAFETY: ends the process, and runs the functions of atexit.
        unsafe { libc::exit(code) }
    })?;
    if code == NOT_HERE {
        return work();
    }
    check_eq("the code of the child", code, 12)?;
    work()?;
    say("played");
    Ok(())
}

pub(super) fn while_others_submit<F: Fixture>(fx: &'static F) -> Outcome {
    let (kit, shared) = (Handles::new(fx)?, stream(fx)?);
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
        outcome = forked(|| child_calls(fx, &kit))
            .and_then(|code| check_eq("the code of a child", code, 0));
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
    let held = held(fx)?;
    for _ in 0..20 {
        let status = Command::new("/bin/true").env_clear().status()?;
        check_eq("the status of /bin/true", status.code(), Some(0))?;
    }
    held.finish(fx)
}
