//! The waits of all branches of a fork: [`Fork`].

use std::ops::ControlFlow;

use gpu_stream_core::{EventOf, Stream};

use super::scratch::Scratch;
use super::{BackendOf, Error, StreamOrdering, StreamPair, keep_first, pair};
use crate::EventOps;

/// One record of the source that all branches of a fork wait for. Made for the first branch.
pub(super) struct Fork<'a, B: StreamOrdering> {
    source: &'a B::Stream,
    scratch: Scratch<B::Events>,
    /// The scratch event, once it is recorded.
    recorded: Option<usize>,
    /// An ordinary event, for branches that need the slow path.
    event: Option<EventOf<B::Stream>>,
    /// The first error.
    pub(super) outcome: Result<(), Error<B>>,
}

impl<'a, B: StreamOrdering> Fork<'a, B> {
    const OPERATION: &'static str = "Stream::fork";

    pub(super) fn of(source: &'a B::Stream) -> Self {
        Fork { source, scratch: Scratch::new(), recorded: None, event: None, outcome: Ok(()) }
    }

    /// Makes one branch of the backend's own type wait. Returns `Break` if the record fails: then no branch can wait.
    #[inline]
    pub(super) fn wait_own_type(&mut self, branch: &B::Stream) -> ControlFlow<()> {
        if B::is_same_stream(branch, self.source) {
            return ControlFlow::Continue(());
        }
        let is_fast = match self.recorded {
            Some(_) => B::is_fast_branch(branch, self.source, Self::OPERATION),
            None => B::is_fast(branch, self.source, Self::OPERATION),
        };
        let pair = match is_fast {
            Ok(true) => pair::<B>(branch, self.source),
            Ok(false) => None,
            Err(error) => return self.continue_with(Err(error)),
        };
        let Some(pair) = pair else { return self.wait_slow(branch) };
        let event = match self.recorded {
            Some(event) => event,
            None => match self.scratch.record(&pair) {
                Ok(event) => *self.recorded.insert(event),
                Err(error) => {
                    let Some(error) = pair.explain(error, Self::OPERATION) else {
                        return self.wait_slow(branch);
                    };
                    keep_first(&mut self.outcome, Err(error));
                    return ControlFlow::Break(());
                }
            },
        };
        match pair.wait(event) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => match pair.explain(error, Self::OPERATION) {
                Some(error) => self.continue_with(Err(error)),
                None => self.wait_slow(branch),
            },
        }
    }

    #[cold]
    fn wait_slow(&mut self, branch: &B::Stream) -> ControlFlow<()> {
        match B::prepare_slow(branch, self.source, Self::OPERATION) {
            Ok(ControlFlow::Break(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Continue(())) => {
                self.by_event(|event| B::wait_event_slow(branch, event, Self::OPERATION))
            }
            Err(error) => self.continue_with(Err(error)),
        }
    }

    /// Makes one branch of a type around a stream wait. Returns `Break` if the record fails.
    pub(super) fn wait_wrapped_type<O: Stream<Backend = BackendOf<B>>>(
        &mut self,
        branch: &O,
    ) -> ControlFlow<()> {
        if branch.is_same(self.source) {
            return ControlFlow::Continue(());
        }
        self.by_event(|event| branch.wait_event(event))
    }

    /// Makes a branch wait for an ordinary event, which is recorded once.
    fn by_event(
        &mut self,
        wait: impl FnOnce(&EventOf<B::Stream>) -> Result<(), Error<B>>,
    ) -> ControlFlow<()> {
        let event = match &mut self.event {
            Some(event) => event,
            none => match B::record_event_slow(self.source, Self::OPERATION) {
                Ok(event) => none.insert(event),
                Err(error) => {
                    keep_first(&mut self.outcome, Err(error));
                    return ControlFlow::Break(());
                }
            },
        };
        let outcome = wait(event);
        self.continue_with(outcome)
    }

    fn continue_with(&mut self, outcome: Result<(), Error<B>>) -> ControlFlow<()> {
        keep_first(&mut self.outcome, outcome);
        ControlFlow::Continue(())
    }
}
