//! `GPU_STREAM_REQUIRE` for the tests: [`required`].

use gpu_stream::BackendKind;
use gpu_stream_conformance::Required;
use gpu_stream_conformance::required::VARIABLE;

/// The names that the variable can have beside those of the backends.
const SIMULATORS: [BackendKind; 2] =
    [BackendKind::Other("cuda_sim"), BackendKind::Other("hip_sim")];

/// Reads the variable `GPU_STREAM_REQUIRE`.
///
/// # Errors
/// A text, if the variable names no variant of a test, or one that this build does not have.
pub fn required() -> Result<Required, String> {
    let required = Required::from_env(&SIMULATORS).map_err(|error| error.to_string())?;
    match absent(&required).first() {
        None => Ok(required),
        Some((name, feature)) => Err(format!(
            "{VARIABLE} names {name}, which the tests are built without; \
             enable the feature `{feature}` of gpu-stream-testkit"
        )),
    }
}

/// Returns the required variants that this build does not have, each with its feature.
fn absent(required: &Required) -> Vec<(&'static str, &'static str)> {
    let [cuda_sim, hip_sim] = SIMULATORS;
    let all = [
        (BackendKind::Cuda, "cuda", cfg!(feature = "cuda")),
        (cuda_sim, "cuda", cfg!(feature = "cuda")),
        (BackendKind::Hip, "hip", cfg!(feature = "hip")),
        (hip_sim, "hip", cfg!(feature = "hip")),
    ];
    let absent =
        all.into_iter().filter(|(kind, _, is_built)| required.contains(*kind) && !is_built);
    absent.map(|(kind, feature, _)| (kind.name(), feature)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulators_are_required_under_their_own_names() {
        let parse = |text| Required::parse(text, &SIMULATORS);
        let both = parse("cuda_sim:2,hip_sim").unwrap();
        assert!(both.contains(SIMULATORS[0]) && both.contains(SIMULATORS[1]));
        assert!(!both.contains(BackendKind::Cuda) && !both.contains(BackendKind::Hip));
        assert!(parse("cuda-sim").unwrap_err().to_string().contains("cuda_sim"));
        assert!(absent(&Required::default()).is_empty());
        let [cuda, hip] = [cfg!(feature = "cuda"), cfg!(feature = "hip")];
        assert_eq!(absent(&both).len(), usize::from(!cuda) + usize::from(!hip));
    }
}
