//! Conversions from and to hip-sys, over the runtime that it links.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, ErrorKind, Event, Stream};
use gpu_stream_hip::{Hip, HipCode, HipStream};
use gpu_stream_test_support::cases;
use hip_sys::hiprt;
use support::{need_two_devices, own_stream};

fn main() -> ExitCode {
    // The linked runtime is loaded before anything can be preloaded, and with it any library of the name
    // of HSA's runtime. The command `gpu-stream-hsa-sim` makes that the simulated one.
    support::prepare();
    support::main(&cases![
        the_linked_runtime_is_used,
        stream_and_event_convert_both_ways,
        wrong_device_is_rejected,
        codes_convert
    ])
}

fn the_linked_runtime_is_used() {
    let info = Hip::probe().unwrap();
    let found = info.details.iter().find(|(name, _)| *name == "found").expect("how it was found");
    assert_eq!(found.1, "loaded in the process before");
}

fn stream_and_event_convert_both_ways() {
    let own = own_stream();
    let converted: hiprt::hipStream_t = own.to_hip_sys();
    // SAFETY: `own` outlives the wrapper.
    let again = unsafe { HipStream::from_hip_sys(converted, None) }.unwrap();
    assert_eq!(again, own);
    let event = again.record_event().unwrap();
    let converted: hiprt::hipEvent_t = event.to_hip_sys();
    // SAFETY: the event is alive, and hip-sys has a variant for the returned code.
    let code = unsafe { hiprt::hipEventSynchronize(converted) };
    assert_eq!(HipCode::from(code), HipCode::SUCCESS);
    assert!(event.query().unwrap());
}

fn wrong_device_is_rejected() {
    need_two_devices();
    let own = own_stream();
    let second = Hip::device(1).unwrap();
    // SAFETY: the device is rejected before the stream is used.
    let wrapped = unsafe { HipStream::from_hip_sys(own.to_hip_sys(), Some(second)) };
    support::expect_kind("a wrong device", wrapped, ErrorKind::DeviceMismatch);
}

fn codes_convert() {
    let code = HipCode::from(hiprt::hipError_t::hipErrorNotReady);
    assert_eq!((code, code.get()), (HipCode::NOT_READY, 600));
}
