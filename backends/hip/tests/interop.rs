//! From and to hip-sys, with the runtime that it links.

mod support;

use std::process::ExitCode;

use gpu_stream_core::{Backend, Error, ErrorKind, Event, Stream, StreamOptions};
use gpu_stream_hip::{Hip, HipCode, HipStream, interop};
use hip_sys::hiprt;
use support::{device, need_two_devices};

fn main() -> ExitCode {
    // The library is there before anything can be preloaded, and with it whatever is found under
    // the name of HSA's runtime: `tests/hsa-sim/run` makes that the simulated one.
    support::prepare();
    if let Err(error) = interop::use_linked() {
        assert_eq!(error.kind(), ErrorKind::NoDevice, "{error}");
    }
    support::main(&[
        ("the_linked_runtime_is_used", the_linked_runtime_is_used),
        ("there_and_back", there_and_back),
        ("a_wrong_device_is_found", a_wrong_device_is_found),
        ("codes", codes),
    ])
}

fn the_linked_runtime_is_used() {
    let info = Hip::probe().unwrap();
    let found = info.details.iter().find(|(name, _)| *name == "found").expect("how it was found");
    assert_eq!(found.1, "linked into the program");
    // A second time it changes nothing.
    interop::use_linked().unwrap();
}

fn there_and_back() {
    let ours = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    let lent: hiprt::hipStream_t = ours.to_hip_sys();
    // SAFETY: `ours` outlives the wrapper.
    let again = unsafe { HipStream::from_hip_sys(lent, None) }.unwrap();
    assert_eq!(again, ours);
    let event = again.record_event().unwrap();
    let theirs: hiprt::hipEvent_t = event.to_hip_sys();
    // SAFETY: the event is alive. The answer is one that hip-sys knows.
    let code = unsafe { hiprt::hipEventSynchronize(theirs) };
    assert_eq!(HipCode::from(code), HipCode::SUCCESS);
    assert!(event.query().unwrap());
}

fn a_wrong_device_is_found() {
    need_two_devices();
    let ours = Hip::new_stream(device(), StreamOptions::new()).unwrap();
    let second = Hip::device(1).unwrap();
    // SAFETY: it is refused.
    let wrapped = unsafe { HipStream::from_hip_sys(ours.to_hip_sys(), Some(second)) };
    support::expect_kind("a wrong device", wrapped, ErrorKind::DeviceMismatch);
}

fn codes() {
    let code = HipCode::from(hiprt::hipError_t::hipErrorNotReady);
    assert_eq!((code, code.get()), (HipCode::NOT_READY, 600));
}
