//! Drivers that cannot be in one process, because both bring clang along: [`Conflict`].
//!
//! Clang registers its options in LLVM when it is loaded. LLVM ends the process if an option is registered twice. So the
//! process ends when two libraries with clang are loaded that share one `libLLVM`. AMD's HIP has clang in `libamd_comgr`,
//! and drivers of OpenCL have it in `libclang-cpp`. Distributions build both with a shared `libLLVM`. AMD's own packages have
//! an LLVM in `libamd_comgr` that no other library sees, and are in conflict with none.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::forks::User;

const COMGR: &str = "libamd_comgr.so";
const CLANG: &str = "libclang-cpp.so";
const LLVM: &str = "libLLVM";

/// Two libraries with clang that share one LLVM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conflict {
    /// The file that the process has loaded.
    pub loaded: String,
    /// The file that the start of a driver would load.
    pub next: String,
    /// The name of the shared LLVM.
    pub llvm: String,
}

impl Conflict {
    /// Returns the conflict of the HIP runtime with this file, which loads `libamd_comgr` from its own folder.
    ///
    /// Returns `None` if a file or the list of loaded files cannot be read.
    pub fn of_hip(runtime: &Path) -> Option<Self> {
        let files = std::fs::read_dir(runtime.canonicalize().ok()?.parent()?).ok()?;
        let files = files.flatten().map(|file| file.path()).filter(|file| is_named(file, COMGR));
        Conflict::find(&elf::loaded(), CLANG, COMGR, |_| files.collect())
    }

    /// Returns the conflict of OpenCL's drivers, which need `libclang-cpp`. A driver is a path, or a name for the system's
    /// loader.
    ///
    /// Returns `None` if a file or the list of loaded files cannot be read.
    pub fn of_opencl(drivers: impl FnOnce() -> Vec<PathBuf>) -> Option<Self> {
        Conflict::find(&elf::loaded(), COMGR, CLANG, |folder| {
            // The same distribution has built all libraries that share one LLVM, and keeps them in one folder.
            let drivers = drivers().into_iter();
            let needed = drivers.flat_map(|driver| elf::needed(&folder.join(driver)));
            needed.filter(|name| name.starts_with(CLANG)).map(|name| folder.join(name)).collect()
        })
    }

    /// Returns the conflict between a loaded file whose name begins with `first`, and one of the files with `second` that
    /// `next` returns for the folder of the loaded one.
    fn find(
        loaded: &[PathBuf],
        first: &str,
        second: &str,
        next: impl FnOnce(&Path) -> Vec<PathBuf>,
    ) -> Option<Self> {
        let llvm_of =
            |file: &Path| elf::needed(file).into_iter().find(|name| name.starts_with(LLVM));
        let of_second: Vec<_> =
            loaded.iter().filter(|file| is_named(file, second)).map(|file| llvm_of(file)).collect();
        let present = loaded.iter().filter(|file| is_named(file, first));
        let (present, llvm) = present
            .filter_map(|file| Some((file, llvm_of(file)?)))
            // Otherwise both are there, and the process lives.
            .find(|(_, llvm)| !of_second.iter().any(|other| other.as_ref() == Some(llvm)))?;
        let own = present.file_name()?.to_string_lossy();
        let next = next(present.parent()?).into_iter();
        let next = next.filter(|file| {
            let needed = elf::needed(file);
            // One that is linked with the loaded clang brings no other.
            needed.contains(&llvm) && !needed.iter().any(|name| *name == own)
        });
        let next = next.min()?;
        let [loaded, next] = [present, &next].map(|file| file.display().to_string());
        Some(Conflict { loaded, next, llvm })
    }
}

fn is_named(file: &Path, start: &str) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
}

/// Looks for a [`Conflict`] and starts a driver, while no other driver does. Blocks while one does.
pub fn start_alone<T>(start: impl FnOnce() -> T) -> T {
    static STARTING: Mutex<()> = Mutex::new(());
    static USER: User = User::new();
    // In the child of a fork, a thread of the parent may hold the lock.
    let starting = USER.is_this_process().then(|| STARTING.lock());
    let starting = starting.map(|lock| lock.unwrap_or_else(PoisonError::into_inner));
    let started = start();
    drop(starting);
    started
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod elf {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};

    const PT_LOAD: u64 = 1;
    const PT_DYNAMIC: u64 = 2;
    const DT_NEEDED: u64 = 1;
    const DT_STRTAB: u64 = 5;
    /// The most bytes of a dynamic section that are read.
    const LIMIT: u64 = 1 << 16;

    /// Returns the files that the process has mapped.
    pub(super) fn loaded() -> Vec<PathBuf> {
        let maps = std::fs::read("/proc/self/maps").unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        let paths = maps.lines().filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
        let mut paths: Vec<_> = paths.collect();
        paths.dedup();
        paths
    }

    /// Returns the names of the libraries that a file needs (`DT_NEEDED`). Returns none if it cannot be read.
    pub(super) fn needed(file: &Path) -> Vec<String> {
        File::open(file).ok().and_then(|file| read(&file)).unwrap_or_default()
    }

    /// Returns a little-endian number of `SIZE` bytes.
    fn number<const SIZE: usize>(bytes: &[u8], at: usize) -> u64 {
        bytes[at..at + SIZE].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    fn read(file: &File) -> Option<Vec<String>> {
        let read = |at: u64, size: u64| {
            let mut bytes = vec![0; size.min(LIMIT) as usize];
            file.read_exact_at(&mut bytes, at).ok().map(|()| bytes)
        };
        let header = read(0, 64)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let (start, size, count) =
            (number::<8>(&header, 32), number::<2>(&header, 54), number::<2>(&header, 56));
        let segments = (0..count).map(|index| {
            let entry = read(start.checked_add(index * size)?, 56)?;
            let [offset, address, length] = [8, 16, 32].map(|at| number::<8>(&entry, at));
            Some((number::<4>(&entry, 0), offset, address, length))
        });
        let segments = segments.collect::<Option<Vec<_>>>()?;
        let &(_, offset, _, length) = segments.iter().find(|(kind, ..)| *kind == PT_DYNAMIC)?;
        let dynamic = read(offset, length)?;
        let entries = dynamic.chunks_exact(16);
        let entries = entries.map(|entry| (number::<8>(entry, 0), number::<8>(entry, 8)));
        let entries: Vec<_> = entries.take_while(|(tag, _)| *tag != 0).collect();
        let &(_, names) = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?;
        let names = segments.iter().find_map(|&(kind, offset, address, length)| {
            let inside = names.checked_sub(address).filter(|&inside| inside < length)?;
            (kind == PT_LOAD).then_some(offset.checked_add(inside)?)
        })?;
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED).map(|(_, name)| {
            let mut text = [0; 256];
            let length = file.read_at(&mut text, names.checked_add(*name)?).ok()?;
            let text = text[..length].split(|byte| *byte == 0).next()?;
            Some(String::from_utf8_lossy(text).into_owned())
        });
        needed.collect()
    }
}

/// Systems whose drivers share no LLVM.
#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
mod elf {
    use std::path::{Path, PathBuf};

    /// Returns none.
    pub(super) fn loaded() -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns none.
    pub(super) fn needed(_: &Path) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod tests {
    use std::fs;

    use super::*;

    /// Returns an object that needs these libraries.
    fn object(needed: &[&str]) -> Vec<u8> {
        let (mut names, mut dynamic) = (vec![0], Vec::new());
        for name in needed {
            dynamic.extend([1, names.len() as u64]);
            names.extend([name.as_bytes(), b"\0"].concat());
        }
        // The names are behind the dynamic section, and their address is not their place in the file.
        let start = 64 + 2 * 56 + 8 * (dynamic.len() as u64 + 4);
        dynamic.extend([5, 0x10_0000 + start, 0, 0]);
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.resize(64, 0);
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&2_u16.to_le_bytes());
        let all = start + names.len() as u64;
        let load = [1, 0, 0x10_0000, 0, all, all, 0];
        let section = [2, 64 + 2 * 56, 0, 0, 8 * dynamic.len() as u64, 0, 0];
        let words = load.into_iter().chain(section).chain(dynamic);
        file.extend(words.flat_map(u64::to_le_bytes));
        file.extend(names);
        file
    }

    /// Makes a folder with such objects.
    fn folder(name: &str, files: &[(&str, &[&str])]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gpu-stream-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, needed) in files {
            fs::write(folder.join(file), object(needed)).unwrap();
        }
        folder
    }

    #[test]
    fn names_are_read_and_a_broken_file_needs_nothing() {
        let folder = folder("names", &[]);
        let file = folder.join("object");
        let needed = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            elf::needed(&file)
        };
        let object = object(&["libLLVM-15.so.1", "libc.so.6"]);
        assert_eq!(needed(&object), ["libLLVM-15.so.1", "libc.so.6"]);
        for length in 0..object.len() {
            let needed = needed(&object[..length]);
            assert!(needed.len() <= 2, "{length}: {needed:?}");
        }
        for at in 0..object.len() {
            let mut broken = object.clone();
            broken[at] ^= 0xff;
            needed(&broken);
        }
        assert_eq!(elf::needed(Path::new("/proc/self/exe")).is_empty(), cfg!(target_env = "musl"));
        assert!(elf::loaded().contains(&std::env::current_exe().unwrap().canonicalize().unwrap()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn two_libraries_with_clang_are_in_conflict_if_they_share_one_llvm() {
        let (comgr, clang, driver) = ("libamd_comgr.so.2", "libclang-cpp.so.15", "libpocl.so.2");
        let conflict = |name, llvm: &[&str], loaded: &[&str]| {
            let files: &[(&str, &[&str])] = &[
                (comgr, llvm),
                (clang, &["libLLVM-15.so.1"]),
                ("libclang-cpp.so.14", &["libLLVM-14.so.1"]),
                (driver, &[clang, "libc.so.6"]),
            ];
            let folder = folder(name, files);
            let loaded: Vec<_> = loaded.iter().map(|name| folder.join(name)).collect();
            let next = |_: &Path| elf::needed(&folder.join(driver)).into_iter();
            let next = |at: &Path| next(at).map(|name| folder.join(name)).collect();
            let of_opencl = Conflict::find(&loaded, COMGR, CLANG, next);
            let of_hip = Conflict::find(&loaded, CLANG, COMGR, |_| vec![folder.join(comgr)]);
            fs::remove_dir_all(folder).unwrap();
            let names = |conflict: Conflict| {
                let [loaded, next] = [conflict.loaded, conflict.next].map(PathBuf::from);
                let name = |file: PathBuf| file.file_name().unwrap().to_owned();
                assert_eq!(conflict.llvm, "libLLVM-15.so.1");
                [name(loaded), name(next)]
            };
            [of_opencl, of_hip].map(|found| found.map(names))
        };
        let same = &["libz.so.1", "libLLVM-15.so.1"];
        let found = |one: &str, two: &str| Some([one.into(), two.into()]);
        assert_eq!(conflict("1", same, &[comgr]), [found(comgr, clang), None]);
        assert_eq!(conflict("2", same, &["libz.so.1", clang]), [None, found(clang, comgr)]);
        // Nothing is loaded yet, or both are.
        assert_eq!(conflict("3", same, &[]), [None, None]);
        assert_eq!(conflict("4", same, &[comgr, clang]), [None, None]);
        // A clang of another LLVM beside.
        let other = &["libclang-cpp.so.14", comgr];
        assert_eq!(conflict("7", same, other), [found(comgr, clang), None]);
        // Linked with the clang that is loaded.
        assert_eq!(conflict("8", &["libLLVM-15.so.1", clang], &[clang]), [None, None]);
        // Another LLVM, or one inside.
        assert_eq!(conflict("5", &["libLLVM-17.so.1"], &[comgr]), [None, None]);
        assert_eq!(conflict("6", &["libz.so.1"], &[clang]), [None, None]);
    }
}
