//! The backends that must not skip: [`Required`].

use gpu_stream_core::BackendKind;

use crate::outcome::{Requirement, Skip};
use crate::{Outcome, Verdict};

/// The backends whose skipped cases are failures, as `GPU_STREAM_REQUIRE=host,cuda` names them.
///
/// On a machine that is known to have a GPU, a driver that does not load should not pass as
/// "skipped". Two kinds of skip never are failures:
///
/// - The case has nothing to check on the backend, on any machine ([`Verdict::inapplicable`]).
/// - The case needs more devices than the one that is required ([`Verdict::needs_devices`]).
///   `cuda:2` requires two.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Required(Vec<(BackendKind, u32)>);

/// The error for a list of required backends that cannot be parsed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{VARIABLE}: {name:?} names no backend; give names with commas between them, of {known}, each \
     with a colon and a number if it must have so many devices, as in cuda:2"
)]
pub struct UnknownRequired {
    name: String,
    known: String,
}

/// The environment variable.
pub const VARIABLE: &str = "GPU_STREAM_REQUIRE";

impl Required {
    /// Reads the environment variable `GPU_STREAM_REQUIRE`. Nothing is required if it is not set.
    /// `tested` are the backends that may be named beside the known ones.
    ///
    /// # Errors
    /// [`UnknownRequired`] for a name that no backend has: a typing error must not mean "nothing is
    /// required".
    pub fn from_env(tested: &[BackendKind]) -> Result<Self, UnknownRequired> {
        let value = std::env::var_os(VARIABLE).unwrap_or_default();
        Self::parse(&value.to_string_lossy(), tested)
    }

    /// Parses names with commas between them.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn parse(text: &str, tested: &[BackendKind]) -> Result<Self, UnknownRequired> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let required = items.map(|item| {
            let (name, devices) = match item.split_once(':') {
                Some((name, number)) => (name, number.parse().ok().filter(|&number| number > 0)),
                None => (item, Some(1)),
            };
            let own = tested.iter().copied().find(|kind| kind.name() == name);
            own.or_else(|| name.parse().ok()).zip(devices).ok_or_else(|| {
                let own = tested.iter().filter(|kind| !BackendKind::KNOWN.contains(kind));
                let known: Vec<_> =
                    BackendKind::KNOWN.iter().chain(own).map(|kind| kind.name()).collect();
                UnknownRequired { name: item.into(), known: known.join(", ") }
            })
        });
        Ok(Required(required.collect::<Result<_, _>>()?))
    }

    /// Returns `true` if cases of `backend` must run.
    pub fn contains(&self, backend: BackendKind) -> bool {
        self.devices_of(backend) > 0
    }

    /// Returns how many devices of `backend` are required; 0 if the backend is not required.
    fn devices_of(&self, backend: BackendKind) -> u32 {
        let of_it = self.0.iter().filter(|(kind, _)| *kind == backend);
        of_it.map(|(_, devices)| *devices).max().unwrap_or(0)
    }

    /// Fails unless `backend` has as many devices as are required. `found` is how many it has.
    ///
    /// Call it where the devices are known. Otherwise a number is only checked by the cases that need so
    /// many devices.
    ///
    /// # Errors
    /// [`Verdict::Failed`], with both numbers.
    pub fn check_devices(&self, backend: BackendKind, found: usize) -> Outcome {
        let wanted = self.devices_of(backend);
        if usize::try_from(wanted).is_ok_and(|wanted| wanted <= found) {
            return Ok(());
        }
        let (are, s) = if found == 1 { ("is", "") } else { ("are", "s") };
        Err(Verdict::Failed(format!(
            "{VARIABLE}={backend}:{wanted}: there {are} {found} device{s}; require at most so many, or \
             make more of them visible"
        )))
    }

    /// Returns the outcome as it counts. A skip on a required backend becomes a failure that says
    /// so.
    ///
    /// # Errors
    /// The outcome itself, if it is an error.
    pub fn apply(&self, backend: BackendKind, outcome: Outcome) -> Outcome {
        let must_run = |skip: &Skip| match skip.lacks() {
            Requirement::Nothing => false,
            Requirement::Machine => self.contains(backend),
            Requirement::Devices(count) => self.devices_of(backend) >= count,
        };
        match outcome {
            Err(Verdict::Skipped(skip)) if must_run(&skip) => {
                let reason = skip.reason();
                Err(Verdict::Failed(format!(
                    "skipped, and {VARIABLE} says that {backend} must not skip: {reason}"
                )))
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_of_a_required_backend_fails() {
        let required = Required::parse(" host, rocm ,", &[]).unwrap();
        let skip = || Err(Verdict::skipped("no device"));
        for kind in [BackendKind::Host, BackendKind::Hip] {
            let outcome = required.apply(kind, skip()).unwrap_err();
            assert!(outcome.is_failed());
            assert!(outcome.reason().contains("no device"), "{outcome:?}");
        }
        assert_eq!(required.apply(BackendKind::Cuda, skip()), skip());
        let by_nature = || Err(Verdict::inapplicable("the driver would crash"));
        assert_eq!(required.apply(BackendKind::Host, by_nature()), by_nature());
        assert_eq!(required.apply(BackendKind::Host, Ok(())), Ok(()));
    }

    #[test]
    fn devices_are_required_by_number() {
        let skip = || Err(Verdict::needs_devices(2));
        let one = Required::parse("cuda,hip:1", &[]).unwrap();
        assert_eq!(one.apply(BackendKind::Cuda, skip()), skip());
        assert_eq!(one.apply(BackendKind::Hip, skip()), skip());
        let two = Required::parse("cuda:2", &[]).unwrap();
        assert!(two.apply(BackendKind::Cuda, skip()).unwrap_err().is_failed());
        assert!(two.contains(BackendKind::Cuda) && !two.contains(BackendKind::Hip));
        for found in [0, 1] {
            let error = two.check_devices(BackendKind::Cuda, found).unwrap_err();
            assert!(
                error.is_failed() && error.reason().contains(&format!(" {found} device")),
                "{error:?}"
            );
        }
        assert_eq!(two.check_devices(BackendKind::Cuda, 2), Ok(()));
        assert_eq!(two.check_devices(BackendKind::Hip, 0), Ok(()));
        for wrong in ["cuda:", "cuda:two", "cuda:0", ":2"] {
            let error = Required::parse(wrong, &[]).unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_name_that_no_backend_has_is_an_error() {
        let error = Required::parse("host,cudda", &[]).unwrap_err();
        assert!(error.to_string().contains("cudda"), "{error}");
        let own = BackendKind::Other("mine");
        assert!(Required::parse("mine", &[]).is_err());
        assert!(Required::parse("mine", &[own]).unwrap().contains(own));
        assert_eq!(Required::parse("", &[]), Ok(Required::default()));
    }
}
