//! Events with a handle, which a [`HostEvent`](crate::HostEvent) and another library can share:
//! [`SharedEvent`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use gpu_stream_core::{Device, EventOptions, RawEvent};

use crate::Host;
use crate::executor::process_state;
use crate::executor::record::Record;
use crate::owner::Owner;
use crate::sync::lock;

/// The last record of an event, and the owner that keeps the recorded stream alive.
#[derive(Default)]
pub(crate) struct LastRecord {
    /// The record. `None` for an event that was never recorded.
    pub(crate) record: Option<Record>,
    /// The owner of the stream that was recorded.
    pub(crate) owner: Owner,
}

/// An event that has a handle.
pub(crate) struct SharedEvent {
    /// The device of the event.
    pub(crate) device: Device,
    /// The options that the event was created with.
    pub(crate) options: EventOptions,
    handle: usize,
    /// The last record.
    pub(crate) last: Mutex<LastRecord>,
}

/// The events that have a handle, by the handle.
static HANDLES: Mutex<BTreeMap<usize, HandleEntry>> = Mutex::new(BTreeMap::new());

enum HandleEntry {
    /// An event of a [`HostEvent`](crate::HostEvent), which removes the entry when it is dropped.
    Owned(Weak<SharedEvent>),
    /// An event from [`create_event`](crate::raw::create_event).
    Foreign(Arc<SharedEvent>),
}

impl SharedEvent {
    /// Creates a handle for an event of a [`HostEvent`](crate::HostEvent).
    pub(crate) fn new(device: Device, options: EventOptions, last: LastRecord) -> Arc<Self> {
        Self::insert(device, options, last, |event| HandleEntry::Owned(Arc::downgrade(event)))
    }

    fn insert(
        device: Device,
        options: EventOptions,
        last: LastRecord,
        entry: impl FnOnce(&Arc<Self>) -> HandleEntry,
    ) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(SharedEvent { device, options, handle, last: Mutex::new(last) });
        // In the child of a fork, a thread of the parent can have held the lock. No handle can be
        // wrapped there.
        if !process_state::is_forked() {
            lock(&HANDLES).insert(handle, entry(&event));
        }
        event
    }

    /// Returns the handle, which no other event of the process has or will have.
    pub(crate) fn handle(&self) -> RawEvent<Host> {
        RawEvent::from_bits(self.handle)
    }

    /// Invalidates the handle. Existing wrappers keep sharing the event.
    pub(crate) fn invalidate_handle(&self) {
        if process_state::is_forked() {
            return; // A thread of the parent can have held the lock.
        }
        let entry = lock(&HANDLES).remove(&self.handle);
        drop(entry);
    }

    /// Returns the event with this handle. Returns `None` if the handle is not valid.
    pub(crate) fn find(raw: RawEvent<Host>) -> Option<Arc<Self>> {
        match lock(&HANDLES).get(&raw.to_bits())? {
            HandleEntry::Owned(event) => event.upgrade(),
            HandleEntry::Foreign(event) => Some(Arc::clone(event)),
        }
    }
}

/// Creates an event without a wrapper, for [`raw::create_event`](crate::raw::create_event).
pub(crate) fn create(device: Device, options: EventOptions) -> RawEvent<Host> {
    SharedEvent::insert(device, options, LastRecord::default(), |event| {
        HandleEntry::Foreign(Arc::clone(event))
    })
    .handle()
}

/// Destroys an event of [`create`]. Returns `false` if there is none with this handle.
pub(crate) fn destroy(raw: RawEvent<Host>) -> bool {
    let mut handles = lock(&HANDLES);
    let is_foreign = matches!(handles.get(&raw.to_bits()), Some(HandleEntry::Foreign(_)));
    let entry = if is_foreign { handles.remove(&raw.to_bits()) } else { None };
    drop(handles);
    // Dropped outside the lock: this can drop the owner of a stream, which runs code of the user.
    drop(entry);
    is_foreign
}

#[cfg(all(test, unix))]
mod tests {
    use std::sync::mpsc;

    use gpu_stream_core::{Backend, ErrorKind, Event, Stream, StreamOptions};

    use super::*;
    use crate::HostError;

    /// Uses events in the child of a fork, where the lock of the handles is never released. Returns
    /// an exit code.
    fn use_events(
        with_handle: crate::HostEvent,
        without_handle: crate::HostEvent,
        foreign: RawEvent<Host>,
    ) -> i32 {
        use gpu_stream_core::Error;
        let is_rejected = |result: Result<(), HostError>| {
            result.is_err_and(|error| error.kind() == ErrorKind::NotPermitted)
        };
        let handle = without_handle.raw();
        drop((with_handle, without_handle));
        // SAFETY: the event of this handle is never destroyed.
        let wrapped = unsafe { Host::event_from_raw(foreign, None) }.map(drop);
        let all_rejected = is_rejected(wrapped) && is_rejected(crate::raw::destroy_event(foreign));
        if all_rejected && handle.to_bits() != 0 { 0 } else { 1 }
    }

    #[test]
    fn child_of_a_fork_takes_no_lock_of_the_handles() -> Result<(), HostError> {
        let device = Host::device(0)?;
        let stream = Host::new_stream(device, StreamOptions::new())?;
        let (with_handle, without_handle) = (stream.record_event()?, stream.record_event()?);
        with_handle.raw();
        let foreign = create(device, EventOptions::new());
        let (locked, is_locked) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let holder = std::thread::spawn(move || {
            let _handles = lock(&HANDLES);
            locked.send(()).expect("send");
            let _ = released.recv();
        });
        is_locked.recv().expect("locked");
        // SAFETY: the child makes only calls that the backend supports after a fork, and `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: `alarm` ends a child that hangs; both accept any number.
            unsafe {
                libc::alarm(20);
                libc::_exit(use_events(with_handle, without_handle, foreign));
            }
        }
        assert!(child > 0, "fork failed");
        let mut status = 0;
        // SAFETY: `&mut status` is a valid out-pointer.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        drop(release);
        holder.join().expect("holder");
        assert_eq!((waited, status), (child, 0));
        Ok(())
    }
}
