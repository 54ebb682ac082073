//! Calls of deferred release and of awaits, which ask the streams on their own. The work is always done before they ask, and
//! what they learn orders nothing else.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};

use gpu_stream_async::DoneExt;
use gpu_stream_core::{Access, Backend, ErrorOf, KnownWork, Region, Stream};
use gpu_stream_retain::{Reclaimer, Refused};

use super::support::{Outcome, again, memory, stream};

/// Submits work to a stream, and waits for it by questions that order nothing.
fn work<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    drop(held(stream)?);
    settle(stream)
}

/// Submits work that lasts until the result is dropped.
fn held<S: Stream>(stream: &S) -> Result<Sender<()>, ErrorOf<S>> {
    let (hold, held) = channel();
    stream.launch_host_func(Box::new(move || held.iter().for_each(drop)))?;
    Ok(hold)
}

/// Waits until a stream is done, by questions that order nothing.
fn settle<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    while !stream.query_into(&mut KnownWork::new())? {
        std::thread::yield_now();
    }
    Ok(())
}

/// Polls the future of a stream whose work is done.
fn resolve<S: Stream>(stream: &S) -> Result<(), ErrorOf<S>> {
    let done = pin!(stream.done()?);
    match done.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => panic!("the work is done"),
    }
}

/// Checks that a collect drops `count` values.
fn collect<B: Backend>(reclaimer: &Reclaimer<B>, count: usize) -> Outcome<B> {
    assert_eq!(reclaimer.collect()?.dropped, count);
    Ok(())
}

/// A library keeps its staging memory until the side stream is done, and forgets that its caller reads the output.
pub fn retained_and_not_waited_for<B: Backend>(mended: bool) -> Outcome<B> {
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let (output, reclaimer) = (memory("output"), Reclaimer::new());
    side.writes(&output); // first
    work(&side)?;
    reclaimer.retain(vec![0_u8; 64], &[&side]).map_err(Refused::leak)?;
    if mended {
        caller.wait_stream(&side)?;
    }
    caller.reads(&output); // second
    Ok(())
}

/// A collect drops the staging memory. That says nothing to the caller.
pub fn collected_and_not_waited_for<B: Backend>(mended: bool) -> Outcome<B> {
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let (output, reclaimer) = (memory("output"), Reclaimer::new());
    side.writes(&output); // first
    work(&side)?;
    reclaimer.retain(vec![0_u8; 64], &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    if mended {
        reclaimer.drain()?; // it has no value left, and tells of those that were dropped
    }
    caller.reads(&output); // second
    Ok(())
}

/// So many values are retained that the retains drop some.
pub fn dropped_by_a_retain<B: Backend>(mended: bool) -> Outcome<B> {
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let (output, reclaimer) = (memory("output"), Reclaimer::new());
    side.writes(&output); // first
    work(&side)?;
    for _ in 0..1000 {
        reclaimer.retain([0_usize; 2], &[&side]).map_err(Refused::leak)?;
    }
    assert!(reclaimer.pending() < 1000);
    if mended {
        while !side.query()? {}
    }
    caller.reads(&output); // second
    Ok(())
}

/// A collect marks the end of the work while that runs, and a later one asks the mark.
pub fn marked_and_not_waited_for<B: Backend>(mended: bool) -> Outcome<B> {
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let (output, reclaimer) = (memory("output"), Reclaimer::new());
    side.writes(&output); // first
    let hold = held(&side)?;
    reclaimer.retain(vec![0_u8; 64], &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 0)?;
    drop(hold);
    settle(&side)?;
    collect(&reclaimer, 1)?;
    if mended {
        side.synchronize()?;
    }
    caller.reads(&output); // second
    Ok(())
}

/// A future is polled, and its task is woken, but not polled again.
pub fn future_that_is_only_woken<B: Backend>(mended: bool) -> Outcome<B> {
    struct Task(Sender<()>);
    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let (output, (woken, wake)) = (memory("output"), channel());
    let waker = Waker::from(Arc::new(Task(woken)));
    let mut context = Context::from_waker(&waker);
    side.writes(&output); // first
    let hold = held(&side)?;
    let mut done = pin!(side.done()?);
    assert!(done.as_mut().poll(&mut context).is_pending());
    drop(hold);
    wake.recv().expect("the work is done");
    if mended {
        let Poll::Ready(outcome) = done.poll(&mut context) else { panic!("the task was woken") };
        outcome?;
    }
    caller.reads(&output); // second
    Ok(())
}

/// A future is made, and not awaited.
pub fn future_that_is_not_awaited<B: Backend>(mended: bool) -> Outcome<B> {
    let [side, caller] = [stream::<B>()?, stream::<B>()?];
    let output = memory("output");
    side.writes(&output); // first
    work(&side)?;
    if mended {
        resolve(&side)?;
    } else {
        drop(side.done()?);
    }
    caller.reads(&output); // second
    Ok(())
}

/// Memory that a destructor frees or fills, by a call of the host.
struct Buffer<B: Backend>(Region, Access, PhantomData<fn() -> B>);

impl<B: Backend> Buffer<B> {
    fn new(region: Region, access: Access) -> Self {
        Buffer(region, access, PhantomData)
    }
}

impl<B: Backend> Drop for Buffer<B> {
    fn drop(&mut self) {
        B::host_access(self.1, &self.0);
    }
}

/// The value is kept for the caller's stream, and the copy runs on the library's own. The caller's stream is done first.
pub fn retained_for_another_stream<B: Backend>(mended: bool) -> Outcome<B> {
    struct Freed<B: Backend>(Region, PhantomData<fn() -> B>);
    impl<B: Backend> Drop for Freed<B> {
        fn drop(&mut self) {
            B::host_access(Access::Release, &self.0); // second
        }
    }
    let [copy, caller] = [stream::<B>()?, stream::<B>()?];
    let (staging, reclaimer) = (memory("staging"), Reclaimer::new());
    copy.writes(&staging); // first
    work(&copy)?;
    reclaimer.retain(0, &[&copy]).map_err(Refused::leak)?;
    let user = if mended { &copy } else { &caller };
    reclaimer.retain(Freed::<B>(staging, PhantomData), &[user]).map_err(Refused::leak)?;
    collect(&reclaimer, 2)
}

/// A destructor frees the memory, which comes after the work.
pub fn freed_by_a_destructor<B: Backend>() -> Outcome<B> {
    let [side, other] = [stream::<B>()?, stream::<B>()?];
    let (data, reclaimer) = (memory("data"), Reclaimer::new());
    side.writes(&data);
    work(&side)?;
    reclaimer.retain(Buffer::<B>::new(data, Access::Release), &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    let next = again(&data, "next");
    other.writes(&next);
    Ok(())
}

/// The destructor of a block puts it back into a pool, and declares that. The next user takes it with no wait.
pub fn block_that_a_destructor_returns<B: Backend>() -> Outcome<B> {
    let [side, other] = [stream::<B>()?, stream::<B>()?];
    let (block, reclaimer) = (memory("block"), Reclaimer::new());
    side.reads(&block);
    side.writes(&block);
    work(&side)?;
    reclaimer.retain(Buffer::<B>::new(block, Access::Write), &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    other.writes(&block);
    Ok(())
}

/// Memory without a destructor of its own is freed, and the allocator gives it to another part of the program.
pub fn memory_that_is_allocated_again<B: Backend>() -> Outcome<B> {
    let [side, other] = [stream::<B>()?, stream::<B>()?];
    let (staging, reclaimer) = (memory("staging"), Reclaimer::new());
    side.reads(&staging);
    work(&side)?;
    reclaimer.retain(vec![0_u8; 64], &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    let next = again(&staging, "next");
    B::host_access(Access::Write, &next);
    other.writes(&next);
    Ok(())
}

/// A destructor submits work, which comes after that of the value's streams. Other streams wait for it.
pub fn work_of_a_destructor<B: Backend>() -> Outcome<B> {
    struct Pooled<S: Stream>(Region, S);
    impl<S: Stream> Drop for Pooled<S> {
        fn drop(&mut self) {
            self.1.released(&self.0);
        }
    }
    let [side, home, other] = [stream::<B>()?, stream::<B>()?, stream::<B>()?];
    let (block, reclaimer) = (memory("block"), Reclaimer::new());
    side.writes(&block);
    work(&side)?;
    reclaimer.retain(Pooled(block, home.clone()), &[&side]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    other.wait_stream(&home)?;
    other.writes(&again(&block, "next"));
    Ok(())
}

/// A future's value is dropped with it, after the work.
pub fn value_of_a_dropped_future<B: Backend>() -> Outcome<B> {
    let side = stream::<B>()?;
    let data = memory("data");
    side.writes(&data);
    work(&side)?;
    drop(side.done()?.with(Buffer::<B>::new(data, Access::Release)));
    Ok(())
}

/// Values that are dropped in a drain, after a collect that has dropped others.
pub fn drain_after_a_collect<B: Backend>() -> Outcome<B> {
    let [one, two, other] = [stream::<B>()?, stream::<B>()?, stream::<B>()?];
    let (first, second, reclaimer) = (memory("first"), memory("second"), Reclaimer::new());
    one.writes(&first);
    work(&one)?;
    reclaimer.retain(1, &[&one]).map_err(Refused::leak)?;
    collect(&reclaimer, 1)?;
    two.writes(&second);
    reclaimer.retain(2, &[&two, &one]).map_err(Refused::leak)?;
    reclaimer.drain()?;
    other.writes(&first);
    other.writes(&second);
    Ok(())
}
