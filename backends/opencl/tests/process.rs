//! Whole processes: without a library, without a driver, with a library that is not OpenCL, after a fork, and at the exit.

use std::process::{Command, ExitCode, Output};

use gpu_stream_core::{Backend, Device, Error, ErrorKind, EventOptions, Stream, StreamOptions};
use gpu_stream_opencl::{OpenCl, OpenClStream};
use gpu_stream_test_support::opencl::Gate;
use gpu_stream_test_support::{Children, run_to_exit};
use libtest_mimic::{Arguments, Completion, Trial};

const LIBRARY: &str = "GPU_STREAM_OPENCL_LIBRARY";

const CHILDREN: Children = Children {
    variable: "GPU_STREAM_TEST_OPENCL_CASE",
    program: || Ok(Command::new(std::env::current_exe()?)),
};

/// What a child process does.
const CHILD_CASES: [(&str, fn()); 5] = [
    ("no_library", no_library),
    ("another_library", another_library),
    ("no_platform", no_platform),
    #[cfg(unix)]
    ("child_of_a_fork", child_of_a_fork),
    #[cfg(not(unix))]
    ("child_of_a_fork", || gpu_stream_test_support::skip("the system has no fork")),
    ("exit_with_a_shut_gate", exit_with_a_shut_gate),
];

fn main() -> ExitCode {
    if let Some(case) = CHILDREN.case(&CHILD_CASES) {
        run_to_exit(case);
        return ExitCode::SUCCESS;
    }
    let missing = OpenCl::probe().err().map(|error| error.to_string());
    let trials = CHILD_CASES.into_iter().map(|(name, _)| {
        // The others need no device, and find none.
        let needs_device = !matches!(name, "no_library" | "another_library" | "no_platform");
        let missing = missing.clone().filter(|_| needs_device);
        let is_required = gpu_stream_test_support::is_required(OpenCl::KIND);
        Trial::ignorable_test(name, move || match missing {
            Some(reason) if is_required => {
                Err(format!("skipped, but GPU_STREAM_REQUIRE names opencl: {reason}").into())
            }
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => gpu_stream_test_support::completion(&child(name)),
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn child(name: &str) -> Output {
    let mut command = CHILDREN.command(name);
    match name {
        "no_library" => command.env(LIBRARY, "/no/such/libOpenCL.so.1"),
        "another_library" => command.env(LIBRARY, "libc.so.6"),
        "no_platform" => command.env("OCL_ICD_VENDORS", "/no/such/folder"),
        _ => &mut command,
    };
    command.output().expect("this program starts")
}

/// Checks that every call that starts the driver returns an error of this kind. Returns the text.
fn refused(kind: ErrorKind) -> String {
    let device = Device::new(OpenCl::KIND, 0);
    let errors = [
        OpenCl::probe().err(),
        OpenCl::devices().err(),
        OpenCl::new_stream(device, StreamOptions::new()).err(),
        OpenCl::new_event(device, EventOptions::new()).err(),
    ];
    let texts = errors.map(|error| {
        let error = error.expect("nothing can be started");
        assert_eq!(error.kind(), kind, "{error}");
        error.to_string()
    });
    texts.into_iter().next().expect("a text")
}

fn no_library() {
    let text = refused(ErrorKind::LibraryNotFound);
    assert!(text.contains("/no/such/libOpenCL.so.1") && text.contains(LIBRARY), "{text}");
}

fn another_library() {
    let Err(error) = OpenCl::probe() else { panic!("libc is no OpenCL") };
    assert!(
        matches!(error.kind(), ErrorKind::LibraryNotFound | ErrorKind::SymbolNotFound),
        "{error}"
    );
    assert!(error.to_string().contains("libc.so.6"), "{error}");
}

fn no_platform() {
    let Err(error) = OpenCl::probe() else {
        gpu_stream_test_support::skip("the library does not read OCL_ICD_VENDORS");
    };
    if error.kind() == ErrorKind::LibraryNotFound {
        gpu_stream_test_support::skip(&error.to_string());
    }
    let text = refused(ErrorKind::NoDevice);
    assert!(text.contains("OCL_ICD_VENDORS") && text.contains("clinfo"), "{text}");
}

fn stream() -> OpenClStream {
    OpenCl::new_stream(OpenCl::device(0).unwrap(), StreamOptions::new()).unwrap()
}

#[cfg(unix)]
fn child_of_a_fork() {
    use gpu_stream_core::Event as _;
    let (stream, other) = (stream(), stream());
    let event = stream.record_event().unwrap();
    stream.launch_host_func(Box::new(|| {})).unwrap();
    // SAFETY: the child calls this backend only, which refuses, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let kinds = [
            stream.query().map(drop),
            stream.synchronize(),
            stream.record(&event),
            stream.wait_event(&event),
            stream.wait_stream(&other),
            stream.launch_host_func(Box::new(|| {})),
            event.query().map(drop),
            event.synchronize(),
            stream.new_stream(StreamOptions::new()).map(drop),
            OpenCl::devices().map(drop),
        ]
        .map(|result| result.err().map(|error| error.kind()));
        drop((stream, other, event)); // releases nothing
        let is_right = kinds.iter().all(|kind| *kind == Some(ErrorKind::NotPermitted));
        if !is_right {
            eprintln!("in the child: {kinds:?}");
        }
        // SAFETY: ends the child without the parent's exit handlers.
        unsafe { libc::_exit(if is_right { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `&mut status` is a valid out-pointer.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child failed");
    stream.synchronize().unwrap();
    other.wait_stream(&stream).unwrap();
    other.synchronize().unwrap();
}

fn exit_with_a_shut_gate() {
    let (stream, other) = (stream(), stream());
    let gate = Gate::shut(stream.raw_context(), stream.raw().as_ptr()).unwrap();
    stream.launch_host_func(Box::new(|| eprintln!("ran behind a shut gate"))).unwrap();
    other.wait_stream(&stream).unwrap();
    drop((stream, other));
    std::mem::forget(gate);
}
