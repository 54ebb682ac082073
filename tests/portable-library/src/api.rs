//! Every public item of gpu-stream, used once: if a feature removed one, this would not compile.

macro_rules! api {
    ($($(#[$only:meta])* $item:path),* $(,)?) => {
        /// The names of the items.
        pub const ITEMS: &[&str] = &[$($(#[$only])* stringify!($item)),*];

        $(
            $(#[$only])*
            #[allow(unused_imports)]
            use $item as _;
        )*
    };
}

api! {
    gpu_stream::Access,
    gpu_stream::Any,
    gpu_stream::AnyError,
    gpu_stream::AnyEvent,
    gpu_stream::AnyRawEvent,
    gpu_stream::AnyRawStream,
    gpu_stream::AnyStream,
    gpu_stream::Availability,
    gpu_stream::Backend,
    gpu_stream::BackendInfo,
    gpu_stream::BackendKind,
    gpu_stream::CaptureStatus,
    #[cfg(feature = "checked")]
    gpu_stream::Checked,
    gpu_stream::ContractError,
    #[cfg(feature = "cuda")]
    gpu_stream::Cuda,
    #[cfg(feature = "cuda")]
    gpu_stream::CudaError,
    #[cfg(feature = "cuda")]
    gpu_stream::CudaEvent,
    #[cfg(feature = "cuda")]
    gpu_stream::CudaStream,
    gpu_stream::DefaultBackend,
    gpu_stream::Device,
    gpu_stream::DeviceInfo,
    #[cfg(feature = "async")]
    gpu_stream::Done,
    #[cfg(feature = "async")]
    gpu_stream::DoneExt,
    #[cfg(feature = "async")]
    gpu_stream::DoneWith,
    gpu_stream::Error,
    gpu_stream::ErrorKind,
    gpu_stream::ErrorOf,
    gpu_stream::Event,
    gpu_stream::EventOf,
    gpu_stream::EventOptions,
    gpu_stream::EventOptionsBuilder,
    gpu_stream::EventOwner,
    gpu_stream::EventStatus,
    gpu_stream::HandleKind,
    #[cfg(feature = "hip")]
    gpu_stream::Hip,
    #[cfg(feature = "hip")]
    gpu_stream::HipError,
    #[cfg(feature = "hip")]
    gpu_stream::HipEvent,
    #[cfg(feature = "hip")]
    gpu_stream::HipStream,
    gpu_stream::Host,
    gpu_stream::HostError,
    gpu_stream::HostEvent,
    gpu_stream::HostFunc,
    gpu_stream::HostStream,
    gpu_stream::KeepAlive,
    gpu_stream::Library,
    gpu_stream::PlainHandles,
    gpu_stream::Native,
    gpu_stream::Knowledge,
    gpu_stream::KnownWork,
    #[cfg(feature = "opencl")]
    gpu_stream::OpenCl,
    #[cfg(feature = "opencl")]
    gpu_stream::OpenClError,
    #[cfg(feature = "opencl")]
    gpu_stream::OpenClEvent,
    #[cfg(feature = "opencl")]
    gpu_stream::OpenClStream,
    gpu_stream::PerThread,
    gpu_stream::PriorityRange,
    gpu_stream::RawEvent,
    gpu_stream::RawHandle,
    gpu_stream::RawStream,
    gpu_stream::Reclaimer,
    gpu_stream::Region,
    gpu_stream::Stream,
    gpu_stream::StreamOf,
    gpu_stream::StreamOptions,
    gpu_stream::StreamOwner,
    gpu_stream::UnknownBackend,
    gpu_stream::any,
    gpu_stream::available,
    gpu_stream::backend,
    #[cfg(feature = "checked")]
    gpu_stream::checked,
    #[cfg(feature = "checked")]
    gpu_stream::checked::CheckedEvent,
    #[cfg(feature = "checked")]
    gpu_stream::checked::CheckedStream,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Entered,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Finding,
    #[cfg(feature = "checked")]
    gpu_stream::checked::FindingKind,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Hook,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Report,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Scope,
    #[cfg(feature = "checked")]
    gpu_stream::checked::Severity,
    #[cfg(feature = "cuda")]
    gpu_stream::cuda,
    #[cfg(feature = "cudarc")]
    gpu_stream::cuda::interop,
    #[cfg(feature = "cuda")]
    gpu_stream::cuda::ipc,
    gpu_stream::dynamic,
    gpu_stream::dynamic::BoxedEvent,
    gpu_stream::dynamic::DynBackend,
    gpu_stream::dynamic::DynEvent,
    gpu_stream::dynamic::DynStream,
    gpu_stream::dynamic::SharedStream,
    gpu_stream::exchange,
    gpu_stream::exchange::DecodedStream,
    gpu_stream::exchange::ExchangeError,
    gpu_stream::exchange::Forbidden,
    gpu_stream::exchange::Protocol,
    gpu_stream::exchange::Value,
    gpu_stream::exchange::cuda_stream,
    gpu_stream::exchange::dlpack::CurrentWorkStream,
    gpu_stream::exchange::dlpack::ExchangeApi,
    gpu_stream::exchange::dlpack::ExchangeApiError,
    gpu_stream::exchange::dlpack::ExchangeApiHeader,
    gpu_stream::exchange::dlpack::Version,
    gpu_stream::exchange::dlpack::device_of,
    gpu_stream::exchange::tvm_ffi::EnvStream,
    gpu_stream::exchange::tvm_ffi::GetStream,
    #[cfg(feature = "hip")]
    gpu_stream::hip,
    #[cfg(feature = "hip")]
    gpu_stream::hip::interop,
    gpu_stream::host,
    gpu_stream::host::Gate,
    gpu_stream::host::raw,
    #[cfg(feature = "opencl")]
    gpu_stream::opencl,
    gpu_stream::prelude,
    gpu_stream::retain,
    gpu_stream::retain::Collected,
    gpu_stream::retain::Refused,
    gpu_stream::retain::RetainUntilDone,
    gpu_stream::retain::release_on,
    #[cfg(feature = "tvm-ffi")]
    gpu_stream::tvm_ffi::TvmFfiError,
    #[cfg(feature = "tvm-ffi")]
    gpu_stream::tvm_ffi::find,
}

#[cfg(test)]
mod tests {
    /// Returns the names in the `pub use` lines of a `lib.rs`.
    fn exported(lib: &str) -> Vec<String> {
        let uses = lib.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
        let names = uses.flat_map(|item| match item.split_once('{') {
            Some((_, list)) => list.trim_end_matches('}').split(',').collect::<Vec<_>>(),
            None => vec![item.rsplit([':', ' ']).next().unwrap_or(item)],
        });
        let names = names.map(|name| name.trim().to_owned());
        names.filter(|name| !name.is_empty() && name != "*").collect()
    }

    #[test]
    fn the_list_is_complete() {
        let crates = [
            include_str!("../../../crates/core/src/lib.rs"),
            include_str!("../../../crates/gpu-stream/src/lib.rs"),
        ];
        let names: Vec<_> = crates.into_iter().flat_map(exported).collect();
        assert!(names.len() > 40, "the lists were read: {names:?}");
        for name in names {
            // Without the feature, the list does not contain the vendor's names, or those of futures and of the check.
            let begins = |with| name.to_lowercase().starts_with(with);
            if cfg!(not(feature = "cuda")) && begins("cuda")
                || cfg!(not(feature = "hip")) && begins("hip")
                || cfg!(not(feature = "opencl")) && begins("opencl")
                || cfg!(not(feature = "async")) && begins("done")
                || cfg!(not(feature = "checked")) && begins("checked")
            {
                continue;
            }
            let item = format!("gpu_stream::{name}");
            assert!(super::ITEMS.contains(&&*item), "{item} is missing in api.rs");
        }
    }
}
