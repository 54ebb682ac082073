//! DLPack's C exchange API and tvm-ffi's environment: fake tables with every fault, and random ones.

mod random;

use std::ffi::{c_int, c_void};
use std::ptr;

use gpu_stream_core::BackendKind::{Cuda, Hip, Host, Other};
use gpu_stream_core::exchange::dlpack::{
    ATTRIBUTE, CAPSULE_NAME, CurrentWorkStream, ExchangeApi, ExchangeApiError, ExchangeApiHeader,
    MAJOR_VERSION, Version, device_of,
};
use gpu_stream_core::exchange::tvm_ffi::EnvStream;
use gpu_stream_core::{BackendKind, ContractError, Device, Error, ErrorKind};

/// Answers a handle that tells which device was asked for.
unsafe extern "C" fn by_device(kind: i32, id: i32, out: *mut *mut c_void) -> c_int {
    // SAFETY: the caller passes a valid out-pointer.
    unsafe { *out = ptr::without_provenance_mut(handle(kind, id)) };
    0
}

/// Returns the handle of [`by_device`].
fn handle(kind: i32, id: i32) -> usize {
    0x1000 * (kind as usize) + 0x10 * (id as usize)
}

/// Answers a number that no stream has: -1.
unsafe extern "C" fn minus_one(_: i32, _: i32, out: *mut *mut c_void) -> c_int {
    // SAFETY: the caller passes a valid out-pointer.
    unsafe { *out = ptr::without_provenance_mut(usize::MAX) };
    0
}

/// Succeeds without an answer.
unsafe extern "C" fn nothing(_: i32, _: i32, _: *mut *mut c_void) -> c_int {
    0
}

/// Answers null, the default stream.
unsafe extern "C" fn null(_: i32, _: i32, out: *mut *mut c_void) -> c_int {
    // SAFETY: the caller passes a valid out-pointer.
    unsafe { *out = ptr::null_mut() };
    0
}

/// Fails after it has written a handle.
unsafe extern "C" fn failure<const CODE: c_int>(
    kind: i32,
    id: i32,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: the caller passes a valid out-pointer.
    unsafe { by_device(kind, id, out) };
    CODE
}

/// Returns a table that lives until the process ends.
fn table(
    (major, minor): (u32, u32),
    prev_api: *mut ExchangeApiHeader,
    current_work_stream: Option<CurrentWorkStream>,
) -> *mut ExchangeApi {
    Box::into_raw(Box::new(ExchangeApi {
        header: ExchangeApiHeader { version: Version { major, minor }, prev_api },
        managed_tensor_allocator: ptr::null(),
        managed_tensor_from_py_object_no_sync: ptr::null(),
        managed_tensor_to_py_object_no_sync: ptr::null(),
        dltensor_from_py_object_no_sync: ptr::null(),
        current_work_stream,
    }))
}

/// Returns a header without a table, as one of a version that nobody knows. Reading more is out of bounds.
fn header((major, minor): (u32, u32), prev_api: *mut ExchangeApiHeader) -> *mut ExchangeApiHeader {
    Box::into_raw(Box::new(ExchangeApiHeader { version: Version { major, minor }, prev_api }))
}

/// Reads a table of these tests.
fn read(table: *const ExchangeApiHeader) -> Result<&'static ExchangeApi, ExchangeApiError> {
    // SAFETY: the tables of these tests are as the protocol wants them, or end at a header whose version says so.
    // They are never freed.
    unsafe { ExchangeApi::from_ptr(table.cast()) }
}

/// Asks a table for the current stream.
fn ask(function: CurrentWorkStream, device: Device) -> Result<usize, ContractError> {
    let table = read(table((1, 3), ptr::null_mut(), Some(function)).cast()).expect("a table");
    // SAFETY: the functions of these tests may be called anywhere.
    unsafe { table.current_work_stream(device) }
}

const fn cuda(ordinal: u32) -> Device {
    Device::new(Cuda, ordinal)
}

#[test]
fn layout_is_that_of_the_header() {
    let offsets = [
        std::mem::offset_of!(ExchangeApi, header.version),
        std::mem::offset_of!(ExchangeApi, header.prev_api),
        std::mem::offset_of!(ExchangeApi, managed_tensor_allocator),
        std::mem::offset_of!(ExchangeApi, managed_tensor_from_py_object_no_sync),
        std::mem::offset_of!(ExchangeApi, managed_tensor_to_py_object_no_sync),
        std::mem::offset_of!(ExchangeApi, dltensor_from_py_object_no_sync),
        std::mem::offset_of!(ExchangeApi, current_work_stream),
        size_of::<ExchangeApi>(),
    ];
    // Two 32-bit numbers, then pointers.
    let word = size_of::<usize>();
    assert_eq!(
        offsets,
        [0, 1, 2, 3, 4, 5, 6, 7].map(|n: usize| if n == 0 { 0 } else { 8 + (n - 1) * word })
    );
    assert_eq!(ATTRIBUTE, "__dlpack_c_exchange_api__");
    assert_eq!(CAPSULE_NAME, c"dlpack_exchange_api");
}

#[test]
fn table_answers_for_each_vendor_and_device() {
    for (backend, number) in [(Cuda, 2), (Hip, 10)] {
        for id in [0, 1, 7, i32::MAX] {
            let device = Device::new(backend, id.unsigned_abs());
            assert_eq!(ask(by_device, device), Ok(handle(number, id)), "{device}");
            assert_eq!(device_of(number, id), Ok(device));
        }
    }
    assert_eq!(ask(null, cuda(0)), Ok(0), "null is the default stream");
    assert_eq!(device_of(1, 0), Ok(Device::new(Host, 0)));
}

#[test]
fn every_minor_version_of_the_major_version_is_accepted() {
    for minor in [0, 1, 2, 3, 4, u32::MAX] {
        let found = read(table((1, minor), ptr::null_mut(), Some(null)).cast()).expect("a table");
        assert_eq!(found.header.version, Version { major: MAJOR_VERSION, minor });
    }
}

#[test]
fn chain_is_walked_to_the_first_table_of_the_major_version() {
    let oldest = header((0, 9), ptr::null_mut());
    let older = table((1, 2), oldest, Some(by_device));
    let newer = table((1, 3), older.cast(), Some(null));
    for start in [
        newer.cast(),
        header((2, 0), newer.cast()),
        header((9, 1), header((9, 0), header((2, 7), newer.cast()))),
    ] {
        let found = read(start).expect("a table");
        assert!(ptr::eq(found, newer), "{:?} was used", found.header.version);
    }
}

#[test]
fn tables_that_cannot_be_used_are_rejected_by_name() {
    let none = ptr::null_mut();
    let version = |major, minor| Version { major, minor };
    let itself = header((2, 0), none);
    // SAFETY: the header was made above, and nothing else uses it now.
    unsafe { (*itself).prev_api = itself };
    let two = header((3, 1), none);
    let one = header((3, 2), two);
    // SAFETY: both headers were made above, and nothing else uses them now.
    unsafe { (*two).prev_api = one };
    let misaligned = ptr::without_provenance_mut::<ExchangeApiHeader>(0x1001);
    use ExchangeApiError::{Chain, Misaligned, MissingFunction, Null};
    let cases: [(*const ExchangeApiHeader, ExchangeApiError, ErrorKind, &[&str]); 11] = [
        (none, Null, ErrorKind::InvalidHandle, &["null pointer", "__dlpack_c_exchange_api__"]),
        (misaligned, Misaligned { address: 0x1001 }, ErrorKind::InvalidHandle, &["0x1001"]),
        (
            header((2, 0), misaligned),
            Misaligned { address: 0x1001 },
            ErrorKind::InvalidHandle,
            &["0x1001"],
        ),
        (
            header((2, 0), none),
            ExchangeApiError::Version { given: version(2, 0), oldest: version(2, 0) },
            ErrorKind::Unsupported,
            &["version 2.0", "no older table", "1.x"],
        ),
        (
            header((0, 8), table((1, 3), none, Some(null)).cast()),
            ExchangeApiError::Version { given: version(0, 8), oldest: version(0, 8) },
            ErrorKind::Unsupported,
            &["version 0.8"],
        ),
        (
            header((4, 0), header((3, 0), none)),
            ExchangeApiError::Version { given: version(4, 0), oldest: version(3, 0) },
            ErrorKind::Unsupported,
            &["version 4.0", "end at 3.0"],
        ),
        (
            header((4, 0), header((0, 1), none)),
            ExchangeApiError::Version { given: version(4, 0), oldest: version(0, 1) },
            ErrorKind::Unsupported,
            &["end at 0.1"],
        ),
        (
            itself,
            Chain { version: version(2, 0), next: version(2, 0) },
            ErrorKind::Unsupported,
            &["version 2.0"],
        ),
        (
            one,
            Chain { version: version(3, 1), next: version(3, 2) },
            ErrorKind::Unsupported,
            &["3.1", "3.2"],
        ),
        (
            table((1, 3), table((1, 2), none, Some(null)).cast(), None).cast(),
            MissingFunction { version: version(1, 3) },
            ErrorKind::SymbolNotFound,
            &["current_work_stream", "1.3"],
        ),
        (
            header((2, 0), table((1, 2), none, None).cast()),
            MissingFunction { version: version(1, 2) },
            ErrorKind::SymbolNotFound,
            &["1.2"],
        ),
    ];
    for (pointer, expected, kind, parts) in cases {
        let error = read(pointer).expect_err("the table cannot be used");
        assert_eq!((error, error.kind()), (expected, kind));
        let text = error.to_string();
        assert!(text.starts_with("DLPack's exchange API: ") && !text.contains("  "), "{text:?}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
    }
}

#[test]
fn failures_of_the_function_are_errors_and_never_streams() {
    let device = cuda(3);
    let failures: [(c_int, CurrentWorkStream); 4] = [
        (-1, failure::<-1>),
        (1, failure::<1>),
        (c_int::MIN, failure::<{ c_int::MIN }>),
        (700, failure::<700>),
    ];
    for (code, function) in failures {
        let error = ask(function, device).expect_err("the function failed");
        let operation = "ExchangeApi::current_work_stream";
        assert_eq!(error, ContractError::CurrentStream { operation, device, code });
        assert_eq!(error.kind(), ErrorKind::Driver);
        for part in [operation, "cuda:3", &code.to_string(), "exception"] {
            assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        }
    }
    for function in [minus_one, nothing] {
        let error = ask(function, device).expect_err("-1 is no stream");
        assert_eq!(error.kind(), ErrorKind::InvalidHandle);
        for part in ["0xffff", "negative"] {
            assert!(error.to_string().contains(part), "{part:?} is not in {error}");
        }
    }
}

#[test]
fn table_without_the_function_made_by_hand_is_an_error() {
    // SAFETY: nothing else refers to the table, which is never freed.
    let table = unsafe { &*table((1, 3), ptr::null_mut(), None) };
    // SAFETY: there is no function that would be called.
    let error = unsafe { table.current_work_stream(cuda(0)) }.expect_err("no function");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("current_work_stream"), "{error}");
}

/// A function that must not be called.
unsafe extern "C" fn unreachable(_: i32, _: i32, _: *mut *mut c_void) -> c_int {
    std::process::abort()
}

#[test]
fn devices_without_streams_in_dlpack_are_rejected_before_the_call() {
    for backend in [Host, Other("metal")] {
        let error = ask(unreachable, Device::new(backend, 0)).expect_err("no streams");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains(backend.name()), "{error}");
    }
    let large = u32::MAX;
    let error = ask(unreachable, cuda(large)).expect_err("no such number in DLPack");
    assert_eq!(error.kind(), ErrorKind::InvalidDevice, "{error}");
    // Pinned and managed memory, and others' devices.
    for kind in [3, 4, 7, 8, 11, 12, 13, 14, 0, -1, i32::MAX] {
        let error = device_of(kind, 0).expect_err("no backend");
        assert_eq!(error.kind(), ErrorKind::BackendMismatch);
        assert!(error.to_string().contains(&format!("({kind}, 0)")), "{error}");
    }
    assert!(device_of(2, -1).is_err());
}

/// Answers a handle that tells which device was asked for.
unsafe extern "C" fn environment(kind: i32, id: i32) -> *mut c_void {
    ptr::without_provenance_mut(handle(kind, id))
}

/// Answers a number that no stream has.
unsafe extern "C" fn broken_environment(_: i32, _: i32) -> *mut c_void {
    ptr::without_provenance_mut(usize::MAX)
}

/// A function that must not be called.
unsafe extern "C" fn no_environment(_: i32, _: i32) -> *mut c_void {
    std::process::abort()
}

#[test]
fn environment_answers_for_each_vendor_and_device() {
    // SAFETY: the functions do what tvm-ffi's does, or are not called.
    let [fake, broken, none] = [environment, broken_environment, no_environment]
        .map(|function| unsafe { EnvStream::from_fn(function) });
    assert_eq!(fake.handle(cuda(1)), Ok(handle(2, 1)));
    assert_eq!(fake.handle(Device::new(Hip, 0)), Ok(handle(10, 0)));
    let kind = |result: Result<usize, ContractError>| result.expect_err("an error").kind();
    assert_eq!(kind(broken.handle(cuda(0))), ErrorKind::InvalidHandle);
    assert_eq!(kind(none.handle(Device::new(Host, 0))), ErrorKind::Unsupported);
    assert_eq!(
        kind(none.handle(Device::new(BackendKind::Other("metal"), 0))),
        ErrorKind::Unsupported
    );
    assert_eq!(kind(none.handle(cuda(u32::MAX))), ErrorKind::InvalidDevice);
}
