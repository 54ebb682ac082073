//! A fixture for tests: the host backend, with a bare driver that only counts its calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gpu_stream_core::{Device, dynamic};
use gpu_stream_host::Host;

use crate::fixtures::{HostFixture, HostForeign};
use crate::{Bare, BenchFixture, Failed, Job, UnsafeCall};

/// The number of calls of each function.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

/// A bare driver that counts its calls.
#[derive(Clone, Default)]
pub(crate) struct CountingDriver {
    counts: Arc<Mutex<Counts>>,
    /// The function that fails, if any.
    pub(crate) failing: Option<&'static str>,
}

impl CountingDriver {
    fn call(&self, function: &'static str) -> Result<(), Failed> {
        *self.counts.lock().unwrap().entry(function).or_default() += 1;
        if self.failing == Some(function) { Err(Failed { function, code: 700 }) } else { Ok(()) }
    }

    /// Returns the counts since the previous call of `take`.
    pub(crate) fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts.lock().unwrap())
    }
}

/// An event whose destruction is counted as well.
pub(crate) struct CountedEvent(CountingDriver);

impl Drop for CountedEvent {
    fn drop(&mut self) {
        let _ = self.0.call("event_destroy");
    }
}

impl Bare for CountingDriver {
    type Stream = HostForeign;
    type Event = CountedEvent;

    fn calls(&self, job: Job) -> &'static str {
        job.name()
    }

    fn careful_calls(&self, job: Job) -> Option<String> {
        Some(format!("{}, carefully", job.name()))
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

    fn query(&self, _: &HostForeign) -> Result<bool, Failed> {
        self.call("query").map(|()| true)
    }

    fn query_repeatedly(&self, _: &HostForeign) -> Result<bool, Failed> {
        self.call("query_repeatedly").map(|()| true)
    }

    fn synchronize(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("synchronize")
    }

    fn synchronize_with_status(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("synchronize_with_status")
    }

    fn record(&self, _: &CountedEvent, _: &HostForeign) -> Result<(), Failed> {
        self.call("record")
    }

    fn flush(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("flush")
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

    fn id(&self, _: &HostForeign) -> Result<u64, Failed> {
        self.call("id").map(|()| 1)
    }

    fn elapsed(&self, _: &CountedEvent, _: &CountedEvent) -> Result<f32, Failed> {
        self.call("elapsed").map(|()| 0.0)
    }

    fn host_func(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("host_func")
    }

    fn relaxed<T>(
        &self,
        _: UnsafeCall,
        call: impl FnOnce() -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        self.call("exchange_mode")?;
        let answer = call();
        self.call("exchange_mode")?;
        answer
    }

    fn with_current<T>(&self, call: impl FnOnce() -> Result<T, Failed>) -> Result<T, Failed> {
        self.call("get_current")?;
        call()
    }

    fn begin_capture(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("begin_capture")
    }

    fn end_capture(&self, _: &HostForeign) -> Result<(), Failed> {
        self.call("end_capture")
    }
}

/// The fixture of the host backend with a [`CountingDriver`].
pub(crate) struct FakeFixture {
    host: HostFixture,
    pub(crate) bare: CountingDriver,
    /// The job that the driver has no function for, if any.
    pub(crate) missing: Option<Job>,
}

impl FakeFixture {
    pub(crate) fn new(failing: Option<&'static str>) -> Self {
        let bare = CountingDriver { failing, ..CountingDriver::default() };
        FakeFixture { host: HostFixture::new().unwrap(), bare, missing: None }
    }
}

impl BenchFixture for FakeFixture {
    type Backend = Host;
    type Foreign = HostForeign;
    type Bare = CountingDriver;

    fn device(&self) -> Device {
        self.host.device()
    }

    fn dynamic(&self) -> &dyn dynamic::DynBackend {
        &Host
    }

    fn foreign(&self) -> Result<HostForeign, Failed> {
        self.host.foreign()
    }

    fn bare(&self) -> Option<&CountingDriver> {
        Some(&self.bare)
    }

    fn enter_thread(&self) -> Result<(), Failed> {
        self.bare.call("enter_thread")
    }

    fn skip_reason(&self, job: Job) -> Option<String> {
        (self.missing == Some(job)).then(|| "this driver has no such call".into())
    }
}
