//! A fork: the child has no watcher thread, and awaits there end. The parent awaits over the simulated CUDA driver. The host
//! backend is used in the child only, where it works.

mod cases;

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    return on_linux::main();
    #[cfg(not(target_os = "linux"))]
    {
        println!("skipped: this system has no fork, or no simulated driver");
        ExitCode::SUCCESS
    }
}

#[cfg(target_os = "linux")]
mod on_linux {
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;
    use std::process::ExitCode;
    use std::sync::atomic::Ordering;
    use std::task::Poll;

    use gpu_stream_async::DoneExt;
    use gpu_stream_conformance::Fixture;
    use gpu_stream_conformance::fixtures::{CudaFixture, HostFixture};
    use gpu_stream_core::ErrorKind;

    use super::cases::support::*;
    use super::cases::values::counted;

    pub fn main() -> ExitCode {
        // SAFETY: no other thread is running yet.
        let fixture = unsafe { cuda_sim::install(1) }.and_then(|()| CudaFixture::new());
        match fixture.map_err(Verdict::failed).and_then(|fixture| awaits_end_in_the_child(&fixture))
        {
            Ok(()) => {
                println!("test awaits_end_in_the_child ... ok");
                ExitCode::SUCCESS
            }
            Err(verdict) => {
                println!("test awaits_end_in_the_child ... FAILED: {}", verdict.reason());
                ExitCode::FAILURE
            }
        }
    }

    fn awaits_end_in_the_child(fx: &CudaFixture) -> Outcome {
        let (stream, gate) = gated(fx)?;
        let (mut polled, mut fresh, task) = (stream.done()?, stream.done()?, Task::new());
        check(task.poll(&mut polled).is_pending(), "the future is ready too early")?;
        let (value, drops) = counted();
        let mut left = stream.done()?.with(value);
        check(task.poll(&mut left).is_pending(), "the future is ready too early")?;
        in_a_child(move || {
            let refused = ErrorKind::NotPermitted;
            check_kind("a future that was polled", finish(&mut polled)?, refused)?;
            check_kind("a future that was not", finish(&mut fresh)?, refused)?;
            check_kind("done", stream.done().map(drop), refused)?;
            drop(left);
            check(drops.load(Ordering::SeqCst) == 0, "the child dropped the value")?;
            // The child's own watcher.
            let host = HostFixture::new();
            let (stream, gate) = gated(&host)?;
            let mut future = stream.done()?;
            check_pending(&host, &[&stream], &mut future)?;
            host.open(&gate);
            finish(&mut future)??;
            check_wakes(&host)
        })?;
        drop(gate);
        // The parent's watcher goes on.
        let (stream, gate) = gated(fx)?;
        let mut future = stream.done()?;
        check_pending(fx, &[&stream], &mut future)?;
        fx.open(&gate);
        finish(&mut future)??;
        check_wakes(fx)
    }

    /// Checks that the watcher of this process wakes.
    fn check_wakes<F: Fixture>(fx: &F) -> Outcome {
        let (stream, gate) = gated(fx)?;
        let (mut future, task) = (stream.done()?, Task::new());
        check(task.poll(&mut future).is_pending(), "the future is ready too early")?;
        fx.open(&gate);
        task.await_wake(0)?;
        check(matches!(task.poll(&mut future), Poll::Ready(Ok(()))), "the future is not ready")
    }

    /// Runs the checks in the child of a fork. What they capture stays alive in the parent.
    fn in_a_child(checks: impl FnOnce() -> Outcome) -> Outcome {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for two descriptors.
        check(unsafe { libc::pipe(ends.as_mut_ptr()) } == 0, "no pipe")?;
        // SAFETY: the descriptors are new, and each gets one owner.
        let [mut from_child, mut to_parent] =
            ends.map(|end| unsafe { std::fs::File::from_raw_fd(end) });
        // SAFETY: the child uses nothing whose lock another thread of the parent may hold: the allocator is glibc's, which
        // is usable after a fork. It ends by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends a child that hangs, by a signal that nothing catches.
            unsafe { libc::alarm(120) };
            let text = match checks() {
                Ok(()) => "passed".to_owned(),
                Err(verdict) => verdict.reason().to_owned(),
            };
            let _ = to_parent.write_all(text.as_bytes());
            // SAFETY: ends the child without the parent's destructors.
            unsafe { libc::_exit(0) };
        }
        check(child > 0, "no fork")?;
        std::mem::forget(checks);
        drop(to_parent);
        let mut text = String::new();
        from_child.read_to_string(&mut text)?;
        // SAFETY: the child exists and is waited for once.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        check(text == "passed", &format!("in the child: {text}"))
    }
}
