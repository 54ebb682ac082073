//! The original failure is printed even if a smaller program hangs or ends the process.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use gpu_stream_conformance::fixtures::{HostData, HostFixture, HostForeign};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Device, RawStream, Stream, StreamOptions};
use gpu_stream_host::{Gate, Host, HostStream};
use gpu_stream_model::campaign::{self, Campaign};
use gpu_stream_model::run::{Options, Runner};

/// Environment variable of the child process: what a smaller program does there.
const THEN: &str = "GPU_STREAM_MODEL_TEST_THEN";

/// A value that no task stores.
const WRONG: u32 = 4_000_000_007;

/// Host fixture that returns wrong numbers for one program, and calls `then` in the next program.
struct BrokenFixture {
    host: HostFixture,
    /// `true` once a number was read.
    has_loaded: AtomicBool,
    /// `true` once another program has begun after that.
    is_next: AtomicBool,
    /// What the next program does.
    then: fn(),
}

impl Fixture for BrokenFixture {
    type Backend = Host;
    type Foreign = HostForeign;
    type Gate = Gate;
    type Data = HostData;

    fn raw_stream(&self, bits: usize) -> RawStream<Host> {
        self.host.raw_stream(bits)
    }

    fn foreign(&self, device: Device, options: StreamOptions) -> Result<HostForeign, Verdict> {
        self.host.foreign(device, options)
    }

    fn foreign_works(&self, foreign: &HostForeign) -> Outcome {
        self.host.foreign_works(foreign)
    }

    fn gate<S: Stream<Backend = Host>>(&self, stream: &S) -> Result<Gate, Verdict> {
        self.host.gate(stream)
    }

    fn open(&self, gate: &Gate) {
        self.host.open(gate);
    }

    fn data(&self, device: Device, value: u32) -> Result<HostData, Verdict> {
        // A program takes its numbers before it runs, and those of a failed program are not reused.
        self.is_next.fetch_or(self.has_loaded.load(Ordering::SeqCst), Ordering::SeqCst);
        self.host.data(device, value)
    }

    fn store<S: Stream<Backend = Host>>(&self, stream: &S, data: &HostData, value: u32) -> Outcome {
        self.host.store(stream, data, value)
    }

    fn copy<S: Stream<Backend = Host>>(&self, stream: &S, a: &HostData, b: &HostData) -> Outcome {
        self.host.copy(stream, a, b)
    }

    fn load(&self, _: &HostData) -> Result<u32, Verdict> {
        self.has_loaded.store(true, Ordering::SeqCst);
        if self.is_next.load(Ordering::SeqCst) {
            (self.then)();
        }
        Ok(WRONG)
    }

    fn settle(&self, streams: &[&HostStream]) {
        self.host.settle(streams);
    }

    fn fault(&self, stream: &HostStream) -> Outcome {
        self.host.fault(stream)
    }

    fn make_current(&self, device: Device) -> Outcome {
        self.host.make_current(device)
    }

    fn thread_state(&self) -> Result<String, Verdict> {
        self.host.thread_state()
    }
}

fn hang() {
    loop {
        thread::park();
    }
}

fn exit() {
    std::process::exit(9);
}

/// Child process: runs a campaign that fails and then shrinks. Does nothing in the parent.
#[test]
fn child() {
    let then = match std::env::var(THEN).as_deref() {
        Ok("hang") => hang,
        Ok("exit") => exit,
        _ => return,
    };
    let new_flag = || AtomicBool::new(false);
    let host = HostFixture::new();
    let fixture = BrokenFixture { host, has_loaded: new_flag(), is_next: new_flag(), then };
    let options = Options { exact: true, limit: Duration::from_millis(400), candidates: 50 };
    let mut runner = Runner::new(Arc::new(fixture), options).unwrap();
    let caught = campaign::run(&mut runner, &Campaign::new(10), &options);
    panic!("the process should have ended: {caught:?}");
}

/// Runs `child` in a process of its own.
fn run_child(then: &str) -> Output {
    let program = std::env::current_exe().unwrap();
    let line = ["--exact", "child", "--nocapture"];
    Command::new(program).args(line).env(THEN, then).output().unwrap()
}

/// Counts the failures in the output, and the lines that say how to run the program again.
fn count_messages(output: &Output) -> [usize; 2] {
    let text = String::from_utf8_lossy(&output.stderr);
    let count = |part: &str| text.matches(part).count();
    assert!(!text.contains("the process should have ended"), "{text}");
    [count(" fails on host:\n\ns0 = "), count("run again with: GPU_STREAM_MODEL_SEED=1:")]
}

#[test]
fn hang_of_a_smaller_program_keeps_the_original_failure() {
    let output = run_child("hang");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    assert_eq!(count_messages(&output), [2, 2], "before the search, and with the hang: {output:?}");
}

#[test]
fn exit_of_a_smaller_program_keeps_the_original_failure() {
    let output = run_child("exit");
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    assert_eq!(count_messages(&output), [1, 1], "before the search: {output:?}");
}
