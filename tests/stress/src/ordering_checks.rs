//! Calls whose effect is proven: work writes a number without a lock, and whoever comes after it by
//! the contract reads it.

use std::sync::Arc;

use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Event, Stream};

use crate::counters::{Closure, Counters, Plain};
use crate::worker::Worker;

/// Submits a closure, and counts it.
pub(crate) fn submit<S: Stream>(
    counters: &Arc<Counters>,
    stream: &S,
    task: impl FnOnce(&Counters) + Send + 'static,
) -> Outcome {
    let closure = Closure::new(counters);
    Ok(stream.launch_host_func(Box::new(move || task(closure.runs())))?)
}

/// How one stream is ordered after another.
#[derive(Clone, Copy, Debug)]
enum Link {
    WaitStream,
    NewEvent,
    OwnEvent,
    Fork,
    Join,
    /// By a third stream.
    Through,
}

const LINKS: [Link; 6] =
    [Link::WaitStream, Link::NewEvent, Link::OwnEvent, Link::Fork, Link::Join, Link::Through];

/// How a thread waits for a stream.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Stream,
    NewEvent,
    OwnEvent,
    Status,
}

const WAITS: [Wait; 4] = [Wait::Stream, Wait::NewEvent, Wait::OwnEvent, Wait::Status];

impl<F: Fixture> Worker<'_, F> {
    /// Work on a stream, and work on another one that is ordered after it.
    pub(crate) fn prove_an_order(&mut self) -> Outcome {
        let (first, second, third) = (self.any(), self.any(), self.any());
        let link = LINKS[self.rng.usize(..LINKS.len())];
        let (written, value) = (Plain::new(), self.rng.u64(1..));
        let read = Arc::clone(&written);
        let counters = Arc::clone(&self.world.counters);
        submit(&counters, &first, move |_| written.set(value))?;
        match link {
            Link::WaitStream => second.wait_stream(&first)?,
            Link::NewEvent => second.wait_event(&first.record_event()?)?,
            Link::OwnEvent => {
                let event = self.own_event();
                first.record(event)?;
                second.wait_event(event)?;
            }
            Link::Fork => first.fork([&third, &second])?,
            Link::Join => second.join([&first, &third])?,
            Link::Through => {
                third.wait_stream(&first)?;
                second.wait_stream(&third)?;
            }
        }
        submit(&counters, &second, move |counters| {
            if read.get() != value {
                counters.found(format!(
                    "work that was ordered by {link:?} ran before what it is after"
                ));
            }
        })?;
        self.made(4);
        Ok(())
    }

    /// Work on a stream, and the thread, which waits for it.
    pub(crate) fn prove_a_wait(&mut self) -> Outcome {
        let stream = self.any();
        let wait = WAITS[self.rng.usize(..WAITS.len())];
        let (slot, value) = (Plain::new(), self.rng.u64(1..));
        let written = Arc::clone(&slot);
        submit(&self.world.counters, &stream, move |_| written.set(value))?;
        match wait {
            Wait::Stream => stream.synchronize()?,
            Wait::NewEvent => stream.record_event()?.synchronize()?,
            Wait::OwnEvent => {
                let event = self.own_event();
                stream.record(event)?;
                event.synchronize()?;
            }
            Wait::Status => {
                let event = stream.record_event()?;
                while !event.query()? {
                    std::thread::yield_now();
                }
            }
        }
        self.made(3);
        if slot.get() == value {
            return Ok(());
        }
        Err(Verdict::failed(format_args!("a wait by {wait:?} ended before the work did")))
    }
}
