//! User code: closures on a stream and owners, and where they run and are dropped.
//!
//! OpenCL has no host functions. One is built of a marker with a callback, and of a user event that later work waits
//! for. The callback runs the closure, on a thread of the driver.
//!
//! No lock is held during a call of the driver that can block or run a callback. A driver may run callbacks of other libraries
//! inside of such a call, and these may call this crate.

mod turns;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

use gpu_stream_core::HostFunc;
use gpu_stream_driver_common::user_code::Lost;
use gpu_stream_driver_common::{StreamKey, UserCode};

use self::turns::Turns;
use crate::OpenClError;
use crate::completion::{COMPLETE, on_completion, set_complete, set_refused, set_status};
use crate::driver::Driver;
use crate::error::Result;
use crate::marker::EventRef;
use crate::stream::OpenClStream;

/// The user code of this backend.
pub(crate) static USER_CODE: UserCode = UserCode::new();

/// Runs the body of a public call, and ends the call: see [`UserCode::call`].
pub(crate) fn call<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    let lost = |error: &OpenClError| match error {
        OpenClError::HostFunctionPanicked { .. } => Some(Lost::AfterPanics),
        _ => None,
    };
    let body = || {
        let _in_call = InCall::enter();
        set_refused();
        body()
    };
    USER_CODE.call(body, lost)
}

thread_local! {
    /// `true` while the thread is inside a call of this crate.
    static IN_CALL: Cell<bool> = const { Cell::new(false) };
}

/// Marks the thread as inside a call of this crate, until it is dropped.
///
/// A driver may run commands and their callbacks on a thread that enqueues, flushes or sets a user event. Closures
/// must not run there: the call may be the launch of the closure, which has not returned.
pub(crate) struct InCall(bool);

impl InCall {
    pub(crate) fn enter() -> Self {
        InCall(IN_CALL.replace(true))
    }
}

impl Drop for InCall {
    fn drop(&mut self) {
        IN_CALL.set(self.0);
    }
}

/// A user event, which is set to complete by the drop at the latest.
struct CompleteOnDrop(ManuallyDrop<EventRef>);

impl CompleteOnDrop {
    fn new(event: EventRef) -> Self {
        CompleteOnDrop(ManuallyDrop::new(event))
    }

    /// Sets the event to complete now.
    ///
    /// # Errors
    /// As [`set_complete`].
    fn complete(self, operation: &'static str) -> Result<()> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used again nor dropped.
        set_complete(unsafe { ManuallyDrop::take(&mut this.0) }, operation)
    }
}

impl Drop for CompleteOnDrop {
    fn drop(&mut self) {
        // SAFETY: the field is not used again.
        let event = unsafe { ManuallyDrop::take(&mut self.0) };
        // A later call of this crate tries again.
        let _ = set_status(event, COMPLETE);
    }
}

/// What the driver's callback needs of a launched closure.
struct Launched {
    /// The key of the closure in [`USER_CODE`].
    key: usize,
    /// Keeps the queue, whose handle is the key of its panics.
    stream: OpenClStream,
    /// What later work of the stream waits for.
    later: CompleteOnDrop,
}

/// The streams whose closures run.
///
/// The commands of two launches can mix, if two threads launch at once. Both markers are then in front of both user events,
/// so the driver may call both callbacks at once.
static TURNS: Turns<StreamKey, (Launched, i32)> = Turns::new();

/// Launches a closure on a stream.
pub(crate) fn launch(
    driver: &'static Driver,
    stream: &OpenClStream,
    func: HostFunc,
    operation: &'static str,
) -> Result<()> {
    let later = CompleteOnDrop::new(stream.user_event(driver, operation)?);
    // Holds the marker back until its callback is set: a driver calls it at once for a marker that is complete.
    let start = CompleteOnDrop::new(stream.user_event(driver, operation)?);
    stream.enqueue_wait(driver, &start.0, operation)?;
    let marker = stream.unflushed_marker(driver, operation)?;
    stream.enqueue_wait(driver, &later.0, operation)?;
    stream.flush(driver, operation)?;
    USER_CODE.host_funcs.launch(func, stream.key(), |key| {
        let launched = Launched { key: key.addr(), stream: stream.clone(), later };
        on_completion(driver, &marker, move |status| run(launched, status), operation)?;
        // Without its start, the function never runs, and what the table has is dropped.
        start.complete(operation)
    })
}

/// Runs a launched closure, or drops it if `status` is negative: earlier work failed. The driver's callback calls this,
/// usually on a thread of the driver.
fn run(launched: Launched, status: i32) {
    // Without a thread, the closure is dropped, and the work behind it goes on.
    let run = move |launched: Launched| after_completion(move || launched.run_in_turn(status));
    outside_of_calls(launched, run, Launched::discard);
}

/// The work of callbacks that came while the thread completed a user event.
type Waiting = VecDeque<Box<dyn FnOnce()>>;

thread_local! {
    /// `true` while the driver completes a user event on this thread.
    static COMPLETING: Cell<bool> = const { Cell::new(false) };
    /// `None` unless a call of `complete` will run it. Has no destructor, so it stays usable until the thread has ended.
    static WAITING: RefCell<Option<ManuallyDrop<Waiting>>> = const { RefCell::new(None) };
}

/// Calls `set`, which sets the status of a user event, and then the work of the callbacks that came in it.
///
/// A driver may run the callbacks of what becomes complete inside of `set`, and these complete user events in turn. A long
/// chain of them would overflow the stack.
pub(crate) fn complete(set: impl FnOnce()) {
    let is_inner = WAITING.with_borrow(Option::is_some);
    if !is_inner {
        WAITING.set(Some(ManuallyDrop::new(Waiting::new())));
    }
    let before = COMPLETING.replace(true);
    set();
    COMPLETING.set(before);
    if is_inner {
        return;
    }
    while let Some(next) = WAITING.with_borrow_mut(|waiting| waiting.as_mut()?.pop_front()) {
        next();
    }
    drop(WAITING.take().map(ManuallyDrop::into_inner));
}

/// Calls `work` of a callback, which must not unwind: now, or at the end of [`complete`] if the callback came in it.
fn after_completion(work: impl FnOnce() + 'static) {
    if !COMPLETING.get() {
        return work();
    }
    WAITING.with_borrow_mut(|waiting| match waiting {
        Some(waiting) => waiting.push_back(Box::new(work)),
        None => unreachable!("`complete` is under way"),
    });
}

/// Calls `run` with the value: here, or on a new thread if this one is inside a call of this crate. Calls `otherwise` if
/// there is no new thread.
fn outside_of_calls<T: Send + 'static>(
    value: T,
    run: impl FnOnce(T) + Send + 'static,
    otherwise: impl FnOnce(T),
) {
    if !IN_CALL.get() {
        return run(value);
    }
    let shared = Arc::new(Mutex::new(Some(value)));
    let moved = Arc::clone(&shared);
    let take =
        |shared: &Mutex<Option<T>>| shared.lock().unwrap_or_else(PoisonError::into_inner).take();
    let started = std::thread::Builder::new().spawn(move || take(&moved).map(run));
    if started.is_err()
        && let Some(value) = take(&shared)
    {
        otherwise(value);
    }
}

impl Launched {
    /// Runs the closure here, or on the thread that runs another one of the stream.
    fn run_in_turn(self, status: i32) {
        TURNS.take(self.stream.key(), (self, status), |(launched, status)| launched.run(status));
    }

    /// Runs the closure, and lets later work of the stream run. Drops it instead if earlier work failed.
    fn run(self, status: i32) {
        if status != COMPLETE {
            return self.discard();
        }
        USER_CODE.run_host_func(std::ptr::without_provenance_mut(self.key));
        if USER_CODE.panics.has(self.stream.key()) {
            // Otherwise a later queue with this handle would have the fault. The owner is not kept.
            self.stream.keep_for_ever();
        }
        self.end();
    }

    /// Drops the closure without running it, and lets later work of the stream run.
    fn discard(self) {
        USER_CODE.host_funcs.discard(std::ptr::without_provenance_mut(self.key));
        self.end();
    }

    fn end(self) {
        let Launched { stream, later, .. } = self;
        drop(later);
        stream.drop_later();
    }
}

/// Completes a user event after another event, with its status.
pub(crate) fn complete_after(
    driver: &'static Driver,
    event: &EventRef,
    bridge: &EventRef,
    operation: &'static str,
) -> Result<()> {
    let given = bridge.try_clone(driver, operation)?;
    let pass_on = move |status: i32| {
        // 0 and negative numbers are allowed. A later call of this crate tries again if the driver refuses.
        after_completion(move || _ = set_status(given, status.min(COMPLETE)));
    };
    on_completion(driver, event, pass_on, operation)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use gpu_stream_core::Stream as _;

    use super::*;
    use crate::driver::fake;

    /// Another library's callback runs inside of a call of the driver, and launches a closure on the same stream.
    #[test]
    fn launch_inside_of_a_call_of_the_driver_is_not_blocked() {
        let (stream, (sender, ran)) = (fake::stream(), mpsc::channel());
        let before = fake::calls();
        stream.launch_host_func(Box::new(|| ())).unwrap();
        let calls = fake::calls() - before;
        assert!(calls >= 5, "two events, commands, a flush and a callback: {calls}");
        for number in 0..calls {
            let [outer, inner] = [(); 2].map(|()| {
                let sender = sender.clone();
                Box::new(move || sender.send(number).unwrap())
            });
            let other = stream.clone();
            fake::run_inside(number, move || other.launch_host_func(inner).unwrap());
            stream.launch_host_func(outer).unwrap();
            assert!(!fake::is_waiting(), "call {number}");
        }
        fake::take_callbacks().into_iter().for_each(fake::Callback::run);
        let mut ran: Vec<_> = ran.try_iter().collect();
        ran.sort_unstable();
        assert!(ran.into_iter().eq((0..calls).flat_map(|number| [number; 2])));
    }

    /// Two threads launch at once, so that both markers are in front of both barriers.
    #[test]
    fn closures_of_a_stream_do_not_run_at_once() {
        let (stream, order) = (fake::stream(), Arc::new(Mutex::new(Vec::new())));
        let note = |text| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(text)
        };
        let (second, callback) = mpsc::channel::<fake::Callback>();
        let (begins, ends) = (note("the first begins"), note("the first ends"));
        let first = move || {
            begins();
            let callback = callback.recv().unwrap();
            thread::spawn(|| callback.run()).join().unwrap();
            ends();
        };
        stream.launch_host_func(Box::new(first)).unwrap();
        stream.launch_host_func(Box::new(note("the second"))).unwrap();
        let [first, last] = <[_; 2]>::try_from(fake::take_callbacks()).ok().unwrap();
        second.send(last).unwrap();
        first.run();
        assert_eq!(*order.lock().unwrap(), ["the first begins", "the first ends", "the second"]);
    }

    #[test]
    fn callback_inside_a_call_runs_on_another_thread() {
        let (sender, receiver) = mpsc::channel();
        let report = move |()| sender.send(thread::current().id()).unwrap();
        let here = thread::current().id();
        outside_of_calls((), report.clone(), |()| panic!("there are threads"));
        assert_eq!(receiver.recv().unwrap(), here);
        let in_call = InCall::enter();
        let inner = InCall::enter();
        drop(inner);
        outside_of_calls((), report.clone(), |()| panic!("there are threads"));
        assert_ne!(receiver.recv().unwrap(), here);
        drop(in_call);
        outside_of_calls((), report, |()| panic!("there are threads"));
        assert_eq!(receiver.recv().unwrap(), here);
    }

    /// A driver that runs the next callback inside of the call that the one before makes.
    #[test]
    fn callbacks_inside_of_callbacks_run_one_after_another() {
        fn callback(left: u32, is_running: &Arc<Mutex<()>>, ended: mpsc::Sender<u32>) {
            let running = Arc::clone(is_running);
            after_completion(move || {
                let now = running.try_lock().expect("the one before has ended");
                if left > 0 {
                    let next = ended.clone();
                    complete(|| callback(left - 1, &running, next));
                }
                // Outside of a completion, a callback waits for nothing.
                after_completion(move || ended.send(left).expect("the test waits"));
                drop(now);
            });
        }
        let (ended, order) = mpsc::channel();
        // The outermost one is inside of a completion, too: it runs those that follow after it.
        for _ in 0..2 {
            complete(|| callback(1_000, &Arc::default(), ended.clone()));
            assert!(order.try_iter().eq((0..=1_000).rev()));
        }
        assert!(WAITING.take().is_none() && !COMPLETING.get());
    }
}
