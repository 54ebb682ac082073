//! One round: the application's stream writes, all ranks are summed, and the application's stream reads.

use gpu_stream::Reclaimer;
use gpu_stream::prelude::*;
use gpu_stream::retain::Refused;

use crate::device::{DeviceBuffer, Driver, Failed, Gate, Gpu, PinnedBuffer};
use crate::nccl::{Communicator, Nccl};

/// The numbers in each buffer: 1 MiB.
const WORDS: usize = 1 << 18;

/// A rank of the communicator, on a device of this process.
pub struct Rank<B: Backend> {
    pub number: usize,
    pub device: Device,
    /// The application's stream. In a real program it comes from torch, or from another library.
    caller: B::Stream,
    /// Our own stream for the collectives, so that the caller's later work can run beside them.
    side: B::Stream,
    communicator: Communicator,
    /// What the application's work copies into the buffer that is sent.
    source: DeviceBuffer,
    receive: DeviceBuffer,
    /// What the application reads in the end.
    seen: PinnedBuffer,
}

/// Which wait a round leaves out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Without {
    Nothing,
    /// The collective does not wait for the application's work.
    WaitBefore,
    /// The application does not wait for the collective.
    WaitAfter,
}

impl<B: Gpu> Rank<B> {
    /// Creates the streams and buffers. The device is current.
    pub fn new(
        driver: &'static Driver,
        number: usize,
        device: Device,
        communicator: Communicator,
    ) -> Result<Self, Failed> {
        let caller = B::new_stream(device, StreamOptions::new())?;
        let side = caller.new_stream(StreamOptions::new())?;
        Ok(Rank {
            number,
            device,
            side,
            communicator,
            source: driver.alloc(WORDS)?,
            receive: driver.alloc(WORDS)?,
            seen: driver.alloc_pinned(WORDS)?,
            caller,
        })
    }

    /// Writes the rank's number for the round, and 0 into the buffers whose earlier numbers the controls must not see.
    fn prepare(&self, send: &DeviceBuffer, value: u32) -> Result<(), Failed> {
        self.source.fill(value, &self.caller)?;
        send.fill(0, &self.caller)?;
        self.receive.fill(0, &self.caller)?;
        Ok(self.caller.synchronize()?)
    }

    /// Waits for the rank's work.
    pub fn synchronize(&self) -> Result<(), Failed> {
        self.side.synchronize()?;
        Ok(self.caller.synchronize()?)
    }
}

/// What a round of all ranks of this process needs.
pub struct Job<'a, B: Gpu> {
    pub driver: &'static Driver,
    pub nccl: &'static Nccl,
    pub ranks: &'a [Rank<B>],
    /// The number of ranks in all processes.
    pub total: usize,
    pub kept: &'a Reclaimer<B>,
}

impl<B: Gpu> Job<'_, B> {
    /// Runs an all-reduce with nothing to wait for. The first one connects the ranks and loads kernels, which can wait for
    /// all work of a device, and so for a gate.
    pub fn warm_up(&self) -> Result<(), Failed> {
        self.nccl.group(|| {
            let mut ranks = self.ranks.iter();
            ranks.try_for_each(|rank| {
                rank.communicator.all_reduce(&rank.receive, &rank.receive, &rank.side)
            })
        })?;
        self.ranks.iter().try_for_each(Rank::synchronize)
    }

    /// Runs a round in which each rank contributes `round * 100 + rank + 1`. Returns the number of ranks of this process
    /// that have seen another sum.
    pub fn round(&self, round: u32, without: Without) -> Result<usize, Failed> {
        let value = |rank: usize| round * 100 + rank as u32 + 1;
        let expected: u32 = (0..self.total).map(value).sum();
        let mut buffers = Vec::new();
        for rank in self.ranks {
            B::make_current(self.driver, rank.device)?;
            let send = self.driver.alloc(WORDS)?;
            rank.prepare(&send, value(rank.number))?;
            buffers.push(send);
        }

        // The application's work, held until everything is submitted. A gate stands for work that takes long.
        let mut gates = Vec::new();
        for (rank, send) in self.ranks.iter().zip(&buffers) {
            B::make_current(self.driver, rank.device)?;
            let held = if without == Without::WaitAfter { &rank.side } else { &rank.caller };
            gates.push(Gate::shut(self.driver, held)?);
            send.copy_from(&rank.source, &rank.caller)?;
            if without != Without::WaitBefore {
                rank.side.wait_stream(&rank.caller)?; // after the application's work
            }
        }
        self.nccl.group(|| {
            let mut pairs = self.ranks.iter().zip(&buffers);
            pairs.try_for_each(|(rank, send)| {
                rank.communicator.all_reduce(send, &rank.receive, &rank.side)
            })
        })?;
        for (rank, send) in self.ranks.iter().zip(buffers) {
            B::make_current(self.driver, rank.device)?;
            if without == Without::WaitBefore {
                rank.side.synchronize()?; // the collective is over, and the application has not begun
            }
            if without != Without::WaitAfter {
                rank.caller.wait_stream(&rank.side)?; // before the application's later work
            }
            rank.receive.copy_to_host(&rank.seen, &rank.caller)?;
            if without == Without::WaitAfter {
                rank.caller.synchronize()?; // the application is done, and the collective has not begun
            }
            // Freed when both streams are done with it. The host does not wait.
            self.kept.retain(send, &[&rank.caller, &rank.side]).map_err(Refused::leak)?;
        }
        let freed = self.kept.collect()?.dropped;
        if freed > 0 {
            return Err(format!("{freed} buffers were freed while a gate was shut").into());
        }

        gates.iter_mut().for_each(Gate::open);
        let mut wrong = 0;
        for rank in self.ranks {
            rank.synchronize()?;
            wrong += usize::from(rank.seen.ends() != (expected, expected));
        }
        let freed = self.kept.collect()?.dropped;
        if freed != self.ranks.len() {
            return Err(format!("{freed} of {} buffers were freed", self.ranks.len()).into());
        }
        Ok(wrong)
    }
}
