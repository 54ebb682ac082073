//! Streams, events, captures and memory by cudarc alone. Each part proves order by data, and prints a line.

use std::error::Error;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use cudarc::driver::sys::{
    CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode, CUstreamCaptureStatus,
};
use cudarc::driver::{CudaContext, CudaStream, result};

type Outcome = Result<(), Box<dyn Error>>;

const COUNT: usize = 1024;

/// Holds a stream until it is opened or dropped.
struct Gate(Option<Sender<()>>);

impl Gate {
    /// Enqueues a host function that waits for the gate.
    fn shut(stream: &CudaStream) -> Result<Self, Box<dyn Error>> {
        unsafe extern "C" fn wait(gate: *mut c_void) {
            // SAFETY: `shut` made the pointer from a box, and the driver calls this function once.
            let gate: Box<Receiver<()>> = unsafe { Box::from_raw(gate.cast()) };
            let _ = gate.recv(); // an error: the gate was dropped
        }
        let (sender, receiver) = channel::<()>();
        stream.context().bind_to_thread()?;
        let argument = Box::into_raw(Box::new(receiver)).cast();
        // SAFETY: the stream is alive, and the function takes ownership of its argument.
        unsafe { result::stream::launch_host_function(stream.cu_stream(), wait, argument)? };
        Ok(Gate(Some(sender)))
    }

    fn open(mut self) {
        self.0.take();
    }
}

fn check(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(format!("{what}: does not hold").into()) }
}

/// A stream that joins another runs after its earlier work. A stream that does not is not held.
fn join(context: &Arc<CudaContext>) -> Outcome {
    let (producer, consumer, other) =
        (context.new_stream()?, context.new_stream()?, context.new_stream()?);
    let source = producer.clone_htod(&vec![7_u32; COUNT])?;
    let mut middle = producer.alloc_zeros::<u32>(COUNT)?;
    let mut end = producer.alloc_zeros::<u32>(COUNT)?;
    producer.synchronize()?;

    let gate = Gate::shut(&producer)?;
    producer.memcpy_dtod(&source, &mut middle)?;
    let produced = producer.record_event(None)?;
    consumer.join(&producer)?;
    consumer.memcpy_dtod(&middle, &mut end)?;
    let consumed = consumer.record_event(None)?;
    check(!produced.try_is_complete()?, "the producer is held")?;
    check(!consumed.try_is_complete()?, "the consumer is held")?;
    other.synchronize()?;
    check(
        other.record_event(None).and_then(|event| event.synchronize()).is_ok(),
        "another stream is not held",
    )?;
    gate.open();
    consumer.synchronize()?;
    check(produced.try_is_complete()? && consumed.is_complete(), "both events are complete")?;
    check(consumer.clone_dtoh(&end)? == vec![7; COUNT], "the data went through both streams")
}

/// An event has the work up to its record, whatever is recorded later.
fn wait(context: &Arc<CudaContext>) -> Outcome {
    let (one, two) = (context.new_stream()?, one_more(context)?);
    let event = context.new_event(None)?;
    check(event.try_is_complete()?, "an event that was never recorded is complete")?;
    event.record(&one)?;
    two.wait(&event)?;
    let gate = Gate::shut(&one)?;
    event.record(&one)?;
    two.synchronize()?; // it waits for the first record only
    check(!event.try_is_complete()?, "the second record is held")?;
    gate.open();
    event.synchronize()?;
    check(event.try_is_complete()?, "the second record is complete")
}

fn one_more(context: &Arc<CudaContext>) -> Result<Arc<CudaStream>, Box<dyn Error>> {
    Ok(context.new_stream_with_priority(0)?)
}

/// The time between two events on both sides of work.
fn elapsed(context: &Arc<CudaContext>) -> Outcome {
    let stream = context.new_stream()?;
    let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
    let start = stream.record_event(timed)?;
    let mut memory = stream.alloc_zeros::<u32>(COUNT)?;
    stream.memset_zeros(&mut memory)?;
    let end = stream.record_event(timed)?;
    let time = start.elapsed_ms(&end)?;
    check(time >= 0.0 && time.is_finite(), "the time is a number")?;
    let untimed = stream.record_event(None)?;
    check(start.elapsed_ms(&untimed).is_err(), "an event without timing has no time")
}

/// Captured work runs with each launch of the graph, and not before.
fn capture(context: &Arc<CudaContext>) -> Outcome {
    let (stream, side) = (context.new_stream()?, context.new_stream()?);
    let source = stream.clone_htod(&vec![9_u32; COUNT])?;
    let mut target = stream.alloc_zeros::<u32>(COUNT)?;
    stream.synchronize()?;
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED)?;
    side.join(&stream)?;
    side.memcpy_dtod(&source, &mut target)?;
    stream.join(&side)?;
    let status = stream.capture_status()?;
    check(
        status == CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE,
        "the stream is captured",
    )?;
    let graph =
        stream.end_capture(CUgraphInstantiate_flags(0))?.ok_or("the capture has no graph")?;
    check(stream.clone_dtoh(&target)? == vec![0; COUNT], "captured work has not run")?;
    graph.upload()?;
    for _ in 0..2 {
        stream.memset_zeros(&mut target)?;
        graph.launch()?;
        check(stream.clone_dtoh(&target)? == vec![9; COUNT], "the graph did the work")?;
    }
    Ok(())
}

/// Pinned and managed memory, and the device's memory in numbers.
fn memory(context: &Arc<CudaContext>) -> Outcome {
    let stream = context.default_stream();
    // SAFETY: every value of the type is valid, and the memory is written before it is read.
    let mut pinned = unsafe { context.alloc_pinned::<u32>(COUNT)? };
    pinned.as_mut_slice()?.fill(3);
    let device = stream.clone_htod(&pinned)?;
    check(
        stream.clone_dtoh(&device)? == vec![3; COUNT],
        "pinned memory went to the device and back",
    )?;
    check(stream.clone_dtoh(&device.slice(1..3))? == [3, 3], "a part of it came back")?;
    // SAFETY: every value of the type is valid.
    let mut managed = unsafe { context.alloc_unified::<u32>(COUNT, true)? };
    managed.as_mut_slice()?.fill(1);
    stream.memset_zeros(&mut managed)?;
    stream.synchronize()?;
    check(managed.as_slice()?.iter().all(|value| *value == 0), "the device wrote managed memory")?;
    let (free, total) = context.mem_get_info()?;
    check(free <= total && total <= context.total_mem()?, "free memory is a part of all memory")
}

fn main() -> Outcome {
    let context = CudaContext::new(0)?;
    // SAFETY: the parts below order their work themselves, which is what they test.
    unsafe { context.disable_event_tracking() };
    println!("device 0 of {}: {}", CudaContext::device_count()?, context.name()?);
    for (name, part) in [
        ("join", join as fn(&Arc<CudaContext>) -> Outcome),
        ("wait", wait),
        ("elapsed", elapsed),
        ("capture", capture),
        ("memory", memory),
    ] {
        part(&context).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: ok");
    }
    context.synchronize()?;
    Ok(())
}
