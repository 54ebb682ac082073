//! Panics of host functions, which the stream reports from then on.
//!
//! The driver knows nothing of them: work behind the function runs. So the faults are kept here, by
//! the stream's id, which is never used twice as the handle is. A program in which nothing panicked
//! pays one read of a flag for this.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::CudaError;

/// Whether there is any fault.
static ANY: AtomicBool = AtomicBool::new(false);

static FAULTS: Mutex<Vec<Fault>> = Mutex::new(Vec::new());

struct Fault {
    stream: u64,
    message: Arc<str>,
}

fn faults() -> MutexGuard<'static, Vec<Fault>> {
    FAULTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A host function of the stream with this id panicked.
pub(crate) fn note(stream: u64, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = text.unwrap_or("with no message").into();
    let mut faults = faults();
    // The first one is what it was; the rest may be its consequences.
    if faults.iter().all(|fault| fault.stream != stream) {
        faults.push(Fault { stream, message });
    }
    drop(faults);
    ANY.store(true, Ordering::Release);
}

/// Whether a host function has panicked in this process.
#[inline]
pub(crate) fn any() -> bool {
    ANY.load(Ordering::Acquire)
}

/// An error if a host function of the stream panicked; `id` finds the stream's id, if it has one.
#[inline]
pub(crate) fn check(
    operation: &'static str,
    id: impl FnOnce() -> Option<u64>,
) -> Result<(), CudaError> {
    if any() { look(operation, id()) } else { Ok(()) }
}

#[cold]
fn look(operation: &'static str, stream: Option<u64>) -> Result<(), CudaError> {
    let faults = faults();
    match faults.iter().find(|fault| Some(fault.stream) == stream) {
        Some(fault) => {
            let message = Arc::clone(&fault.message);
            Err(CudaError::HostFunctionPanicked { operation, message })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_its_streams_and_stays() {
        note(7, &"first");
        note(7, &String::from("second"));
        for _ in 0..2 {
            let error = check("here", || Some(7)).unwrap_err().to_string();
            assert!(error.contains("first") && error.contains("here"), "{error}");
        }
        assert!(check("here", || Some(8)).is_ok());
        assert!(check("here", || None).is_ok());
    }
}
