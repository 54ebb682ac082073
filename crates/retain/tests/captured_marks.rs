//! Marks of a wrapper type that are recorded while captures begin and end, on the host backend. It has no captures, so
//! the wrapper says when it is captured.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use common::{kept, shut, stream};
use gpu_stream_core::{CaptureStatus, Device, Error as _, ErrorKind, RawStream, Stream};
use gpu_stream_host::{Host, HostError, HostEvent, HostStream};
use gpu_stream_retain::Reclaimer;

use CaptureStatus::{Active, None as NotCaptured};

/// A stream that answers the questions for a capture in turn, and the last answer from then on.
struct Captured {
    stream: HostStream,
    answers: RefCell<VecDeque<CaptureStatus>>,
    records: Cell<usize>,
}

impl Captured {
    fn new(answers: &[CaptureStatus]) -> Self {
        let answers = RefCell::new(answers.iter().copied().collect());
        Captured { stream: stream(), answers, records: Cell::new(0) }
    }
}

// SAFETY: every method calls its namesake of the stream inside, which upholds the contract. The others are the contract's.
// A capture may begin and end at any time, so any answer of `capture_status` can be true.
unsafe impl Stream for Captured {
    type Backend = Host;

    fn raw(&self) -> RawStream<Host> {
        self.stream.raw()
    }

    fn device(&self) -> Device {
        self.stream.device()
    }

    fn query(&self) -> Result<bool, HostError> {
        self.stream.query()
    }

    fn synchronize(&self) -> Result<(), HostError> {
        self.stream.synchronize()
    }

    fn record(&self, event: &HostEvent) -> Result<(), HostError> {
        self.records.set(self.records.get() + 1);
        self.stream.record(event)
    }

    fn wait_event(&self, event: &HostEvent) -> Result<(), HostError> {
        self.stream.wait_event(event)
    }

    fn capture_status(&self) -> Result<CaptureStatus, HostError> {
        let mut answers = self.answers.borrow_mut();
        let answer = answers.pop_front().expect("an answer");
        if answers.is_empty() {
            answers.push_back(answer);
        }
        Ok(answer)
    }
}

/// The first answer is for the question before the record. The query after it says that the capture is over.
#[test]
fn mark_is_recorded_again_after_a_capture_that_is_over() {
    let reclaimer = Reclaimer::new();
    for captures in 0..3 {
        let answers = [&[NotCaptured][..], &vec![Active; captures], &[NotCaptured]].concat();
        let (captured, held) = (Captured::new(&answers), Arc::new(()));
        let gate = shut(&captured.stream);
        reclaimer.retain(Arc::clone(&held), &[&captured]).expect("retain");
        assert_eq!(captured.records.get(), captures + 1);
        assert_eq!((reclaimer.collect().expect("collect").pending, kept(&held)), (1, 1));
        gate.open();
        reclaimer.drain().expect("drain");
        assert_eq!((reclaimer.pending(), kept(&held)), (0, 0));
    }
}

/// Each record is followed by the same two answers, so no record is known to be outside of captures.
#[test]
fn value_comes_back_if_each_record_meets_a_capture() {
    let (reclaimer, captured) = (Reclaimer::new(), Captured::new(&[NotCaptured, Active]));
    let refused = reclaimer.retain(7, &[&captured]).unwrap_err();
    assert_eq!((refused.error().kind(), *refused.value()), (ErrorKind::NotPermitted, 7));
    let text = refused.error().to_string();
    assert!(text.contains("Reclaimer::retain") && text.contains("capture"), "{text}");
    assert_eq!((captured.records.get(), reclaimer.pending()), (8, 0));
}
