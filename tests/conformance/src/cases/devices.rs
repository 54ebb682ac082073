//! Devices: which one a stream belongs to, and what a wrong one leads to.

use super::support::*;

/// Checks that the devices are numbered from 0, belong to the backend, and are those that the probe
/// names.
pub fn devices_are_listed<F: Fixture>(fx: &F) -> Outcome {
    let devices = F::Backend::devices()?;
    let info = F::Backend::probe()?;
    check_eq(info.backend, F::Backend::KIND, "the backend that the probe names")?;
    let probed: Vec<_> = info.devices.iter().map(|info| info.device).collect();
    check_eq(&probed, &devices, "the devices that the probe names")?;
    for (position, &listed) in (0..).zip(&devices) {
        check_eq(F::Backend::device(position)?, listed, "the device at this position")?;
    }
    // The run-time choice lists those of other backends as well.
    let ours = devices.iter().filter(|device| device.backend() == fx.device_backend());
    for (ordinal, &listed) in (0..).zip(ours) {
        check_eq(listed, Device::new(fx.device_backend(), ordinal), "a listed device")?;
    }
    let beyond = u32::try_from(devices.len())?;
    let text = check_err(
        F::Backend::device(beyond),
        ErrorKind::InvalidDevice,
        "device() of one too many",
    )?;
    check_names(&text, Device::new(F::Backend::KIND, beyond))
}

/// Checks that without a given device, a wrapper has the device of the handle.
pub fn device_comes_from_the_handle<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let foreign = fx.foreign(device, StreamOptions::new())?;
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), None) }?;
        check_eq(stream.device(), device, "the device of the wrapper")?;
    }
    Ok(())
}

/// Checks that the device of the handle is accepted as the given device.
pub fn device_given_right<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let foreign = fx.foreign(device, StreamOptions::new())?;
        // SAFETY: `foreign` outlives the wrapper; nothing is recorded.
        let stream = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), Some(device)) }?;
        check_eq(stream.device(), device, "the device of the wrapper")?;
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that a wrong device is refused while wrapping, and the error names both.
pub fn device_given_wrong<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    for (actual, given) in [(first, second), (second, first)] {
        let foreign = fx.foreign(actual, StreamOptions::new())?;
        // SAFETY: `foreign` outlives the wrapper, if there is one; nothing is recorded.
        let wrapped = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), Some(given)) };
        let text = check_err(wrapped, ErrorKind::DeviceMismatch, "wrapping with a wrong device")?;
        check_names(&text, given)?;
        check_names(&text, actual)?;
        fx.foreign_works(&foreign)?;
    }
    Ok(())
}

/// Checks that a device that does not exist is refused by every call that takes one, and the error
/// names it.
pub fn device_that_is_not_there<F: Fixture>(fx: &F) -> Outcome {
    refused_everywhere(fx, absent_device(fx), ErrorKind::InvalidDevice)
}

/// Checks that another backend's device is refused by every call that takes one, and the error
/// names both backends.
pub fn device_of_another_backend<F: Fixture>(fx: &F) -> Outcome {
    let other = gpu_stream_core::BackendKind::Other("null");
    refused_everywhere(fx, Device::new(other, 0), ErrorKind::BackendMismatch)
}

fn refused_everywhere<F: Fixture>(fx: &F, given: Device, kind: ErrorKind) -> Outcome {
    let named = |text: String| match kind {
        ErrorKind::BackendMismatch => {
            check_names(&text, given.backend())?;
            check_names(&text, F::Backend::KIND)
        }
        _ => check_names(&text, given),
    };
    named(check_err(F::Backend::new_stream(given, StreamOptions::new()), kind, "new_stream")?)?;
    named(check_err(F::Backend::new_event(given, EventOptions::new()), kind, "new_event")?)?;
    let optional = [
        ("default_stream", F::Backend::default_stream(given).map(drop)),
        ("per_thread_stream", F::Backend::per_thread_stream(given).map(drop)),
        ("priority_range", F::Backend::priority_range(given).map(drop)),
    ];
    for (call, answer) in optional {
        if !matches!(&answer, Err(error) if error.kind() == ErrorKind::Unsupported) {
            named(check_err(answer, kind, call)?)?;
        }
    }
    // SAFETY: handle 0 always exists, on any device, or is refused.
    let zero = unsafe { F::Backend::stream_from_raw(fx.raw_stream(0), Some(given)) };
    named(check_err(zero, kind, "stream_from_raw of handle 0")?)?;
    let foreign = foreign(fx)?;
    // SAFETY: `foreign` outlives the wrapper, if there is one; nothing is recorded.
    let wrapped = unsafe { F::Backend::stream_from_raw(foreign.raw_stream(), Some(given)) };
    match wrapped {
        // If the device of the handle is known, a device that does not exist is a mismatch like any
        // other wrong one.
        Err(error) if error.kind() == ErrorKind::DeviceMismatch => {
            check_names(&error.to_string(), given)?;
        }
        other => named(check_err(other, kind, "stream_from_raw of a stream")?)?,
    }
    fx.foreign_works(&foreign)
}

/// Checks that wrapping fails if the owner names the wrong device.
pub fn owner_names_a_wrong_device<F: Fixture>(fx: &F) -> Outcome {
    let (_, second) = two_devices(fx)?;
    let (owner, watch) = watched(fx, Some(second))?;
    let wrapped = F::Backend::stream_from_owner(owner, None);
    check_err(wrapped, ErrorKind::DeviceMismatch, "wrapping for an owner with a wrong device")?;
    watch.check_gone("wrapping failed")
}

/// Checks that wrapping fails if the owner and the caller name different devices.
pub fn owner_and_caller_disagree<F: Fixture>(fx: &F) -> Outcome {
    let (first, second) = two_devices(fx)?;
    let (owner, watch) = watched(fx, Some(first))?;
    let wrapped = F::Backend::stream_from_owner(owner, Some(second));
    let text = check_err(wrapped, ErrorKind::DeviceMismatch, "wrapping with a disagreement")?;
    check_names(&text, first)?;
    check_names(&text, second)?;
    watch.check_gone("wrapping failed")
}

/// Checks that new streams and events, and events from `record_event`, are on the requested device.
pub fn new_objects_are_on_their_device<F: Fixture>(fx: &F) -> Outcome {
    for device in fx.devices()? {
        let stream = stream_on::<F>(device)?;
        check_eq(stream.device(), device, "the device of a new stream")?;
        let event = F::Backend::new_event(device, EventOptions::new())?;
        check_eq(event.device(), device, "the device of a new event")?;
        check_eq(stream.record_event()?.device(), device, "the device of a recorded event")?;
        if let Some(mine) = if_any(per_thread_stream::<F>(device))? {
            check_eq(mine.device(), device, "the device of the thread's stream")?;
        }
        let data = work(fx, &stream)?;
        stream.synchronize()?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that every call returns the same whichever device is current, and leaves that device
/// current.
pub fn current_device_does_not_matter<F: Fixture>(fx: &F) -> Outcome {
    let devices = fx.devices()?;
    for &current in &devices {
        for &device in &devices {
            fx.make_current(current)?;
            let before = fx.thread_state()?;
            let stream = stream_on::<F>(device)?;
            let event = stream.record_event()?;
            stream.wait_event(&event)?;
            check_eq(stream.device(), device, "the device of the stream")?;
            stream.query()?;
            event.query()?;
            stream.synchronize()?;
            check(is_idle(fx, &stream)? && event.query()?, "not done after synchronize")?;
            drop((stream, event));
            check_eq(fx.thread_state()?, before, "the thread's state afterwards")?;
        }
    }
    Ok(())
}

/// Checks that a call that is refused, or that reports pending work, leaves the thread's state as
/// it was.
pub fn errors_leave_the_thread_as_found<F: Fixture>(fx: &F) -> Outcome {
    let before = fx.thread_state()?;
    let (stream, gate) = gated(fx)?;
    let event = stream.record_event()?;
    check(!stream.query()? && !event.query()?, "done, with the gate closed")?;
    // Checked before any other call: some drivers keep only the outcome of the last call.
    check_eq(fx.thread_state()?, before.clone(), "the thread's state after queries")?;
    let absent = absent_device(fx);
    check_err(
        F::Backend::new_stream(absent, StreamOptions::new()),
        ErrorKind::InvalidDevice,
        "new_stream",
    )?;
    check_eq(fx.thread_state()?, before, "the thread's state afterwards")?;
    fx.open(&gate);
    Ok(stream.synchronize()?)
}
