//! Cases that run on a device: [`run`], [`skip`].

use std::any::Any;
use std::process::ExitCode;

use gpu_stream_core::{Backend, BackendKind, Error, ErrorKind};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test case: its name, and its function.
pub type Case = (&'static str, fn());

/// Runs the cases one after the other, each on a new thread. A case fails by a panic. Without a device all
/// are skipped, which is a failure if `GPU_STREAM_REQUIRE` names the backend.
pub fn run<B, F>(cases: impl IntoIterator<Item = (&'static str, F)>) -> ExitCode
where
    B: Backend,
    F: FnOnce() + Send + 'static,
{
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let missing = B::probe().err().map(|error| error.to_string());
    let trials = cases.into_iter().map(|(name, case)| {
        let missing = missing.clone();
        Trial::ignorable_test(name, move || match missing {
            None => {
                // A new thread, which has never called the driver.
                let outcome = std::thread::Builder::new().name(name.into()).spawn(case)?.join();
                match outcome.map_err(skip_reason) {
                    Ok(()) => Ok(Completion::Completed),
                    Err(Some(reason)) => Ok(Completion::ignored_with(reason)),
                    Err(None) => Err(Failed::from("see the panic above")),
                }
            }
            Some(reason) if is_required(B::KIND) => Err(Failed::from(format!(
                "skipped, but GPU_STREAM_REQUIRE names {}: {reason}",
                B::KIND
            ))),
            Some(reason) => Ok(Completion::ignored_with(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Returns `true` if `GPU_STREAM_REQUIRE` names the backend.
pub fn is_required(backend: BackendKind) -> bool {
    let required = std::env::var("GPU_STREAM_REQUIRE").unwrap_or_default();
    required.split(',').any(|item| item.trim().split(':').next() == Some(backend.name()))
}

/// The panic payload of [`skip`].
struct Skipped(String);

/// Ends a case that cannot run here. It counts as ignored, and the reason is printed.
pub fn skip(reason: &str) -> ! {
    std::panic::resume_unwind(Box::new(Skipped(reason.into())))
}

/// Returns the reason of [`skip`], or `None` for another panic.
pub(crate) fn skip_reason(panic: Box<dyn Any + Send>) -> Option<String> {
    panic.downcast::<Skipped>().ok().map(|skipped| skipped.0)
}

/// Checks that `result` is an error of this kind. Returns its text.
#[track_caller]
pub fn expect_kind<T, E: Error>(what: &str, result: Result<T, E>, kind: ErrorKind) -> String {
    match result {
        Ok(_) => panic!("{what} succeeded, but should be rejected with {kind}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what}: {error}");
            error.to_string()
        }
    }
}

/// Lists test cases under the names of their functions.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name)),*] };
}
