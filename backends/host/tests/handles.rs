//! What is a handle, and what is none.

use std::fmt::Debug;

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, HandleKind, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_host::{Host, HostError, HostStream, raw};

fn assert_no_handle(bits: usize) {
    let raw = RawStream::from_bits(bits);
    let invalid = |result: Result<HostStream, HostError>| {
        let error = result.expect_err("it is no handle");
        assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{error}");
    };
    for device in [None, Host::device(0).ok(), Host::device(1).ok()] {
        // SAFETY: nothing is alive by that handle, and the call is to say so.
        invalid(unsafe { Host::stream_from_raw(raw, device) });
    }
    let device = Host::device(0).expect("device");
    // SAFETY: as above.
    let unchecked =
        unsafe { Host::stream_from_raw_with_owner_unchecked(raw, device, KeepAlive::none()) };
    invalid(unchecked);
    assert_eq!(raw::destroy(raw).expect_err("no handle").kind(), ErrorKind::InvalidHandle);
    assert!(!raw::is_alive(raw));
}

/// All numbers in what a value shows of itself.
fn numbers(value: &impl Debug) -> Vec<usize> {
    let text = format!("{value:?} {value:#?}");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(digits) => usize::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    };
    words.filter_map(number).collect()
}

#[test]
fn a_threads_own_stream_gets_out_by_nothing_that_it_shows() {
    let own = Host::per_thread_stream(Host::device(0).expect("device")).expect("stream");
    own.launch_host_func(Box::new(|| {})).expect("launch");
    let event = own.record_event().expect("event");
    let mut shown =
        vec![own.id().expect("id") as usize, own.raw().to_bits(), event.raw().to_bits()];
    shown.extend(numbers(&own).into_iter().chain(numbers(&event)));
    for bits in shown {
        // 0 and 1 are the default stream.
        if RawStream::<Host>::from_bits(bits).kind() != HandleKind::Default {
            assert_no_handle(bits);
        }
    }
    // It is the thread's own all the same.
    own.synchronize().expect("synchronize");
}

#[test]
fn the_id_of_a_threads_own_stream_is_refused_with_its_reason() {
    let own = Host::per_thread_stream(Host::device(0).expect("device")).expect("stream");
    let raw = RawStream::from_bits(own.id().expect("id") as usize);
    // SAFETY: nothing is alive by that handle, and the call is to say so.
    let error = unsafe { Host::stream_from_raw(raw, None) }.expect_err("no handle");
    assert!(error.to_string().contains("Backend::per_thread_stream"), "{error}");
}

#[test]
fn numbers_that_were_never_handed_out_are_no_handles() {
    let device = Host::device(0).expect("device");
    let stream = Host::new_stream(device, StreamOptions::new()).expect("stream");
    let far = stream.raw().to_bits() + 1_000_000;
    for bits in [3, 0xfff, far, usize::MAX, usize::MAX - 1] {
        assert_no_handle(bits);
    }
    // SAFETY: `stream` lives longer than the wrapper.
    let again = unsafe { Host::stream_from_raw(stream.raw(), None) }.expect("a handle");
    assert!(again.is_same(&stream));
}
