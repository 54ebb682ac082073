//! No call changes the thread's current context or its capture mode, whether it succeeds or not.

mod support;

use std::process::ExitCode;

use gpu_stream_test_support::shared::thread_as_found::{
    objects_dropped_on_another_thread, while_work_is_pending,
};
use support::{OnCuda, operations};

fn main() -> ExitCode {
    support::main(&[
        ("every_call", every_call),
        ("while_work_is_pending", while_work_is_pending::<OnCuda>),
        ("objects_dropped_on_another_thread", objects_dropped_on_another_thread::<OnCuda>),
    ])
}

fn every_call() {
    // The capture continues on the thread that created `world`: this one.
    let world = operations::World::new();
    operations::run_all(&world, &|_| (), &|_| ());
    let counted = operations::all(&world).len();
    eprintln!("{counted} calls, with 3 contexts and 3 capture modes");
}
