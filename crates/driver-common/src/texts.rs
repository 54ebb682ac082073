//! Texts that CUDA and HIP share: reasons of errors, and the form of a result code.

use std::ffi::{CStr, c_char};
use std::fmt;
use std::ptr::{from_ref, null, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A foreign event, of which the driver says that it has no time.
pub const FOREIGN_WITHOUT_TIME: &str = "is an event of another library, and the driver has no time for it: it was made without timing, or was not \
     recorded, which the driver does not tell apart; make it with timing, and record it outside of a capture";

/// A foreign event, which the driver refuses to record on the given stream.
pub const FOREIGN_RECORD_REFUSED: &str = "is an event of another library, and the driver refuses to record it on this stream: it may belong to another device \
     than the one named in `Backend::event_from_raw`; name the event's own device, and record on a stream of that device";

/// A handle that names the calling thread's own stream, where no handle of a thread is allowed.
pub const PER_THREAD_HANDLE: &str =
    "is the calling thread's own stream; use `Backend::per_thread_stream`";

/// A driver's functions for the texts of its result codes.
pub struct CodeTexts<F> {
    /// Returns the name of a code.
    pub name: F,
    /// Returns the description of a code.
    pub description: F,
}

/// The functions for texts that may be called now.
pub struct TextsInUse<F: 'static>(AtomicPtr<CodeTexts<F>>);

impl<F: Sync> TextsInUse<F> {
    /// Creates the state before the driver's start, without functions.
    pub const fn none() -> Self {
        TextsInUse(AtomicPtr::new(null_mut()))
    }

    /// Sets the functions. `None` if the driver must not be called any more. Async-signal-safe.
    pub fn set(&self, texts: Option<&'static CodeTexts<F>>) {
        self.0.store(texts.map_or(null(), from_ref).cast_mut(), Ordering::SeqCst);
    }

    /// Returns the functions. Returns `None` if the driver must not be called.
    pub fn get(&self) -> Option<&'static CodeTexts<F>> {
        // SAFETY: the pointer is null, or is from a `&'static CodeTexts<F>`.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }
}

/// Writes a result code as its number, with the driver's name and description: `Display` of a code.
///
/// # Errors
/// The error of the formatter.
pub fn display_code(
    f: &mut fmt::Formatter<'_>,
    number: i32,
    name: Option<&str>,
    description: Option<&str>,
) -> fmt::Result {
    write!(f, "{number}")?;
    match (name, description) {
        // HIP 5.2 returns the name as the description.
        (Some(name), Some(text)) if name != text => write!(f, " {name}: {text}"),
        (Some(name), _) => write!(f, " {name}"),
        (None, _) => Ok(()),
    }
}

/// Writes a result code as its type, its number and the driver's name: `Debug` of a code.
///
/// # Errors
/// The error of the formatter.
pub fn debug_code(
    f: &mut fmt::Formatter<'_>,
    code_type: &str,
    number: i32,
    name: Option<&str>,
) -> fmt::Result {
    match name {
        Some(name) => write!(f, "{code_type}({number}, {name})"),
        None => write!(f, "{code_type}({number})"),
    }
}

/// Returns a string of the driver. Returns `None` for a null pointer, and for a string that is not UTF-8.
///
/// # Safety
/// - `text` is null, or a NUL-terminated string that is never freed.
pub unsafe fn driver_text(text: *const c_char) -> Option<&'static str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: `text` is a NUL-terminated string that is never freed (caller contract).
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Code(Option<&'static str>, Option<&'static str>);

    impl fmt::Display for Code {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            display_code(f, 7, self.0, self.1)
        }
    }

    impl fmt::Debug for Code {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            debug_code(f, "Code", 7, self.0)
        }
    }

    #[test]
    fn code_is_shown_with_what_the_driver_says_of_it() {
        assert_eq!(Code(None, None).to_string(), "7");
        assert_eq!(Code(Some("NAME"), None).to_string(), "7 NAME");
        assert_eq!(Code(Some("NAME"), Some("NAME")).to_string(), "7 NAME");
        assert_eq!(Code(Some("NAME"), Some("its text")).to_string(), "7 NAME: its text");
        assert_eq!(format!("{:?}", Code(None, None)), "Code(7)");
        assert_eq!(format!("{:?}", Code(Some("NAME"), Some("text"))), "Code(7, NAME)");
    }
}
