//! The outcomes of tests as files, which `gpu-stream matrix` reads: [`write`].

use std::path::{Path, PathBuf};
use std::{env, fs};

use gpu_stream_test_drivers::machine;
use serde_json::json;

use crate::messages::{Over, Ready};
use crate::run::Test;
use crate::target::Target;

/// The environment variable with the folder for the files.
pub const VARIABLE: &str = "GPU_STREAM_TESTKIT_REPORT";

/// The schema of the reports of `gpu-stream check`, which this is one of.
const SCHEMA: u32 = 1;

/// Returns the folder that the variable names, or `None` if it is not set.
///
/// # Errors
/// A text that names the value, if it is not a whole path: each package's tests run in a folder of their own.
pub fn folder() -> Result<Option<PathBuf>, String> {
    let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) else {
        return Ok(None);
    };
    whole(PathBuf::from(folder)).map(Some)
}

fn whole(folder: PathBuf) -> Result<PathBuf, String> {
    match folder.is_absolute() {
        true => Ok(folder),
        false => Err(format!(
            "{VARIABLE}={name}: cargo runs the tests of each package in that package's folder; \
             give the whole path, as in {VARIABLE}=$PWD/{name}",
            name = folder.display()
        )),
    }
}

/// Writes the outcome of a test into `folder`. Replaces an earlier one of the same test.
///
/// # Errors
/// A text that names the variable and the file, if it cannot be written.
pub fn write(
    folder: &Path,
    test: &Test,
    target: Target,
    ready: &Ready,
    over: &Over,
) -> Result<(), String> {
    let name = file_name(test, target);
    let path = folder.join(&name);
    let text = text(test, target, ready, over);
    let written = fs::create_dir_all(folder).and_then(|()| replace(folder, &name, &text));
    written.map_err(|error| {
        format!("{VARIABLE}: {} cannot be written: {error}; name a folder", path.display())
    })
}

/// Returns the file name of the report of one test.
fn file_name(test: &Test, target: Target) -> String {
    let Test { package, path, binary, .. } = test;
    let binary = binary.map(|name| format!(".bin-{name}")).unwrap_or_default();
    format!("{package}{binary}.{}.{}.json", path.replace("::", "."), target.name())
}

/// Writes a file at once, so that a reader never finds a part of it.
fn replace(folder: &Path, name: &str, text: &str) -> std::io::Result<()> {
    let draft = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&draft, text)?;
    fs::rename(draft, folder.join(name))
}

/// Returns the report of one test.
fn text(test: &Test, target: Target, ready: &Ready, over: &Over) -> String {
    let (area, name) = test.path.rsplit_once("::").unwrap_or(("", test.path));
    // A file of tests is a crate of its own, which two packages can have by the same name.
    let own = test.package.replace('-', "_");
    let area = match area.split("::").next() == Some(own.as_str()) {
        true => area.to_owned(),
        false => format!("{} {area}", test.package),
    };
    let area = match test.binary {
        Some(name) => format!("{area} (binary {name})"),
        None => area,
    };
    let facts: serde_json::Map<_, _> =
        machine::facts().into_iter().map(|(name, fact)| (name.to_owned(), fact.into())).collect();
    let count = |outcome: &str| u32::from(over.outcome == outcome);
    let report = json!({
        "schema": SCHEMA,
        "testkit": env!("CARGO_PKG_VERSION"),
        "package": test.package,
        "gpu_stream": env!("CARGO_PKG_VERSION"),
        "date": machine::today().unwrap_or_default(),
        "os": env::consts::OS,
        "arch": env::consts::ARCH,
        "machine": facts,
        "repeat": 1,
        "backends": [{
            "backend": target.name(),
            "version": ready.version,
            "library": ready.library,
            "devices": ready.devices,
        }],
        "not_checked": [],
        "cases": [{
            "area": area,
            "name": name,
            "about": test.about.trim(),
            "rules": [],
            "results": [{
                "backend": target.name(),
                "outcome": over.outcome,
                "reason": over.reason,
                "inapplicable": over.inapplicable,
                "rounds": 1,
                "seconds": over.seconds,
                "own_process": true,
            }],
        }],
        "totals": {
            "passed": count("passed"), "failed": count("failed"), "skipped": count("skipped"),
        },
        "nothing_ran": [],
    });
    format!("{report:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn area_names_the_package_if_the_crate_does_not() {
        let over = Over::of(&Ok(()), 0.5);
        for (path, area) in
            [("my_lib::tests::waits", "my_lib::tests"), ("order::waits", "my-lib order")]
        {
            let test = Test { package: "my-lib", path, binary: None, about: " It waits. " };
            let text = text(&test, Target::Host, &Ready::default(), &over);
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            let case = &report["cases"][0];
            assert_eq!((&case["area"], &case["name"]), (&area.into(), &"waits".into()));
            assert_eq!(
                (&case["about"], &report["package"]),
                (&"It waits.".into(), &"my-lib".into())
            );
            assert_eq!(case["results"][0]["outcome"], "passed");
            assert_eq!(report["totals"]["passed"], 1);
        }
    }

    #[test]
    fn library_and_binary_of_one_name_have_reports_of_their_own() {
        let library = Test { package: "my-lib", path: "my_lib::waits", binary: None, about: "" };
        let binary = Test { binary: Some("my-lib"), ..library };
        let over = Over::of(&Ok(()), 0.5);
        let [(file, area), (other_file, other_area)] = [library, binary].map(|test| {
            let text = text(&test, Target::Host, &Ready::default(), &over);
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            (file_name(&test, Target::Host), report["cases"][0]["area"].clone())
        });
        assert_eq!(file, "my-lib.my_lib.waits.host.json");
        assert_eq!(area, "my_lib");
        assert!(file != other_file && area != other_area, "{other_file}, {other_area}");
    }
}
