//! The objects that the library made and has not destroyed yet: [`made`] and [`gone`].

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

/// Records that the library made an object of this kind, `"stream"` or `"event"`. Call it after the
/// object was made.
pub fn made(kind: &'static str, handle: usize) {
    objects().alive.insert((kind, handle));
}

/// Records that the library destroys an object. Returns `false`, and counts the mistake, if no such
/// object is alive.
///
/// Call it before the object is destroyed, since the driver can reuse the handle right afterwards.
pub fn gone(kind: &'static str, handle: usize) -> bool {
    let mut objects = objects();
    let was_alive = objects.alive.remove(&(kind, handle));
    objects.wrong += u64::from(!was_alive);
    was_alive
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
fn object_is_live_from_made_to_gone_and_second_gone_is_wrong() {
    made("thing", 1);
    made("thing", 2);
    made("other", 1);
    assert_eq!((live("thing"), live("other"), live("none")), (2, 1, 0));
    assert!(gone("thing", 1));
    assert!(!gone("thing", 1), "twice");
    assert_eq!((live("thing"), live("other"), wrong()), (1, 1, 1));
}
