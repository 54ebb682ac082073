//! One combination of a backend call, a driver call and a fault: [`SweepCase`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::probe::{CallProbe, Operation, Outcome, message};
use super::{Deviation, FaultFixture, Report, TestStreams, Watchdog, plan};
use crate::{At, Controls, InjectedFault, Threads};

pub(super) struct SweepCase<'a, V: FaultFixture> {
    pub(super) controls: &'a Controls,
    pub(super) test_streams: &'a TestStreams<V>,
    pub(super) operation: &'a Operation<'a>,
    pub(super) setting: usize,
    pub(super) watchdog: &'a Watchdog,
}

/// The course of an operation without a fault.
pub(super) struct Baseline {
    outcome: Outcome,
    seen: Vec<String>,
}

impl Baseline {
    /// Returns the driver's functions that the operation calls, each with the number of its
    /// occurrence.
    ///
    /// A function that is called repeatedly, as in a wait, is listed for its first few calls only.
    pub(super) fn calls(&self) -> Vec<(&str, u32)> {
        const LIMIT: u32 = 8;
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let numbered = self.seen.iter().map(|function| {
            let count = counts.entry(function).or_default();
            *count += 1;
            (function.as_str(), *count)
        });
        numbered.filter(|(_, count)| *count <= LIMIT).collect()
    }
}

/// The result and the side effects of one run.
struct Leftovers {
    outcome: Outcome,
    wrong: Vec<String>,
    broken_captures: usize,
    /// The thread's state before and after, if it changed.
    thread: Option<(String, String)>,
}

impl<V: FaultFixture> SweepCase<'_, V> {
    /// Runs the operation, with `before` right before the call and `after` right after it.
    ///
    /// # Errors
    /// A message if a step fails outside of the call, where no fault is set.
    fn execute(&self, before: &dyn Fn(), after: &dyn Fn()) -> Result<Leftovers, String> {
        let (state_before, state_after) =
            (RefCell::new(String::new()), RefCell::new(String::new()));
        let before = || {
            V::clear_last_error();
            state_before.replace(V::thread_state());
            before();
        };
        let after = || {
            after();
            state_after.replace(V::thread_state());
        };
        let probe = CallProbe::new(&before, &after);
        let result = catch_unwind(AssertUnwindSafe(|| (self.operation.run)(&probe)));
        self.controls.clear();
        if let Err(panic) = result {
            return Err(message(&*panic));
        }
        let (outcome, wrong, broken_captures) = probe.end();
        let outcome = outcome.ok_or("the operation makes no call")?;
        let (state_before, state_after) = (state_before.into_inner(), state_after.into_inner());
        let thread = (state_before != state_after).then_some((state_before, state_after));
        Ok(Leftovers { outcome, wrong, broken_captures, thread })
    }

    /// Runs the operation without a fault. Returns `None`, and reports it, if that fails.
    pub(super) fn baseline(&self, report: &mut Report) -> Option<Baseline> {
        let seen = RefCell::new(Vec::new());
        let before = || self.controls.watch(Threads::All);
        let after = || {
            seen.replace(self.controls.seen());
            self.controls.clear();
        };
        self.watchdog.begin(&format!("{}, with no fault", self.operation.name));
        // Up to two runs: the first can create objects that stay.
        for _ in 0..2 {
            match self.execute(&before, &after) {
                Ok(left) => {
                    self.judge_side_effects(&left, &mut |what| {
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
                        self.fill_pools();
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

    /// Fills the event pools and destroys streams that were busy, so that a later change in the
    /// counts is a leak.
    fn fill_pools(&self) {
        let mut streams = u64::MAX;
        while self.controls.live("stream") < streams {
            streams = self.controls.live("stream");
            self.test_streams.clear_busy();
        }
        let mut events = 0;
        while events < self.controls.live("event") {
            events = self.controls.live("event");
            self.test_streams.top_up();
        }
    }

    /// Checks that the operation works as before after `function` had failed.
    pub(super) fn check_recovery(&self, baseline: &Baseline, function: &str, report: &mut Report) {
        let name = &self.operation.name;
        self.watchdog.begin(&format!("{name}, after {function} had failed"));
        match self.execute(&|| (), &|| ()) {
            Ok(left) if left.outcome.is_like(&baseline.outcome) => {
                self.judge_side_effects(&left, &mut |what| {
                    report.wrong(format!("{name}, after {function} had failed: {what}"));
                });
            }
            Ok(left) => report.wrong(format!(
                "{name}, after {function} had failed: {:?} instead of {:?}",
                left.outcome, baseline.outcome
            )),
            Err(text) => {
                report.wrong(format!("{name}, after {function} had failed: {text}"));
            }
        }
        self.fill_pools();
    }

    fn judge_side_effects(&self, left: &Leftovers, wrong: &mut dyn FnMut(String)) {
        left.wrong.iter().for_each(|what| wrong(what.clone()));
        if let Some((before, after)) = &left.thread {
            wrong(format!("the thread's state was {before} and is now {after}"));
        }
        if left.broken_captures > 0 {
            wrong("a capture is broken".into());
        }
    }

    /// Runs the operation with one fault, and checks the outcome and the side effects.
    pub(super) fn inject(
        &self,
        baseline: &Baseline,
        (function, at): (&str, At),
        fault: InjectedFault,
        report: &mut Report,
    ) {
        let (controls, name) = (self.controls, &self.operation.name);
        let context = format!("{name} (setting {}), {function} {at:?} {fault:?}", self.setting);
        self.watchdog.begin(&context);
        if std::env::var_os("GPU_STREAM_FAULT_TRACE").is_some() {
            eprintln!("{context}");
        }
        V::settle(self.test_streams);
        let alive = ["stream", "event"].map(|kind| (kind, controls.live(kind)));
        let (wrong_before, owner_counts) = (controls.wrong(), self.test_streams.owner_counts());
        let triggered = Cell::new(0);
        let before = || plan(controls, (function, at), fault);
        let after = || {
            triggered.set(controls.triggered());
            controls.clear();
        };
        let result = self.execute(&before, &after);
        if triggered.get() == 0 {
            report.not_met += 1;
        } else {
            report.combinations += 1;
            report.functions.insert(function.to_owned());
            report.codes.insert(code_of(fault));
        }
        match result {
            Err(text) => {
                report.wrong(format!("{context}: the steps around the call failed: {text}"))
            }
            Ok(left) => {
                if triggered.get() > 0 {
                    let call = (function, code_of(fault));
                    self.judge_outcome(baseline, &left.outcome, call, &context, report);
                }
                self.judge_deviations(&left, (function, code_of(fault)), &context, report);
            }
        }
        if controls.wrong() != wrong_before {
            report.wrong(format!("{context}: a handle was destroyed that is not alive"));
        }
        if self.test_streams.owner_counts() != owner_counts {
            let now = self.test_streams.owner_counts();
            report.wrong(format!(
                "{context}: references to owners: {owner_counts:?} before, {now:?} after"
            ));
        }
        for (kind, count) in alive {
            self.judge_alive((kind, count), (function, fault), &context, report);
        }
    }

    /// Reports what the operation found wrong, and side effects that the vendor's table does not
    /// allow. Restores the thread's state if it changed.
    fn judge_deviations(
        &self,
        left: &Leftovers,
        (function, code): (&str, i32),
        context: &str,
        report: &mut Report,
    ) {
        for what in &left.wrong {
            report.wrong(format!("{context}: {what}"));
        }
        if let Some((before, after)) = &left.thread
            && !self.is_allowed(Deviation::ChangeThread, function, code, report)
        {
            let text = format!("{context}: the thread's state was {before} and is now {after}");
            report.wrong(text);
        }
        if left.thread.is_some() {
            V::enter(self.setting);
        }
        if left.broken_captures > 0
            && !self.is_allowed(Deviation::BreakCapture, function, code, report)
        {
            report.wrong(format!("{context}: a capture is broken"));
        }
    }

    /// Checks the answer of a call that met a fault.
    fn judge_outcome(
        &self,
        baseline: &Baseline,
        outcome: &Outcome,
        (function, code): (&str, i32),
        context: &str,
        report: &mut Report,
    ) {
        match outcome {
            Outcome::Panicked(text) => report.wrong(format!("{context}: a panic: {text}")),
            Outcome::Failed { kind, code: Some(reported), text }
                if *reported == code
                    && text.contains(function)
                    && text.contains(&code.to_string()) =>
            {
                if *kind != V::kind_of(code) {
                    report.wrong(format!("{context}: kind {kind:?}: {text}"));
                }
                report.count(&format!("an error that names the call, of kind {kind:?}"));
            }
            other => {
                let deviation = match other {
                    Outcome::Failed { kind, .. } => Some(Deviation::Say(*kind)),
                    _ => None,
                };
                let as_baseline = other.is_like(&baseline.outcome);
                let allowed = as_baseline
                    && self.is_allowed(Deviation::AnswerAsClean, function, code, report)
                    || deviation.is_some_and(|deviation| {
                        self.is_allowed(deviation, function, code, report)
                    });
                if !allowed {
                    report.wrong(format!("{context}: {other:?}"));
                }
                report.count(&match other {
                    Outcome::Failed { kind, .. } if !as_baseline => {
                        format!("an error of the contract that names no call, of kind {kind:?}")
                    }
                    _ => "as without the fault".to_owned(),
                });
            }
        }
    }

    /// Returns `true` if the vendor's table allows the deviation. Counts the use of the entry.
    fn is_allowed(&self, may: Deviation, function: &str, code: i32, report: &mut Report) -> bool {
        let name = &self.operation.name;
        let fits = |list: &[&str], fit: &dyn Fn(&str) -> bool| {
            list.is_empty() || list.iter().any(|entry| fit(entry))
        };
        let entry = report.allowed.iter_mut().find(|(allowed, _)| {
            allowed.may == may
                && fits(allowed.functions, &|entry| entry == function)
                && fits(allowed.operations, &|entry| name.starts_with(entry))
                && (allowed.codes.is_empty() || allowed.codes.contains(&code))
        });
        entry.is_some_and(|(_, count)| {
            *count += 1;
            true
        })
    }

    /// Checks that as many objects are alive as before. Only an object that the driver itself
    /// leaked may be left.
    fn judge_alive(
        &self,
        (kind, count): (&str, u64),
        (function, fault): (&str, InjectedFault),
        context: &str,
        report: &mut Report,
    ) {
        let is_leaked = leaked_kind::<V>(function, fault) == Some(kind);
        // Destroys streams that were busy, and replaces events that did not return to a pool.
        for _ in 0..50 {
            let now = self.controls.live(kind);
            // A stream that was busy before may have been destroyed meanwhile.
            if now == count || kind == "stream" && now < count {
                return;
            }
            if now == count + 1 && is_leaked {
                report.count(match fault {
                    InjectedFault::Answer(_) => {
                        "leaked: an object that the driver refused to destroy"
                    }
                    _ => "leaked: an object that the driver made and returned with an error",
                });
                return;
            }
            match kind {
                "event" => self.test_streams.top_up(),
                _ => self.test_streams.clear_busy(),
            }
            V::settle(self.test_streams);
        }
        let now = self.controls.live(kind);
        // A pooled event was destroyed, and no operation refills that pool. Double destruction is checked
        // elsewhere.
        if now < count {
            return;
        }
        let leave = if kind == "event" { Deviation::LeaveEvent } else { Deviation::LeaveStream };
        let may_leave =
            now == count + 1 && self.is_allowed(leave, function, code_of(fault), report);
        if !may_leave {
            report.wrong(format!(
                "{context}: {now} objects of kind {kind} are alive, {count} before"
            ));
        }
    }
}

/// Returns the kind of object that the driver itself leaks under such a fault.
///
/// The backend ignores a handle that comes with an error, and an object that the driver refuses to
/// destroy stays.
fn leaked_kind<V: FaultFixture>(function: &str, fault: InjectedFault) -> Option<&'static str> {
    match fault {
        InjectedFault::PassThenAnswer(_) => V::makes(function),
        InjectedFault::Answer(_) => V::destroys(function),
        InjectedFault::Hold | InjectedFault::PassThenHold => None,
    }
}

fn code_of(fault: InjectedFault) -> i32 {
    match fault {
        InjectedFault::Answer(code) | InjectedFault::PassThenAnswer(code) => code,
        InjectedFault::Hold | InjectedFault::PassThenHold => 0,
    }
}
