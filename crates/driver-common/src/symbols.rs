//! The functions of a vendor's library, by name: the macro [`symbols!`](crate::symbols!), and [`Optional`].

use libloading::Library;

use crate::{DriverError, ResultCode};

/// A function that some versions of the library lack.
#[derive(Clone, Copy, Debug)]
pub struct Optional<F> {
    /// The function, if the library has it.
    pub function: Option<F>,
    /// Its name.
    pub name: &'static str,
    /// The first version of the vendor's toolkit that has it.
    pub since: &'static str,
}

/// Returns the function.
///
/// # Errors
/// [`MissingSymbol`](DriverError::MissingSymbol) without it, which names the first version that has it.
pub fn require<F, C: ResultCode>(
    optional: Optional<F>,
    operation: &'static str,
) -> Result<F, DriverError<C>> {
    let Optional { function, name: symbol, since } = optional;
    function.ok_or(DriverError::MissingSymbol { operation, symbol, since })
}

/// Returns the function with this name. Returns `None` if the library lacks it.
///
/// # Safety
/// - `F` is the type of a pointer to that function.
/// - The result is used only while the library is loaded.
pub unsafe fn find<F: Copy>(library: &Library, name: &str) -> Option<F> {
    // SAFETY: `F` is the function's type (caller contract).
    unsafe { library.get::<F>(name) }.ok().map(|symbol| *symbol)
}

/// Defines `Symbols`, a table of the library's functions, from a list of their names and types.
///
/// ```
/// gpu_stream_driver_common::symbols! {
///     required {
///         device_count = hipGetDeviceCount(*mut i32) -> i32;
///     }
///     optional {
///         stream_id = hipStreamGetId "7.2" (*mut u8, *mut u64) -> i32;
///     }
/// }
///
/// fn device_count(symbols: &Symbols) -> Option<i32> {
///     let mut count = 0;
///     // SAFETY: `&mut count` is a valid out-pointer.
///     let code = unsafe { (symbols.device_count)(&mut count) };
///     (code == 0).then_some(count)
/// }
/// ```
#[macro_export]
macro_rules! symbols {
    (
        required { $($required:ident = $name:ident ($($argument:ty),*) -> $answer:ty;)* }
        optional { $($optional:ident = $optional_name:ident $since:literal ($($of_optional:ty),*) -> $optional_answer:ty;)* }
    ) => {
        /// The functions of the library.
        pub(crate) struct Symbols {
            $(pub(crate) $required: unsafe extern "C" fn($($argument),*) -> $answer,)*
            $(pub(crate) $optional: $crate::symbols::Optional<
                unsafe extern "C" fn($($of_optional),*) -> $optional_answer,
            >,)*
        }

        impl Symbols {
            /// Resolves all functions.
            ///
            /// # Errors
            /// The name of the first required function that is missing.
            ///
            /// # Safety
            /// - The library's functions with these names have the listed types.
            /// - The library is never closed.
            pub(crate) unsafe fn resolve(
                library: &$crate::library::Library,
            ) -> Result<Self, &'static str> {
                Ok(Symbols {
                    $($required: {
                        let name = stringify!($name);
                        // SAFETY: the function has the field's type, and the library is never closed (caller
                        // contract).
                        unsafe { $crate::symbols::find(library, name) }.ok_or(name)?
                    },)*
                    $($optional: {
                        let (name, since) = (stringify!($optional_name), $since);
                        // SAFETY: the function has the field's type, and the library is never closed (caller
                        // contract).
                        let function = unsafe { $crate::symbols::find(library, name) };
                        $crate::symbols::Optional { function, name, since }
                    },)*
                })
            }

            /// Returns the names of the optional functions that the library lacks.
            pub(crate) fn missing(&self) -> Vec<&'static str> {
                let optional = [$((self.$optional.function.is_none(), self.$optional.name),)*];
                optional.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, name)| name).collect()
            }
        }
    };
}

#[cfg(all(test, unix))]
mod tests {
    use crate::library::Library;

    mod found {
        use std::ffi::c_long;

        crate::symbols! {
            required { absolute = abs(i32) -> i32; }
            optional {
                long = labs "C89" (c_long) -> c_long;
                none = gpu_stream_has_no_such_function "99.9" () -> i32;
            }
        }
    }

    #[allow(dead_code, reason = "only the name of the missing function is used")]
    mod lacking {
        crate::symbols! {
            required { absolute = abs(i32) -> i32; none = gpu_stream_has_no_such_function () -> i32; }
            optional {}
        }
    }

    fn program() -> Library {
        libloading::os::unix::Library::this().into()
    }

    #[test]
    fn functions_are_found_by_name_and_optional_ones_may_be_missing() {
        // SAFETY: these are the types of C's functions, and the program is never closed.
        let symbols = unsafe { found::Symbols::resolve(&program()) }.expect("C has `abs`");
        assert_eq!(symbols.missing(), ["gpu_stream_has_no_such_function"]);
        assert_eq!((symbols.long.name, symbols.none.since), ("labs", "99.9"));
        let long = symbols.long.function.expect("C has `labs`");
        // SAFETY: the functions accept these numbers.
        assert_eq!(unsafe { ((symbols.absolute)(-2), long(-3)) }, (2, 3));
    }

    #[test]
    fn missing_required_function_is_named() {
        // SAFETY: this is the type of C's function, and the program is never closed.
        let resolved = unsafe { lacking::Symbols::resolve(&program()) };
        assert_eq!(resolved.err(), Some("gpu_stream_has_no_such_function"));
    }
}
