//! HIP libraries of Debian's suites, fetched by apt and unpacked into a folder.
//!
//! Nothing is installed: apt works on an empty state of its own. It verifies the packages with Debian's keyring.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A version of HIP that a suite of Debian has.
pub struct Packaged {
    /// What the option `--hip` calls it.
    pub version: &'static str,
    suite: &'static str,
    package: &'static str,
}

/// The versions that `--hip` accepts.
pub const VERSIONS: [Packaged; 4] = [
    Packaged { version: "5.2", suite: "bookworm", package: "libamdhip64-5" },
    Packaged { version: "5.7", suite: "trixie", package: "libamdhip64-5" },
    Packaged { version: "6.4", suite: "sid", package: "libamdhip64-6" },
    Packaged { version: "7.2", suite: "experimental", package: "libamdhip64-7" },
];

/// Returns the names of [`VERSIONS`], for messages.
pub fn version_names() -> String {
    VERSIONS.map(|packaged| packaged.version).join(", ")
}

/// The folder of the libraries in a package.
pub const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The keys with which apt verifies what it fetches.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Returns `true` if this system's package manager has installed `version` of HIP.
pub fn is_installed(version: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat", "${db:Status-Status} ${Version}\n", "libamdhip64-*"]);
    // It fails where no package fits, and does not exist beside Debian's family of systems.
    let Ok(output) = query.stderr(Stdio::null()).output() else { return false };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .any(|found| found.strip_prefix(version).is_some_and(|rest| rest.starts_with('.')))
}

/// A HIP library with all that it depends on, the C library included.
pub struct Root {
    /// The dynamic linker of the suite.
    pub linker: PathBuf,
    /// The folders of its libraries.
    pub libraries: Vec<PathBuf>,
}

/// Returns the library of `packaged` in the folder `cache`, and fetches it if it is not there.
///
/// # Errors
///
/// A message for the user: this is not Debian, a tool is missing, apt failed, or the suite has another version now.
pub fn root(packaged: &Packaged, cache: &Path) -> Result<Root, String> {
    let Packaged { version, suite, .. } = packaged;
    let root = cache.join(format!("hip-{version}"));
    if !root.is_dir() {
        fetch(packaged, &root)?;
    }
    let remove = format!("remove {} to fetch it again", root.display());
    let libraries = root.join(LIBRARIES);
    let found = hip_files(&libraries);
    if !found.iter().any(|name| name.contains(&format!(".so.{version}."))) {
        return Err(format!(
            "--hip {version}: Debian {suite} has changed and now has {}; use another version, or {remove}",
            if found.is_empty() { "no libamdhip64".to_owned() } else { found.join(", ") },
        ));
    }
    let linker = ["usr/lib64", "lib64"]
        .map(|folder| root.join(folder).join("ld-linux-x86-64.so.2"))
        .into_iter()
        .find(|linker| linker.exists())
        .ok_or_else(|| format!("--hip {version}: the dynamic linker is missing; {remove}"))?;
    // Before trixie, Debian has the C library in /lib.
    Ok(Root { linker, libraries: vec![libraries, root.join("lib/x86_64-linux-gnu")] })
}

/// Returns the names of the files of libamdhip64 in a folder that have a whole version.
fn hip_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_whole = |name: &String| {
        name.strip_prefix("libamdhip64.so.").is_some_and(|version| version.contains('.'))
    };
    let mut names: Vec<String> = names.filter(is_whole).collect();
    names.sort();
    names
}

/// Fetches the package with all that it depends on, and unpacks them into the folder `into`.
fn fetch(packaged: &Packaged, into: &Path) -> Result<(), String> {
    let Packaged { version, suite, package } = packaged;
    let mirror = mirror(version)?;
    let work = into.with_extension(format!("part.{}", std::process::id()));
    let failed =
        |what: &dyn std::fmt::Display| format!("--hip {version}: {}: {what}", work.display());
    eprintln!("hsa-sim: fetching {package} from Debian {suite}");

    let packages = work.join("cache/archives");
    let unpacked = work.join("root");
    for folder in [&work.join("lists/partial"), &packages.join("partial"), &unpacked] {
        fs::create_dir_all(folder).map_err(|error| failed(&error))?;
    }
    let write =
        |name: &str, text: String| fs::write(work.join(name), text).map_err(|error| failed(&error));
    // With an empty package state, apt downloads every dependency.
    write("status", String::new())?;
    write("sources.list", sources(&mirror, suite))?;
    write("conf", configuration(&work))?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.arg("-c").arg(work.join("conf")).args(arguments);
        run(command).map_err(|text| {
            format!(
                "--hip {version}: apt-get could not fetch {package} from Debian {suite}:\n{text}"
            )
        })
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--download-only", "--target-release", suite, package])?;

    for entry in fs::read_dir(&packages).map_err(|error| failed(&error))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("--extract").arg(entry.path()).arg(&unpacked);
            run(unpack).map_err(|text| failed(&text))?;
        }
    }
    link_unversioned(&unpacked.join(LIBRARIES)).map_err(|error| failed(&error))?;
    // Another process may have fetched the same meanwhile.
    let moved = fs::rename(&unpacked, into);
    if into.is_dir() {
        _ = fs::remove_dir_all(&work)
    } else {
        moved.map_err(|error| failed(&error))?
    }
    Ok(())
}

/// Gives the library the name without a version, which some programs look for. Debian has it in the package of the
/// headers.
fn link_unversioned(libraries: &Path) -> std::io::Result<()> {
    match hip_files(libraries).first() {
        Some(file) => symlink(file, libraries.join("libamdhip64.so")),
        None => Ok(()),
    }
}

/// Returns the URI of the mirror from which this system gets its own suite.
fn mirror(version: &str) -> Result<String, String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    let system = field("ID");
    if system != "debian" {
        return Err(format!(
            "--hip {version}: only Debian's own tools fetch it, and this system is '{system}'; name your own \
             library with --library PATH, for example --library /opt/rocm/lib/libamdhip64.so"
        ));
    }
    if !Path::new(KEYRING).is_file() {
        return Err(format!(
            "--hip {version}: {KEYRING} is missing; install the package debian-archive-keyring"
        ));
    }
    let mut query = Command::new("apt-get");
    // From the sources alone, which are there without `apt-get update` too.
    query.args(["indextargets", "--no-release-info", "--format"]);
    query.args(["$(COMPONENT) $(RELEASE) $(REPO_URI)", "Created-By: Packages"]);
    let output = query.output().map_err(|error| format!("--hip {version}: apt-get: {error}"))?;
    find_mirror(&String::from_utf8_lossy(&output.stdout), &field("VERSION_CODENAME")).ok_or_else(|| {
        format!("--hip {version}: apt's sources name no mirror of Debian; see /etc/apt/sources.list.d")
    })
}

/// Finds the mirror of Debian in lines of a component, a suite and a URI each.
fn find_mirror(targets: &str, codename: &str) -> Option<String> {
    let suites = [codename, "stable", "testing", "unstable", "sid"];
    targets.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (component, suite, uri) = (words.next()?, words.next()?, words.next()?);
        (component == "main" && suites.contains(&suite)).then(|| uri.to_owned())
    })
}

/// Returns the list of sources for a suite. Experimental is complete only together with sid.
fn sources(mirror: &str, suite: &str) -> String {
    let suites: &[&str] = if suite == "experimental" { &["sid", suite] } else { &[suite] };
    let line = |suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n");
    suites.iter().map(line).collect()
}

/// Returns apt's configuration for a state of its own in the folder `work`.
fn configuration(work: &Path) -> String {
    let work = work.display();
    format!(
        r#"Dir::State "{work}";
Dir::State::status "{work}/status";
Dir::State::lists "{work}/lists";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Install-Recommends "false";
APT::Architecture "amd64";
APT::Sandbox::User "root";
"#
    )
}

/// Runs a command to its end. On failure, returns the last lines that it printed.
fn run(mut command: Command) -> Result<(), String> {
    let program: OsString = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Err(format!("{}\n{}", lines[lines.len().saturating_sub(20)..].join("\n"), output.status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_is_that_of_the_systems_own_suite() {
        let targets = "main cloud-sdk-bookworm https://cloud.test/apt/\n\
                       stable bookworm https://docker.test/debian/\n\
                       main bookworm-security https://debian.test/debian-security/\n\
                       main bookworm https://debian.test/debian/\n";
        assert_eq!(
            find_mirror(targets, "bookworm").as_deref(),
            Some("https://debian.test/debian/")
        );
        assert_eq!(find_mirror(targets, "trixie"), None);
    }

    #[test]
    fn experimental_comes_with_sid() {
        assert_eq!(sources("http://m/", "experimental").lines().count(), 2);
        assert!(sources("http://m/", "trixie").ends_with("http://m/ trixie main\n"));
    }

    #[test]
    fn folder_without_the_asked_version_names_what_it_has() {
        let cache = std::env::temp_dir().join(format!("hsa-sim-debian-{}", std::process::id()));
        let libraries = cache.join("hip-7.2/usr/lib/x86_64-linux-gnu");
        fs::create_dir_all(&libraries).unwrap();
        fs::write(libraries.join("libamdhip64.so.7"), "").unwrap();
        fs::write(libraries.join("libamdhip64.so.7.3.1"), "").unwrap();
        let error = root(&VERSIONS[3], &cache).err().unwrap();
        fs::remove_dir_all(&cache).unwrap();
        assert!(error.contains("now has libamdhip64.so.7.3.1;"), "{error}");
        assert!(error.contains("remove "), "{error}");
    }
}
