//! The functions of CUDA and HIP that the examples need for memory, by one table: both vendors have the same signatures.
//!
//! gpu-stream has streams and events, and no memory. A program uses the driver, as here, or cudarc, cuda-core and others.

use std::ffi::{c_int, c_uint, c_void};
use std::mem::ManuallyDrop;
use std::path::PathBuf;

use gpu_stream::RawStream;
use gpu_stream::prelude::*;
use libloading::Library;

pub type Failed = Box<dyn std::error::Error + Send + Sync>;
pub type Ptr = *mut c_void;

/// A vendor's names of the functions, and of the libraries that an example loads.
pub struct Names {
    alloc: &'static str,
    free: &'static str,
    alloc_pinned: &'static str,
    set: &'static str,
    copy: &'static str,
    copy_to_host: &'static str,
    wait_value: &'static str,
    /// File names of each library, the newest version first. The key is the vendor-neutral name.
    pub libraries: &'static [(&'static str, &'static [&'static str])],
}

/// A backend whose device memory the examples use.
pub trait Gpu: Backend<RawStream = RawStream<Self>> {
    const NAMES: Names;

    /// Makes the device current on this thread, for the driver, the runtime and the vendor's libraries.
    fn make_current(driver: &Driver, device: Device) -> Result<(), Failed>;
}

#[cfg(feature = "cuda")]
impl Gpu for gpu_stream::Cuda {
    const NAMES: Names = Names {
        alloc: "cuMemAlloc_v2",
        free: "cuMemFree_v2",
        alloc_pinned: "cuMemHostAlloc",
        set: "cuMemsetD32Async",
        copy: "cuMemcpyDtoDAsync_v2",
        copy_to_host: "cuMemcpyDtoHAsync_v2",
        wait_value: "cuStreamWaitValue32_v2",
        libraries: &[
            ("nccl", &["libnccl.so.2"]),
            ("blas", &["libcublas.so.13", "libcublas.so.12"]),
            ("fft", &["libcufft.so.12", "libcufft.so.11"]),
        ],
    };

    fn make_current(driver: &Driver, device: Device) -> Result<(), Failed> {
        let (mut number, mut context) = (0, std::ptr::null_mut::<c_void>());
        let ordinal = device.ordinal() as c_int;
        // SAFETY: these are the types of the driver's functions, and the out-pointers are valid. The context is retained
        // once more in each call, and so never released: the process keeps it.
        unsafe {
            let get = driver
                .function::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>("cuDeviceGet")?;
            let retain = driver.function::<unsafe extern "C" fn(*mut Ptr, c_int) -> c_int>(
                "cuDevicePrimaryCtxRetain",
            )?;
            let set = driver.function::<unsafe extern "C" fn(Ptr) -> c_int>("cuCtxSetCurrent")?;
            check("cuDeviceGet", get(&mut number, ordinal))?;
            check("cuDevicePrimaryCtxRetain", retain(&mut context, number))?;
            check("cuCtxSetCurrent", set(context))
        }
    }
}

#[cfg(feature = "hip")]
impl Gpu for gpu_stream::Hip {
    const NAMES: Names = Names {
        alloc: "hipMalloc",
        free: "hipFree",
        alloc_pinned: "hipHostMalloc",
        set: "hipMemsetD32Async",
        copy: "hipMemcpyDtoDAsync",
        copy_to_host: "hipMemcpyDtoHAsync",
        wait_value: "hipStreamWaitValue32",
        libraries: &[
            ("nccl", &["librccl.so.1"]),
            ("blas", &["libhipblas.so.3", "libhipblas.so.2"]),
            ("fft", &["libhipfft.so.0"]),
        ],
    };

    fn make_current(driver: &Driver, device: Device) -> Result<(), Failed> {
        // SAFETY: this is the type of the runtime's function.
        let set =
            unsafe { driver.function::<unsafe extern "C" fn(c_int) -> c_int>("hipSetDevice")? };
        // SAFETY: the call has no pointers.
        check("hipSetDevice", unsafe { set(device.ordinal() as c_int) })
    }
}

/// Converts a code of the driver. Both vendors have 0 for success.
pub fn check(call: &str, code: c_int) -> Result<(), Failed> {
    if code == 0 { Ok(()) } else { Err(format!("{call} returned {code}").into()) }
}

/// The driver or runtime that gpu-stream has loaded.
pub struct Driver {
    library: ManuallyDrop<Library>, // never closed
    free: unsafe extern "C" fn(u64) -> c_int,
    set: unsafe extern "C" fn(u64, c_uint, usize, Ptr) -> c_int,
    copy: unsafe extern "C" fn(u64, u64, usize, Ptr) -> c_int,
    copy_to_host: unsafe extern "C" fn(Ptr, u64, usize, Ptr) -> c_int,
    wait_value: unsafe extern "C" fn(Ptr, u64, u32, c_uint, u32) -> c_int,
    names: Names,
}

impl Driver {
    /// Finds the functions. A driver is never unloaded, so the result lives as long as the process.
    pub fn load<B: Gpu>() -> Result<&'static Self, Failed> {
        let file = B::probe()?.library.ok_or("the backend has no library")?;
        // SAFETY: the process has loaded this library already. The types are those of the vendor's headers.
        unsafe {
            let library = ManuallyDrop::new(Library::new(file)?);
            let names = B::NAMES;
            Ok(Box::leak(Box::new(Driver {
                free: *library.get(names.free)?,
                set: *library.get(names.set)?,
                copy: *library.get(names.copy)?,
                copy_to_host: *library.get(names.copy_to_host)?,
                wait_value: *library.get(names.wait_value)?,
                library,
                names,
            })))
        }
    }

    /// Returns the function of this name.
    ///
    /// # Safety
    /// `F` is the function's type.
    unsafe fn function<F: Copy>(&self, name: &str) -> Result<F, Failed> {
        // SAFETY: the caller's contract.
        Ok(*unsafe { self.library.get::<F>(name)? })
    }

    /// Allocates `words` numbers on the current device.
    pub fn alloc(&'static self, words: usize) -> Result<DeviceBuffer, Failed> {
        let mut address = 0;
        // SAFETY: this is the function's type, and the out-pointer is valid.
        let code = unsafe {
            let alloc =
                self.function::<unsafe extern "C" fn(*mut u64, usize) -> c_int>(self.names.alloc)?;
            alloc(&mut address, words * 4)
        };
        check(self.names.alloc, code)?;
        Ok(DeviceBuffer { driver: self, address, words })
    }

    /// Allocates `words` numbers that a copy to the host can write while the host does not wait. Never freed.
    pub fn alloc_pinned(&self, words: usize) -> Result<PinnedBuffer, Failed> {
        let mut address = std::ptr::null_mut::<c_void>();
        // SAFETY: this is the function's type, and the out-pointer is valid.
        let code = unsafe {
            let alloc = self.function::<unsafe extern "C" fn(*mut Ptr, usize, c_uint) -> c_int>(
                self.names.alloc_pinned,
            )?;
            alloc(&mut address, words * 4, 0)
        };
        check(self.names.alloc_pinned, code)?;
        Ok(PinnedBuffer { address: address.cast(), words })
    }
}

/// Numbers in a device's memory. The drop frees them at once: it must come after all work that uses them.
pub struct DeviceBuffer {
    driver: &'static Driver,
    pub address: u64,
    pub words: usize,
}

impl DeviceBuffer {
    /// Submits a store of `value` into all numbers. The buffer must outlive the work, and its device be current. HIP 5.2
    /// can block until earlier work of the stream is done.
    pub fn fill<S>(&self, value: u32, stream: &S) -> Result<(), Failed>
    where
        S: Stream<Backend: Gpu>,
    {
        let handle = stream.raw().as_ptr();
        // SAFETY: the memory has so many numbers, and the handle is live.
        check(self.driver.names.set, unsafe {
            (self.driver.set)(self.address, value, self.words, handle)
        })
    }

    /// Submits a copy of all numbers of `from`. Both buffers must outlive the work, and their device be current.
    pub fn copy_from<S>(&self, from: &DeviceBuffer, stream: &S) -> Result<(), Failed>
    where
        S: Stream<Backend: Gpu>,
    {
        let handle = stream.raw().as_ptr();
        let bytes = self.words.min(from.words) * 4;
        // SAFETY: both have so many bytes, and the handle is live.
        let code = unsafe { (self.driver.copy)(self.address, from.address, bytes, handle) };
        check(self.driver.names.copy, code)
    }

    /// Submits a copy into `to`. The buffer must outlive the work, and its device be current.
    pub fn copy_to_host<S>(&self, to: &PinnedBuffer, stream: &S) -> Result<(), Failed>
    where
        S: Stream<Backend: Gpu>,
    {
        let handle = stream.raw().as_ptr();
        let bytes = self.words.min(to.words) * 4;
        // SAFETY: both have so many bytes, the pinned ones are never freed, and the handle is live.
        let code =
            unsafe { (self.driver.copy_to_host)(to.address.cast(), self.address, bytes, handle) };
        check(self.driver.names.copy_to_host, code)
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        // SAFETY: the memory was allocated by the same driver, and nothing uses it any more (see the type).
        let code = unsafe { (self.driver.free)(self.address) };
        if let Err(error) = check(self.driver.names.free, code) {
            eprintln!("{error}");
        }
    }
}

/// Numbers in pinned memory of the host.
pub struct PinnedBuffer {
    address: *mut u32,
    words: usize,
}

impl PinnedBuffer {
    /// Returns the first and the last number. Call it when the copy is done.
    pub fn ends(&self) -> (u32, u32) {
        // SAFETY: the memory has so many numbers and is never freed. Copies of the device write whole numbers.
        unsafe { (self.address.read_volatile(), self.address.add(self.words - 1).read_volatile()) }
    }
}

/// Holds a stream until it is opened or dropped. It stands for work that takes long.
///
/// The stream waits for a number in memory. A host function that waits would also hold up the host functions of all other
/// streams.
pub struct Gate(PinnedBuffer);

impl Gate {
    /// Shuts a gate on `stream`, whose device is current.
    pub fn shut<S>(driver: &'static Driver, stream: &S) -> Result<Self, Failed>
    where
        S: Stream<Backend: Gpu>,
    {
        const AT_LEAST: c_uint = 0;
        let gate = Gate(driver.alloc_pinned(1)?);
        gate.set(0);
        let (address, handle) = (gate.0.address.expose_provenance() as u64, stream.raw().as_ptr());
        // SAFETY: the number is never freed, and the handle is live. CUDA's function has no mask, the last argument: it is in
        // a register that the function does not read.
        let code = unsafe { (driver.wait_value)(handle, address, 1, AT_LEAST, u32::MAX) };
        check(driver.names.wait_value, code)?;
        Ok(gate)
    }

    pub fn open(&mut self) {
        self.set(1);
    }

    fn set(&self, value: u32) {
        // SAFETY: the number is never freed. The device only reads it.
        unsafe { self.0.address.write_volatile(value) }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

/// Loads a library of the vendor: the file that `variable` names, or one of the names of `key`.
pub fn load_library<B: Gpu>(key: &str, variable: &str) -> Result<Library, Failed> {
    let known = B::NAMES.libraries.iter().find(|(name, _)| *name == key);
    let names = match std::env::var_os(variable) {
        Some(file) => vec![PathBuf::from(file)],
        None => known.map_or(&[][..], |(_, names)| names).iter().map(PathBuf::from).collect(),
    };
    let mut reasons = Vec::new();
    for name in &names {
        // SAFETY: a library of the vendor, whose initializers have no requirements.
        match unsafe { Library::new(name) } {
            Ok(library) => return Ok(library),
            Err(error) => reasons.push(format!("{}: {error}", name.display())),
        }
    }
    Err(format!("not found: {}; name the file by {variable}", reasons.join("; ")).into())
}
