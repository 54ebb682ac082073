//! What was found, by scope: [`Found`].

use std::collections::{HashMap, HashSet};
use std::panic::Location;

use crate::finding::{Finding, FindingKind, Report};

/// The number of a scope. 0 is outside of all scopes.
pub(super) type ScopeId = u64;

/// The kind of a finding, with its two places.
type Key = (FindingKind, Option<Location<'static>>, Location<'static>);

/// The findings of one scope.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
    index: HashMap<Key, usize>,
    allowed: HashSet<FindingKind>,
}

/// What was found, by scope.
#[derive(Default)]
pub(super) struct Found {
    outside: Findings,
    scopes: HashMap<ScopeId, Findings>,
    /// What was given to the hook.
    shown: HashSet<Key>,
    /// What is to be given to the hook, once the lock is free.
    fresh: Vec<Finding>,
}

impl Findings {
    /// Counts a finding again. Returns `false` if it is new and wanted.
    fn count(&mut self, key: &Key) -> bool {
        if self.allowed.contains(&key.0) {
            return true;
        }
        let known = self.index.get(key).and_then(|index| self.list.get_mut(*index));
        known.map(|finding| finding.count += 1).is_some()
    }

    fn take(&mut self) -> Report {
        self.index.clear();
        Report { findings: std::mem::take(&mut self.list) }
    }
}

impl Found {
    /// Opens a scope.
    pub(super) fn open(&mut self, scope: ScopeId) {
        self.scopes.insert(scope, Findings::default());
    }

    /// Closes a scope. What is found for it from now on is lost.
    pub(super) fn close(&mut self, scope: ScopeId) {
        self.scopes.remove(&scope);
    }

    /// Leaves out findings of this kind in a scope.
    pub(super) fn allow(&mut self, scope: ScopeId, kind: FindingKind) {
        self.of(scope).allowed.insert(kind);
    }

    /// Returns `true` if the report of the scope was dropped. Nothing is found for it any more.
    fn is_closed(&self, scope: ScopeId) -> bool {
        scope != 0 && !self.scopes.contains_key(&scope)
    }

    /// Adds a finding. `make` is called if it is new: there is none yet of this kind at these places.
    pub(super) fn add(
        &mut self,
        scope: ScopeId,
        kind: FindingKind,
        first: Option<&'static Location<'static>>,
        second: &'static Location<'static>,
        make: impl FnOnce() -> Finding,
    ) {
        let key = (kind, first.copied(), *second);
        if self.is_closed(scope) {
            return; // a call of the scope, about which another one decides later
        }
        let findings = self.of(scope);
        if findings.count(&key) {
            return;
        }
        let finding = make();
        findings.index.insert(key, findings.list.len());
        findings.list.push(finding.clone());
        if scope == 0 && self.shown.insert(key) {
            self.fresh.push(finding);
        }
    }

    /// Takes the findings of a scope.
    pub(super) fn take(&mut self, scope: ScopeId) -> Report {
        self.of(scope).take()
    }

    /// Takes what is to be given to the hook.
    pub(super) fn take_fresh(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.fresh)
    }

    fn of(&mut self, scope: ScopeId) -> &mut Findings {
        self.scopes.get_mut(&scope).unwrap_or(&mut self.outside)
    }
}
