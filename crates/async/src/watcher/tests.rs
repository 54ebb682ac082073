//! Tests of the threads of a watcher.

use std::any::TypeId;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{Sender, channel};
use std::task::{Wake, Waker};

use gpu_stream_core::{BackendKind, Device, Error as _, ErrorKind};

use super::*;

/// A record that is done, and tells when it is dropped.
struct Record(Mutex<Sender<()>>);

impl Watched for Record {
    fn settle(&self) -> bool {
        true
    }

    fn take_waker(&self) -> Option<Waker> {
        None
    }

    fn is_abandoned(&self) -> bool {
        false
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let _ = self.0.lock().unwrap().send(());
    }
}

#[test]
fn refused_thread_is_an_error_and_the_next_call_tries_again() {
    static MAY_START: AtomicBool = AtomicBool::new(false);
    let start = |watcher, thread| match MAY_START.load(Ordering::SeqCst) {
        true => start(watcher, thread),
        false => Err(io::Error::from_raw_os_error(11)),
    };
    let watcher: &Watcher = Box::leak(Box::new(Watcher::new(process::id(), start)));
    let (send, dropped) = channel();
    let record = || Arc::new(Record(Mutex::new(send.clone())));
    for _ in 0..2 {
        let error = watcher.push(key(), record()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("error 11"), "{error}");
        dropped.try_recv().expect("the record is not kept");
    }
    MAY_START.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        watcher.push(key(), record()).unwrap();
        dropped.recv().expect("the thread runs");
    }
}

/// A waker that calls a closure once.
struct OnWake<T: FnOnce() + Send>(Mutex<Option<T>>);

impl<T: FnOnce() + Send> Wake for OnWake<T> {
    fn wake(self: Arc<Self>) {
        let call = self.0.lock().unwrap().take();
        call.into_iter().for_each(|call| call());
    }
}

/// A record that is done, and wakes a task.
struct Waking(Mutex<Option<Waker>>);

impl Waking {
    /// Returns the record. Its waker calls `call` once.
    fn new(call: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let waker = Waker::from(Arc::new(OnWake(Mutex::new(Some(call)))));
        Arc::new(Waking(Mutex::new(Some(waker))))
    }
}

impl Watched for Waking {
    fn settle(&self) -> bool {
        true
    }

    fn take_waker(&self) -> Option<Waker> {
        self.0.lock().unwrap().take()
    }

    fn is_abandoned(&self) -> bool {
        false
    }
}

/// The time after which a test gives up. Only a broken watcher makes a test wait so long.
const LIMIT: Duration = Duration::from_secs(60);

fn key() -> StreamKey {
    StreamKey::new(TypeId::of::<()>(), Device::new(BackendKind::Host, 0), 16)
}

#[test]
fn wakers_that_wait_are_left_to_one_spare_thread() {
    static STARTED: AtomicU64 = AtomicU64::new(0);
    let start = |watcher, thread| {
        STARTED.fetch_add(1, Ordering::SeqCst);
        start(watcher, thread)
    };
    let watcher: &'static Watcher = Box::leak(Box::new(Watcher::new(process::id(), start)));
    for round in 0..5 {
        let (inner, settled) = channel();
        let (returns, returned) = channel();
        let waits = move || {
            // Only another thread can settle this record.
            watcher.push(key(), Waking::new(move || inner.send(()).unwrap())).unwrap();
            returns.send(settled.recv_timeout(LIMIT)).unwrap();
        };
        watcher.push(key(), Waking::new(waits)).unwrap();
        assert_eq!(returned.recv_timeout(LIMIT), Ok(Ok(())), "round {round}");
        let begin = Instant::now();
        let is_quiet = |shared: &Shared| shared.spare.is_some() && shared.waking.is_none();
        while !is_quiet(&watcher.lock()) {
            assert!(begin.elapsed() < LIMIT, "the thread that was left does not come back");
            thread::yield_now();
        }
    }
    assert_eq!(STARTED.load(Ordering::SeqCst), 2);
}

#[test]
fn refused_spare_thread_leaves_the_records_to_the_waker() {
    let start = |watcher, thread| match thread {
        1 => start(watcher, thread),
        _ => Err(io::Error::from_raw_os_error(11)),
    };
    let watcher: &'static Watcher = Box::leak(Box::new(Watcher::new(process::id(), start)));
    let (send, results) = channel();
    let polls = move || {
        Registration(watcher).waits();
        let inner = send.clone();
        let pushed = watcher.push(key(), Waking::new(move || inner.send(Ok(())).unwrap()));
        send.send(pushed).unwrap();
    };
    watcher.push(key(), Waking::new(polls)).unwrap();
    for _ in 0..2 {
        results.recv_timeout(LIMIT).expect("the thread goes on").expect("the record is kept");
    }
    assert_eq!(watcher.lock().thread, 1);
}
