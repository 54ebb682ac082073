//! Copies, and the map of allocations.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{load, wait, words};
use crate::abi::*;
use crate::agents::Agent;
use crate::copies::{hsa_amd_memory_async_copy, hsa_amd_memory_async_copy_rect};
use crate::memory::{
    Pool, hsa_amd_memory_lock, hsa_amd_memory_pool_allocate, hsa_amd_memory_pool_free,
    hsa_amd_memory_unlock, hsa_amd_pointer_info,
};
use crate::signals::Signal;

#[test]
fn chained_copies_keep_their_order() {
    let memory = words(65);
    let signals: Vec<_> = (0..65).map(|_| Signal::create(1)).collect();
    for i in (0..64).rev() {
        let (after, gpu) = ([signals[i].handle()], Agent::Gpu(0).handle());
        // SAFETY: the words and the signals live forever.
        let status = unsafe {
            let (to, from) = (memory[i + 1].as_ptr().cast(), memory[i].as_ptr().cast());
            let done = signals[i + 1].handle();
            hsa_amd_memory_async_copy(to, gpu, from, gpu, 4, 1, after.as_ptr(), done)
        };
        assert_eq!(status, SUCCESS);
    }
    memory[0].store(7, Ordering::SeqCst);
    signals[0].store(0);
    wait(signals[64]);
    assert_eq!(load(memory), [7; 65]);
}

#[test]
fn copy_waits_for_its_signals_only() {
    let (memory, after, done) = (words(8), Signal::create(1), Signal::create(1));
    let (from, to) = (&memory[..4], &memory[4..]);
    let submit = |from: &[AtomicU32], to: &[AtomicU32], after: &[Handle], done: &'static Signal| {
        // SAFETY: the words live forever.
        let status = unsafe {
            let (gpu, count) = (Agent::Gpu(0).handle(), after.len() as u32);
            let (to, from) = (to.as_ptr().cast_mut().cast(), from.as_ptr().cast());
            hsa_amd_memory_async_copy(to, gpu, from, gpu, 16, count, after.as_ptr(), done.handle())
        };
        assert_eq!(status, SUCCESS);
    };
    submit(from, to, &[after.handle()], done);
    // A later copy of other words is not delayed.
    let (free, spare) = (Signal::create(1), words(8));
    submit(&spare[..4], &spare[4..], &[], free);
    wait(free);
    assert_eq!(done.load(), 1);
    // The copy reads the source after the signal.
    from.iter().for_each(|word| word.store(7, Ordering::SeqCst));
    after.store(0);
    wait(done);
    assert_eq!(load(to), [7; 4]);
}

#[test]
fn rect_copy_copies_each_row() {
    let memory = words(64);
    let (from, to) = (&memory[..32], &memory[32..]);
    from.iter().enumerate().for_each(|(i, word)| word.store(i as u32, Ordering::SeqCst));
    let place = |words: &[AtomicU32], pitch: usize| PitchedPtr {
        base: words.as_ptr().cast_mut().cast(),
        pitch,
        slice: 0,
    };
    let (to_place, from_place) = (place(to, 32), place(from, 16));
    let (corner, origin) = (Dim3 { x: 4, y: 1, z: 0 }, Dim3 { x: 0, y: 0, z: 0 });
    let (range, done) = (Dim3 { x: 8, y: 2, z: 1 }, Signal::create(1));
    // SAFETY: both boxes lie in the words, and all pointers refer to locals.
    let status = unsafe {
        hsa_amd_memory_async_copy_rect(
            &to_place,
            &origin,
            &from_place,
            &corner,
            &range,
            Agent::Gpu(0).handle(),
            3,
            0,
            ptr::null(),
            done.handle(),
        )
    };
    assert_eq!(status, SUCCESS);
    wait(done);
    assert_eq!(load(&to[..10]), [5, 6, 0, 0, 0, 0, 0, 0, 9, 10]);
}

#[test]
fn pointer_info_reports_allocations_and_locks() {
    let pointer_info = |at: *const c_void| {
        let size = size_of::<PointerInfo>() as u32;
        // SAFETY: an all-zero info is valid, and its size is set before the call.
        unsafe {
            let mut info: PointerInfo = std::mem::zeroed();
            info.size = size;
            assert_eq!(
                hsa_amd_pointer_info(at, &mut info, ptr::null(), ptr::null_mut(), ptr::null_mut()),
                SUCCESS
            );
            info
        }
    };
    let mut at = ptr::null_mut();
    // SAFETY: the out-pointers are valid, the allocation is freed once, and the local is locked
    // only while it lives.
    unsafe {
        let pool = Pool::Gpu(0).handle();
        assert_eq!(hsa_amd_memory_pool_allocate(pool, 5000, 0, &mut at), SUCCESS);
        let inside = at.cast::<u8>().add(4999).cast::<c_void>();
        let info = pointer_info(inside);
        assert_eq!((info.kind, info.agent_base, info.bytes), (POINTER_HSA, at, 8192));
        assert_eq!(info.owner, Agent::Gpu(0).handle());
        assert_eq!(hsa_amd_memory_pool_free(at), SUCCESS);
        assert_eq!(pointer_info(inside).kind, POINTER_UNKNOWN);
        assert_eq!(hsa_amd_memory_pool_free(at), INVALID_ALLOCATION);

        let mut local = [0u8; 64];
        let local = local.as_mut_ptr().cast::<c_void>();
        let mut seen = ptr::null_mut();
        assert_eq!(hsa_amd_memory_lock(local, 64, ptr::null(), 0, &mut seen), SUCCESS);
        assert_eq!((seen, pointer_info(local).kind), (local, POINTER_LOCKED));
        hsa_amd_memory_unlock(local);
        assert_eq!(pointer_info(local).kind, POINTER_UNKNOWN);
    }
}
