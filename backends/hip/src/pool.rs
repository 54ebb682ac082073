//! Events that nobody uses at the moment: [`Pool`].

use std::sync::{Mutex, MutexGuard};

use gpu_stream_core::RawEvent;

use crate::Hip;

/// How many events are kept for each device; what comes back beyond that is
/// destroyed.
const MOST: usize = 256;

/// Events of one device, made without timing, that can be recorded anew.
///
/// Making an event is what a wait for a stream would cost most, and a wait binds to the record made
/// before it, so that an event can go back as soon as its waits are enqueued. Not here: events that
/// were recorded in a capture, whose handle somebody has, or that have options.
///
/// An event in the pool may still point to the stream of its last record, which may be gone. HIP
/// does not follow that pointer when the event is recorded or destroyed, and nothing else is done
/// with it here.
///
/// A pool lives as long as the process: nothing tears it down, neither the end of a thread nor that
/// of the process, when the runtime may be gone.
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<RawEvent<Hip>>>);

impl Pool {
    /// One that may have an old record, which is to be replaced before anybody sees the event.
    pub(crate) fn take(&self) -> Option<RawEvent<Hip>> {
        self.lock().pop()
    }

    /// Takes the event back, or gives it back if there is no room.
    pub(crate) fn give(&self, event: RawEvent<Hip>) -> Result<(), RawEvent<Hip>> {
        let mut events = self.lock();
        if events.len() >= MOST {
            return Err(event);
        }
        events.push(event);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RawEvent<Hip>>> {
        // Nobody panics while holding it, and the list would be good if somebody did.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_so_many_and_gives_the_rest_back() {
        let pool = Pool::default();
        assert_eq!(pool.take(), None);
        let event = RawEvent::from_bits;
        for bits in 1..=MOST {
            assert_eq!(pool.give(event(bits)), Ok(()));
        }
        assert_eq!(pool.give(event(9_999)), Err(event(9_999)));
        assert_eq!(pool.take(), Some(event(MOST)));
        assert_eq!(pool.give(event(9_999)), Ok(()));
    }
}
