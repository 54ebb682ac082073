//! Sample.

use gpu_stream_testkit::gpu_stream::prelude::*;
use gpu_stream_testkit::{Kit, TestBackend, TestResult, check_eq};

gpu_stream_testkit::backend_tests! {
    /// A stream that waits for another does its work afterwards.
    fn waits<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (theirs, ours) = (kit.foreign_stream()?, kit.new_stream()?);
        let (from, to) = (kit.number(0)?, kit.number(0)?);
        let gate = kit.gate(&theirs)?;
        from.store(&theirs, 7)?;
        ours.wait_stream(&theirs)?;
        from.copy_to(&ours, &to)?;
        kit.settle(&[&theirs, &ours]);
        check_eq("the copy, behind the gate", to.get()?, 0)?;
        gate.open();
        ours.synchronize()?;
        check_eq("the copy", to.get()?, 7)
    }
}
