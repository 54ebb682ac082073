//! The error of a backend that is chosen at run time: [`AnyError`].

use alloc::boxed::Box;
use core::fmt;

use super::{ContractError, Error, ErrorKind};

/// The error of any backend, for programs that choose the backend at run time.
///
/// It keeps the kind, the code and the text of the backend's own error. Its
/// [`source`](core::error::Error::source) is that error's source. It is one pointer wide and
/// allocates when it is made, which is on the error path only.
#[derive(Debug)]
pub struct AnyError(Box<AnyErrorInner>);

#[derive(Debug)]
struct AnyErrorInner {
    kind: ErrorKind,
    code: Option<i32>,
    error: Box<dyn core::error::Error + Send + Sync>,
}

impl AnyError {
    /// Wraps `error`, and keeps its kind and code. Returns an `AnyError` as it is.
    ///
    /// In generic code: `stream.query().map_err(AnyError::new)?`. The errors of the backends convert by
    /// `?` alone.
    pub fn new<E: Error>(error: E) -> Self {
        let (kind, code) = (error.kind(), error.code());
        let error: Box<dyn core::error::Error + Send + Sync> = Box::new(error);
        match error.downcast::<AnyError>() {
            Ok(any) => *any,
            Err(error) => AnyError(Box::new(AnyErrorInner { kind, code, error })),
        }
    }

    /// Returns the backend's own error, if it is an `E`.
    pub fn downcast_ref<E: Error>(&self) -> Option<&E> {
        self.0.error.downcast_ref()
    }
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.error, f)
    }
}

impl core::error::Error for AnyError {
    // `Display` prints the text of the inner error, so the chain continues with that error's
    // source.
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.error.source()
    }
}

impl Error for AnyError {
    fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    fn code(&self) -> Option<i32> {
        self.0.code
    }
}

impl From<ContractError> for AnyError {
    fn from(error: ContractError) -> Self {
        AnyError::new(error)
    }
}
