//! Tables of driver functions: `table!`.

use libloading::Library;

use crate::{Error, Result};

/// Returns the library that gpu-stream has loaded by this name.
pub fn open_loaded(name: Option<String>) -> Result<&'static Library> {
    let name = name.unwrap_or_default();
    // SAFETY: the backend has loaded this library, so its initializers have run.
    let library = unsafe { Library::new(&name) };
    let library = library.map_err(|error| Error::NoKernels(format!("{name}: {error}")))?;
    Ok(Box::leak(Box::new(library))) // a driver is never unloaded
}

/// Declares a struct of driver functions. `load` finds them in the library that the backend has loaded, so that the
/// process has one driver.
///
/// A function returns a code, unless its line names another type.
macro_rules! table {
    (@answer) => { std::ffi::c_int };
    (@answer $answer:ty) => { $answer };
    ($name:ident of $backend:ty { $($field:ident = $symbol:literal ($($argument:ty),* $(,)?) $(-> $answer:ty)?;)* }) => {
        pub struct $name {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> table!(@answer $($answer)?),)*
        }

        impl $name {
            pub fn load() -> $crate::Result<&'static Self> {
                static TABLE: std::sync::OnceLock<$name> = std::sync::OnceLock::new();
                if let Some(table) = TABLE.get() {
                    return Ok(table);
                }
                let info = <$backend as gpu_stream::Backend>::probe()?;
                let library = $crate::kernels::table::open_loaded(info.library)?;
                let table = $name {
                    $(
                        // SAFETY: the type is the function's signature in the vendor's header. The library is never
                        // closed.
                        $field: *unsafe { library.get($symbol) }.map_err(|_| {
                            let text = concat!("the driver is too old: it has no ", $symbol);
                            $crate::Error::NoKernels(text.into())
                        })?,
                    )*
                };
                Ok(TABLE.get_or_init(|| table))
            }
        }
    };
}

pub(super) use table;
