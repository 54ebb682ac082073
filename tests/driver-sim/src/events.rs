//! Events: making, recording, waiting, asking, destroying.

use std::ffi::c_uint;
use std::sync::Arc;

use gpu_stream_core::{Backend, Error as _, ErrorKind, Event as _, EventOptions, Stream as _};
use gpu_stream_host::{Host, HostEvent};

use crate::call::{Answer, Ptr, exports, put};
use crate::captures::Member;
use crate::codes::Code;
use crate::gates;
use crate::ipc::Shared;
use crate::state::{State, host_device, refused, state};

pub struct Event {
    pub context: usize,
    pub is_timed: bool,
    pub record: Record,
    /// What stands for the event in the host backend. A thread that waits for it has a share.
    pub host: Arc<HostEvent>,
    /// For an interprocess event: what all processes see.
    pub shared: Option<Arc<Shared>>,
}

/// An event's last record.
pub enum Record {
    None,
    /// It is in `host`, or in `shared`.
    Made,
    /// In a capture, which may be over.
    Captured(Member),
}

/// What an event stands for now.
enum Now {
    Nothing,
    Work,
    /// A place in a capture that goes on.
    Place(Member),
    /// A place in a capture that is over or broken.
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
        let host = Arc::new(Host::new_event(host_device()?, options).map_err(refused)?);
        let shared = match shared {
            None if is_shared => Some(Arc::new(Shared::create()?)),
            given => given,
        };
        let record = if shared.is_some() { Record::Made } else { Record::None };
        let event = self.events.insert(|_| Event { context, is_timed, record, host, shared });
        gpu_stream_faults::made("event", event);
        Ok(event)
    }

    fn now(&self, event: usize) -> Now {
        match &self.events.get(event).record {
            Record::None => Now::Nothing,
            Record::Made => Now::Work,
            Record::Captured(member) if self.is_alive(member.capture) => Now::Place(member.clone()),
            Record::Captured(_) => Now::Stale,
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
            None => host.record(&event.host).map_err(refused)?,
            Some(shared) => {
                let (number, shared) = (shared.next(), Arc::clone(shared));
                host.launch(move || shared.reach(number)).map_err(refused)?;
            }
        }
        event.record = Record::Made;
        Ok(())
    }

    pub fn wait_event(&mut self, stream: usize, event: usize) -> Answer {
        match self.now(event) {
            Now::Place(place) => self.draw_in(stream, place),
            Now::Stale => {
                if let Some(capture) = self.capture_of(stream)? {
                    self.break_capture(capture);
                }
                Err(Code::INVALID_VALUE)
            }
            Now::Nothing => {
                self.capture_of(stream)?;
                self.refuse_default(stream)
            }
            Now::Work => {
                if let Some(capture) = self.capture_of(stream)? {
                    self.break_capture(capture);
                    return Err(Code::CAPTURE_ISOLATION);
                }
                self.apply_implicit_sync(stream)?;
                let it = self.streams.get(stream);
                let event = self.events.get(event);
                match &event.shared {
                    None => it.host.wait_event(&event.host).map_err(refused),
                    Some(shared) => {
                        let fault = &self.contexts.get(it.context).fault;
                        let gate = gates::for_record(shared, fault)?;
                        it.host.wait_event(gate.event()).map_err(refused)
                    }
                }
            }
        }
    }

    /// Makes a stream wait for a place in a capture, by which it becomes a part of it.
    fn draw_in(&mut self, stream: usize, place: Member) -> Answer {
        self.refuse_default(stream)?;
        match self.capture_of(stream)? {
            None => self.streams.get_mut(stream).member = Some(place),
            Some(capture) if capture == place.capture => {
                if let Some(member) = &mut self.streams.get_mut(stream).member {
                    member.after.extend(place.after);
                    member.after.sort_unstable();
                    member.after.dedup();
                }
            }
            Some(capture) => {
                self.break_capture(capture);
                self.break_capture(place.capture);
                return Err(Code::CAPTURE_MERGE);
            }
        }
        Ok(())
    }

    /// For what cannot be asked of an event whose record is in a capture.
    fn ask(&mut self, event: usize) -> Answer {
        match self.now(event) {
            Now::Place(place) => {
                self.break_capture(place.capture);
                return Err(Code::CAPTURED_EVENT);
            }
            Now::Stale => return Err(Code::INVALID_VALUE),
            Now::Nothing | Now::Work => {}
        }
        self.refuse_beside_captures()?;
        self.check_not_faulted(self.events.get(event).context)
    }

    fn elapsed(&mut self, start: Ptr, end: Ptr) -> Result<f32, Code> {
        let (start, end) = (self.events.check(start)?, self.events.check(end)?);
        let now = [self.now(start), self.now(end)];
        if now.iter().any(|now| matches!(now, Now::Place(_))) {
            return Err(Code::CAPTURED_EVENT);
        }
        if now.iter().any(|now| matches!(now, Now::Stale)) {
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
            _ => refused(error),
        })
    }
}

exports! {
    ready cuEventCreate(event: *mut Ptr, flags: c_uint) {
        let made = state().new_event(flags, None)?;
        put(event, std::ptr::without_provenance_mut(made))
    }

    inside cuEventDestroy_v2(event: Ptr) {
        let mut state = state();
        let event = state.events.check(event)?;
        gpu_stream_faults::gone("event", event);
        let event = state.events.remove(event);
        // After a fault it is destroyed all the same, as far as is known.
        let answer = state.check_not_faulted(event.context);
        // Records that were made still hold who waits for them.
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

    inside cuEventQuery(event: Ptr) {
        gates::look();
        let mut state = state();
        let event = state.events.check(event)?;
        state.ask(event)?;
        let event = state.events.get(event);
        let is_done = match &event.shared {
            None => event.host.query().map_err(refused)?,
            Some(shared) => shared.is_done(),
        };
        state.check_not_faulted(event.context)?;
        if is_done { Ok(()) } else { Err(Code::NOT_READY) }
    }

    inside cuEventSynchronize(event: Ptr) {
        gates::look();
        let (host, gate, context) = {
            let mut state = state();
            let event = state.events.check(event)?;
            state.ask(event)?;
            let event = state.events.get(event);
            let fault = &state.contexts.get(event.context).fault;
            let gate = event.shared.as_ref().map(|shared| gates::for_record(shared, fault));
            (Arc::clone(&event.host), gate.transpose()?, event.context)
        };
        match gate {
            None => host.synchronize().map_err(refused)?,
            Some(gate) => gate.event().synchronize().map_err(refused)?,
        }
        state().check_not_faulted(context)
    }

    ready cuEventElapsedTime(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        let elapsed = state().elapsed(start, end)?;
        put(milliseconds, elapsed)
    }

    ready cuEventElapsedTime_v2(milliseconds: *mut f32, start: Ptr, end: Ptr) {
        let elapsed = state().elapsed(start, end)?;
        put(milliseconds, elapsed)
    }
}
