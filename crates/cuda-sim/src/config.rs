//! The configuration, read once from the environment.

use std::env;
use std::ffi::{CStr, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// The maximum number of devices.
pub const MAX_GPUS: usize = 16;

/// The configuration of the simulated machine.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// `CUDA_SIM_GPUS`. Default: 1. 0 simulates a machine without a GPU.
    pub gpus: usize,
    /// `CUDA_SIM_VERSION` as the driver reports it (13000). Default: 13.0. A version before 11.0, for tests of programs that
    /// reject an old driver, changes this number only.
    pub version: c_int,
    /// `CUDA_SIM_REUSE`: reuse the handle that was freed last.
    pub reuse: bool,
    /// `CUDA_SIM_HIDE`: functions that are missing.
    pub hidden: Vec<String>,
    /// `CUDA_SIM_STUB`: every function answers as in the toolkit's stub library. File names in
    /// the variable make stubs of the copies with these names.
    pub stub: bool,
    /// `CUDA_SIM_INIT_FAILS`: the code that the first calls of `cuInit` return, and their number.
    pub init_fails: (c_int, u64),
    /// `CUDA_SIM_SAME_CONTEXT`: the primary context keeps its handle after a reset.
    pub same_context: bool,
    /// `CUDA_SIM_GREEN_801`: `cuStreamGetCtx` rejects streams of green contexts.
    pub green_801: bool,
    /// `CUDA_SIM_EMPTY_KERNELS`: kernels that are not simulated can be launched, without effect.
    pub empty_kernels: bool,
    /// `CUDA_SIM_STRICT`: calls on streams and events need a current context.
    pub strict: bool,
}

/// Returns the configuration. An invalid value or an unknown variable aborts the process, because a test with another
/// configuration than its own would prove nothing.
pub fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let read = |name: &str| {
            let value = env::var_os(name).filter(|value| !value.is_empty());
            value.map(|value| value.to_string_lossy().into_owned())
        };
        let names = env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
        check_names(names).and_then(|()| parse(read, &own_file())).unwrap_or_else(|wrong| {
            eprintln!("cuda-sim: {wrong}");
            std::process::abort()
        })
    })
}

/// Returns the name of the file that this code was loaded from, without its folder.
fn own_file() -> String {
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    let here = own_file as *const c_void;
    // SAFETY: `found` is a valid out-pointer, and `here` is only compared with addresses.
    if unsafe { libc::dladdr(here, found.as_mut_ptr()) } == 0 {
        return String::new();
    }
    // SAFETY: `dladdr` succeeded, so the name is a C string that lives as long as the library.
    let path = unsafe { CStr::from_ptr(found.assume_init().dli_fname) }.to_string_lossy();
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The variables of the simulator, without `CUDA_SIM_`. The last is for the functions that find the library.
const VARIABLES: [&str; 11] = [
    "GPUS",
    "VERSION",
    "REUSE",
    "HIDE",
    "STUB",
    "INIT_FAILS",
    "SAME_CONTEXT",
    "GREEN_801",
    "EMPTY_KERNELS",
    "STRICT",
    "LIBRARY",
];

/// Returns an error for a name that begins with `CUDA_SIM_` and is no variable of the simulator, such as a misspelt one.
fn check_names(mut names: impl Iterator<Item = String>) -> Result<(), String> {
    let is_unknown = |name: &String| {
        name.strip_prefix("CUDA_SIM_").is_some_and(|rest| !VARIABLES.contains(&rest))
    };
    match names.find(is_unknown) {
        None => Ok(()),
        Some(name) => {
            let known = VARIABLES.join(", ");
            Err(format!("{name}: no such variable; unset it, or use CUDA_SIM_ with one of {known}"))
        }
    }
}

/// Parses the configuration of the library in the file `file`. `read` returns the value of a
/// variable that is set and not empty.
fn parse(read: impl Fn(&str) -> Option<String>, file: &str) -> Result<Config, String> {
    let gpus = value(&read, "CUDA_SIM_GPUS", 1, |text| {
        let what = format!("give the number of GPUs to simulate, 0 to {MAX_GPUS}");
        text.parse().ok().filter(|&number| number <= MAX_GPUS).ok_or(what)
    })?;
    let version = value(&read, "CUDA_SIM_VERSION", 13_000, |text| {
        number_of(text).ok_or("give a CUDA version, such as 12.4".into())
    })?;
    let init_fails = value(&read, "CUDA_SIM_INIT_FAILS", (0, 0), |text| {
        let parts = text.split_once(':');
        let parts = parts.and_then(|(code, count)| code.parse().ok().zip(count.parse().ok()));
        parts.ok_or("give a code and a number of cuInit calls, such as 3:2".into())
    })?;
    let flag = |name: &str, default| {
        value(&read, name, default, |text| match text {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err("this is 0 or 1".into()),
        })
    };
    let stub = value(&read, "CUDA_SIM_STUB", false, |text| match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ if text.split(',').all(|name| name.contains(".so")) => {
            Ok(text.split(',').any(|name| name == file))
        }
        _ => Err("give 0, 1, or comma-separated file names".into()),
    })?;
    let hidden = read("CUDA_SIM_HIDE").unwrap_or_default();
    let hidden = hidden.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(Config {
        gpus,
        version,
        reuse: flag("CUDA_SIM_REUSE", false)?,
        hidden: hidden.map(str::to_owned).collect(),
        stub,
        init_fails,
        same_context: flag("CUDA_SIM_SAME_CONTEXT", true)?,
        green_801: flag("CUDA_SIM_GREEN_801", false)?,
        empty_kernels: flag("CUDA_SIM_EMPTY_KERNELS", false)?,
        strict: flag("CUDA_SIM_STRICT", false)?,
    })
}

/// Returns the value of a variable, or `default` if it is not set. The error names the variable.
fn value<T>(
    read: &impl Fn(&str) -> Option<String>,
    name: &str,
    default: T,
    understand: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, String> {
    let Some(text) = read(name) else { return Ok(default) };
    understand(&text).map_err(|what| format!("{name}={text}: {what}"))
}

/// Parses a CUDA version into the number that the driver reports: 12040 for `12.4`. Returns `None` for any other text.
pub fn number_of(text: &str) -> Option<c_int> {
    let (major, minor) = text.split_once('.')?;
    let (major, minor) = (major.parse::<c_int>().ok()?, minor.parse::<c_int>().ok()?);
    ((1..100).contains(&major) && (0..100).contains(&minor)).then_some(major * 1000 + minor * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        parse(|name| find(name).map(|(_, value)| (*value).to_owned()), "libcuda.so.1")
    }

    #[test]
    fn config_has_defaults_and_parses_each_variable() {
        let default = Config {
            gpus: 1,
            version: 13_000,
            reuse: false,
            hidden: vec![],
            stub: false,
            init_fails: (0, 0),
            same_context: true,
            green_801: false,
            empty_kernels: false,
            strict: false,
        };
        assert_eq!(with(&[]), Ok(default));
        let configured = with(&[
            ("CUDA_SIM_GPUS", "2"),
            ("CUDA_SIM_VERSION", "11.0"),
            ("CUDA_SIM_REUSE", "1"),
            ("CUDA_SIM_HIDE", "cuInit, cuDeviceGet,"),
            ("CUDA_SIM_STUB", "1"),
            ("CUDA_SIM_INIT_FAILS", "3:2"),
            ("CUDA_SIM_SAME_CONTEXT", "0"),
            ("CUDA_SIM_GREEN_801", "1"),
            ("CUDA_SIM_EMPTY_KERNELS", "1"),
            ("CUDA_SIM_STRICT", "1"),
        ]);
        let asked_for = Config {
            gpus: 2,
            version: 11_000,
            reuse: true,
            hidden: vec!["cuInit".into(), "cuDeviceGet".into()],
            stub: true,
            init_fails: (3, 2),
            same_context: false,
            green_801: true,
            empty_kernels: true,
            strict: true,
        };
        assert_eq!(configured, Ok(asked_for));
    }

    #[test]
    fn stub_is_selected_by_file_name() {
        for (names, is_one) in [("a.so,libcuda.so.1", true), ("libcuda.so", false), ("1", true)] {
            let config = with(&[("CUDA_SIM_STUB", names)]).expect(names);
            assert_eq!(config.stub, is_one, "{names}");
        }
    }

    #[test]
    fn invalid_value_is_named() {
        for (name, bad) in [
            ("GPUS", "two"),
            ("GPUS", "-1"),
            ("GPUS", "17"),
            ("GPUS", "1.5"),
            ("VERSION", "13"),
            ("VERSION", "12.x"),
            ("VERSION", "0.4"),
            ("VERSION", "12.4.1"),
            ("REUSE", "yes"),
            ("STUB", "2"),
            ("INIT_FAILS", "3"),
            ("INIT_FAILS", "3:"),
            ("INIT_FAILS", "3:-1"),
        ] {
            let name = format!("CUDA_SIM_{name}");
            let message = with(&[(&name, bad)]).unwrap_err();
            assert!(message.contains(&format!("{name}={bad}: ")), "{message}");
        }
    }

    #[test]
    fn unknown_variable_is_named() {
        let check = |names: &[&str]| check_names(names.iter().map(|name| (*name).to_owned()));
        let known = VARIABLES.map(|name| format!("CUDA_SIM_{name}"));
        assert_eq!(check(&known.each_ref().map(String::as_str)), Ok(()));
        assert_eq!(check(&["PATH", "MY_CUDA_SIM_GPU", "CUDA_SIMILAR"]), Ok(()));
        for name in ["CUDA_SIM_GPU", "CUDA_SIM_gpus", "CUDA_SIM_"] {
            let message = check(&["PATH", name]).expect_err(name);
            assert!(message.starts_with(&format!("{name}: no such variable")), "{message}");
        }
    }
}
