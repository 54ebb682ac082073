//! The bugs of `corpus` on the HIP backend, over the simulated HSA runtime with two devices.

mod corpus;

use std::process::ExitCode;

use corpus::blocking;
use gpu_stream_checked::Checked;
use gpu_stream_hip::Hip;

type B = Checked<Hip>;

fn main() -> ExitCode {
    // SAFETY: no other thread is running yet.
    unsafe { std::env::set_var("HSA_SIM_GPUS", "2") };
    if let Err(reason) = hsa_sim::preload() {
        eprintln!("note: HIP is not tested here: {reason}");
    }
    let (mut bugs, mut right) = (corpus::bugs::<B>(), corpus::right::<B>());
    bugs.extend(blocking::bugs::<B>());
    right.extend(blocking::right::<B>());
    corpus::check::main::<Hip>(bugs, right)
}
