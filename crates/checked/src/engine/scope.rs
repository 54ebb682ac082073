//! Which report a finding goes into: [`Scope`].

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Engine;
use super::found::ScopeId;
use crate::finding::{FindingKind, Report};

thread_local! {
    /// The scopes that this thread has entered, with their engines' addresses.
    static ENTERED: RefCell<Vec<(usize, ScopeId)>> = const { RefCell::new(Vec::new()) };
}

/// A set of findings: those of the threads that have entered the scope. For each engine, the innermost scope of a thread
/// counts.
#[derive(Clone)]
pub(crate) struct Scope(Arc<Open>);

struct Open {
    engine: &'static Engine,
    id: ScopeId,
}

/// The calling thread is in a scope until this is dropped.
pub(crate) struct Entered {
    scope: Scope,
    _not_send: PhantomData<Rc<()>>,
}

impl Scope {
    /// Opens a scope.
    pub(super) fn new(engine: &'static Engine) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        engine.with(|state| state.found.open(id));
        Scope(Arc::new(Open { engine, id }))
    }

    /// Puts the calling thread into the scope.
    pub(crate) fn enter(&self) -> Entered {
        let entry = (address(self.0.engine), self.0.id);
        // A thread that ends has no scope.
        let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(entry));
        Entered { scope: self.clone(), _not_send: PhantomData }
    }

    /// Leaves out findings of this kind from now on.
    pub(crate) fn allow(&self, kind: FindingKind) {
        self.0.engine.with(|state| state.found.allow(self.0.id, kind));
    }

    /// Takes what was found, after it has decided the kinds that a later call can still excuse.
    pub(crate) fn take(&self) -> Report {
        self.0.engine.with(|state| state.take_report(self.0.id))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.engine.with(|state| state.close_scope(self.id));
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let entry = (address(self.scope.0.engine), self.scope.0.id);
        let _ = ENTERED.try_with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(index) = entered.iter().rposition(|other| *other == entry) {
                entered.remove(index);
            }
        });
    }
}

/// Returns the scope of the calling thread, or 0 if it is in none.
pub(super) fn current(engine: &Engine) -> ScopeId {
    let of_engine = |entered: &RefCell<Vec<(usize, ScopeId)>>| {
        let entered = entered.borrow();
        let innermost = entered.iter().rev().find(|(other, _)| *other == address(engine));
        innermost.map_or(0, |(_, id)| *id)
    };
    ENTERED.try_with(of_engine).unwrap_or(0)
}

fn address(engine: &Engine) -> usize {
    std::ptr::from_ref(engine).addr()
}
