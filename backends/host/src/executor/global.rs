//! The executor of the process: [`Executor`], [`executor`].

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use super::config::Config;
use super::pool::Pool;
use super::streams::Streams;
use super::{exit, process_state};
use crate::HostError;

/// The threads and the streams of the process. Started by the first call, and never stopped.
pub(crate) struct Executor {
    pub(crate) pool: Arc<Pool>,
    /// The number of worker threads. Smaller than the setting if the system refused more.
    pub(crate) threads: u32,
    /// The number of logical devices.
    pub(crate) devices: u32,
    /// `true` if a thread in `synchronize` runs the stream itself.
    pub(crate) help: bool,
    pub(crate) streams: Streams,
}

/// Returns the executor. The first call starts the threads.
///
/// # Errors
/// - [`ProcessForked`](gpu_stream_core::ContractError::ProcessForked) in the child of a fork.
/// - [`HostError::InvalidSetting`] and [`HostError::NoThread`] if it cannot be started. A later
///   call tries again.
pub(crate) fn executor() -> Result<&'static Executor, HostError> {
    static EXECUTOR: OnceLock<Executor> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    if let Some(executor) = EXECUTOR.get()
        && !process_state::is_forked()
    {
        return Ok(executor);
    }
    process_state::ensure_not_forked()?;
    process_state::watch_forks();
    // A mutex instead of `get_or_init`, because a failure is not kept: a thread that cannot be
    // started now may be available later.
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(executor) = EXECUTOR.get() {
        return Ok(executor);
    }
    let started = Executor::start(&Config::from_environment()?)?;
    let executor = EXECUTOR.get_or_init(|| started);
    exit::register(&executor.streams);
    Ok(executor)
}

impl Executor {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// [`HostError::NoThread`] if not even one thread starts.
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
        Ok(Executor {
            threads,
            devices: config.devices,
            help: config.help,
            streams: Streams::new(config.devices, &pool),
            pool,
        })
    }
}
