//! Gates: hold a stream back until a word in memory matches, a time has passed, or another process
//! reaches a record.
//!
//! A thread polls the conditions, and so does every call that queries or waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_host::Gate;

use crate::codes::Code;
use crate::ipc::Shared;
use crate::memory;
use crate::state::{Fault, host_device, host_error};
use crate::work::fail;

/// The condition that opens a gate.
pub enum Condition {
    /// `cuStreamWaitValue32`. The lowest bits of `flags` select the comparison: at least, equal,
    /// any bit, or not all bits.
    Word {
        address: usize,
        value: u32,
        flags: u32,
    },
    Moment(Instant),
    Record {
        shared: Arc<Shared>,
        number: u64,
    },
}

impl Condition {
    pub fn after(time: Duration) -> Self {
        Condition::Moment(Instant::now() + time)
    }

    fn is_met(&self) -> Result<bool, Code> {
        Ok(match self {
            Condition::Word { address, value, flags } => {
                let word = memory::load(*address)?;
                match flags & 3 {
                    0 => word.wrapping_sub(*value).cast_signed() >= 0,
                    1 => word == *value,
                    2 => word & value != 0,
                    _ => !(word | value) != 0,
                }
            }
            Condition::Moment(moment) => Instant::now() >= *moment,
            Condition::Record { shared, number } => shared.has_reached(*number),
        })
    }
}

/// A gate and its condition. Opens the gate on drop.
struct PendingGate {
    gate: Arc<Gate>,
    condition: Condition,
    fault: Fault,
}

impl PendingGate {
    fn is_met(&self) -> bool {
        if self.fault.load(Ordering::Acquire) != 0 {
            return true;
        }
        self.condition.is_met().unwrap_or_else(|code| {
            fail(&self.fault, code);
            true
        })
    }
}

impl Drop for PendingGate {
    fn drop(&mut self) {
        self.gate.open();
    }
}

static PENDING: Mutex<Vec<PendingGate>> = Mutex::new(Vec::new());
static PENDING_COUNT: AtomicUsize = AtomicUsize::new(0);
static ADDED: Condvar = Condvar::new();

/// The number of polls without a pause after the last change.
const SPIN_LIMIT: u32 = 64;
const PAUSE: Duration = Duration::from_micros(50);

fn pending() -> MutexGuard<'static, Vec<PendingGate>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens `gate` when `condition` is met or the context has failed.
pub fn open_when(gate: Arc<Gate>, condition: Condition, fault: &Fault) {
    let one = PendingGate { gate, condition, fault: Arc::clone(fault) };
    if one.is_met() {
        return;
    }
    static WATCHER: LazyLock<()> = LazyLock::new(|| {
        let watcher = thread::Builder::new().name("cuda-sim gates".into());
        if let Err(error) = watcher.spawn(watch) {
            eprintln!("cuda-sim: the thread for gates cannot be started: {error}");
            std::process::abort();
        }
    });
    LazyLock::force(&WATCHER);
    let mut pending = pending();
    pending.push(one);
    PENDING_COUNT.store(pending.len(), Ordering::Release);
    ADDED.notify_one();
}

/// Returns a gate that opens when the last record made so far, in any process, is reached.
pub fn for_record(shared: &Arc<Shared>, fault: &Fault) -> Result<Arc<Gate>, Code> {
    let gate = Arc::new(Gate::new(host_device()?).map_err(host_error)?);
    let condition = Condition::Record { shared: Arc::clone(shared), number: shared.made() };
    open_when(Arc::clone(&gate), condition, fault);
    Ok(gate)
}

/// Opens the gates whose conditions are met. Does nothing if another thread is polling.
pub fn poll() {
    if PENDING_COUNT.load(Ordering::Acquire) != 0
        && let Ok(mut pending) = PENDING.try_lock()
    {
        open_met(&mut pending);
    }
}

/// Opens the gates whose conditions are met. Returns `true` if it opened any.
fn open_met(pending: &mut Vec<PendingGate>) -> bool {
    let before = pending.len();
    pending.retain(|one| !one.is_met());
    PENDING_COUNT.store(pending.len(), Ordering::Release);
    pending.len() < before
}

fn watch() {
    let mut idle_polls = 0;
    loop {
        let mut pending = pending();
        while pending.is_empty() {
            pending = ADDED.wait(pending).unwrap_or_else(PoisonError::into_inner);
            idle_polls = 0;
        }
        idle_polls = if open_met(&mut pending) { 0 } else { idle_polls + 1 };
        drop(pending);
        if idle_polls < SPIN_LIMIT { thread::yield_now() } else { thread::sleep(PAUSE) }
    }
}
