//! Races: several threads submit to one stream, or use an event while it is recorded again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use super::support::*;

/// The number of rounds with two submitting threads. In the first rounds the threads take turns, in
/// the others they race.
const ROUNDS: usize = 16;

/// The maximum number of submissions of the other thread, where a submission can block.
const FEW: usize = 300;
/// The maximum number of those after the held-back work. HIP 5.2 blocks from the 16th host function
/// on, inside the runtime, and a query waits for that (docs/measurements/2026-11-22-hip.md).
const FEW_AFTER: usize = 10;
/// The maximum number of submissions where no queue is ever full: enough for several of the
/// system's time slices.
const MANY: usize = 3_000;

/// Work that the calling thread has submitted, and that is held back until it is released.
struct HeldBack<'a, F: Fixture> {
    stream: &'a StreamOf<F>,
    open: &'a (dyn Fn() + Sync),
    /// Returns `true` if the work is done.
    is_done: &'a dyn Fn() -> Result<bool, Verdict>,
}

impl<F: Fixture> HeldBack<'_, F> {
    #[track_caller]
    fn check_query(&self, why: &str) -> Outcome {
        let text = "query is true, and the thread's own submission is held back";
        check(!self.stream.query()?, format_args!("{text} ({why})"))
    }
}

/// Calls `body` on a thread that has just submitted held-back work, beside a thread that submits to
/// the same stream. First the two submit in turn, then at the same time.
fn beside_a_submitter<F: Fixture>(fx: &F, body: impl Fn(&HeldBack<'_, F>) -> Outcome) -> Outcome {
    for round in 0..ROUNDS {
        let stream = stream(fx)?;
        let is_function = round % 4 >= 2;
        let submit = || {
            let (most, most_after) =
                if fx.independent() > MANY { (MANY, MANY) } else { (FEW, FEW_AFTER) };
            beside(&stream, if round < 4 { 1 } else { most }, most_after, || {
                if is_function {
                    hold_by_function(&stream, &body)
                } else {
                    hold_by_wait(fx, &stream, &body)
                }
            })
        };
        match submit() {
            // Where there are no host functions, waits are enough.
            Err(Verdict::Skipped(_)) if is_function => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Sets a flag on drop.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs `body` beside a thread that submits until `body` ends. It submits up to `most` times, and
/// up to `most_after` times after `body` has begun.
fn beside<S: Stream + Sync>(
    stream: &S,
    most: usize,
    most_after: usize,
    body: impl FnOnce() -> Outcome,
) -> Outcome {
    let (submitted, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    // The number of submissions that are allowed until `body` ends.
    let limit = AtomicUsize::new(most);
    let has_begun = || submitted.load(Ordering::SeqCst) >= most.min(8);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            for _ in 0..most {
                let is_over = || is_over.load(Ordering::SeqCst);
                while !is_over() && submitted.load(Ordering::SeqCst) >= limit.load(Ordering::SeqCst)
                {
                    thread::yield_now();
                }
                if is_over() {
                    break;
                }
                let submission = submit_something(stream);
                submitted.fetch_add(1, Ordering::SeqCst);
                submission?;
            }
            Outcome::Ok(())
        });
        while !has_begun() && !other.is_finished() {
            thread::yield_now();
        }
        limit.store(submitted.load(Ordering::SeqCst).saturating_add(most_after), Ordering::SeqCst);
        let outcome = {
            // Ends the other thread's loop, also if `body` panics.
            let _over = SetOnDrop(&is_over);
            body()
        };
        let theirs = other.join().unwrap_or_else(|_| Err(Verdict::failed("a thread panicked")));
        outcome.and(theirs)
    })?;
    Ok(stream.synchronize()?)
}

/// Submits work through the contract: a host function, or a timed record where there are none.
fn submit_something<S: Stream>(stream: &S) -> Outcome {
    match stream.launch_host_func(Box::new(|| ())) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Ok(stream.record(&S::Backend::new_event(stream.device(), EventOptions::timed())?)?)
        }
        launched => Ok(launched?),
    }
}

/// Holds `stream` back by a wait for an event that is recorded after a gate.
fn hold_by_wait<F: Fixture>(
    fx: &F,
    stream: &StreamOf<F>,
    body: &impl Fn(&HeldBack<'_, F>) -> Outcome,
) -> Outcome {
    let held = stream_on::<F>(stream.device())?;
    let gate = fx.gate(&held)?;
    let data = work(fx, &held)?;
    let event = held.record_event()?;
    stream.wait_event(&event)?;
    let is_done = || Ok(fx.load(&data)? == 1);
    body(&HeldBack { stream, open: &|| fx.open(&gate), is_done: &is_done })?;
    fx.open(&gate);
    Ok(held.synchronize()?)
}

/// Holds `stream` back by a host function that does not return.
fn hold_by_function<F: Fixture>(
    stream: &StreamOf<F>,
    body: &impl Fn(&HeldBack<'_, F>) -> Outcome,
) -> Outcome {
    let (release, released) = channel::<()>();
    let has_returned = std::sync::Arc::new(AtomicBool::new(false));
    let returns = std::sync::Arc::clone(&has_returned);
    let submitter = thread::current().id();
    let func = move || {
        // Ends when the case releases it, or when the case ends. Ends at once inside the call that
        // submits it, which would otherwise never return.
        if thread::current().id() != submitter {
            let _ = released.recv();
        }
        returns.store(true, Ordering::SeqCst);
    };
    optional("host functions", stream.launch_host_func(Box::new(func)))?;
    let open = || {
        // Fails only if the function has already returned, and the case detects that.
        let _ = release.send(());
    };
    body(&HeldBack { stream, open: &open, is_done: &|| Ok(has_returned.load(Ordering::SeqCst)) })?;
    drop(release);
    Ok(())
}

/// Checks that query is false while work that the calling thread has just submitted is held back,
/// whatever another thread submits meanwhile.
pub fn own_submission_is_covered_by_query<F: Fixture>(fx: &F) -> Outcome {
    beside_a_submitter(fx, |held| {
        held.check_query("at once")?;
        give_a_chance(|| false);
        held.check_query("a moment later")
    })
}

/// Checks that a record stands for what its thread has just submitted, whatever another thread
/// submits meanwhile.
pub fn own_submission_is_covered_by_a_record<F: Fixture>(fx: &F) -> Outcome {
    beside_a_submitter(fx, |held| {
        let event = held.stream.record_event()?;
        let waiter = stream_on::<F>(held.stream.device())?;
        waiter.wait_event(&event)?;
        let after = work(fx, &waiter)?;
        for _ in 0..2 {
            check_eq(event.status()?, EventStatus::Pending, "the status of the event")?;
            check(!event.query()?, "query of the event is true, and what it stands for is held")?;
            check_eq(fx.load(&after)?, 0, "the number after the record")?;
            give_a_chance(|| false);
        }
        (held.open)();
        waiter.synchronize()?;
        check((held.is_done)()?, "the waiter is done before what the record stands for")?;
        check_done(fx, &after)
    })
}

/// Checks that synchronize of the stream and of an event waits for what the calling thread has just
/// submitted, whatever another thread submits meanwhile.
pub fn own_submission_is_waited_for<F: Fixture>(fx: &F) -> Outcome {
    for by_event in [false, true] {
        beside_a_submitter(fx, |held| {
            // No record where the stream is waited for: the record could submit deferred work.
            let event = by_event.then(|| held.stream.record_event()).transpose()?;
            let is_done = returns_before_open(held.open, || {
                match &event {
                    Some(event) => event.synchronize()?,
                    None => held.stream.synchronize()?,
                }
                (held.is_done)()
            })?;
            check(is_done, "synchronize returned before the thread's own submission was done")
        })?;
    }
    Ok(())
}

/// The minimum number of records, and the maximum while something is waited for.
const RECORDS: std::ops::Range<usize> = 40..300;

/// An event that is recorded again and again on one stream: its current record is always pending,
/// and every earlier one completes in its turn.
struct Chain<F: Fixture> {
    event: EventOf<F>,
    stream: StreamOf<F>,
    /// The numbers that the work before each record changes.
    data: Vec<F::Data>,
    /// The number of records so far.
    made: AtomicUsize,
    /// `true` if the last gate is about to open.
    is_over: AtomicBool,
}

impl<F: Fixture> Chain<F> {
    fn new(fx: &F) -> Result<Self, Verdict> {
        let stream = stream(fx)?;
        let data = (0..RECORDS.end).map(|_| fx.data(stream.device(), 0));
        Ok(Chain {
            data: data.collect::<Result<_, _>>()?,
            event: event(fx)?,
            stream,
            made: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        })
    }

    /// Makes the next record, after a gate of its own.
    fn record(&self, fx: &F) -> Result<F::Gate, Verdict> {
        let index = self.made.load(Ordering::SeqCst);
        let gate = fx.gate(&self.stream)?;
        fx.store(&self.stream, &self.data[index], 1)?;
        self.stream.record(&self.event)?;
        self.made.store(index + 1, Ordering::SeqCst);
        Ok(gate)
    }

    /// Makes records beside `body`, until `has_enough` returns `true`. Returns `false` if it never
    /// did.
    fn run(
        &self,
        fx: &F,
        body: impl Fn() -> Outcome + Sync,
        has_enough: impl Fn() -> bool,
    ) -> Result<bool, Verdict> {
        let mut gate = self.record(fx)?;
        thread::scope(|scope| {
            let other = scope.spawn(&body);
            let recorded = (1..RECORDS.end).try_for_each(|index| {
                if other.is_finished() || (index >= RECORDS.start && has_enough()) {
                    return Ok(());
                }
                let next = self.record(fx)?;
                // Later rounds give more time to a thread that the system has not scheduled.
                (0..1 + index / RECORDS.start).for_each(|_| give_a_chance(|| false));
                fx.open(&std::mem::replace(&mut gate, next));
                while fx.load(&self.data[index - 1])? == 0 {
                    thread::yield_now();
                }
                Outcome::Ok(())
            });
            let had_enough = has_enough();
            self.is_over.store(true, Ordering::SeqCst);
            fx.open(&gate);
            let theirs = other.join().unwrap_or_else(|_| Err(Verdict::failed("a thread panicked")));
            theirs.and(recorded)?;
            self.stream.synchronize()?;
            Ok(had_enough)
        })
    }
}

/// Checks that synchronize of an event waits for the record that is current at the call, and for no
/// later one. Meanwhile another thread records the event repeatedly.
pub fn synchronize_keeps_its_record<F: Fixture>(fx: &F) -> Outcome {
    let chain = Chain::new(fx)?;
    let returned = AtomicUsize::new(0);
    let synchronize = || {
        while !chain.is_over.load(Ordering::SeqCst) {
            // The call waits for this record or for a later one, and this one completes before a
            // later one.
            let current = chain.made.load(Ordering::SeqCst) - 1;
            chain.event.synchronize()?;
            check_done(fx, &chain.data[current])?;
            returned.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    let has_returned = chain.run(fx, synchronize, || returned.load(Ordering::SeqCst) > 1)?;
    let records = chain.made.load(Ordering::SeqCst);
    let text = "synchronize of an event waits for later records:";
    check(has_returned, format_args!("{text} it did not return while {records} were made"))
}

/// Checks that an event that is recorded repeatedly never appears unrecorded, nor complete before
/// the work of its record is done.
pub fn event_recorded_again_is_pending<F: Fixture>(fx: &F) -> Outcome {
    let chain = Chain::new(fx)?;
    let asked = AtomicUsize::new(0);
    // An answer is about a record that was current during the call. That record is pending at least
    // until the next is made. So only an answer during which a new record was made may be
    // "complete".
    let ask_once = |is_done: &dyn Fn() -> Result<bool, Verdict>| {
        let before = chain.made.load(Ordering::SeqCst);
        let is_done = is_done()?;
        let is_same = chain.made.load(Ordering::SeqCst) == before;
        // The last gate opens only after this flag is set.
        let is_over = chain.is_over.load(Ordering::SeqCst);
        check(is_over || !is_done || !is_same, "the event is done while its record is pending")
    };
    let ask = || {
        while !chain.is_over.load(Ordering::SeqCst) {
            ask_once(&|| Ok(chain.event.query()?))?;
            ask_once(&|| {
                let status = chain.event.status()?;
                check(status != EventStatus::Unrecorded, "the event is unrecorded")?;
                Ok(status == EventStatus::Complete)
            })?;
            asked.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    // Too few queries may miss a broken backend, but never fail a correct one.
    chain.run(fx, ask, || asked.load(Ordering::SeqCst) > 20)?;
    Ok(())
}
