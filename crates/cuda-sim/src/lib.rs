#![doc = include_str!("../README.md")]

#[doc = include_str!("../rules.md")]
pub mod rules {}

cfg_if::cfg_if! {
    // Under loom, the host backend consists of its internals only.
    if #[cfg(all(target_os = "linux", not(gpu_stream_loom)))] {
        mod call;
        mod captures;
        mod codes;
        mod config;
        mod contexts;
        mod copies;
        mod devices;
        mod entry_points;
        mod events;
        mod gates;
        mod graphs;
        mod green;
        mod hide_symbols;
        mod host_funcs;
        mod host_memory;
        mod ipc;
        mod kernels;
        mod limits;
        mod locate;
        mod memory;
        mod state;
        mod streams;
        mod tables;
        mod thread;
        mod transfers;
        mod work;

        pub use config::{MAX_GPUS, number_of};
        pub use gpu_stream_faults::{At, Controls, InjectedFault, Threads};
        pub use locate::{FILE, fail, is_loaded, library, no_driver_here, install, without};

        gpu_stream_faults::export_controls!();
    } else {
        mod unsupported;

        pub use unsupported::{fail, install, is_loaded, library, no_driver_here};
    }
}
