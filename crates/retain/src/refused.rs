//! A value that was not taken: [`Refused`].

use std::fmt;

/// A value that was not retained or released, with the reason. The value is the caller's again.
///
/// Dropping this drops the value. Where the streams may still use the value, take it out by
/// [`into_parts`](Self::into_parts) and keep it: behind a fault, for as long as the process lives.
/// [`leak`](Self::leak) does that in one call.
#[must_use = "it holds the value, which streams may still use"]
pub struct Refused<T, E> {
    value: T,
    error: E,
}

impl<T, E> Refused<T, E> {
    /// Creates the error of a call that does not take `value`, because of `error`.
    pub fn new(value: T, error: E) -> Self {
        Refused { value, error }
    }

    /// Returns the reason.
    pub fn error(&self) -> &E {
        &self.error
    }

    /// Returns the reason, and leaks the value: its destructor never runs.
    ///
    /// For values that work may use which was submitted already. After an error, nothing says when that work ends, so
    /// memory that the destructor frees on the host could be freed while the device uses it.
    ///
    /// ```
    /// use gpu_stream_retain::Refused;
    ///
    /// let buffer = std::sync::Arc::new(());
    /// let refused = Refused::new(buffer.clone(), "the stream has a fault");
    /// assert_eq!(refused.leak(), "the stream has a fault");
    /// assert_eq!(std::sync::Arc::strong_count(&buffer), 2);
    /// ```
    #[doc(alias("forget"))]
    pub fn leak(self) -> E {
        std::mem::forget(self.value);
        self.error
    }

    /// Returns the reason, and drops the value at once. Where submitted work may use the value, call
    /// [`leak`](Self::leak).
    pub fn into_error(self) -> E {
        self.error
    }

    /// Returns a reference to the value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// Returns the value, and drops the reason.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Returns the value and the reason.
    pub fn into_parts(self) -> (T, E) {
        (self.value, self.error)
    }
}

impl<T, E: fmt::Debug> fmt::Debug for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T, E: fmt::Display> fmt::Display for Refused<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T, E: std::error::Error> std::error::Error for Refused<T, E> {
    // `Display` prints the text of the reason, so the chain continues with its source.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
