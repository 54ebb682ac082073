//! What the operations are done to: [`TestStreams`].

use std::sync::Arc;

use gpu_stream_core::{
    Backend, Device, EventOptions, RawStream, Stream, StreamOptions, StreamOwner,
};

use super::{FaultFixture, Sort, StreamOf};

/// A stream that was made without the backend, and its owner as the backend sees it. It is never
/// destroyed.
pub struct Foreign {
    bits: usize,
}

// SAFETY: the stream is never destroyed.
unsafe impl<B: Backend<RawStream = RawStream<B>>> StreamOwner<B> for Foreign {
    fn raw_stream(&self) -> RawStream<B> {
        RawStream::from_bits(self.bits)
    }
}

/// The streams.
pub struct TestStreams<V: FaultFixture> {
    /// The first device.
    pub device: Device,
    /// Streams of every sort, by name.
    pub streams: Vec<(&'static str, StreamOf<V>)>,
    /// The owners of those that were made without the backend.
    pub owners: Vec<Arc<Foreign>>,
    /// One that nobody has wrapped.
    pub raw: usize,
    /// One for captures.
    pub captured: usize,
}

impl<V: FaultFixture> TestStreams<V> {
    /// Makes the streams, and fills the pools of events.
    pub(super) fn new() -> Self {
        let device = V::Backend::device(0).expect("device 0");
        let (mut streams, mut owners) = (Vec::new(), Vec::new());
        let sorts = [
            ("ordinary", Sort::Ordinary),
            ("blocking", Sort::Blocking),
            ("elsewhere", Sort::Elsewhere),
        ];
        for (name, sort) in sorts {
            let Some(bits) = V::new_stream(sort) else { continue };
            let owner = Arc::new(Foreign { bits });
            let wrapped = V::Backend::stream_from_owner(Arc::clone(&owner), None);
            streams.push((name, wrapped.expect("wrapping a stream")));
            owners.push(owner);
        }
        let default = V::Backend::default_stream(device);
        streams.push(("default", default.expect("the default stream")));
        let own = V::Backend::new_stream(device, StreamOptions::new());
        streams.push(("own", own.expect("a new stream")));
        let new = || V::new_stream(Sort::Ordinary).expect("a stream");
        let world = TestStreams { device, streams, owners, raw: new(), captured: new() };
        world.fill_pools();
        world
    }

    /// So that what goes back to a pool is destroyed, and each event counts.
    fn fill_pools(&self) {
        for (_, stream) in &self.streams {
            let held: Vec<_> = (0..300).map(|_| stream.record_event().expect("a record")).collect();
            stream.synchronize().expect("synchronize");
            drop(held);
        }
    }

    /// Puts an event into each pool that has room for one.
    pub(super) fn top_up(&self) {
        for (_, stream) in &self.streams {
            drop(V::event_for(stream, EventOptions::new()).expect("an event"));
        }
    }

    /// Lets the backend look at streams that were busy when they were dropped.
    pub(super) fn clear_busy(&self) {
        drop(V::Backend::new_stream(self.device, StreamOptions::new()).expect("a stream"));
    }

    /// How many shares there are in each owner.
    pub(super) fn shares(&self) -> Vec<usize> {
        self.owners.iter().map(Arc::strong_count).collect()
    }
}
