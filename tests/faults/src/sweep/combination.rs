//! One call of the backend, one call of the driver, one fault: [`SweepCase`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::stage::{CallProbe, Operation, Outcome, message};
use super::{Deviation, FaultFixture, Report, TestStreams, plan};
use crate::{At, Controls, InjectedFault, Threads};

pub(super) struct SweepCase<'a, V: FaultFixture> {
    pub(super) controls: &'a Controls,
    pub(super) world: &'a TestStreams<V>,
    pub(super) operation: &'a Operation<'a>,
    pub(super) setting: usize,
}

/// How a call goes where nothing fails.
pub(super) struct Baseline {
    outcome: Outcome,
    seen: Vec<String>,
}

impl Baseline {
    /// The driver's functions that are called, with the number of the occurrence. Of those that are
    /// called again and again, as in a wait, the first few.
    pub(super) fn calls(&self) -> Vec<(&str, u32)> {
        const MOST: u32 = 8;
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let numbered = self.seen.iter().map(|function| {
            let count = counts.entry(function).or_default();
            *count += 1;
            (function.as_str(), *count)
        });
        numbered.filter(|(_, count)| *count <= MOST).collect()
    }
}

/// What one run left behind.
struct Leftovers {
    outcome: Outcome,
    wrong: Vec<String>,
    broken_captures: usize,
    /// What the thread was before and after, if that is not the same.
    thread: Option<(String, String)>,
}

impl<V: FaultFixture> SweepCase<'_, V> {
    /// Runs the operation, with `before` in front of the call and `after` behind it. An error if
    /// something fails where nothing should.
    fn execute(&self, before: &dyn Fn(), after: &dyn Fn()) -> Result<Leftovers, String> {
        let (found, now) = (RefCell::new(String::new()), RefCell::new(String::new()));
        let before = || {
            V::forget_error();
            found.replace(V::thread_state());
            before();
        };
        let after = || {
            after();
            now.replace(V::thread_state());
        };
        let stage = CallProbe::new(&before, &after);
        let played = catch_unwind(AssertUnwindSafe(|| (self.operation.run)(&stage)));
        self.controls.clear();
        if let Err(panic) = played {
            return Err(message(&*panic));
        }
        let (outcome, wrong, broken_captures) = stage.end();
        let outcome = outcome.ok_or("the operation makes no call")?;
        let (found, now) = (found.into_inner(), now.into_inner());
        let thread = (found != now).then_some((found, now));
        Ok(Leftovers { outcome, wrong, broken_captures, thread })
    }

    /// How it goes without a fault.
    pub(super) fn clean(&self, report: &mut Report) -> Option<Baseline> {
        let seen = RefCell::new(Vec::new());
        let before = || self.controls.watch(Threads::All);
        let after = || {
            seen.replace(self.controls.seen());
            self.controls.clear();
        };
        // Twice: the first time may make what stays.
        for _ in 0..2 {
            match self.execute(&before, &after) {
                Ok(left) => {
                    self.judge_traces(&left, &mut |what| {
                        report.wrong(format!("{}, with no fault: {what}", self.operation.name));
                    });
                    if let Outcome::Panicked(text) = &left.outcome {
                        report.wrong(format!(
                            "{}, with no fault: a panic: {text}",
                            self.operation.name
                        ));
                        return None;
                    }
                    if !seen.borrow().is_empty() || left.outcome == Outcome::Done {
                        let seen = seen.borrow().clone();
                        self.fill();
                        return Some(Baseline { outcome: left.outcome, seen });
                    }
                }
                Err(text) => {
                    report.wrong(format!("{}, with no fault: {text}", self.operation.name));
                    return None;
                }
            }
        }
        None
    }

    /// Fills the pools of events, and lets streams go that were busy, so that the numbers say what
    /// was lost.
    fn fill(&self) {
        let mut streams = u64::MAX;
        while self.controls.live("stream") < streams {
            streams = self.controls.live("stream");
            self.world.clear_busy();
        }
        let mut before = 0;
        while before < self.controls.live("event") {
            before = self.controls.live("event");
            self.world.top_up();
        }
    }

    /// After faults, it goes as before.
    pub(super) fn still_works(&self, clean: &Baseline, function: &str, report: &mut Report) {
        let name = &self.operation.name;
        match self.execute(&|| (), &|| ()) {
            Ok(left) if left.outcome.is_like(&clean.outcome) => {
                self.judge_traces(&left, &mut |what| {
                    report.wrong(format!("{name}, after {function} had failed: {what}"));
                });
            }
            Ok(left) => report.wrong(format!(
                "{name}, after {function} had failed: {:?} in place of {:?}",
                left.outcome, clean.outcome
            )),
            Err(text) => {
                report.wrong(format!("{name}, after {function} had failed: {text}"));
            }
        }
        self.fill();
    }

    fn judge_traces(&self, left: &Leftovers, wrong: &mut dyn FnMut(String)) {
        left.wrong.iter().for_each(|what| wrong(what.clone()));
        if let Some((found, now)) = &left.thread {
            wrong(format!("the thread had {found} and now has {now}"));
        }
        if left.broken_captures > 0 {
            wrong("a capture is broken".into());
        }
    }

    /// One combination.
    pub(super) fn fail(
        &self,
        clean: &Baseline,
        (function, at): (&str, At),
        fault: InjectedFault,
        report: &mut Report,
    ) {
        let (controls, name) = (self.controls, &self.operation.name);
        let context = format!("{name} (setting {}), {function} {at:?} {fault:?}", self.setting);
        if std::env::var_os("GPU_STREAM_FAULT_TRACE").is_some() {
            eprintln!("{context}");
        }
        let alive = ["stream", "event"].map(|kind| (kind, controls.live(kind)));
        let (wrong_before, shares) = (controls.wrong(), self.world.shares());
        let triggered = Cell::new(0);
        let before = || plan(controls, (function, at), fault);
        let after = || {
            triggered.set(controls.triggered());
            controls.clear();
        };
        let played = self.execute(&before, &after);
        if triggered.get() == 0 {
            report.not_met += 1;
        } else {
            report.combinations += 1;
            report.functions.insert(function.to_owned());
            report.codes.insert(code_of(fault));
        }
        let code = code_of(fault);
        match played {
            Err(text) => report.wrong(format!("{context}: what came after: {text}")),
            Ok(left) => {
                if triggered.get() > 0 {
                    self.judge(clean, &left.outcome, (function, code), &context, report);
                }
                for what in &left.wrong {
                    report.wrong(format!("{context}: {what}"));
                }
                if let Some((found, now)) = &left.thread
                    && !self.excused(Deviation::ChangeThread, function, code, report)
                {
                    let text = format!("{context}: the thread had {found} and now has {now}");
                    report.wrong(text);
                }
                if left.thread.is_some() {
                    V::enter(self.setting);
                }
                if left.broken_captures > 0
                    && !self.excused(Deviation::BreakCapture, function, code, report)
                {
                    report.wrong(format!("{context}: a capture is broken"));
                }
            }
        }
        if controls.wrong() != wrong_before {
            report.wrong(format!("{context}: something was destroyed that was not there"));
        }
        if self.world.shares() != shares {
            let now = self.world.shares();
            report.wrong(format!("{context}: shares in owners: {shares:?} before, {now:?} after"));
        }
        for (kind, count) in alive {
            self.judge_alive((kind, count), (function, fault), &context, report);
        }
    }

    fn judge(
        &self,
        clean: &Baseline,
        outcome: &Outcome,
        (function, code): (&str, i32),
        context: &str,
        report: &mut Report,
    ) {
        match outcome {
            Outcome::Panicked(text) => report.wrong(format!("{context}: a panic: {text}")),
            Outcome::Failed { kind, code: Some(told), text }
                if *told == code && text.contains(function) && text.contains(&code.to_string()) =>
            {
                if *kind != V::kind_of(code) {
                    report.wrong(format!("{context}: kind {kind:?}: {text}"));
                }
                report.count(&format!("an error that names the call, of kind {kind:?}"));
            }
            other => {
                let said = match other {
                    Outcome::Failed { kind, .. } => Some(Deviation::Say(*kind)),
                    _ => None,
                };
                let as_clean = other.is_like(&clean.outcome);
                let excused = as_clean
                    && self.excused(Deviation::AnswerAsClean, function, code, report)
                    || said.is_some_and(|said| self.excused(said, function, code, report));
                if !excused {
                    report.wrong(format!("{context}: {other:?}"));
                }
                report.count(&match other {
                    Outcome::Failed { kind, .. } if !as_clean => {
                        format!("an error in the contract's own words, of kind {kind:?}")
                    }
                    _ => "as without the fault".to_owned(),
                });
            }
        }
    }

    /// Whether the table has an excuse, which is then counted.
    fn excused(&self, may: Deviation, function: &str, code: i32, report: &mut Report) -> bool {
        let name = &self.operation.name;
        let fits = |list: &[&str], fit: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|entry| fit(entry))
        };
        let found = report.excused.iter_mut().find(|(excuse, _)| {
            excuse.may == may
                && fits(excuse.functions, &|entry| entry == function)
                && fits(excuse.operations, &|entry| name.starts_with(entry))
                && (excuse.codes.is_empty() || excuse.codes.contains(&code))
        });
        found.is_some_and(|(_, count)| {
            *count += 1;
            true
        })
    }

    /// As many objects are alive as before, but for what only the driver can be blamed for.
    fn judge_alive(
        &self,
        (kind, count): (&str, u64),
        (function, fault): (&str, InjectedFault),
        context: &str,
        report: &mut Report,
    ) {
        // Streams that were busy, and events that did not go back to a pool, are made up for.
        for _ in 0..50 {
            let now = self.controls.live(kind);
            // Of streams, some that were busy before may have gone meanwhile.
            if now == count || kind == "stream" && now < count {
                return;
            }
            match kind {
                "event" => self.world.top_up(),
                _ => self.world.clear_busy(),
            }
        }
        let now = self.controls.live(kind);
        if now < count {
            // One of a pool was destroyed that nothing fills up: what is destroyed twice is seen
            // elsewhere.
            return;
        }
        if now == count + 1
            && kind == "event"
            && self.excused(Deviation::LeaveEvent, function, code_of(fault), report)
        {
            return;
        }
        if now != count + 1 || leaves::<V>(function, fault) != Some(kind) {
            report.wrong(format!("{context}: {now} of sort {kind} are alive, {count} before"));
            return;
        }
        report.count(match fault {
            InjectedFault::Answer(_) => "left: what the driver refused to destroy",
            _ => "left: what the driver made and gave with an error",
        });
    }
}

/// The sort of object that the driver leaves behind by such a fault: a handle that comes with an
/// error is not looked at, and what a driver refuses to destroy stays.
fn leaves<V: FaultFixture>(function: &str, fault: InjectedFault) -> Option<&'static str> {
    match fault {
        InjectedFault::PassThenAnswer(_) => V::makes(function),
        InjectedFault::Answer(_) => V::destroys(function),
        InjectedFault::Hold => None,
    }
}

fn code_of(fault: InjectedFault) -> i32 {
    match fault {
        InjectedFault::Answer(code) | InjectedFault::PassThenAnswer(code) => code,
        InjectedFault::Hold => 0,
    }
}
