//! The bugs of `corpus` on the host backend.

mod corpus;

use std::process::ExitCode;

use gpu_stream_checked::Checked;
use gpu_stream_host::Host;

fn main() -> ExitCode {
    type B = Checked<Host>;
    corpus::check::main::<Host>(corpus::bugs::<B>(), corpus::right::<B>())
}
