//! Priorities: no stream with work starves.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use gpu_stream_core::PriorityRange;

use super::support::*;

/// The number of busy streams of each kind: more than machines have threads.
const BUSY: usize = 64;

/// The number of functions that the busy streams may run in total while another stream waits for
/// its turn. It is far above any bound on turns. It is also far more than a thread runs while the
/// system keeps another thread waiting.
const TURNS: usize = 400_000;

/// The state that the functions share.
#[derive(Default)]
struct Turns {
    /// `true` if the turns count.
    count: AtomicBool,
    taken: AtomicUsize,
    is_over: AtomicBool,
    /// `true` if a function ran inside the call that submitted it.
    is_nested: AtomicBool,
    /// The error that a function got when it submitted the next one.
    refused: Mutex<Option<Verdict>>,
}

impl Turns {
    /// Takes a turn. Returns `false` if it was the last one.
    fn take(&self) -> bool {
        let counts = self.count.load(Ordering::Relaxed);
        if counts && self.taken.fetch_add(1, Ordering::Relaxed) >= TURNS {
            self.end();
        }
        !self.is_over()
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

/// A guard: ends the turns when the case returns.
struct Ends(Arc<Turns>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end();
    }
}

thread_local! {
    /// `true` while this thread is submitting: a function that runs meanwhile would recurse without
    /// end.
    static SUBMITTING: Cell<bool> = const { Cell::new(false) };
}

/// Submits a function that submits the next one, until the turns end.
fn keep_busy<S: Stream + Clone + Send>(stream: S, turns: Arc<Turns>) -> Result<(), Verdict> {
    let again = stream.clone();
    let func = move || {
        if SUBMITTING.get() {
            turns.is_nested.store(true, Ordering::SeqCst);
            turns.end();
        }
        if turns.take()
            && let Err(refused) = keep_busy(again, Arc::clone(&turns))
        {
            *turns.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
            turns.end();
        }
    };
    let before = SUBMITTING.replace(true);
    let launched = stream.launch_host_func(Box::new(func));
    SUBMITTING.set(before);
    optional("host functions", launched)
}

/// Checks that a stream of middle priority runs beside many streams of the highest and the lowest
/// priority that never run out of work.
pub fn middle_priority_has_its_turn<F: Fixture>(fx: &F) -> Outcome {
    if !fx.work_may_submit() {
        return Err(Verdict::inapplicable("host functions may not submit on this backend"));
    }
    let device = device(fx)?;
    let PriorityRange { least, greatest } =
        optional("priorities", F::Backend::priority_range(device))?;
    if least - greatest < 2 {
        return Err(Verdict::inapplicable("the device has no priority between two others"));
    }
    let with = |priority| {
        let mut options = StreamOptions::new();
        options.priority = priority;
        F::Backend::new_stream(device, options)
    };
    let middle = with(i32::midpoint(least, greatest))?;
    let mut busy = Vec::new();
    for _ in 0..BUSY {
        busy.extend([with(greatest)?, with(least)?]);
    }
    let ends = Ends(Arc::default());
    let turns = &ends.0;
    for stream in &busy {
        keep_busy(stream.clone(), Arc::clone(turns))?;
    }
    let had_its_turn = Arc::new(AtomicBool::new(false));
    let (has_it, note) = (Arc::clone(&had_its_turn), Arc::clone(turns));
    let func = move || {
        has_it.store(!note.is_over(), Ordering::SeqCst);
        note.end();
    };
    middle.launch_host_func(Box::new(func))?;
    // The stream waits for its turn only from now on.
    turns.count.store(true, Ordering::SeqCst);
    // No blocking call here: a backend may run a stream's functions on the waiting thread.
    while !turns.is_over() {
        thread::yield_now();
    }
    middle.synchronize()?;
    busy.iter().try_for_each(Stream::synchronize)?;
    let is_nested = turns.is_nested.load(Ordering::SeqCst);
    check(!is_nested, "a function ran inside the call that submits it")?;
    let refused = turns.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
    refused.map_or(Ok(()), Err)?;
    let text = "the stream of middle priority had no turn while the others had";
    check(had_its_turn.load(Ordering::SeqCst), format_args!("{text} {TURNS}"))
}
