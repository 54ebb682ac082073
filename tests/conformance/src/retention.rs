//! The reclaimer under test, as the cases use it: [`Retention`].

use std::any::Any;
use std::sync::Arc;

use gpu_stream_core::Backend;
use gpu_stream_retain::{Collected, Reclaimer, Refused, release_on};

/// A retained value.
pub type Value = Box<dyn Any + Send>;

/// The object-safe form of a reclaimer, and of `release_on`. Each method is that of [`Reclaimer`].
pub trait Retention<B: Backend>: Send + Sync {
    /// Keeps `value` until `streams` are done.
    ///
    /// # Errors
    /// As [`Reclaimer::retain`].
    fn retain(&self, value: Value, streams: &[&B::Stream]) -> Result<(), Refused<Value, B::Error>>;

    /// Drops what is done.
    ///
    /// # Errors
    /// As [`Reclaimer::collect`].
    fn collect(&self) -> Result<Collected, B::Error>;

    /// Blocks until all values are done, and drops them.
    ///
    /// # Errors
    /// As [`Reclaimer::drain`].
    fn drain(&self) -> Result<(), B::Error>;

    /// Returns the number of values.
    fn pending(&self) -> usize;

    /// Returns all values. Returns `None` if this is not the last reference to the reclaimer.
    fn abandon(self: Arc<Self>) -> Option<Vec<Value>>;

    /// Drops `value` after `home` was made to wait for `users`.
    ///
    /// # Errors
    /// As [`release_on`].
    fn release_on(
        &self,
        home: &B::Stream,
        users: &[B::Stream],
        value: Value,
    ) -> Result<(), Refused<Value, B::Error>>;
}

/// A [`Reclaimer`] of boxed values.
#[derive(Debug)]
pub struct BoxedReclaimer<B: Backend>(Reclaimer<B>);

impl<B: Backend> BoxedReclaimer<B> {
    /// Creates an empty reclaimer.
    pub fn new() -> Self {
        BoxedReclaimer(Reclaimer::new())
    }
}

impl<B: Backend> Default for BoxedReclaimer<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Backend> Retention<B> for BoxedReclaimer<B> {
    fn retain(&self, value: Value, streams: &[&B::Stream]) -> Result<(), Refused<Value, B::Error>> {
        self.0.retain(value, streams)
    }

    fn collect(&self) -> Result<Collected, B::Error> {
        self.0.collect()
    }

    fn drain(&self) -> Result<(), B::Error> {
        self.0.drain()
    }

    fn pending(&self) -> usize {
        self.0.pending()
    }

    fn abandon(self: Arc<Self>) -> Option<Vec<Value>> {
        // The reclaimer has put a box around each box.
        let inner =
            |value: Value| value.downcast::<Value>().map_or_else(|value| value, |inner| *inner);
        Some(Arc::into_inner(self)?.0.abandon().into_iter().map(inner).collect())
    }

    fn release_on(
        &self,
        home: &B::Stream,
        users: &[B::Stream],
        value: Value,
    ) -> Result<(), Refused<Value, B::Error>> {
        release_on(home, users, value)
    }
}
