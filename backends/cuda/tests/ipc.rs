//! A process waits on the GPU for an event of another process.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_cuda::Cuda;
use gpu_stream_cuda::ipc::IpcEventHandle;
use support::bare::Space;
use support::{device, expect_kind, wrap};

/// The variable that is set in the second process.
const CHILD: &str = "GPU_STREAM_CUDA_IPC_CHILD";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        other_process();
        return ExitCode::SUCCESS;
    }
    support::main(&[
        ("stream_waits_for_another_process", stream_waits_for_another_process),
        ("ordinary_event_has_no_handle", ordinary_event_has_no_handle),
        ("invalid_handle_is_rejected", invalid_handle_is_rejected),
    ])
}

fn interprocess() -> EventOptions {
    EventOptions::builder().interprocess(true).build().unwrap()
}

/// Records an event after a gate, sends its handle, and opens the gate on request.
fn other_process() {
    let space = Space::primary();
    let raw = space.stream(1, 0);
    let stream = wrap(raw);
    let event = Cuda::new_event(device(), interprocess()).expect("an interprocess event");
    let gate = space.gate(raw);
    stream.record(&event).expect("record");
    let bytes = event.ipc_handle().expect("ipc_handle").to_bytes();
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("handle {text}");
    let mut lines = std::io::stdin().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    assert!(!stream.query().expect("query"), "the gate is shut");
    gate.open();
    // The event must live until the other process is done.
    assert_eq!(lines.next().unwrap().unwrap(), "done");
}

fn stream_waits_for_another_process() {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let mut to_child = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().expect("the second process ended early").unwrap();
    let text = line.strip_prefix("handle ").expect("a handle");
    let byte = |index: usize| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap();
    let handle = IpcEventHandle::from_bytes(std::array::from_fn(byte));
    // SAFETY: the other process keeps its event until it receives "done".
    let event = unsafe { handle.open(device()) }.expect("open");
    assert!(event.options().is_interprocess());
    assert_eq!(event.status().unwrap(), EventStatus::Pending, "their gate is shut");

    let space = Space::primary();
    let raw = space.stream(1, 0);
    let (stream, word) = (wrap(raw), space.words(1));
    stream.wait_event(&event).expect("wait_event");
    space.slow_store(raw, word, 1, 1);
    for _ in 0..2_000 {
        std::thread::yield_now();
        assert!(!stream.query().unwrap(), "the stream did not wait for the other process");
    }
    assert_eq!(space.read(word, 1), [0]);
    writeln!(to_child, "open").unwrap();
    stream.synchronize().expect("synchronize");
    assert_eq!(space.read(word, 1), [1]);
    event.synchronize().expect("event synchronize");
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    drop(event);
    writeln!(to_child, "done").unwrap();
    assert!(child.wait().unwrap().success(), "the second process failed");
}

fn ordinary_event_has_no_handle() {
    let event = Cuda::new_event(device(), EventOptions::new()).unwrap();
    let text = expect_kind("ipc_handle", event.ipc_handle(), ErrorKind::InvalidHandle);
    assert!(text.contains("interprocess"), "{text}");
}

fn invalid_handle_is_rejected() {
    // SAFETY: no process created the event, so none destroys it.
    let opened = unsafe { IpcEventHandle::from_bytes([0; 64]).open(device()) };
    eprintln!("opening 64 zeros: {}", opened.expect_err("64 zeros were opened"));
}
