//! Races: several threads submit to one stream, or use an event that is recorded again meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use super::support::*;

/// How often a thread's submission meets another thread's. The first does so in turn, the others race.
const MEETINGS: usize = 16;

/// How much the other thread submits at most, where a submission can block.
const FEW: usize = 300;
/// How much of that it submits behind what is held back. HIP 5.2 blocks from the 16th host function on,
/// inside the runtime, and a query waits for that (docs/measurements/2026-11-22-hip.md).
const FEW_BEHIND: usize = 10;
/// The same where no queue is ever full: enough for several of the system's time slices.
const MANY: usize = 3_000;

/// Something that the asking thread has submitted, and that is held back until it is opened.
struct HeldBack<'a, F: Fixture> {
    stream: &'a StreamOf<F>,
    open: &'a (dyn Fn() + Sync),
    /// Whether it was passed.
    is_done: &'a dyn Fn() -> Result<bool, Verdict>,
}

impl<F: Fixture> HeldBack<'_, F> {
    #[track_caller]
    fn check_query(&self, why: &str) -> Outcome {
        let text = "query is true, and the thread's own submission is held back";
        check(!self.stream.query()?, format_args!("{text} ({why})"))
    }
}

/// Calls `body` on a thread that has just submitted something which is held back, beside a thread
/// that submits to the same stream: once in turn, and then at the same time.
fn beside_a_submitter<F: Fixture>(fx: &F, body: impl Fn(&HeldBack<'_, F>) -> Outcome) -> Outcome {
    for meeting in 0..MEETINGS {
        let stream = stream(fx)?;
        let is_function = meeting % 4 >= 2;
        let submit = || {
            let (most, behind) =
                if fx.independent() > MANY { (MANY, MANY) } else { (FEW, FEW_BEHIND) };
            beside(&stream, if meeting < 4 { 1 } else { most }, behind, || {
                if is_function { function(&stream, &body) } else { wait(fx, &stream, &body) }
            })
        };
        match submit() {
            // Where there are no host functions, waits have to do.
            Err(Verdict::Skipped(_)) if is_function => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// Runs `body` beside a thread that submits up to `most` times, until `body` is over, and up to
/// `behind` times after `body` has begun.
fn beside<S: Stream + Sync>(
    stream: &S,
    most: usize,
    behind: usize,
    body: impl FnOnce() -> Outcome,
) -> Outcome {
    let (submitted, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    // How many submissions there may be until `body` is over.
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
        limit.store(submitted.load(Ordering::SeqCst).saturating_add(behind), Ordering::SeqCst);
        let outcome = body();
        is_over.store(true, Ordering::SeqCst);
        let theirs = other.join().unwrap_or_else(|_| Err(Verdict::failed("a thread panicked")));
        outcome.and(theirs)
    })?;
    Ok(stream.synchronize()?)
}

/// Submits by the contract: a host function, or a timed record where there are none.
fn submit_something<S: Stream>(stream: &S) -> Outcome {
    match stream.launch_host_func(Box::new(|| ())) {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Ok(stream.record(&S::Backend::new_event(stream.device(), EventOptions::timed())?)?)
        }
        launched => Ok(launched?),
    }
}

/// Holds `stream` back by a wait for an event behind a gate.
fn wait<F: Fixture>(
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
fn function<F: Fixture>(
    stream: &StreamOf<F>,
    body: &impl Fn(&HeldBack<'_, F>) -> Outcome,
) -> Outcome {
    let (release, released) = channel::<()>();
    let has_returned = std::sync::Arc::new(AtomicBool::new(false));
    let returns = std::sync::Arc::clone(&has_returned);
    let submitter = thread::current().id();
    let func = move || {
        // Ends when the case lets it, or when the case is over; at once inside of the call that submits
        // it, which would never return.
        if thread::current().id() != submitter {
            let _ = released.recv();
        }
        returns.store(true, Ordering::SeqCst);
    };
    optional("host functions", stream.launch_host_func(Box::new(func)))?;
    let open = || {
        // It fails only if the function has returned before, which the case will see.
        let _ = release.send(());
    };
    body(&HeldBack { stream, open: &open, is_done: &|| Ok(has_returned.load(Ordering::SeqCst)) })?;
    drop(release);
    Ok(())
}

/// Query is false while what the asking thread has just submitted is held back, whatever another
/// thread submits meanwhile.
pub fn own_submission_is_covered_by_query<F: Fixture>(fx: &F) -> Outcome {
    beside_a_submitter(fx, |held| {
        held.check_query("at once")?;
        give_a_chance(|| false);
        held.check_query("a moment later")
    })
}

/// A record stands for what its thread has just submitted, whatever another thread submits
/// meanwhile.
pub fn own_submission_is_covered_by_a_record<F: Fixture>(fx: &F) -> Outcome {
    beside_a_submitter(fx, |held| {
        let event = held.stream.record_event()?;
        let waiter = stream_on::<F>(held.stream.device())?;
        waiter.wait_event(&event)?;
        let after = work(fx, &waiter)?;
        for _ in 0..2 {
            check_eq("the status of the event", event.status()?, EventStatus::Pending)?;
            check(!event.query()?, "query of the event is true, and what it stands for is held")?;
            check_eq("the number behind the record", fx.load(&after)?, 0)?;
            give_a_chance(|| false);
        }
        (held.open)();
        waiter.synchronize()?;
        check((held.is_done)()?, "the waiter is done before what the record stands for")?;
        check_done(fx, &after)
    })
}

/// Synchronize, of the stream and of an event, waits for what its thread has just submitted,
/// whatever another thread submits meanwhile.
pub fn own_submission_is_waited_for<F: Fixture>(fx: &F) -> Outcome {
    for by_event in [false, true] {
        beside_a_submitter(fx, |held| {
            // No record where the stream is waited for: it could submit what was put off.
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

/// How many records are made at least, and how many at most while something is waited for.
const RECORDS: std::ops::Range<usize> = 40..300;

/// An event that is recorded again and again on one stream: its current record is always pending,
/// and every earlier one completes in its turn.
struct Chain<F: Fixture> {
    event: EventOf<F>,
    stream: StreamOf<F>,
    /// What the work before each record changes.
    data: Vec<F::Data>,
    /// How many records have been made.
    made: AtomicUsize,
    /// Whether the last gate is about to open.
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

    /// Makes the next record, behind a gate of its own.
    fn record(&self, fx: &F) -> Result<F::Gate, Verdict> {
        let index = self.made.load(Ordering::SeqCst);
        let gate = fx.gate(&self.stream)?;
        fx.store(&self.stream, &self.data[index], 1)?;
        self.stream.record(&self.event)?;
        self.made.store(index + 1, Ordering::SeqCst);
        Ok(gate)
    }

    /// Makes records beside `body`, until `has_enough`. Returns `false` if it never had.
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
                // Later ones give more time, to a thread that the system has kept from running.
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

/// Synchronize of an event waits for the record that is current at the call, and for no later one,
/// while another thread records the event again and again.
pub fn synchronize_keeps_its_record<F: Fixture>(fx: &F) -> Outcome {
    let chain = Chain::new(fx)?;
    let returned = AtomicUsize::new(0);
    let synchronize = || {
        while !chain.is_over.load(Ordering::SeqCst) {
            // The call is for this record or for a later one, before which this one completes.
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

/// An event that is recorded again and again does not look unrecorded, nor done before the work of
/// its record is.
pub fn event_recorded_again_is_pending<F: Fixture>(fx: &F) -> Outcome {
    let chain = Chain::new(fx)?;
    let asked = AtomicUsize::new(0);
    // An answer is about a record that was current during the call. That one is pending at least until
    // the next is made, so only an answer beside a new record may say that it is complete.
    let ask_once = |is_done: &dyn Fn() -> Result<bool, Verdict>| {
        let before = chain.made.load(Ordering::SeqCst);
        let is_done = is_done()?;
        let is_same = chain.made.load(Ordering::SeqCst) == before;
        // The last gate opens only after this is set.
        let is_over = chain.is_over.load(Ordering::SeqCst);
        check(is_over || !is_done || !is_same, "the event looks done, and its record is pending")
    };
    let ask = || {
        while !chain.is_over.load(Ordering::SeqCst) {
            ask_once(&|| Ok(chain.event.query()?))?;
            ask_once(&|| {
                let status = chain.event.status()?;
                check(status != EventStatus::Unrecorded, "the event looks unrecorded")?;
                Ok(status == EventStatus::Complete)
            })?;
            asked.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    };
    // Few questions may miss a broken backend, and fail none that is right.
    chain.run(fx, ask, || asked.load(Ordering::SeqCst) > 20)?;
    Ok(())
}
