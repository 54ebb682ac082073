//! A device of a backend: [`Device`]. The description of a backend: [`BackendInfo`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{BackendKind, ContractError};

/// One device of one backend, as `cuda:0` is in torch.
///
/// The ordinal is the vendor's own, after `CUDA_VISIBLE_DEVICES` or `HIP_VISIBLE_DEVICES` were
/// applied. A `Device` is only a name. The call that uses it checks that the device exists, and
/// returns [`InvalidDevice`](crate::ErrorKind::InvalidDevice) if it does not.
///
/// There is no call that makes a device, a context or a stream current. Each call names what it
/// works on, and leaves what is current as it was.
///
/// Origin:
/// [`torch.device`](https://docs.pytorch.org/docs/stable/tensor_attributes.html#torch.device),
/// [`CUdevice`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__DEVICE.html).
#[doc(alias(
    "CUdevice",
    "hipDevice_t",
    "device_index",
    "ordinal",
    "set_device",
    "cuCtxSetCurrent",
    "cudaSetDevice",
    "hipSetDevice",
    "current_stream",
    "set_stream",
    "getCurrentCUDAStream"
))]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    backend: BackendKind,
    ordinal: u32,
}

impl Device {
    /// Creates the name of device `ordinal`, counted from 0, of `backend`. Asks no driver.
    pub const fn new(backend: BackendKind, ordinal: u32) -> Self {
        Device { backend, ordinal }
    }

    /// Returns the backend whose device this is.
    pub const fn backend(self) -> BackendKind {
        self.backend
    }

    /// Returns the vendor's ordinal, counted from 0.
    pub const fn ordinal(self) -> u32 {
        self.ordinal
    }

    /// Returns `Ok` if `self`, which the caller gave, is the device that the driver named. For
    /// backend authors.
    ///
    /// # Errors
    /// [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch), naming `operation` and both devices;
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if not even the backend is the same.
    pub fn check_is(self, actual: Device, operation: &'static str) -> Result<(), ContractError> {
        if self == actual {
            return Ok(());
        }
        if self.backend != actual.backend {
            let (expected, given) = (actual.backend, self.backend);
            return Err(ContractError::BackendMismatch { operation, expected, given });
        }
        Err(ContractError::DeviceMismatch { operation, given: self, actual })
    }

    /// Returns `Ok` if a stream of this device can record an event of the device `event`. For backend
    /// authors.
    ///
    /// # Errors
    /// [`DeviceMismatch`](crate::ErrorKind::DeviceMismatch), naming `operation` and both devices;
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) if not even the backend is the same.
    pub fn check_can_record(
        self,
        event: Device,
        operation: &'static str,
    ) -> Result<(), ContractError> {
        event.check_is(self, operation).map_err(|error| match error {
            ContractError::DeviceMismatch { given: event, actual: stream, .. } => {
                ContractError::RecordAcrossDevices { operation, stream, event }
            }
            other => other,
        })
    }

    /// Returns `Ok` if this is one of the `count` devices of `backend`. For backend authors.
    ///
    /// # Errors
    /// [`BackendMismatch`](crate::ErrorKind::BackendMismatch) for another vendor's device,
    /// [`InvalidDevice`](crate::ErrorKind::InvalidDevice) for an ordinal that is too high.
    pub fn check_exists(
        self,
        backend: BackendKind,
        count: u32,
        operation: &'static str,
    ) -> Result<(), ContractError> {
        if self.backend != backend {
            return Err(ContractError::BackendMismatch {
                operation,
                expected: backend,
                given: self.backend,
            });
        }
        if self.ordinal >= count {
            return Err(ContractError::InvalidDevice { operation, given: self, count });
        }
        Ok(())
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend, self.ordinal)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A device with the name that its driver gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The device.
    pub device: Device,
    /// The driver's name for it, such as `NVIDIA H100 80GB HBM3`.
    pub name: String,
}

impl DeviceInfo {
    /// Creates the description of a device from its name.
    pub fn new(device: Device, name: impl Into<String>) -> Self {
        DeviceInfo { device, name: name.into() }
    }
}

/// What a backend that is ready for use reports about itself: the result of
/// [`Backend::probe`](crate::Backend::probe).
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BackendInfo {
    /// The backend.
    pub backend: BackendKind,
    /// The version of the driver or runtime, as text for the reader.
    pub version: String,
    /// The shared library that was loaded, as it was named to the loader; `None` if the backend
    /// needs none.
    pub library: Option<String>,
    /// The devices, by ordinal.
    pub devices: Vec<DeviceInfo>,
    /// Further facts for a report, each with its name: the loaded file, the functions that it
    /// lacks, a device's architecture. The text is for the reader; a program must not depend on it.
    pub details: Vec<(&'static str, String)>,
}

impl BackendInfo {
    /// Creates the description of a backend with this version and these devices. Sets no library
    /// and no details.
    pub fn new(backend: BackendKind, version: impl Into<String>, devices: Vec<DeviceInfo>) -> Self {
        BackendInfo {
            backend,
            version: version.into(),
            library: None,
            devices,
            details: Vec::new(),
        }
    }
}
