//! For tests: a bare driver that does nothing but count its calls, beside the host backend.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gpu_stream_core::{Device, dynamic};
use gpu_stream_host::Host;

use crate::fixtures::{HostFixture, HostForeign};
use crate::{Bare, BenchFixture, Failed, Job};

/// How often each function was called.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

#[derive(Clone, Default)]
pub(crate) struct Counting {
    counts: Arc<Mutex<Counts>>,
    /// What fails.
    pub(crate) broken: Option<&'static str>,
}

impl Counting {
    fn call(&self, function: &'static str) -> Result<(), Failed> {
        *self.counts.lock().unwrap().entry(function).or_default() += 1;
        if self.broken == Some(function) { Err(Failed { function, code: 700 }) } else { Ok(()) }
    }

    /// The counts since the last question.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }
}

/// An event whose end is counted too.
pub(crate) struct CountedEvent(Counting);

impl Drop for CountedEvent {
    fn drop(&mut self) {
        let _ = self.0.call("event_destroy");
    }
}

impl Bare for Counting {
    type Stream = HostForeign;
    type Event = CountedEvent;

    fn calls(&self, job: Job) -> &'static str {
        job.name()
    }

    fn new_event(&self, _timed: bool) -> Result<CountedEvent, Failed> {
        self.call("event_create")?;
        Ok(CountedEvent(self.clone()))
    }

    fn new_stream(&self) -> Result<HostForeign, Failed> {
        self.call("stream_create")?;
        HostFixture::new().map_err(|_| Failed { function: "host", code: 1 })?.foreign()
    }

    fn check_device(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("check_device")
    }

    fn capture_status(&self, _: &HostForeign) -> Result<bool, Failed> {
        self.call("capture_status").map(|()| false)
    }

    fn query_only(&self, _: &HostForeign) -> Result<bool, Failed> {
        self.call("query").map(|()| true)
    }

    fn synchronize_only(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("synchronize")
    }

    fn record(&self, _: &CountedEvent, _: &HostForeign) -> Result<(), Failed> {
        self.call("record")
    }

    fn wait_event(&self, _: &HostForeign, _: &CountedEvent) -> Result<(), Failed> {
        self.call("wait_event")
    }

    fn event_query(&self, _: &CountedEvent) -> Result<bool, Failed> {
        self.call("event_query").map(|()| true)
    }

    fn event_synchronize(&self, _: &CountedEvent) -> Result<(), Failed> {
        self.call("event_synchronize")
    }

    fn priority(&self, _: &HostForeign) -> Result<i32, Failed> {
        self.call("priority").map(|()| 0)
    }

    fn id(&self, stream: &HostForeign) -> Result<u64, Failed> {
        self.refuse_captured(stream)?;
        self.call("id").map(|()| 1)
    }

    fn elapsed(&self, _: &CountedEvent, _: &CountedEvent) -> Result<f32, Failed> {
        self.call("elapsed").map(|()| 0.0)
    }

    fn host_func(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("host_func")
    }
}

pub(crate) struct FakeGround {
    host: HostFixture,
    pub(crate) bare: Counting,
    /// What the driver lacks.
    pub(crate) lacks: Option<Job>,
}

impl FakeGround {
    pub(crate) fn new(broken: Option<&'static str>) -> Self {
        let bare = Counting { broken, ..Counting::default() };
        FakeGround { host: HostFixture::new().unwrap(), bare, lacks: None }
    }
}

impl BenchFixture for FakeGround {
    type Backend = Host;
    type Foreign = HostForeign;
    type Bare = Counting;

    fn device(&self) -> Device {
        self.host.device()
    }

    fn dynamic(&self) -> &dyn dynamic::DynBackend {
        &Host
    }

    fn foreign(&self) -> Result<HostForeign, Failed> {
        self.host.foreign()
    }

    fn bare(&self) -> Option<&Counting> {
        Some(&self.bare)
    }

    fn enter_thread(&self) -> Result<(), Failed> {
        self.bare.call("enter_thread")
    }

    fn skip_reason(&self, job: Job) -> Option<String> {
        (self.lacks == Some(job)).then(|| "this driver has no such call".into())
    }
}
