//! What answers of streams and events say, for a caller that is not their program: [`KnownWork`].

use alloc::boxed::Box;
use core::any::Any;
use core::fmt;
use core::panic::Location;

/// The work that answers have said is done, kept apart from the thread that asked. For layers that ask on their own, such
/// as deferred release.
///
/// Under a check of the order, [`Stream::query`](crate::Stream::query) orders all later calls after the work: the program
/// asked, and acts on the answer. A layer that asks in a call of its own must not do that, since its answer depends on how
/// fast the work was. It asks by [`Stream::query_into`](crate::Stream::query_into) and
/// [`Event::status_into`](crate::Event::status_into), and gives the order to code that may rely on it: by
/// [`run`](Self::run), [`order`](Self::order) or [`order_at`](Self::order_at).
///
/// Without a check it is empty, and no call does anything.
#[doc(hidden)]
#[derive(Default)]
pub struct KnownWork(Option<Box<dyn Knowledge>>);

/// What a check knows of finished work. For checks.
#[doc(hidden)]
pub trait Knowledge: Any + Send + Sync {
    /// Adds this to `all`.
    fn add_to(&self, all: &mut KnownWork);

    /// Calls `run` once. Its calls on this thread come after the work, and the calls after `run` do not.
    fn run(&self, run: &mut dyn FnMut());

    /// Orders all later calls after the work. `place` is that of the call that tells.
    fn order(&self, place: &'static Location<'static>);
}

impl KnownWork {
    /// Creates one that knows nothing. Does not allocate.
    pub const fn new() -> Self {
        KnownWork(None)
    }

    /// Returns `true` if nothing was added, as always without a check.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the knowledge of one check, to add to. Returns `None` if that of another check is here.
    pub fn of<K: Knowledge + Default>(&mut self) -> Option<&mut K> {
        let knowledge: &mut dyn Any = &mut **self.0.get_or_insert_with(|| Box::<K>::default());
        knowledge.downcast_mut()
    }

    /// Adds what `other` knows.
    pub fn add(&mut self, other: &KnownWork) {
        if let Some(other) = &other.0 {
            other.add_to(self);
        }
    }

    /// Runs code that may rely on the work, such as a destructor. Its calls on this thread come after the work. Those that
    /// follow do not.
    pub fn run<T>(&self, run: impl FnOnce() -> T) -> T {
        let Some(knowledge) = &self.0 else { return run() };
        let (mut run, mut result) = (Some(run), None);
        knowledge.run(&mut || result = run.take().map(|run| run()));
        // A check that has not called it orders nothing.
        match (result, run) {
            (Some(result), _) => result,
            (None, Some(run)) => run(),
            (None, None) => unreachable!("the code has returned, or has unwound through this call"),
        }
    }

    /// Orders all later calls after the work: the program is told that it is done.
    #[track_caller]
    pub fn order(&self) {
        self.order_at(Location::caller());
    }

    /// Orders all later calls after the work, as [`order`](Self::order) does. `place` is that of the program's call that
    /// asked, for layers that are told in another one.
    pub fn order_at(&self, place: &'static Location<'static>) {
        if let Some(knowledge) = &self.0 {
            knowledge.order(place);
        }
    }
}

impl fmt::Debug for KnownWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownWork").field("is_empty", &self.is_empty()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what it is told.
    #[derive(Default)]
    struct Counts(u32);

    impl Knowledge for Counts {
        fn add_to(&self, all: &mut KnownWork) {
            if let Some(counts) = all.of::<Counts>() {
                counts.0 += self.0;
            }
        }

        fn run(&self, run: &mut dyn FnMut()) {
            run();
        }

        fn order(&self, _: &'static Location<'static>) {}
    }

    /// Never calls what it is to run.
    #[derive(Default)]
    struct Lazy;

    impl Knowledge for Lazy {
        fn add_to(&self, _: &mut KnownWork) {}

        fn run(&self, _: &mut dyn FnMut()) {}

        fn order(&self, _: &'static Location<'static>) {}
    }

    #[test]
    fn code_runs_once_whatever_is_known() {
        let mut counted = KnownWork::new();
        assert!(counted.is_empty());
        counted.of::<Counts>().expect("nothing else is here").0 = 3;
        let mut lazy = KnownWork::new();
        assert!(lazy.of::<Lazy>().is_some());
        for known in [KnownWork::new(), counted, lazy] {
            let mut runs = 0;
            assert_eq!((known.run(|| add_one(&mut runs)), runs), (1, 1));
        }
    }

    fn add_one(runs: &mut u32) -> u32 {
        *runs += 1;
        *runs
    }

    #[test]
    fn knowledge_is_added_and_that_of_another_check_stays() {
        let (mut first, mut second) = (KnownWork::new(), KnownWork::new());
        first.of::<Counts>().expect("nothing else is here").0 = 3;
        second.add(&first);
        second.add(&first);
        assert_eq!(second.of::<Counts>().map(|counts| counts.0), Some(6));
        assert!(second.of::<Lazy>().is_none());
        assert_eq!(second.of::<Counts>().map(|counts| counts.0), Some(6));
    }
}
