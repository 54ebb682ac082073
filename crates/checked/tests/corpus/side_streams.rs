//! Copies and kernels on side streams.

use gpu_stream_core::{Backend, EventOptions, Stream};

use super::support::{Outcome, again, memory, stream};

/// A copy to the device and the kernel that reads it are on two streams.
///
/// Mended: both are on one.
pub fn upload_and_kernel<B: Backend>(mended: bool) -> Outcome<B> {
    let kernel = stream::<B>()?;
    let upload = if mended { kernel.clone() } else { stream::<B>()? };
    let polynomial = memory("polynomial");
    upload.writes(&polynomial); // first
    kernel.reads(&polynomial); // second
    Ok(())
}

/// A download on a side stream begins before the kernel whose result it copies is done.
///
/// Mended: the side stream first waits for the main stream.
pub fn download_before_the_producer<B: Backend>(mended: bool) -> Outcome<B> {
    let main = stream::<B>()?;
    let copy = stream::<B>()?;
    let (result, host) = (memory("result"), memory("offloaded"));
    main.writes(&result); // first
    if mended {
        copy.wait_stream(&main)?;
    }
    copy.reads(&result); // second
    copy.writes(&host);
    main.wait_stream(&copy)?;
    main.reads(&host);
    Ok(())
}

/// Weights are loaded on a transfer stream, and the forward pass does not wait for them.
///
/// Mended: the stream of the forward pass waits for the transfer stream.
pub fn weights_loaded_on_the_side<B: Backend>(mended: bool) -> Outcome<B> {
    let forward = stream::<B>()?;
    let transfer = stream::<B>()?;
    let weights = memory("weights");
    transfer.writes(&weights); // first
    if mended {
        forward.wait_stream(&transfer)?;
    }
    forward.reads(&weights); // second
    Ok(())
}

/// A library works on a stream of its own and returns, and nothing orders its caller after that. No access is declared.
///
/// Mended: the caller's stream waits.
pub fn library_returns_early<B: Backend>(mended: bool) -> Outcome<B> {
    let caller = stream::<B>()?;
    let own = stream::<B>()?;
    own.wait_stream(&caller)?; // first
    let _launched_on = own.raw(); // second
    if mended {
        caller.wait_stream(&own)?;
    }
    let _launched_on = caller.raw(); // before
    Ok(())
}

/// A self-test copies into a buffer whose fill with zeros is pending on the current stream.
///
/// Mended: the stream of the copy waits for the current stream.
pub fn probe_over_a_pending_fill<B: Backend>(mended: bool) -> Outcome<B> {
    let current = stream::<B>()?;
    let probe = stream::<B>()?;
    let buffer = memory("buffer");
    current.writes(&buffer); // first: the fill
    if mended {
        probe.wait_stream(&current)?;
    }
    probe.writes(&buffer); // second: the copy
    probe.synchronize()
}

/// The next batch is prefetched into the block of the last one, which the consumer still reads.
///
/// Mended: the stream of the prefetch waits for the consumer before each batch.
pub fn prefetch_over_the_last_batch<B: Backend>(mended: bool) -> Outcome<B> {
    let consumer = stream::<B>()?;
    let prefetch = stream::<B>()?;
    let mut batch = memory("batch");
    for _ in 0..3 {
        if mended {
            prefetch.wait_stream(&consumer)?;
        }
        prefetch.writes(&batch); // second
        consumer.wait_stream(&prefetch)?;
        consumer.reads(&batch); // first
        batch = again(&batch, "next batch");
    }
    Ok(())
}

/// The reduction of all ranks runs on the root's stream, and the other rank's input is written on a side stream.
///
/// Mended: the root waits for an event of each rank, and each rank for one of the root.
pub fn reduction_on_the_root<B: Backend>(mended: bool) -> Outcome<B> {
    let root = stream::<B>()?;
    let rank = stream::<B>()?;
    let (gradient, sum) = (memory("gradient"), memory("sum"));
    rank.writes(&gradient); // first
    if mended {
        root.wait_event(&rank.record_event()?)?;
    }
    root.reads(&gradient); // second
    root.writes(&sum);
    rank.wait_event(&root.record_event()?)?;
    rank.reads(&sum);
    Ok(())
}

/// Two slots are filled in turn. A slot is marked as free before its consumer is submitted.
///
/// Mended: the mark comes after the consumer.
pub fn slot_marked_too_early<B: Backend>(mended: bool) -> Outcome<B> {
    let copy = stream::<B>()?;
    let kernel = stream::<B>()?;
    let slots = [memory("slot 0"), memory("slot 1")];
    let copied = copy.new_event(EventOptions::new())?;
    let free = [kernel.new_event(EventOptions::new())?, kernel.new_event(EventOptions::new())?];
    for round in 0..4 {
        let (slot, free) = (&slots[round % 2], &free[round % 2]);
        copy.wait_event(free)?;
        copy.writes(slot); // second
        copy.record(&copied)?;
        kernel.wait_event(&copied)?;
        if !mended {
            kernel.record(free)?;
        }
        kernel.reads(slot); // first
        if mended {
            kernel.record(free)?;
        }
    }
    Ok(())
}

/// A kernel object keeps one buffer for its arguments, and is launched on two streams.
///
/// Mended: each launch has a buffer of its own.
pub fn arguments_of_two_launches<B: Backend>(mended: bool) -> Outcome<B> {
    let one = stream::<B>()?;
    let two = stream::<B>()?;
    let arguments = memory("arguments");
    one.writes(&arguments);
    one.reads(&arguments); // first
    let arguments = if mended { memory("arguments, too") } else { arguments };
    two.writes(&arguments); // second
    two.reads(&arguments);
    Ok(())
}
