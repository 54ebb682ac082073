//! The macros that make one test for each backend.

/// Makes a `#[test]` of each function for each backend that is compiled in.
///
/// A function `my_order` gives a module of its name with the tests `my_order::host`, and by the features
/// of this crate `my_order::cuda`, `my_order::cuda_sim`, `my_order::hip` and `my_order::hip_sim`.
///
/// Each function has the signature `fn my_order<B: TestBackend>(kit: &Kit<B>) -> TestResult`. Its doc
/// comment is the description of the test in a report. `#[ignore]` applies to the tests, and any other
/// attribute to the function and the module. Write the macro in a module, not in a function: a test
/// finds itself by its path.
///
/// The [crate's documentation](crate) has an example.
#[macro_export]
macro_rules! backend_tests {
    ($($tests:tt)*) => { $crate::__backend_tests! { @next tests [] $($tests)* } };
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
    ($($tests:tt)*) => { $crate::__backend_tests! { @next main [] $($tests)* } };
}

/// Reads one function after the other, and each one's attributes.
///
/// `[$($done:ident)*]` are the functions that were read. The attributes are sorted into docs, those of
/// the tests, and those of function and module.
#[doc(hidden)]
#[macro_export]
macro_rules! __backend_tests {
    (@next tests [$($done:ident)*]) => {};
    (@next main [$($done:ident)*]) => {
        fn main() -> ::std::process::ExitCode {
            let mut all = ::std::vec::Vec::new();
            $( all.extend($done::variants()); )*
            $crate::harness::main(all)
        }
    };
    (@next $mode:ident $done:tt $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode $done [] [] [] $($rest)+ }
    };

    (@item $mode:ident $done:tt [$($doc:literal)*] $test:tt $item:tt #[doc = $text:literal] $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode $done [$($doc)* $text] $test $item $($rest)+ }
    };
    (@item $mode:ident $done:tt $doc:tt [$($test:tt)*] $item:tt #[ignore $($why:tt)*] $($rest:tt)+) => {
        $crate::__backend_tests! {
            @item $mode $done $doc [$($test)* #[ignore $($why)*]] $item $($rest)+
        }
    };
    (@item $mode:ident $done:tt $doc:tt $test:tt [$($item:tt)*] #[$($other:tt)*] $($rest:tt)+) => {
        $crate::__backend_tests! { @item $mode $done $doc $test [$($item)* #[$($other)*]] $($rest)+ }
    };
    (
        @item $mode:ident [$($done:ident)*] [$($doc:literal)*] $test:tt [$($item:tt)*]
        fn $name:ident<$backend:ident: $bound:path>($kit:ident: $argument:ty $(,)?) -> $result:ty
        $body:block
        $($rest:tt)*
    ) => {
        $($item)*
        $(#[doc = $doc])*
        fn $name<$backend: $bound>($kit: $argument) -> $result $body

        $($item)*
        mod $name {
            const TEST: $crate::run::Test = $crate::run::Test {
                package: env!("CARGO_PKG_NAME"),
                path: module_path!(),
                about: concat!($($doc),*),
            };
            $crate::__backend_tests! { @$mode $name $test }
        }

        $crate::__backend_tests! { @next $mode [$($done)* $name] $($rest)* }
    };
    (@item $mode:ident $done:tt $doc:tt $test:tt $item:tt $($rest:tt)*) => {
        ::std::compile_error!(
            "a test of the test kit is `fn name<B: TestBackend>(kit: &Kit<B>) -> TestResult { … }`"
        );
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
