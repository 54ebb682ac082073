//! The worked example of the crate's documentation, included verbatim. Its fixture passes the
//! suite. It makes work and gates with the driver, as `Fixture` requires, and not with the wrapper
//! under test.

use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;

use gpu_stream_conformance::{fixtures, harness};
use gpu_stream_core::{ContractError, Event, HostFunc};
use gpu_stream_host::{HostError, HostEvent};

include!("../src/worked_example.rs");

/// A broken wrapper: it has a handle and a device, and refuses and counts all other calls.
struct Broken {
    inside: HostStream,
    calls: AtomicUsize,
}

impl Broken {
    fn refuse<T>(&self, operation: &'static str) -> Result<T, HostError> {
        self.calls.fetch_add(1, SeqCst);
        Err(ContractError::NotPermitted { operation, reason: "the wrapper is broken" }.into())
    }
}

// SAFETY: no call returns `Ok`.
unsafe impl Stream for Broken {
    type Backend = Host;

    fn raw(&self) -> RawStream<Host> {
        self.inside.raw()
    }

    fn device(&self) -> Device {
        self.inside.device()
    }

    fn query(&self) -> Result<bool, HostError> {
        self.refuse("query")
    }

    fn synchronize(&self) -> Result<(), HostError> {
        self.refuse("synchronize")
    }

    fn record(&self, _: &HostEvent) -> Result<(), HostError> {
        self.refuse("record")
    }

    fn wait_event(&self, _: &HostEvent) -> Result<(), HostError> {
        self.refuse("wait_event")
    }

    fn record_event(&self) -> Result<HostEvent, HostError> {
        self.refuse("record_event")
    }

    fn launch_host_func(&self, _: HostFunc) -> Result<(), HostError> {
        self.refuse("launch_host_func")
    }
}

/// Checks that the fixture's work and gates do not call the wrapper.
fn check_uses_the_driver(fixture: &impl Fixture<Backend = Host>) {
    for device in Host::devices().unwrap() {
        let owned = Host::new_stream(device, StreamOptions::new()).unwrap();
        for inside in [owned, Host::default_stream(device).unwrap()] {
            let stream = Broken { inside: inside.clone(), calls: AtomicUsize::new(0) };
            let gate = fixture.gate(&stream).unwrap();
            let (data, copy) = (fixture.data(device, 0).unwrap(), fixture.data(device, 0).unwrap());
            fixture.store(&stream, &data, 7).unwrap();
            fixture.copy(&stream, &data, &copy).unwrap();
            fixture.settle(&[&inside]);
            assert_eq!(fixture.load(&copy).unwrap(), 0, "the gate does not hold");
            fixture.open(&gate);
            let event = inside.record_event().unwrap();
            event.synchronize().unwrap();
            assert_eq!(fixture.load(&copy).unwrap(), 7);
            assert_eq!(stream.calls.into_inner(), 0, "the wrapper was called");
        }
    }
}

fn main() -> ExitCode {
    check_uses_the_driver(&MyFixture);
    check_uses_the_driver(&fixtures::HostFixture::new());
    harness::main(MyFixture)
}
