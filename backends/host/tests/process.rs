//! Tests of a whole process: its exit, and the settings that are read at its start.
//!
//! Each test starts its own binary again as a child process, which runs only the closure that is
//! passed to `in_child`.

#![cfg(not(miri))]

mod child;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use gpu_stream_core::{Backend, Error, ErrorKind, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream, abandon_at_exit};

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

#[test]
fn exit_finishes_submitted_work() {
    let output = in_child("exit_finishes_submitted_work", &[], || {
        let (first, second) = (stream(), stream());
        watch_exit();
        first
            .launch(|| {
                while !EXITING.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            })
            .expect("launch");
        second.wait_stream(&first).expect("wait");
        second.launch(|| println!("the last task ran")).expect("launch");
    });
    assert!(output.status.success());
    assert!(prints(&output, "the last task ran"), "{output:?}");
}

#[test]
fn exit_does_not_wait_for_abandoned_work() {
    let output = in_child("exit_does_not_wait_for_abandoned_work", &[], || {
        stream()
            .launch(|| {
                loop {
                    thread::park();
                }
            })
            .expect("launch");
        abandon_at_exit();
    });
    assert!(output.status.success());
}

#[test]
fn exit_does_not_wait_for_a_gate_that_stays_closed() {
    let output = in_child("exit_does_not_wait_for_a_gate_that_stays_closed", &[], || {
        let (held, free) = (stream(), stream());
        let gate = Gate::new(held.device()).expect("gate");
        held.wait_event(gate.event()).expect("wait");
        held.launch(|| println!("after the gate")).expect("launch");
        watch_exit();
        free.launch(|| {
            while !EXITING.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            println!("beside the gate");
        })
        .expect("launch");
        std::mem::forget(gate);
    });
    assert!(output.status.success());
    assert!(prints(&output, "beside the gate") && !prints(&output, "after the gate"), "{output:?}");
}

#[test]
fn task_can_end_the_process() {
    let output = in_child("task_can_end_the_process", &[], || {
        let stream = stream();
        stream.launch(|| std::process::exit(3)).expect("launch");
        let _ = stream.synchronize();
        loop {
            thread::park();
        }
    });
    assert_eq!(output.status.code(), Some(3));
}

/// Ends the process when it is dropped.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        std::process::exit(3);
    }
}

#[test]
fn dropping_an_unrun_closure_can_end_the_process() {
    let output = in_child("dropping_an_unrun_closure_can_end_the_process", &[], || {
        let stream = stream();
        let gate = Gate::new(stream.device()).expect("gate");
        stream.wait_event(gate.event()).expect("wait");
        stream.launch(|| panic!("the first")).expect("launch");
        let exit = Exit;
        stream.launch(move || drop(exit)).expect("launch");
        gate.open();
        loop {
            thread::park();
        }
    });
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn task_can_abandon_work_during_exit() {
    let output = in_child("task_can_abandon_work_during_exit", &[], || {
        let stream = stream();
        watch_exit();
        stream
            .launch(|| {
                while !EXITING.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                abandon_at_exit();
                loop {
                    thread::park();
                }
            })
            .expect("launch");
    });
    assert!(output.status.success());
}

/// Tasks create streams, and submit to old ones, while the process exits.
#[test]
fn exit_finishes_work_that_tasks_submit_meanwhile() {
    fn spread(old: HostStream, left: u32) {
        if left == 0 {
            println!("the last task ran");
            return;
        }
        let new = stream();
        let inner = old.clone();
        new.launch(move || {
            let again = inner.clone();
            inner.launch(move || spread(again, left - 1)).expect("launch");
        })
        .expect("launch");
    }
    let test = "exit_finishes_work_that_tasks_submit_meanwhile";
    let output = in_child(test, &[], || {
        // Many streams, so that each snapshot of them takes long.
        let idle: Vec<_> = (0..3_000).map(|_| stream()).collect();
        let old = stream();
        watch_exit();
        let inner = old.clone();
        old.launch(move || {
            while !EXITING.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            spread(inner, 2_000);
        })
        .expect("launch");
        std::mem::forget(idle);
    });
    assert!(prints(&output, "the last task ran"), "{:?}", output.status);
}

#[test]
fn devices_setting_is_the_number_of_devices() {
    let settings = [("GPU_STREAM_HOST_DEVICES", "5")];
    let output = in_child("devices_setting_is_the_number_of_devices", &settings, || {
        println!("{} devices", Host::devices().expect("devices").len());
    });
    assert!(prints(&output, "5 devices"), "{output:?}");
}

#[test]
fn invalid_setting_is_named_in_the_error() {
    let settings = [("GPU_STREAM_HOST_THREADS", "many")];
    let output = in_child("invalid_setting_is_named_in_the_error", &settings, || {
        let error = Host::devices().expect_err("the setting is invalid");
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        println!("{error}");
    });
    assert!(prints(&output, "GPU_STREAM_HOST_THREADS=many"), "{output:?}");
}

/// Runs tasks on 1,000 streams, and returns the threads that ran them.
fn threads_of_a_thousand_streams() -> HashSet<thread::ThreadId> {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let streams: Vec<_> = (0..1000).map(|_| stream()).collect();
    for _ in 0..20 {
        for stream in &streams {
            let seen = Arc::clone(&seen);
            let note = move || {
                seen.lock().expect("seen").insert(thread::current().id());
            };
            stream.launch(note).expect("launch");
        }
    }
    let all = stream();
    all.join(&streams).expect("join");
    all.synchronize().expect("synchronize");
    seen.lock().expect("seen").clone()
}

/// Synchronizes a stream while the only worker is busy. Returns "helped" if the stream's task ran
/// on the synchronizing thread, otherwise "not helped".
fn helped_or_not() -> &'static str {
    let (busy, other) = (stream(), stream());
    let (release, released) = mpsc::channel::<()>();
    busy.launch(move || released.recv().expect("release")).expect("launch");
    let (sender, ran_on) = mpsc::channel();
    other.launch(move || sender.send(thread::current().id()).expect("send")).expect("launch");
    let (begin, begun) = mpsc::channel();
    let waiting = thread::spawn(move || {
        begin.send(()).expect("begin");
        other.synchronize().expect("synchronize");
    });
    begun.recv().expect("begun");
    // Helping needs no worker, so it can happen now. If it comes too late, the test can only miss
    // an error, not report a false one.
    let helped = (0..10_000).find_map(|_| {
        thread::yield_now();
        ran_on.try_recv().ok()
    });
    release.send(()).expect("release");
    let ran_on = helped.unwrap_or_else(|| ran_on.recv().expect("it runs"));
    let by_waiting_thread = ran_on == waiting.thread().id();
    waiting.join().expect("join");
    if by_waiting_thread { "helped" } else { "not helped" }
}

#[test]
fn synchronizing_thread_helps() {
    let settings = [("GPU_STREAM_HOST_THREADS", "1")];
    let output = in_child("synchronizing_thread_helps", &settings, || {
        let (stream, busy) = (stream(), stream());
        let (release, released) = mpsc::channel::<()>();
        busy.launch(move || released.recv().expect("release")).expect("launch");
        // The only worker can be blocked in `busy` by now: only this thread can run the task.
        stream.launch(|| println!("the task ran")).expect("launch");
        stream.synchronize().expect("synchronize");
        release.send(()).expect("release");
    });
    assert!(prints(&output, "the task ran"), "{output:?}");
}

#[test]
fn helping_can_be_turned_off() {
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "0")];
    let output =
        in_child("helping_can_be_turned_off", &settings, || println!("{}", helped_or_not()));
    assert!(prints(&output, "not helped"), "{output:?}");
}

#[test]
fn thousand_streams_run_on_the_configured_threads() {
    let settings = [("GPU_STREAM_HOST_THREADS", "3"), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child("thousand_streams_run_on_the_configured_threads", &settings, || {
        let seen = threads_of_a_thousand_streams();
        assert!(seen.len() <= 3, "{seen:?}");
        assert!(!seen.contains(&thread::current().id()), "helping is turned off");
        println!("at most three");
    });
    assert!(prints(&output, "at most three"), "{output:?}");
}

#[test]
fn thousand_streams_run_on_one_thread_per_core() {
    let test = "thousand_streams_run_on_one_thread_per_core";
    let output = in_child(test, &[], || {
        let cores = thread::available_parallelism().expect("cores").get().max(2);
        let seen = threads_of_a_thousand_streams();
        // One more, because the synchronizing thread helps.
        assert!(seen.len() <= cores + 1, "{} threads for {cores} cores", seen.len());
        println!("not more than the cores");
    });
    assert!(prints(&output, "not more than the cores"), "{output:?}");
}
