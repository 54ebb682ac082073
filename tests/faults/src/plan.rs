//! The fault plan, inside the library: [`on_call`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The action that the plan prescribes for one call of a library function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the function must follow the plan"]
pub enum Action {
    /// Do the work.
    Pass,
    /// Return this code without doing the work.
    Answer(i32),
    /// Do the work, then return this code, as a driver does that reports the failure of earlier
    /// work.
    PassThenAnswer(i32),
    /// Do the work, then call [`Action::after_work`], which blocks.
    PassThenHold(PendingHold),
}

impl Action {
    /// Blocks the call if the plan holds it after its work. Call it after the work.
    #[inline]
    pub fn after_work(self) {
        if let Action::PassThenHold(hold) = self {
            hold_until_released(plan(), hold.0);
        }
    }
}

/// How many times held calls were released before a call that is to be held. A release during the
/// call's work also releases it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PendingHold(u64);

/// The effect of a planned fault on a call that it applies to.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    Act(Action),
    Hold,
    PassThenHold,
}

/// The threads that a fault or a recording applies to.
#[derive(Clone, Copy)]
pub(crate) enum ThreadFilter {
    All,
    Only(u64),
    Not(u64),
}

impl ThreadFilter {
    fn matches(self, thread: u64) -> bool {
        match self {
            ThreadFilter::All => true,
            ThreadFilter::Only(one) => one == thread,
            ThreadFilter::Not(one) => one != thread,
        }
    }
}

struct PlannedFault {
    call: String,
    /// The number of the call that the fault applies to, counted from 1 since it was set. 0 is
    /// every call.
    at: u64,
    threads: ThreadFilter,
    effect: Effect,
    matched: u64,
}

struct Plan {
    faults: Vec<PlannedFault>,
    watched: Option<ThreadFilter>,
    seen: Vec<&'static str>,
    triggered: u64,
    held: u64,
    /// How many times held calls were released.
    released: u64,
}

/// `true` if the plan may be non-empty. Reading it is the whole cost of a call while nothing is
/// planned.
static ARMED: AtomicBool = AtomicBool::new(false);

static PLAN: Mutex<Plan> = Mutex::new(Plan {
    faults: Vec::new(),
    watched: None,
    seen: Vec::new(),
    triggered: 0,
    held: 0,
    released: 0,
});

static CHANGED: Condvar = Condvar::new();

fn plan() -> MutexGuard<'static, Plan> {
    PLAN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the calling thread's number. The thread-local has no destructor, so it is valid until
/// the thread ends.
pub(crate) fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static MINE: Cell<u64> = const { Cell::new(0) });
    if MINE.get() == 0 {
        MINE.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    MINE.get()
}

/// Returns what the function `name` has to do. Call it once at the start of each exported function.
///
/// Blocks while a test holds this call. It can be called from any thread at any time. It costs one
/// atomic load while nothing is planned.
#[inline]
pub fn on_call(name: &'static str) -> Action {
    if ARMED.load(Ordering::Acquire) { consult(name) } else { Action::Pass }
}

#[cold]
fn consult(name: &'static str) -> Action {
    let thread = this_thread();
    let mut plan = plan();
    if plan.watched.is_some_and(|threads| threads.matches(thread)) {
        plan.seen.push(name);
    }
    let mut effect = None;
    for fault in &mut plan.faults {
        if (fault.call == name || fault.call == "*") && fault.threads.matches(thread) {
            fault.matched += 1;
            if fault.at == 0 || fault.at == fault.matched {
                effect = effect.or(Some(fault.effect));
            }
        }
    }
    let Some(effect) = effect else { return Action::Pass };
    plan.triggered += 1;
    match effect {
        Effect::Act(action) => action,
        Effect::Hold => {
            let released = plan.released;
            hold_until_released(plan, released);
            Action::Pass
        }
        Effect::PassThenHold => Action::PassThenHold(PendingHold(plan.released)),
    }
}

/// Blocks until held calls were released more than `released` times.
#[cold]
fn hold_until_released(mut plan: MutexGuard<'_, Plan>, released: u64) {
    plan.held += 1;
    CHANGED.notify_all();
    let waited = CHANGED.wait_while(plan, |plan| plan.released == released);
    waited.unwrap_or_else(PoisonError::into_inner).held -= 1;
    CHANGED.notify_all();
}

pub(crate) fn set(call: String, at: u64, threads: ThreadFilter, effect: Effect) {
    plan().faults.push(PlannedFault { call, at, threads, effect, matched: 0 });
    ARMED.store(true, Ordering::Release);
}

/// Removes all faults, stops recording, and releases the held calls.
pub(crate) fn clear() {
    ARMED.store(false, Ordering::Release);
    let mut plan = plan();
    plan.faults.clear();
    plan.seen.clear();
    (plan.watched, plan.triggered) = (None, 0);
    drop(plan);
    release();
}

pub(crate) fn watch(threads: ThreadFilter) {
    let mut plan = plan();
    plan.seen.clear();
    plan.watched = Some(threads);
    ARMED.store(true, Ordering::Release);
}

pub(crate) fn seen() -> String {
    plan().seen.join("\n")
}

pub(crate) fn triggered() -> u64 {
    plan().triggered
}

/// Releases the calls that are held now. A fault that holds stays set for later calls.
pub(crate) fn release() {
    plan().released += 1;
    CHANGED.notify_all();
}

/// Waits until at least `count` calls are held. Returns `false` if fewer are held after `timeout`.
pub(crate) fn await_held(count: u64, timeout: Duration) -> bool {
    let waited = CHANGED.wait_timeout_while(plan(), timeout, |plan| plan.held < count);
    waited.unwrap_or_else(PoisonError::into_inner).0.held >= count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serializes the tests, because the plan is global to the process.
    fn lock_plan() -> MutexGuard<'static, ()> {
        static PLAN_IN_USE: Mutex<()> = Mutex::new(());
        let guard = PLAN_IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        clear();
        guard
    }

    const ANSWER: Effect = Effect::Act(Action::Answer(7));

    #[test]
    fn fault_applies_to_its_call_occurrence_and_thread_only() {
        let _guard = lock_plan();
        assert_eq!(on_call("one"), Action::Pass);
        set("one".into(), 2, ThreadFilter::Only(this_thread()), ANSWER);
        assert_eq!(on_call("one"), Action::Pass);
        assert_eq!(on_call("two"), Action::Pass);
        let on_another_thread = std::thread::spawn(|| on_call("one")).join();
        assert_eq!(on_another_thread.ok(), Some(Action::Pass));
        assert_eq!(on_call("one"), Action::Answer(7));
        assert_eq!(on_call("one"), Action::Pass);
        assert_eq!(triggered(), 1);
        clear();
        set(
            "*".into(),
            0,
            ThreadFilter::Not(this_thread()),
            Effect::Act(Action::PassThenAnswer(-1)),
        );
        assert_eq!(on_call("any"), Action::Pass);
        let on_another_thread = std::thread::spawn(|| on_call("any")).join();
        assert_eq!(on_another_thread.ok(), Some(Action::PassThenAnswer(-1)));
        clear();
        assert_eq!((on_call("any"), triggered()), (Action::Pass, 0));
    }

    #[test]
    fn held_call_blocks_until_released() {
        let _guard = lock_plan();
        set("slow".into(), 0, ThreadFilter::Not(this_thread()), Effect::Hold);
        let slow = std::thread::spawn(|| on_call("slow"));
        assert!(await_held(1, Duration::from_secs(60)), "the call is held");
        assert!(!slow.is_finished());
        assert_eq!(on_call("slow"), Action::Pass, "this thread is not held");
        release();
        assert_eq!(slow.join().ok(), Some(Action::Pass));
        assert!(!await_held(1, Duration::ZERO), "no call is held any more");
        clear();
    }

    #[test]
    fn call_is_held_after_its_work_until_released() {
        let _guard = lock_plan();
        set("slow".into(), 1, ThreadFilter::All, Effect::PassThenHold);
        let action = on_call("slow");
        assert!(matches!(action, Action::PassThenHold(_)), "{action:?}");
        assert!(!await_held(1, Duration::ZERO), "the call is not held before its work");
        let slow = std::thread::spawn(move || action.after_work());
        assert!(await_held(1, Duration::from_secs(60)), "the call is held");
        assert!(!slow.is_finished());
        release();
        assert!(slow.join().is_ok());
        set("slow".into(), 1, ThreadFilter::All, Effect::PassThenHold);
        let action = on_call("slow");
        clear();
        // It was released during its work.
        action.after_work();
    }

    #[test]
    fn watch_records_calls_in_order() {
        let _guard = lock_plan();
        let _ = on_call("before");
        watch(ThreadFilter::Only(this_thread()));
        let _ = (on_call("one"), on_call("two"), on_call("one"));
        assert!(std::thread::spawn(|| on_call("other")).join().is_ok());
        assert_eq!(seen(), "one\ntwo\none");
        clear();
    }
}
