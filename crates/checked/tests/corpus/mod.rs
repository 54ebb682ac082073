//! Bugs of the field, rebuilt small from public threads: each with the finding that is expected, and each in the form in
//! which it was mended, in which nothing is found.
//!
//! The comments `// first` and `// second` in a program mark the two calls of the finding. The wait belongs before the
//! second call, or where `// before` marks another one. A stream's name is that of its variable. `docs/checked.md` has the table.

#![allow(dead_code, reason = "no test program uses all of it")]

pub mod again;
#[cfg(target_os = "linux")]
pub mod again_cuda;
pub mod blocking;
pub mod check;
pub mod default_stream;
#[cfg(target_os = "linux")]
pub mod driver_calls;
pub mod events;
pub mod host;
pub mod lives;
pub mod memory;
pub mod retained;
pub mod right;
pub mod side_streams;
pub mod support;

use gpu_stream_checked::Checked;
use gpu_stream_checked::FindingKind::{self, *};
use gpu_stream_core::{Backend, PlainHandles};

use support::Outcome;

/// A bug, and what is found in it.
pub struct Bug<B: Backend> {
    /// The name of the test and of the program.
    pub name: &'static str,
    /// The public thread. Without a path, the bug was written for this test.
    pub source: &'static str,
    /// What is found.
    pub kind: FindingKind,
    /// The wait that is missing.
    pub missing: Missing,
    /// The program: as it was with `false`, mended with `true`.
    pub program: fn(bool) -> Outcome<B>,
}

/// A program that is right: its name, and the program.
pub type Right<B> = (&'static str, fn() -> Outcome<B>);

/// Returns the right programs that every backend can run.
pub fn right<B: Backend>() -> Vec<Right<B>> {
    vec![
        ("ring_of_slots", right::ring_of_slots::<B>),
        ("host_waits_for_an_event", right::host_waits_for_an_event::<B>),
        ("query_that_says_true", right::query_that_says_true::<B>),
        ("hand_over_to_a_thread", right::hand_over_to_a_thread::<B>),
        ("blocks_of_a_pool", right::blocks_of_a_pool::<B>),
        ("order_that_passes_through", right::order_that_passes_through::<B>),
        ("halves_of_one_allocation", right::halves_of_one_allocation::<B>),
        ("wrapper_for_each_call", again::wrapper_for_each_call::<B>),
        ("event_outlives_its_stream", again::event_outlives_its_stream::<B>),
        ("regions_of_all_sizes", again::regions_of_all_sizes::<B>),
        ("nested_forks", again::nested_forks::<B>),
        ("threads_that_end", again::threads_that_end::<B>),
        ("freed_by_a_destructor", retained::freed_by_a_destructor::<B>),
        ("block_that_a_destructor_returns", retained::block_that_a_destructor_returns::<B>),
        ("memory_that_is_allocated_again", retained::memory_that_is_allocated_again::<B>),
        ("work_of_a_destructor", retained::work_of_a_destructor::<B>),
        ("value_of_a_dropped_future", retained::value_of_a_dropped_future::<B>),
        ("drain_after_a_collect", retained::drain_after_a_collect::<B>),
    ]
}

/// Returns the right programs with streams of the backend inside.
pub fn right_inside<B: PlainHandles>() -> [Right<Checked<B>>; 2] {
    [
        ("order_without_a_wrapper", again::order_without_a_wrapper::<B>),
        ("stream_inside_is_kept", again::stream_inside_is_kept::<B>),
    ]
}

/// The wait that a finding names, with the variables of the streams.
#[derive(Clone, Copy)]
pub enum Missing {
    /// `waiter` has to wait for `awaited`.
    Wait(&'static str, &'static str),
    /// The host has to wait for the stream.
    Host(&'static str),
    /// No wait is missing.
    None,
}
use Missing::{Host, Wait};

macro_rules! bugs {
    ($($module:ident::$name:ident, $thread:literal, $kind:ident, $missing:expr;)*) => {
        /// Returns all bugs that every backend can run.
        pub fn bugs<B: Backend>() -> Vec<Bug<B>> {
            vec![$(Bug {
                name: stringify!($name),
                source: concat!("https://github.com/", $thread),
                kind: $kind,
                missing: $missing,
                program: $module::$name::<B>,
            }),*]
        }
    };
}

bugs! {
    memory::freed_during_a_download, "meta-pytorch/torchrec/pull/4231", UseAfterRelease, Wait("main", "side");
    memory::block_given_to_another_stream, "pytorch/pytorch/pull/179863", WriteAfterRead, Wait("side", "main");
    memory::slot_of_the_memory_plan, "pytorch/pytorch/pull/178549", WriteAfterRead, Wait("right", "left");
    memory::arena_and_copy_stream, "microsoft/onnxruntime/pull/5445", WriteAfterWrite, Wait("compute", "copy");
    memory::free_on_the_allocating_stream, "NVlabs/cuda-oxide/issues/619", UseAfterRelease, Wait("home", "user");
    memory::freed_by_the_host, "ROCm/xla/pull/979", UseAfterRelease, Host("compute");
    memory::pages_mapped_behind_a_wait, "openvm-org/stark-backend/pull/362", UseAfterRelease, Host("user");
    memory::block_of_a_merged_list, "rapidsai/rmm/issues/2489", WriteAfterWrite, Wait("taking", "donor");
    memory::stream_handle_used_again, "rapidsai/rmm/issues/649", WriteAfterWrite, Wait("new", "old");
    memory::per_thread_handle_of_two_threads, "NVIDIA/cccl/issues/878", WriteAfterWrite, Wait("ours", "theirs");
    memory::slab_without_a_stream, "NVIDIA/cuCascade/pull/158", WriteAfterRead, Wait("next", "upload");
    default_stream::copy_on_the_default_stream, "alpaka-group/alpaka/issues/850", ReadAfterWrite, Wait("queue", "copy");
    default_stream::workspace_cleared_elsewhere, "NVIDIA/cutlass/pull/214", WriteAfterWrite, Wait("kernel", "clear");
    default_stream::session_on_its_own_stream, "microsoft/onnxruntime/issues/26609", ReadAfterWrite, Wait("session", "caller");
    side_streams::upload_and_kernel, "risc0/risc0/pull/3522", ReadAfterWrite, Wait("kernel", "upload");
    side_streams::download_before_the_producer, "openxla/xla/pull/13597", ReadAfterWrite, Wait("copy", "main");
    side_streams::weights_loaded_on_the_side, "huggingface/diffusers/pull/13502", ReadAfterWrite, Wait("forward", "transfer");
    side_streams::library_returns_early, "pytorch/executorch/pull/21727", NotJoined, Wait("caller", "own");
    side_streams::probe_over_a_pending_fill, "FlashML-org/FreeToken/pull/414", WriteAfterWrite, Wait("probe", "current");
    side_streams::prefetch_over_the_last_batch, "huggingface/pytorch-image-models/pull/2784", WriteAfterRead, Wait("prefetch", "consumer");
    side_streams::reduction_on_the_root, "pytorch/pytorch/pull/195281", ReadAfterWrite, Wait("root", "rank");
    side_streams::slot_marked_too_early, "slac-lcls/lcls2/pull/108", WriteAfterRead, Wait("copy", "kernel");
    side_streams::arguments_of_two_launches, "Genesis-Embodied-AI/quadrants/pull/649", WriteAfterRead, Wait("two", "one");
    events::one_event_for_all_streams, "torch/cutorch/pull/222", ReadAfterWrite, Wait("main", "one");
    events::writes_not_waited_for, "Theano/libgpuarray/pull/222", WriteAfterWrite, Wait("two", "one");
    events::gate_recorded_after_the_wait, "NVIDIA/cudnn-frontend/pull/801", WaitBeforeRecord, Wait("side", "blocker");
    events::event_that_is_never_recorded, "NVIDIA/cuda-python/pull/559", UnrecordedWait, Missing::None;
    events::wrong_stream_asked, "ROCm/xla/pull/964", ReadAfterWrite, Wait("compute", "upload");
    events::event_of_another_device, "NVIDIA/cuCascade/pull/189", WriteAfterRead, Wait("next", "upload");
    host::result_read_too_early, "NVIDIA/cuda-quantum/pull/5375", ReadAfterWrite, Host("work");
    host::inputs_of_the_next_step, "vllm-project/vllm-ascend/pull/16428", WriteAfterRead, Host("copy");
    host::temporary_of_a_pending_copy, "LMCache/LMCache/pull/4830", UseAfterRelease, Host("copy");
    host::other_stream_synchronized, "Genesis-Embodied-AI/quadrants/pull/407", ReadAfterWrite, Host("active");
    host::batch_given_back_too_early, "BVLC/caffe/pull/2998", WriteAfterRead, Wait("prefetch", "layer");
    lives::work_behind_a_fault, "NVIDIA/cuda-python/issues/2761", BehindFault, Missing::None;
    lives::allocator_keeps_a_dead_stream, "pytorch/pytorch/pull/66941", UseAfterOwner, Missing::None;
    retained::retained_and_not_waited_for, "", ReadAfterWrite, Wait("caller", "side");
    retained::collected_and_not_waited_for, "", ReadAfterWrite, Wait("caller", "side");
    retained::dropped_by_a_retain, "", ReadAfterWrite, Wait("caller", "side");
    retained::marked_and_not_waited_for, "", ReadAfterWrite, Wait("caller", "side");
    retained::future_that_is_only_woken, "", ReadAfterWrite, Wait("caller", "side");
    retained::future_that_is_not_awaited, "", ReadAfterWrite, Wait("caller", "side");
    retained::retained_for_another_stream, "", UseAfterRelease, Host("copy");
}
