//! The cdylibs that cargo built beside a test program: [`built`], [`built_by`].

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Returns the path of the cdylib of a dependency in the same workspace or by `path`, given its file
/// name. Searches the folders around the running program, where cargo puts it.
///
/// # Errors
/// A message that lists the paths that were tried.
pub fn built(file: &str) -> Result<PathBuf, String> {
    let (candidates, searched) = candidates(file);
    let found = candidates.into_iter().find(|path| path.file_name() == Some(file.as_ref()));
    found.ok_or_else(|| not_found(file, &searched))
}

/// Returns the path of a dependency's cdylib, however the program depends on it.
///
/// Cargo calls the cdylib of a dependency by `path` by its plain name, `libname.so`. To that of one from
/// git or a registry it adds a hash, `libname-0123456789abcdef.so`, and a folder can have several. The
/// right one is the one that contains `id`: a text that the crate has in its cdylib, and that differs
/// from build to build, such as `env!("OUT_DIR")`.
///
/// A library by the plain name is taken without `id`, too, if no other one has it: a build with other
/// features has overwritten it then.
///
/// # Errors
/// A message that lists the folders that were searched, or the libraries of other builds.
pub fn built_by(file: &str, id: &str) -> Result<PathBuf, String> {
    let (candidates, searched) = candidates(file);
    choose(file, id, &candidates, &searched)
}

fn choose(
    file: &str,
    id: &str,
    candidates: &[PathBuf],
    searched: &[PathBuf],
) -> Result<PathBuf, String> {
    // The usual case, in which no file need be read.
    if let [only] = candidates {
        return Ok(only.clone());
    }
    let of_build = candidates.iter().find(|path| contains(path, id));
    let plain = || candidates.iter().find(|path| path.file_name() == Some(file.as_ref()));
    let found = of_build.or_else(plain);
    found.cloned().ok_or_else(|| match candidates {
        [] => not_found(file, searched),
        _ => format!(
            "{file} was not found; build it with cargo (of other builds are {})",
            list(candidates)
        ),
    })
}

fn contains(path: &Path, id: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| memchr::memmem::find(&bytes, id.as_bytes()).is_some())
}

/// Returns the libraries with the name, plain ones first, and the folders in which they were searched.
fn candidates(file: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    // Under another dynamic linker, the running program is that linker. Only the first argument
    // then names the program that cargo built.
    let programs = [env::current_exe().ok(), env::args_os().next().map(PathBuf::from)];
    let folders = programs.iter().flatten().filter_map(|program| program.parent());
    // Tests lie beside the library, programs above it, and examples in a sibling folder.
    let near = |folder: &Path| ["", "deps", "../deps", ".."].map(|step| folder.join(step));
    let mut searched: Vec<PathBuf> = Vec::new();
    for folder in folders.flat_map(near).filter_map(|folder| folder.canonicalize().ok()) {
        if !searched.contains(&folder) {
            searched.push(folder);
        }
    }
    let plain = searched.iter().map(|folder| folder.join(file)).filter(|path| path.is_file());
    let mut found: Vec<PathBuf> = plain.collect();
    found.extend(searched.iter().flat_map(|folder| hashed(folder, file)));
    (found, searched)
}

/// Returns the libraries of a folder whose names are the name with a hash of cargo.
fn hashed(folder: &Path, file: &str) -> Vec<PathBuf> {
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    let is_hash = |text: &str| text.len() == 16 && text.bytes().all(|one| one.is_ascii_hexdigit());
    let is_hashed = |name: &str| {
        let rest = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
        let hash = rest.and_then(|rest| rest.strip_suffix(extension)?.strip_suffix('.'));
        hash.is_some_and(is_hash)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_hashed));
    let mut paths: Vec<_> = named.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn not_found(file: &str, searched: &[PathBuf]) -> String {
    format!("{file} was not found; build it with cargo (looked in {})", list(searched))
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "libsome_sim.so";

    /// Makes a folder with these files and their contents.
    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = env::temp_dir().join(format!("built-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        folder
    }

    fn chosen(folder: &Path, id: &str) -> Result<String, String> {
        let plain = folder.join(FILE);
        let mut all = Vec::from_iter(plain.is_file().then_some(plain));
        all.extend(hashed(folder, FILE));
        let found = choose(FILE, id, &all, &[folder.to_owned()])?;
        Ok(found.file_name().unwrap().to_string_lossy().into_owned())
    }

    #[test]
    fn library_of_the_same_build_is_chosen() {
        let (one, two) = ("libsome_sim-0123456789abcdef.so", "libsome_sim-fedcba9876543210.so");
        let other = [
            ("libsome_sim-0123.so", "id=two"),
            ("libsome_sim_more-0123456789abcdef.so", "id=two"),
            ("libsome_sim-0123456789abcdef.rlib", "id=two"),
        ];
        let files = [&other[..], &[(one, "…id=one…"), (two, "…id=two…")]].concat();
        let hashed = folder("hashed", &files);
        assert_eq!(chosen(&hashed, "id=one").as_deref(), Ok(one));
        assert_eq!(chosen(&hashed, "id=two").as_deref(), Ok(two));
        let refused = chosen(&hashed, "id=three").unwrap_err();
        assert!(refused.contains(one) && refused.contains(two), "{refused}");

        fs::write(hashed.join(FILE), "id=four").unwrap();
        assert_eq!(chosen(&hashed, "id=two").as_deref(), Ok(two), "a plain name is not preferred");
        assert_eq!(chosen(&hashed, "id=four").as_deref(), Ok(FILE));
        assert_eq!(
            chosen(&hashed, "id=three").as_deref(),
            Ok(FILE),
            "overwritten by another build"
        );
        fs::remove_dir_all(hashed).unwrap();
    }

    #[test]
    fn only_library_is_chosen_and_none_is_an_error() {
        let one = "libsome_sim-0123456789abcdef.so";
        let single = folder("single", &[(one, "of this or another build")]);
        assert_eq!(chosen(&single, "id").as_deref(), Ok(one));
        fs::remove_dir_all(single).unwrap();
        let empty = folder("empty", &[]);
        let refused = chosen(&empty, "id").unwrap_err();
        assert!(refused.contains(&empty.display().to_string()), "{refused}");
        fs::remove_dir_all(empty).unwrap();
        assert!(
            built("libno_such_thing.so").unwrap_err().contains("libno_such_thing.so was not found")
        );
    }
}
