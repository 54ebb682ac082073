//! The order of default streams and blocking streams, which no call makes: [`ImplicitOrder`].

use std::sync::Arc;

use super::clock::{LineId, Snapshot};
use super::state::State;

/// The order of a device's default stream with the device's blocking streams (R41).
#[derive(Default)]
pub(super) struct ImplicitOrder {
    /// The default stream's line.
    pub(super) default: Option<LineId>,
    /// Number of the default stream's submissions.
    submissions: u64,
    /// The blocking streams that have submitted since the default stream's last submission.
    unseen: Vec<LineId>,
}

impl State {
    /// Orders the next submission of a line as the driver does: to the default stream after all earlier work of blocking
    /// streams, and to a blocking stream after all earlier work of the default stream.
    pub(super) fn order_implicitly(&mut self, id: LineId) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        if !line.is_blocking || line.group != 0 {
            return;
        }
        let device = line.key.device;
        if line.is_default() {
            let order = self.devices.entry(device).or_default();
            order.submissions += 1;
            for other in std::mem::take(&mut order.unseen) {
                if let Some(other_line) = self.lines.get_mut(&other) {
                    other_line.is_unseen = false;
                    let snapshot = other_line.snapshot(other);
                    self.join(id, &snapshot);
                }
            }
            return;
        }
        let order = self.devices.entry(device).or_default();
        if !line.is_unseen {
            line.is_unseen = true;
            order.unseen.push(id);
        }
        if line.default_seen == order.submissions {
            return;
        }
        line.default_seen = order.submissions;
        let Some(default) = order.default else { return };
        if let Some(default_line) = self.lines.get_mut(&default) {
            let snapshot = default_line.snapshot(default);
            self.join(id, &snapshot);
        }
    }

    /// Adds to a snapshot what the next submission of its line waits for without a call, as
    /// [`order_implicitly`](Self::order_implicitly) does. The line itself is not changed.
    pub(super) fn add_implicit(&mut self, snapshot: &mut Snapshot) {
        self.add_blocking(snapshot);
        let Some(line) = self.lines.get(&snapshot.line) else { return };
        if !line.is_blocking || line.group != 0 || line.is_default() {
            return;
        }
        let Some(order) = self.devices.get(&line.key.device) else { return };
        if line.default_seen == order.submissions {
            return;
        }
        let Some(default) = order.default else { return };
        if let Some(default_line) = self.lines.get_mut(&default) {
            let of_default = default_line.snapshot(default);
            add(snapshot, &of_default);
        }
    }

    /// Adds to what the host waits for on the default stream the earlier work of the blocking streams. The default stream
    /// itself is ordered after that work only by its next submission.
    ///
    /// `cuStreamQuery` and `cuStreamSynchronize` of the default stream wait for blocking streams, too: measured on an
    /// H200. The same calls of a blocking stream do not wait for the default stream.
    pub(super) fn add_blocking(&mut self, snapshot: &mut Snapshot) {
        let Some(line) = self.lines.get(&snapshot.line) else { return };
        if !line.is_blocking || line.group != 0 || !line.is_default() {
            return;
        }
        let Some(order) = self.devices.get(&line.key.device) else { return };
        for other in order.unseen.clone() {
            if let Some(other_line) = self.lines.get_mut(&other) {
                let of_other = other_line.snapshot(other);
                add(snapshot, &of_other);
            }
        }
    }
}

/// Adds the work of a snapshot to another one.
fn add(snapshot: &mut Snapshot, other: &Snapshot) {
    let mut joined = snapshot.clock.joined(&other.clock);
    joined.raise(other.line, other.epoch);
    snapshot.clock = Arc::new(joined);
}
