//! Raw handles, devices and options on the host backend, which looks each of them up.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use gpu_stream_core::{
    Backend, BackendKind, Device, Error, ErrorKind, EventOptions, HandleKind, RawStream, Stream,
    StreamOptions,
};
use gpu_stream_host::{Host, HostError, HostStream, raw};

#[derive(Arbitrary, Debug)]
enum Bits {
    Near(u8),
    Any(usize),
    /// One that was made, and by how much it is wrong.
    Made(u8, i8),
}

#[derive(Arbitrary, Debug)]
enum Step {
    Create { device: (u8, u32), priority: i32 },
    Destroy(Bits),
    Wrap { bits: Bits, device: Option<(u8, u32)> },
    WrapUnchecked { bits: Bits, device: (u8, u32) },
    NewStream { device: (u8, u32), priority: i32 },
    NewEvent { device: (u8, u32), timing: bool, blocking: bool, interprocess: bool },
    Default { device: (u8, u32) },
}

const KINDS: [BackendKind; 4] =
    [BackendKind::Host, BackendKind::Host, BackendKind::Cuda, BackendKind::Other("mine")];

fn device((kind, ordinal): (u8, u32)) -> Device {
    // Most of the time one that is there.
    let ordinal = if ordinal.is_multiple_of(4) { ordinal } else { ordinal % 3 };
    Device::new(KINDS[usize::from(kind) % KINDS.len()], ordinal)
}

/// What has to come of a device: whether there is one, and the kind of error if not.
fn verdict(device: Device, count: u32) -> Option<ErrorKind> {
    if device.backend() != BackendKind::Host {
        Some(ErrorKind::BackendMismatch)
    } else if device.ordinal() >= count {
        Some(ErrorKind::InvalidDevice)
    } else {
        None
    }
}

fn check<T>(
    what: &str,
    result: Result<T, HostError>,
    wanted: Option<ErrorKind>,
    names: &str,
) -> Option<T> {
    match (result, wanted) {
        (Ok(value), None) => Some(value),
        (Err(error), Some(kind)) => {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{what}: {text}");
            assert!(text.contains(names), "{what}: {names:?} is not in {text:?}");
            None
        }
        (Ok(_), Some(kind)) => panic!("{what}: it got through, and should be {kind}"),
        (Err(error), None) => panic!("{what}: {error}"),
    }
}

/// Streams made, wrapped and destroyed by handles of all sorts, beside a model of what is alive.
pub fn target(bytes: &[u8]) {
    let Ok(steps) = Vec::<Step>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let count = u32::try_from(Host::devices().expect("the host").len()).expect("a few");
    // By handle: the device of each stream of ours that is alive.
    let mut alive: BTreeMap<usize, u32> = BTreeMap::new();
    let mut made: Vec<usize> = Vec::new();
    let mut kept: Vec<HostStream> = Vec::new();
    for step in steps.iter().take(40) {
        let bits_of = |bits: &Bits, made: &[usize]| match *bits {
            Bits::Near(bits) => usize::from(bits),
            Bits::Any(bits) => bits,
            Bits::Made(index, by) if !made.is_empty() => {
                made[usize::from(index) % made.len()].wrapping_add_signed((by / 32).into())
            }
            Bits::Made(index, _) => usize::from(index),
        };
        match step {
            Step::Create { device: given, priority } => {
                let device = device(*given);
                let is_in = (-1..=1).contains(priority);
                let wanted = verdict(device, count).or(if is_in {
                    None
                } else {
                    Some(ErrorKind::InvalidOptions)
                });
                let names = if verdict(device, count).is_some() {
                    String::new()
                } else {
                    priority.to_string()
                };
                let options = StreamOptions::new().priority(*priority);
                if let Some(raw) = check("create", raw::create(device, options), wanted, &names) {
                    let bits = raw.to_bits();
                    assert_eq!(raw.kind(), HandleKind::Explicit);
                    assert!(!made.contains(&bits), "a handle was used twice");
                    alive.insert(bits, device.ordinal());
                    made.push(bits);
                }
            }
            Step::Destroy(bits) => {
                let bits = bits_of(bits, &made);
                // Streams of the wrappers that are kept, or of another run: not ours to destroy.
                let wanted =
                    if alive.contains_key(&bits) { None } else { Some(ErrorKind::InvalidHandle) };
                let names = format!("{bits:#x}");
                check("destroy", raw::destroy(RawStream::from_bits(bits)), wanted, &names);
                alive.remove(&bits);
                assert!(!made.contains(&bits) || !raw::is_alive(RawStream::from_bits(bits)));
            }
            Step::Wrap { bits, device: given } => {
                let bits = bits_of(bits, &made);
                let given = given.map(device);
                // SAFETY: the host backend looks every handle up.
                let wrapped = unsafe { Host::stream_from_raw(RawStream::from_bits(bits), given) };
                check_wrapped(wrapped, bits, given, count, &alive, &mut kept);
            }
            Step::WrapUnchecked { bits, device: given } => {
                let (bits, given) = (bits_of(bits, &made), device(*given));
                let raw = RawStream::from_bits(bits);
                // SAFETY: as above.
                let wrapped = unsafe { Host::stream_from_raw_unchecked(raw, given) };
                check_wrapped(wrapped, bits, Some(given), count, &alive, &mut kept);
            }
            Step::NewStream { device: given, priority } => {
                let device = device(*given);
                let is_in = (-1..=1).contains(priority);
                let wanted = verdict(device, count).or(if is_in {
                    None
                } else {
                    Some(ErrorKind::InvalidOptions)
                });
                let options = StreamOptions::new().priority(*priority);
                let stream = check("new_stream", Host::new_stream(device, options), wanted, "");
                if let Some(stream) = stream {
                    assert_eq!(stream.priority().expect("priority"), *priority);
                    kept.push(stream);
                }
            }
            Step::NewEvent { device: given, timing, blocking, interprocess } => {
                let device = device(*given);
                let options = EventOptions::builder()
                    .timing(*timing)
                    .blocking(*blocking)
                    .interprocess(*interprocess)
                    .build();
                assert_eq!(options.is_err(), *timing && *interprocess);
                let Ok(options) = options else { continue };
                let wanted = verdict(device, count).or(if *interprocess {
                    Some(ErrorKind::Unsupported)
                } else {
                    None
                });
                check("new_event", Host::new_event(device, options), wanted, "");
            }
            Step::Default { device: given } => {
                let device = device(*given);
                let wanted = verdict(device, count);
                let stream = check("default_stream", Host::default_stream(device), wanted, "");
                assert!(stream.is_none_or(|stream| stream.device() == device));
            }
        }
    }
    for stream in kept {
        // One whose stream was destroyed says so, and every other one is idle.
        match stream.query() {
            Ok(done) => assert!(done),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{error}"),
        }
    }
    for bits in alive.into_keys() {
        raw::destroy(RawStream::from_bits(bits)).expect("it is alive");
    }
}

fn check_wrapped(
    wrapped: Result<HostStream, HostError>,
    bits: usize,
    given: Option<Device>,
    count: u32,
    alive: &BTreeMap<usize, u32>,
    kept: &mut Vec<HostStream>,
) {
    let wrong_device = given.and_then(|given| verdict(given, count));
    let names = format!("{bits:#x}");
    let kind = HandleKind::of(bits);
    let is_there = match kind {
        HandleKind::PerThread => {
            check("wrapping 2", wrapped, Some(ErrorKind::InvalidHandle), "per_thread_stream");
            return;
        }
        HandleKind::Default => true,
        // One that is kept, or of another thread's run, may have the handle as well.
        HandleKind::Explicit => raw::is_alive(RawStream::from_bits(bits)),
    };
    if kind == HandleKind::Explicit && alive.contains_key(&bits) {
        assert!(is_there, "{bits:#x} is alive, and is not found");
    }
    if !is_there {
        check("wrapping a handle of nothing", wrapped, Some(ErrorKind::InvalidHandle), &names);
        return;
    }
    if let Some(kind) = wrong_device {
        check("wrapping with no such device", wrapped, Some(kind), "");
        return;
    }
    match wrapped {
        Ok(stream) => {
            assert!(given.is_none_or(|given| given == stream.device()));
            match kind {
                HandleKind::Explicit => assert_eq!(stream.raw().to_bits(), bits),
                _ => assert_eq!(stream.raw(), RawStream::DEFAULT),
            }
            if let Some(ordinal) = alive.get(&bits) {
                assert_eq!(stream.device().ordinal(), *ordinal);
            }
            kept.push(stream);
        }
        Err(error) => {
            let (given, text) = (given.expect("only a device can be wrong"), error.to_string());
            assert_eq!(error.kind(), ErrorKind::DeviceMismatch, "{text}");
            assert!(text.contains(&given.to_string()), "{text}");
        }
    }
}
