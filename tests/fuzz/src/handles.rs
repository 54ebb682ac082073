//! Target `handles`: raw handles, devices and options on the host backend, which validates every handle.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use gpu_stream_core::{
    Backend, BackendKind, Device, Error, ErrorKind, EventOptions, HandleKind, RawStream, Stream,
    StreamOptions,
};
use gpu_stream_host::{Host, HostError, HostStream, raw};

/// Source of a handle's bits.
#[derive(Arbitrary, Debug)]
enum Bits {
    Near(u8),
    Any(usize),
    /// Index of a created handle, and 32 times an offset that is added to it.
    Created(u8, i8),
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

/// Decodes a device. Most ordinals are small, so that the device often exists.
fn decode_device((kind, ordinal): (u8, u32)) -> Device {
    let ordinal = if ordinal.is_multiple_of(4) { ordinal } else { ordinal % 3 };
    Device::new(KINDS[usize::from(kind) % KINDS.len()], ordinal)
}

/// Returns the error kind that `priority` must cause, if it is out of range.
fn priority_error(priority: i32) -> Option<ErrorKind> {
    (!(-1..=1).contains(&priority)).then_some(ErrorKind::InvalidOptions)
}

/// Checks that a call succeeded or failed as expected. An error text must contain `part`.
fn check<T>(
    call: &str,
    result: Result<T, HostError>,
    expected: Option<ErrorKind>,
    part: &str,
) -> Option<T> {
    match (result, expected) {
        (Ok(value), None) => Some(value),
        (Err(error), Some(kind)) => {
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{call}: {text}");
            assert!(text.contains(part), "{call}: {part:?} is not in {text:?}");
            None
        }
        (Ok(_), Some(kind)) => panic!("{call}: succeeded instead of {kind}"),
        (Err(error), None) => panic!("{call}: {error}"),
    }
}

/// Model of the host backend's streams.
struct Model {
    /// Number of devices.
    devices: u32,
    /// Live streams of [`Step::Create`]: handle to device ordinal.
    alive: BTreeMap<usize, u32>,
    /// Handles of all created streams, the destroyed ones included.
    created: Vec<usize>,
    /// Wrappers that live until the end.
    wrappers: Vec<HostStream>,
}

/// Creates, wraps and destroys streams by arbitrary handles, and compares each result with a model.
pub fn target(bytes: &[u8]) {
    let Ok(steps) = Vec::<Step>::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let mut model = Model {
        devices: u32::try_from(Host::devices().expect("the host").len()).expect("a few"),
        alive: BTreeMap::new(),
        created: Vec::new(),
        wrappers: Vec::new(),
    };
    for step in steps.iter().take(40) {
        model.run(step);
    }
    for stream in model.wrappers {
        // A wrapper of a destroyed stream reports it, and every other stream is idle.
        match stream.query() {
            Ok(done) => assert!(done),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidHandle, "{error}"),
        }
    }
    for bits in model.alive.into_keys() {
        raw::destroy(RawStream::from_bits(bits)).expect("it is alive");
    }
}

impl Model {
    /// Returns the error kind that `device` must cause, if it is not a device of the host.
    fn device_error(&self, device: Device) -> Option<ErrorKind> {
        if device.backend() != BackendKind::Host {
            Some(ErrorKind::BackendMismatch)
        } else if device.ordinal() >= self.devices {
            Some(ErrorKind::InvalidDevice)
        } else {
            None
        }
    }

    fn decode_bits(&self, bits: &Bits) -> usize {
        match *bits {
            Bits::Near(bits) => usize::from(bits),
            Bits::Any(bits) => bits,
            Bits::Created(index, offset) if !self.created.is_empty() => self.created
                [usize::from(index) % self.created.len()]
            .wrapping_add_signed((offset / 32).into()),
            Bits::Created(index, _) => usize::from(index),
        }
    }

    /// Runs a step, and checks its result.
    fn run(&mut self, step: &Step) {
        match step {
            Step::Create { device, priority } => self.create(decode_device(*device), *priority),
            Step::Destroy(bits) => self.destroy(self.decode_bits(bits)),
            Step::Wrap { bits, device } => {
                let (bits, device) = (self.decode_bits(bits), device.map(decode_device));
                // SAFETY: the host backend validates every handle.
                let wrapped = unsafe { Host::stream_from_raw(RawStream::from_bits(bits), device) };
                self.check_wrapped(wrapped, bits, device);
            }
            Step::WrapUnchecked { bits, device } => {
                let (bits, device) = (self.decode_bits(bits), decode_device(*device));
                let raw = RawStream::from_bits(bits);
                // SAFETY: the host backend validates every handle, also in this call.
                let wrapped = unsafe { Host::stream_from_raw_unchecked(raw, device) };
                self.check_wrapped(wrapped, bits, Some(device));
            }
            Step::NewStream { device, priority } => {
                let device = decode_device(*device);
                let expected = self.device_error(device).or(priority_error(*priority));
                let options = StreamOptions::new().priority(*priority);
                let stream = check("new_stream", Host::new_stream(device, options), expected, "");
                if let Some(stream) = stream {
                    assert_eq!(stream.priority().expect("priority"), *priority);
                    self.wrappers.push(stream);
                }
            }
            Step::NewEvent { device, timing, blocking, interprocess } => {
                let device = decode_device(*device);
                let options = EventOptions::builder()
                    .timing(*timing)
                    .blocking(*blocking)
                    .interprocess(*interprocess)
                    .build();
                assert_eq!(options.is_err(), *timing && *interprocess);
                let Ok(options) = options else { return };
                let unsupported = interprocess.then_some(ErrorKind::Unsupported);
                let expected = self.device_error(device).or(unsupported);
                check("new_event", Host::new_event(device, options), expected, "");
            }
            Step::Default { device } => {
                let device = decode_device(*device);
                let expected = self.device_error(device);
                let stream = check("default_stream", Host::default_stream(device), expected, "");
                assert!(stream.is_none_or(|stream| stream.device() == device));
            }
        }
    }

    fn create(&mut self, device: Device, priority: i32) {
        let device_error = self.device_error(device);
        let part = if device_error.is_some() { String::new() } else { priority.to_string() };
        let expected = device_error.or(priority_error(priority));
        let options = StreamOptions::new().priority(priority);
        if let Some(raw) = check("create", raw::create(device, options), expected, &part) {
            let bits = raw.to_bits();
            assert_eq!(raw.kind(), HandleKind::Explicit);
            assert!(!self.created.contains(&bits), "a handle was used twice");
            self.alive.insert(bits, device.ordinal());
            self.created.push(bits);
        }
    }

    fn destroy(&mut self, bits: usize) {
        // Only streams of `create` can be destroyed, not those of the wrappers or of another run.
        let expected =
            if self.alive.contains_key(&bits) { None } else { Some(ErrorKind::InvalidHandle) };
        let part = format!("{bits:#x}");
        check("destroy", raw::destroy(RawStream::from_bits(bits)), expected, &part);
        self.alive.remove(&bits);
        assert!(!self.created.contains(&bits) || !raw::is_alive(RawStream::from_bits(bits)));
    }

    /// Checks the result of wrapping a handle, with the device that was passed.
    fn check_wrapped(
        &mut self,
        wrapped: Result<HostStream, HostError>,
        bits: usize,
        device: Option<Device>,
    ) {
        let device_error = device.and_then(|device| self.device_error(device));
        let part = format!("{bits:#x}");
        let kind = HandleKind::of(bits);
        let is_alive = match kind {
            HandleKind::PerThread => {
                check("wrapping 2", wrapped, Some(ErrorKind::InvalidHandle), "per_thread_stream");
                return;
            }
            HandleKind::Default => true,
            // A stream of a wrapper, or of a run on another thread, can have this handle too.
            HandleKind::Explicit => raw::is_alive(RawStream::from_bits(bits)),
        };
        if kind == HandleKind::Explicit && self.alive.contains_key(&bits) {
            assert!(is_alive, "{bits:#x} is alive, but was not found");
        }
        if !is_alive {
            check("wrapping a dead handle", wrapped, Some(ErrorKind::InvalidHandle), &part);
            return;
        }
        if let Some(kind) = device_error {
            check("wrapping with an invalid device", wrapped, Some(kind), "");
            return;
        }
        match wrapped {
            Ok(stream) => {
                assert!(device.is_none_or(|device| device == stream.device()));
                match kind {
                    HandleKind::Explicit => assert_eq!(stream.raw().to_bits(), bits),
                    _ => assert_eq!(stream.raw(), RawStream::DEFAULT),
                }
                if let Some(ordinal) = self.alive.get(&bits) {
                    assert_eq!(stream.device().ordinal(), *ordinal);
                }
                self.wrappers.push(stream);
            }
            Err(error) => {
                let device = device.expect("only a device can be wrong");
                let text = error.to_string();
                assert_eq!(error.kind(), ErrorKind::DeviceMismatch, "{text}");
                assert!(text.contains(&device.to_string()), "{text}");
            }
        }
    }
}
