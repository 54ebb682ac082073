//! What is known of the work of dropped values, until a drain tells the program: [`DroppedWork`].

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use gpu_stream_core::KnownWork;

use crate::claim::is_inside;

thread_local! {
    /// The number of orders that this thread gives: more than one if a hook of the check calls `drain`.
    static ORDERS: Cell<usize> = const { Cell::new(0) };
}

/// What the streams of dropped values have answered since the last drain. Empty without a check of the order.
pub(crate) struct DroppedWork {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    known: KnownWork,
    /// The number of the next order.
    next: u64,
    /// The orders that drains have begun and not ended.
    begun: Vec<u64>,
    /// The number of threads that wait for the end of one.
    waiters: usize,
}

impl DroppedWork {
    pub(crate) const fn new() -> Self {
        let state = State { known: KnownWork::new(), next: 0, begun: Vec::new(), waiters: 0 };
        DroppedWork { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the next [`order`](Self::order) tells the program.
    pub(crate) fn add(&self, known: &KnownWork) {
        if !known.is_empty() {
            self.lock().known.add(known);
        }
    }

    /// Orders all later calls after the work that was added. Blocks until other threads, which have taken some of it
    /// before, have ordered it too.
    ///
    /// Does not wait in a destructor or in a hook of the check, whose thread the others may wait for.
    #[track_caller]
    pub(crate) fn order(&self) {
        let mut state = self.lock();
        let number = state.next;
        let known = std::mem::take(&mut state.known);
        if !known.is_empty() {
            state.next += 1;
            state.begun.push(number);
            drop(state);
            let begun = Begun { work: self, number };
            ORDERS.set(ORDERS.get() + 1);
            known.order(); // not under the lock: it can call code of the user
            drop(begun);
            state = self.lock();
        }
        if is_inside() || ORDERS.get() > 0 {
            return;
        }
        state.waiters += 1;
        while state.begun.iter().any(|earlier| *earlier < number) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiters -= 1;
    }
}

/// An order that has begun. Ends it when dropped, also if a hook of the check panics.
struct Begun<'a> {
    work: &'a DroppedWork,
    number: u64,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        ORDERS.set(ORDERS.get() - 1);
        let mut state = self.work.lock();
        state.begun.retain(|begun| *begun != self.number);
        let wakes = state.waiters > 0;
        drop(state);
        if wakes {
            self.work.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};
    use std::sync::Arc;
    use std::thread;

    use gpu_stream_core::Knowledge;

    use super::*;

    /// What the check does when it is told, in place of a check.
    #[derive(Clone, Default)]
    struct Told(Vec<Arc<dyn Fn() + Send + Sync>>);

    impl Knowledge for Told {
        fn add_to(&self, all: &mut KnownWork) {
            all.of::<Told>().expect("the same type").0.extend_from_slice(&self.0);
        }

        fn run(&self, run: &mut dyn FnMut()) {
            run();
        }

        fn order(&self, _: &'static Location<'static>) {
            self.0.iter().for_each(|told| told());
        }
    }

    fn work(told: impl Fn() + Send + Sync + 'static) -> KnownWork {
        let mut known = KnownWork::new();
        known.of::<Told>().expect("it is empty").0.push(Arc::new(told));
        known
    }

    /// The second order finds nothing, and the first has taken the work but not told of it.
    #[test]
    fn order_waits_for_what_another_thread_orders() {
        let dropped = Arc::new(DroppedWork::new());
        let is_told = Arc::new(Mutex::new(false));
        let (tells, told) = (Arc::clone(&is_told), std::sync::Barrier::new(2));
        let told = Arc::new(told);
        let gate = Arc::clone(&told);
        dropped.add(&work(move || {
            gate.wait(); // begun
            gate.wait(); // may end
            *tells.lock().unwrap() = true;
        }));
        thread::scope(|scope| {
            let first = scope.spawn(|| dropped.order());
            told.wait();
            let second = scope.spawn(|| {
                dropped.order();
                *is_told.lock().unwrap()
            });
            while dropped.lock().waiters == 0 && !second.is_finished() {
                thread::yield_now();
            }
            told.wait();
            first.join().unwrap();
            assert!(second.join().unwrap(), "the work was not ordered yet");
        });
    }

    #[test]
    fn hook_of_the_check_can_order() {
        let dropped = Arc::new(DroppedWork::new());
        let inner = Arc::clone(&dropped);
        dropped.add(&work(move || {
            inner.order();
            inner.add(&work(|| {}));
            inner.order();
        }));
        dropped.order();
        assert!(dropped.lock().begun.is_empty());
    }

    #[test]
    fn panic_of_a_hook_ends_its_order() {
        let dropped = DroppedWork::new();
        dropped.add(&work(|| std::panic::resume_unwind(Box::new("meant to fail"))));
        assert!(catch_unwind(AssertUnwindSafe(|| dropped.order())).is_err());
        assert_eq!((dropped.lock().begun.len(), ORDERS.get()), (0, 0));
        dropped.order();
    }
}
