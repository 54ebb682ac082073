//! Whose findings go where: [`Scope`], and the functions of [`Checked`] that take reports.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use gpu_stream_core::Backend;

use crate::engine;
use crate::finding::{Finding, FindingKind, Report};
use crate::{Checked, sink};

impl<B: Backend> Checked<B> {
    /// Calls `run`, and returns its result with what was found in it.
    ///
    /// Findings of the calling thread go into the report, and those of threads that [enter](Scope::enter) the scope. Those
    /// of other threads do not, so tests can run at the same time. In a scope inside another one, findings go into the
    /// inner report alone.
    ///
    /// The kinds that a later call can still excuse are decided at the end of the scope: a fork that nothing joins, and
    /// waits that no record preceded.
    ///
    /// ```
    /// use gpu_stream_checked::Checked;
    /// use gpu_stream_core::{Backend, Stream, StreamOptions};
    /// use gpu_stream_host::Host;
    ///
    /// type B = Checked<Host>;
    /// let device = B::device(0)?;
    /// let (result, report) = B::scope(|scope| {
    ///     let stream = B::new_stream(device, StreamOptions::new())?;
    ///     let side = B::new_stream(device, StreamOptions::new())?;
    ///     std::thread::scope(|threads| {
    ///         threads.spawn(|| {
    ///             let _entered = scope.enter();
    ///             side.wait_stream(&stream)
    ///         });
    ///     });
    ///     stream.wait_stream(&side)
    /// });
    /// result?;
    /// assert!(report.is_empty());
    /// # Ok::<(), gpu_stream_host::HostError>(())
    /// ```
    ///
    /// # Panics
    /// If `run` panics. The findings are printed before.
    pub fn scope<T>(run: impl FnOnce(&Scope) -> T) -> (T, Report) {
        let scope = Scope(sink::engine_of::<B>().scope());
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _entered = scope.enter();
            run(&scope)
        }));
        let report = scope.0.take();
        match result {
            Ok(result) => {
                sink::write(&report);
                (result, report)
            }
            Err(panic) => {
                report.findings.iter().for_each(sink::print);
                resume_unwind(panic)
            }
        }
    }

    /// Takes what was found so far outside of all scopes. Does not block.
    ///
    /// The kinds that a later call can still excuse are decided now: a fork that nothing joins, and waits that no record
    /// preceded. So call it where the program's streams have nothing to do, as at the end of `main`.
    pub fn report() -> Report {
        let report = sink::engine_of::<B>().take_report();
        sink::write(&report);
        report
    }

    /// Sets the function that is called with each finding outside of all scopes, when it is found for the first time.
    /// `None` restores the default, which prints the finding to standard error.
    ///
    /// It is called on the thread whose call completes the mistake, inside of that call. It may use streams.
    pub fn set_hook(hook: Option<Hook>) {
        sink::engine_of::<B>().set_hook(Some(hook.unwrap_or_else(sink::default_hook)));
    }
}

/// A function that is called with a finding: [`Checked::set_hook`].
pub type Hook = Arc<dyn Fn(&Finding) + Send + Sync>;

/// A set of findings with a report of its own: [`Checked::scope`]. A clone is the same scope.
#[derive(Clone)]
pub struct Scope(engine::Scope);

impl Scope {
    /// Puts the calling thread into the scope, until the result is dropped. Does not block.
    ///
    /// Findings of the thread go into the report of the scope that it entered last.
    #[must_use = "the thread leaves the scope when this is dropped"]
    pub fn enter(&self) -> Entered {
        Entered { _entered: self.0.enter() }
    }

    /// Leaves out findings of this kind from now on, for a program that does it on purpose.
    ///
    /// ```
    /// use gpu_stream_checked::{Checked, FindingKind};
    /// use gpu_stream_core::{Backend, EventOptions, Stream, StreamOptions};
    /// use gpu_stream_host::Host;
    ///
    /// type B = Checked<Host>;
    /// let stream = B::new_stream(B::device(0)?, StreamOptions::new())?;
    /// let (result, report) = B::scope(|scope| {
    ///     scope.allow(FindingKind::UnrecordedWait);
    ///     stream.wait_event(&stream.new_event(EventOptions::new())?)
    /// });
    /// result?;
    /// assert!(report.is_empty());
    /// # Ok::<(), gpu_stream_host::HostError>(())
    /// ```
    pub fn allow(&self, kind: FindingKind) {
        self.0.allow(kind);
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope")
    }
}

/// A thread is in a scope until this is dropped: [`Scope::enter`]. It stays on its thread.
pub struct Entered {
    _entered: engine::Entered,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entered")
    }
}
