//! Calls whose effect is checked: work writes a number without a lock, and a reader that the contract
//! orders after it checks the value.

use std::sync::Arc;

use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Event, Stream};

use crate::counters::{Closure, Counters, UnsyncCell};
use crate::worker::Worker;

/// Submits a counted closure to the stream.
pub(crate) fn submit<S: Stream>(
    counters: &Arc<Counters>,
    stream: &S,
    task: impl FnOnce(&Counters) + Send + 'static,
) -> Outcome {
    let closure = Closure::new(counters);
    Ok(stream.launch_host_func(Box::new(move || task(closure.count_run())))?)
}

/// The means by which one stream is ordered after another.
#[derive(Clone, Copy, Debug)]
enum Link {
    WaitStream,
    NewEvent,
    OwnEvent,
    Fork,
    Join,
    /// Through a third stream.
    ThirdStream,
}

const LINKS: [Link; 6] =
    [Link::WaitStream, Link::NewEvent, Link::OwnEvent, Link::Fork, Link::Join, Link::ThirdStream];

/// The means by which a thread waits for a stream.
#[derive(Clone, Copy, Debug)]
enum Wait {
    Stream,
    NewEvent,
    OwnEvent,
    Status,
}

const WAITS: [Wait; 4] = [Wait::Stream, Wait::NewEvent, Wait::OwnEvent, Wait::Status];

impl<F: Fixture> Worker<'_, F> {
    /// Writes on one stream, and checks the value on another stream that is ordered after it.
    pub(crate) fn check_ordering(&mut self) -> Outcome {
        let (first, second, third) = (self.any_stream(), self.any_stream(), self.any_stream());
        let link = LINKS[self.rng.usize(..LINKS.len())];
        let (written, value) = (UnsyncCell::new(), self.rng.u64(1..));
        let read = Arc::clone(&written);
        let counters = Arc::clone(&self.handles.counters);
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
            Link::ThirdStream => {
                third.wait_stream(&first)?;
                second.wait_stream(&third)?;
            }
        }
        submit(&counters, &second, move |counters| {
            if read.get() != value {
                counters.found(format!("work that {link:?} orders after other work ran before it"));
            }
        })?;
        self.count_calls(4);
        Ok(())
    }

    /// Writes on a stream, and checks the value on this thread after a wait.
    pub(crate) fn check_wait(&mut self) -> Outcome {
        let stream = self.any_stream();
        let wait = WAITS[self.rng.usize(..WAITS.len())];
        let (number, value) = (UnsyncCell::new(), self.rng.u64(1..));
        let written = Arc::clone(&number);
        submit(&self.handles.counters, &stream, move |_| written.set(value))?;
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
        self.count_calls(3);
        if number.get() == value {
            return Ok(());
        }
        Err(Verdict::failed(format_args!(
            "a wait by {wait:?} returned before the work was complete"
        )))
    }
}
