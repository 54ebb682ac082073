//! The result codes of OpenCL: [`OpenClCode`].

use std::fmt;

use gpu_stream_core::ErrorKind;

/// A result code of a call, or of work that failed, kept as an integer.
///
/// Origin:
/// [`Error codes`](https://registry.khronos.org/OpenCL/specs/3.0-unified/html/OpenCL_API.html#error_codes).
#[doc(alias("cl_int", "CL_SUCCESS"))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenClCode {
    number: i32,
    is_of_work: bool,
}

impl OpenClCode {
    /// `CL_SUCCESS`.
    pub const SUCCESS: Self = Self::new(0);
    /// `CL_DEVICE_NOT_FOUND`: the platform has no device of the type.
    pub const DEVICE_NOT_FOUND: Self = Self::new(-1);
    /// `CL_PROFILING_INFO_NOT_AVAILABLE`: the queue of the record keeps no time.
    pub const NO_PROFILING: Self = Self::new(-7);
    /// `CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST`: work before an event failed.
    pub const FAILED_WAIT_LIST: Self = Self::new(-14);
    /// `CL_PLATFORM_NOT_FOUND_KHR`: the loader has found no driver.
    pub const NO_PLATFORM: Self = Self::new(-1001);

    /// Creates the code with this number, of a call.
    pub const fn new(number: i32) -> Self {
        OpenClCode { number, is_of_work: false }
    }

    /// Creates the code of work that ended with this negative status.
    pub(crate) const fn of_work(status: i32) -> Self {
        OpenClCode { number: status, is_of_work: true }
    }

    /// Returns the number.
    pub const fn get(self) -> i32 {
        self.number
    }

    /// Returns `true` if the number is the status of work that failed, and not the result of a call.
    pub const fn is_of_work(self) -> bool {
        self.is_of_work
    }

    /// Returns the kind of failure that the code stands for.
    pub const fn kind(self) -> ErrorKind {
        if self.is_of_work {
            return ErrorKind::StreamFault;
        }
        match self.number {
            -1 | -1001 => ErrorKind::NoDevice,
            -2 | -4 | -5 | -6 => ErrorKind::OutOfMemory,
            -7 => ErrorKind::EventNotTimed,
            -14 => ErrorKind::StreamFault,
            -33 => ErrorKind::InvalidDevice,
            // Not `InvalidEvent`, which is an event of a capture.
            -34 | -36 | -57 | -58 => ErrorKind::InvalidHandle,
            -35 => ErrorKind::InvalidOptions,
            _ => ErrorKind::Driver,
        }
    }

    /// Returns the name in the header. Returns `None` for a code that OpenCL 3.0 does not have.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.number {
            0 => "CL_SUCCESS",
            -1 => "CL_DEVICE_NOT_FOUND",
            -2 => "CL_DEVICE_NOT_AVAILABLE",
            -4 => "CL_MEM_OBJECT_ALLOCATION_FAILURE",
            -5 => "CL_OUT_OF_RESOURCES",
            -6 => "CL_OUT_OF_HOST_MEMORY",
            -7 => "CL_PROFILING_INFO_NOT_AVAILABLE",
            -14 => "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST",
            -30 => "CL_INVALID_VALUE",
            -31 => "CL_INVALID_DEVICE_TYPE",
            -32 => "CL_INVALID_PLATFORM",
            -33 => "CL_INVALID_DEVICE",
            -34 => "CL_INVALID_CONTEXT",
            -35 => "CL_INVALID_QUEUE_PROPERTIES",
            -36 => "CL_INVALID_COMMAND_QUEUE",
            -57 => "CL_INVALID_EVENT_WAIT_LIST",
            -58 => "CL_INVALID_EVENT",
            -59 => "CL_INVALID_OPERATION",
            -1001 => "CL_PLATFORM_NOT_FOUND_KHR",
            _ => return None,
        })
    }
}

impl fmt::Display for OpenClCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match self.name() {
            Some(name) => write!(f, "{number} {name}"),
            None => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_failed_is_a_fault_whatever_its_code() {
        for status in [-1, -5, -14, -9999, i32::MIN] {
            assert_eq!(OpenClCode::of_work(status).kind(), ErrorKind::StreamFault, "{status}");
        }
    }

    /// A reclaimer takes `InvalidEvent` for a record in a capture that is over, and records again.
    #[test]
    fn event_that_opencl_does_not_know_is_an_invalid_handle() {
        for number in [-57, -58] {
            assert_eq!(OpenClCode::new(number).kind(), ErrorKind::InvalidHandle, "{number}");
        }
    }

    #[test]
    fn unknown_code_is_a_driver_error_and_prints_its_number() {
        for number in [1, -3, -77, -1002, i32::MIN] {
            let code = OpenClCode::new(number);
            assert_eq!((code.kind(), code.name()), (ErrorKind::Driver, None));
            assert_eq!(code.to_string(), number.to_string());
        }
    }
}
