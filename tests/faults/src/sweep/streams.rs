//! The streams that the operations use: [`TestStreams`].

use std::sync::Arc;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, EventOptions, RawStream, Stream, StreamOptions, StreamOwner,
};

use super::{FaultFixture, Feature, Sort, StreamOf};

/// A stream that was created without the backend, and its owner from the backend's view. It is
/// never destroyed.
pub struct Foreign {
    bits: usize,
}

// SAFETY: the stream is never destroyed, so it outlives the owner.
unsafe impl<B: Backend<RawStream = RawStream<B>>> StreamOwner<B> for Foreign {
    fn raw_stream(&self) -> RawStream<B> {
        RawStream::from_bits(self.bits)
    }
}

/// The streams that the operations use.
pub struct TestStreams<V: FaultFixture> {
    /// The first device.
    pub device: Device,
    /// Streams of every kind, by name.
    pub streams: Vec<(&'static str, StreamOf<V>)>,
    /// The owners of the streams that were created without the backend.
    pub owners: Vec<Arc<Foreign>>,
    /// A stream that is wrapped only inside operations.
    pub raw: usize,
    /// A stream for captures.
    pub captured: usize,
}

impl<V: FaultFixture> TestStreams<V> {
    /// Creates the streams and fills the event pools.
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
        match V::lacks(Feature::DefaultStream) {
            None => streams.push(("default", default.expect("the default stream"))),
            Some(reason) => {
                let kind = default.err().map(|error| error.kind());
                assert_eq!(kind, Some(ErrorKind::Unsupported), "the default stream: {reason}");
            }
        }
        let own = V::Backend::new_stream(device, StreamOptions::new());
        streams.push(("own", own.expect("a new stream")));
        let new = || V::new_stream(Sort::Ordinary).expect("a stream");
        let test_streams = TestStreams { device, streams, owners, raw: new(), captured: new() };
        test_streams.fill_pools();
        test_streams
    }

    /// Fills the event pools, so that an event that is returned to a pool is destroyed and each
    /// event counts.
    fn fill_pools(&self) {
        for (_, stream) in &self.streams {
            let held: Vec<_> =
                (0..V::POOL).map(|_| stream.record_event().expect("a record")).collect();
            stream.synchronize().expect("synchronize");
            drop(held);
        }
    }

    /// Returns an event to each pool that has room for one.
    pub(super) fn top_up(&self) {
        for (_, stream) in &self.streams {
            drop(stream.new_event(EventOptions::new()).expect("an event"));
        }
    }

    /// Makes the backend destroy streams that were busy when they were dropped.
    pub(super) fn clear_busy(&self) {
        drop(V::Backend::new_stream(self.device, StreamOptions::new()).expect("a stream"));
    }

    /// Returns the number of references to each owner.
    pub(super) fn owner_counts(&self) -> Vec<usize> {
        self.owners.iter().map(Arc::strong_count).collect()
    }
}
