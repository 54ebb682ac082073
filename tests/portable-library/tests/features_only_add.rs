//! A feature may add items and must not remove any. Every set of features builds, and a larger set
//! has all items of a smaller one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The features, without `hip-sys`, which needs ROCm's headers to build.
const FEATURES: [&str; 4] = ["cuda", "cudarc", "hip", "opencl"];

/// The contents of a build, one line for each backend and item.
type Api = BTreeSet<String>;

struct Build {
    features: BTreeSet<&'static str>,
    api: Api,
}

/// Builds the program with these features, in the test's own target folder, and runs it to list its
/// API.
fn build(features: BTreeSet<&'static str>) -> Build {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("features");
    let list: Vec<_> = features.iter().copied().collect();
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--bin", "gpu-stream-portable-library", "--features", &list.join(",")])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_PROFILE_DEV_DEBUG", "0") // faster: debug info is not used
        // Uses only the folder above: a build for another target would put the program elsewhere.
        .env_remove("CARGO_BUILD_TARGET")
        .output()
        .expect("cargo starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "features {list:?} do not build:\n{stderr}");

    let program = format!("gpu-stream-portable-library{}", std::env::consts::EXE_SUFFIX);
    let program = target.join("debug").join(program);
    let api = lines(&program, &["--api"]);
    let result = lines(&program, &[]);
    assert!(result.iter().any(|line| line.ends_with(": 166916750")), "{list:?}: {result:?}");
    Build { features, api }
}

fn lines(program: &Path, arguments: &[&str]) -> Api {
    let output = Command::new(program).args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Returns all subsets of the features.
fn sets() -> impl Iterator<Item = BTreeSet<&'static str>> {
    (0..1 << FEATURES.len()).map(|bits: u32| {
        let on = |&(index, _): &(usize, &str)| bits & (1 << index) != 0;
        FEATURES.into_iter().enumerate().filter(on).map(|(_, feature)| feature).collect()
    })
}

#[test]
fn features_only_add() {
    let builds: Vec<Build> = sets().map(build).collect();
    assert_eq!(builds.len(), 16);
    for build in &builds {
        for always in ["known host", "known cuda", "known hip", "known opencl", "compiled host"] {
            assert!(build.api.contains(always), "{:?} lacks {always}", build.features);
        }
        let cuda = build.features.iter().any(|feature| feature.starts_with("cuda"));
        assert_eq!(build.api.contains("compiled cuda"), cuda, "{:?}", build.features);
        let hip = build.features.contains("hip");
        assert_eq!(build.api.contains("compiled hip"), hip, "{:?}", build.features);
        let opencl = build.features.contains("opencl");
        assert_eq!(build.api.contains("compiled opencl"), opencl, "{:?}", build.features);
        let interop = build.api.contains("item gpu_stream::cuda::interop");
        assert_eq!(interop, build.features.contains("cudarc"), "{:?}", build.features);
    }
    for smaller in &builds {
        for larger in builds.iter().filter(|build| build.features.is_superset(&smaller.features)) {
            let lost: Vec<_> = smaller.api.difference(&larger.api).collect();
            let (from, to) = (&smaller.features, &larger.features);
            assert!(lost.is_empty(), "from features {from:?} to {to:?} this is lost: {lost:?}");
        }
    }
}
