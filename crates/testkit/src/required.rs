//! `GPU_STREAM_REQUIRE` for the tests: [`required`].

use gpu_stream::BackendKind;
use gpu_stream_conformance::Required;
use gpu_stream_conformance::required::VARIABLE;

/// The names that the variable can have beside those of the backends.
const VARIANTS: [BackendKind; 6] = [
    BackendKind::Other("cuda_sim"),
    BackendKind::Other("hip_sim"),
    BackendKind::Other("checked_host"),
    BackendKind::Other("checked_cuda_sim"),
    BackendKind::Other("checked_hip_sim"),
    BackendKind::Other("checked_opencl"),
];

/// Reads the variable `GPU_STREAM_REQUIRE`.
///
/// # Errors
/// A text, if the variable names no variant of a test, or one that this build does not have.
pub fn required() -> Result<Required, String> {
    let required = Required::from_env(&VARIANTS).map_err(|error| error.to_string())?;
    match absent(&required).first() {
        None => Ok(required),
        Some((name, features)) => Err(format!(
            "{VARIABLE} names {name}, which the tests are built without; \
             enable {features} of gpu-stream-testkit"
        )),
    }
}

/// Returns the required variants that this build does not have, each with its features.
fn absent(required: &Required) -> Vec<(&'static str, &'static str)> {
    let [cuda_sim, hip_sim, checked_host, checked_cuda_sim, checked_hip_sim, checked_opencl] =
        VARIANTS;
    let [cuda, hip] = [cfg!(feature = "cuda"), cfg!(feature = "hip")];
    let [checked, opencl] = [cfg!(feature = "checked"), cfg!(feature = "opencl")];
    let all = [
        (BackendKind::Cuda, "the feature `cuda`", cuda),
        (cuda_sim, "the feature `cuda`", cuda),
        (BackendKind::Hip, "the feature `hip`", hip),
        (hip_sim, "the feature `hip`", hip),
        (BackendKind::OpenCl, "the feature `opencl`", opencl),
        (checked_host, "the feature `checked`", checked),
        (checked_cuda_sim, "the features `checked` and `cuda`", checked && cuda),
        (checked_hip_sim, "the features `checked` and `hip`", checked && hip),
        (checked_opencl, "the features `checked` and `opencl`", checked && opencl),
    ];
    let absent =
        all.into_iter().filter(|(kind, _, is_built)| required.contains(*kind) && !is_built);
    absent.map(|(kind, features, _)| (kind.name(), features)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_are_required_under_their_own_names() {
        let parse = |text| Required::parse(text, &VARIANTS);
        let both = parse("cuda_sim:2,hip_sim").unwrap();
        assert!(both.contains(VARIANTS[0]) && both.contains(VARIANTS[1]));
        assert!(!both.contains(BackendKind::Cuda) && !both.contains(BackendKind::Hip));
        let checked = parse("checked_host:2,checked_cuda_sim").unwrap();
        assert!(checked.contains(VARIANTS[2]) && checked.contains(VARIANTS[3]));
        assert!(!checked.contains(BackendKind::Host) && !checked.contains(VARIANTS[4]));
        assert!(parse("cuda-sim").unwrap_err().to_string().contains("cuda_sim"));
        assert!(absent(&Required::default()).is_empty());
        let [cuda, hip] = [cfg!(feature = "cuda"), cfg!(feature = "hip")];
        assert_eq!(absent(&both).len(), usize::from(!cuda) + usize::from(!hip));
    }
}
