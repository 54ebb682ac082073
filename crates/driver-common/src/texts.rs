//! Texts that CUDA and HIP share: reasons of errors, and the form of a result code.

use std::ffi::{CStr, c_char};
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

/// Defines the result code of a driver: an integer, because a newer driver returns codes that no current header has.
///
/// `$text` returns the text of a code from one of the driver's functions, which has the type `$GetText`. `TEXTS` are the
/// functions that may be called now. `$names` and `$descriptions` are the names of the two functions.
#[macro_export]
macro_rules! result_code {
    (
        $(#[$attribute:meta])*
        $Code:ident, $text:ident: $GetText:ty, $names:literal, $descriptions:literal
    ) => {
        $(#[$attribute])*
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $Code(::std::ffi::c_int);

        impl $Code {
            /// Creates the code with this number.
            pub const fn new(number: i32) -> Self {
                $Code(number)
            }

            /// Returns the number.
            pub const fn get(self) -> i32 {
                self.0
            }

            /// Returns the driver's name of the code. Returns `None` if the driver does not know the code or is not
            /// loaded.
            #[doc(alias = $names)]
            pub fn name(self) -> Option<&'static str> {
                $text(self, TEXTS.get()?.name)
            }

            /// Returns the driver's description of the code. Returns `None` if the code has no [`name`](Self::name).
            #[doc(alias = $descriptions)]
            pub fn description(self) -> Option<&'static str> {
                self.name()?;
                $text(self, TEXTS.get()?.description)
            }
        }

        /// The functions for texts. None before the driver's start, and when it must not be called any more.
        pub(crate) static TEXTS: $crate::texts::TextsInUse<$GetText> =
            $crate::texts::TextsInUse::none();

        impl ::std::fmt::Display for $Code {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                write!(f, "{}", self.0)?;
                match (self.name(), self.description()) {
                    // HIP 5.2 returns the name as the description.
                    (Some(name), Some(text)) if name != text => write!(f, " {name}: {text}"),
                    (Some(name), _) => write!(f, " {name}"),
                    (None, _) => Ok(()),
                }
            }
        }

        impl ::std::fmt::Debug for $Code {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}({}, {name})", stringify!($Code), self.0),
                    None => write!(f, "{}({})", stringify!($Code), self.0),
                }
            }
        }
    };
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

    type GetText = fn(i32) -> Option<&'static str>;

    fn text(code: Code, get: GetText) -> Option<&'static str> {
        get(code.get())
    }

    crate::result_code! {
        /// A code.
        Code, text: GetText, "names", "descriptions"
    }

    #[test]
    fn code_is_shown_with_what_the_driver_says_of_it() {
        static WITH_TEXTS: CodeTexts<GetText> = CodeTexts {
            name: |number| (number < 9).then_some("NAME"),
            description: |number| (number < 8).then_some(if number == 6 { "NAME" } else { "text" }),
        };
        let shown = |number| (Code::new(number).to_string(), format!("{:?}", Code::new(number)));
        assert_eq!(shown(7), ("7".into(), "Code(7)".into()));
        TEXTS.set(Some(&WITH_TEXTS));
        assert_eq!(shown(6), ("6 NAME".into(), "Code(6, NAME)".into()));
        assert_eq!(shown(7), ("7 NAME: text".into(), "Code(7, NAME)".into()));
        assert_eq!(shown(8), ("8 NAME".into(), "Code(8, NAME)".into()));
        assert_eq!(shown(9), ("9".into(), "Code(9)".into()));
    }
}
