//! `available` and `backend`: what is there, what is missing, and that the answers can be told
//! apart.

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
fn a_backend_that_does_not_exist_yet_says_so_whatever_features_are_on() {
    for kind in [BackendKind::Cuda, BackendKind::Hip] {
        let item = of(kind);
        assert!(!item.is_compiled() && !item.is_ready());
        assert_eq!(item.library(), Library::NotLookedFor);
        assert!(item.devices().is_empty());
        let line = item.to_string();
        let name = kind.name().to_uppercase();
        assert!(line.contains(&format!("has no {name} backend yet")), "{line}");
        assert!(item.advice().unwrap().contains("later version of gpu-stream"));
        assert_eq!(backend(kind).err().unwrap().kind(), ErrorKind::NotCompiled);
    }
}

#[test]
fn an_unknown_backend_is_not_compiled_and_the_way_out_is_named() {
    let error = backend(BackendKind::Other("metal")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotCompiled);
    let text = error.to_string();
    assert!(text.contains("metal") && text.contains("host, cuda and hip"), "{text}");
}

#[test]
fn a_backend_that_is_ready_is_given_out() {
    let host = backend(BackendKind::Host).unwrap();
    assert_eq!(host.kind(), BackendKind::Host);
    assert_eq!(host.devices().unwrap().len(), of(BackendKind::Host).devices().len());
}

#[test]
fn what_is_missing_is_told_apart() {
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
fn a_line_of_text_says_it_all() {
    let line = of(BackendKind::Host).to_string();
    let count = Host::devices().unwrap().len();
    let version = Host::probe().unwrap().version;
    let plural = if count == 1 { "" } else { "s" };
    assert_eq!(line, format!("host: ready (default), version {version}, {count} device{plural}"));
    let line = Availability::of(&Fake::<NoDevice>::VALUE).to_string();
    assert_eq!(line, "fake: not ready: the driver has no device");
}
