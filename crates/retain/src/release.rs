//! Release in the order of a stream: [`release_on`].

use gpu_stream_core::{ErrorOf, Stream};

use crate::Refused;

/// Makes the later work of `home` wait for all earlier work of `users`, and then drops `value` on this thread. Does not
/// block.
///
/// For values whose destructor frees *in the order of* `home`, as `cuMemFreeAsync` and `hipFreeAsync` do: the free
/// then runs after the work of all users. A destructor that frees at once, or on the host, frees too early here.
/// Such a value is for [`Reclaimer::retain`](crate::Reclaimer::retain).
///
/// `home` may be among the users, and without users the value is dropped at once. A panic of the destructor goes to
/// the caller.
///
/// ```
/// use gpu_stream_core::{Backend, Stream, StreamOptions};
/// use gpu_stream_host::{Host, HostStream};
///
/// /// Memory that is freed in the order of the stream that it was allocated on.
/// struct Buffer(HostStream);
///
/// impl Drop for Buffer {
///     fn drop(&mut self) {
///         let _ = self.0.launch(|| println!("cuMemFreeAsync"));
///     }
/// }
///
/// let device = Host::device(0)?;
/// let home = Host::new_stream(device, StreamOptions::new())?;
/// let user = Host::new_stream(device, StreamOptions::new())?;
/// let buffer = Buffer(home.clone());
/// user.wait_stream(&home)?; // after the allocation
/// user.launch(|| println!("uses the buffer"))?;
/// gpu_stream_retain::release_on(&home, [&user], buffer).map_err(|refused| refused.leak())?;
/// home.synchronize()?;
/// # Ok::<(), gpu_stream_host::HostError>(())
/// ```
///
/// # Errors
/// As [`Stream::join`]. The value comes back in the error. Some of the waits may have been made.
///
/// Origin: [`cuMemFreeAsync`](https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__MALLOC__ASYNC.html), whose
/// memory may be used on other streams if the free is ordered after them.
#[doc(alias("cuMemFreeAsync", "cudaFreeAsync", "hipFreeAsync", "free_async"))]
#[track_caller] // The reports of `gpu_stream_checked` then have the place of this call.
pub fn release_on<'a, S, O, I, T>(
    home: &S,
    users: I,
    value: T,
) -> Result<(), Refused<T, ErrorOf<S>>>
where
    S: Stream,
    O: Stream<Backend = S::Backend>,
    I: IntoIterator<Item = &'a O>,
{
    match home.join(users) {
        Ok(()) => {
            drop(value);
            Ok(())
        }
        Err(error) => Err(Refused::new(value, error)),
    }
}
