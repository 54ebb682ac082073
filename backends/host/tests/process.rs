//! What holds for a whole process: its end, and the settings that are read at its start.
//!
//! Each test starts its own binary again, as a child in which only the part behind `child` runs.

#![cfg(not(miri))]

mod child;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use gpu_stream_core::{Backend, Error, ErrorKind, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream, abandon_at_exit};

use child::{in_child, says};

fn stream() -> HostStream {
    Host::new_stream(Host::device(0).expect("device"), StreamOptions::new()).expect("stream")
}

static EXITING: AtomicBool = AtomicBool::new(false);

extern "C" fn note_exit() {
    EXITING.store(true, Ordering::SeqCst);
}

/// Has `EXITING` set when the process ends, and not before. The driver has to be running already:
/// what is registered last is called first.
fn watch_exit() {
    // SAFETY: `note_exit` is a function that only stores to a static.
    assert_eq!(unsafe { libc::atexit(note_exit) }, 0);
}

#[test]
fn what_was_submitted_is_finished_at_exit() {
    let output = in_child("what_was_submitted_is_finished_at_exit", &[], || {
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
    assert!(says(&output, "the last task ran"), "{output:?}");
}

#[test]
fn abandoned_work_does_not_keep_the_process() {
    let output = in_child("abandoned_work_does_not_keep_the_process", &[], || {
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
fn a_gate_that_nobody_opens_does_not_keep_the_process() {
    let output = in_child("a_gate_that_nobody_opens_does_not_keep_the_process", &[], || {
        let (held, free) = (stream(), stream());
        let gate = Gate::new(held.device()).expect("gate");
        held.wait_event(gate.event()).expect("wait");
        held.launch(|| println!("behind the gate")).expect("launch");
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
    assert!(says(&output, "beside the gate") && !says(&output, "behind the gate"), "{output:?}");
}

#[test]
fn a_task_can_end_the_process() {
    let output = in_child("a_task_can_end_the_process", &[], || {
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
fn work_can_be_abandoned_while_the_process_ends() {
    let output = in_child("work_can_be_abandoned_while_the_process_ends", &[], || {
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

/// Work that makes streams and submits to old ones while the process ends is finished as well.
#[test]
fn work_that_spreads_while_the_process_ends_is_finished() {
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
    let test = "work_that_spreads_while_the_process_ends_is_finished";
    let output = in_child(test, &[], || {
        // Many, so that each look at all of them takes its time.
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
    assert!(says(&output, "the last task ran"), "{:?}", output.status);
}

#[test]
fn the_number_of_devices_is_a_setting() {
    let settings = [("GPU_STREAM_HOST_DEVICES", "5")];
    let output = in_child("the_number_of_devices_is_a_setting", &settings, || {
        println!("{} devices", Host::devices().expect("devices").len());
    });
    assert!(says(&output, "5 devices"), "{output:?}");
}

#[test]
fn a_setting_that_is_no_number_is_named() {
    let settings = [("GPU_STREAM_HOST_THREADS", "many")];
    let output = in_child("a_setting_that_is_no_number_is_named", &settings, || {
        let error = Host::devices().expect_err("the setting is bad");
        assert_eq!(error.kind(), ErrorKind::InvalidOptions);
        println!("{error}");
    });
    assert!(says(&output, "GPU_STREAM_HOST_THREADS=many"), "{output:?}");
}

/// Runs tasks on 1,000 streams, and says on which threads.
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

/// With one thread, which is busy: on which thread does a task of another stream run, when someone
/// synchronizes that stream? "helped" if on the one that synchronizes.
fn who_runs_it() -> &'static str {
    let (busy, other) = (stream(), stream());
    let (release, released) = mpsc::channel::<()>();
    busy.launch(move || released.recv().expect("release")).expect("launch");
    let (tell, ran_on) = mpsc::channel();
    other.launch(move || tell.send(thread::current().id()).expect("tell")).expect("launch");
    let (begin, begun) = mpsc::channel();
    let waiting = thread::spawn(move || {
        begin.send(()).expect("begin");
        other.synchronize().expect("synchronize");
    });
    begun.recv().expect("begun");
    // Helping needs no thread of the pool, so let it happen if it will; that it may come late only
    // hides a fault.
    let helped = (0..10_000).find_map(|_| {
        thread::yield_now();
        ran_on.try_recv().ok()
    });
    release.send(()).expect("release");
    let ran_on = helped.unwrap_or_else(|| ran_on.recv().expect("it runs"));
    let by_waiting = ran_on == waiting.thread().id();
    waiting.join().expect("join");
    if by_waiting { "helped" } else { "not helped" }
}

#[test]
fn a_thread_that_synchronizes_helps() {
    let settings = [("GPU_STREAM_HOST_THREADS", "1")];
    let output = in_child("a_thread_that_synchronizes_helps", &settings, || {
        let (stream, busy) = (stream(), stream());
        let (release, released) = mpsc::channel::<()>();
        busy.launch(move || released.recv().expect("release")).expect("launch");
        // The only thread may be stuck in `busy` by now: nobody but this one can run what follows.
        stream.launch(|| println!("somebody ran it")).expect("launch");
        stream.synchronize().expect("synchronize");
        release.send(()).expect("release");
    });
    assert!(says(&output, "somebody ran it"), "{output:?}");
}

#[test]
fn helping_can_be_turned_off() {
    let settings = [("GPU_STREAM_HOST_THREADS", "1"), ("GPU_STREAM_HOST_HELP", "0")];
    let output = in_child("helping_can_be_turned_off", &settings, || println!("{}", who_runs_it()));
    assert!(says(&output, "not helped"), "{output:?}");
}

#[test]
fn a_thousand_streams_run_on_as_many_threads_as_were_set() {
    let settings = [("GPU_STREAM_HOST_THREADS", "3"), ("GPU_STREAM_HOST_HELP", "0")];
    let output =
        in_child("a_thousand_streams_run_on_as_many_threads_as_were_set", &settings, || {
            let seen = threads_of_a_thousand_streams();
            assert!(seen.len() <= 3, "{seen:?}");
            assert!(!seen.contains(&thread::current().id()), "nobody is to help");
            println!("at most three");
        });
    assert!(says(&output, "at most three"), "{output:?}");
}

#[test]
fn a_thousand_streams_run_on_as_many_threads_as_the_machine_has() {
    let test = "a_thousand_streams_run_on_as_many_threads_as_the_machine_has";
    let output = in_child(test, &[], || {
        let cores = thread::available_parallelism().expect("cores").get().max(2);
        let seen = threads_of_a_thousand_streams();
        // One more: the thread that synchronizes helps.
        assert!(seen.len() <= cores + 1, "{} threads for {cores} cores", seen.len());
        println!("not more than the cores");
    });
    assert!(says(&output, "not more than the cores"), "{output:?}");
}
