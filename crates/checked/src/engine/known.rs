//! What answers say that the program was not told: [`Known`].

use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

use gpu_stream_core::{Knowledge, KnownWork};

use super::clock::{Clock, LineId};
use super::event::{EventState, Mark, Waited};
use super::state::State;
use super::{Engine, Place};
use crate::finding::Action;
use crate::place::called_from;

/// The work that is known to be done, of streams of one engine.
#[derive(Clone)]
struct Answers {
    engine: &'static Engine,
    clock: Arc<Clock>,
    /// The lines that were asked. The others were waited for by these.
    asked: Vec<LineId>,
}

/// The work that is known to be done, of streams of any backend.
#[derive(Clone, Default)]
pub(crate) struct Known(Vec<Answers>);

thread_local! {
    /// What is known to the code that this thread runs by [`KnownWork::run`].
    static RUNNING: RefCell<Vec<Answers>> = const { RefCell::new(Vec::new()) };
}

impl Known {
    /// Returns the number of streams that it knows of.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|own| own.clock.entries().len().max(own.asked.len())).sum()
    }

    fn add(&mut self, new: &Answers) {
        let is_same = |answers: &&mut Answers| std::ptr::eq(answers.engine, new.engine);
        let Some(own) = self.0.iter_mut().find(is_same) else {
            self.0.push(new.clone());
            return;
        };
        let mut clock = own.clock.joined(&new.clock);
        // What the host knows by now, and streams that are forgotten, need no entry.
        new.engine
            .with(|state| clock.prune(state.version, |line, epoch| state.is_over(line, epoch)));
        own.clock = Arc::new(clock);
        let asked = new.asked.iter().filter(|line| !own.asked.contains(line)).copied();
        own.asked.extend(asked.collect::<Vec<_>>());
        own.asked.retain(|line| own.clock.get(*line) > 0);
    }
}

impl Knowledge for Known {
    fn add_to(&self, all: &mut KnownWork) {
        match all.of::<Known>() {
            Some(known) => self.0.iter().for_each(|answers| known.add(answers)),
            // Another check's. The order is given rather than lost.
            None => self.order(Location::caller()),
        }
    }

    fn run(&self, run: &mut dyn FnMut()) {
        /// Ends what the thread knows, also if the code panics.
        struct End<'a>(&'a Known);

        impl Drop for End<'_> {
            fn drop(&mut self) {
                let _ = RUNNING.try_with(|running| {
                    let mut running = running.borrow_mut();
                    let before = running.len().saturating_sub(self.0.0.len());
                    running.truncate(before);
                });
                for answers in &self.0.0 {
                    answers.engine.with(|state| state.noted(&answers.clock));
                }
            }
        }

        // Fails only while the thread ends.
        let _ = RUNNING.try_with(|running| running.borrow_mut().extend_from_slice(&self.0));
        let _end = End(self);
        run();
    }

    fn order(&self, place: &'static Location<'static>) {
        for Answers { engine, clock, asked } in &self.0 {
            let place = called_from(place, crate::place::caller);
            engine.with(|state| state.host_told(clock, asked, place));
        }
    }
}

/// Returns what is known to the code that this thread runs by [`KnownWork::run`], of the streams of an engine.
pub(super) fn of_thread(engine: &Engine) -> Option<Arc<Clock>> {
    let known = RUNNING.try_with(|running| {
        let running = running.borrow();
        let mut clocks = running
            .iter()
            .filter(|answers| std::ptr::eq(answers.engine, engine))
            .map(|answers| &answers.clock);
        let first = Arc::clone(clocks.next()?);
        Some(clocks.fold(first, |all, clock| Arc::new(all.joined(clock))))
    });
    known.ok().flatten()
}

impl Engine {
    /// Adds to `known` that the work of `mark` is done. The program is not told.
    pub(crate) fn answered(&'static self, mark: Mark, known: &mut KnownWork) {
        let (mut clock, mut asked) = (Clock::default(), Vec::new());
        let snapshots = match mark.0 {
            Waited::Everything(number) => {
                clock.raise_everything(number);
                Vec::new()
            }
            Waited::Stream(snapshot) => vec![snapshot],
            Waited::Event(snapshots) => snapshots,
        };
        for snapshot in snapshots {
            clock = clock.joined(&snapshot.clock);
            clock.raise(snapshot.line, snapshot.epoch);
            asked.push(snapshot.line);
        }
        let answers = Answers { engine: self, clock: Arc::new(clock), asked };
        Known(vec![answers]).add_to(known);
    }

    /// Adds to `known` that an event is complete. `mark` was taken before the call. The program is not told.
    pub(crate) fn event_answered(
        &'static self,
        mark: Mark,
        event: &EventState,
        known: &mut KnownWork,
    ) {
        let mark = self.with(|state| state.completed(mark, event));
        self.answered(mark, known);
    }
}

impl State {
    /// Makes the work that follows on a line happen after what the calling code knows.
    pub(super) fn join_known(&mut self, id: LineId, known: &Clock) {
        let id = self.current(id);
        // A captured stream does not wait for work outside of its capture.
        if let Some(line) = self.lines.get_mut(&id).filter(|line| line.group == 0) {
            line.clock = Arc::new(line.clock.joined(known));
            self.prune(id);
        }
    }

    /// Notes that code of the program ran that comes after this work. What it did with the memory is not known: memory that
    /// it freed can be allocated again at once.
    fn noted(&mut self, known: &Clock) {
        for (id, epoch) in known.entries() {
            if let Some(line) = self.lines.get_mut(id) {
                line.noted = line.noted.max(*epoch);
            }
        }
        self.noted_everything = self.noted_everything.max(known.everything());
    }

    /// Notes that the program was told that this work is done. It is no call of the streams, which can be gone.
    fn host_told(&mut self, known: &Clock, asked: &[LineId], place: Place) {
        for id in asked {
            self.step(*id, place, Action::HostWait);
            if let Some(line) = self.lines.get_mut(id) {
                line.joining.is_host_joined = true;
            }
        }
        self.host_join_clock(known);
    }
}
