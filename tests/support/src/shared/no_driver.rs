//! Machines without a driver, with another library of its name, with a driver that is too old, and without a
//! device. Each case is a process of its own, because a started driver is kept.

use std::process::ExitCode;

use gpu_stream_core::{
    Backend, Device, Error, ErrorKind, EventOptions, KeepAlive, RawStream, StreamOptions,
};
use libtest_mimic::{Completion, Failed, Trial};

use super::start_again::Starts;
use crate::vendor::{ErrorOf, Vendor};
use crate::{is_required, over, run_trials};

/// The case of a child process.
const EVERYTHING: &str = "everything";

/// A vendor's names of libraries, and texts.
pub trait Names: Starts {
    /// The variable of the number of simulated devices.
    const DEVICES: &'static str;
    /// Parts of the text if no library is found.
    const NOT_FOUND: &'static [&'static str];
    /// The first function that is looked up.
    const FIRST_FUNCTION: &'static str;
    /// The oldest version, as the error shows it.
    const OLDEST: &'static str;
}

/// Runs all cases.
pub fn main<V: Names>() -> ExitCode {
    if std::env::var(V::CHILDREN.variable).is_ok() {
        V::prepare_child();
        return every_call::<V>();
    }
    type Case = fn() -> Result<Completion, Failed>;
    let cases: [(&str, Case); 5] = [
        ("no_library", no_library::<V>),
        ("wrong_name_in_the_variable", wrong_name_in_the_variable::<V>),
        ("another_library_under_the_name", another_library_under_the_name::<V>),
        ("old_driver_is_rejected", old_driver_is_rejected::<V>),
        ("no_device", no_device::<V>),
    ];
    V::prepare();
    run_trials(cases.map(|(name, case)| Trial::ignorable_test(name, case)).into())
}

/// Makes every call that starts the driver. All must return the same error, and none may panic. Prints the
/// kind and the text.
fn every_call<V: Vendor>() -> ExitCode {
    if V::Backend::probe().is_ok() {
        // A driver would follow the handle below.
        println!("Works");
        return ExitCode::SUCCESS;
    }
    let device = Device::new(V::Backend::KIND, 0);
    let raw = RawStream::from_bits(0x7f00_1000);
    // SAFETY: without a driver, no handle is used.
    let wrapped = unsafe {
        [
            V::Backend::stream_from_raw(raw, None).err(),
            V::Backend::stream_from_raw(raw, Some(device)).err(),
            V::Backend::stream_from_raw(RawStream::DEFAULT, None).err(),
            V::Backend::stream_from_raw_unchecked(raw, device).err(),
            V::Backend::stream_from_raw_with_owner(RawStream::LEGACY, None, KeepAlive::none())
                .err(),
        ]
    };
    let others = [
        V::Backend::probe().err(),
        V::Backend::devices().err(),
        V::Backend::device(0).err(),
        V::Backend::default_stream(device).err(),
        V::Backend::per_thread_stream(device).err(),
        V::Backend::new_stream(device, StreamOptions::new()).err(),
        V::Backend::new_event(device, EventOptions::new()).err(),
        V::Backend::priority_range(device).err(),
        // SAFETY: without a driver, no handle is used.
        unsafe { V::ipc_open([0; 64]) }.err(),
    ];
    let errors: Vec<ErrorOf<V>> = wrapped.into_iter().chain(others).flatten().collect();
    assert_eq!(errors.len(), 14, "some calls worked: {errors:?}");
    for error in &errors {
        assert_eq!((error.kind(), error.to_string()), (errors[0].kind(), errors[0].to_string()));
    }
    println!("{}\n{}", errors[0].kind(), errors[0]);
    ExitCode::SUCCESS
}

/// Returns the kind and the text that every call reports over a library and with these variables.
fn reported<V: Vendor>(
    library: &str,
    variables: &[(&str, &str)],
) -> Result<(String, String), Failed> {
    let mut command = over::<V>(EVERYTHING, library.as_ref());
    let output = command.envs(variables.iter().copied()).output()?;
    if !output.status.success() {
        return Err(format!("the child failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (kind, text) = text.split_once('\n').unwrap_or((&text, ""));
    Ok((kind.into(), text.trim().into()))
}

/// Checks the kind of an error, and that its text contains all `parts`.
fn expect(
    (reported_kind, text): (String, String),
    kind: ErrorKind,
    parts: &[&str],
) -> Result<Completion, Failed> {
    if reported_kind != kind.to_string() {
        return Err(format!("the kind is {reported_kind} and should be {kind}: {text}").into());
    }
    match parts.iter().find(|part| !text.contains(*part)) {
        Some(part) => Err(format!("the text should name {part}: {text}").into()),
        None => Ok(Completion::Completed),
    }
}

fn no_library<V: Names>() -> Result<Completion, Failed> {
    let reported = reported::<V>("", &[])?;
    if reported.0 != ErrorKind::LibraryNotFound.to_string() {
        return Ok(Completion::ignored_with("this machine has a driver"));
    }
    expect(reported, ErrorKind::LibraryNotFound, &[&[V::LIBRARY], V::NOT_FOUND].concat())
}

fn wrong_name_in_the_variable<V: Names>() -> Result<Completion, Failed> {
    let name = "/nowhere/lib-that-does-not-exist.so";
    let remedy = format!("; correct or unset {}", V::LIBRARY);
    let parts = [name, "no other was tried", &*remedy];
    expect(reported::<V>(name, &[])?, ErrorKind::LibraryNotFound, &parts)
}

fn another_library_under_the_name<V: Names>() -> Result<Completion, Failed> {
    if !cfg!(target_os = "linux") {
        return Ok(Completion::ignored_with("the name of another library is known on Linux only"));
    }
    let name = "libm.so.6";
    expect(reported::<V>(name, &[])?, ErrorKind::SymbolNotFound, &[name, V::FIRST_FUNCTION])
}

/// Returns the library with a fault plan, or the outcome of a case that cannot run without it.
fn library<V: Vendor>() -> Result<String, Result<Completion, Failed>> {
    match V::faulty_library() {
        Ok(library) => Ok(library.to_str().expect("a path that is text").to_owned()),
        Err(reason) if is_required(V::Backend::KIND) => Err(Err(reason.into())),
        Err(reason) => Err(Ok(Completion::ignored_with(reason))),
    }
}

fn old_driver_is_rejected<V: Names>() -> Result<Completion, Failed> {
    let library = match library::<V>() {
        Ok(library) => library,
        Err(outcome) => return outcome,
    };
    let (variable, version, shown) = V::OLD;
    let reported = reported::<V>(&library, &[(variable, version)])?;
    expect(reported, ErrorKind::DriverTooOld, &[&library, shown, V::OLDEST])
}

/// The machine's own way to have no device. The other codes are those of
/// [`failed_call_is_repeated`](super::start_again::failed_call_is_repeated).
fn no_device<V: Names>() -> Result<Completion, Failed> {
    let library = match library::<V>() {
        Ok(library) => library,
        Err(outcome) => return outcome,
    };
    let reported = reported::<V>(&library, &[(V::DEVICES, "0")])?;
    expect(reported, ErrorKind::NoDevice, &[&library, "version ", V::VISIBLE])
}
