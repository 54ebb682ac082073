//! The test's side: [`Controls`].

use std::ffi::{CString, OsStr, c_char};
use std::time::Duration;

use libloading::Library;

/// Which of the calls of a function a fault is for, counted from when it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Each.
    Always,
    /// One, counted from 1. With 0 it is none.
    Occurrence(u32),
}

/// Whose calls a fault is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// Everybody's.
    All,
    /// The thread's that sets it.
    This,
    /// Everybody's but the thread's that sets it.
    Others,
}

/// What happens to the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InjectedFault {
    /// It does nothing, and answers so.
    Answer(i32),
    /// It does its work, and answers so nevertheless.
    PassThenAnswer(i32),
    /// It stays inside until [`Controls::release`], and then does its work.
    Hold,
}

macro_rules! controls {
    ($($field:ident = $name:literal $type:ty;)*) => {
        /// The functions by which a library's plan of faults is set.
        pub struct Controls {
            $($field: $type,)*
        }

        impl Controls {
            fn resolve(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Controls {
                    // SAFETY: that is the function's type in `export_controls`, and the library is
                    // never closed.
                    $($field: *unsafe { library.get($name) }?,)*
                })
            }
        }
    };
}

controls! {
    set = "driver_faults_set" unsafe extern "C" fn(*const c_char, u64, u32, u32, i32) -> bool;
    clear = "driver_faults_clear" unsafe extern "C" fn();
    watch = "driver_faults_watch" unsafe extern "C" fn(u32);
    seen = "driver_faults_seen" unsafe extern "C" fn(*mut u8, usize) -> usize;
    triggered = "driver_faults_struck" unsafe extern "C" fn() -> u64;
    await_held = "driver_faults_await_held" unsafe extern "C" fn(u64, u64) -> bool;
    release = "driver_faults_release" unsafe extern "C" fn();
    live = "driver_faults_live" unsafe extern "C" fn(*const c_char) -> u64;
    wrong = "driver_faults_wrong" unsafe extern "C" fn() -> u64;
}

impl Controls {
    /// Those of the library at `path`, which is loaded if it is not yet, and never closed.
    ///
    /// # Errors
    /// A sentence: the library cannot be loaded, or has no plan.
    pub fn of(path: impl AsRef<OsStr>) -> Result<Self, String> {
        let path = path.as_ref();
        // SAFETY: loading runs the library's initialisers; it is one of this repository's, and has
        // none.
        let library = unsafe { Library::new(path) }
            .map_err(|error| format!("{} cannot be loaded: {error}", path.display()))?;
        let controls = Self::resolve(&library)
            .map_err(|error| format!("{} has no plan of faults: {error}", path.display()));
        std::mem::forget(library);
        controls
    }

    /// Sets a fault, beside those that are set. `call` is the function's name; `*` is every function.
    ///
    /// # Panics
    /// If `call` has a zero in it.
    pub fn set(&self, call: &str, at: At, threads: Threads, fault: InjectedFault) {
        let call = CString::new(call).expect("a function's name");
        let (effect, code) = match fault {
            InjectedFault::Answer(code) => (0, code),
            InjectedFault::PassThenAnswer(code) => (1, code),
            InjectedFault::Hold => (2, 0),
        };
        let at = match at {
            At::Always => 0,
            // No call is the zeroth: one that never comes.
            At::Occurrence(0) => u64::MAX,
            At::Occurrence(number) => number.into(),
        };
        // SAFETY: a C string.
        let known = unsafe { (self.set)(call.as_ptr(), at, threads.number(), effect, code) };
        assert!(known, "the library knows this fault");
    }

    /// Forgets all faults and what was noted, and lets go what is held.
    pub fn clear(&self) {
        // SAFETY: takes nothing.
        unsafe { (self.clear)() }
    }

    /// Notes the calls from here on.
    pub fn watch(&self, threads: Threads) {
        // SAFETY: takes a number.
        unsafe { (self.watch)(threads.number()) }
    }

    /// The calls that were noted since [`watch`](Self::watch), in order.
    pub fn seen(&self) -> Vec<String> {
        let mut text = Vec::new();
        loop {
            let room = text.len();
            // SAFETY: it has that much room.
            let length = unsafe { (self.seen)(text.as_mut_ptr(), room) };
            text.resize(length, 0);
            if length <= room {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::to_owned).collect()
    }

    /// How many calls met a fault since the last [`clear`](Self::clear).
    pub fn triggered(&self) -> u64 {
        // SAFETY: takes nothing.
        unsafe { (self.triggered)() }
    }

    /// Waits until so many calls are held; false if that was not so within the time, which is for
    /// tests that would hang else.
    #[must_use = "it may have given up"]
    pub fn await_held(&self, count: u64, at_most: Duration) -> bool {
        let at_most = u64::try_from(at_most.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: takes numbers.
        unsafe { (self.await_held)(count, at_most) }
    }

    /// Lets go the calls that are held now; later ones are held as before.
    pub fn release(&self) {
        // SAFETY: takes nothing.
        unsafe { (self.release)() }
    }

    /// How many objects of the kind, `"stream"` or `"event"`, the library made and did not destroy.
    ///
    /// # Panics
    /// If `kind` has a zero in it.
    pub fn live(&self, kind: &str) -> u64 {
        let kind = CString::new(kind).expect("a word");
        // SAFETY: a C string.
        unsafe { (self.live)(kind.as_ptr()) }
    }

    /// How many objects were destroyed that were not there, since the process began.
    pub fn wrong(&self) -> u64 {
        // SAFETY: takes nothing.
        unsafe { (self.wrong)() }
    }
}

impl Threads {
    fn number(self) -> u32 {
        match self {
            Threads::All => 0,
            Threads::This => 1,
            Threads::Others => 2,
        }
    }
}
