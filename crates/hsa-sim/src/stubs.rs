//! Functions that libamdhip64 links but that are not simulated. Each returns an error and logs the
//! call.
//!
//! HIP calls them only when a program uses these features: images, memory shared with other processes
//! or with graphics, shared virtual memory, files that a GPU reads.

use std::ffi::c_void;

use crate::abi::*;
use crate::trace::trace;

/// Declares functions that only return an error. Their arguments are ignored and so not declared,
/// which the C calling convention allows.
macro_rules! stubs {
    ($(fn $name:ident)*) => {
        hsa_api! {
            $(
                /// Returns an error: the function is not simulated.
                fn $name() -> Status {
                    trace!(concat!(stringify!($name), ": not simulated"));
                    ERROR
                }
            )*
        }
    };
}

stubs! {
    fn hsa_amd_enable_logging
    fn hsa_amd_image_create
    fn hsa_amd_interop_map_buffer
    fn hsa_amd_interop_unmap_buffer
    fn hsa_amd_ipc_memory_attach
    fn hsa_amd_ipc_memory_create
    fn hsa_amd_ipc_memory_detach
    fn hsa_amd_portable_export_dmabuf
    fn hsa_amd_svm_attributes_get
    fn hsa_amd_svm_attributes_set
    fn hsa_amd_svm_prefetch_async
    fn hsa_amd_vmem_export_shareable_handle
    fn hsa_amd_vmem_import_shareable_handle
    fn hsa_amd_vmem_retain_alloc_handle
    fn hsa_amd_agent_set_async_scratch_limit
    fn hsa_amd_ais_file_read
    fn hsa_amd_ais_file_write
    fn hsa_ext_image_create
    fn hsa_ext_image_create_with_layout
    fn hsa_ext_image_data_get_info
    fn hsa_ext_image_destroy
    fn hsa_ext_image_export
    fn hsa_ext_image_import
    fn hsa_ext_sampler_create
    fn hsa_ext_sampler_create_v2
    fn hsa_ext_sampler_destroy
}

hsa_api! {
    /// Accepts a handler for faults and hung engines, which never occur here.
    fn hsa_amd_register_system_event_handler(
        _callback: *const c_void, _data: *mut c_void,
    ) -> Status {
        SUCCESS
    }
}
