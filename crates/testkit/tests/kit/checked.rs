//! What the user sees of the checked variants.

use gpu_stream_testkit::gpu_stream::{Backend, OpenCl};

use crate::program::{Output, Run};

/// Runs one of the samples on one backend.
fn sample(name: &str) -> Run {
    Run::of(&format!("samples::{name}")).arg("--exact")
}

/// Returns the line of a sample that ends with a comment, as reports have it.
fn place(comment: &str) -> String {
    let source = include_str!("samples.rs");
    let line = source.lines().position(|line| line.ends_with(comment)).expect("the line exists");
    format!("{}:{}:", file!().replace("checked.rs", "samples.rs"), line + 1)
}

/// The checked variants that run here. Prints why `checked_opencl` does not.
fn checked() -> Vec<&'static str> {
    let mut all = vec!["checked_host"];
    if cfg!(target_os = "linux") {
        all.push("checked_cuda_sim");
    }
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    match OpenCl::probe() {
        Err(error) if !required.contains("opencl") => {
            eprintln!("skipped: checked_opencl: {error}");
        }
        _ => all.push("checked_opencl"),
    }
    all
}

#[test]
fn missing_join_is_found_only_by_the_check() {
    sample("forgets_to_join::host").output().passed(1).omits("read-after-write");
    for name in checked() {
        let output = sample(&format!("forgets_to_join::{name}")).output().failed();
        let output = output.says("error[read-after-write]: `caller` reads `number` with no wait");
        let output = output.says(&format!("--> {}", place("// found: the read")));
        let output = output.says(&format!("--> {}", place("// found: the write")));
        let output = output.says("= help: call `caller.wait_stream(&side)?` before ");
        let output = output.says(&format!("{name} failed: the check found read-after-write at "));
        assert_eq!(count(&output, "error[read-after-write]"), 1, "{output:#?}");
    }
}

fn count(output: &Output, text: &str) -> usize {
    output.stderr.matches(text).count() + output.stdout.matches(text).count()
}

#[test]
fn failure_has_its_reason_and_the_findings() {
    let output = sample("forgets_to_wait::checked_host").output().failed();
    let output = output.says("the copy, behind the gate is 0 and should be 1 (samples.rs:");
    output.says("; the check found read-after-write at ").says("error[read-after-write]: ");
}

#[test]
fn warning_fails_unless_it_is_allowed() {
    sample("leaves_a_stream::host").output().passed(1);
    let run = || sample("leaves_a_stream::checked_host");
    let output = run().output().failed().says("warning[not-joined]: ");
    output.says("the check found not-joined at ").says("; call `kit.allow(\"not-joined\")?` first");
    run().env("GPU_STREAM_CHECK", "error").output().passed(1);
    run().env("GPU_STREAM_CHECK", "yes").output().failed().says("GPU_STREAM_CHECK=yes: ");
    let output = sample("leaves_a_stream_on_purpose::checked_host").arg("--nocapture").output();
    output.passed(1).omits("not-joined");
}

#[test]
fn unknown_kind_is_an_error_that_lists_all() {
    sample("allows_what_does_not_exist::host").output().passed(1);
    let output = sample("allows_what_does_not_exist::checked_host").output().failed();
    output
        .says("Kit::allow: \"unjoined\" is no kind of finding")
        .says(", not-joined, ")
        .says("(samples.rs:");
}

#[test]
fn skip_stays_a_skip_and_can_be_required() {
    let run = || sample("skips_with_a_stream_left::checked_host");
    run().env("GPU_STREAM_REQUIRE", "host").output().passed(1).says("the moon is not full");
    let output = run().env("GPU_STREAM_REQUIRE", "checked_host").output().failed();
    output.says("GPU_STREAM_REQUIRE says that checked_host must not skip");
}

#[test]
fn findings_before_a_hang_are_printed() {
    let run = sample("hangs_after_a_race::checked_host").env("GPU_STREAM_TESTKIT_LIMIT", "5");
    run.output().failed().says("still running after 5s").says("error[write-after-write]: ");
}
