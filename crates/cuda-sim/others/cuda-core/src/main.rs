//! Streams, events and buffers by NVIDIA's cuda-core alone. Each part proves order by data, and prints a line.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use cuda_core::device_buffer::DeviceBuffer;
use cuda_core::memory::memcpy_dtod_async;
use cuda_core::pinned_host_buffer::PinnedHostBuffer;
use cuda_core::{Context, Stream};

type Outcome = Result<(), Box<dyn Error>>;

const COUNT: usize = 1024;

/// Holds a stream until it is opened or dropped.
struct Gate(Option<Sender<()>>);

impl Gate {
    /// Enqueues a host function that waits for the gate.
    fn shut(stream: &Stream) -> Result<Self, Box<dyn Error>> {
        let (sender, receiver) = channel::<()>();
        stream.launch_host_function(move || {
            let _ = receiver.recv(); // an error: the gate was dropped
        })?;
        Ok(Gate(Some(sender)))
    }

    fn open(mut self) {
        self.0.take();
    }
}

fn check(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(format!("{what}: does not hold").into()) }
}

/// Enqueues a copy. The buffers' own copies refuse a buffer that pending work of another stream uses.
fn copy(to: &DeviceBuffer<u32>, from: &DeviceBuffer<u32>, stream: &Stream) -> Outcome {
    // SAFETY: the caller keeps both buffers, which have the same length, until the stream has finished.
    unsafe {
        memcpy_dtod_async(
            to.cu_deviceptr(),
            from.cu_deviceptr(),
            to.num_bytes(),
            stream.cu_stream(),
        )?
    };
    Ok(())
}

/// A stream that joins another runs after its earlier work. A stream that does not is not held.
fn join(context: &Arc<Context>) -> Outcome {
    let (producer, consumer, other) =
        (context.new_stream()?, context.new_stream()?, context.new_stream()?);
    let source = DeviceBuffer::from_host(&producer, &[7_u32; COUNT])?;
    let middle = DeviceBuffer::<u32>::zeroed(&producer, COUNT)?;
    let end = DeviceBuffer::<u32>::zeroed(&producer, COUNT)?;
    producer.synchronize()?;

    let gate = Gate::shut(&producer)?;
    copy(&middle, &source, &producer)?;
    let produced = producer.record_event(None)?;
    consumer.join(&producer)?;
    copy(&end, &middle, &consumer)?;
    check(!produced.query()? && !producer.query()?, "the producer is held")?;
    check(!consumer.query()?, "the consumer is held")?;
    other.synchronize()?;
    check(other.query()?, "another stream is not held")?;
    gate.open();
    consumer.synchronize()?;
    check(produced.query()? && consumer.query()?, "both are done")?;
    check(end.to_host_vec(&consumer)? == vec![7; COUNT], "the data went through both streams")
}

/// An event has the work up to its record, whatever is recorded later.
fn wait(context: &Arc<Context>) -> Outcome {
    let (one, two) = (context.new_stream()?, context.new_stream_with_priority(0)?);
    let event = context.new_event()?;
    check(event.query()?, "an event that was never recorded is complete")?;
    event.record(&one)?;
    two.wait_event(&event)?;
    let gate = Gate::shut(&one)?;
    event.record(&one)?;
    two.synchronize()?; // it waits for the first record only
    check(!event.query()?, "the second record is held")?;
    gate.open();
    event.synchronize()?;
    check(event.query()?, "the second record is complete")
}

/// The time between two events, and the order of a fork.
fn elapsed(context: &Arc<Context>) -> Outcome {
    let stream = context.new_stream()?;
    let (start, end) = (context.new_event()?, context.new_event()?);
    start.record(&stream)?;
    let gate = Gate::shut(&stream)?;
    let fork = stream.fork()?;
    check(!fork.query()?, "a fork is held by the work before it")?;
    gate.open();
    end.record(&stream)?;
    end.synchronize()?;
    fork.synchronize()?;
    let time = start.elapsed_time(&end)?;
    check(time >= 0.0 && time.is_finite(), "the time is a number")
}

/// Pinned memory to the device and back.
fn memory(context: &Arc<Context>) -> Outcome {
    let stream = context.new_stream()?;
    let pinned = PinnedHostBuffer::from_slice(context, &[3_u32; COUNT])?;
    let mut device = DeviceBuffer::<u32>::zeroed(&stream, COUNT)?;
    device.copy_from_host(&stream, pinned.as_slice())?;
    let mut back = PinnedHostBuffer::<u32>::zeroed(context, COUNT)?;
    device.copy_to_pinned_host(&stream, &mut back)?;
    check(back.as_slice() == [3; COUNT], "pinned memory went to the device and back")
}

fn main() -> Outcome {
    let context = Context::new(0)?;
    println!("device 0 of {}: {}", Context::device_count()?, context.name()?);
    for (name, part) in [
        ("join", join as fn(&Arc<Context>) -> Outcome),
        ("wait", wait),
        ("elapsed", elapsed),
        ("memory", memory),
    ] {
        part(&context).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: ok");
    }
    context.synchronize()?;
    Ok(())
}
