//! A stream waits, on the device, for an event of another process.

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use gpu_stream_core::{ErrorKind, Event, EventOptions, EventStatus, Stream};

use crate::vendor::{Vendor, own_event, wrap};
use crate::{expect_kind, skip};

/// Runs all cases.
pub fn main<V: Vendor>() -> ExitCode {
    if std::env::var_os(V::CHILDREN.variable).is_some() {
        V::prepare();
        other_process::<V>();
        return ExitCode::SUCCESS;
    }
    crate::main::<V>(&crate::shared_cases![V, ipc:
        stream_waits_for_another_process,
        ordinary_event_has_no_handle,
        invalid_handle_is_rejected
    ])
}

fn interprocess() -> EventOptions {
    EventOptions::builder().interprocess(true).build().expect("options")
}

fn need_interprocess<V: Vendor>() {
    if !V::has_interprocess() {
        skip("the driver rejects interprocess events");
    }
}

/// Records an event that is blocked by a gate, sends its handle, and opens the gate on "open".
fn other_process<V: Vendor>() {
    let raw = V::new_stream(0, 1, 0);
    let stream = wrap::<V>(raw);
    let event = own_event::<V>(interprocess());
    let gate = V::gate(raw);
    stream.record(&event).expect("record");
    let bytes = V::ipc_handle(&event).expect("ipc_handle");
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("handle {text}");
    let mut lines = std::io::stdin().lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    assert!(!stream.query().expect("query"), "the gate is shut");
    drop(gate);
    // The event must live until the other process is done.
    assert_eq!(lines.next().unwrap().unwrap(), "done");
}

/// Checks that another process holds back its record, and with it a stream of this process.
pub fn stream_waits_for_another_process<V: Vendor>() {
    need_interprocess::<V>();
    let mut child = V::CHILDREN.command("other process");
    child.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn().expect("a second process");
    let mut to_child = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().expect("the second process ended early").unwrap();
    let text = line.strip_prefix("handle ").expect("a handle");
    let byte = |index: usize| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).unwrap();
    // SAFETY: the other process keeps its event until this one sends "done".
    let event = unsafe { V::ipc_open(std::array::from_fn(byte)) }.expect("open");
    assert!(event.options().is_interprocess());
    assert_eq!(event.status().unwrap(), EventStatus::Pending, "the other process's gate is shut");

    let _current = V::enter(0);
    let raw = V::new_stream(0, 1, 0);
    let (stream, word) = (wrap::<V>(raw), V::words(1));
    stream.wait_event(&event).expect("wait_event");
    V::store(raw, word, 1);
    for _ in 0..2_000 {
        std::thread::yield_now();
        assert!(!stream.query().unwrap(), "the stream did not wait for the other process");
    }
    assert_eq!(V::read(word, 1), [0]);
    writeln!(to_child, "open").unwrap();
    stream.synchronize().expect("synchronize");
    assert_eq!(V::read(word, 1), [1]);
    event.synchronize().expect("event synchronize");
    assert_eq!(event.status().unwrap(), EventStatus::Complete);
    drop(event);
    writeln!(to_child, "done").unwrap();
    assert!(child.wait().unwrap().success(), "the second process failed");
}

/// Checks that the error names the missing option.
pub fn ordinary_event_has_no_handle<V: Vendor>() {
    let event = own_event::<V>(EventOptions::new());
    let text = expect_kind("ipc_handle", V::ipc_handle(&event), ErrorKind::InvalidHandle);
    assert!(text.contains("interprocess"), "{text}");
}

/// Checks that a handle of no event is rejected.
pub fn invalid_handle_is_rejected<V: Vendor>() {
    need_interprocess::<V>();
    // SAFETY: no process created the event, so none destroys it.
    let opened = unsafe { V::ipc_open([0; 64]) };
    eprintln!("opening 64 zeros: {}", opened.expect_err("64 zeros were opened"));
}
