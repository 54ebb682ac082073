//! The objects that the library made and has not destroyed yet: [`made`], [`retained`], [`gone`] and [`used`].

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Objects {
    /// The number of references to each object: 1, unless its kind counts references.
    alive: HashMap<(&'static str, usize), u64>,
    /// The number of references of each kind.
    counts: HashMap<&'static str, u64>,
    wrong: u64,
}

static OBJECTS: LazyLock<Mutex<Objects>> = LazyLock::new(Mutex::default);

fn objects() -> MutexGuard<'static, Objects> {
    OBJECTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records that the library made an object of this kind, `"stream"` or `"event"`. Call it after the
/// object was made.
pub fn made(kind: &'static str, handle: usize) {
    let mut objects = objects();
    let before = objects.alive.insert((kind, handle), 1).unwrap_or(0);
    let count = objects.counts.entry(kind).or_default();
    *count = *count + 1 - before;
}

/// Records a reference to an object of a kind that counts them: one more, or the first. Call it after the call that
/// adds the reference.
pub fn retained(kind: &'static str, handle: usize) {
    let mut objects = objects();
    *objects.alive.entry((kind, handle)).or_default() += 1;
    *objects.counts.entry(kind).or_default() += 1;
}

/// Records that the library destroys an object, or releases a reference to it. Returns `false`, and counts the mistake,
/// if no such object is alive.
///
/// Call it before the object is destroyed, since the driver can reuse the handle right afterwards.
pub fn gone(kind: &'static str, handle: usize) -> bool {
    let mut objects = objects();
    let references = objects.alive.get_mut(&(kind, handle));
    let left = references.map(|count| {
        *count -= 1;
        *count
    });
    if left == Some(0) {
        objects.alive.remove(&(kind, handle));
    }
    if left.is_some()
        && let Some(count) = objects.counts.get_mut(kind)
    {
        *count -= 1;
    }
    objects.wrong += u64::from(left.is_none());
    left.is_some()
}

/// Records that a call uses an object. Returns `false`, and counts the mistake, if no such object is alive.
pub fn used(kind: &'static str, handle: usize) -> bool {
    let mut objects = objects();
    let is_alive = objects.alive.contains_key(&(kind, handle));
    objects.wrong += u64::from(!is_alive);
    is_alive
}

pub(crate) fn live(kind: &str) -> u64 {
    objects().counts.get(kind).copied().unwrap_or(0)
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
    made("thing", 2);
    assert_eq!(live("thing"), 1, "the driver reuses the handle");
    retained("counted", 3);
    retained("counted", 3);
    assert!(gone("counted", 3) && used("counted", 3));
    assert_eq!((live("counted"), wrong()), (1, 1));
    assert!(gone("counted", 3) && !used("counted", 3) && !gone("counted", 3));
    assert_eq!((live("counted"), wrong()), (0, 3));
}
