//! The whole suite on `Any`: a stream that is chosen at run time upholds the contract as the stream
//! inside does.

mod any_fixture;

use any_fixture::AnyFixture;
use gpu_stream::{Backend, Host};
use gpu_stream_conformance::fixtures::HostFixture;
use gpu_stream_conformance::{Required, Suite, SuiteOf, Verdict};

/// The case with a device of an unknown backend. To a vendor's backend it belongs to another one;
/// to `Any` it belongs to one that this build does not have.
const NOT_COMPILED_HERE: &str = "device_of_another_backend";

/// The areas in which some cases have nothing to check on `Any` over the host.
const LACKING: [&str; 8] = [
    "await_failures",
    "blocking",
    "captures",
    "dynamic",
    "identity",
    "own_context",
    "reset",
    "retention_failures",
];

#[test]
fn any_passes_the_suite() {
    let suite = SuiteOf::new(AnyFixture(HostFixture::new()));
    let required = Required::from_env(&[]).expect("GPU_STREAM_REQUIRE names backends");
    let (mut passed, mut wrong) = (0, Vec::new());
    for (index, case) in suite.cases().iter().enumerate() {
        let outcome = required.apply(Host::KIND, suite.run(index).outcome);
        let may_pass = case.name != NOT_COMPILED_HERE;
        match outcome {
            Ok(()) if may_pass => passed += 1,
            Ok(()) => wrong.push(format!("{} passes; remove it from the exceptions", case.name)),
            // `Any` is made of the object-safe form and has none itself. The host inside has no
            // graphs, blocking streams or contexts. Otherwise a second device is missing.
            Err(Verdict::Skipped(skip)) if !skip.is_by_nature() || LACKING.contains(&case.area) => {
                println!("skipped: {}: {}", case.name, skip.reason());
            }
            Err(Verdict::Failed(_)) if !may_pass => {}
            Err(verdict) => wrong.push(format!("{}: {}", case.name, verdict.reason())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed >= 100, "only {passed} cases ran");
}
