//! The life of a stream: [`Line`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::ThreadId;

use gpu_stream_core::{Device, HandleKind};

use super::clock::{Clock, LineId, Snapshot};
use super::found::ScopeId;
use super::{Engine, Place};
use crate::finding::{Action, Site, StreamInfo};

/// What distinguishes streams at one time. Handles are used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct StreamKey {
    /// The device.
    pub(crate) device: Device,
    /// The bits of the raw handle.
    pub(crate) handle: usize,
    /// The thread, for the per-thread default stream only (handle 2).
    pub(crate) thread: Option<ThreadId>,
}

/// Where a wrapper comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// The backend created the stream. The drop of the last wrapper destroys it.
    Created,
    /// A wrapper with an owner.
    Owner,
    /// A wrapper of a raw handle, without an owner.
    Foreign,
    /// Handle 0 or 1.
    Default,
    /// Handle 2.
    PerThread,
}

/// One life of one stream. The clones of a wrapper share it.
///
/// A stream that the backend created lives until its last wrapper is dropped. All others live on: their owner may wrap
/// them again.
#[derive(Clone)]
pub(crate) struct Line(Arc<Handle>);

struct Handle {
    engine: &'static Engine,
    id: LineId,
    origin: Origin,
    flags: Arc<Flags>,
}

/// What wrappers read without a lock. Written while the engine's state is locked.
#[derive(Default, Debug)]
pub(super) struct Flags {
    /// The stream was destroyed: nothing can use it.
    is_destroyed: AtomicBool,
    /// A capture may include the stream.
    is_captured: AtomicBool,
}

impl Flags {
    pub(super) fn is_destroyed(&self) -> bool {
        self.is_destroyed.load(Ordering::Relaxed)
    }

    pub(super) fn set_destroyed(&self) {
        self.is_destroyed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_captured(&self) -> bool {
        self.is_captured.load(Ordering::Relaxed)
    }

    pub(super) fn set_captured(&self, is_captured: bool) {
        self.is_captured.store(is_captured, Ordering::Relaxed);
    }
}

impl Line {
    pub(super) fn new(
        engine: &'static Engine,
        id: LineId,
        origin: Origin,
        flags: Arc<Flags>,
    ) -> Self {
        Line(Arc::new(Handle { engine, id, origin, flags }))
    }

    /// Returns the engine that the stream belongs to.
    pub(crate) fn engine(&self) -> &'static Engine {
        self.0.engine
    }

    /// Returns `true` if a capture included the stream at its last call.
    pub(crate) fn is_captured(&self) -> bool {
        self.0.flags.is_captured()
    }

    /// Returns `true` if the stream was destroyed.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.0.flags.is_destroyed()
    }

    pub(super) fn id(&self) -> LineId {
        self.0.id
    }

    pub(super) fn flags(&self) -> &Flags {
        &self.0.flags
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.engine.with(|state| state.close(self.id, self.origin));
    }
}

/// A call that submits work, as it is kept for later findings.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) number: u64,
    pub(super) place: Place,
    pub(super) action: Action,
    pub(super) epoch: u64,
    pub(super) scope: ScopeId,
}

/// What is known of a line.
pub(super) struct LineState {
    pub(super) key: StreamKey,
    pub(super) info: Arc<StreamInfo>,
    /// The capture that the line belongs to. 0 is none.
    pub(super) group: u32,
    /// The epoch of the work that follows. The first is 1.
    pub(super) epoch: u64,
    /// What happens before the work that follows.
    pub(super) clock: Arc<Clock>,
    /// The epoch up to which the host knows that the work is done.
    pub(super) host: u64,
    /// The epoch up to which code of the program ran that comes after the work, such as the destructor of a retained value.
    /// Memory that it freed can have been allocated again. The rest of the program does not know that the work is done.
    pub(super) noted: u64,
    /// The line of the capture that includes the stream now.
    pub(super) capture: Option<LineId>,
    /// Number of wrappers that are not clones of each other, and of those that destroy the stream.
    pub(super) wrappers: u32,
    pub(super) created_wrappers: u32,
    /// The place of a reported use of the stream after it was destroyed.
    pub(super) used_at: Option<Place>,
    /// Shared with the wrappers, and with the accesses that are compared.
    pub(super) flags: Arc<Flags>,
    /// The line is among those that may be forgotten.
    pub(super) is_ending: bool,
    /// The stream and the default stream wait for each other.
    pub(super) is_blocking: bool,
    /// The last submission of the default stream that this blocking stream waits for.
    pub(super) default_seen: u64,
    /// The default stream does not wait for this blocking stream's latest work yet.
    pub(super) is_unseen: bool,
    /// The call that returned a fault.
    pub(super) fault: Option<Site>,
    /// The number of the latest call.
    pub(super) last_call: u64,
    pub(super) joining: Joining,
}

/// What decides whether a line's last work was joined.
#[derive(Default)]
pub(super) struct Joining {
    /// The backend created the stream, so it belongs to the program.
    pub(super) is_created: bool,
    /// The lines that this one has waited for, while they had not waited for it: the latest few.
    pub(super) parents: Vec<LineId>,
    /// The latest wait for one of them.
    pub(super) awaited: Option<(LineId, Site)>,
    /// The latest work.
    pub(super) work: Option<Work>,
    /// The highest epoch that something was ordered after.
    pub(super) joined: u64,
    /// The host has waited for the stream itself.
    pub(super) is_host_joined: bool,
    /// Number of live events whose record covers the latest work.
    pub(super) covering: u32,
    /// The number of the work that was reported.
    pub(super) reported: u64,
}

impl LineState {
    /// Creates a line without work.
    pub(super) fn new(key: StreamKey, info: Arc<StreamInfo>, is_blocking: bool) -> Self {
        LineState {
            key,
            info,
            group: 0,
            epoch: 1,
            clock: Arc::default(),
            host: 0,
            noted: 0,
            capture: None,
            wrappers: 0,
            created_wrappers: 0,
            used_at: None,
            flags: Arc::default(),
            is_ending: false,
            is_blocking,
            default_seen: 0,
            is_unseen: false,
            fault: None,
            last_call: 0,
            joining: Joining::default(),
        }
    }

    /// Returns all work so far. Work that follows has a higher epoch.
    pub(super) fn snapshot(&mut self, line: LineId) -> Snapshot {
        let epoch = self.epoch;
        self.epoch += 1;
        Snapshot { line, epoch, clock: Arc::clone(&self.clock) }
    }

    /// Returns a site of a call on the stream.
    pub(super) fn site(&self, number: u64, place: Place, action: Action) -> Site {
        Site { number, place, stream: Arc::clone(&self.info), action }
    }

    /// Returns `true` if this is a device's default stream.
    pub(super) fn is_default(&self) -> bool {
        HandleKind::of(self.key.handle) == HandleKind::Default
    }
}

impl StreamKey {
    /// Returns the key with one handle for the default stream, which has two.
    pub(super) fn normalized(self) -> Self {
        match HandleKind::of(self.handle) {
            HandleKind::Default => StreamKey { handle: 0, ..self },
            _ => self,
        }
    }

    /// Returns a new number and name.
    pub(super) fn describe(self, place: Place) -> Arc<StreamInfo> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = match HandleKind::of(self.handle) {
            HandleKind::Default => "default stream".to_owned(),
            HandleKind::PerThread => "per-thread stream".to_owned(),
            HandleKind::Explicit => format!("stream {number}"),
        };
        let StreamKey { device, handle, .. } = self;
        Arc::new(StreamInfo { number, name, device, handle, created: place })
    }
}
