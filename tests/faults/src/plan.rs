//! What is to fail, inside the library: [`on_call`].

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a function of the library has to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the plan is asked in order to be followed"]
pub enum Action {
    /// What it is for.
    Pass,
    /// Nothing, and answer with this code.
    Answer(i32),
    /// What it is for, and answer with this code nevertheless, as a driver does that tells of the
    /// failure of earlier work.
    PassThenAnswer(i32),
}

/// What a planned fault does when it is met.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    Act(Action),
    Hold,
}

/// Which threads a fault or a watch is for.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    All,
    Only(u64),
    Not(u64),
}

impl Who {
    fn has(self, thread: u64) -> bool {
        match self {
            Who::All => true,
            Who::Only(one) => one == thread,
            Who::Not(one) => one != thread,
        }
    }
}

struct Planned {
    call: String,
    /// Which call it is for, counted from 1 since it was set; 0 is every call.
    at: u64,
    who: Who,
    effect: Effect,
    met: u64,
}

struct Plan {
    faults: Vec<Planned>,
    watched: Option<Who>,
    seen: Vec<&'static str>,
    triggered: u64,
    held: u64,
    /// How often held calls were let go.
    released: u64,
}

/// Whether there is anything to ask: all that a call costs while nothing is planned.
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

/// The number of the calling thread. It has no destructor, so it is good to the thread's end.
pub(crate) fn this_thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local!(static MINE: Cell<u64> = const { Cell::new(0) });
    if MINE.get() == 0 {
        MINE.set(NEXT.fetch_add(1, Ordering::Relaxed));
    }
    MINE.get()
}

/// Asks the plan what the function `name` has to do. To be called once at the start of each
/// exported function.
///
/// Blocks while a test holds this call. From any thread, at any time; one atomic load while nothing
/// is planned.
#[inline]
pub fn on_call(name: &'static str) -> Action {
    if ARMED.load(Ordering::Acquire) { consult(name) } else { Action::Pass }
}

#[cold]
fn consult(name: &'static str) -> Action {
    let thread = this_thread();
    let mut plan = plan();
    if plan.watched.is_some_and(|who| who.has(thread)) {
        plan.seen.push(name);
    }
    let mut effect = None;
    for fault in &mut plan.faults {
        if (fault.call == name || fault.call == "*") && fault.who.has(thread) {
            fault.met += 1;
            if fault.at == 0 || fault.at == fault.met {
                effect = effect.or(Some(fault.effect));
            }
        }
    }
    let Some(effect) = effect else { return Action::Pass };
    plan.triggered += 1;
    match effect {
        Effect::Act(action) => action,
        Effect::Hold => {
            plan.held += 1;
            CHANGED.notify_all();
            let before = plan.released;
            let until = |plan: &mut Plan| plan.released == before;
            let waited = CHANGED.wait_while(plan, until);
            waited.unwrap_or_else(PoisonError::into_inner).held -= 1;
            CHANGED.notify_all();
            Action::Pass
        }
    }
}

pub(crate) fn set(call: String, at: u64, who: Who, effect: Effect) {
    plan().faults.push(Planned { call, at, who, effect, met: 0 });
    ARMED.store(true, Ordering::Release);
}

/// Forgets everything, and lets go what is held.
pub(crate) fn clear() {
    ARMED.store(false, Ordering::Release);
    let mut plan = plan();
    plan.faults.clear();
    plan.seen.clear();
    (plan.watched, plan.triggered) = (None, 0);
    drop(plan);
    release();
}

pub(crate) fn watch(who: Who) {
    let mut plan = plan();
    plan.seen.clear();
    plan.watched = Some(who);
    ARMED.store(true, Ordering::Release);
}

pub(crate) fn seen() -> String {
    plan().seen.join("\n")
}

pub(crate) fn triggered() -> u64 {
    plan().triggered
}

/// Lets the calls go that are held now. A fault that holds stays set for later calls.
pub(crate) fn release() {
    plan().released += 1;
    CHANGED.notify_all();
}

/// Waits until at least so many calls are held, or for the time. Whether they are.
pub(crate) fn await_held(count: u64, at_most: Duration) -> bool {
    let waited = CHANGED.wait_timeout_while(plan(), at_most, |plan| plan.held < count);
    waited.unwrap_or_else(PoisonError::into_inner).0.held >= count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan is the process's: one test at a time.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        clear();
        alone
    }

    const ANSWER: Effect = Effect::Act(Action::Answer(7));

    #[test]
    fn a_fault_meets_the_call_the_occurrence_and_the_thread_that_it_is_for() {
        let _alone = alone();
        assert_eq!(on_call("one"), Action::Pass);
        set("one".into(), 2, Who::Only(this_thread()), ANSWER);
        assert_eq!(on_call("one"), Action::Pass);
        assert_eq!(on_call("two"), Action::Pass);
        let elsewhere = std::thread::spawn(|| on_call("one")).join();
        assert_eq!(elsewhere.ok(), Some(Action::Pass));
        assert_eq!(on_call("one"), Action::Answer(7));
        assert_eq!(on_call("one"), Action::Pass);
        assert_eq!(triggered(), 1);
        clear();
        set("*".into(), 0, Who::Not(this_thread()), Effect::Act(Action::PassThenAnswer(-1)));
        assert_eq!(on_call("any"), Action::Pass);
        let elsewhere = std::thread::spawn(|| on_call("any")).join();
        assert_eq!(elsewhere.ok(), Some(Action::PassThenAnswer(-1)));
        clear();
        assert_eq!((on_call("any"), triggered()), (Action::Pass, 0));
    }

    #[test]
    fn a_call_is_held_until_it_is_let_go() {
        let _alone = alone();
        set("slow".into(), 0, Who::Not(this_thread()), Effect::Hold);
        let slow = std::thread::spawn(|| on_call("slow"));
        assert!(await_held(1, Duration::from_secs(60)), "it is inside");
        assert!(!slow.is_finished());
        assert_eq!(on_call("slow"), Action::Pass, "this thread is not held");
        release();
        assert_eq!(slow.join().ok(), Some(Action::Pass));
        assert!(!await_held(1, Duration::ZERO), "nobody is inside any more");
        clear();
    }

    #[test]
    fn what_is_watched_is_noted_in_order() {
        let _alone = alone();
        let _ = on_call("before");
        watch(Who::Only(this_thread()));
        let _ = (on_call("one"), on_call("two"), on_call("one"));
        assert!(std::thread::spawn(|| on_call("elsewhere")).join().is_ok());
        assert_eq!(seen(), "one\ntwo\none");
        clear();
    }
}
