//! The one driver of the process: made at the first call, and never taken down.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::config::Config;
use super::pool::Pool;
use super::streams::Streams;
use super::{exit, process_state};
use crate::HostError;

pub(crate) struct Driver {
    pub(crate) pool: Arc<Pool>,
    /// How many threads run streams; fewer than were asked for, if the system gave no more.
    pub(crate) threads: u32,
    pub(crate) devices: u32,
    pub(crate) help: bool,
    pub(crate) streams: Streams,
}

/// The driver; the first call starts the threads.
pub(crate) fn driver() -> Result<&'static Driver, HostError> {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(driver) = DRIVER.get()
        && !process_state::is_forked()
    {
        return Ok(driver);
    }
    process_state::ensure_not_forked()?;
    process_state::watch_forks();
    // Not `get_or_init`, since a failure is not kept: a thread that could not be had may be there
    // later.
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    let driver = Driver::start(&Config::from_environment()?)?;
    let driver = DRIVER.get_or_init(|| driver);
    exit::finish_at_exit();
    Ok(driver)
}

impl Driver {
    fn start(config: &Config) -> Result<Self, HostError> {
        let pool = Pool::new();
        let mut threads = 0;
        for index in 0..config.threads {
            let pool = Arc::clone(&pool);
            let name = format!("gpu-stream-{index}");
            match thread::Builder::new().name(name).spawn(move || pool.work()) {
                Ok(_) => threads += 1,
                Err(error) if threads == 0 => {
                    return Err(HostError::NoThread { reason: error.to_string() });
                }
                Err(_) => break,
            }
        }
        Ok(Driver {
            threads,
            devices: config.devices,
            help: config.help,
            streams: Streams::new(config.devices, &pool),
            pool,
        })
    }
}
