//! What an event stands for: [`EventState`].

use super::Engine;

/// The last record of an event. A wrapper of an event holds it.
pub(crate) struct EventState {
    _engine: &'static Engine,
}

impl EventState {
    /// Returns the state of an event that has no record. Other libraries may record a foreign one.
    pub(crate) fn new(engine: &'static Engine, is_foreign: bool) -> Self {
        let _ = is_foreign;
        EventState { _engine: engine }
    }
}

/// What the host waits for: taken before the call, noted by [`Engine::host_waited`] if it succeeds.
pub(crate) struct Mark(());

impl Mark {
    pub(super) fn new() -> Self {
        Mark(())
    }
}
