//! The mutants' fixture: the host backend's, with gates that hold whatever the mutation does.

use std::sync::Arc;

use gpu_stream_conformance::fixtures::{HostData, HostFixture, HostForeign};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};
use gpu_stream_core::dynamic::DynBackend;
use gpu_stream_core::{Device, RawStream, Stream, StreamOptions, StreamOwner};
use gpu_stream_host::{Gate, HostStream};

use crate::backend::{CURRENT_DEVICE, LAST_ERROR, Mutant};
use crate::event::MutantEvent;
use crate::mutation::bypass;
use crate::stream::MutantStream;

pub struct MutantFixture;

pub struct MutantForeign(HostForeign);

// SAFETY: the handle is that of the stream inside, which lives as long as this.
unsafe impl StreamOwner<Mutant> for MutantForeign {
    fn raw_stream(&self) -> RawStream<Mutant> {
        RawStream::from_bits(self.0.raw().to_bits())
    }
}

fn inside<'s>(streams: &[&'s MutantStream]) -> Vec<&'s HostStream> {
    streams.iter().map(|stream| &stream.host).collect()
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
        Ok(MutantForeign(HostForeign::new(device, options)?))
    }

    fn foreign_works(&self, foreign: &MutantForeign) -> Outcome {
        foreign.0.works()
    }

    fn gate<S: Stream<Backend = Mutant>>(&self, stream: &S) -> Result<Arc<Gate>, Verdict> {
        let gate = Arc::new(Gate::new(stream.device())?);
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
        from.copy(stream, to)
    }

    fn load(&self, data: &HostData) -> Result<u32, Verdict> {
        Ok(data.load())
    }

    fn settle(&self, streams: &[&MutantStream]) {
        HostFixture.settle(&inside(streams));
    }

    fn finishes(&self, streams: &[&MutantStream]) -> Result<bool, Verdict> {
        // The mutants that owe something to a stream pay it when they are asked.
        for stream in streams {
            stream.pay()?;
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

    fn make_current(&self, device: Device) -> Outcome {
        CURRENT_DEVICE.set(device.ordinal());
        Ok(())
    }

    fn thread_state(&self) -> Result<String, Verdict> {
        let last_error = LAST_ERROR.with_borrow(Clone::clone);
        Ok(format!("device {}, last error {last_error:?}", CURRENT_DEVICE.get()))
    }
}
