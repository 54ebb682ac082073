//! Ends a process whose program hangs: [`StallGuard`].

use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gpu_stream_conformance::runner::end_process;

use crate::order::Order;
use crate::watchdog::lock;

/// Time limit of a program. It is far above what any program needs, so only a hang exceeds it.
const LIMIT: Duration = Duration::from_secs(30);

/// State that the guard shares with its thread.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Number of programs that have begun, and the last one.
    begun: u64,
    order: Option<(String, Arc<Order>)>,
    is_closed: bool,
}

/// Thread that prints a program and ends the process if the next one does not begin in time.
pub(super) struct StallGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl StallGuard {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let shared: Arc<Shared> = Arc::default();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || watch(&of_thread));
        StallGuard { shared, thread: Some(thread) }
    }

    /// Begins the time of a program. `label` says which one it is.
    pub(super) fn begin(&self, label: String, order: &Arc<Order>) {
        let mut state = lock(&self.shared.state);
        state.begun += 1;
        state.order = Some((label, Arc::clone(order)));
    }
}

/// Waits until no program has begun for the time limit.
fn watch(shared: &Shared) {
    let mut state = lock(&shared.state);
    loop {
        let begun = state.begun;
        let waited = shared.changed.wait_timeout_while(state, LIMIT, |state| !state.is_closed);
        state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        if state.is_closed {
            return;
        }
        if let Some((label, order)) = state.order.as_ref().filter(|_| state.begun == begun) {
            let program = &order.program;
            eprintln!("{label} hangs, or does so with a missing wait added:\n\n{program}");
            end_process(101);
        }
    }
}

impl Drop for StallGuard {
    fn drop(&mut self) {
        lock(&self.shared.state).is_closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It only prints, and cannot panic.
            drop(thread.join());
        }
    }
}
