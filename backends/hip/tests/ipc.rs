//! A stream waits, on the GPU, for an event of another process.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use gpu_stream_core::{Backend, ErrorKind, Event, EventOptions, EventStatus, Stream};
use gpu_stream_hip::Hip;
use gpu_stream_hip::ipc::IpcEventHandle;
use gpu_stream_test_support::cases;
use support::bare::{gate, new_stream, words};
use support::{device, expect_kind, has_interprocess, own_event, skip, wrap};

/// The variable that marks the second process.
const CHILD: &str = "GPU_STREAM_HIP_IPC_CHILD";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        support::prepare();
        other_process();
        return ExitCode::SUCCESS;
    }
    support::main(&cases![
        stream_waits_for_another_process,
        ordinary_event_has_no_handle,
        invalid_handle_is_rejected
    ])
}

fn interprocess() -> EventOptions {
    EventOptions::builder().interprocess(true).build().unwrap()
}

fn need_interprocess() {
    if !has_interprocess() {
        skip("AMD's runtime rejects interprocess events");
    }
}

/// Records an event that is blocked by a gate, sends its handle, and opens the gate on "open".
fn other_process() {
    let raw = new_stream(0, 1, 0);
    let stream = wrap(raw);
    let event = Hip::new_event(device(), interprocess()).expect("an interprocess event");
    let gate = gate(raw);
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
    need_interprocess();
    let mut child = hsa_sim::this_program()
        .expect("this program")
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
    // SAFETY: the other process keeps its event until this one sends "done".
    let event = unsafe { handle.open(device()) }.expect("open");
    assert!(event.options().is_interprocess());
    assert_eq!(event.status().unwrap(), EventStatus::Pending, "the other process's gate is shut");

    let raw = new_stream(0, 1, 0);
    let (stream, word) = (wrap(raw), words(1));
    stream.wait_event(&event).expect("wait_event");
    word.store(raw, 0, 1);
    for _ in 0..2_000 {
        std::thread::yield_now();
        assert!(!stream.query().unwrap(), "the stream did not wait for the other process");
    }
    assert_eq!(word.get(0), 0);
    writeln!(to_child, "open").unwrap();
    stream.synchronize().expect("synchronize");
    assert_eq!(word.get(0), 1);
    event.synchronize().expect("event synchronize");
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    drop(event);
    writeln!(to_child, "done").unwrap();
    assert!(child.wait().unwrap().success(), "the second process failed");
}

fn ordinary_event_has_no_handle() {
    let event = own_event(EventOptions::new());
    let text = expect_kind("ipc_handle", event.ipc_handle(), ErrorKind::InvalidHandle);
    assert!(text.contains("interprocess"), "{text}");
}

fn invalid_handle_is_rejected() {
    need_interprocess();
    // SAFETY: no process created the event, so none destroys it.
    let opened = unsafe { IpcEventHandle::from_bytes([0; 64]).open(device()) };
    eprintln!("opening 64 zeros: {}", opened.expect_err("64 zeros were opened"));
}
