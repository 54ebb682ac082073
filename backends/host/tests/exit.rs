//! Two threads end the process: the one from `main`, the other in a task. Std lets the second one wait
//! inside `exit` for ever, and the first one waits for tasks.

#![cfg(all(target_os = "linux", not(miri)))]

mod child;

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use gpu_stream_core::{Backend, ErrorKind, Stream, StreamOptions};
use gpu_stream_host::{Host, HostStream};

use child::{in_child, says};

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

static EXITING: AtomicBool = AtomicBool::new(false);

extern "C" fn note_exit() {
    EXITING.store(true, Ordering::SeqCst);
}

/// Has `EXITING` set when the process ends. The driver has to be running already: what is registered
/// last is called first.
fn watch_exit() {
    // SAFETY: `note_exit` is a function that only stores to a static.
    assert_eq!(unsafe { libc::atexit(note_exit) }, 0);
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

/// The process ends; a task calls `exit` meanwhile; work behind it, and beside it, has to be done.
fn a_task_calls_exit_while_the_process_ends(test: &str, threads: &str, exit_now: fn()) {
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
        waiting.launch(|| println!("behind exit")).expect("launch");
        let late = move || {
            wait_for_exit();
            println!("the last task ran");
        };
        other.launch(late).expect("launch");
    });
    assert_eq!(output.status.code(), Some(0), "the first exit code stands");
    assert!(says(&output, "the last task ran") && !says(&output, "behind exit"), "{output:?}");
}

#[test]
fn a_task_may_call_exit_while_the_process_ends() {
    let test = "a_task_may_call_exit_while_the_process_ends";
    a_task_calls_exit_while_the_process_ends(test, "2", || exit(3));
}

/// The only thread of the pool is lost to the task.
#[test]
fn the_last_thread_may_call_exit_while_the_process_ends() {
    let test = "the_last_thread_may_call_exit_while_the_process_ends";
    a_task_calls_exit_while_the_process_ends(test, "1", || exit(3));
}

#[test]
fn a_destructor_may_call_exit_while_the_process_ends() {
    let test = "a_destructor_may_call_exit_while_the_process_ends";
    a_task_calls_exit_while_the_process_ends(test, "2", || drop(Exit));
}

/// All threads of the pool, and one more that is inside `exit` on behalf of the process.
#[test]
fn many_tasks_may_call_exit_while_the_process_ends() {
    let settings = [("GPU_STREAM_HOST_THREADS", "2")];
    let output = in_child("many_tasks_may_call_exit_while_the_process_ends", &settings, || {
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
    assert!(says(&output, "the last task ran"), "{output:?}");
}

#[test]
fn a_thread_may_call_exit_while_a_task_ends_the_process() {
    let output = in_child("a_thread_may_call_exit_while_a_task_ends_the_process", &[], || {
        let stream = stream();
        watch_exit();
        stream.launch(|| exit(3)).expect("launch");
        // The task is inside the handlers of `exit` by then, and stays there until this thread is
        // inside `exit`, too, or the process is gone.
        wait_for_exit();
    });
    assert_eq!(output.status.code(), Some(3));
}

/// A thread-local of the thread that ends the process waits for a task that calls `exit`.
#[test]
fn a_wait_for_a_task_inside_exit_ends() {
    struct AtEnd(HostStream);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            EXITING.store(true, Ordering::SeqCst);
            let error = self.0.synchronize().expect_err("the task does not end");
            assert_eq!(gpu_stream_core::Error::kind(&error), ErrorKind::NotPermitted);
            println!("told: {error}");
        }
    }
    thread_local! {
        static AT_END: std::cell::RefCell<Option<AtEnd>> = const { std::cell::RefCell::new(None) };
    }
    for through in ["0", "1"] {
        // Without help: the thread would run the task itself, and std ends a process with an abort in
        // which one thread calls `exit` twice.
        let settings = [("THROUGH_ANOTHER", through), ("GPU_STREAM_HOST_HELP", "0")];
        let output = in_child("a_wait_for_a_task_inside_exit_ends", &settings, || {
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
        assert!(says(&output, "told: "), "{output:?}");
    }
}
