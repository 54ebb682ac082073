//! The cases, for the backend of a fixture and for [`Any`] around it. With the feature `checked`, they also run on the
//! backend with a check, which must find nothing.
//!
//! The caller's stream is a foreign one. Gates hold streams back, and the results would be wrong if something did not
//! wait. All numbers are whole and small, so that sums are exact in any order.

mod captures;
mod numbers;
mod order;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use gpu_stream::prelude::*;
use gpu_stream::{Any, AnyStream, PlainHandles};
use gpu_stream_conformance::{Fixture, Verdict};
use gpu_stream_portable_library::{Error, Kernels, Result, Vector};
use gpu_stream_test_support::{is_required, skip};

/// A backend under test, whose streams are those of the vendor `V`, or a type around them.
pub trait Around<V: Backend>: Kernels {
    /// Returns the stream as this backend's type.
    fn around(stream: &V::Stream) -> Self::Stream;
}

impl<V: PlainHandles> Around<V> for Any {
    fn around(stream: &V::Stream) -> AnyStream {
        AnyStream::new(stream.clone())
    }
}

/// A backend, and the same one with a check. Without the feature `checked` there is no check.
pub trait WithCheck: PlainHandles + Around<Self> {
    /// The backend with a check.
    type Checked: Around<Self>;

    /// Takes what the check has found so far, as a text. It is empty if nothing was found.
    fn take_findings() -> String;
}

macro_rules! around_itself {
    ($($(#[$only:meta])* $backend:ident)*) => {$(
        $(#[$only])*
        impl Around<gpu_stream::$backend> for gpu_stream::$backend {
            fn around(stream: &Self::Stream) -> Self::Stream {
                stream.clone()
            }
        }

        $(#[$only])*
        #[cfg(not(feature = "checked"))]
        impl WithCheck for gpu_stream::$backend {
            type Checked = Self;

            fn take_findings() -> String {
                String::new()
            }
        }

        $(#[$only])*
        #[cfg(feature = "checked")]
        impl WithCheck for gpu_stream::$backend {
            type Checked = gpu_stream::Checked<Self>;

            fn take_findings() -> String {
                let report = Self::Checked::report();
                if report.is_empty() { String::new() } else { report.to_string() }
            }
        }

        $(#[$only])*
        #[cfg(feature = "checked")]
        impl Around<gpu_stream::$backend> for gpu_stream::Checked<gpu_stream::$backend> {
            fn around(stream: &<gpu_stream::$backend as Backend>::Stream) -> Self::Stream {
                Self::wrap(stream.clone())
            }
        }
    )*};
}

around_itself! {
    Host
    #[cfg(feature = "cuda")]
    Cuda
    #[cfg(feature = "hip")]
    Hip
    #[cfg(feature = "opencl")]
    OpenCl
}

/// The fixture, and why results cannot be checked if kernels do not run.
pub struct Setup<F> {
    pub fixture: F,
    no_results: Option<&'static str>,
}

/// A stream as the vendor's type, for the fixture, and as the type under test.
pub struct Pair<V: Backend, B: Backend> {
    pub vendor: V::Stream,
    pub stream: B::Stream,
}

impl<F: Fixture<Backend: PlainHandles>> Setup<F> {
    pub fn device(&self) -> Device {
        need(self.fixture.devices())[0]
    }

    /// Wraps a stream that was created without gpu-stream.
    pub fn foreign<B: Around<F::Backend>>(&self) -> Pair<F::Backend, B> {
        let owner = need(self.fixture.foreign(self.device(), StreamOptions::new()));
        let vendor = F::Backend::stream_from_owner(Arc::new(owner), None).unwrap();
        Pair { stream: B::around(&vendor), vendor }
    }

    /// Creates streams of the library's own.
    pub fn lanes<B: Around<F::Backend>>(
        &self,
        caller: &Pair<F::Backend, B>,
        count: usize,
    ) -> (Vec<<F::Backend as Backend>::Stream>, Vec<B::Stream>) {
        let new_stream = |_| caller.vendor.new_stream(StreamOptions::new()).unwrap();
        let vendor: Vec<_> = (0..count).map(new_stream).collect();
        let lanes = vendor.iter().map(B::around).collect();
        (vendor, lanes)
    }

    /// Holds the stream back until the gate is opened.
    pub fn gate(&self, stream: &<F::Backend as Backend>::Stream) -> F::Gate {
        need(self.fixture.gate(stream))
    }

    /// Checks the numbers, if kernels run.
    #[track_caller]
    pub fn check<B: Kernels>(&self, what: &str, vector: &Vector<B>, wanted: &[f32]) {
        let seen = vector.to_vec().unwrap();
        if self.no_results.is_none() {
            assert_eq!(seen, wanted, "{what}");
        }
    }

    /// Ends a case that is about results only. Without them it counts as skipped.
    pub fn end(&self) {
        if let Some(reason) = self.no_results {
            skip(&format!("all calls succeeded, and the results were not checked: {reason}"));
        }
    }
}

/// Returns what the fixture made, or skips the case if it cannot make that here.
#[track_caller]
pub fn need<T>(made: std::result::Result<T, Verdict>) -> T {
    match made {
        Ok(made) => made,
        Err(Verdict::Skipped(reason)) => skip(reason.reason()),
        Err(Verdict::Failed(reason)) => panic!("{reason}"),
    }
}

/// A vector of the numbers 0 to 4, repeated.
pub fn counting(len: usize) -> Vec<f32> {
    (0..len).map(|index| (index % 5) as f32).collect()
}

pub fn sum_of(values: &[f32]) -> f32 {
    values.iter().sum()
}

/// Checks that the library has kernels for the device. A build without a compiler for them has none.
fn have_kernels<B: Kernels>(stream: &B::Stream) {
    match B::launcher(stream) {
        Err(Error::NoKernels(reason)) if !is_required(stream.device().backend()) => skip(&reason),
        Err(error) => panic!("{error}"),
        Ok(_) => {}
    }
}

pub type Case<F> = (&'static str, fn(&Setup<F>));

/// Runs all cases on the fixture's backend, on [`Any`], and with the feature `checked` with a check. Runs the backend's
/// `own_cases` too. `no_results` says why kernels compute nothing here.
pub fn run<F>(
    fixture: Result<F, String>,
    no_results: Option<&'static str>,
    own_cases: &[Case<F>],
) -> ExitCode
where
    F: Fixture<Backend: WithCheck>,
{
    if let Some(reason) = no_results {
        eprintln!("note: results are not checked here, and order is: {reason}");
    }
    let setup = Arc::new(fixture.map(|fixture| Setup { fixture, no_results }));
    let own = cases::<F, F::Backend>().into_iter().chain(own_cases.iter().copied());
    let own = own.map(|case| (case, F::Backend::KIND.name()));
    let any = cases::<F, Any>().into_iter().map(|case| (case, "any"));
    let checked = cases::<F, <F::Backend as WithCheck>::Checked>().into_iter();
    let checked = checked.map(|case| (case, "checked")).filter(|_| cfg!(feature = "checked"));
    let cases = own.chain(any).chain(checked).map(|((name, case), backend)| {
        let setup = Arc::clone(&setup);
        let name: &'static str = Box::leak(format!("{backend}::{name}").into_boxed_str());
        let run = move || match &*setup {
            Ok(setup) => {
                have_kernels::<F::Backend>(
                    &F::Backend::new_stream(setup.device(), StreamOptions::new()).unwrap(),
                );
                let ended = catch_unwind(AssertUnwindSafe(|| case(setup)));
                // Also of a case that is skipped, because kernels compute nothing: its calls were checked.
                let findings = F::Backend::take_findings();
                assert!(findings.is_empty(), "the check finds what is not wrong:\n{findings}");
                ended.unwrap_or_else(|panic| resume_unwind(panic));
            }
            Err(reason) => panic!("{reason}"),
        };
        (name, run)
    });
    gpu_stream_test_support::run::<F::Backend, _>(cases)
}

fn cases<F, B>() -> Vec<Case<F>>
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    macro_rules! list {
        ($($module:ident::$case:ident),* $(,)?) => {
            vec![$((stringify!($case), $module::$case::<F, B> as fn(&Setup<F>))),*]
        };
    }
    list![
        numbers::results_are_right_for_every_length,
        numbers::wrong_arguments_are_errors,
        numbers::default_streams_can_be_the_caller,
        numbers::thread_is_left_as_found,
        order::lanes_wait_for_the_caller,
        order::caller_waits_for_the_lanes,
        order::vector_of_another_stream_is_used_in_order,
        order::dropped_vector_is_freed_after_its_work,
        captures::new_vector_in_a_capture_is_an_error,
        captures::captured_work_runs_at_each_launch,
        captures::captured_sum_allocates_in_the_graph,
    ]
}
