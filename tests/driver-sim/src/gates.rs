//! Streams that are held back until a word in memory is right, a time has passed, or another process
//! has come to something. A thread looks after them, and so does every call that asks or waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gpu_stream_host::Gate;

use crate::codes::Code;
use crate::ipc::Shared;
use crate::memory;
use crate::state::{Fault, host_device, refused};
use crate::work::fail;

/// What a gate waits for.
pub enum Until {
    /// `cuStreamWaitValue32`: at least, equal, any bit, not all bits, by the lowest bits of `flags`.
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

impl Until {
    pub fn in_a_while(time: Duration) -> Self {
        Until::Moment(Instant::now() + time)
    }

    fn is_over(&self) -> Result<bool, Code> {
        Ok(match self {
            Until::Word { address, value, flags } => {
                let word = memory::load(*address)?;
                match flags & 3 {
                    0 => word.wrapping_sub(*value).cast_signed() >= 0,
                    1 => word == *value,
                    2 => word & value != 0,
                    _ => !(word | value) != 0,
                }
            }
            Until::Moment(moment) => Instant::now() >= *moment,
            Until::Record { shared, number } => shared.has_reached(*number),
        })
    }
}

/// A gate that is opened when this is dropped.
struct Held {
    gate: Arc<Gate>,
    until: Until,
    fault: Fault,
}

impl Held {
    fn is_over(&self) -> bool {
        if self.fault.load(Ordering::Acquire) != 0 {
            return true;
        }
        self.until.is_over().unwrap_or_else(|code| {
            fail(&self.fault, code);
            true
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.open();
    }
}

static HELD: Mutex<Vec<Held>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static MORE: Condvar = Condvar::new();

/// So many looks go without a pause after something has changed.
const EAGER: u32 = 64;
const PAUSE: Duration = Duration::from_micros(50);

fn held() -> MutexGuard<'static, Vec<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens `gate` when `until` is over or the context has failed.
pub fn hold(gate: Arc<Gate>, until: Until, fault: &Fault) {
    let one = Held { gate, until, fault: Arc::clone(fault) };
    if one.is_over() {
        return;
    }
    static WATCHER: LazyLock<()> = LazyLock::new(|| {
        let watcher = thread::Builder::new().name("driver-sim gates".into());
        if let Err(error) = watcher.spawn(watch) {
            eprintln!("driver-sim: no thread for the gates: {error}");
            std::process::abort();
        }
    });
    LazyLock::force(&WATCHER);
    let mut held = held();
    held.push(one);
    COUNT.store(held.len(), Ordering::Release);
    MORE.notify_one();
}

/// A gate for a record that is made by now, in whatever process.
pub fn for_record(shared: &Arc<Shared>, fault: &Fault) -> Result<Arc<Gate>, Code> {
    let gate = Arc::new(Gate::new(host_device()?).map_err(refused)?);
    let until = Until::Record { shared: Arc::clone(shared), number: shared.made() };
    hold(Arc::clone(&gate), until, fault);
    Ok(gate)
}

/// Opens what is over.
pub fn look() {
    if COUNT.load(Ordering::Acquire) != 0
        && let Ok(mut held) = HELD.try_lock()
    {
        open(&mut held);
    }
}

/// Whether any gate was opened.
fn open(held: &mut Vec<Held>) -> bool {
    let before = held.len();
    held.retain(|one| !one.is_over());
    COUNT.store(held.len(), Ordering::Release);
    held.len() < before
}

fn watch() {
    let mut looks = 0;
    loop {
        let mut held = held();
        while held.is_empty() {
            held = MORE.wait(held).unwrap_or_else(PoisonError::into_inner);
            looks = 0;
        }
        looks = if open(&mut held) { 0 } else { looks + 1 };
        drop(held);
        if looks < EAGER { thread::yield_now() } else { thread::sleep(PAUSE) }
    }
}
