//! What the environment asks for, read once.

use std::env;
use std::ffi::c_int;
use std::sync::OnceLock;

/// The most devices that one may ask for.
pub const MOST_GPUS: usize = 16;

/// How the simulated machine is made.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// `DRIVER_SIM_GPUS`, 1 if it is not set. 0 is a machine with no GPU.
    pub gpus: usize,
    /// `DRIVER_SIM_VERSION`, 13.0 if it is not set, as the driver says it: 13000.
    pub version: c_int,
    /// `DRIVER_SIM_REUSE`: a handle that was freed is the next one handed out.
    pub reuse: bool,
    /// `DRIVER_SIM_HIDE`: functions that are missing.
    pub hide: Vec<String>,
}

/// The configuration. What is wrong with it ends the process: a test that asked for something else
/// than it gets would say nothing.
pub fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let [gpus, version, reuse, hide] = ["GPUS", "VERSION", "REUSE", "HIDE"].map(|name| {
            let value = env::var_os(format!("DRIVER_SIM_{name}"));
            value.map(|value| value.to_string_lossy().into_owned())
        });
        let parsed = parse(gpus.as_deref(), version.as_deref(), reuse.as_deref(), hide.as_deref());
        parsed.unwrap_or_else(|wrong| {
            eprintln!("driver-sim: {wrong}");
            std::process::abort()
        })
    })
}

fn parse(
    gpus: Option<&str>,
    version: Option<&str>,
    reuse: Option<&str>,
    hide: Option<&str>,
) -> Result<Config, String> {
    let gpus = match gpus {
        None | Some("") => 1,
        Some(text) => text.parse().ok().filter(|&number| number <= MOST_GPUS).ok_or_else(|| {
            format!("DRIVER_SIM_GPUS={text}: give the number of GPUs to simulate, 0 to {MOST_GPUS}")
        })?,
    };
    let version = match version {
        None | Some("") => 13_000,
        Some(text) => number_of(text).ok_or_else(|| {
            format!("DRIVER_SIM_VERSION={text}: give the version of CUDA to be, as in 12.4")
        })?,
    };
    let reuse = match reuse {
        None | Some("" | "0") => false,
        Some("1") => true,
        Some(text) => return Err(format!("DRIVER_SIM_REUSE={text}: this is 0 or 1")),
    };
    let names = hide.unwrap_or_default().split(',').map(str::trim);
    let hide = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    Ok(Config { gpus, version, reuse, hide })
}

/// 12040 for 12.4.
pub fn number_of(text: &str) -> Option<c_int> {
    let (major, minor) = text.split_once('.')?;
    let (major, minor) = (major.parse::<c_int>().ok()?, minor.parse::<c_int>().ok()?);
    ((1..100).contains(&major) && (0..100).contains(&minor)).then_some(major * 1000 + minor * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gpu_of_the_newest_version_unless_asked() {
        let usual = Config { gpus: 1, version: 13_000, reuse: false, hide: vec![] };
        assert_eq!(parse(None, None, None, None), Ok(usual));
        let asked = parse(Some("2"), Some("11.0"), Some("1"), Some("cuInit, cuDeviceGet,"));
        let hide = vec!["cuInit".into(), "cuDeviceGet".into()];
        assert_eq!(asked, Ok(Config { gpus: 2, version: 11_000, reuse: true, hide }));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for bad in ["two", "-1", "17", "1.5"] {
            let message = parse(Some(bad), None, None, None).unwrap_err();
            assert!(message.contains(&format!("DRIVER_SIM_GPUS={bad}")), "{message}");
        }
        for bad in ["13", "12.x", "0.4", "12.4.1"] {
            let message = parse(None, Some(bad), None, None).unwrap_err();
            assert!(message.contains(&format!("DRIVER_SIM_VERSION={bad}")), "{message}");
        }
        assert!(parse(None, None, Some("yes"), None).is_err());
    }
}
