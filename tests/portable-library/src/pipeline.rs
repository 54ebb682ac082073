//! Stages of work on several streams, between two pieces of work of the caller's stream:
//! [`Pipeline`].

use std::sync::Arc;

use gpu_stream::prelude::*;

/// A stage. It is called for every lane, with the lane's number, on a thread of the backend's
/// choice.
pub type Stage = Arc<dyn Fn(usize) + Send + Sync>;

/// Stages that run one after the other, each on several lanes in parallel.
///
/// The lanes are the pipeline's own streams. [`run`](Self::run) inserts the whole pipeline into the
/// caller's stream, as if it were one piece of work there.
#[derive(Debug)]
pub struct Pipeline<B: Backend> {
    lanes: Vec<B::Stream>,
}

impl<B: Backend> Pipeline<B> {
    /// Makes a pipeline with `lanes` streams in the context of `caller`. Keep it: making streams costs
    /// many times what ordering them does.
    ///
    /// # Errors
    /// As [`Stream::new_stream`].
    pub fn new<S: Stream<Backend = B>>(caller: &S, lanes: usize) -> Result<Self, B::Error> {
        let new_stream = |_| caller.new_stream(StreamOptions::new());
        Ok(Pipeline { lanes: (0..lanes).map(new_stream).collect::<Result<_, _>>()? })
    }

    /// Returns the streams, one for each lane.
    pub fn lanes(&self) -> &[B::Stream] {
        &self.lanes
    }

    /// Submits `stages`, after all current work of `caller` and before all its later work. Does not
    /// block.
    ///
    /// No lane begins a stage before all lanes have ended the previous one.
    ///
    /// # Errors
    /// The backend's errors. Work that was submitted before the error still runs, and the caller's
    /// later work runs after it if the backend allows.
    pub fn run<S: Stream<Backend = B>>(
        &self,
        caller: &S,
        stages: &[Stage],
    ) -> Result<(), B::Error> {
        caller.fork(&self.lanes)?;
        let submitted = self.submit(stages);
        // Join even after an error: the caller may free what the stages use as soon as its own
        // stream is done.
        let joined = caller.join(&self.lanes);
        submitted.and(joined)
    }

    fn submit(&self, stages: &[Stage]) -> Result<(), B::Error> {
        for (number, stage) in stages.iter().enumerate() {
            if number > 0 {
                self.barrier()?;
            }
            for (index, lane) in self.lanes.iter().enumerate() {
                let stage = Arc::clone(stage);
                lane.launch_host_func(Box::new(move || stage(index)))?;
            }
        }
        Ok(())
    }

    /// Makes every lane wait for every other (a barrier).
    fn barrier(&self) -> Result<(), B::Error> {
        let Some((first, others)) = self.lanes.split_first() else { return Ok(()) };
        first.join(others)?;
        first.fork(others)
    }
}
