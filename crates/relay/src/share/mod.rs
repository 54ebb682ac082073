//! Threads that wait for one stream at the same moment share one record of it: [`Sources`].
//!
//! The driver takes records of one stream one after the other, and a record that is made *after* a
//! caller arrived stands for all that this caller means: what was submitted before it called. So
//! one of the callers, the *leader*, makes a record for all that have arrived by then; each then
//! waits for it on its own stream.
//!
//! - A leader holds its source: one exchange to take it, one store to let go. A caller that finds
//!   nobody there pays no more than that: it records, waits and leaves.
//! - A caller that finds the source held takes a *seat*, with a note of what it waits for. The next
//!   leader takes those that sit there, **before** it makes the record. Who comes later is not
//!   taken, and waits for the next one, or leads it.
//! - Nobody waits for a leader without end, nor for one that has another stream's record to make:
//!   such a caller makes a record of its own, as if it were alone.
//!
//! A claim (a source, a seat, a round, an event) is released when its guard is dropped. So a function
//! of [`Calls`] that fails or panics leaves no other thread waiting. No waiter is claimed while
//! [`Calls::take`] runs, which may create an event.
//!
//! The events are not seen by anybody else. One that was recorded in a capture is recorded anew
//! before it is waited for again.

mod claims;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod failure_tests;
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests;
#[cfg(all(test, gpu_stream_shuttle))]
mod shuttle_tests;
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests;

use self::claims::{Claimed, OwnEvent, RoundUser};
use crate::sync::{AtomicUsize, Ordering, pause, thread_number};

/// How many sources can be told apart. Two that share a place get in each other's way no more than
/// that one of them makes its own record.
const SOURCES: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 256 };

/// How many callers can sit at the same time; as many as there are bits in `asked`, at most.
const SEATS: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 32 };

/// See [`Sources::patience`].
const PATIENCE: u32 = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 192 };

/// What a seat says, in its low bits. The others count who has sat on it, so that a leader that
/// looked a moment ago does not take the next one for the one that it saw.
const EMPTY: usize = 0;
const TAKING_SEAT: usize = 1;
/// Somebody sits, and waits to be taken.
const SITTING: usize = 2;
/// Taken: the record is being made.
const TAKEN: usize = 3;
/// The record is made, and the seat names it.
const SERVED: usize = 4;
/// There is no record to share.
const REFUSED: usize = 5;
const MARKS: usize = 7;

/// What the protocol needs of the driver, for one pair of streams. Events are handles, and not 0.
pub trait Calls {
    /// What a call that failed answers.
    type Error;

    /// An event of the source's device or context.
    ///
    /// # Errors
    /// There is none to be had.
    fn take(&self) -> Result<usize, Self::Error>;

    /// It is no longer needed.
    fn give(&self, event: usize);

    /// Whether a record of the source may serve several: not while it is captured.
    fn may_share(&self) -> bool;

    /// Records the event on the source.
    ///
    /// # Errors
    /// What the driver says; the event is then given back.
    fn record(&self, event: usize) -> Result<(), Self::Error>;

    /// Makes the caller's stream wait for the event's record.
    ///
    /// # Errors
    /// What the driver says.
    fn wait(&self, event: usize) -> Result<(), Self::Error>;
}

/// The streams of one device or context, as far as somebody waits for them at the moment. It keeps
/// an event for each of 256 places, which the streams' handles pick, and is to live as long as the
/// process: to drop it leaks those.
pub struct Sources {
    sources: Box<[Source]>,
    seats: Box<[Seat]>,
    rounds: Box<[Round]>,
    /// For how many turns a caller sits before it makes its own record.
    patience: u32,
    /// What the tests break, to see that they would notice.
    #[cfg(test)]
    broken: Option<Broken>,
    /// Locked by who leads, so that who was taken can wait for the lock and need not look again and
    /// again. For loom, which may let those who look run for ever and never the one they look at.
    #[cfg(all(test, gpu_stream_loom))]
    fair: Option<loom::sync::Mutex<()>>,
}

#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Broken {
    /// The leader makes the record before it takes those that sit.
    RecordsTooEarly,
    /// The event is given back by the first who has waited.
    GivesBackTooEarly,
}

/// A stream that is waited for.
#[repr(align(128))]
#[derive(Default)]
struct Source {
    /// 1 while somebody leads.
    held: AtomicUsize,
    /// Whose place it is. Written by the holder.
    stream: AtomicUsize,
    /// The event for records that are not shared, or 0. The holder's.
    event: AtomicUsize,
    /// A bit for each seat on which somebody may sit who waits for this stream.
    asked: AtomicUsize,
}

#[repr(align(128))]
#[derive(Default)]
struct Seat {
    state: AtomicUsize,
    /// The stream that is waited for.
    stream: AtomicUsize,
    /// The round by which it was served.
    round: AtomicUsize,
}

/// A record that several wait for.
#[repr(align(128))]
#[derive(Default)]
struct Round {
    /// How many have not waited yet; 0 if the round is free.
    users: AtomicUsize,
    event: AtomicUsize,
}

impl Default for Sources {
    fn default() -> Self {
        Sources::new()
    }
}

impl Sources {
    /// Nobody waits.
    pub fn new() -> Self {
        fn some<T: Default>(count: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(count).collect()
        }
        Sources {
            sources: some(SOURCES),
            seats: some(SEATS),
            rounds: some(SEATS),
            patience: PATIENCE,
            #[cfg(test)]
            broken: None,
            #[cfg(all(test, gpu_stream_loom))]
            fair: None,
        }
    }

    #[cfg(test)]
    fn is_broken(&self, how: Broken) -> bool {
        self.broken == Some(how)
    }

    /// Makes the caller's stream wait for a record of `stream`, a handle, that is made during this
    /// call. The caller keeps both streams alive for as long as the call takes; so does each who
    /// shares the record, by its own call.
    ///
    /// # Errors
    /// The first one of `calls`.
    #[inline]
    pub fn wait_for<C: Calls>(&self, stream: usize, calls: &C) -> Result<(), C::Error> {
        let source = self.source_of(stream);
        match source.hold() {
            Some(held) => self.lead(&held, stream, calls),
            None => self.held_by_another(source, stream, calls),
        }
    }

    #[inline]
    fn source_of(&self, stream: usize) -> &Source {
        // Handles are addresses: the low bits are all the same.
        let mixed = (stream >> 4).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as usize);
        &self.sources[(mixed >> (usize::BITS / 2)) % SOURCES]
    }

    #[inline]
    fn lead<C: Calls>(&self, held: &Held, stream: usize, calls: &C) -> Result<(), C::Error> {
        let source = held.0;
        if source.stream.load(Ordering::Relaxed) != stream {
            source.stream.store(stream, Ordering::Relaxed);
        }
        if source.asked.load(Ordering::Relaxed) != 0 {
            return self.lead_many(held, stream, calls);
        }
        lead_alone(held, calls)
    }

    /// Leads whoever has sat down by now.
    #[cold]
    fn lead_many<C: Calls>(&self, held: &Held, stream: usize, calls: &C) -> Result<(), C::Error> {
        #[cfg(all(test, gpu_stream_loom))]
        let _served = self.fair.as_ref().map(|fair| fair.lock().expect("nobody panics"));
        let event = OwnEvent::take(calls)?;
        let may_share = calls.may_share();
        #[cfg(test)]
        let is_recorded = self.is_broken(Broken::RecordsTooEarly);
        #[cfg(not(test))]
        let is_recorded = false;
        if is_recorded {
            event.record()?;
        }
        let claimed = self.gather(held.0, stream);
        let round = if may_share && !claimed.is_empty() { claimed.reserve_round() } else { None };
        let Some(round) = round else {
            drop(claimed);
            event.record()?;
            let outcome = event.wait();
            // Before the event is given back, which may call the driver.
            held.let_go();
            return outcome;
        };
        if !is_recorded {
            event.record()?;
        }
        let user = claimed.serve(round, event);
        // The next leader need not wait until this one has waited.
        held.let_go();
        user.wait()
    }

    /// Takes those that sit and wait for `stream`. What is recorded from here on stands for all
    /// that they mean.
    fn gather(&self, source: &Source, stream: usize) -> Claimed<'_> {
        let asked = source.asked.swap(0, Ordering::Acquire);
        let mut taken = 0;
        for index in bits(asked) {
            let seat = &self.seats[index];
            // Acquire: what the caller submitted before it sat down comes before the record.
            let state = seat.state.load(Ordering::Acquire);
            // Another stream, if who asked has gone and the seat is the next one's.
            if state & MARKS == SITTING
                && seat.stream.load(Ordering::Relaxed) == stream
                && seat.change(state, TAKEN)
            {
                taken |= 1 << index;
            }
        }
        Claimed::new(self, taken)
    }

    #[cold]
    fn held_by_another<C: Calls>(
        &self,
        source: &Source,
        stream: usize,
        calls: &C,
    ) -> Result<(), C::Error> {
        // For another stream nobody waits here.
        let same = source.stream.load(Ordering::Relaxed) == stream;
        let Some(index) = same.then(|| self.sit(stream)).flatten() else {
            return alone(calls);
        };
        source.asked.fetch_or(1 << index, Ordering::Release);
        let seat = &self.seats[index];
        let mut turn = 0_u32;
        loop {
            // Acquire: the record, and what the round says of it, come before the wait.
            let state = seat.state.load(Ordering::Acquire);
            match state & MARKS {
                SERVED => {
                    let round = seat.round.load(Ordering::Relaxed);
                    let event = self.rounds[round].event.load(Ordering::Relaxed);
                    seat.set(EMPTY);
                    return RoundUser::new(self, round, event, calls).wait();
                }
                REFUSED => {
                    seat.set(EMPTY);
                    return alone(calls);
                }
                SITTING => {
                    if let Some(held) = source.hold() {
                        // Who was taken while nobody held the source was served.
                        if seat.change(state, EMPTY) {
                            return self.lead(&held, stream, calls);
                        }
                    } else if turn >= self.patience && seat.change(state, EMPTY) {
                        return alone(calls);
                    }
                }
                // Taken: the record is being made.
                _ => {
                    #[cfg(all(test, gpu_stream_loom))]
                    drop(self.fair.as_ref().map(loom::sync::Mutex::lock));
                }
            }
            pause(turn);
            turn = turn.saturating_add(1);
        }
    }

    /// Takes a seat, if there is one nearby.
    fn sit(&self, stream: usize) -> Option<usize> {
        let first = thread_number();
        (first..first + 4).map(|place| place % SEATS).find(|&index| {
            let seat = &self.seats[index];
            let state = seat.state.load(Ordering::Relaxed);
            let next = (state & !MARKS).wrapping_add(MARKS + 1) | TAKING_SEAT;
            let free = state & MARKS == EMPTY
                && seat
                    .state
                    .compare_exchange(state, next, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok();
            if free {
                seat.stream.store(stream, Ordering::Relaxed);
                // Release: what the caller submitted comes before what a leader records.
                seat.set(SITTING);
            }
            free
        })
    }
}

/// A record that serves the holder only.
#[inline]
fn lead_alone<C: Calls>(held: &Held, calls: &C) -> Result<(), C::Error> {
    let source = held.0;
    let event = match source.event.load(Ordering::Relaxed) {
        0 => {
            let event = calls.take()?;
            source.event.store(event, Ordering::Relaxed);
            event
        }
        event => event,
    };
    if let Err(error) = calls.record(event) {
        source.event.store(0, Ordering::Relaxed);
        held.let_go();
        calls.give(event);
        return Err(error);
    }
    calls.wait(event)
}

/// A record that serves one who holds nothing.
fn alone<C: Calls>(calls: &C) -> Result<(), C::Error> {
    let event = OwnEvent::take(calls)?;
    event.record()?;
    event.wait()
}

fn bits(mut set: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lowest = set.trailing_zeros();
        (set != 0).then(|| {
            set &= set - 1;
            lowest as usize
        })
    })
}

impl Seat {
    /// Changes what the seat says, if it is still what was seen.
    fn change(&self, seen: usize, mark: usize) -> bool {
        let new = seen & !MARKS | mark;
        self.state.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Changes what the seat says, where nobody else does.
    fn set(&self, mark: usize) {
        let state = self.state.load(Ordering::Relaxed);
        self.state.store(state & !MARKS | mark, Ordering::Release);
    }
}

/// A source that is held, until this is dropped.
struct Held<'a>(&'a Source, std::cell::Cell<bool>);

impl Source {
    #[inline]
    fn hold(&self) -> Option<Held<'_>> {
        // Acquire, here, and Release below: one holder's waits come before the next one's record.
        let exchanged = self.held.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed);
        exchanged.is_ok().then(|| Held(self, std::cell::Cell::new(true)))
    }
}

impl Held<'_> {
    #[inline]
    fn let_go(&self) {
        if self.1.replace(false) {
            self.0.held.store(0, Ordering::Release);
        }
    }
}

impl Drop for Held<'_> {
    #[inline]
    fn drop(&mut self) {
        self.let_go();
    }
}
