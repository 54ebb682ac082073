//! The fixture of [`Any`], over that of the host backend: [`AnyFixture`].

use gpu_stream::{
    Any, AnyRawEvent, AnyRawStream, AnyStream, Backend, BackendKind, Device, EventOptions,
    HandleKind, Host, HostStream, Stream, StreamOptions, StreamOwner,
};
use gpu_stream_conformance::fixtures::{HostData, HostFixture, HostForeign};
use gpu_stream_conformance::{Fixture, Outcome, Verdict};

/// The host's fixture, for streams of `Any` that are streams of the host.
pub struct AnyFixture(pub HostFixture);

/// The host's foreign stream, as an owner of a handle that names its backend.
pub struct Foreign(HostForeign);

// SAFETY: the handle is that of the value inside, which upholds the contract.
unsafe impl StreamOwner<Any> for Foreign {
    fn raw_stream(&self) -> AnyRawStream {
        self.0.raw_stream().into()
    }
}

fn host_of(stream: &AnyStream) -> Result<&HostStream, Verdict> {
    stream.downcast_ref().ok_or_else(|| Verdict::failed("a stream of the host is something else"))
}

impl Fixture for AnyFixture {
    type Backend = Any;
    type Foreign = Foreign;
    type Gate = <HostFixture as Fixture>::Gate;
    type Data = HostData;

    // Those of other backends that are ready on this machine need fixtures of their own.
    fn devices(&self) -> Result<Vec<Device>, Verdict> {
        self.0.devices()
    }

    fn device_backend(&self) -> BackendKind {
        self.0.device_backend()
    }

    fn raw_stream(&self, bits: usize) -> AnyRawStream {
        self.0.raw_stream(bits).into()
    }

    fn foreign(&self, device: Device, options: StreamOptions) -> Result<Foreign, Verdict> {
        Ok(Foreign(self.0.foreign(device, options)?))
    }

    fn foreign_works(&self, foreign: &Foreign) -> Outcome {
        self.0.foreign_works(&foreign.0)
    }

    fn gate<S: Stream<Backend = Any>>(&self, stream: &S) -> Result<Self::Gate, Verdict> {
        let (raw, device) = (stream.raw().typed::<Host>()?, stream.device());
        if raw.kind() == HandleKind::PerThread {
            return self.0.gate(&Host::per_thread_stream(device)?);
        }
        // SAFETY: the wrapper is dropped before `stream`, and nothing is recorded through it.
        self.0.gate(&unsafe { Host::stream_from_raw(raw, Some(device)) }?)
    }

    fn open(&self, gate: &Self::Gate) {
        self.0.open(gate);
    }

    fn data(&self, device: Device, value: u32) -> Result<HostData, Verdict> {
        self.0.data(device, value)
    }

    fn store<S: Stream<Backend = Any>>(&self, stream: &S, data: &HostData, value: u32) -> Outcome {
        data.store(stream, value)
    }

    fn copy<S: Stream<Backend = Any>>(
        &self,
        stream: &S,
        from: &HostData,
        to: &HostData,
    ) -> Outcome {
        from.copy(stream, to)
    }

    fn load(&self, data: &HostData) -> Result<u32, Verdict> {
        self.0.load(data)
    }

    fn settle(&self, streams: &[&AnyStream]) {
        let streams: Vec<_> = streams.iter().filter_map(|stream| host_of(stream).ok()).collect();
        self.0.settle(&streams);
    }

    fn finishes(&self, streams: &[&AnyStream]) -> Result<bool, Verdict> {
        let streams: Result<Vec<_>, _> = streams.iter().map(|stream| host_of(stream)).collect();
        self.0.finishes(&streams?)
    }

    fn fault(&self, stream: &AnyStream) -> Outcome {
        self.0.fault(host_of(stream)?)
    }

    fn detects_bad_handles(&self) -> bool {
        self.0.detects_bad_handles()
    }

    fn detects_calls_from_work(&self) -> bool {
        self.0.detects_calls_from_work()
    }

    fn independent(&self) -> usize {
        self.0.independent()
    }

    fn make_current(&self, device: Device) -> Outcome {
        self.0.make_current(device)
    }

    fn thread_state(&self) -> Result<String, Verdict> {
        self.0.thread_state()
    }

    fn raw_event(&self, bits: usize) -> Result<AnyRawEvent, Verdict> {
        Ok(self.0.raw_event(bits)?.into())
    }

    fn create_event(&self, device: Device, options: EventOptions) -> Result<AnyRawEvent, Verdict> {
        Ok(self.0.create_event(device, options)?.into())
    }

    fn destroy_event(&self, event: AnyRawEvent) -> Outcome {
        self.0.destroy_event(event.typed::<Host>()?)
    }

    fn record_bare<S>(&self, stream: &S, event: AnyRawEvent) -> Outcome
    where
        S: Stream<Backend = Any>,
    {
        let (raw, device) = (stream.raw().typed::<Host>()?, stream.device());
        // SAFETY: the wrapper is dropped before `stream`; the host validates every handle.
        let stream = unsafe { Host::stream_from_raw(raw, Some(device)) }?;
        self.0.record_bare(&stream, event.typed::<Host>()?)
    }

    fn query_bare(&self, event: AnyRawEvent) -> Result<bool, Verdict> {
        self.0.query_bare(event.typed::<Host>()?)
    }
}
