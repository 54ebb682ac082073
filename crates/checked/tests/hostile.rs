//! Programs that call the check where its own state could be locked or gone.

use std::cell::RefCell;
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use gpu_stream_checked::{Checked, CheckedEvent, CheckedStream, FindingKind};
use gpu_stream_core::{
    Access, Backend, Device, EventOptions, RawStream, Region, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_host::Host;

type B = Checked<Host>;

fn stream() -> CheckedStream<Host> {
    let device = B::device(0).expect("the host");
    B::new_stream(device, StreamOptions::new()).expect("a stream")
}

fn memory() -> Region {
    static NEXT: AtomicUsize = AtomicUsize::new(0x10_0000);
    Region::new("memory", NEXT.fetch_add(64, Ordering::Relaxed), 64)
}

/// Makes a finding.
fn mistake() {
    let (one, two, data) = (stream(), stream(), memory());
    one.writes(&data);
    two.writes(&data);
}

#[test]
fn hook_can_make_mistakes_of_its_own_and_take_reports() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    B::set_hook(Some(Arc::new(|_| {
        CALLS.fetch_add(1, Ordering::Relaxed);
        B::set_hook(None);
        mistake();
        drop(B::report());
    })));
    // A place that no other test has: a finding is shown once.
    let (one, two, data) = (stream(), stream(), memory());
    one.writes(&data);
    two.writes(&data);
    assert!(CALLS.load(Ordering::Relaxed) > 0);
}

#[test]
fn scope_that_panics_leaves_the_check_usable() {
    let outcome = catch_unwind(|| {
        B::scope(|_| {
            mistake();
            panic!("in the scope");
        })
    });
    outcome.expect_err("the panic passes through");
    let ((), report) = B::scope(|_| mistake());
    assert_eq!(report.errors().count(), 1);
}

/// An owner whose drop uses streams, and makes a mistake.
struct Owner(CheckedStream<Host>, Arc<AtomicBool>);

// SAFETY: the stream is the same one for the owner's life, and lives as long.
unsafe impl StreamOwner<B> for Owner {
    fn raw_stream(&self) -> RawStream<B> {
        self.0.raw()
    }

    fn device(&self) -> Option<Device> {
        Some(self.0.device())
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        mistake();
        drop(self.0.record_event());
        self.1.store(true, Ordering::Relaxed);
    }
}

#[test]
fn owner_can_use_streams_while_it_is_dropped() {
    let dropped = Arc::new(AtomicBool::new(false));
    let ((), report) = B::scope(|_| {
        let owner = Arc::new(Owner(stream(), Arc::clone(&dropped)));
        let wrapped = B::stream_from_owner(owner, None).expect("a wrapper");
        let event = wrapped.record_event().expect("an event");
        drop(wrapped.clone());
        drop(wrapped);
        drop(event);
    });
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(report.errors().count(), 1, "{report}");
}

thread_local! {
    static KEPT: RefCell<Vec<(CheckedStream<Host>, CheckedEvent<Host>)>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn streams_and_waits_of_a_thread_that_ends_are_dropped() {
    let ((), report) = B::scope(|scope| {
        thread::scope(|threads| {
            threads.spawn(|| {
                let _entered = scope.enter();
                let event = stream().new_event(EventOptions::new()).expect("an event");
                let kept = stream();
                kept.wait_event(&event).expect("a wait");
                KEPT.with_borrow_mut(|all| all.push((kept, event)));
            });
        });
    });
    assert!(report.findings.iter().all(|found| found.kind == FindingKind::UnrecordedWait));
}

#[test]
fn reports_are_taken_while_other_threads_run() {
    let stop = AtomicBool::new(false);
    let data = memory();
    let ((), report) = B::scope(|scope| {
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let _entered = scope.enter();
                    for _ in 0..300 {
                        let one = stream();
                        one.reads(&data);
                        let event = one.record_event().expect("an event");
                        let ((), inner) = B::scope(|_| mistake());
                        assert_eq!(inner.errors().count(), 1, "{inner}");
                        stream().wait_event(&event).expect("a wait");
                        one.writes(&memory());
                    }
                });
            }
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    drop(B::report());
                    thread::yield_now();
                }
            });
            threads.spawn(|| {
                for _ in 0..300 {
                    mistake();
                }
                stop.store(true, Ordering::Relaxed);
            });
        });
    });
    assert_eq!(report.errors().count(), 0, "{report}");
}

/// An event goes to a thread that polls it, and what is done there needs no further wait.
#[test]
fn events_through_channels_are_in_order() {
    let (send, receive) = std::sync::mpsc::sync_channel::<(CheckedEvent<Host>, Region)>(4);
    let ((), report) = B::scope(|scope| {
        thread::scope(|threads| {
            threads.spawn(move || {
                let _entered = scope.enter();
                let other = stream();
                for (event, data) in receive {
                    if data.addresses().start % 128 == 0 {
                        other.wait_event(&event).expect("a wait");
                    } else {
                        while !gpu_stream_core::Event::query(&event).expect("an answer") {
                            thread::yield_now();
                        }
                        B::host_access(Access::Read, &data);
                    }
                    other.writes(&data);
                    other.released(&data);
                }
            });
            let one = stream();
            for _ in 0..500 {
                let data = memory();
                one.writes(&data);
                send.send((one.record_event().expect("an event"), data)).expect("the thread");
            }
            drop(send);
        });
    });
    assert!(report.is_empty(), "{report}");
}

/// One event, recorded again and again by one thread, while others wait for it and ask it.
#[test]
fn record_that_another_thread_sees_is_in_order() {
    for _ in 0..300 {
        let ((), report) = B::scope(|scope| {
            let (one, two, data) = (stream(), stream(), memory());
            let event = one.new_event(EventOptions::new()).expect("an event");
            let recorded = Mutex::new(false);
            one.writes(&data);
            thread::scope(|threads| {
                threads.spawn(|| {
                    let _entered = scope.enter();
                    one.record(&event).expect("a record");
                    *recorded.lock().expect("no panic") = true;
                });
                threads.spawn(|| {
                    let _entered = scope.enter();
                    while !*recorded.lock().expect("no panic") {
                        thread::yield_now();
                    }
                    two.wait_event(&event).expect("a wait");
                    two.writes(&data);
                });
            });
        });
        assert!(report.is_empty(), "{report}");
    }
}

/// Runs a case of this file in a process of its own.
fn child(case: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", case, "--ignored", "--nocapture"]).env("GPU_STREAM_CHECK", "1");
    command
}

#[test]
#[ignore = "a process of its own"]
fn child_with_a_finding() {
    mistake();
}

#[test]
fn program_goes_on_if_nobody_reads_its_findings() {
    let mut command = child("child_with_a_finding");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = command.stderr(writer).stdout(Stdio::null()).status();
    assert!(status.expect("a child").success());
}

#[cfg(target_os = "linux")]
mod forked {
    use std::ffi::c_int;

    use super::*;

    unsafe extern "C" {
        fn fork() -> c_int;
        fn exit(code: c_int) -> !;
        fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
    }

    #[test]
    #[ignore = "a process of its own"]
    fn child_that_forks() {
        let stop = AtomicBool::new(false);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    let (one, two) = (stream(), stream());
                    while !stop.load(Ordering::Relaxed) {
                        one.wait_stream(&two).expect("a wait");
                    }
                });
            }
            for _ in 0..300 {
                // SAFETY: the child only exits.
                let process = unsafe { fork() };
                if process == 0 {
                    // SAFETY: it runs what was registered for the exit, and nothing else.
                    unsafe { exit(0) }
                }
                let mut status = -1;
                // SAFETY: the out-pointer is valid.
                assert_eq!(unsafe { waitpid(process, &mut status, 0) }, process);
                assert_eq!(status, 0);
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn forked_child_exits() {
        let output = child("forked::child_that_forks").output().expect("a child");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}
