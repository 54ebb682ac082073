//! Which backends must not skip: [`Required`].

use gpu_stream_core::BackendKind;

use crate::{Outcome, Verdict};

/// The backends of which a skipped case is a failure, as `GPU_STREAM_REQUIRE=host,cuda` names them.
///
/// On a machine that is known to have a GPU, a driver that does not load should not pass as
/// "skipped". A case that has nothing to check on the backend, whatever the machine, may skip all
/// the same ([`Verdict::inapplicable`]).
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Required(Vec<BackendKind>);

/// A list of required backends that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{VARIABLE}: no backend is called {name:?}; give names with commas between them, of {known}"
)]
pub struct UnknownRequired {
    name: String,
    known: String,
}

/// The environment variable.
pub const VARIABLE: &str = "GPU_STREAM_REQUIRE";

impl Required {
    /// What the environment variable `GPU_STREAM_REQUIRE` says; nothing if it is not set. `tested`
    /// are the backends that may be named beside the known ones.
    ///
    /// # Errors
    /// A name that is no backend's: a typing error must not pass for "nothing is required".
    pub fn from_env(tested: &[BackendKind]) -> Result<Self, UnknownRequired> {
        let value = std::env::var_os(VARIABLE).unwrap_or_default();
        Self::parse(&value.to_string_lossy(), tested)
    }

    /// Reads names with commas between them.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn parse(text: &str, tested: &[BackendKind]) -> Result<Self, UnknownRequired> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let kinds = names.map(|name| {
            let own = tested.iter().copied().find(|kind| kind.name() == name);
            own.or_else(|| name.parse().ok()).ok_or_else(|| {
                let own = tested.iter().filter(|kind| !BackendKind::KNOWN.contains(kind));
                let known: Vec<_> =
                    BackendKind::KNOWN.iter().chain(own).map(|kind| kind.name()).collect();
                UnknownRequired { name: name.into(), known: known.join(", ") }
            })
        });
        Ok(Required(kinds.collect::<Result<_, _>>()?))
    }

    /// Whether cases of `backend` must run.
    pub fn contains(&self, backend: BackendKind) -> bool {
        self.0.contains(&backend)
    }

    /// The outcome as it counts: a skip on a required backend is a failure that says so.
    ///
    /// # Errors
    /// The outcome itself, where it is one.
    pub fn apply(&self, backend: BackendKind, outcome: Outcome) -> Outcome {
        match outcome {
            Err(Verdict::Skipped(skip)) if self.contains(backend) && !skip.is_by_nature() => {
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
    fn a_name_that_nobody_has_is_an_error() {
        let error = Required::parse("host,cudda", &[]).unwrap_err();
        assert!(error.to_string().contains("cudda"), "{error}");
        let own = BackendKind::Other("mine");
        assert!(Required::parse("mine", &[]).is_err());
        assert!(Required::parse("mine", &[own]).unwrap().contains(own));
        assert_eq!(Required::parse("", &[]), Ok(Required::default()));
    }
}
