//! The start of programs over a fetched library: its suite's dynamic linker starts them, by a script.
//!
//! The script first has the linker list the libraries of the program. A program that is linked with another
//! libamdhip64 would run over that one without a word, and is refused.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::debian::Root;

/// Programs that start others, each of which must start with the script as well.
const STARTERS: [&str; 15] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "env",
    "timeout",
    "nice",
    "nohup",
    "time",
    "xargs",
    "make",
    "ninja",
    "ctest",
    "strace",
    "gpu-stream-cuda-sim",
];

/// Writes the script that starts a program with the dynamic linker and the libraries of `root`, and with the simulator
/// in the folder `simulator`. Returns its path.
///
/// Folders in `LD_LIBRARY_PATH` come last, such as that of the simulated CUDA driver. The script exits with 1 if the
/// program is linked with a libamdhip64 that is not the one of `root`.
///
/// # Errors
///
/// A message that names the file that could not be written, or the path that a script or the dynamic linker cannot have.
pub fn write(
    cache: &Path,
    version: &str,
    simulator: &Path,
    root: &Root,
) -> Result<PathBuf, String> {
    let folders = [simulator].into_iter().chain(root.libraries.iter().map(PathBuf::as_path));
    let path = env::join_paths(folders).map_err(|error| format!("{}: {error}", cache.display()))?;
    let path = text(Path::new(&path))?;
    let linker = text(&root.linker)?;
    let hip = text(root.libraries.first().ok_or("the fetched library has no folder")?)?;
    let major = version.split('.').next().unwrap_or(version);
    // The linker lists a library as `NAME => FILE (ADDRESS)` or `NAME => not found`.
    let script = format!(
        "#!/bin/sh
hip='{hip}'
path='{path}'${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}
other=$('{linker}' --library-path \"$path\" --list \"$1\" 2>/dev/null | while read -r name _ file _; do
    case $name in
    libamdhip64.so*) [ \"$file\" -ef \"$hip/$name\" ] || echo \"$name\" ;;
    esac
done)
if [ -n \"$other\" ]; then
    echo \"hsa-sim: $1 is linked with $other, and HIP {version} is libamdhip64.so.{major}; link it with \\
that: -L'$hip' -lamdhip64 -Wl,--allow-shlib-undefined; or leave --hip away\" >&2
    exit 1
fi
exec '{linker}' --library-path \"$path\" \"$@\"
"
    );
    let runner = cache.join(format!("runner-{version}"));
    let new = cache.join(format!("runner-{version}.{}", std::process::id()));
    let failed = |error| format!("{}: {error}", new.display());
    fs::write(&new, script).map_err(failed)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    // A rename replaces the script at once, for other commands that start now.
    fs::rename(&new, &runner).map_err(failed)?;
    Ok(runner)
}

fn text(path: &Path) -> Result<&str, String> {
    let usable = path.to_str().filter(|path| !path.contains('\''));
    usable.ok_or_else(|| {
        format!("{}: a quote or an invalid character; use another folder", path.display())
    })
}

/// Returns the variable that makes cargo start programs with `runner`.
///
/// # Errors
///
/// A message that names the path, if it has a space, where cargo would split it.
pub fn for_cargo(runner: &Path) -> Result<(&'static str, OsString), String> {
    if runner.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_whitespace) {
        let runner = runner.display();
        return Err(format!(
            "{runner}: cargo takes no runner whose path has a space; use another folder"
        ));
    }
    Ok(("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner.as_os_str().to_owned()))
}

/// Returns the path of the program that `command` names, if it is an ELF file. A name without a slash is looked up in
/// `PATH`.
pub fn elf_program(command: &OsStr) -> Option<PathBuf> {
    find(command).filter(|path| begins_with(path, b"\x7fELF"))
}

/// Returns the path of the file that `command` names. A name without a slash is looked up in `PATH`.
fn find(command: &OsStr) -> Option<PathBuf> {
    let name = Path::new(command);
    if command.as_encoded_bytes().contains(&b'/') {
        return Some(name.to_owned());
    }
    let path = env::var_os("PATH")?;
    // The first file of this name is the command, as for a shell, whatever it is.
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn begins_with(path: &Path, magic: &[u8]) -> bool {
    let mut start = vec![0; magic.len()];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut start).is_ok()) && start == magic
}

/// Returns a note if `command` is a script, or a program that starts others, and does not mention `HSA_SIM_RUNNER`: what
/// it starts does not find the fetched library by itself.
pub fn note_for(command: &[OsString], version: &str) -> Option<String> {
    let (first, arguments) = command.split_first()?;
    let program = find(first)?;
    let name = Path::new(first).file_name().unwrap_or(first);
    let is_script = begins_with(&program, b"#!");
    if !is_script && !STARTERS.iter().any(|starter| name == *starter) {
        return None;
    }
    let names_runner = |bytes: &[u8]| bytes.windows(VARIABLE.len()).any(|part| part == VARIABLE);
    let file_names_runner =
        |path: &Path| path.is_file() && fs::read(path).is_ok_and(|text| names_runner(&text));
    let is_known = is_script && file_names_runner(&program)
        || arguments.iter().any(|word| {
            names_runner(word.as_encoded_bytes()) || file_names_runner(Path::new(word))
        });
    (!is_known).then(|| {
        format!(
            "note: {} starts other programs; only those that it starts with $HSA_SIM_RUNNER, as in \
             `$HSA_SIM_RUNNER ./program`, run over HIP {version}",
            name.display()
        )
    })
}

/// The variable that names the script, as text of scripts and arguments.
const VARIABLE: &[u8] = b"HSA_SIM_RUNNER";

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Runs the C compiler, which Rust itself links with.
    fn compile(folder: &Path, arguments: &[&str]) {
        let mut command = Command::new("cc");
        let status = command.args(arguments).current_dir(folder).status().expect("a C compiler");
        assert!(status.success(), "{arguments:?}");
    }

    #[test]
    fn program_linked_with_another_hip_library_is_refused() {
        let folder = env::temp_dir().join(format!("hsa-sim-runner-{}", std::process::id()));
        _ = fs::remove_dir_all(&folder);
        for version in ["5", "7"] {
            let libraries = folder.join(version);
            fs::create_dir_all(&libraries).expect("a folder");
            let file = format!("libamdhip64.so.{version}");
            let soname = format!("-Wl,-soname,{file}");
            fs::write(libraries.join("hip.c"), "int hip(void) { return 0; }").expect("a file");
            compile(&libraries, &["-shared", "-fPIC", &soname, "-o", &file, "hip.c"]);
            fs::write(libraries.join("main.c"), "int hip(void); int main(void) { return hip(); }")
                .expect("a file");
            // The library is found in its own folder, as a system's is.
            let own = format!("-Wl,-rpath,{}", libraries.display());
            compile(&libraries, &["-o", "program", "main.c", &file, &own]);
            // A program that is linked with it by another library only.
            let middle = format!("libmiddle{version}.so");
            let (all, soname) = ("-Wl,--no-as-needed", format!("-Wl,-soname,{middle}"));
            let options = ["-shared", "-fPIC", all, &soname, "-o", &middle, "hip.c", &file, &own];
            compile(&libraries, &options);
            fs::write(libraries.join("none.c"), "int main(void) { return 0; }").expect("a file");
            compile(&libraries, &[all, "-o", "indirect", "none.c", &middle, &own]);
        }
        compile(&folder, &["-o", "none", "7/none.c"]);
        // A program whose other library is in a folder of `LD_LIBRARY_PATH`.
        fs::create_dir_all(folder.join("more")).expect("a folder");
        compile(
            &folder,
            &["-shared", "-fPIC", "-Wl,-soname,libmore.so", "-o", "more/libmore.so", "7/hip.c"],
        );
        compile(&folder, &["-o", "with-more", "7/main.c", "more/libmore.so"]);
        let linker = PathBuf::from("/lib64/ld-linux-x86-64.so.2");
        let root = Root { linker, libraries: vec![folder.join("7")] };
        let runner = write(&folder, "7.2", &folder, &root).expect("a script");
        for (program, runs) in [
            ("7/program", true),
            ("7/indirect", true),
            ("none", true),
            ("with-more", true),
            ("5/program", false),
            ("5/indirect", false),
        ] {
            let mut command = Command::new(&runner);
            command.arg(folder.join(program)).env("LD_LIBRARY_PATH", folder.join("more"));
            let output = command.output();
            let output = output.expect("the script starts");
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(
                output.status.code(),
                Some(if runs { 0 } else { 1 }),
                "{program}: {message}"
            );
            let named = format!(
                "{program} is linked with libamdhip64.so.5, and HIP 7.2 is libamdhip64.so.7; link it"
            );
            assert_eq!(message.contains(&named), !runs, "{message}");
            let remedy = format!("-L'{}'", folder.join("7").display());
            assert_eq!(message.contains(&remedy), !runs, "{message}");
        }
        fs::remove_dir_all(&folder).expect("the folder");
    }

    #[test]
    fn command_that_starts_others_gets_a_note() {
        let folder = env::temp_dir().join(format!("hsa-sim-note-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let script = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a script");
            path.into_os_string()
        };
        let unaware = script("unaware", "#!/bin/sh\n./program\n");
        let aware = script("aware", "#!/bin/sh\n$HSA_SIM_RUNNER ./program\n");
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for command in [
            words(&["sh", "-c", "./program"]),
            words(&["/usr/bin/env", "A=1", "./program"]),
            vec!["sh".into(), unaware.clone()],
            vec![unaware.clone()],
        ] {
            let note = note_for(&command, "7.2").expect("a note");
            assert!(
                note.contains("$HSA_SIM_RUNNER ./program") && note.contains("HIP 7.2"),
                "{note}"
            );
        }
        for command in [
            words(&["sh", "-c", "$HSA_SIM_RUNNER ./program"]),
            words(&["cat", "program"]),
            words(&["/no/such/program"]),
            vec!["sh".into(), aware.clone()],
            vec![aware],
        ] {
            assert_eq!(note_for(&command, "7.2"), None, "{command:?}");
        }
        fs::remove_dir_all(&folder).expect("the folder");
    }
}
