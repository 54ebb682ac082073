//! Scratch events of one call: [`Scratch`].

use super::StreamPair;

/// The scratch events of one device or context. A copy refers to the same events.
pub trait ScratchEvents: Copy {
    /// Returns `true` if both belong to one device or context.
    fn is_same(self, other: Self) -> bool;

    /// Takes back an event that is no longer needed.
    fn release(self, event: usize);
}

/// A scratch event for several pairs of streams. Released on drop.
pub(super) enum Scratch<E: ScratchEvents> {
    None,
    Acquired(E, usize),
}

impl<E: ScratchEvents> Scratch<E> {
    /// Returns no event. The first record acquires one.
    pub(super) const fn new() -> Self {
        Scratch::None
    }

    /// Records a scratch event of the pair. Acquires one if this is none, or one of another device or context.
    #[inline]
    pub(super) fn record<P: StreamPair<Events = E>>(
        &mut self,
        pair: &P,
    ) -> Result<usize, P::Error> {
        let event = match *self {
            Scratch::Acquired(events, event) if events.is_same(pair.events()) => event,
            _ => self.renew(pair)?,
        };
        match pair.record(event) {
            Ok(()) => {
                pair.record_accepted();
                Ok(event)
            }
            Err(error) => {
                if P::is_lost(error) {
                    std::mem::forget(std::mem::replace(self, Scratch::None));
                }
                Err(error)
            }
        }
    }

    #[cold]
    fn renew<P: StreamPair<Events = E>>(&mut self, pair: &P) -> Result<usize, P::Error> {
        let event = pair.acquire()?;
        drop(std::mem::replace(self, Scratch::Acquired(pair.events(), event)));
        Ok(event)
    }
}

impl<E: ScratchEvents> Drop for Scratch<E> {
    #[inline]
    fn drop(&mut self) {
        if let Scratch::Acquired(events, event) = *self {
            events.release(event);
        }
    }
}
