//! Events: creation, records, waits, queries, destruction.

use std::ffi::c_uint;
use std::sync::Arc;

use gpu_stream_core::{Backend, Error as _, ErrorKind, Event as _, EventOptions, Stream as _};
use gpu_stream_host::{Host, HostEvent};

use crate::call::{Answer, Ptr, exports, write_out};
use crate::captures::Member;
use crate::codes::Code;
use crate::gates;
use crate::ipc::Shared;
use crate::state::{State, host_device, host_error, state};
use crate::streams::StreamKind;

pub struct Event {
    pub context: usize,
    pub is_timed: bool,
    pub record: Record,
    /// The host backend's event. A waiting thread holds a reference.
    pub host: Arc<HostEvent>,
    /// The state that all processes see, for an interprocess event.
    pub shared: Option<Arc<Shared>>,
}

/// An event's last record.
pub enum Record {
    None,
    /// A record of work, held in `host` or `shared`.
    Made,
    /// A node of a capture. The capture may have ended.
    Captured(Member),
}

/// An event's current record, with a capture's state taken into account.
enum CurrentRecord {
    None,
    Work,
    /// A node of an active capture.
    Capture(Member),
    /// A node of a capture that has ended or is broken.
    Stale,
}

impl State {
    pub fn new_event(&mut self, flags: c_uint, shared: Option<Arc<Shared>>) -> Result<usize, Code> {
        let (is_timed, is_shared) = (flags & 2 == 0, flags & 4 != 0);
        if flags > 7 || is_timed && is_shared {
            return Err(Code::INVALID_VALUE);
        }
        let context = self.current()?;
        let options = if is_timed { EventOptions::timed() } else { EventOptions::new() };
        let host = Arc::new(Host::new_event(host_device()?, options).map_err(host_error)?);
        let shared = match shared {
            None if is_shared => Some(Arc::new(Shared::create()?)),
            given => given,
        };
        let record = if shared.is_some() { Record::Made } else { Record::None };
        let event = self.events.insert(|_| Event { context, is_timed, record, host, shared });
        gpu_stream_faults::made("event", event);
        Ok(event)
    }

    fn current_record(&self, event: usize) -> CurrentRecord {
        match &self.events.get(event).record {
            Record::None => CurrentRecord::None,
            Record::Made => CurrentRecord::Work,
            Record::Captured(member) if self.is_alive(member.capture) => {
                CurrentRecord::Capture(member.clone())
            }
            Record::Captured(_) => CurrentRecord::Stale,
        }
    }

    fn record(&mut self, event: usize, stream: usize) -> Answer {
        let context = self.streams.get(stream).context;
        if self.root(self.events.get(event).context) != self.root(context) {
            return Err(Code::INVALID_HANDLE);
        }
        if self.capture_of(stream)?.is_some() {
            let member = self.streams.get(stream).member.clone().ok_or(Code::UNKNOWN)?;
            self.events.get_mut(event).record = Record::Captured(member);
            return Ok(());
        }
        self.apply_implicit_sync(stream)?;
        let host = &self.streams.get(stream).host;
        let event = self.events.get_mut(event);
        match &event.shared {
            None => host.record(&event.host).map_err(host_error)?,
            Some(shared) => {
                let (number, shared) = (shared.next(), Arc::clone(shared));
                host.launch(move || shared.reach(number)).map_err(host_error)?;
            }
        }
        event.record = Record::Made;
        Ok(())
    }

    pub fn wait_event(&mut self, stream: usize, event: usize) -> Answer {
        match self.current_record(event) {
            CurrentRecord::Capture(member) => self.join_capture(stream, member),
            CurrentRecord::Stale => {
                if let Some(capture) = self.capture_of(stream)? {
                    self.break_capture(capture);
                }
                Err(Code::INVALID_VALUE)
            }
            CurrentRecord::None => {
                self.capture_of(stream)?;
                self.ensure_default_not_capturing(stream)
            }
            CurrentRecord::Work => {
                if let Some(capture) = self.capture_of(stream)? {
                    self.break_capture(capture);
                    return Err(Code::CAPTURE_ISOLATION);
                }
                self.apply_implicit_sync(stream)?;
                let it = self.streams.get(stream);
                let event = self.events.get(event);
                match &event.shared {
                    None => it.host.wait_event(&event.host).map_err(host_error),
                    Some(shared) => {
                        let fault = &self.contexts.get(it.context).fault;
                        let gate = gates::for_record(shared, fault)?;
                        it.host.wait_event(gate.event()).map_err(host_error)
                    }
                }
            }
        }
    }

    /// Makes a stream wait for a node of a capture, and thereby join the capture.
    fn join_capture(&mut self, stream: usize, other: Member) -> Answer {
        self.ensure_default_not_capturing(stream)?;
        if self.streams.get(stream).kind == StreamKind::Legacy {
            self.break_capture(other.capture);
            return Err(Code::CAPTURE_IMPLICIT);
        }
        match self.capture_of(stream)? {
            None => self.streams.get_mut(stream).member = Some(other),
            Some(capture) if capture == other.capture => {
                if let Some(member) = &mut self.streams.get_mut(stream).member {
                    member.after.extend(other.after);
                    member.after.sort_unstable();
                    member.after.dedup();
                }
            }
            Some(capture) => {
                self.break_capture(capture);
                self.break_capture(other.capture);
                return Err(Code::CAPTURE_MERGE);
            }
        }
        Ok(())
    }

    /// Returns an error if the event must not be queried: its record is in a capture, a capture
    /// forbids it, or its context has failed.
    fn ensure_queryable(&mut self, event: usize) -> Answer {
        match self.current_record(event) {
            CurrentRecord::Capture(member) => {
                self.break_capture(member.capture);
                return Err(Code::CAPTURED_EVENT);
            }
            CurrentRecord::Stale => return Err(Code::INVALID_VALUE),
            CurrentRecord::None | CurrentRecord::Work => {}
        }
        self.ensure_capture_mode_allows()?;
        self.check_not_faulted(self.events.get(event).context)
    }

    fn elapsed(&mut self, start: Ptr, end: Ptr) -> Result<f32, Code> {
        let (start, end) = (self.events.check(start)?, self.events.check(end)?);
        let records = [self.current_record(start), self.current_record(end)];
        if records.iter().any(|record| matches!(record, CurrentRecord::Capture(_))) {
            return Err(Code::CAPTURED_EVENT);
        }
        if records.iter().any(|record| matches!(record, CurrentRecord::Stale)) {
            return Err(Code::INVALID_VALUE);
        }
        let (first, last) = (self.events.get(start), self.events.get(end));
        if self.root(first.context) != self.root(last.context) {
            return Err(Code::INVALID_HANDLE);
        }
        self.check_not_faulted(first.context)?;
        if !first.is_timed || !last.is_timed {
            return Err(Code::INVALID_VALUE);
        }
        last.host.elapsed_since(&first.host).map_err(|error| match error.kind() {
            ErrorKind::EventPending => Code::NOT_READY,
            ErrorKind::EventNotRecorded => Code::INVALID_HANDLE,
            _ => host_error(error),
        })
    }
}

exports! {
    initialized cuEventCreate(event: *mut Ptr, flags: c_uint) {
        let made = state().new_event(flags, None)?;
        write_out(event, std::ptr::without_provenance_mut(made))
    }

    inside cuEventDestroy_v2(event: Ptr) {
        let mut state = state();
        let event = state.events.check(event)?;
        gpu_stream_faults::gone("event", event);
        let event = state.events.remove(event);
        // The event is destroyed despite a fault, as far as is known.
        let answer = state.check_not_faulted(event.context);
        // Waits for records that were made stay in force after the event is destroyed.
        drop(state);
        drop(event);
        answer
    }

    inside cuEventRecord(event: Ptr, stream: Ptr) {
        let mut state = state();
        let stream = state.stream(stream)?;
        let event = state.events.check(event)?;
        state.record(event, stream)
    }

    // Documented: the flag 1 makes the record a node of its own in a capture, and is invalid outside. Such nodes are
    // not simulated.
    inside cuEventRecordWithFlags(event: Ptr, stream: Ptr, flags: c_uint) {
        if flags > 1 {
            return Err(Code::INVALID_VALUE);
        }
        let mut state = state();
        let stream = state.stream(stream)?;
        let event = state.events.check(event)?;
        if flags == 1 {
            let is_captured = state.capture_of(stream)?.is_some();
            // Outside of a capture: as measured on an H100. In one, it makes a node of a kind that is not simulated.
            return Err(if is_captured { Code::NOT_SUPPORTED } else { Code::ILLEGAL_STATE });
        }
        state.record(event, stream)
    }

    inside cuEventQuery(event: Ptr) {
        gates::poll();
        let mut state = state();
        let event = state.events.check(event)?;
        state.ensure_queryable(event)?;
        let event = state.events.get(event);
        let is_done = match &event.shared {
            None => event.host.query().map_err(host_error)?,
            Some(shared) => shared.is_done(),
        };
        state.check_not_faulted(event.context)?;
        if is_done { Ok(()) } else { Err(Code::NOT_READY) }
    }

    inside cuEventSynchronize(event: Ptr) {
        gates::poll();
        let (host, gate, context) = {
            let mut state = state();
            let event = state.events.check(event)?;
            state.ensure_queryable(event)?;
            let event = state.events.get(event);
            let fault = &state.contexts.get(event.context).fault;
            let gate = event.shared.as_ref().map(|shared| gates::for_record(shared, fault));
            (Arc::clone(&event.host), gate.transpose()?, event.context)
        };
        match gate {
            None => host.synchronize().map_err(host_error)?,
            Some(gate) => gate.event().synchronize().map_err(host_error)?,
        }
        state().check_not_faulted(context)
    }

    initialized cuEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        let elapsed = state().elapsed(start, end)?;
        write_out(milliseconds, elapsed)
    }

    initialized cuEventElapsedTime_v2(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        let elapsed = state().elapsed(start, end)?;
        write_out(milliseconds, elapsed)
    }
}
