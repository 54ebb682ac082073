//! What the library made and has not destroyed yet: [`made`] and [`gone`].

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Objects {
    alive: HashSet<(&'static str, usize)>,
    wrong: u64,
}

static OBJECTS: LazyLock<Mutex<Objects>> = LazyLock::new(Mutex::default);

fn objects() -> MutexGuard<'static, Objects> {
    OBJECTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes that the library made an object of this kind, `"stream"` or `"event"`. Call it after the
/// object was made.
pub fn made(kind: &'static str, handle: usize) {
    objects().alive.insert((kind, handle));
}

/// Notes that the library destroys an object. Call it before, since the handle may be another
/// object's right after. False, and counted, if there is no such object: the handle was never made,
/// or was destroyed already.
pub fn gone(kind: &'static str, handle: usize) -> bool {
    let mut objects = objects();
    let was_there = objects.alive.remove(&(kind, handle));
    objects.wrong += u64::from(!was_there);
    was_there
}

pub(crate) fn live(kind: &str) -> u64 {
    let count = objects().alive.iter().filter(|(of, _)| *of == kind).count();
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(crate) fn wrong() -> u64 {
    objects().wrong
}

#[cfg(test)]
#[test]
fn what_is_made_is_alive_until_it_is_gone_and_goes_once() {
    made("thing", 1);
    made("thing", 2);
    made("other", 1);
    assert_eq!((live("thing"), live("other"), live("none")), (2, 1, 0));
    assert!(gone("thing", 1));
    assert!(!gone("thing", 1), "twice");
    assert_eq!((live("thing"), live("other"), wrong()), (1, 1, 1));
}
