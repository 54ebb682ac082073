//! The life of a stream: [`Line`].

use std::sync::Arc;
use std::thread::ThreadId;

use gpu_stream_core::Device;

use super::{Engine, Place};
use crate::finding::StreamInfo;

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

/// One life of one stream, from its creation or first wrapper to its destruction. Clones are of one wrapper.
#[derive(Clone)]
pub(crate) struct Line(Arc<Handle>);

struct Handle {
    _engine: &'static Engine,
    info: Arc<StreamInfo>,
}

impl Line {
    pub(super) fn new(
        engine: &'static Engine,
        key: StreamKey,
        origin: Origin,
        place: Place,
    ) -> Self {
        let _ = origin;
        let info = Arc::new(StreamInfo {
            number: 0,
            name: String::new(),
            device: key.device,
            handle: key.handle,
            created: place,
        });
        Line(Arc::new(Handle { _engine: engine, info }))
    }

    /// Returns what reports say of the stream.
    pub(crate) fn info(&self) -> &Arc<StreamInfo> {
        &self.0.info
    }
}
