//! Every call of the contract, on streams and events of every kind: [`operations`].

mod awaits;
mod captures;
mod creation;
mod drops;
mod events;
mod foreign_events;
mod pending;
mod per_thread;
mod retained;
mod streams;

use std::any::Any;

use gpu_stream_core::{EventOptions, Stream};

use self::captures::Capture;
use super::{CallProbe, EventOf, FaultFixture, Feature, Operation, StreamOf, TestStreams};

/// A list of operations under construction.
#[derive(Default)]
struct Table<'w> {
    operations: Vec<Operation<'w>>,
    /// The reasons for which operations were left out, each with their number.
    skipped: Vec<(&'static str, usize)>,
}

impl<'w> Table<'w> {
    /// Adds a call that needs no preparation and no check.
    fn call<T, E: gpu_stream_core::Error>(
        &mut self,
        name: impl Into<String>,
        call: impl Fn() -> Result<T, E> + 'w,
    ) {
        self.add(name, move |probe| {
            let _ = probe.act(&call);
        });
    }

    fn add(&mut self, name: impl Into<String>, run: impl Fn(&CallProbe) + 'w) {
        self.operations.push(Operation { name: name.into(), run: Box::new(run) });
    }

    /// Adds the operations of `add`, which need a feature. Leaves them out, and counts them, if the vendor lacks it.
    fn add_with<V: FaultFixture>(&mut self, feature: Feature, add: impl FnOnce(&mut Self)) {
        let before = self.operations.len();
        add(self);
        if let Some(reason) = V::lacks(feature) {
            let count = self.operations.drain(before..).count();
            match self.skipped.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, skipped)) => *skipped += count,
                None => self.skipped.push((reason, count)),
            }
        }
    }
}

/// Returns all operations on `test_streams`. The second value has the reasons for which operations were left out, each
/// with their number.
pub fn operations<V: FaultFixture>(
    test_streams: &TestStreams<V>,
) -> (Vec<Operation<'_>>, Vec<(&'static str, usize)>) {
    let mut table = Table::default();
    creation::add_new(&mut table, test_streams);
    creation::add_wrap(&mut table, test_streams);
    streams::add_streams(&mut table, test_streams);
    events::add_events(&mut table, test_streams);
    streams::add_ordering(&mut table, test_streams);
    table.add_with::<V>(Feature::PerThreadStream, |table| {
        per_thread::add_calls(table, test_streams);
        per_thread::add_thread_lifetime(table, test_streams);
    });
    pending::add_calls(&mut table, test_streams);
    pending::add_drops(&mut table, test_streams);
    table.add_with::<V>(Feature::Capture, |table| captures::add_captures(table, test_streams));
    retained::add_retained(&mut table, test_streams);
    drops::add_drops(&mut table, test_streams);
    streams::add_new_streams(&mut table, test_streams);
    foreign_events::add_foreign_events(&mut table, test_streams);
    foreign_events::add_interprocess(&mut table, test_streams);
    awaits::add_awaits(&mut table, test_streams);
    (table.operations, table.skipped)
}

/// Returns the value of a call where no fault is set. A panic means that an object has become
/// unusable.
#[track_caller]
fn expect_ok<T, E: std::fmt::Display>(what: &str, answer: Result<T, E>) -> T {
    match answer {
        Ok(value) => value,
        Err(error) => panic!("{what}, where nothing fails: {error}"),
    }
}

/// The value of a call, to be dropped where no fault is set.
type Answer<V> = Result<Box<dyn Any>, super::ErrorOf<V>>;

fn boxed<T: 'static, E>(answer: Result<T, E>) -> Result<Box<dyn Any>, E> {
    answer.map(|value| Box::new(value) as Box<dyn Any>)
}

fn recorded_event<V: FaultFixture>(stream: &StreamOf<V>, options: EventOptions) -> EventOf<V> {
    let event = expect_ok("an event", stream.new_event(options));
    expect_ok("a record", stream.record(&event));
    event
}

/// Returns every valid combination of event options.
fn options() -> [(&'static str, EventOptions); 4] {
    let build = |builder: gpu_stream_core::EventOptionsBuilder| builder.build().expect("options");
    [
        ("plain", EventOptions::new()),
        ("timed", EventOptions::timed()),
        ("blocking", build(EventOptions::builder().blocking(true))),
        ("interprocess", build(EventOptions::builder().interprocess(true))),
    ]
}
