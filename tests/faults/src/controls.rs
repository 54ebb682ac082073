//! The test's side of the fault plan: [`Controls`].

use std::ffi::{CString, OsStr, c_char};
use std::time::Duration;

use libloading::Library;

/// The calls of a function that a fault applies to, counted from when it is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Every call.
    Always,
    /// One call, counted from 1. 0 selects no call.
    Occurrence(u32),
}

/// The threads whose calls a fault applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// All threads.
    All,
    /// The thread that sets the fault.
    This,
    /// All threads except the one that sets the fault.
    Others,
}

/// The effect of a fault on a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InjectedFault {
    /// Returns this code without doing the work.
    Answer(i32),
    /// Does the work, then returns this code.
    PassThenAnswer(i32),
    /// Blocks until [`Controls::release`], then does the work.
    Hold,
    /// Does the work, then blocks until [`Controls::release`].
    PassThenHold,
}

macro_rules! controls {
    ($($field:ident = $name:literal $type:ty;)*) => {
        /// The functions that set a library's fault plan.
        pub struct Controls {
            $($field: $type,)*
        }

        impl Controls {
            fn resolve(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Controls {
                    // SAFETY: `export_controls` declares the function with this type, and the
                    // library is never closed.
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
    triggered = "driver_faults_triggered" unsafe extern "C" fn() -> u64;
    await_held = "driver_faults_await_held" unsafe extern "C" fn(u64, u64) -> bool;
    release = "driver_faults_release" unsafe extern "C" fn();
    live = "driver_faults_live" unsafe extern "C" fn(*const c_char) -> u64;
    wrong = "driver_faults_wrong" unsafe extern "C" fn() -> u64;
}

impl Controls {
    /// Returns the controls of the library at `path`. Loads the library if it is not loaded yet,
    /// and never closes it.
    ///
    /// # Errors
    /// A message that says that the library cannot be loaded, or that it exports no fault plan.
    pub fn of(path: impl AsRef<OsStr>) -> Result<Self, String> {
        let path = path.as_ref();
        // SAFETY: loading runs the library's initialisers. The library belongs to this repository
        // and has none.
        let library = unsafe { Library::new(path) }
            .map_err(|error| format!("{} cannot be loaded: {error}", path.display()))?;
        let controls = Self::resolve(&library)
            .map_err(|error| format!("{} has no plan of faults: {error}", path.display()));
        std::mem::forget(library);
        controls
    }

    /// Adds a fault to those that are set. `call` is a function's name, or `*` for every function.
    ///
    /// # Panics
    /// If `call` contains a NUL.
    pub fn set(&self, call: &str, at: At, threads: Threads, fault: InjectedFault) {
        let call = CString::new(call).expect("a function's name");
        let (effect, code) = match fault {
            InjectedFault::Answer(code) => (0, code),
            InjectedFault::PassThenAnswer(code) => (1, code),
            InjectedFault::Hold => (2, 0),
            InjectedFault::PassThenHold => (3, 0),
        };
        let at = match at {
            At::Always => 0,
            // Selects no call: calls are counted from 1.
            At::Occurrence(0) => u64::MAX,
            At::Occurrence(number) => number.into(),
        };
        // SAFETY: `call` is a C string that outlives the call.
        let known = unsafe { (self.set)(call.as_ptr(), at, threads.number(), effect, code) };
        assert!(known, "the library knows this fault");
    }

    /// Removes all faults, forgets the recorded calls, and releases the held calls.
    pub fn clear(&self) {
        // SAFETY: the function has no requirements.
        unsafe { (self.clear)() }
    }

    /// Starts to record calls. Forgets the calls that were recorded before.
    pub fn watch(&self, threads: Threads) {
        // SAFETY: the function has no requirements.
        unsafe { (self.watch)(threads.number()) }
    }

    /// Returns the calls that were recorded since [`watch`](Self::watch), in order.
    pub fn seen(&self) -> Vec<String> {
        let mut text = Vec::new();
        loop {
            let capacity = text.len();
            // SAFETY: `text` has room for `capacity` bytes, its length.
            let length = unsafe { (self.seen)(text.as_mut_ptr(), capacity) };
            text.resize(length, 0);
            if length <= capacity {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        text.lines().map(str::to_owned).collect()
    }

    /// Returns how many calls a fault applied to since the last [`clear`](Self::clear).
    pub fn triggered(&self) -> u64 {
        // SAFETY: the function has no requirements.
        unsafe { (self.triggered)() }
    }

    /// Waits until `count` calls are held. Returns `false` if fewer are held after `timeout`.
    ///
    /// The timeout serves tests that would hang otherwise.
    #[must_use = "the wait may have timed out"]
    pub fn await_held(&self, count: u64, timeout: Duration) -> bool {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: the function has no requirements.
        unsafe { (self.await_held)(count, timeout) }
    }

    /// Releases the calls that are held now. The faults stay set and hold later calls.
    pub fn release(&self) {
        // SAFETY: the function has no requirements.
        unsafe { (self.release)() }
    }

    /// Returns how many objects of `kind` (`"stream"` or `"event"`) the library made and did not
    /// destroy.
    ///
    /// # Panics
    /// If `kind` contains a NUL.
    pub fn live(&self, kind: &str) -> u64 {
        let kind = CString::new(kind).expect("a word");
        // SAFETY: `kind` is a C string that outlives the call.
        unsafe { (self.live)(kind.as_ptr()) }
    }

    /// Returns how many times a handle was destroyed that was not alive, since the process began.
    pub fn wrong(&self) -> u64 {
        // SAFETY: the function has no requirements.
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
