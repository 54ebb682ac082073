use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::{Backend, Device, HandleKind, RawStream};
use gpu_stream_core::{Stream, StreamOptions, StreamOwner};
use gpu_stream_host::{Gate, Host, HostStream, raw, wait_quiescent};

struct MyFixture;

/// A stream made as another library would make it: by the bare driver, destroyed on drop.
struct Foreign(RawStream<Host>);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = raw::destroy(self.0);
    }
}

// SAFETY: the handle is a live stream until the value is dropped, and nothing else destroys it.
unsafe impl StreamOwner<Host> for Foreign {
    fn raw_stream(&self) -> RawStream<Host> {
        self.0
    }
}

/// Wraps the handle of `stream` again. Work and gates use the result and not `stream`, which is
/// under test and may be broken. On a GPU this is not needed, since the driver's calls take the
/// handle.
fn bare<S: Stream<Backend = Host>>(stream: &S) -> Result<HostStream, Verdict> {
    if stream.raw().kind() == HandleKind::PerThread {
        let own = Host::per_thread_stream(stream.device())?;
        // SAFETY: every caller uses it at once, on this thread.
        return Ok(unsafe { own.into_inner_unchecked() });
    }
    // SAFETY: `stream` keeps the handle alive, and every caller drops this before `stream`.
    Ok(unsafe { Host::stream_from_raw(stream.raw(), Some(stream.device())) }?)
}

impl Fixture for MyFixture {
    type Backend = Host;
    type Foreign = Foreign;
    type Gate = Gate;
    type Data = Arc<AtomicU32>; // on a GPU: x

    fn raw_stream(&self, bits: usize) -> RawStream<Host> {
        RawStream::from_bits(bits)
    }

    fn foreign(&self, device: Device, options: StreamOptions) -> Result<Foreign, Verdict> {
        Ok(Foreign(raw::create(device, options)?)) // `?` turns any error into a failed case
    }

    // Waits for all work of the stream; some cases rely on that. On a GPU: `cuStreamSynchronize`.
    fn foreign_works(&self, foreign: &Foreign) -> Outcome {
        if !raw::is_alive(foreign.0) {
            return Err(Verdict::failed("the stream was destroyed"));
        }
        // SAFETY: `foreign` keeps the handle alive, and outlives the wrapper.
        let stream = unsafe { Host::stream_from_raw(foreign.0, None) }?;
        Ok(stream.synchronize()?)
    }

    // On a GPU: a wait for a value in pinned memory (`cuStreamWaitValue32`), or a host function that blocks.
    fn gate<S: Stream<Backend = Host>>(&self, stream: &S) -> Result<Gate, Verdict> {
        let gate = Gate::new(stream.device())?;
        bare(stream)?.wait_event(gate.event())?;
        Ok(gate)
    }

    fn open(&self, gate: &Gate) {
        gate.open();
    }

    fn data(&self, _: Device, value: u32) -> Result<Self::Data, Verdict> {
        Ok(Arc::new(AtomicU32::new(value)))
    }

    // On a GPU: an asynchronous memset or copy on `stream.raw()`.
    fn store<S>(&self, stream: &S, data: &Self::Data, value: u32) -> Outcome
    where
        S: Stream<Backend = Host>,
    {
        let data = Arc::clone(data);
        Ok(bare(stream)?.launch(move || data.store(value, SeqCst))?)
    }

    fn copy<S>(&self, stream: &S, from: &Self::Data, to: &Self::Data) -> Outcome
    where
        S: Stream<Backend = Host>,
    {
        let (from, to) = (Arc::clone(from), Arc::clone(to));
        Ok(bare(stream)?.launch(move || to.store(from.load(SeqCst), SeqCst))?)
    }

    fn load(&self, data: &Self::Data) -> Result<u32, Verdict> {
        Ok(data.load(SeqCst))
    }

    // On a GPU: yield for a few milliseconds. It is exact here.
    fn settle(&self, streams: &[&HostStream]) {
        let _ = wait_quiescent(streams); // an early return is allowed
    }

    // On a GPU, failing work ends the whole context: skip, and say so.
    fn fault(&self, stream: &HostStream) -> Outcome {
        Ok(stream.launch(|| std::panic::resume_unwind(Box::new("meant to fail")))?)
    }

    // On a GPU: `cudaSetDevice` or `cuCtxSetCurrent`, and the matching getters. The host has no
    // current device.
    fn make_current(&self, _: Device) -> Outcome {
        Ok(())
    }

    fn thread_state(&self) -> Result<String, Verdict> {
        Ok(String::new())
    }
}
