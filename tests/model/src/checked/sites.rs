//! Distinct places in the source for the calls of a program that findings name: [`statements`], [`access_at`].
//!
//! A finding names the places of its two calls. So each access of a program is made at a line of its own, and so are the
//! waits for events without a record, and the first records after them.

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::sync::OnceLock;

use gpu_stream_core::{Access, Backend, ErrorOf, EventOf, Region, Stream};

use crate::order::Order;

/// Number of places.
pub(in crate::checked) const SITES: usize = 96;

/// Result of a call at a place.
type Slot<'a, T, S> = &'a mut Option<Result<T, ErrorOf<S>>>;

/// What is done at a place.
enum Call<'a, S: Stream> {
    /// Declares an access.
    Access(&'a S, Access, &'a Region),
    /// Declares an access of the host.
    Host(Access, &'a Region),
    /// Waits for an event.
    Wait(&'a S, &'a EventOf<S>, Slot<'a, (), S>),
    /// Records an event.
    Record(&'a S, &'a EventOf<S>, Slot<'a, (), S>),
    /// Returns the place.
    Place,
}

/// Makes a call at the place of the caller.
#[track_caller]
fn here<S: Stream>(call: Call<'_, S>) -> &'static Location<'static> {
    match call {
        Call::Access(stream, Access::Read, region) => stream.reads(region),
        Call::Access(stream, Access::Write, region) => stream.writes(region),
        Call::Access(stream, Access::Release, region) => stream.released(region),
        Call::Host(access, region) => S::Backend::host_access(access, region),
        Call::Wait(stream, event, slot) => *slot = Some(stream.wait_event(event)),
        Call::Record(stream, event, slot) => *slot = Some(stream.record(event)),
        Call::Place => {}
    }
    Location::caller()
}

/// Makes a call at the place with this number.
fn at<S: Stream>(site: usize, call: Call<'_, S>) -> &'static Location<'static> {
    match site {
        0 => here(call),
        1 => here(call),
        2 => here(call),
        3 => here(call),
        4 => here(call),
        5 => here(call),
        6 => here(call),
        7 => here(call),
        8 => here(call),
        9 => here(call),
        10 => here(call),
        11 => here(call),
        12 => here(call),
        13 => here(call),
        14 => here(call),
        15 => here(call),
        16 => here(call),
        17 => here(call),
        18 => here(call),
        19 => here(call),
        20 => here(call),
        21 => here(call),
        22 => here(call),
        23 => here(call),
        24 => here(call),
        25 => here(call),
        26 => here(call),
        27 => here(call),
        28 => here(call),
        29 => here(call),
        30 => here(call),
        31 => here(call),
        32 => here(call),
        33 => here(call),
        34 => here(call),
        35 => here(call),
        36 => here(call),
        37 => here(call),
        38 => here(call),
        39 => here(call),
        40 => here(call),
        41 => here(call),
        42 => here(call),
        43 => here(call),
        44 => here(call),
        45 => here(call),
        46 => here(call),
        47 => here(call),
        48 => here(call),
        49 => here(call),
        50 => here(call),
        51 => here(call),
        52 => here(call),
        53 => here(call),
        54 => here(call),
        55 => here(call),
        56 => here(call),
        57 => here(call),
        58 => here(call),
        59 => here(call),
        60 => here(call),
        61 => here(call),
        62 => here(call),
        63 => here(call),
        64 => here(call),
        65 => here(call),
        66 => here(call),
        67 => here(call),
        68 => here(call),
        69 => here(call),
        70 => here(call),
        71 => here(call),
        72 => here(call),
        73 => here(call),
        74 => here(call),
        75 => here(call),
        76 => here(call),
        77 => here(call),
        78 => here(call),
        79 => here(call),
        80 => here(call),
        81 => here(call),
        82 => here(call),
        83 => here(call),
        84 => here(call),
        85 => here(call),
        86 => here(call),
        87 => here(call),
        88 => here(call),
        89 => here(call),
        90 => here(call),
        91 => here(call),
        92 => here(call),
        93 => here(call),
        94 => here(call),
        _ => here(call),
    }
}

/// Declares an access at the place with this number. Places from [`SITES`] on are the last one.
pub(in crate::checked) fn access_at<S: Stream>(
    site: usize,
    stream: &S,
    access: Access,
    region: &Region,
) {
    at(site, Call::Access(stream, access, region));
}

/// Declares an access of the host at the place with this number, as [`access_at`].
pub(in crate::checked) fn host_access_at<S: Stream>(site: usize, access: Access, region: &Region) {
    at::<S>(site, Call::Host(access, region));
}

/// Waits for an event at the place with this number, as [`access_at`].
pub(in crate::checked) fn wait_at<S: Stream>(
    site: usize,
    stream: &S,
    event: &EventOf<S>,
) -> Result<(), ErrorOf<S>> {
    let mut result = None;
    at(site, Call::Wait(stream, event, &mut result));
    result.unwrap_or(Ok(()))
}

/// Records an event at the place with this number, as [`access_at`].
pub(in crate::checked) fn record_at<S: Stream>(
    site: usize,
    stream: &S,
    event: &EventOf<S>,
) -> Result<(), ErrorOf<S>> {
    let mut result = None;
    at(site, Call::Record(stream, event, &mut result));
    result.unwrap_or(Ok(()))
}

/// Returns the statements that have places of their own, in the order of the places.
pub(in crate::checked) fn statements(order: &Order) -> Vec<usize> {
    let mut all: Vec<usize> = order.accesses.iter().map(|access| access.statement).collect();
    let early = order.early_waits.iter();
    all.extend(early.flat_map(|wait| [Some(wait.statement), wait.record]).flatten());
    // A record can be the first one after several waits.
    let mut known = HashSet::new();
    all.retain(|statement| known.insert(*statement));
    // The last place is that of all others.
    all.truncate(SITES - 1);
    all
}

/// Returns the number of a place of a call, if it is one. `S` is any stream type.
pub(in crate::checked) fn site_of<S: Stream>(place: &Location<'_>) -> Option<usize> {
    static ALL: OnceLock<HashMap<(u32, u32), usize>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let places = (0..SITES).map(|site| at::<S>(site, Call::Place));
        places.enumerate().map(|(site, place)| ((place.line(), place.column()), site)).collect()
    });
    let is_here = place.file() == Location::caller().file();
    all.get(&(place.line(), place.column())).copied().filter(|_| is_here)
}
