//! The mutants' fixture: the host backend's, with gates that hold under every mutation.

use std::sync::Arc;

use gpu_stream_conformance::awaiting::BoxedDone;
use gpu_stream_conformance::fixtures::{HostData, HostFixture, HostForeign};
use gpu_stream_conformance::retention::Retention;
use gpu_stream_conformance::{CaptureMode, Fixture, Outcome, Verdict};
use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{
    Backend, Device, EventOptions, RawEvent, RawStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_host::{Gate, Host, HostStream};

use crate::backend::{CURRENT_DEVICE, LAST_ERROR, Mutant};
use crate::error::MutantError;
use crate::event::MutantEvent;
use crate::mutation::bypass;
use crate::stream::MutantStream;
use crate::{awaiting, capture, retention, vendor};

pub struct MutantFixture;

pub struct MutantForeign(HostForeign);

// SAFETY: the handle is that of the stream inside, which lives as long as `self`.
unsafe impl StreamOwner<Mutant> for MutantForeign {
    fn raw_stream(&self) -> RawStream<Mutant> {
        RawStream::from_bits(self.0.raw().to_bits())
    }
}

fn inside<'s>(streams: &[&'s MutantStream]) -> Vec<&'s HostStream> {
    streams.iter().map(|stream| &stream.host).collect()
}

/// Returns the host's stream with this handle.
fn host_of<S: Stream<Backend = Mutant>>(stream: &S) -> Result<HostStream, Verdict> {
    let (bits, device) = (stream.raw().to_bits(), stream.device());
    // SAFETY: the host validates every handle, and the caller keeps the stream alive.
    Ok(unsafe { Host::stream_from_raw(RawStream::from_bits(bits), Some(device)) }?)
}

impl Fixture for MutantFixture {
    type Backend = Mutant;
    type Foreign = MutantForeign;
    type Gate = Arc<Gate>;
    type Data = HostData;

    fn raw_stream(&self, bits: usize) -> RawStream<Mutant> {
        RawStream::from_bits(bits)
    }

    fn foreign(&self, device: Device, options: StreamOptions) -> Result<MutantForeign, Verdict> {
        let foreign = HostForeign::new(device, options.blocking(false))?;
        if options.blocking {
            vendor::make_blocking(foreign.raw().to_bits(), device);
        }
        Ok(MutantForeign(foreign))
    }

    fn foreign_works(&self, foreign: &MutantForeign) -> Outcome {
        foreign.0.works()
    }

    fn gate<S: Stream<Backend = Mutant>>(&self, stream: &S) -> Result<Arc<Gate>, Verdict> {
        let gate = Arc::new(Gate::new(stream.device())?);
        if stream.raw().to_bits() != 2 {
            vendor::apply_implicit_sync(&host_of(stream)?)?;
        }
        bypass(|| stream.wait_event(&MutantEvent::of_gate(&gate)))?;
        Ok(gate)
    }

    fn open(&self, gate: &Arc<Gate>) {
        gate.open();
    }

    fn data(&self, _device: Device, value: u32) -> Result<HostData, Verdict> {
        Ok(HostData::new(value))
    }

    fn store<S: Stream<Backend = Mutant>>(
        &self,
        stream: &S,
        data: &HostData,
        value: u32,
    ) -> Outcome {
        data.store(stream, value)
    }

    fn copy<S: Stream<Backend = Mutant>>(
        &self,
        stream: &S,
        from: &HostData,
        to: &HostData,
    ) -> Outcome {
        let (from, to) = (from.clone(), to.clone());
        let bits = stream.raw().to_bits();
        if capture::of(bits).is_some() {
            capture::add(bits, Box::new(move |stream| from.copy(stream, &to)));
            return Ok(());
        }
        from.copy(stream, &to)
    }

    fn load(&self, data: &HostData) -> Result<u32, Verdict> {
        Ok(data.load())
    }

    fn settle(&self, streams: &[&MutantStream]) {
        HostFixture.settle(&inside(streams));
    }

    fn finishes(&self, streams: &[&MutantStream]) -> Result<bool, Verdict> {
        // Mutants make deferred calls at the next query.
        for stream in streams {
            stream.flush()?;
        }
        HostFixture.finishes(&inside(streams))
    }

    fn fault(&self, stream: &MutantStream) -> Outcome {
        HostFixture.fault(&stream.host)
    }

    fn detects_bad_handles(&self) -> bool {
        HostFixture.detects_bad_handles()
    }

    fn detects_calls_from_work(&self) -> bool {
        HostFixture.detects_calls_from_work()
    }

    fn independent(&self) -> usize {
        HostFixture.independent()
    }

    fn dynamic(&self) -> Option<&dyn DynBackend> {
        Some(&Mutant)
    }

    fn reclaimer(&self) -> Arc<dyn Retention<Mutant>> {
        retention::reclaimer()
    }

    fn done<S>(&self, stream: &S) -> Result<BoxedDone<Mutant>, MutantError>
    where
        S: Stream<Backend = Mutant>,
    {
        awaiting::done(stream)
    }

    fn make_current(&self, device: Device) -> Outcome {
        CURRENT_DEVICE.set(device.ordinal());
        Ok(())
    }

    fn thread_state(&self) -> Result<String, Verdict> {
        let last_error = LAST_ERROR.with_borrow(Clone::clone);
        Ok(format!("device {}, last error {last_error:?}", CURRENT_DEVICE.get()))
    }

    fn raw_event(&self, bits: usize) -> Result<RawEvent<Mutant>, Verdict> {
        Ok(RawEvent::from_bits(bits))
    }

    fn create_event(
        &self,
        device: Device,
        options: EventOptions,
    ) -> Result<RawEvent<Mutant>, Verdict> {
        Ok(RawEvent::from_bits(HostFixture.create_event(device, options)?.to_bits()))
    }

    fn destroy_event(&self, event: RawEvent<Mutant>) -> Outcome {
        HostFixture.destroy_event(RawEvent::from_bits(event.to_bits()))
    }

    fn record_bare<S>(&self, stream: &S, event: RawEvent<Mutant>) -> Outcome
    where
        S: Stream<Backend = Mutant>,
    {
        HostFixture.record_bare(&host_of(stream)?, RawEvent::from_bits(event.to_bits()))
    }

    fn query_bare(&self, event: RawEvent<Mutant>) -> Result<bool, Verdict> {
        HostFixture.query_bare(RawEvent::from_bits(event.to_bits()))
    }

    fn foreign_elsewhere(&self, device: Device) -> Result<MutantForeign, Verdict> {
        let foreign = HostForeign::new(device, StreamOptions::new())?;
        let bits = foreign.raw().to_bits();
        vendor::put_into_context(bits, bits);
        Ok(MutantForeign(foreign))
    }

    fn begin_capture<S>(&self, stream: &S, mode: CaptureMode) -> Outcome
    where
        S: Stream<Backend = Mutant>,
    {
        capture::begin(stream.raw().to_bits(), mode);
        Ok(())
    }

    fn is_capturing<S>(&self, stream: &S) -> Result<bool, Verdict>
    where
        S: Stream<Backend = Mutant>,
    {
        Ok(capture::is_alive(stream.raw().to_bits()))
    }

    fn end_capture<S>(&self, stream: &S, launch: bool) -> Result<Option<usize>, Verdict>
    where
        S: Stream<Backend = Mutant>,
    {
        let nodes = capture::end(stream.raw().to_bits())?;
        let count = nodes.len();
        if launch {
            let stream = host_of(stream)?;
            nodes.into_iter().try_for_each(|node| node(&stream))?;
        }
        Ok(Some(count))
    }

    fn reset(&self, device: Device) -> Outcome {
        vendor::reset(device);
        Ok(())
    }

    /// Does nothing: a device of the mutants is usable right after a reset.
    fn use_again(&self, _device: Device) -> Outcome {
        Ok(())
    }
}
