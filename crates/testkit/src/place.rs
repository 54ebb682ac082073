//! The places of calls in findings: [`at_caller`].

/// Runs `call`. A check then takes the caller of the kit for the place of each call in it: a place of the test and not of
/// the kit.
#[cfg(feature = "checked")]
#[track_caller]
pub fn at_caller<T>(call: impl FnOnce() -> T) -> T {
    gpu_stream::checked::called_from(std::panic::Location::caller(), call)
}

/// Runs `call`. Without the feature `checked` there is no check that asks for its place.
#[cfg(not(feature = "checked"))]
pub fn at_caller<T>(call: impl FnOnce() -> T) -> T {
    call()
}
