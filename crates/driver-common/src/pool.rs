//! Events that nobody uses at the moment: [`Pool`].

use crate::sync::{AtomicUsize, Ordering};

/// A thread begins at the line with its number, so that threads do not meet while each has few
/// events out.
const LINES: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 2 } else { 32 };
const EACH: usize = if cfg!(any(gpu_stream_loom, gpu_stream_shuttle)) { 1 } else { 8 };

/// How many events are kept; what comes back beyond that is destroyed.
#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
const MOST: usize = LINES * EACH;

/// On cache lines of its own: 0, or an event.
#[repr(align(128))]
struct Line([AtomicUsize; EACH]);

/// Events of one device or context, made without timing, that can be recorded anew. At most 256.
///
/// Making an event is what a wait for a stream would cost most, and a wait binds to the record made
/// before it, so that an event can go back as soon as its waits are enqueued. Not here: events
/// whose handle somebody has, that have options, or that people saw recorded in a capture.
///
/// There is no lock. A thread finds what it gave back a moment ago where it left it, by one
/// exchange; what a thread that has ended gave back is found by the others.
///
/// A pool is to live as long as the process: nothing tears it down, neither the end of a thread nor
/// that of the process, when the driver may be gone. To drop one leaks its events.
///
/// Origin: PyTorch's `EventPool`, in
/// [`CUDACachingAllocator.cpp`](https://github.com/pytorch/pytorch/blob/main/c10/cuda/CUDACachingAllocator.cpp),
/// is one with a lock.
pub struct Pool([Line; LINES]);

impl Default for Pool {
    fn default() -> Self {
        Pool::new()
    }
}

impl Pool {
    /// An empty one.
    pub fn new() -> Self {
        Pool(std::array::from_fn(|_| Line(std::array::from_fn(|_| AtomicUsize::new(0)))))
    }

    fn home(&self, thread: usize) -> &Line {
        &self.0[thread % LINES]
    }

    /// One that may have an old record, which is to be replaced before anybody sees the event.
    /// `None` if there is none. `thread` is the caller's [number](crate::thread_number).
    #[inline]
    pub fn take(&self, thread: usize) -> Option<usize> {
        self.home(thread).take().or_else(|| self.take_elsewhere())
    }

    #[cold]
    fn take_elsewhere(&self) -> Option<usize> {
        self.0.iter().find_map(Line::take)
    }

    /// Takes the event, which is not 0, back.
    ///
    /// # Errors
    /// The event, if there is no room: it is to be destroyed.
    #[inline]
    pub fn give(&self, event: usize, thread: usize) -> Result<(), usize> {
        if self.home(thread).give(event) { Ok(()) } else { self.give_elsewhere(event) }
    }

    #[cold]
    fn give_elsewhere(&self, event: usize) -> Result<(), usize> {
        if self.0.iter().any(|line| line.give(event)) { Ok(()) } else { Err(event) }
    }
}

// Acquire in `take` and Release in `give`: what was done with the event before it was given back
// comes before what is done with it when it is taken.
impl Line {
    #[inline]
    fn take(&self) -> Option<usize> {
        for place in &self.0 {
            if place.load(Ordering::Relaxed) != 0 {
                let event = place.swap(0, Ordering::Acquire);
                if event != 0 {
                    return Some(event);
                }
            }
        }
        None
    }

    #[inline]
    fn give(&self, event: usize) -> bool {
        let free = 0;
        self.0.iter().any(|place| {
            place.load(Ordering::Relaxed) == free
                && place.compare_exchange(free, event, Ordering::Release, Ordering::Relaxed).is_ok()
        })
    }
}

#[cfg(all(test, not(any(gpu_stream_loom, gpu_stream_shuttle))))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn it_holds_so_many_and_gives_the_rest_back() {
        let pool = Pool::new();
        assert_eq!(pool.take(3), None);
        for event in 1..=MOST {
            assert_eq!(pool.give(event, event / 5), Ok(()));
        }
        assert_eq!(pool.give(9_999, 7), Err(9_999));
        let taken: HashSet<_> = (1..=MOST).map(|_| pool.take(11).unwrap()).collect();
        assert_eq!(taken, (1..=MOST).collect());
        assert_eq!(pool.take(0), None);
    }

    #[test]
    fn a_thread_finds_what_it_gave_and_what_others_left() {
        let pool = Pool::new();
        pool.give(10, 1).unwrap();
        pool.give(20, 2).unwrap();
        assert_eq!(pool.take(2), Some(20));
        assert_eq!(pool.take(2), Some(10));
    }
}

/// `RUSTFLAGS="--cfg gpu_stream_loom" cargo test -p gpu-stream-driver-common --lib --release`
#[cfg(all(test, gpu_stream_loom))]
mod loom_tests {
    use std::sync::Arc;

    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::*;

    const THREADS: usize = 3;

    /// A pool, and what its events were last used for, which loom watches.
    struct Model {
        pool: Pool,
        uses: [UnsafeCell<usize>; THREADS],
        made: std::sync::atomic::AtomicUsize,
        destroyed: std::sync::atomic::AtomicUsize,
    }

    // SAFETY: that is what the model is to show; loom fails it if two threads touch a cell without
    // an order.
    unsafe impl Sync for Model {}
    // SAFETY: as above.
    unsafe impl Send for Model {}

    impl Model {
        /// Takes an event, or makes one, uses it and gives it back.
        fn use_one(&self, thread: usize) {
            let new = || self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            let event = self.pool.take(thread).unwrap_or_else(new);
            // SAFETY: checked by loom.
            self.uses[event - 1].with_mut(|last| unsafe { *last = thread });
            if self.pool.give(event, thread).is_err() {
                self.destroyed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    /// No two threads have one event at a time, what was done with it is done before the next one
    /// has it, and none is lost.
    #[test]
    fn an_event_is_one_threads_at_a_time() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let model = Arc::new(Model {
                pool: Pool::new(),
                uses: std::array::from_fn(|_| UnsafeCell::new(0)),
                made: 0.into(),
                destroyed: 0.into(),
            });
            let others: Vec<_> = (1..THREADS)
                .map(|thread| {
                    let model = Arc::clone(&model);
                    thread::spawn(move || model.use_one(thread))
                })
                .collect();
            model.use_one(0);
            others.into_iter().for_each(|other| other.join().expect("a thread"));
            let mut left = 0;
            while model.pool.take(0).is_some() {
                left += 1;
            }
            let count = |number: &std::sync::atomic::AtomicUsize| {
                number.load(std::sync::atomic::Ordering::Relaxed)
            };
            assert_eq!(left + count(&model.destroyed), count(&model.made));
            assert!(left <= LINES * EACH);
        });
    }
}
