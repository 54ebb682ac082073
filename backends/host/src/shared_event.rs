//! Events with a handle, which a [`HostEvent`](crate::HostEvent) and another library can share:
//! [`SharedEvent`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use gpu_stream_core::{Device, EventOptions, KeepAlive, RawEvent};

use crate::Host;
use crate::executor::record::Record;
use crate::sync::lock;

/// The last record of an event, and the owner that keeps the recorded stream alive.
#[derive(Default)]
pub(crate) struct LastRecord {
    /// The record. `None` for an event that was never recorded.
    pub(crate) record: Option<Record>,
    /// The owner of the stream that was recorded.
    pub(crate) owner: KeepAlive,
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
        lock(&HANDLES).insert(handle, entry(&event));
        event
    }

    /// Returns the handle, which no other event of the process has or will have.
    pub(crate) fn handle(&self) -> RawEvent<Host> {
        RawEvent::from_bits(self.handle)
    }

    /// Invalidates the handle. Existing wrappers keep sharing the event.
    pub(crate) fn invalidate_handle(&self) {
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
