//! What a campaign has compared: [`Counts`].

use std::collections::BTreeSet;

use crate::hazard::Hazard;
use crate::order::{AccessStep, Order};

/// Number of programs of each kind, and of what was compared.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Programs that agree with the reference.
    pub programs: u64,
    /// Of them, those with findings.
    pub flagged: u64,
    /// Of them, those with more than one thread.
    pub with_threads: u64,
    /// Of them, those with two devices.
    pub with_devices: u64,
    /// Accesses.
    pub accesses: u64,
    /// Findings of each kind, in the order of [`HazardKind`](crate::hazard::HazardKind).
    pub findings: [u64; 4],
    /// Queries that returned `true`.
    pub answered: u64,
    /// Calls of `elapsed_since` that returned a time.
    pub measured: u64,
    /// Accesses of the host.
    pub by_host: u64,
    /// Findings that the missing wait removed.
    pub mended: u64,
    /// Waits for an event without a record, of those that are a mistake: never recorded, and recorded later.
    pub lost_waits: [u64; 2],
    /// Findings of work that nothing joins, and those of them that are certain.
    pub unjoined: [u64; 2],
    /// What was compared of captures.
    pub captures: CaptureCounts,
}

/// Number of programs with captures, and of what was compared in them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct CaptureCounts {
    /// Programs with captures.
    pub programs: u64,
    /// Of them, those with findings.
    pub flagged: u64,
    /// Captures that include more than one stream.
    pub joined: u64,
    /// Captured accesses.
    pub accesses: u64,
    /// Findings about two captured accesses.
    pub findings: u64,
    /// Calls that were refused.
    pub refused: u64,
}

impl CaptureCounts {
    /// Adds a program and its findings.
    pub(super) fn add(&mut self, order: &Order, hazards: &BTreeSet<Hazard>) {
        if order.captures.is_empty() {
            return;
        }
        let is_captured = |access: &&AccessStep| access.capture.is_some();
        self.programs += 1;
        self.flagged += u64::from(!hazards.is_empty());
        self.joined += order.captures.iter().filter(|streams| **streams > 1).count() as u64;
        self.accesses += order.accesses.iter().filter(is_captured).count() as u64;
        let captured = |hazard: &&Hazard| {
            order.accesses.iter().any(|it| it.statement == hazard.second && it.capture.is_some())
        };
        self.findings += hazards.iter().filter(captured).count() as u64;
        self.refused += order.refused.iter().filter(|is_refused| **is_refused).count() as u64;
    }
}
