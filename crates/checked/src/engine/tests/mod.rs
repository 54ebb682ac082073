//! Tests of the engine, rule by rule.

mod bounds;
mod captures;
mod cost;
mod default_streams;
mod foreign;
mod host;
mod known;
mod late;
mod memory;
mod order;
mod recording;
mod reports;

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gpu_stream_core::{Access, BackendKind, Device, Region};

use super::state::State;
use super::{Engine, EventState, Line, Origin, Scope, StreamKey};
use crate::finding::{Finding, FindingKind, StreamInfo};

use FindingKind::{ReadAfterWrite, UseAfterRelease, WriteAfterRead, WriteAfterWrite};

const HOST: BackendKind = BackendKind::Host;

/// An engine with a scope that the test's thread is in.
struct Program {
    engine: &'static Engine,
    scope: Scope,
}

impl Program {
    fn new() -> Self {
        let engine = Engine::new(HOST);
        let scope = engine.scope();
        // No other test has this engine, so the thread need not leave its scope.
        std::mem::forget(scope.enter());
        Program { engine, scope }
    }

    #[track_caller]
    fn open(&self, handle: usize, origin: Origin, blocking: bool) -> Line {
        let key = StreamKey { device: Device::new(HOST, 0), handle, thread: None };
        self.engine.open(key, origin, blocking, Location::caller())
    }

    /// Creates a stream.
    #[track_caller]
    fn stream(&self) -> Line {
        static NEXT: AtomicUsize = AtomicUsize::new(0x1000);
        self.open(NEXT.fetch_add(0x10, Ordering::Relaxed), Origin::Created, false)
    }

    fn event(&self) -> EventState {
        EventState::new(self.engine, false)
    }

    /// Takes the kinds that were found.
    fn kinds(&self) -> Vec<FindingKind> {
        self.findings().iter().map(|finding| finding.kind).collect()
    }

    fn findings(&self) -> Vec<Finding> {
        self.scope.take().findings
    }

    #[track_caller]
    fn nothing(&self) {
        let found = self.findings();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// The calls of a wrapper.
trait Calls {
    /// Returns what reports say of the stream.
    fn info(&self) -> Arc<StreamInfo>;
    fn reads(&self, region: &Region);
    fn writes(&self, region: &Region);
    fn released(&self, region: &Region);
    fn submit(&self);
    fn record(&self, event: &EventState);
    fn wait(&self, event: &EventState);
    fn wait_stream(&self, other: &Line);
    fn synchronize(&self);
}

impl Calls for Line {
    fn info(&self) -> Arc<StreamInfo> {
        let find = |state: &mut State| state.lines.get(&self.id()).map(|line| line.info.clone());
        self.engine().with(find).expect("a line that is open")
    }

    #[track_caller]
    fn reads(&self, region: &Region) {
        self.engine().access(self, Access::Read, region, Location::caller());
    }

    #[track_caller]
    fn writes(&self, region: &Region) {
        self.engine().access(self, Access::Write, region, Location::caller());
    }

    #[track_caller]
    fn released(&self, region: &Region) {
        self.engine().access(self, Access::Release, region, Location::caller());
    }

    #[track_caller]
    fn submit(&self) {
        self.engine().submit(self, Location::caller());
    }

    #[track_caller]
    fn record(&self, event: &EventState) {
        self.engine().record(self, event, Location::caller());
    }

    #[track_caller]
    fn wait(&self, event: &EventState) {
        self.engine().wait(self, event, Location::caller());
    }

    #[track_caller]
    fn wait_stream(&self, other: &Line) {
        self.engine().wait_stream(self, other, Location::caller());
    }

    #[track_caller]
    fn synchronize(&self) {
        let mark = self.engine().mark(self);
        self.engine().host_waited(mark, Location::caller());
    }
}

/// Returns memory that no other call returns.
fn region(bytes: usize) -> Region {
    static NEXT: AtomicUsize = AtomicUsize::new(0x10_0000);
    Region::new("memory", NEXT.fetch_add(bytes.next_multiple_of(256), Ordering::Relaxed), bytes)
}
