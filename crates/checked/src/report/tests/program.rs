//! A recorder of calls, from which tests make findings: [`Program`].

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use gpu_stream_core::{Access, BackendKind, Device, Region};

use crate::{Action, Finding, FindingKind, MissingWait, Site, Step, StreamInfo};

/// The calls that its streams made.
#[derive(Clone, Default)]
pub(super) struct Program(Rc<RefCell<Calls>>);

#[derive(Default)]
struct Calls {
    steps: Vec<Step>,
    streams: Vec<Arc<StreamInfo>>,
    events: u32,
}

/// A stream whose calls are recorded, and submit nothing.
#[derive(Clone)]
pub(super) struct Stream {
    program: Program,
    pub(super) info: Arc<StreamInfo>,
}

/// An event, with the number of the call that recorded it.
#[derive(Default)]
pub(super) struct Event(RefCell<Option<u64>>);

impl Program {
    #[track_caller]
    pub(super) fn new_stream(&self) -> Stream {
        let number = self.0.borrow().streams.len() as u32 + 1;
        self.named(format!("stream {number}"))
    }

    #[track_caller]
    pub(super) fn default_stream(&self) -> Stream {
        self.named("default stream".into())
    }

    /// Returns the host, as findings have it in the place of a stream.
    #[track_caller]
    pub(super) fn host(&self) -> Stream {
        let mut host = self.named("host".into());
        let mut calls = self.0.borrow_mut();
        let info = StreamInfo { number: 0, ..(*host.info).clone() };
        host.info = Arc::new(info);
        if let Some(last) = calls.streams.last_mut() {
            *last = Arc::clone(&host.info);
        }
        drop(calls);
        host
    }

    #[track_caller]
    pub(super) fn named(&self, name: String) -> Stream {
        let mut calls = self.0.borrow_mut();
        let number = calls.streams.len() as u32 + 1;
        let info = Arc::new(StreamInfo {
            number,
            name,
            device: Device::new(BackendKind::Host, 0),
            handle: 0x5000 + 0x40 * number as usize,
            created: Location::caller(),
        });
        calls.streams.push(Arc::clone(&info));
        drop(calls);
        Stream { program: self.clone(), info }
    }

    pub(super) fn push(
        &self,
        stream: u32,
        action: Action,
        place: &'static Location<'static>,
    ) -> u64 {
        let mut calls = self.0.borrow_mut();
        let number = calls.steps.len() as u64 + 1;
        calls.steps.push(Step { number, place, stream, action });
        number
    }

    /// Returns the call with this number as one of the two of a finding. Negative numbers count from the end.
    pub(super) fn site(&self, index: isize) -> Site {
        let calls = self.0.borrow();
        let length = calls.steps.len() as isize;
        let step =
            calls.steps[(if index < 0 { length + index } else { index - 1 }) as usize].clone();
        let stream = calls.streams.iter().find(|stream| stream.number == step.stream);
        let stream = Arc::clone(stream.expect("each step is of a stream of the program"));
        Site { number: step.number, place: step.place, stream, action: step.action }
    }

    /// Returns a finding whose second call is the last one.
    pub(super) fn finding(&self, kind: FindingKind, first: Option<isize>) -> Finding {
        let calls = self.0.borrow();
        let (steps, streams) = (calls.steps.clone(), calls.streams.clone());
        drop(calls);
        let (second, first) = (self.site(-1), first.map(|first| self.site(first)));
        Finding { kind, second, first, missing: None, count: 1, streams, steps }
    }

    /// Returns a finding of two calls, with the wait that is missing between them.
    pub(super) fn race(&self, kind: FindingKind, first: isize) -> Finding {
        let mut finding = self.finding(kind, Some(first));
        finding.missing = Some(MissingWait {
            waiter: Some(Arc::clone(&finding.second.stream)),
            awaited: self.site(first).stream,
            before: finding.second.place,
        });
        finding
    }
}

impl Stream {
    #[track_caller]
    pub(super) fn reads(&self, region: &Region) {
        self.push(Action::Access(Access::Read, *region));
    }

    #[track_caller]
    pub(super) fn writes(&self, region: &Region) {
        self.push(Action::Access(Access::Write, *region));
    }

    #[track_caller]
    pub(super) fn released(&self, region: &Region) {
        self.push(Action::Access(Access::Release, *region));
    }

    #[track_caller]
    pub(super) fn record(&self, event: &Event) {
        let number = self.program.0.borrow().events + 1;
        self.program.0.borrow_mut().events = number;
        event.0.replace(Some(self.push(Action::Record { event: number })));
    }

    #[track_caller]
    pub(super) fn wait_event(&self, event: &Event) {
        self.push(Action::Wait { record: *event.0.borrow() });
    }

    #[track_caller]
    pub(super) fn wait_stream(&self, other: &Stream) {
        let event = Event::default();
        other.record(&event);
        self.wait_event(&event);
    }

    #[track_caller]
    pub(super) fn fork(&self, branches: &[&Stream]) {
        let event = Event::default();
        self.record(&event);
        for branch in branches {
            branch.wait_event(&event);
        }
    }

    #[track_caller]
    pub(super) fn join(&self, branches: &[&Stream]) {
        for branch in branches {
            self.wait_stream(branch);
        }
    }

    #[track_caller]
    pub(super) fn launch(&self, _: impl FnOnce()) {
        self.push(Action::Submit);
    }

    #[track_caller]
    pub(super) fn synchronize(&self) {
        self.push(Action::HostWait);
    }

    #[track_caller]
    pub(super) fn close(self) {
        self.push(Action::Drop);
    }

    #[track_caller]
    fn push(&self, action: Action) -> u64 {
        self.program.push(self.info.number, action, Location::caller())
    }
}
