//! What the methods of [`Stream`] do unless a backend overrides them.

use crate::{Backend, ContractError, ErrorOf, Stream};

/// Makes all later work of each of `branches` wait for `stream`, by one record.
pub(super) fn fork<'a, S, O>(
    stream: &S,
    branches: impl IntoIterator<Item = &'a O>,
) -> Result<(), ErrorOf<S>>
where
    S: Stream,
    O: Stream<Backend = S::Backend>,
{
    let mut event = None;
    let mut outcome = Ok(());
    for branch in branches {
        if branch.is_same(stream) {
            continue;
        }
        let event = match &event {
            Some(event) => event,
            None => event.insert(stream.record_event()?),
        };
        outcome = outcome.and(branch.wait_event(event));
    }
    outcome
}

/// Makes all later work of `stream` wait for each of `branches`.
pub(super) fn join<'a, S, O>(
    stream: &S,
    branches: impl IntoIterator<Item = &'a O>,
) -> Result<(), ErrorOf<S>>
where
    S: Stream,
    O: Stream<Backend = S::Backend>,
{
    let mut outcome = Ok(());
    for branch in branches {
        outcome = outcome.and(stream.wait_stream(branch));
    }
    outcome
}

/// Returns the error of an optional capability that the backend does not have.
pub(super) fn unsupported<B: Backend>(operation: &'static str) -> B::Error {
    let reason = "it is an optional capability";
    ContractError::Unsupported { operation, backend: B::KIND, reason }.into()
}
