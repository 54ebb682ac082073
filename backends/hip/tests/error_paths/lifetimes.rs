//! Destruction of streams beside calls that use them.

use std::sync::atomic::{AtomicBool, Ordering};

use gpu_stream_core::{Backend, Event, EventOptions, EventStatus, Stream};
use gpu_stream_faults::At;
use gpu_stream_hip::Hip;
use gpu_stream_test_support::{Vendor, ptr};

use crate::support::bare::peek_error;
use crate::support::layer::{Layer, await_event};
use crate::support::{OnHip, device, own_event, own_stream};

/// An event of a destroyed stream does not reach the runtime, in whatever order they are dropped.
pub fn destroyed_streams_are_not_used() {
    let layer = Layer::get();
    let reader = own_stream();
    let use_event = |event: &gpu_stream_hip::HipEvent| {
        event.synchronize().unwrap();
        assert_eq!(event.status().unwrap(), EventStatus::Complete);
        reader.wait_event(event).unwrap();
        let _ = event.elapsed_since(event);
    };
    let blocking = EventOptions::builder().blocking(true).build().unwrap();
    for options in [EventOptions::new(), EventOptions::timed(), blocking] {
        let event = own_event(options);
        let streams = layer.live_streams();
        for _ in 0..3 {
            let stream = own_stream();
            stream.record(&event).unwrap();
            drop(stream);
            assert_eq!(layer.live_streams(), streams + 1, "the event keeps one stream");
            use_event(&event);
        }
        // The layer ends a thread's own stream with the thread, as HIP does. The record is on a helper stream.
        let event = std::thread::spawn(move || {
            Hip::per_thread_stream(device()).unwrap().record(&event).unwrap();
            event
        });
        let event = event.join().unwrap();
        assert_eq!(layer.live_streams(), streams + 1, "the event keeps the thread's helper alone");
        use_event(&event);
        reader.record(&event).unwrap();
        use_event(&event);
    }
    assert_eq!(layer.stale(), 0, "calls that used a destroyed stream");
}

/// During a query of an event, the event's stream stays alive. Neither a record on another stream nor
/// the end of the stream's thread destroys it.
pub fn event_query_keeps_the_stream_alive() {
    let layer = Layer::get();
    let other = own_stream();
    let event = own_event(EventOptions::new());
    for is_per_thread in [false, true] {
        let (recorded, may_end) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let recorder = scope.spawn(|| {
                if is_per_thread {
                    Hip::per_thread_stream(device()).unwrap().record(&event).unwrap();
                } else {
                    let stream = own_stream();
                    stream.record(&event).unwrap();
                }
                recorded.store(true, Ordering::SeqCst);
                while !may_end.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                if !is_per_thread {
                    other.record(&event).unwrap();
                }
            });
            while !recorded.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            event.synchronize().unwrap();
            layer.hold("hipEventQuery", At::Always);
            let querying = scope.spawn(|| event.query().unwrap());
            layer.wait_until_held();
            may_end.store(true, Ordering::SeqCst);
            // Leaves time for what must not happen.
            for _ in 0..10_000 {
                std::thread::yield_now();
            }
            layer.work();
            assert!(querying.join().unwrap());
            recorder.join().unwrap();
        });
        await_event(&event);
        assert_eq!(layer.stale(), 0, "per-thread stream: {is_per_thread}");
    }
}

/// A stream that is busy when it is dropped is destroyed once it is idle.
pub fn busy_streams_are_destroyed_once_idle() {
    let layer = Layer::get();
    let keep = own_stream();
    let streams = layer.live_streams();
    let gates = [(); 5].map(|()| {
        let busy = own_stream();
        OnHip::gate(ptr::<OnHip>(&busy))
    });
    assert_eq!(layer.live_streams(), streams + 5, "busy streams were destroyed");
    assert!(keep.query().unwrap());
    assert_eq!(peek_error(), 0);
    drop(gates);
    // Each call checks some of them, and they become idle at some time.
    for _ in 0..100_000 {
        drop(own_stream());
        if layer.live_streams() == streams {
            break;
        }
        std::thread::yield_now();
    }
    assert_eq!(layer.live_streams(), streams, "idle streams were not destroyed");
}

/// A stream that may be busy is not destroyed, however often the runtime fails to tell. A stream of a broken device is
/// left to the runtime.
pub fn streams_are_destroyed_once_the_runtime_can_tell() {
    const UNKNOWN: i32 = 999;
    const LAUNCH_FAILED: i32 = 719;
    let layer = Layer::get();
    let keep = own_stream();
    let streams = layer.live_streams();
    let make_calls = || (0..100).for_each(|_| _ = keep.capture_status().unwrap());
    for (code, left) in [(UNKNOWN, 0), (LAUNCH_FAILED, 1)] {
        let stream = own_stream();
        layer.fail("hipStreamQuery", code);
        drop(stream);
        make_calls();
        assert_eq!(layer.live_streams(), streams + 1, "{code}: destroyed, and it may be busy");
        layer.work();
        make_calls();
        assert_eq!(layer.live_streams(), streams + left, "{code}");
    }
    assert_eq!(peek_error(), 0);
}

/// `hipEventDestroy` follows the event's pointer to its stream, so the event lets no other thread destroy the stream
/// before the call returns. Without that, HIP 7.2 throws an exception at times.
pub fn event_is_destroyed_before_its_stream() {
    let (layer, other) = (Layer::get(), own_stream());
    let blocking = EventOptions::builder().blocking(true).build().unwrap();
    for (options, is_known) in
        [(EventOptions::timed(), false), (blocking, false), (EventOptions::timed(), true)]
    {
        let event = own_event(options);
        let stream = own_stream();
        stream.record(&event).unwrap();
        if is_known {
            event.raw();
        }
        event.synchronize().unwrap();
        // From here on, the event alone keeps the stream.
        drop(stream);
        let streams = layer.live_streams();
        layer.hold_next("hipEventDestroy");
        std::thread::scope(|scope| {
            let _work = layer.work_at_drop();
            scope.spawn(|| {
                // A thread that has made no call yet leaves the destruction to others.
                other.query().unwrap();
                drop(event);
            });
            layer.wait_until_held();
            // Each public call destroys what can be destroyed.
            for _ in 0..100 {
                other.query().unwrap();
            }
            assert_eq!(layer.live_streams(), streams, "{options:?}, known: {is_known}");
            layer.work();
        });
        while layer.live_streams() >= streams {
            other.query().unwrap();
        }
    }
}
