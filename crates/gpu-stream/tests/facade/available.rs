//! `available` and `backend`: the state of each backend, and a separate error for each thing that
//! is missing.

use crate::fake::{Fake, Probe, Ready};
use gpu_stream::{
    Availability, Backend, BackendKind, DefaultBackend, Error, ErrorKind, Host, Library, available,
    backend,
};

macro_rules! missing {
    ($name:ident, $kind:ident, $text:literal) => {
        struct $name;

        impl Probe for $name {
            const FAILS: Option<(ErrorKind, &'static str)> = Some((ErrorKind::$kind, $text));
        }
    };
}

missing!(NoLibrary, LibraryNotFound, "libfake.so.1 was not found; looked in /fake/lib");
missing!(NoDevice, NoDevice, "the driver has no device");
missing!(OldDriver, DriverTooOld, "the driver is of the year 2001");

fn of(kind: BackendKind) -> Availability {
    let mut found = available().into_iter().filter(|item| item.backend == kind);
    let first = found.next().expect("every known backend is listed");
    assert!(found.next().is_none(), "{kind} is listed once");
    first
}

#[test]
fn every_known_backend_is_listed_in_order() {
    let listed: Vec<_> = available().iter().map(|item| item.backend).collect();
    assert_eq!(listed, BackendKind::KNOWN);
}

#[test]
fn the_host_is_ready() {
    let host = of(BackendKind::Host);
    assert!(host.is_compiled() && host.is_ready());
    assert_eq!(host.library(), Library::NotNeeded);
    assert_eq!(host.devices().len(), Host::devices().unwrap().len());
    assert_eq!(host.version(), Some(Host::probe().unwrap().version.as_str()));
    assert_eq!((host.why_not(), host.advice()), (None, None));
}

#[test]
fn one_backend_is_the_default_and_it_is_the_alias() {
    let defaults: Vec<_> = available().into_iter().filter(|item| item.is_default).collect();
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0].backend, DefaultBackend::KIND);
    assert!(defaults[0].is_compiled());
}

#[test]
fn the_default_is_the_first_of_cuda_hip_opencl_and_host_that_is_compiled_in() {
    let wanted = match () {
        () if cfg!(feature = "cuda") => BackendKind::Cuda,
        () if cfg!(feature = "hip") => BackendKind::Hip,
        () if cfg!(feature = "opencl") => BackendKind::OpenCl,
        () => BackendKind::Host,
    };
    assert_eq!(DefaultBackend::KIND, wanted);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn cuda_reports_not_compiled_without_its_feature() {
    let text = not_compiled(BackendKind::Cuda, "the feature `cuda`");
    assert!(text.contains("the feature `cuda`"), "{text}");
}

#[cfg(not(feature = "hip"))]
#[test]
fn hip_reports_not_compiled_without_its_feature() {
    let text = not_compiled(BackendKind::Hip, "the feature `hip`");
    assert!(text.contains("the feature `hip`"), "{text}");
}

#[cfg(not(feature = "opencl"))]
#[test]
fn opencl_reports_not_compiled_without_its_feature() {
    let text = not_compiled(BackendKind::OpenCl, "the feature `opencl`");
    assert!(text.contains("the feature `opencl`"), "{text}");
}

#[cfg(not(all(feature = "cuda", feature = "hip", feature = "opencl")))]
/// Checks a backend that is not part of this build, and whose advice contains `advice`. Returns its
/// line.
fn not_compiled(kind: BackendKind, advice: &str) -> String {
    let item = of(kind);
    assert!(!item.is_compiled() && !item.is_ready());
    assert_eq!(item.library(), Library::NotLookedFor);
    assert!(item.devices().is_empty());
    assert!(item.advice().unwrap().contains(advice), "{:?}", item.advice());
    assert_eq!(backend(kind).err().unwrap().kind(), ErrorKind::NotCompiled);
    item.to_string()
}

#[cfg(feature = "cuda")]
#[test]
fn cuda_reports_one_reason_everywhere_if_not_ready() {
    check_one_reason_everywhere::<gpu_stream::Cuda>("libcuda.so.1");
}

#[cfg(feature = "hip")]
#[test]
fn hip_reports_one_reason_everywhere_if_not_ready() {
    check_one_reason_everywhere::<gpu_stream::Hip>("libamdhip64.so");
}

#[cfg(feature = "opencl")]
#[test]
fn opencl_reports_one_reason_everywhere_if_not_ready() {
    check_one_reason_everywhere::<gpu_stream::OpenCl>("libOpenCL.so.1");
}

/// Checks that all calls give the same answer and none panics, with or without a driver.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
fn check_one_reason_everywhere<B: Backend>(library: &str) {
    use gpu_stream::{Any, AnyError, StreamOptions};
    let item = of(B::KIND);
    assert!(item.is_compiled());
    assert_eq!(item.is_default, DefaultBackend::KIND == B::KIND);
    let device = gpu_stream::Device::new(B::KIND, 0);
    let first = Any::device(0).unwrap();
    let Err(why) = &item.probe else {
        assert!(matches!(item.library(), Library::Found(Some(_))), "{:?}", item.library());
        // OpenCL can be ready where the default backend is not, and then stands after the host.
        assert!(!item.is_default || first.backend() == B::KIND, "{first}");
        assert_eq!(B::device(0).unwrap(), device);
        return;
    };
    println!("without a device of {}: {why}", B::KIND);
    assert_ne!(first.backend(), B::KIND, "the first device of whatever is ready");
    let answers = [
        backend(B::KIND).err().unwrap(),
        AnyError::new(B::device(0).unwrap_err()),
        AnyError::new(B::devices().unwrap_err()),
        AnyError::new(B::new_stream(device, StreamOptions::new()).unwrap_err()),
        Any::new_stream(device, StreamOptions::new()).unwrap_err(),
    ];
    // OpenCL has no default stream, with a device and without one.
    let has_default = B::KIND != BackendKind::OpenCl;
    let default = has_default.then(|| Any::default_stream(device).unwrap_err());
    for answer in answers.into_iter().chain(default) {
        assert_eq!((answer.kind(), answer.to_string()), (why.kind(), why.to_string()));
    }
    assert!(item.to_string().contains(&why.to_string()), "{item}");
    if why.kind() == ErrorKind::LibraryNotFound {
        assert!(why.to_string().contains(library) || cfg!(windows), "{why}");
        assert_eq!(item.library(), Library::NotFound(why.to_string()));
    }
    if why.kind() == ErrorKind::NoDevice {
        let Library::Found(Some(file)) = item.library() else { panic!("{:?}", item.library()) };
        assert!(why.to_string().contains(&file), "{file}: {why}");
    }
}

/// The variable that tells a child process which backend to ask.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
const ASKED: &str = "GPU_STREAM_TEST_BACKEND";

/// Prints the advice for a backend, in a process whose variable names no file.
#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
#[test]
fn child_prints_the_advice() {
    let Ok(asked) = std::env::var(ASKED) else { return };
    let mut all = available().into_iter();
    let item = all.find(|item| item.backend.to_string() == asked).expect("a backend");
    println!("{item}\n{}", item.advice().expect("an advice"));
}

#[cfg(any(feature = "cuda", feature = "hip", feature = "opencl"))]
#[test]
fn advice_for_a_variable_that_names_no_file_is_to_correct_it() {
    for (backend, variable, is_compiled) in [
        ("cuda", "GPU_STREAM_CUDA_LIBRARY", cfg!(feature = "cuda")),
        ("hip", "GPU_STREAM_HIP_LIBRARY", cfg!(feature = "hip")),
        ("opencl", "GPU_STREAM_OPENCL_LIBRARY", cfg!(feature = "opencl")),
    ] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "available::child_prints_the_advice", "--nocapture"]);
        let output = child.env(ASKED, backend).env(variable, "/no/such.so").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let says = |part: &str| text.contains(&format!("{part} or unset {variable}"));
        assert_eq!((says("; correct"), says("Correct")), (is_compiled, is_compiled), "{text}");
        assert!(!is_compiled || !text.contains("LD_LIBRARY_PATH"), "{text}");
    }
}

#[test]
fn an_unknown_backend_is_not_compiled_and_the_error_names_a_remedy() {
    let error = backend(BackendKind::Other("metal")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotCompiled);
    let text = error.to_string();
    assert!(text.contains("metal") && text.contains("host, cuda, hip and opencl"), "{text}");
}

#[test]
fn a_device_of_any_itself_is_rejected_with_a_remedy() {
    use gpu_stream::{Any, Device, StreamOptions};
    let error = Any::new_stream(Device::new(Any::KIND, 0), StreamOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotCompiled);
    assert!(error.to_string().contains("`Any::device(n)`"), "{error}");
}

#[test]
fn backend_returns_a_backend_that_is_ready() {
    let host = backend(BackendKind::Host).unwrap();
    assert_eq!(host.kind(), BackendKind::Host);
    assert_eq!(host.devices().unwrap().len(), of(BackendKind::Host).devices().len());
}

#[test]
fn availability_distinguishes_what_is_missing() {
    let ask = |backend: &dyn gpu_stream::dynamic::DynBackend| Availability::of(backend);

    let ready = ask(&Fake::<Ready>::VALUE);
    assert_eq!(ready.library(), Library::Found(Some("libfake.so.1".into())));
    assert!(!ready.is_default && ready.is_ready());

    let item = ask(&Fake::<NoLibrary>::VALUE);
    assert_eq!(item.why_not(), Some(ErrorKind::LibraryNotFound));
    let Library::NotFound(text) = item.library() else { panic!("{:?}", item.library()) };
    assert!(text.contains("/fake/lib"), "{text}");
    assert!(item.is_compiled() && !item.is_ready());
    assert!(item.advice().unwrap().contains("LD_LIBRARY_PATH"));

    let item = ask(&Fake::<NoDevice>::VALUE);
    assert_eq!((item.why_not(), item.library()), (Some(ErrorKind::NoDevice), Library::Found(None)));
    assert!(item.advice().unwrap().contains("lists a device"));

    let item = ask(&Fake::<OldDriver>::VALUE);
    assert_eq!(item.why_not(), Some(ErrorKind::DriverTooOld));
    assert!(item.advice().unwrap().contains("newer driver"));
}

#[test]
fn display_is_one_line_with_the_state_of_the_backend() {
    let line = of(BackendKind::Host).to_string();
    let count = Host::devices().unwrap().len();
    let version = Host::probe().unwrap().version;
    let plural = if count == 1 { "" } else { "s" };
    let default = if of(BackendKind::Host).is_default { " (default)" } else { "" };
    assert_eq!(line, format!("host: ready{default}, version {version}, {count} device{plural}"));
    let line = Availability::of(&Fake::<NoDevice>::VALUE).to_string();
    assert_eq!(line, "fake: not ready: the driver has no device");
}
