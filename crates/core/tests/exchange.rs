//! The exchange rules: the tables of the specifications, value by value, and what holds of every
//! value.

use gpu_stream_core::BackendKind::{self, Cuda, Hip, Host};
use gpu_stream_core::exchange::{
    CUDA_STREAM_VERSION, DecodedStream, ExchangeError, Forbidden, Protocol, Value, cuda_stream,
};
use gpu_stream_core::{Error, ErrorKind, HandleKind};

use DecodedStream::{NoSync, Stream};
use Protocol::{CudaArrayInterface, CudaStream, DlPack, Handle};

const PROTOCOLS: [Protocol; 4] = [Handle, CudaStream, CudaArrayInterface, DlPack];
const BACKENDS: [BackendKind; 4] = [Cuda, Hip, Host, BackendKind::Other("metal")];

/// Every value that a specification names: `None`, −2 to 3, a handle.
const VALUES: [Value; 8] = [
    Value::None,
    Value::Int(-2),
    Value::Int(-1),
    Value::Int(0),
    Value::Int(1),
    Value::Int(2),
    Value::Int(3),
    Value::Int(0x7f00_1000),
];

const HANDLE: usize = 0x7f00_1000;

type Row = (Protocol, BackendKind, [Result<DecodedStream, Forbidden>; VALUES.len()]);

/// Returns what each of [`VALUES`] means. Written out from the specifications, and not computed.
fn table() -> Vec<Row> {
    use Forbidden::{Ambiguous, Backend, Negative, NoStream, NoStreamsHere, NotOnRocm};
    let (two, three, handle) = (Ok(Stream(2)), Ok(Stream(3)), Ok(Stream(HANDLE)));
    let (zero, one, no) = (Ok(Stream(0)), Ok(Stream(1)), Ok(NoSync));
    let negative = Err(Negative);
    let bare = [Err(NoStream), negative, negative, zero, one, two, three, handle];
    let rocm = Err(NotOnRocm);
    let cpu = Err(NoStreamsHere);
    let other = BACKENDS[3];
    vec![
        (
            CudaArrayInterface,
            Cuda,
            [no, negative, negative, Err(Ambiguous), one, two, three, handle],
        ),
        (CudaArrayInterface, Hip, [Err(Backend); 8]),
        (CudaArrayInterface, Host, [Err(Backend); 8]),
        (CudaArrayInterface, other, [Err(Backend); 8]),
        (DlPack, Cuda, [one, negative, no, Err(Ambiguous), one, two, three, handle]),
        (DlPack, Hip, [zero, negative, no, zero, rocm, rocm, three, handle]),
        (DlPack, Host, [no, cpu, cpu, cpu, cpu, cpu, cpu, cpu]),
        (DlPack, other, [Err(Backend); 8]),
        (CudaStream, Cuda, bare),
        (CudaStream, Hip, bare),
        (CudaStream, Host, [Err(Backend); 8]),
        (CudaStream, other, [Err(Backend); 8]),
        (Handle, Cuda, bare),
        (Handle, Hip, bare),
        (Handle, Host, bare),
        (Handle, other, bare),
    ]
}

#[test]
fn decode_follows_the_specification_for_each_value() {
    let table = table();
    assert_eq!(table.len(), PROTOCOLS.len() * BACKENDS.len());
    for (protocol, backend, row) in table {
        for (value, meaning) in VALUES.into_iter().zip(row) {
            let seen = protocol.decode(value, backend).map_err(|error| error.why);
            assert_eq!(seen, meaning, "{protocol} on {backend}: {value}");
        }
    }
}

#[test]
fn encode_follows_the_specification_for_each_stream() {
    use Forbidden::{Backend, NoStream, NoStreamsHere, NotOnRocm};
    let meanings = [NoSync, Stream(0), Stream(1), Stream(2), Stream(HANDLE)];
    let int = |int: i128| Ok(Value::Int(int));
    let handle = int(HANDLE as i128);
    let bare = [Err(NoStream), int(0), int(1), int(2), handle];
    let nothing = [Err(Backend); 5];
    let rows = [
        (CudaArrayInterface, Cuda, [Ok(Value::None), int(1), int(1), int(2), handle]),
        (CudaArrayInterface, Hip, nothing),
        (CudaArrayInterface, Host, nothing),
        (DlPack, Cuda, [int(-1), int(1), int(1), int(2), handle]),
        (DlPack, Hip, [int(-1), int(0), int(0), Err(NotOnRocm), handle]),
        (
            DlPack,
            Host,
            [
                Ok(Value::None),
                Err(NoStreamsHere),
                Err(NoStreamsHere),
                Err(NoStreamsHere),
                Err(NoStreamsHere),
            ],
        ),
        (CudaStream, Cuda, bare),
        (CudaStream, Hip, bare),
        (CudaStream, Host, nothing),
        (Handle, Cuda, bare),
        (Handle, Hip, bare),
        (Handle, Host, bare),
    ];
    for (protocol, backend, row) in rows {
        for (meaning, said) in meanings.into_iter().zip(row) {
            let seen = protocol.encode(meaning, backend).map_err(|error| error.why);
            assert_eq!(seen, said, "{protocol} on {backend}: {meaning:?}");
        }
    }
}

/// Returns integers around every power of two, of both signs.
fn integers() -> impl Iterator<Item = i128> {
    let near = |power: u32| (-4..=4).map(move |step| (1_i128 << power) + step);
    (0..126).flat_map(near).flat_map(|int| [int, -int]).chain([i128::MIN, i128::MAX])
}

/// Checks that an integer means its own handle: none is wrapped, truncated or taken for another.
#[test]
fn decode_never_turns_one_integer_into_another() {
    for int in integers() {
        for (protocol, backend) in PROTOCOLS.into_iter().flat_map(|p| BACKENDS.map(|b| (p, b))) {
            match protocol.decode(int, backend) {
                Ok(Stream(bits)) => assert_eq!(bits as i128, int, "{protocol} on {backend}"),
                Ok(NoSync) => assert_eq!((protocol, int), (DlPack, -1)),
                Err(ExchangeError { why: Forbidden::TooLarge, .. }) => {
                    assert!(int > usize::MAX as i128, "{protocol} on {backend}: {int}");
                }
                Err(_) => {
                    let small = int <= 2;
                    let nowhere =
                        !protocol.is_defined_for(backend) || (protocol, backend) == (DlPack, Host);
                    assert!(small || nowhere, "{protocol} on {backend}: {int}");
                }
            }
        }
    }
}

/// Checks that decoding an encoded stream returns the same stream, or the same absence of one.
#[test]
fn decode_inverts_encode() {
    let same = |one: DecodedStream, other: DecodedStream| match (one, other) {
        (Stream(one), Stream(other)) => {
            one == other
                || HandleKind::of(one) == HandleKind::Default
                    && HandleKind::of(other) == HandleKind::Default
        }
        _ => one == other,
    };
    let handles = integers().filter_map(|int| usize::try_from(int).ok());
    let meanings: Vec<_> = handles.map(Stream).chain([NoSync]).collect();
    let mut understood = 0;
    for (protocol, backend) in PROTOCOLS.into_iter().flat_map(|p| BACKENDS.map(|b| (p, b))) {
        for &meaning in &meanings {
            let Ok(said) = protocol.encode(meaning, backend) else { continue };
            let heard = protocol.decode(said, backend);
            let heard = heard.unwrap_or_else(|error| panic!("{meaning:?}: {error}"));
            assert!(
                same(meaning, heard),
                "{protocol} on {backend}: {meaning:?} was {said}, {heard:?}"
            );
            understood += 1;
        }
    }
    assert!(understood > 4 * meanings.len());
}

#[test]
fn cuda_stream_accepts_only_version_zero() {
    assert_eq!(cuda_stream(CUDA_STREAM_VERSION, HANDLE, Cuda), Ok(Stream(HANDLE)));
    assert_eq!(cuda_stream(0, 0, Hip), Ok(Stream(0)));
    for version in [Value::None, Value::Int(1), Value::Int(-1), Value::TOO_LARGE] {
        let error = cuda_stream(version, HANDLE, Cuda).unwrap_err();
        assert_eq!((error.why, error.kind()), (Forbidden::Version, ErrorKind::Unsupported));
        assert!(error.to_string().contains(&version.to_string()), "{error}");
    }
    assert_eq!(cuda_stream(0, -5, Cuda).unwrap_err().why, Forbidden::Negative);
    assert_eq!(cuda_stream(0, None::<u64>, Cuda).unwrap_err().why, Forbidden::NoStream);
}

/// Checks that each text names the protocol, the backend, the value and the remedy, and that each
/// kind is right.
#[test]
fn errors_name_the_protocol_the_value_and_the_remedy() {
    let cases: [(Protocol, BackendKind, Value, ErrorKind, &[&str]); 9] = [
        (DlPack, Cuda, 0.into(), ErrorKind::InvalidHandle, &["pass 1", "-1 for none"]),
        (
            CudaArrayInterface,
            Cuda,
            0.into(),
            ErrorKind::InvalidHandle,
            &["pass 1", "None for none"],
        ),
        (DlPack, Hip, 1.into(), ErrorKind::InvalidHandle, &["pass 0"]),
        (DlPack, Cuda, (-7).into(), ErrorKind::InvalidHandle, &["-1, for no stream"]),
        (CudaArrayInterface, Cuda, (-1).into(), ErrorKind::InvalidHandle, &["pass None"]),
        (Handle, Cuda, (1_i128 << 64).into(), ErrorKind::InvalidHandle, &["bits"]),
        (CudaStream, Cuda, Value::None, ErrorKind::InvalidHandle, &["pass 1"]),
        (DlPack, Host, 5.into(), ErrorKind::InvalidHandle, &["pass None"]),
        (CudaArrayInterface, Hip, 5.into(), ErrorKind::Unsupported, &["use DLPack"]),
    ];
    for (protocol, backend, value, kind, parts) in cases {
        let error = protocol.decode(value, backend).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        let always = [protocol.to_string(), backend.to_string(), value.to_string()];
        for part in always.iter().map(String::as_str).chain(parts.iter().copied()) {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        assert!(!text.contains("  "), "{text:?}");
    }
    let unsaid = Handle.encode(NoSync, Cuda).unwrap_err();
    assert!(unsaid.to_string().contains("no stream"), "{unsaid}");
}

/// Checks that Rust's integers do not wrap in the conversion to [`Value`].
#[test]
fn value_conversion_keeps_sign_and_size() {
    assert_eq!(Value::from(u64::MAX), Value::Int(u64::MAX.into()));
    assert_eq!(Value::from(-1_i8), Value::Int(-1));
    assert_eq!(Value::from(u128::MAX), Value::TOO_LARGE);
    assert_eq!(Value::from(Some(3_usize)), Value::Int(3));
    assert_eq!(Value::from(None::<i64>), Value::None);
    assert_eq!(Handle.decode(u128::MAX, Cuda).unwrap_err().why, Forbidden::TooLarge);
}
