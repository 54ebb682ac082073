//! What calls leave behind: the runtime calls of each operation, live objects, the last error.

use std::sync::mpsc::channel;

use gpu_stream_core::{Backend, Event, EventOptions, Stream};
use gpu_stream_hip::{Hip, HipError};
use gpu_stream_test_support::{Vendor, ptr};

use crate::support::bare::{bare, fetch_error, keeps_errors, new_stream, peek_error, version};
use crate::support::layer::{Layer, real_version};
use crate::support::{OnHip, device, operations, own_event, own_stream, skip, wrap};

pub fn every_call_succeeds() {
    let layer = Layer::get();
    let world = operations::World::new();
    let nothing = |_: &str| ();
    operations::run_all(&world, &nothing, &nothing);
    // The pool grows until it has an event for each record that is pending at once.
    // Before HIP 5.5, an event stays alive for the capture that it was recorded in.
    let captured = if version() < 50_500_000 { 3 * OnHip::places() as u64 } else { 0 };
    let mut leaked = (0, 0);
    for _ in 0..30 {
        let live = (layer.live_streams(), layer.live_events());
        operations::run_all(&world, &nothing, &nothing);
        leaked = (layer.live_streams() - live.0, layer.live_events().saturating_sub(live.1));
        if leaked == (0, captured) {
            break;
        }
    }
    assert_eq!(leaked, (0, captured), "leaked streams and events");
    assert_eq!(layer.stale(), 0, "calls that used a destroyed stream");
}

/// Returns `true` if the real library treats its last error as the version that the layer presents.
fn plays_last_error() -> bool {
    let family = |version: i32| match version {
        ..1_000_000 => "the NVIDIA platform, which stores not ready too",
        1_000_000..70_000_000 => "replaced by each call",
        _ => "kept until it is fetched",
    };
    real_version().is_some_and(|real| family(version()) == family(real))
}

/// Counts the runtime calls of the most frequent operations on an explicit stream.
pub fn runtime_calls_of_frequent_operations() {
    if real_version().is_some_and(|real| real != version() && real < 60_000_000) {
        skip("the real library lacks functions of the version that the layer presents");
    }
    let layer = Layer::get();
    let (one, other) = (own_stream(), own_stream());
    one.wait_stream(&other).unwrap();
    let event = other.record_event().unwrap();
    let version = version().to_string();
    // The capture mode is exchanged twice in the versions that need it.
    let mode = if matches!(&version[..1], "5" | "6" | "7") { 0 } else { 2 };
    let query = if version.starts_with('5') { 2 } else { 4 };
    // Since HIP 7, a query also checks whether a reset has freed the stream, if that has an owner.
    let query = query + if matches!(&version[..1], "7" | "9") { 1 + mode } else { 0 };
    let count_now = |call: &dyn Fn()| {
        layer.calls("");
        call();
        layer.calls("")
    };
    // A query of a busy stream makes more calls.
    let count = |call: &dyn Fn()| {
        [&one, &other].into_iter().for_each(|stream| OnHip::synchronize(ptr::<OnHip>(stream)));
        count_now(call)
    };
    let raw = one.raw();
    // SAFETY: `one` outlives the wrapper.
    let unchecked = || drop(unsafe { Hip::stream_from_raw_unchecked(raw, device()) }.unwrap());
    // SAFETY: `one` outlives the wrapper.
    let checked = || drop(unsafe { Hip::stream_from_raw(raw, Some(device())) }.unwrap());
    // The pool has only `event`, so one is created before the count.
    one.wait_stream(&other).unwrap();
    assert_eq!(count(&unchecked), 0, "wrapping unchecked");
    assert_eq!(count(&|| one.wait_stream(&one.clone()).unwrap()), 0, "wait for the same stream");
    assert_eq!(count(&checked), 1 + mode, "wrapping: hipStreamGetDevice, mode");
    assert_eq!(count(&|| drop(one.query())), query, "query: check, mode, query, mode");
    assert_eq!(count(&|| one.synchronize().unwrap()), query, "synchronize, idle: calls of query");
    assert_eq!(count(&|| one.wait_event(&event).unwrap()), 2, "wait_event: check, wait");
    let own = one.record_event().unwrap();
    assert_eq!(count(&|| one.wait_event(&own).unwrap()), 1, "wait for its own record: check");
    drop(own);
    assert_eq!(count(&|| other.record(&event).unwrap()), 3, "record: check, record, check");
    let live = layer.live_events();
    let blocking = own_event(EventOptions::builder().blocking(true).build().unwrap());
    // The event has two handles, which alternate, each with a marker.
    (0..2).for_each(|_| other.record(&blocking).unwrap());
    let of_blocking = count(&|| other.record(&blocking).unwrap());
    assert_eq!(of_blocking, 4, "blocking: check, record, record, check");
    assert_eq!(layer.live_events(), live + 4);
    drop(blocking);
    assert_eq!(layer.live_events(), live);
    drop(other.record_event().unwrap());
    assert_eq!(count(&|| drop(other.record_event())), 3, "record_event: check, record, check");
    // HIP's NVIDIA platform keeps no events of a captured source, which is not checked there.
    let on_cuda = usize::from(version == "12090");
    let wait = count(&|| one.wait_stream(&other).unwrap());
    assert_eq!(wait, 4 - on_cuda, "wait_stream: check, check, record, wait");
    let third = own_stream();
    third.raw();
    one.fork([&other]).unwrap();
    let fork = count(&|| one.fork([&other, &third, &one]).unwrap());
    assert_eq!(fork, 6 - on_cuda, "fork: check, check, record, wait; check, wait");
    let join = count(&|| one.join([&other, &third, &one]).unwrap());
    assert_eq!(join, 7 - on_cuda, "join: check, check, record, wait; check, record, wait");
    // In HIP 6.4 the mode makes no difference, and the stream is checked instead.
    let event_query = match &version[..1] {
        "5" => 1,
        "6" => 2,
        _ => 3,
    };
    assert_eq!(count(&|| drop(event.query())), event_query, "event query: mode, query, mode");
    if !plays_last_error() {
        return;
    }
    // "Not ready" is cleared from the last error in the versions that store it there.
    let _gate = OnHip::gate(ptr::<OnHip>(&one));
    let is_stored = matches!(&version[..1], "5" | "6") || version == "12090";
    let peek = if is_stored { 2 } else { 1 };
    assert_eq!(count_now(&|| drop(one.query())), query + peek, "query, not ready");
    assert_eq!(peek_error(), 0);
}

/// Counts the runtime calls of orders between a caller's stream and streams of this crate whose handles nobody has.
pub fn runtime_calls_of_side_streams() {
    let layer = Layer::get();
    let caller = wrap(new_stream(0, 1, 0));
    let sides: Vec<_> = (0..16).map(|_| own_stream()).collect();
    let side = &sides[0];
    let count = |call: &dyn Fn() -> Result<(), HipError>| {
        // Once before, so that it creates nothing.
        call().unwrap();
        layer.calls("");
        call().unwrap();
        layer.calls("")
    };
    // The checks of a source, which up to 6.4 also find a stream that a reset has destroyed.
    let (of_caller, of_side) = match version() {
        ..1_000_000 => (0, 0),
        1_000_000..70_000_000 => (1, 1),
        _ => (1, 0),
    };
    // On the NVIDIA platform, the caller may have made a waiting stream part of its capture.
    let of_waiter = if version() < 1_000_000 { 1 } else { 0 };
    let record = if version() < 70_000_000 { 2 } else { 1 };
    assert_eq!(count(&|| side.record_event().map(drop)), record, "record_event: check, record");
    assert_eq!(
        count(&|| side.wait_stream(&caller)),
        of_waiter + of_caller + 2,
        "wait_stream: check, record, wait"
    );
    assert_eq!(count(&|| caller.wait_stream(side)), 1 + of_side + 2, "wait_stream of the caller");
    let fork = of_caller + 1 + 16 * (of_waiter + 1);
    assert_eq!(count(&|| caller.fork(&sides)), fork, "fork: check, record, 16 waits");
    // On the NVIDIA platform, any source may have made the caller part of its capture.
    let of_join = if version() < 1_000_000 { 16 } else { 1 };
    let join = of_join + 16 * (of_side + 2);
    assert_eq!(count(&|| caller.join(&sides)), join, "join: check, 16 records and waits");
    // Once their handles are known, each stream is checked before a wait.
    sides.iter().for_each(|side| _ = side.raw());
    assert_eq!(count(&|| side.record_event().map(drop)), 3, "record_event, handle known");
    assert_eq!(count(&|| side.wait_stream(&caller)), of_caller + 3, "wait_stream, handle known");
    assert_eq!(count(&|| caller.fork(&sides)), of_caller + 1 + 32, "fork, handles known");
    let join = of_join + 16 * (of_caller + 2);
    assert_eq!(count(&|| caller.join(&sides)), join, "join, handles known");
}

/// An error that the caller has not fetched stays while calls of the crate succeed, in versions that
/// keep errors. A failed call of the crate replaces it, and leaves no error of its own.
pub fn callers_last_error_is_preserved() {
    if !plays_last_error() {
        skip(
            "the real library treats its last error otherwise than the version that the layer presents",
        );
    }
    let layer = Layer::get();
    let (one, other) = (own_stream(), own_stream());
    let event = one.record_event().unwrap();
    let fail = || {
        // SAFETY: the function accepts any number.
        assert_eq!(unsafe { (bare().set_device)(9_999) }, 101);
    };
    let expected = if keeps_errors() { 101 } else { 0 };
    let calls: [(&str, &str, &dyn Fn() -> bool); 7] = [
        ("hipStreamQuery", "query", &|| one.query().is_ok()),
        ("hipEventRecord", "record", &|| one.record(&event).is_ok()),
        ("hipEventRecord", "record_event", &|| one.record_event().is_ok()),
        ("hipStreamWaitEvent", "wait_event", &|| other.wait_event(&event).is_ok()),
        ("hipStreamWaitEvent", "wait_stream", &|| other.wait_stream(&one).is_ok()),
        ("hipEventRecord", "join", &|| one.join([&other]).is_ok()),
        ("hipEventQuery", "event query", &|| event.query().is_ok()),
    ];
    for (function, name, call) in calls {
        // A warm-up, so that the call creates nothing.
        assert!(call());
        fail();
        assert!(call(), "{name}");
        assert_eq!(peek_error(), expected, "{name} succeeded");
        fetch_error();
        for code in [2, 700] {
            fail();
            layer.fail(function, code);
            assert!(!call(), "{name}");
            layer.work();
            assert_eq!(peek_error(), 0, "{name} failed with {code}");
        }
    }
    // "Not ready" is a result. On the NVIDIA platform it replaces the last error.
    let _gate = OnHip::gate(ptr::<OnHip>(&one));
    let on_cuda = version() < 1_000_000;
    fail();
    assert!(!one.query().unwrap());
    assert_eq!(peek_error(), if on_cuda { 0 } else { expected }, "query, not ready");
}

/// A function that exists but returns "not supported" counts as missing, if the backend can do without it. The
/// version is one whose calls need the capture mode, and the layer has all functions.
pub fn optional_function_is_not_supported() {
    const NOT_SUPPORTED: i32 = 801;
    let layer = Layer::get();
    let device = Hip::device(0).expect("device 0");
    let stream = own_stream();

    layer.fail("hipStreamGetDevice", NOT_SUPPORTED);
    for given in [None, Some(device)] {
        // SAFETY: `stream` outlives the wrapper.
        let wrapped = unsafe { Hip::stream_from_raw(stream.raw(), given) }.expect("wrapping");
        assert_eq!(wrapped.device(), device);
    }

    layer.fail("hipThreadExchangeStreamCaptureMode", NOT_SUPPORTED);
    drop(own_stream());
    assert!(stream.query().expect("query"));

    layer.fail("hipLaunchHostFunc", NOT_SUPPORTED);
    let (send, receive) = channel();
    stream.launch_host_func(Box::new(move || send.send(()).unwrap())).expect("the older call");
    receive.recv().expect("the closure ran");
    assert!(receive.recv().is_err(), "the closure was dropped");
    layer.work();
}
