//! A BLAS handle and an FFT plan that belong to one stream.

use std::ffi::c_int;

use gpu_stream::prelude::*;
use libloading::Library;

use crate::device::{DeviceBuffer, Driver, Failed, Gpu, Ptr, check, load_library};

/// What the vendors' libraries do not share: the prefix of the names, the suffix of BLAS's, and the number of "not transposed".
struct Flavor {
    blas: &'static str,
    suffix: &'static str,
    fft: &'static str,
    not_transposed: c_int,
}

const NVIDIA: Flavor = Flavor { blas: "cublas", suffix: "_v2", fft: "cufft", not_transposed: 0 };
const AMD: Flavor = Flavor { blas: "hipblas", suffix: "", fft: "hipfft", not_transposed: 111 };

fn flavor<B: Gpu>() -> Flavor {
    if B::KIND == BackendKind::Cuda { NVIDIA } else { AMD }
}

/// The size of the workspace that cuBLAS recommends for Hopper, 32 MiB, in numbers.
const WORKSPACE_WORDS: usize = 32 << 18;

/// A BLAS handle whose stream never changes. One handle for each stream needs no lock: calls on one stream are in order, so
/// they can share the handle's workspace.
pub struct Blas<S> {
    library: &'static Library,
    flavor: Flavor,
    handle: Ptr,
    /// Kept as long as the handle, which holds only a number.
    _stream: S,
    /// Freed after the handle.
    _workspace: Option<DeviceBuffer>,
}

type Gemm = unsafe extern "C" fn(
    Ptr,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const f32,
    u64,
    c_int,
    u64,
    c_int,
    *const f32,
    u64,
    c_int,
) -> c_int;

impl<S: Stream<Backend: Gpu> + Clone> Blas<S> {
    /// Creates a handle on the current device, which is the stream's.
    pub fn new(driver: &'static Driver, stream: &S) -> Result<Self, Failed> {
        let library: &Library =
            Box::leak(Box::new(load_library::<S::Backend>("blas", "GPU_STREAM_BLAS_LIBRARY")?));
        let flavor = flavor::<S::Backend>();
        let name = |call: &str| format!("{}{call}{}", flavor.blas, flavor.suffix);
        let mut handle = std::ptr::null_mut();
        // SAFETY: these are the functions' types in the vendors' headers. The out-pointer is valid, and the stream is live as
        // long as the handle: `_stream` keeps it.
        unsafe {
            let create = library.get::<unsafe extern "C" fn(*mut Ptr) -> c_int>(name("Create"))?;
            check("Create", create(&mut handle))?;
            let set_stream =
                library.get::<unsafe extern "C" fn(Ptr, Ptr) -> c_int>(name("SetStream"))?;
            check("SetStream", set_stream(handle, stream.raw().as_ptr()))?;
        }
        // After the stream: cuBLAS goes back to its own workspace when the stream is set. Older versions of hipBLAS have no
        // such function.
        // SAFETY: this is the function's type.
        let set_workspace = unsafe {
            library.get::<unsafe extern "C" fn(Ptr, u64, usize) -> c_int>(name("SetWorkspace"))
        };
        let workspace = match set_workspace {
            Ok(set_workspace) => {
                let workspace = driver.alloc(WORKSPACE_WORDS)?;
                // SAFETY: the handle is live. The workspace has so many bytes, and outlives the handle's last call.
                let code = unsafe { set_workspace(handle, workspace.address, WORKSPACE_WORDS * 4) };
                check("SetWorkspace", code)?;
                Some(workspace)
            }
            Err(_) => None,
        };
        Ok(Blas { library, flavor, handle, _stream: stream.clone(), _workspace: workspace })
    }

    /// Submits `c = a * b`, of square matrices of `size` rows. The buffers must outlive the work.
    pub fn multiply(
        &self,
        size: usize,
        a: &DeviceBuffer,
        b: &DeviceBuffer,
        c: &DeviceBuffer,
    ) -> Result<(), Failed> {
        let (n, t, one, zero) =
            (c_int::try_from(size)?, self.flavor.not_transposed, 1.0_f32, 0.0_f32);
        let name = format!("{}Sgemm{}", self.flavor.blas, self.flavor.suffix);
        // SAFETY: this is the function's type. The handle is live, the matrices have that size, and the two factors are read
        // before the call returns.
        let code = unsafe {
            let gemm = self.library.get::<Gemm>(&name)?;
            gemm(self.handle, t, t, n, n, n, &one, a.address, n, b.address, n, &zero, c.address, n)
        };
        check(&name, code)
    }
}

impl<S> Drop for Blas<S> {
    fn drop(&mut self) {
        let name = format!("{}Destroy{}", self.flavor.blas, self.flavor.suffix);
        // SAFETY: this is the function's type, and the handle is not used afterwards.
        let code = unsafe {
            let destroy = self.library.get::<unsafe extern "C" fn(Ptr) -> c_int>(&name);
            destroy.map_or(0, |destroy| destroy(self.handle))
        };
        if let Err(error) = check(&name, code) {
            eprintln!("{error}");
        }
    }
}

/// A plan of a one-dimensional transform, whose stream never changes. Its work area is the library's own.
pub struct Fft<S> {
    library: &'static Library,
    flavor: Flavor,
    /// cuFFT's handle is an `int`, which is in the lower half; hipFFT's is a pointer.
    plan: usize,
    /// Kept as long as the plan, which holds only a number.
    _stream: S,
}

impl<S: Stream<Backend: Gpu> + Clone> Fft<S> {
    /// Creates a plan for `length` complex numbers on the current device, which is the stream's.
    pub fn new(stream: &S, length: usize) -> Result<Self, Failed> {
        const COMPLEX_TO_COMPLEX: c_int = 0x29;
        let library: &Library =
            Box::leak(Box::new(load_library::<S::Backend>("fft", "GPU_STREAM_FFT_LIBRARY")?));
        let flavor = flavor::<S::Backend>();
        let (mut plan, length) = (0, c_int::try_from(length)?);
        // SAFETY: these are the functions' types. The out-pointer has room for either vendor's handle, and the stream is live
        // as long as the plan: `_stream` keeps it.
        unsafe {
            let create =
                library.get::<unsafe extern "C" fn(*mut usize, c_int, c_int, c_int) -> c_int>(
                    format!("{}Plan1d", flavor.fft),
                )?;
            check("Plan1d", create(&mut plan, length, COMPLEX_TO_COMPLEX, 1))?;
            let set_stream = library.get::<unsafe extern "C" fn(usize, Ptr) -> c_int>(format!(
                "{}SetStream",
                flavor.fft
            ))?;
            check("SetStream", set_stream(plan, stream.raw().as_ptr()))?;
        }
        Ok(Fft { library, flavor, plan, _stream: stream.clone() })
    }

    /// Submits the transform of `from` to `to`. The buffers must outlive the work.
    pub fn transform(&self, from: &DeviceBuffer, to: &DeviceBuffer) -> Result<(), Failed> {
        const FORWARD: c_int = -1;
        let name = format!("{}ExecC2C", self.flavor.fft);
        // SAFETY: this is the function's type. The plan is live, and the buffers have its length.
        let code = unsafe {
            let execute =
                self.library.get::<unsafe extern "C" fn(usize, u64, u64, c_int) -> c_int>(&name)?;
            execute(self.plan, from.address, to.address, FORWARD)
        };
        check(&name, code)
    }
}

impl<S> Drop for Fft<S> {
    fn drop(&mut self) {
        let name = format!("{}Destroy", self.flavor.fft);
        // SAFETY: this is the function's type, and the plan is not used afterwards.
        let code = unsafe {
            let destroy = self.library.get::<unsafe extern "C" fn(usize) -> c_int>(&name);
            destroy.map_or(0, |destroy| destroy(self.plan))
        };
        if let Err(error) = check(&name, code) {
            eprintln!("{error}");
        }
    }
}
