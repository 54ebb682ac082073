//! Tests of valid and invalid handles.

use std::fmt::Debug;

use gpu_stream_core::{
    Backend, Error, ErrorKind, Event, HandleKind, KeepAlive, RawStream, Stream, StreamOptions,
};
use gpu_stream_host::{Host, HostError, HostStream, raw};

/// Asserts that every call rejects the handle `bits`.
fn assert_invalid_handle(bits: usize) {
    let raw = RawStream::from_bits(bits);
    let invalid = |result: Result<HostStream, HostError>| {
        let error = result.expect_err("not a handle");
        assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{error}");
    };
    for device in [None, Host::device(0).ok(), Host::device(1).ok()] {
        // SAFETY: no stream has this handle. The host backend looks handles up, and rejects it.
        invalid(unsafe { Host::stream_from_raw(raw, device) });
    }
    let device = Host::device(0).expect("device");
    // SAFETY: no stream has this handle. The host backend looks handles up, and rejects it.
    let unchecked =
        unsafe { Host::stream_from_raw_with_owner_unchecked(raw, device, KeepAlive::none()) };
    invalid(unchecked);
    assert_eq!(raw::destroy(raw).expect_err("not a handle").kind(), ErrorKind::InvalidHandle);
    assert!(!raw::is_alive(raw));
}

/// Returns all numbers in the `Debug` output of a value.
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
fn per_thread_stream_cannot_be_wrapped_by_any_number_that_it_shows() {
    let own = Host::per_thread_stream(Host::device(0).expect("device")).expect("stream");
    own.launch_host_func(Box::new(|| {})).expect("launch");
    let event = own.record_event().expect("event");
    let mut shown =
        vec![own.id().expect("id") as usize, own.raw().to_bits(), event.raw().to_bits()];
    shown.extend(numbers(&own).into_iter().chain(numbers(&event)));
    for bits in shown {
        // 0 and 1 are handles of the default stream.
        if RawStream::<Host>::from_bits(bits).kind() != HandleKind::Default {
            assert_invalid_handle(bits);
        }
    }
    // The thread itself can still use the stream.
    own.synchronize().expect("synchronize");
}

#[test]
fn id_of_a_per_thread_stream_is_rejected_with_a_remedy() {
    let own = Host::per_thread_stream(Host::device(0).expect("device")).expect("stream");
    let raw = RawStream::from_bits(own.id().expect("id") as usize);
    // SAFETY: the number is not a handle. The host backend looks handles up, and rejects it.
    let error = unsafe { Host::stream_from_raw(raw, None) }.expect_err("not a handle");
    assert!(error.to_string().contains("Backend::per_thread_stream"), "{error}");
}

#[test]
fn numbers_that_were_never_returned_are_not_handles() {
    let device = Host::device(0).expect("device");
    let stream = Host::new_stream(device, StreamOptions::new()).expect("stream");
    let far = stream.raw().to_bits() + 1_000_000;
    for bits in [3, 0xfff, far, usize::MAX, usize::MAX - 1] {
        assert_invalid_handle(bits);
    }
    // SAFETY: `stream` lives longer than the wrapper.
    let again = unsafe { Host::stream_from_raw(stream.raw(), None) }.expect("a handle");
    assert!(again.is_same(&stream));
}
