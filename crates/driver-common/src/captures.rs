//! Isolation of captures: a stream under capture may wait only for work of its own capture.
//!
//! A graph holds no order with work outside of it. A driver that gets such a wait rejects it and invalidates the
//! captures (CUDA: 905, or 902 between two captures), or accepts it and loses the order (HIP). The wait is therefore
//! rejected here, before the driver is called. A stream that is not being captured may wait for a captured one, which
//! draws it into the capture.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::ContractError;

/// Whether a stream can be in a capture. All clones of a stream share it.
///
/// A capture of a stream begins by the stream's handle, or by a wait for a captured stream. So a stream that its backend
/// created is in no capture as long as the backend has neither returned the handle nor made such a wait. A submission
/// need not ask the driver then.
///
/// The program orders the begin of a capture with other submissions to the stream. So relaxed loads and stores are enough.
#[derive(Clone, Debug)]
pub struct Capturable(Option<Arc<AtomicBool>>);

impl Capturable {
    /// Returns the state of a stream whose handle others have.
    pub const fn always() -> Self {
        Capturable(None)
    }

    /// Returns the state of a stream whose handle nobody else has yet.
    pub fn not_yet() -> Self {
        Capturable(Some(Arc::new(AtomicBool::new(false))))
    }

    /// Notes that the handle becomes known, or that a wait may make the stream part of a capture.
    #[inline]
    pub fn set(&self) {
        if let Some(state) = &self.0 {
            state.store(true, Ordering::Relaxed);
        }
    }

    /// Returns `true` if the stream can be in a capture, so that the driver has to be asked.
    #[inline]
    pub fn get(&self) -> bool {
        self.0.as_ref().is_none_or(|state| state.load(Ordering::Relaxed))
    }
}

/// The capture that a stream is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership<C> {
    /// None: submitted work runs.
    None,
    /// This capture, which goes on.
    Active(C),
    /// An invalidated capture, which was not ended yet.
    Broken,
}

/// A stream that may be captured.
pub trait CaptureStream {
    /// The identity of a capture.
    type Capture;

    /// The error of the backend.
    type Error: From<ContractError>;

    /// Returns the handle as an integer, for errors.
    fn bits(&self) -> usize;

    /// Returns `true` if this is the default stream of a context or device, which cannot be captured.
    fn is_default(&self) -> bool;

    /// Returns the capture that the stream is in, without affecting it.
    ///
    /// # Errors
    /// The driver cannot tell.
    fn membership(&self, operation: &'static str)
    -> Result<Membership<Self::Capture>, Self::Error>;

    /// Returns `true` if both are one capture.
    fn is_same(one: &Self::Capture, other: &Self::Capture) -> bool;
}

/// Returns an error if `waiter` must not wait for `source`. Returns the capture of `source` if both streams are in it.
///
/// # Errors
/// - [`CaptureIsolation`](ContractError::CaptureIsolation) if `waiter` is being captured and `source` is not part of
///   that capture.
/// - [`DefaultStreamCapture`](ContractError::DefaultStreamCapture) if `waiter` is the default stream and `source` is
///   being captured. The wait would break the capture.
#[cold]
pub fn check_streams<S: CaptureStream>(
    waiter: &S,
    source: &S,
    operation: &'static str,
) -> Result<Option<S::Capture>, S::Error> {
    let (bits, of_source) = (source.bits(), || source.membership(operation));
    let Membership::Active(capture) = waiter.membership(operation)? else {
        if waiter.is_default() && !matches!(of_source()?, Membership::None) {
            let (waiter, waited_for) = (waiter.bits(), "stream");
            return Err(ContractError::DefaultStreamCapture {
                operation,
                waiter,
                waited_for,
                bits,
            }
            .into());
        }
        return Ok(None);
    };
    let waiter = waiter.bits();
    match of_source()? {
        Membership::None => {
            Err(ContractError::capture_of_uncaptured(operation, waiter, "stream", bits).into())
        }
        Membership::Active(other) if !S::is_same(&capture, &other) => {
            Err(ContractError::capture_of_another(operation, waiter, "stream", bits).into())
        }
        Membership::Active(other) => Ok(Some(other)),
        // The driver rejects the record on an invalidated capture, before the wait.
        Membership::Broken => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Fake(usize, Membership<u64>);

    impl CaptureStream for Fake {
        type Capture = u64;
        type Error = ContractError;

        fn bits(&self) -> usize {
            self.0
        }

        fn is_default(&self) -> bool {
            self.0 == 1
        }

        fn membership(&self, _: &'static str) -> Result<Membership<u64>, ContractError> {
            Ok(self.1)
        }

        fn is_same(one: &u64, other: &u64) -> bool {
            one == other
        }
    }

    #[test]
    fn clones_share_whether_a_capture_is_possible() {
        let stream = Capturable::not_yet();
        let clone = stream.clone();
        assert!(!clone.get());
        stream.set();
        assert!(clone.get() && Capturable::always().get());
    }

    #[test]
    fn stream_under_capture_waits_only_for_its_own_capture() {
        use Membership::{Active, Broken, None as Uncaptured};
        let wait = |waiter, source| check_streams(&Fake(16, waiter), &Fake(32, source), "here");
        for source in [Uncaptured, Active(3), Broken] {
            for waiter in [Uncaptured, Broken] {
                assert!(matches!(wait(waiter, source), Ok(None)), "{waiter:?} {source:?}");
            }
        }
        assert!(matches!(wait(Active(3), Active(3)), Ok(Some(3))));
        assert!(matches!(wait(Active(3), Broken), Ok(None)));
        for source in [Uncaptured, Active(4)] {
            let refused = wait(Active(3), source);
            assert!(
                matches!(
                    refused,
                    Err(ContractError::CaptureIsolation { waiter: 16, bits: 32, .. })
                ),
                "{source:?}"
            );
        }
    }

    #[test]
    fn default_stream_waits_for_no_capture() {
        let default = Fake(1, Membership::None);
        let wait = |source| check_streams(&default, &Fake(32, source), "here");
        assert!(matches!(wait(Membership::None), Ok(None)));
        for source in [Membership::Active(3), Membership::Broken] {
            let refused = wait(source);
            assert!(matches!(refused, Err(ContractError::DefaultStreamCapture { bits: 32, .. })));
        }
    }
}
