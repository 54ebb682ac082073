//! Target `exchange`: integers of DLPack, `__cuda_array_interface__`, `__cuda_stream__` and raw handles.

use arbitrary::{Arbitrary, Unstructured};
use gpu_stream_core::exchange::{
    CUDA_STREAM_VERSION, DecodedStream, ExchangeError, Protocol, Value, cuda_stream,
};
use gpu_stream_core::{BackendKind, Error, ErrorKind};

const PROTOCOLS: [Protocol; 4] =
    [Protocol::Handle, Protocol::CudaStream, Protocol::CudaArrayInterface, Protocol::DlPack];
const BACKENDS: [BackendKind; 4] =
    [BackendKind::Host, BackendKind::Cuda, BackendKind::Hip, BackendKind::Other("mine")];

#[derive(Arbitrary, Debug)]
enum Number {
    None,
    Near(i8),
    Handle(u64),
    Signed(i64),
    Wide(i128),
    WideUnsigned(u128),
    /// Near a power of two: 2 to the first number, plus the second.
    Edge(u8, i8),
}

impl Number {
    fn value(&self) -> Value {
        match *self {
            Number::None => Value::None,
            Number::Near(number) => number.into(),
            Number::Handle(number) => number.into(),
            Number::Signed(number) => number.into(),
            Number::Wide(number) => number.into(),
            Number::WideUnsigned(number) => number.into(),
            Number::Edge(bits, by) => (1_i128 << (bits % 127)).saturating_add(by.into()).into(),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Input {
    protocol: u8,
    backend: u8,
    value: Number,
    version: Number,
    stream: Number,
    integers: (i8, u16, u32, isize, usize, u128),
}

/// Decodes a value: a second implementation from the texts of the protocols. Returns `None` for an error.
fn expected(protocol: Protocol, backend: BackendKind, value: Value) -> Option<DecodedStream> {
    use BackendKind::{Cuda, Hip, Host};
    use Protocol::{CudaArrayInterface, CudaStream, DlPack, Handle};
    let handle =
        |int: i128| u64::try_from(int).ok().map(|bits| DecodedStream::Stream(bits as usize));
    match (protocol, backend, value) {
        (Handle, _, Value::Int(int)) => handle(int),
        (CudaStream, Cuda | Hip, Value::Int(int)) => handle(int),
        (CudaArrayInterface, Cuda, Value::None) => Some(DecodedStream::NoSync),
        (CudaArrayInterface, Cuda, Value::Int(int)) if int != 0 => handle(int),
        (DlPack, Cuda, Value::None) => Some(DecodedStream::Stream(1)),
        (DlPack, Hip, Value::None) => Some(DecodedStream::Stream(0)),
        (DlPack, Host, Value::None) => Some(DecodedStream::NoSync),
        (DlPack, Cuda | Hip, Value::Int(-1)) => Some(DecodedStream::NoSync),
        (DlPack, Cuda, Value::Int(int)) if int != 0 => handle(int),
        (DlPack, Hip, Value::Int(int)) if !matches!(int, 1 | 2) => handle(int),
        _ => None,
    }
}

/// Returns `true` if both mean the same stream. 0 and 1 are both the default stream.
fn is_same(one: DecodedStream, other: DecodedStream) -> bool {
    let is_default = |stream| matches!(stream, DecodedStream::Stream(0 | 1));
    one == other || is_default(one) && is_default(other)
}

/// Checks the kind and the text of an error.
fn check_error(error: &ExchangeError, value: Option<Value>) {
    let text = error.to_string();
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::InvalidHandle | ErrorKind::Unsupported), "{text}");
    assert_eq!(error.value, value, "{text}");
    let mut parts = vec![error.protocol.to_string(), error.backend.to_string()];
    parts.extend(value.map(|value| value.to_string()));
    for part in parts {
        assert!(text.contains(&part), "{part:?} is not in {text:?}");
    }
}

/// Decodes a value and encodes a stream, and checks both round trips.
pub fn target(bytes: &[u8]) {
    let Ok(input) = Input::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let protocol = PROTOCOLS[usize::from(input.protocol) % PROTOCOLS.len()];
    let backend = BACKENDS[usize::from(input.backend) % BACKENDS.len()];
    let value = input.value.value();

    let decoded = protocol.decode(value, backend);
    assert_eq!(decoded.as_ref().ok().copied(), expected(protocol, backend, value), "{input:?}");
    match decoded {
        Err(error) => check_error(&error, Some(value)),
        Ok(decoded) => match protocol.encode(decoded, backend) {
            // A decoded stream can be encoded, and keeps its meaning.
            Ok(encoded) => {
                let again = protocol.decode(encoded, backend).expect("an encoded value");
                assert!(
                    is_same(again, decoded),
                    "{decoded:?} was encoded as {encoded:?}, which means {again:?}"
                );
            }
            Err(error) => panic!("{value:?} means {decoded:?}, which cannot be encoded: {error}"),
        },
    }

    let stream = match input.stream.value() {
        Value::Int(int) => DecodedStream::Stream(int as usize),
        Value::None => DecodedStream::NoSync,
    };
    match protocol.encode(stream, backend) {
        Ok(encoded) => {
            let decoded = protocol.decode(encoded, backend).expect("an encoded value");
            assert!(
                is_same(decoded, stream),
                "{stream:?} was encoded as {encoded:?}, which means {decoded:?}"
            );
        }
        Err(error) => {
            let value = match stream {
                DecodedStream::Stream(bits) => Some(Value::Int(bits as i128)),
                DecodedStream::NoSync => None,
            };
            check_error(&error, value);
        }
    }

    let version = input.version.value();
    let pair = cuda_stream(version, value, backend);
    if version == Value::Int(CUDA_STREAM_VERSION) {
        assert_eq!(pair, Protocol::CudaStream.decode(value, backend));
    } else {
        let error = pair.expect_err("an unknown version");
        check_error(&error, Some(error.value.expect("a value is named")));
    }

    check_integers(input.integers);
}

/// Checks that no integer type is truncated or wrapped on conversion.
fn check_integers((a, b, c, d, e, f): (i8, u16, u32, isize, usize, u128)) {
    let values = [a.into(), b.into(), c.into(), d.into(), e.into(), f.into()];
    let texts =
        [a.to_string(), b.to_string(), c.to_string(), d.to_string(), e.to_string(), f.to_string()];
    for (value, text) in values.into_iter().zip(texts) {
        let value: Value = value;
        assert!(value == Value::TOO_LARGE || value.to_string() == text, "{value:?} of {text}");
    }
}
