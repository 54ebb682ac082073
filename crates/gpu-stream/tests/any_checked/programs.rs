//! The programs that the tests run.

use std::panic::Location;

use gpu_stream::checked::{CheckedStream, FindingKind, Report};
use gpu_stream::prelude::*;
use gpu_stream::retain::Refused;
use gpu_stream::{
    Access, Any, AnyError, AnyEvent, AnyStream, Checked, Host, HostStream, Reclaimer, Region,
};

/// Runs the program with this name.
pub fn run(name: &str) {
    match name {
        "places" => places().expect("the host does it"),
        "retained" => retained().expect("the host does it"),
        "mixture" => mixture().expect("the host does it"),
        "plain" => plain().expect("the host does it"),
        "mistakes" => mistakes().expect("the host does it"),
        "unknown_value" => unknown_value(),
        other => panic!("there is no program {other}"),
    }
}

/// The host in its object-safe form, without a check.
const PLAIN: &dyn gpu_stream::dynamic::DynBackend = &Host;

fn device() -> Device {
    Device::new(BackendKind::Host, 0)
}

fn two_streams() -> Result<[AnyStream; 2], AnyError> {
    let stream = Any::new_stream(device(), StreamOptions::new())?;
    Ok([stream.new_stream(StreamOptions::new())?, stream])
}

fn is_checked(stream: &AnyStream) -> bool {
    stream.as_dyn().as_any().is::<CheckedStream<Host>>()
}

/// Returns the line of the caller.
#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

/// Checks that `report` has one finding, of this kind and at these lines of this file.
#[track_caller]
fn check_one(report: &Report, kind: FindingKind, first: u32, second: u32) {
    let [finding] = &report.findings[..] else { panic!("one finding is expected: {report}") };
    assert_eq!(finding.kind, kind, "{report}");
    let site = finding.first.as_ref().expect("two calls make the mistake");
    for (place, line) in [(site.place, first), (finding.second.place, second)] {
        assert_eq!((place.file(), place.line()), (file!(), line), "{report}");
    }
}

/// Every call of a stream has the place of the program.
fn places() -> Result<(), AnyError> {
    let (result, report) = Checked::<Host>::scope(|_| {
        let [first, second] = two_streams()?;
        let data = Region::new("data", 0x1000, 16);
        first.writes(&data);
        second.reads(&data);
        first.join([&second])?;
        first.synchronize()
    });
    result?;
    check_one(&report, FindingKind::ReadAfterWrite, line() - 6, line() - 5);

    let (result, report) = Checked::<Host>::scope(|_| {
        let [first, second] = two_streams()?;
        let data = Region::new("data", 0x1000, 16);
        first.writes(&data);
        second.wait_stream(&first)?;
        second.reads(&data);
        first.fork([&second])?;
        first.join([&second])?;
        first.released(&data);
        first.synchronize()
    });
    result?;
    report.assert_empty();

    let (result, report) = Checked::<Host>::scope(|_| {
        let [first, second] = two_streams()?;
        first.fork([&second])?;
        second.launch_host_func(Box::new(|| ()))?;
        first.launch_host_func(Box::new(|| ()))
    });
    result?;
    check_one(&report, FindingKind::NotJoined, line() - 5, line() - 4);

    let (result, report) = Checked::<Host>::scope(|_| {
        let [first, _] = two_streams()?;
        let data = Region::new("data", 0x1000, 16);
        first.writes(&data);
        Any::host_access(Access::Read, &data);
        first.synchronize()?;
        Any::host_access(Access::Read, &data);
        Ok::<_, AnyError>(())
    });
    result?;
    check_one(&report, FindingKind::ReadAfterWrite, line() - 7, line() - 6);
    Ok(())
}

/// A collect orders the destructors that it runs, and not the program. A drain orders both.
fn retained() -> Result<(), AnyError> {
    struct Buffer(Region);
    impl Drop for Buffer {
        fn drop(&mut self) {
            Any::host_access(Access::Release, &self.0);
        }
    }
    for (drains, start) in [(false, 0x1000), (true, 0x3000)] {
        let (result, report) = Checked::<Host>::scope(|_| {
            let [first, second] = two_streams()?;
            let (input, output) =
                (Region::new("in", start, 16), Region::new("out", start + 64, 16));
            let reclaimer = Reclaimer::new();
            first.reads(&input);
            first.writes(&output);
            reclaimer.retain(Buffer(input), &[&first]).map_err(Refused::leak)?;
            assert_eq!(reclaimer.collect()?.dropped, 1);
            if drains {
                reclaimer.drain()?;
            }
            second.reads(&output);
            Ok::<_, AnyError>(())
        });
        result?;
        if drains {
            report.assert_empty();
        } else {
            check_one(&report, FindingKind::ReadAfterWrite, line() - 13, line() - 7);
        }
    }
    Ok(())
}

/// Streams and events of the host itself get a check, so that they go with those of `Any`.
fn mixture() -> Result<(), AnyError> {
    let typed = Host::new_stream(Host::device(0)?, StreamOptions::new())?;
    let wrapped = AnyStream::new(typed.clone());
    let made = Any::new_stream(device(), StreamOptions::new())?;
    let object = AnyStream::from(PLAIN.new_stream(device(), StreamOptions::new())?);
    assert!([&wrapped, &made, &object].into_iter().all(is_checked));
    assert_eq!(wrapped.downcast_ref::<HostStream>(), Some(&typed));
    assert_eq!(wrapped, AnyStream::new(Checked::<Host>::wrap(typed.clone())));

    let events = [
        AnyEvent::new(typed.record_event()?),
        AnyEvent::from(PLAIN.new_event(device(), EventOptions::new())?),
        Any::new_event(device(), EventOptions::new())?,
    ];
    for event in &events {
        made.record(event)?;
        wrapped.wait_event(event)?;
        object.wait_event(event)?;
        assert!(event.downcast_ref::<gpu_stream::HostEvent>().is_some());
    }
    made.join([&wrapped, &object])?;
    made.synchronize()
}

/// Without the variable there is no check.
fn plain() -> Result<(), AnyError> {
    let [stream, _] = two_streams()?;
    assert!(!is_checked(&stream) && stream.downcast_ref::<HostStream>().is_some());
    assert!(AnyStream::new(Checked::<Host>::wrap(Host::default_stream(device())?)) != stream);
    Ok(())
}

/// A read without an order, and a wait for an event without a record.
fn mistakes() -> Result<(), AnyError> {
    let [first, second] = two_streams()?;
    let data = Region::new("data", 0x1000, 16);
    first.writes(&data);
    second.reads(&data);
    second.wait_event(&second.new_event(EventOptions::new())?)?;
    first.join([&second])?;
    first.synchronize()
}

/// A value that is not known is an error of each constructor, and names the remedy.
fn unknown_value() {
    let error = Any::new_stream(device(), StreamOptions::new()).expect_err("the value is unknown");
    assert_eq!(error.kind(), ErrorKind::InvalidOptions);
    let text = error.to_string();
    assert!(text.starts_with("GPU_STREAM_CHECK=maybe: ") && text.contains("unset"), "{text}");
    assert!(Any::devices().is_err_and(|error| error.kind() == ErrorKind::InvalidOptions));
    let [host, ..] = &gpu_stream::available()[..] else { panic!("the host is known") };
    assert_eq!(host.why_not(), Some(ErrorKind::InvalidOptions));
    assert!(host.advice().is_some_and(|advice| advice.contains("variable")), "{host}");
}
