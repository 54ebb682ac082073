//! The host backend as a contender.

use gpu_stream_core::{Backend, Device, Stream, StreamOptions};
use gpu_stream_host::{Host, HostEvent, HostStream};

use super::{Contender, Queue};

/// The host backend, as a program uses it.
pub struct OnHost(Device);

impl Contender for OnHost {
    const NAME: &'static str = "gpu-stream-host";

    type Stream = HostStream;

    fn start() -> Self {
        OnHost(Host::device(0).expect("there is a device 0"))
    }

    fn stream(&self) -> HostStream {
        Host::new_stream(self.0, StreamOptions::new()).expect("the device has streams")
    }
}

impl Queue for HostStream {
    type Event = HostEvent;

    fn launch(&self, task: impl FnOnce() + Send + 'static) {
        HostStream::launch(self, task).expect("the stream is alive");
    }

    fn record(&self) -> HostEvent {
        self.record_event().expect("the stream is alive")
    }

    fn wait(&self, event: &HostEvent) {
        self.wait_event(event).expect("the stream is alive");
    }

    fn synchronize(&self) {
        Stream::synchronize(self).expect("no task panics");
    }
}
