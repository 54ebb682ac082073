//! The macros that make one test for each backend.

/// Makes a `#[test]` of each function for each backend that is compiled in.
///
/// A function `my_order` gives a module of its name with the tests `my_order::host`, and by the features
/// of this crate `my_order::cuda`, `my_order::cuda_sim`, `my_order::hip`, `my_order::hip_sim` and
/// `my_order::opencl`. The feature `checked` adds `my_order::checked_host`, `my_order::checked_cuda_sim`,
/// `my_order::checked_hip_sim` and `my_order::checked_opencl`, whose backend is a `gpu_stream::Checked`.
///
/// Each function has the signature `fn my_order<B: TestBackend>(kit: &Kit<B>) -> TestResult`. `B` can have
/// traits of yours beside it, which each backend that is compiled in must implement:
///
/// ```
/// use gpu_stream_testkit::gpu_stream::prelude::*;
/// use gpu_stream_testkit::{Kit, TestBackend, TestResult};
///
/// /// The library's kernels on a backend.
/// trait Kernels: Backend {
///     fn fill(stream: &Self::Stream) -> Result<(), Self::Error>;
/// }
///
/// impl<B: Backend> Kernels for B {
///     fn fill(stream: &B::Stream) -> Result<(), B::Error> {
///         stream.launch_host_func(Box::new(|| ()))
///     }
/// }
///
/// gpu_stream_testkit::backend_tests! {
///     fn fills<B: TestBackend + Kernels>(kit: &Kit<B>) -> TestResult {
///         Ok(B::fill(&kit.new_stream()?)?)
///     }
/// }
/// # fn main() {}
/// ```
///
/// Its doc comment is the description of the test in a report. `#[ignore]` applies to the tests, and any other
/// attribute to the function and the module. Write the macro in a module, not in a function: a test
/// finds itself by its path.
///
/// The [crate's documentation](crate) has an example.
#[macro_export]
macro_rules! backend_tests {
    ($($tests:tt)*) => { $crate::__backend_tests! { @all tests $($tests)* } };
}

/// Makes the `main` of a test target without libtest, with the tests of [`backend_tests!`].
///
/// A skipped test is then listed and counted as `ignored`, with its reason. In `Cargo.toml`:
///
/// ```toml
/// [[test]]
/// name = "backends"
/// harness = false
/// ```
///
/// All functions of the target stand in one call, at the top of its file. Ordinary `#[test]` functions do
/// not run in such a target.
#[macro_export]
macro_rules! backend_main {
    ($($tests:tt)*) => { $crate::__backend_tests! { @all main $($tests)* } };
}

/// Reads all functions at once, so that their number has no limit, and then the attributes of each.
///
/// The attributes are sorted into docs, those of the tests, and those of function and module.
#[doc(hidden)]
#[macro_export]
macro_rules! __backend_tests {
    (@all $mode:ident $(
        $(#[$($attribute:tt)*])*
        fn $name:ident<$backend:ident: $($bound:ident)::+ $(+ $($more:ident)::+)* $(,)?>(
            $kit:ident: $argument:ty $(,)?
        ) -> $result:ty
        $body:block
    )*) => {
        $(
            $crate::__backend_tests! {
                @item $mode [] [] [] $(#[$($attribute)*])*
                fn $name [$backend: $($bound)::+ $(+ $($more)::+)*] [$kit: $argument] [$result] $body
            }
        )*
        $crate::__backend_tests! { @end $mode $($name)* }
    };
    (@all $($tests:tt)*) => {
        ::std::compile_error!(
            "a test of the test kit is `fn name<B: TestBackend>(kit: &Kit<B>) -> TestResult { … }`; \
             further bounds of `B` are paths without `<…>` or a leading `::`, as in `B: TestBackend + Kernels`"
        );
    };

    (@end tests $($name:ident)*) => {};
    (@end main $($name:ident)*) => {
        fn main() -> ::std::process::ExitCode {
            let mut all = ::std::vec::Vec::new();
            $( all.extend($name::variants()); )*
            $crate::harness::main(all)
        }
    };

    (@item $mode:ident [$($doc:literal)*] $test:tt $item:tt #[doc = $text:literal] $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode [$($doc)* $text] $test $item $($rest)+ }
    };
    (@item $mode:ident $doc:tt [$($test:tt)*] $item:tt #[ignore $($why:tt)*] $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode $doc [$($test)* #[ignore $($why)*]] $item $($rest)+ }
    };
    (@item $mode:ident $doc:tt $test:tt [$($item:tt)*] #[$($other:tt)*] $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode $doc $test [$($item)* #[$($other)*]] $($rest)+ }
    };
    (
        @item $mode:ident [$($doc:literal)*] $test:tt [$($item:tt)*]
        fn $name:ident [$($generics:tt)*] [$($kit:tt)*] [$result:ty] $body:block
    ) => {
        $($item)*
        $(#[doc = $doc])*
        fn $name<$($generics)*>($($kit)*) -> $result $body

        $($item)*
        mod $name {
            const TEST: $crate::run::Test = $crate::run::Test {
                package: env!("CARGO_PKG_NAME"),
                path: module_path!(),
                binary: option_env!("CARGO_BIN_NAME"),
                about: concat!($($doc),*),
            };
            $crate::__backend_tests! { @$mode $name $test }
        }
    };

    (@tests $name:ident [$($test:tt)*]) => {
        $crate::__backend_tests! { @test $name [$($test)*] host Host gpu_stream::Host }
        $crate::__with_cuda! {
            $crate::__backend_tests! { @test $name [$($test)*] cuda Cuda gpu_stream::Cuda }
            $crate::__backend_tests! { @test $name [$($test)*] cuda_sim CudaSim gpu_stream::Cuda }
        }
        $crate::__with_hip! {
            $crate::__backend_tests! { @test $name [$($test)*] hip Hip gpu_stream::Hip }
            $crate::__backend_tests! { @test $name [$($test)*] hip_sim HipSim gpu_stream::Hip }
        }
        $crate::__with_opencl! {
            $crate::__backend_tests! { @test $name [$($test)*] opencl OpenCl gpu_stream::OpenCl }
        }
        $crate::__with_checked! {
            $crate::__backend_tests! { @test $name [$($test)*] checked_host CheckedHost run::CheckedHost }
            $crate::__with_cuda! {
                $crate::__backend_tests! {
                    @test $name [$($test)*] checked_cuda_sim CheckedCudaSim run::CheckedCuda
                }
            }
            $crate::__with_hip! {
                $crate::__backend_tests! {
                    @test $name [$($test)*] checked_hip_sim CheckedHipSim run::CheckedHip
                }
            }
            $crate::__with_opencl! {
                $crate::__backend_tests! {
                    @test $name [$($test)*] checked_opencl CheckedOpenCl run::CheckedOpenCl
                }
            }
        }
    };
    (@test $name:ident [$($test:tt)*] $variant:ident $target:ident $module:ident::$backend:ident) => {
        $($test)*
        #[test]
        fn $variant() {
            $crate::run::test::<$crate::$module::$backend>(
                &TEST, $crate::run::Target::$target, super::$name,
            );
        }
    };

    (@main $name:ident [$($test:tt)*]) => {
        pub(super) fn variants() -> ::std::vec::Vec<$crate::harness::Variant> {
            let mut all = ::std::vec::Vec::new();
            $crate::__backend_tests! { @variant all $name [$($test)*] Host gpu_stream::Host }
            $crate::__with_cuda! {
                $crate::__backend_tests! { @variant all $name [$($test)*] Cuda gpu_stream::Cuda }
                $crate::__backend_tests! { @variant all $name [$($test)*] CudaSim gpu_stream::Cuda }
            }
            $crate::__with_hip! {
                $crate::__backend_tests! { @variant all $name [$($test)*] Hip gpu_stream::Hip }
                $crate::__backend_tests! { @variant all $name [$($test)*] HipSim gpu_stream::Hip }
            }
            $crate::__with_opencl! {
                $crate::__backend_tests! { @variant all $name [$($test)*] OpenCl gpu_stream::OpenCl }
            }
            $crate::__with_checked! {
                $crate::__backend_tests! { @variant all $name [$($test)*] CheckedHost run::CheckedHost }
                $crate::__with_cuda! {
                    $crate::__backend_tests! {
                        @variant all $name [$($test)*] CheckedCudaSim run::CheckedCuda
                    }
                }
                $crate::__with_hip! {
                    $crate::__backend_tests! {
                        @variant all $name [$($test)*] CheckedHipSim run::CheckedHip
                    }
                }
                $crate::__with_opencl! {
                    $crate::__backend_tests! {
                        @variant all $name [$($test)*] CheckedOpenCl run::CheckedOpenCl
                    }
                }
            }
            all
        }
    };
    (@variant $all:ident $name:ident [$($test:tt)*] $target:ident $module:ident::$backend:ident) => {
        $all.push($crate::harness::Variant {
            test: TEST,
            target: $crate::run::Target::$target,
            is_ignored: !stringify!($($test)*).is_empty(),
            run: || {
                $crate::run::outcome::<$crate::$module::$backend>(
                    &TEST, $crate::run::Target::$target, super::$name,
                )
            },
        });
    };
}

/// Expands to its argument if this crate has the feature `cuda`.
#[cfg(feature = "cuda")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_cuda {
    ($($item:tt)*) => { $($item)* };
}

/// Expands to nothing, because this crate lacks the feature `cuda`.
#[cfg(not(feature = "cuda"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_cuda {
    ($($item:tt)*) => {};
}

/// Expands to its argument if this crate has the feature `hip`.
#[cfg(feature = "hip")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_hip {
    ($($item:tt)*) => { $($item)* };
}

/// Expands to nothing, because this crate lacks the feature `hip`.
#[cfg(not(feature = "hip"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_hip {
    ($($item:tt)*) => {};
}

/// Expands to its argument if this crate has the feature `checked`.
#[cfg(feature = "checked")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_checked {
    ($($item:tt)*) => { $($item)* };
}

/// Expands to nothing, because this crate lacks the feature `checked`.
#[cfg(not(feature = "checked"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_checked {
    ($($item:tt)*) => {};
}

/// Expands to its argument if this crate has the feature `opencl`.
#[cfg(feature = "opencl")]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_opencl {
    ($($item:tt)*) => { $($item)* };
}

/// Expands to nothing, because this crate lacks the feature `opencl`.
#[cfg(not(feature = "opencl"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __with_opencl {
    ($($item:tt)*) => {};
}
