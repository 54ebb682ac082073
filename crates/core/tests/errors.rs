//! The texts of [`ContractError`]: one line each, with the call in front.

use gpu_stream_core::{BackendKind, ContractError, Device};

const CALL: &str = "Stream::call";

/// Returns every kind of error, with the start of its text.
fn errors() -> Vec<(&'static str, ContractError)> {
    let (operation, reason) = (CALL, "has a reason");
    let (device, other) = (Device::new(BackendKind::Cuda, 0), Device::new(BackendKind::Cuda, 1));
    let (backend, bits, waited_for) = (BackendKind::Cuda, 0x7f00, "event");
    let elapsed = "Event::elapsed_since";
    vec![
        (CALL, ContractError::DeviceMismatch { operation, given: device, actual: other }),
        (CALL, ContractError::RecordAcrossDevices { operation, stream: device, event: other }),
        (elapsed, ContractError::ElapsedAcrossDevices { start: device, end: other }),
        (CALL, ContractError::BackendMismatch { operation, expected: backend, given: backend }),
        (
            CALL,
            ContractError::BackendMismatch {
                operation,
                expected: backend,
                given: BackendKind::Host,
            },
        ),
        (CALL, ContractError::InvalidDevice { operation, given: other, count: 1 }),
        (CALL, ContractError::InvalidHandle { operation, bits, reason }),
        (CALL, ContractError::InvalidPriority { operation, given: 7, least: 0, greatest: -5 }),
        ("EventOptions", ContractError::InterprocessTiming),
        (elapsed, ContractError::EventNotTimed { which: "start" }),
        (elapsed, ContractError::EventNotRecorded { which: "start" }),
        (elapsed, ContractError::EventPending { which: "start" }),
        (CALL, ContractError::Unsupported { operation, backend, reason }),
        (CALL, ContractError::NotPermitted { operation, reason }),
        ("backend cuda", ContractError::ProcessForked { backend }),
        ("backend cuda", ContractError::ProcessEnding { backend }),
        (CALL, ContractError::NoThread { operation, code: None }),
        (CALL, ContractError::NoThread { operation, code: Some(11) }),
        (CALL, ContractError::capture_of_uncaptured(operation, bits, waited_for, bits)),
        (CALL, ContractError::capture_of_another(operation, bits, waited_for, bits)),
        (CALL, ContractError::DefaultStreamCapture { operation, waiter: bits, waited_for, bits }),
        (CALL, ContractError::CaptureHostFunc { operation, bits }),
        (CALL, ContractError::DeviceType { operation, device_type: 8, device_id: 0 }),
        (CALL, ContractError::CurrentStream { operation, device, code: -1 }),
        ("backend cuda", ContractError::NotCompiled { backend, reason }),
    ]
}

#[test]
fn texts_are_one_line_and_begin_with_the_call() {
    for (start, error) in errors() {
        let text = error.to_string();
        assert!(text.starts_with(start), "{text}");
        assert!(!text.contains("  ") && !text.contains('\n'), "{text:?}");
    }
}
