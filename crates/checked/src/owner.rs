//! Owners of foreign streams and events, as the backend inside sees them: [`OwnerOf`].

use std::sync::Arc;

use gpu_stream_core::{
    Device, EventOptions, EventOwner, PlainHandles, RawEvent, RawStream, StreamOwner,
};

use crate::Checked;

/// An owner of a stream or event of `Checked<B>`, as an owner for `B`.
pub(crate) struct OwnerOf<T>(pub(crate) Arc<T>);

// SAFETY:
// - The value inside lives as long as this one, and upholds the contract: one handle and one device for its life, and a
//   live stream that nothing destroys.
// - A handle of `Checked<B>` is a handle of `B`: `Checked` creates and wraps no others.
// - The value inside may be dropped on any thread (contract of its own implementation).
unsafe impl<B: PlainHandles, T: StreamOwner<Checked<B>>> StreamOwner<B> for OwnerOf<T> {
    fn raw_stream(&self) -> RawStream<B> {
        RawStream::from_bits(self.0.raw_stream().to_bits())
    }

    fn device(&self) -> Option<Device> {
        self.0.device()
    }
}

// SAFETY:
// - The value inside lives as long as this one, and upholds the contract: one handle for its life, and a live event that
//   nothing destroys.
// - A handle of `Checked<B>` is a handle of `B`: `Checked` creates and wraps no others.
// - The value inside may be dropped on any thread (contract of its own implementation).
unsafe impl<B: PlainHandles, T: EventOwner<Checked<B>>> EventOwner<B> for OwnerOf<T> {
    fn raw_event(&self) -> RawEvent<B> {
        RawEvent::from_bits(self.0.raw_event().to_bits())
    }

    fn device(&self) -> Option<Device> {
        self.0.device()
    }

    fn options(&self) -> Option<EventOptions> {
        self.0.options()
    }
}
