//! The start of one or several processes, and the rounds.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use gpu_stream::Reclaimer;
use gpu_stream::prelude::*;

use crate::device::{Driver, Failed, Gpu};
use crate::nccl::{Communicator, Nccl, UniqueId};
use crate::rank::{Job, Rank, Without};

const ROUNDS: u32 = 20;
const USAGE: &str =
    "usage: collectives [--processes N | --rank R --ranks N [--id ID] [--device D]]";

/// The arguments.
#[derive(Default)]
struct Arguments {
    processes: Option<usize>,
    rank: Option<usize>,
    ranks: Option<usize>,
    device: Option<usize>,
    id: Option<String>,
}

impl Arguments {
    fn parse() -> Result<Self, Failed> {
        let mut parsed = Arguments::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} has no value; {USAGE}"))?;
            let number = || {
                value.parse::<usize>().map_err(|_| format!("{name} {value}: not a number; {USAGE}"))
            };
            match name.as_str() {
                "--processes" => parsed.processes = Some(number()?),
                "--rank" => parsed.rank = Some(number()?),
                "--ranks" => parsed.ranks = Some(number()?),
                "--device" => parsed.device = Some(number()?),
                "--id" => parsed.id = Some(value),
                _ => return Err(format!("{name}: unknown; {USAGE}").into()),
            }
        }
        Ok(parsed)
    }
}

pub fn run<B: Gpu>() -> Result<(), Failed> {
    let arguments = Arguments::parse()?;
    match (arguments.processes, arguments.rank, arguments.ranks) {
        (Some(processes), None, None) => start_processes(processes),
        (None, Some(rank), Some(ranks)) if rank < ranks => one_rank::<B>(&arguments, rank, ranks),
        (None, None, None) => all_devices::<B>(),
        _ => Err(USAGE.into()),
    }
}

/// Runs all devices of this process, which one thread drives.
fn all_devices<B: Gpu>() -> Result<(), Failed> {
    let (driver, nccl, devices) = (Driver::load::<B>()?, Nccl::load::<B>()?, B::devices()?);
    let id = nccl.unique_id()?;
    let total = devices.len();
    let communicators = nccl.group(|| {
        let join = |(rank, device): (usize, &Device)| {
            B::make_current(driver, *device)?;
            Communicator::new(nccl, total, id, rank)
        };
        devices.iter().enumerate().map(join).collect::<Result<Vec<_>, _>>()
    })?;
    let mut ranks = Vec::new();
    for (number, (device, communicator)) in devices.into_iter().zip(communicators).enumerate() {
        B::make_current(driver, device)?;
        ranks.push(Rank::<B>::new(driver, number, device, communicator)?);
    }
    rounds(driver, nccl, &ranks, total)
}

/// Runs one rank, whose other ranks are other processes, on this host or on others.
fn one_rank<B: Gpu>(arguments: &Arguments, number: usize, total: usize) -> Result<(), Failed> {
    let (driver, nccl) = (Driver::load::<B>()?, Nccl::load::<B>()?);
    let count = B::devices()?.len();
    let ordinal = arguments.device.unwrap_or(number % count.max(1));
    let device = B::device(u32::try_from(ordinal)?)?;
    B::make_current(driver, device)?;
    let id = match &arguments.id {
        Some(text) => UniqueId::from_hex(text)?,
        None if number == 0 => {
            let id = nccl.unique_id()?;
            println!("{}", id.to_hex());
            id
        }
        None => return Err("ranks other than 0 need --id, which rank 0 prints".into()),
    };
    let communicator = Communicator::new(nccl, total, id, number)?;
    let ranks = [Rank::<B>::new(driver, number, device, communicator)?];
    rounds(driver, nccl, &ranks, total)
}

/// Starts this program once for each rank. The id goes from rank 0 to the others, as it would between hosts.
fn start_processes(total: usize) -> Result<(), Failed> {
    let start = |rank: usize, id: Option<&str>| -> Result<Child, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--rank", &rank.to_string(), "--ranks", &total.to_string()]);
        command.args(id.iter().flat_map(|id| ["--id", id]));
        Ok(command.stdout(if id.is_some() { Stdio::inherit() } else { Stdio::piped() }).spawn()?)
    };
    let mut first = start(0, None)?;
    let mut lines = BufReader::new(first.stdout.take().ok_or("rank 0 has no output")?).lines();
    let Some(id) = lines.next().transpose()? else {
        return Err(format!("rank 0 printed no id: {}", first.wait()?).into());
    };
    let mut children = vec![];
    for rank in 1..total {
        children.push(start(rank, Some(&id))?);
    }
    for line in lines {
        println!("{}", line?);
    }
    for (rank, mut child) in std::iter::once(first).chain(children).enumerate() {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("rank {rank}: {status}").into());
        }
    }
    println!("{total} processes: ok");
    Ok(())
}

/// Runs the rounds with all waits, and the controls, which must be wrong.
fn rounds<B: Gpu>(
    driver: &'static Driver,
    nccl: &'static Nccl,
    ranks: &[Rank<B>],
    total: usize,
) -> Result<(), Failed> {
    let kept = Reclaimer::new();
    let job = Job { driver, nccl, ranks, total, kept: &kept };
    job.warm_up()?;
    let mut failed = Vec::new();
    for (without, must_be_right) in
        [(Without::Nothing, true), (Without::WaitBefore, false), (Without::WaitAfter, false)]
    {
        let mut wrong = 0;
        for round in 1..=ROUNDS {
            wrong += job.round(round, without)?;
        }
        let sums = ROUNDS as usize * ranks.len();
        let numbers: Vec<_> = ranks.iter().map(|rank| rank.number).collect();
        println!("ranks {numbers:?} of {total}, without {without:?}: {wrong} of {sums} sums wrong");
        if wrong != if must_be_right { 0 } else { sums } {
            failed.push(format!("{without:?}: {wrong} of {sums} sums are wrong"));
        }
    }
    println!("NCCL {}, ranks of this process on {:?}", nccl.version()?, devices_of(ranks));
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

fn devices_of<B: Gpu>(ranks: &[Rank<B>]) -> Vec<String> {
    ranks.iter().map(|rank| rank.device.to_string()).collect()
}
