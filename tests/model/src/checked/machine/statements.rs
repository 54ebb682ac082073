//! Runs the statements of a serial program.

use std::ops::Range;
use std::sync::Arc;

use gpu_stream_checked::{Checked, CheckedStream};
use gpu_stream_conformance::{CaptureMode, Fixture, Outcome, Verdict};
use gpu_stream_core::{
    Access, Backend, Error as _, ErrorKind, Event, EventOptions, EventStatus, PlainHandles,
    RawHandle, Region, Stream, StreamOptions, StreamOwner,
};

use super::{Machine, Own, identity};
use crate::checked::mutation::{self, Mutation, is};
use crate::checked::sites::{access_at, host_access_at, record_at, wait_at};
use crate::program::{EventKind, Op, Statement, StreamKind};
use crate::watchdog::lock;

/// Evaluates an expression with the stream of a name, which can be a per-thread stream or a wrapper.
macro_rules! with {
    ($self:ident, $own:ident, $name:expr, |$stream:ident| $body:expr) => {
        match $own.iter().find(|(name, _)| *name == $name) {
            Some((_, $stream)) => $body,
            None => {
                let wrapper = $self.wrapper($name)?;
                let $stream = &*wrapper;
                $body
            }
        }
    };
}

impl<F, B> Machine<'_, F, B>
where
    F: Fixture<Backend = Checked<B>>,
    B: PlainHandles,
{
    /// Runs one statement. A call that the rules about captures refuse must fail, and any other call must not.
    pub(super) fn checked_statement(
        &self,
        own: &mut Own<B>,
        index: usize,
        statement: &Statement,
    ) -> Outcome {
        let called = self.statement(own, index, statement);
        match (called, self.order.refused[index]) {
            (Ok(()), false) => Ok(()),
            (Err(CallError::Call(error)), is_refused) if is_refused || mutation::is_any() => {
                match error.kind() {
                    ErrorKind::Capturing | ErrorKind::InvalidEvent => Ok(()),
                    _ => Err(error.into()),
                }
            }
            (Err(CallError::Call(error)), _) => Err(error.into()),
            (Err(CallError::Machine(verdict)), _) => Err(verdict),
            (Ok(()), true) if mutation::is_any() => Ok(()),
            (Ok(()), true) => {
                Err(Verdict::failed("the call succeeds, and the rules about captures refuse it"))
            }
        }
    }

    /// Runs one statement.
    fn statement(
        &self,
        own: &mut Own<B>,
        index: usize,
        statement: &Statement,
    ) -> Result<(), CallError<B::Error>> {
        match &statement.op {
            Op::Stream { stream, kind, device } => {
                self.create_stream(own, index, *stream, *kind, *device)?;
            }
            Op::Clone { stream, of } => {
                let of = self.wrapper(*of)?;
                let clone = if is(Mutation::CloneIsAnother) {
                    Checked::<B>::new_stream(of.device(), StreamOptions::new())
                        .map_err(CallError::Call)?
                } else {
                    CheckedStream::clone(&of)
                };
                self.insert(*stream, index, clone);
            }
            Op::Event { event, kind, device } => {
                let options = match kind {
                    EventKind::Plain => EventOptions::new(),
                    EventKind::Timed => EventOptions::timed(),
                    EventKind::Blocking => EventOptions::builder()
                        .blocking(true)
                        .build()
                        .map_err(|error| CallError::Machine(error.into()))?,
                };
                let new = Checked::<B>::new_event(self.devices[usize::from(*device)], options)
                    .map_err(CallError::Call)?;
                lock(&self.events).insert(*event, Arc::new(new));
            }
            Op::RecordNew { event, stream } => {
                let new = with!(self, own, *stream, |stream| stream.record_event())
                    .map_err(CallError::Call)?;
                lock(&self.recorded).insert(*event, *stream);
                lock(&self.events).insert(*event, Arc::new(new));
            }
            Op::Region { region, start, end } => {
                let start = self.base + usize::from(*start);
                let bytes = self.base + usize::from(*end) - start;
                let new = Region::new("region", start, bytes);
                let mut regions = lock(&self.regions);
                let old = regions.get(region).filter(|old| old.addresses() == new.addresses());
                let kept = old.copied().filter(|_| is(Mutation::AllocationKept));
                regions.insert(*region, kept.unwrap_or(new));
            }
            Op::Access { stream, access, region, start, end } => {
                let bytes = usize::from(*start)..usize::from(*end);
                if let Some((access, part)) = mutated(*access, self.region(*region)?, bytes) {
                    let site = self.sites[index];
                    with!(self, own, *stream, |stream| access_at(site, stream, access, &part));
                }
            }
            Op::HostAccess { access, region, start, end } => {
                let bytes = usize::from(*start)..usize::from(*end);
                if let Some((access, part)) = mutated(*access, self.region(*region)?, bytes) {
                    host_access_at::<CheckedStream<B>>(self.sites[index], access, &part);
                }
            }
            Op::Gate { stream, .. } => {
                let gate = with!(self, own, *stream, |stream| self.fixture.gate(stream))?;
                lock(&self.gates).push(gate);
            }
            Op::Open { .. } => {
                let gate = self.order.gate_at(index);
                let gates = lock(&self.gates);
                if let Some(gate) = gate.and_then(|gate| gates.get(gate)) {
                    self.fixture.open(gate);
                }
            }
            Op::BeginCapture { .. } | Op::EndCapture { .. } if is(Mutation::CaptureLost) => {}
            Op::BeginCapture { stream } => with!(self, own, *stream, |stream| {
                take_handle(stream);
                self.fixture.begin_capture(stream, CaptureMode::Relaxed)?;
            }),
            Op::EndCapture { stream } => with!(self, own, *stream, |stream| {
                take_handle(stream);
                self.fixture.end_capture(stream, false)?;
            }),
            Op::DropStream { stream } => match own.iter().position(|(name, _)| name == stream) {
                Some(position) => drop(own.swap_remove(position)),
                None => drop(lock(&self.streams).remove(stream)),
            },
            Op::DropEvent { event } => drop(lock(&self.events).remove(event)),
            op => return self.order_call(own, index, op),
        }
        Ok(())
    }

    /// Runs a record, a wait or a query.
    fn order_call(
        &self,
        own: &mut Own<B>,
        index: usize,
        op: &Op,
    ) -> Result<(), CallError<B::Error>> {
        let site = self.sites[index];
        if is(Mutation::CaptureJoinLost) && self.order.joined[index] {
            return Ok(());
        }
        let called = match op {
            Op::Record { .. } if is(Mutation::RecordLost) => Ok(()),
            Op::Record { stream, event } => {
                lock(&self.recorded).insert(*event, *stream);
                let event = self.event(*event)?;
                with!(self, own, *stream, |stream| record_at(site, stream, &event))
            }
            Op::Wait { stream, event } if !is(Mutation::WaitLost) => {
                let recorded = lock(&self.recorded).get(event).copied();
                let event = self.event(*event)?;
                if let Some(Ok(late)) = recorded.map(|name| self.wrapper(name))
                    && is(Mutation::RecordIsOfTheWait)
                {
                    // Fails if the name has moved on to a stream of another device.
                    drop(late.record(&event));
                }
                with!(self, own, *stream, |stream| wait_at(site, stream, &event))
            }
            Op::WaitStream { stream, other } if !is(Mutation::WaitStreamLost) => {
                let turned = is(Mutation::WaitStreamTurned);
                with!(self, own, *stream, |stream| with!(self, own, *other, |other| {
                    if turned { other.wait_stream(stream) } else { stream.wait_stream(other) }
                }))
            }
            Op::Fork { stream, branches } | Op::Join { stream, branches } => {
                let wrappers = branches.iter().map(|branch| self.wrapper(*branch));
                let wrappers = wrappers.collect::<Result<Vec<_>, _>>()?;
                let all = wrappers.iter().map(|wrapper| &**wrapper);
                let is_fork = matches!(op, Op::Fork { .. });
                if is_fork && is(Mutation::ForkLost) {
                    return Ok(());
                }
                let count = match is_fork {
                    true if is(Mutation::ForkFirstOnly) => 1,
                    false if is(Mutation::JoinFirstOnly) => 1,
                    _ => usize::MAX,
                };
                with!(self, own, *stream, |stream| match is_fork {
                    true => stream.fork(all.take(count)),
                    false => stream.join(all.take(count)),
                })
            }
            // Without a gate, nothing is left to be done.
            Op::Query { .. } if is(Mutation::QueryLost) => {
                self.answer(index, true);
                Ok(())
            }
            Op::QueryEvent { .. } if is(Mutation::QueryEventLost) => {
                self.answer(index, true);
                Ok(())
            }
            Op::Query { stream } => with!(self, own, *stream, |stream| stream.query())
                .map(|is_done| self.answer(index, is_done)),
            Op::QueryEvent { event } => {
                let event = self.event(*event)?;
                let is_complete = |is_done| match is_done {
                    true => Ok(true),
                    false => event.status().map(|status| status == EventStatus::Complete),
                };
                event.query().and_then(is_complete).map(|is_done| self.answer(index, is_done))
            }
            Op::Elapsed { event, start } => {
                let (event, start) = (self.event(*event)?, self.event(*start)?);
                // An error says that an event is not timed, not recorded or not complete. Without a gate it will be.
                let mut tries = if lock(&self.gates).is_empty() { 1_000 } else { 1 };
                let is_measured = loop {
                    match event.elapsed_since(&start) {
                        Err(error) if error.kind() == ErrorKind::EventPending && tries > 0 => {
                            tries -= 1;
                            std::thread::yield_now();
                        }
                        elapsed => break elapsed.is_ok(),
                    }
                };
                self.answer(index, is_measured);
                Ok(())
            }
            Op::Sync { stream } if !is(Mutation::SyncLost) => {
                with!(self, own, *stream, |stream| stream.synchronize())
            }
            Op::SyncEvent { event } if !is(Mutation::SyncEventLost) => {
                self.event(*event)?.synchronize()
            }
            _ => Ok(()),
        };
        called.map_err(CallError::Call)
    }

    /// Remembers the result of a query.
    fn answer(&self, index: usize, is_done: bool) {
        if is_done {
            lock(&self.answered).push(index);
        }
    }

    /// Creates or wraps a stream.
    fn create_stream(
        &self,
        own: &mut Own<B>,
        index: usize,
        name: u8,
        kind: StreamKind,
        device: u8,
    ) -> Outcome {
        let device = self.devices[usize::from(device)];
        let options = StreamOptions::new().blocking(match kind {
            StreamKind::Blocking => !is(Mutation::BlockingLost),
            _ => is(Mutation::AllAreBlocking),
        });
        let stream = match kind {
            StreamKind::New | StreamKind::Blocking => Checked::<B>::new_stream(device, options)?,
            StreamKind::Default => Checked::<B>::default_stream(device)?,
            StreamKind::Own => {
                let stream = Checked::<B>::per_thread_stream(device)?;
                if let Some(queue) = self.order.queue_of[index] {
                    let identity = identity(device, RawHandle::to_bits(stream.raw_to_compare()));
                    lock(&self.identities).insert(queue, identity);
                }
                own.push((name, stream));
                return Ok(());
            }
            StreamKind::Owner => {
                let owner = Arc::new(self.fixture.foreign(device, options)?);
                Checked::<B>::stream_from_owner(owner, None)?
            }
            StreamKind::Raw => {
                let foreign = self.fixture.foreign(device, options)?;
                let raw = foreign.raw_stream();
                lock(&self.foreign).push(foreign);
                // SAFETY: `raw` is the handle of `foreign`, which `self.foreign` keeps alive. `end` destroys it after all
                // wrappers and events.
                unsafe { Checked::<B>::stream_from_raw(raw, Some(device)) }?
            }
        };
        self.insert(name, index, stream);
        Ok(())
    }
}

/// Why a statement failed.
enum CallError<E> {
    /// The call of the program.
    Call(E),
    /// Another call of the machine.
    Machine(Verdict),
}

impl<E> From<Verdict> for CallError<E> {
    fn from(verdict: Verdict) -> Self {
        CallError::Machine(verdict)
    }
}

/// Takes the handle of a stream, as programs do to begin or end a capture of it.
fn take_handle(stream: &impl Stream) {
    if !is(Mutation::HandleKept) {
        let _ = stream.raw();
    }
}

/// Returns the access that is declared for an access of the program. `None` if a mutation loses it.
fn mutated(access: Access, whole: Region, bytes: Range<usize>) -> Option<(Access, Region)> {
    let part = whole.part(bytes.clone());
    match access {
        _ if is(Mutation::WholeRegion) => Some((access, whole)),
        _ if is(Mutation::FirstByte) => Some((access, whole.part(bytes.start..bytes.start + 1))),
        Access::Read if is(Mutation::ReadIsWrite) => Some((Access::Write, part)),
        Access::Write if is(Mutation::WriteIsRead) => Some((Access::Read, part)),
        Access::Release if is(Mutation::ReleaseLost) => None,
        _ => Some((access, part)),
    }
}
