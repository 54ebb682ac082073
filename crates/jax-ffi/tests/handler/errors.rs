//! Calls that XLA cannot make, or that cannot do their work: each is an error that says why.

use std::ffi::c_int;
use std::ptr;

use gpu_stream::prelude::*;
use gpu_stream::{Cuda, RawStream};
use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
use gpu_stream_jax_ffi::error::HandlerError;
use gpu_stream_jax_ffi::xla::code::{
    FAILED_PRECONDITION, INTERNAL, INVALID_ARGUMENT, UNIMPLEMENTED,
};
use gpu_stream_jax_ffi::xla::{Api, CallFrame, Metadata, MetadataExtension};
use gpu_stream_jax_ffi::{branches, call, gpu_stream_jax_copy, gpu_stream_jax_copy_capturable};
use gpu_stream_test_support::{Case, cases, skip};

use crate::fake::{Call, ask_metadata, ask_metadata_of, table};
use crate::order::{Execution, is_done};

pub const CASES: &[Case] = &cases![
    the_metadata_have_the_newest_version_that_both_know,
    bad_calls_are_errors,
    calls_without_a_table_submit_nothing,
    a_driver_that_fails_is_an_error,
];

const SIZES: [usize; 2] = [size_of::<MetadataExtension>(), Metadata::SIZE];

fn the_metadata_have_the_newest_version_that_both_know() {
    for (theirs, minor) in [(1, 1), (3, 3), (4, 4), (9, 4), (0, 1)] {
        assert_eq!(ask_metadata(Some(&table(theirs)), SIZES), Ok((0, minor, 0)), "0.{theirs}");
    }
    assert_eq!(ask_metadata(None, SIZES), Ok((0, 1, 0)));
    let (asked, compatible) =
        (ask_metadata_of(gpu_stream_jax_copy_capturable, Some(&table(4)), SIZES), 1);
    assert_eq!(asked, Ok((0, 4, compatible)));
    for (place, text) in [(0, "has 31 bytes, and 32"), (1, "has 35 bytes, and 36")] {
        let mut sizes = SIZES;
        sizes[place] -= 1;
        let (code, message) = ask_metadata(Some(&table(4)), sizes).expect_err("too short");
        assert!(code == FAILED_PRECONDITION && message.contains(text), "{message}");
    }
}

/// Changes the parts of a call.
type Change = fn(&mut Call);

/// What is wrong, and the code and words of the error.
const BAD: &[(Change, c_int, &[&str])] = &[
    (|call| call.frame_size -= 1, FAILED_PRECONDITION, &["call frame has 167 bytes", "168"]),
    (|call| call.frame_size = 32, FAILED_PRECONDITION, &["call frame has 32 bytes"]),
    (|call| change(call, |table| table.version.minor = 0), FAILED_PRECONDITION, &["0.0", "0.1"]),
    (|call| change(call, |table| table.version.major = 1), FAILED_PRECONDITION, &["1.4", "jaxlib"]),
    (|call| change(call, |table| table.struct_size = 87), FAILED_PRECONDITION, &["87", "88"]),
    (|call| change(call, |table| table.struct_size = 56), FAILED_PRECONDITION, &["56", "88"]),
    (
        |call| change(call, |table| table.stream_get = None),
        FAILED_PRECONDITION,
        &["no function XLA_FFI_Stream_Get"],
    ),
    (
        |call| change(call, |table| table.error_destroy = None),
        FAILED_PRECONDITION,
        &["no function XLA_FFI_Error_Destroy"],
    ),
    (|call| call.stage = 1, UNIMPLEMENTED, &["stage 1", "execute"]),
    (|call| call.args.clear(), INVALID_ARGUMENT, &["0 arguments"]),
    (|call| call.rets.push(call.rets[0].clone()), INVALID_ARGUMENT, &["2 results"]),
    (|call| call.list_size = 39, FAILED_PRECONDITION, &["arguments has 39 bytes", "40"]),
    (|call| call.attributes_size = 40, FAILED_PRECONDITION, &["attributes has 40 bytes", "48"]),
    (|call| call.buffer_kind = 9, INVALID_ARGUMENT, &["argument is of kind 9"]),
    (|call| call.buffer_size = 40, FAILED_PRECONDITION, &["argument has 40 bytes", "48"]),
    (|call| call.args[0].dtype = 21, INVALID_ARGUMENT, &["argument has elements of XLA's type 21"]),
    (|call| call.rets[0].dims = vec![1000], INVALID_ARGUMENT, &["result has 4000 bytes", "4004"]),
    (|call| call.args[0].dims = vec![-1], INVALID_ARGUMENT, &["the shape [-1]"]),
    (|call| call.args[0].dims = vec![1 << 40; 2], INVALID_ARGUMENT, &["smaller"]),
    (
        |call| call.attributes = vec![("clear", 1)],
        INVALID_ARGUMENT,
        &["`clear` is unknown", "clears"],
    ),
    (|call| call.attributes = vec![("clears", -1)], INVALID_ARGUMENT, &["`clears` is -1"]),
    (|call| call.attributes = vec![("without", 3)], INVALID_ARGUMENT, &["`without` is 3", "0, 1"]),
    (
        |call| (call.attributes, call.attribute_dtype) = (vec![("clears", 1)], 11),
        INVALID_ARGUMENT,
        &["`clears` is no 32-bit integer", "numpy.int32"],
    ),
    (
        |call| call.answer = Err(c"no context of a GPU"),
        UNIMPLEMENTED,
        &["no stream for 4004 bytes: no context of a GPU", "jax.devices(\"cuda\")"],
    ),
    (
        |call| call.answer = Ok(ptr::null_mut()),
        FAILED_PRECONDITION,
        &["XLA_FFI_Stream_Get", "null"],
    ),
    (
        |call| call.answer = Ok(RawStream::<Cuda>::PER_THREAD.as_ptr()),
        INTERNAL,
        &["stream_from_raw: handle 0x2"],
    ),
];

fn change(call: &mut Call, with: impl FnOnce(&mut Api)) {
    with(call.table.as_mut().expect("a table"));
}

fn bad_calls_are_errors() {
    let execution = Execution::new();
    for (minor, (change, code, words)) in
        [3, 4].into_iter().flat_map(|minor| BAD.iter().map(move |bad| (minor, bad)))
    {
        let mut call = execution.call();
        call.table = Some(table(minor));
        change(&mut call);
        let (found, text) = call.run().expect_err(words[0]);
        assert_eq!(found, *code, "{text}");
        assert!(text.starts_with("gpu_stream_jax_copy: "), "{text}");
        for word in words.iter().filter(|word| minor == 4 || **word != "1.4") {
            assert!(text.contains(word), "{word}: {text}");
        }
    }
    // Later calls are as before.
    execution.call().run().expect("a good call");
    execution.space.synchronize(execution.stream);
}

/// Nothing but standard error can say what is wrong here.
fn calls_without_a_table_submit_nothing() {
    let execution = Execution::new();
    let mut without = execution.call();
    execution.write(8);
    execution.space.synchronize(execution.stream);
    without.table = None;
    let mut short = execution.call();
    change(&mut short, |table| table.struct_size = Api::SIZE_TO_ERRORS - 1);
    let mut no_create = execution.call();
    change(&mut no_create, |table| table.error_create = None);
    for (bad, text) in
        [(&without, "null pointer"), (&short, "55 bytes"), (&no_create, "XLA_FFI_Error_Create")]
    {
        bad.run().expect("null, which is all that XLA can get");
        // SAFETY: the fake's frame is valid.
        let error = bad.frame(|frame| unsafe { call(frame, 0) }).expect_err(text);
        assert!(error.to_string().contains(text), "{error}");
    }
    // SAFETY: null is allowed.
    unsafe {
        assert!(gpu_stream_jax_copy(ptr::null_mut()).is_null());
        let error = call(ptr::null(), 0).expect_err("no frame");
        assert!(matches!(error, HandlerError::TooShort { found: 0, needed: CallFrame::SIZE, .. }));
    }
    branches::synchronize().expect("the handler's streams");
    assert_eq!(execution.space.read(execution.to, 1), [0], "work was submitted");
}

/// Fails each call of the driver in turn. The arrays are then no longer used, because XLA may free them.
fn a_driver_that_fails_is_an_error() {
    const OUT_OF_MEMORY: i32 = 2;
    if !cuda_sim::is_loaded() {
        skip("needs the simulated driver, which fails on demand");
    }
    let controls = cuda_sim::library().and_then(Controls::of).expect("the simulator's controls");
    let execution = Execution::new();
    let own = execution.own();
    for (function, last) in
        [("cuMemcpyDtoDAsync_v2", 2), ("cuMemsetD8Async", 4), ("cuStreamWaitEvent", 4)]
    {
        for occurrence in 1..=last + 1 {
            // Work that takes long, so that streams which are not waited for are found busy.
            for branch in &own {
                execution.space.slow_store(branch.raw().as_ptr(), execution.to, 1, 1_000);
            }
            let mut call = execution.call();
            call.attributes = vec![("clears", 2)];
            let fault = InjectedFault::Answer(OUT_OF_MEMORY);
            controls.set(function, At::Occurrence(occurrence), Threads::This, fault);
            let outcome = call.run();
            let has_failed = controls.triggered() > 0;
            controls.clear();
            assert_eq!(has_failed, occurrence <= last, "{function} {occurrence}");
            match outcome {
                Ok(()) => assert!(!has_failed, "{function} {occurrence}"),
                Err((code, text)) => {
                    assert!(has_failed && code == INTERNAL, "{function} {occurrence}: {text}");
                    assert!(own.iter().all(is_done), "{function} {occurrence}: {text}");
                }
            }
            execution.space.synchronize(execution.stream);
        }
    }
}
