//! Two threads end the process: the main thread, and a task.
//!
//! Std blocks the second one inside `exit` forever, while the first one waits for tasks.

#![cfg(all(target_os = "linux", not(miri)))]

mod child;

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gpu_stream_core::{Backend, ErrorKind, Stream, StreamOptions};
use gpu_stream_host::{Host, HostStream};

use child::{in_child, prints};

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

static EXITING: AtomicBool = AtomicBool::new(false);

extern "C" fn set_exiting() {
    EXITING.store(true, Ordering::SeqCst);
}

/// Registers a handler that sets `EXITING` when the process exits.
///
/// The executor must be running already: handlers run in reverse order of registration.
fn watch_exit() {
    // SAFETY: `set_exiting` is live as long as the program, and does not unwind.
    assert_eq!(unsafe { libc::atexit(set_exiting) }, 0);
}

fn wait_for_exit() {
    while !EXITING.load(Ordering::SeqCst) {
        thread::yield_now();
    }
}

/// Ends the process when it is dropped.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        exit(3);
    }
}

/// A task calls `exit_now` while the process exits. All other work, except what waits for that
/// task, has to finish.
fn call_exit_during_exit(test: &str, threads: &str, exit_now: fn()) {
    let settings = [("GPU_STREAM_HOST_THREADS", threads), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child(test, &settings, || {
        let (ending, waiting, other) = (stream(), stream(), stream());
        watch_exit();
        let end = move || {
            wait_for_exit();
            exit_now();
        };
        ending.launch(end).expect("launch");
        waiting.wait_stream(&ending).expect("wait");
        waiting.launch(|| println!("after exit")).expect("launch");
        let late = move || {
            wait_for_exit();
            println!("the last task ran");
        };
        other.launch(late).expect("launch");
    });
    assert_eq!(output.status.code(), Some(0), "the first exit code stands");
    assert!(prints(&output, "the last task ran") && !prints(&output, "after exit"), "{output:?}");
}

#[test]
fn task_may_call_exit_during_exit() {
    let test = "task_may_call_exit_during_exit";
    call_exit_during_exit(test, "2", || exit(3));
}

/// The task blocks the only worker.
#[test]
fn task_on_the_only_worker_may_call_exit_during_exit() {
    let test = "task_on_the_only_worker_may_call_exit_during_exit";
    call_exit_during_exit(test, "1", || exit(3));
}

#[test]
fn destructor_may_call_exit_during_exit() {
    let test = "destructor_may_call_exit_during_exit";
    call_exit_during_exit(test, "2", || drop(Exit));
}

/// More tasks call `exit` than there are workers.
#[test]
fn many_tasks_may_call_exit_during_exit() {
    let settings = [("GPU_STREAM_HOST_THREADS", "2")];
    let output = in_child("many_tasks_may_call_exit_during_exit", &settings, || {
        let streams: Vec<_> = (0..5).map(|_| stream()).collect();
        let last = stream();
        watch_exit();
        for stream in &streams {
            let end = || {
                wait_for_exit();
                exit(3);
            };
            stream.launch(end).expect("launch");
        }
        last.launch(|| println!("the last task ran")).expect("launch");
    });
    assert_eq!(output.status.code(), Some(0));
    assert!(prints(&output, "the last task ran"), "{output:?}");
}

#[test]
fn thread_may_call_exit_while_a_task_ends_the_process() {
    let output = in_child("thread_may_call_exit_while_a_task_ends_the_process", &[], || {
        let stream = stream();
        watch_exit();
        stream.launch(|| exit(3)).expect("launch");
        // The task is then inside the exit handlers. It stays there until this thread is inside
        // `exit` too, or the process has ended.
        wait_for_exit();
    });
    assert_eq!(output.status.code(), Some(3));
}

/// A thread-local destructor of the exiting thread waits for a task that calls `exit`.
#[test]
fn wait_for_a_task_inside_exit_fails() {
    struct AtEnd(HostStream);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            EXITING.store(true, Ordering::SeqCst);
            let error = self.0.synchronize().expect_err("the task does not end");
            assert_eq!(gpu_stream_core::Error::kind(&error), ErrorKind::NotPermitted);
            println!("error: {error}");
        }
    }
    thread_local! {
        static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
    }
    for through in ["0", "1"] {
        // Helping is off: the thread would run the task itself, and std aborts a process in which
        // one thread calls `exit` twice.
        let settings = [("THROUGH_ANOTHER", through), ("GPU_STREAM_HOST_HELP", "0")];
        let output = in_child("wait_for_a_task_inside_exit_fails", &settings, || {
            let (ending, waiting) = (stream(), stream());
            let end = || {
                wait_for_exit();
                exit(3);
            };
            ending.launch(end).expect("launch");
            waiting.wait_stream(&ending).expect("wait");
            waiting.launch(|| {}).expect("launch");
            let through = std::env::var("THROUGH_ANOTHER").is_ok_and(|text| text == "1");
            AT_END.set(Some(AtEnd(if through { waiting } else { ending })));
        });
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(prints(&output, "error: "), "{output:?}");
    }
}
