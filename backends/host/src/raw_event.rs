//! Events by their handles: what [`HostEvent`](crate::HostEvent) shares with another library.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use gpu_stream_core::{ContractError, Device, EventOptions, KeepAlive, RawEvent};

use crate::event::Last;
use crate::sync::lock;
use crate::{Host, HostError, HostEvent, device};

/// An event that has a handle.
pub(crate) struct Shared {
    pub(crate) device: Device,
    pub(crate) options: EventOptions,
    number: usize,
    pub(crate) last: Mutex<Last>,
}

/// The events that have a handle, by it.
static HANDLES: Mutex<BTreeMap<usize, Entry>> = Mutex::new(BTreeMap::new());

enum Entry {
    /// An event of a [`HostEvent`], which takes it out when it is dropped.
    Ours(Weak<Shared>),
    /// An event that [`create`](crate::raw::create_event) made.
    Theirs(Arc<Shared>),
}

impl Shared {
    /// Gives an event of ours a handle.
    pub(crate) fn new(device: Device, options: EventOptions, last: Last) -> Arc<Self> {
        Self::insert(device, options, last, |shared| Entry::Ours(Arc::downgrade(shared)))
    }

    fn insert(
        device: Device,
        options: EventOptions,
        last: Last,
        entry: impl FnOnce(&Arc<Self>) -> Entry,
    ) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let shared = Arc::new(Shared { device, options, number, last: Mutex::new(last) });
        lock(&HANDLES).insert(number, entry(&shared));
        shared
    }

    pub(crate) fn handle(&self) -> RawEvent<Host> {
        RawEvent::from_bits(self.number)
    }

    /// Ends the handle. Wrappers that are left keep what they share.
    pub(crate) fn forget(&self) {
        let entry = lock(&HANDLES).remove(&self.number);
        drop(entry);
    }

    fn find(raw: RawEvent<Host>) -> Option<Arc<Self>> {
        match lock(&HANDLES).get(&raw.to_bits())? {
            Entry::Ours(shared) => shared.upgrade(),
            Entry::Theirs(shared) => Some(Arc::clone(shared)),
        }
    }
}

/// Wraps an event by its handle.
pub(crate) fn wrap(
    raw: RawEvent<Host>,
    given: Option<Device>,
    owner: KeepAlive,
    operation: &'static str,
) -> Result<HostEvent, HostError> {
    let Some(shared) = Shared::find(raw) else {
        let reason = "is no live event of the host backend; it was destroyed, or is another's";
        return Err(ContractError::InvalidHandle { operation, bits: raw.to_bits(), reason }.into());
    };
    if let Some(given) = given {
        device::ordinal(given, operation)?;
        given.check_is(shared.device, operation)?;
    }
    Ok(HostEvent::wrap(shared, owner))
}

/// Makes an event for [`raw`](crate::raw).
pub(crate) fn create(device: Device, options: EventOptions) -> RawEvent<Host> {
    Shared::insert(device, options, Last::default(), |shared| Entry::Theirs(Arc::clone(shared)))
        .handle()
}

/// Destroys an event of [`create`]; false if there is none.
pub(crate) fn destroy(raw: RawEvent<Host>) -> bool {
    let mut handles = lock(&HANDLES);
    let is_theirs = matches!(handles.get(&raw.to_bits()), Some(Entry::Theirs(_)));
    let entry = if is_theirs { handles.remove(&raw.to_bits()) } else { None };
    drop(handles);
    // Runs code of a user if it lets the owner of a stream go.
    drop(entry);
    is_theirs
}
