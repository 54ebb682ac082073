//! Functions that programs of others need, and the CUDA backend does not.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;

use support::{Context, driver, get, ok, run_child, set};

/// Serializes the tests that count the memory of the device.
static MEMORY: Mutex<()> = Mutex::new(());

/// The type of `cuGetProcAddress_v2`.
type GetProcAddress =
    unsafe extern "C" fn(*const c_char, *mut *mut c_void, c_int, u64, *mut c_int) -> c_int;

/// Returns the answer of `cuGetProcAddress_v2`: code, status, and whether there is an address.
fn find(name: &CStr, version: c_int, flags: u64) -> (c_int, c_int, bool) {
    let (mut found, mut status) = (null_mut(), 9);
    // SAFETY: the function has this type, the name is a C string, and the out-pointers are valid.
    let code = unsafe {
        let get = support::library().get::<GetProcAddress>("cuGetProcAddress_v2");
        get.expect("the function")(name.as_ptr(), &mut found, version, flags, &mut status)
    };
    (code, status, !found.is_null())
}

/// Returns the address of a function, and its address by `cuGetProcAddress`.
fn addresses(symbol: &str, name: &CStr, version: c_int) -> (*mut c_void, *mut c_void) {
    let mut found = null_mut();
    // SAFETY: the name is a C string, and the out-pointer is valid. Only the address of the symbol is used.
    unsafe {
        let exported = support::library().get::<unsafe extern "C" fn()>(symbol).expect(symbol);
        let get = support::library().get::<GetProcAddress>("cuGetProcAddress_v2");
        ok(get.expect("the function")(name.as_ptr(), &mut found, version, 0, null_mut()));
        (*exported as *mut c_void, found)
    }
}

#[test]
fn function_is_found_in_the_form_of_the_version() {
    for (symbol, name, version) in [
        ("cuInit", c"cuInit", 13_000),
        ("cuMemAlloc_v2", c"cuMemAlloc", 12_000),
        ("cuStreamGetCaptureInfo", c"cuStreamGetCaptureInfo", 11_020),
        ("cuStreamGetCaptureInfo_v2", c"cuStreamGetCaptureInfo", 12_020),
        ("cuStreamGetCaptureInfo_v3", c"cuStreamGetCaptureInfo", 13_000),
        ("cuGraphInstantiate_v2", c"cuGraphInstantiate", 11_080),
        ("cuGraphInstantiateWithFlags", c"cuGraphInstantiate", 12_000),
        ("cuCtxCreate_v2", c"cuCtxCreate", 11_030),
        ("cuCtxCreate_v4", c"cuCtxCreate", 13_000),
        ("cuGetProcAddress_v2", c"cuGetProcAddress", 12_000),
    ] {
        let (exported, found) = addresses(symbol, name, version);
        assert_eq!(exported, found, "{symbol} for {version}");
    }
}

#[test]
fn missing_function_is_a_status_and_no_error() {
    assert_eq!(find(c"cuInit", 13_000, 0), (0, 0, true));
    assert_eq!(find(c"cuNoSuchThing", 13_000, 0), (0, 1, false));
    assert_eq!(find(c"cuMemAlloc_v2", 13_000, 0), (0, 1, false), "base names only");
    assert_eq!(find(c"cuda_sim_fail", 13_000, 0), (0, 1, false));
    assert_eq!(find(c"cuMemAllocAsync", 11_010, 0), (0, 2, false), "newer than the version");
    assert_eq!(find(c"cuInit", 13_010, 0), (1, 9, false), "newer than the driver");
    assert_eq!(find(c"cuMemAlloc", 13_000, 2), (0, 0, true));
    assert_eq!(find(c"cuStreamQuery", 13_000, 2), (0, 1, false), "no per-thread form");
    assert_eq!(find(c"cuInit", 13_000, 3), (0, 0, true), "both kinds of default stream");
    assert_eq!(find(c"cuStreamQuery", 13_000, 3), (0, 1, false), "no per-thread form");
    assert_eq!(find(c"cuInit", 13_000, 4), (1, 9, false), "no such flag");
    let output = run_child("hidden", &[("CUDA_SIM_VERSION", "12.0")]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn managed_memory_is_of_host_and_device() {
    let _guard = MEMORY.lock();
    let context = Context::new(0);
    let (stream, mut memory) = (context.stream(1), 0);
    // SAFETY: the out-pointer is valid. The memory is never freed, and its words are valid for atomic accesses.
    let word = unsafe {
        assert_eq!((driver().mem_managed)(&mut memory, 4096, 0), 1, "no such flag");
        assert_eq!((driver().mem_managed)(&mut memory, 4096, 4), 1, "for attaching only");
        ok((driver().mem_managed)(&mut memory, 4096, 1));
        std::sync::atomic::AtomicU32::from_ptr(std::ptr::with_exposed_provenance_mut(
            memory as usize,
        ))
    };
    // SAFETY: the simulator checks every handle and address.
    unsafe {
        assert_eq!((driver().stream_write_value)(stream, memory + 2, 1, 0), 1, "not aligned");
        assert_eq!((driver().stream_write_value)(stream, memory, 1, 1), 1, "the older form's flag");
        ok((driver().stream_write_value)(stream, memory, 7, 0));
    }
    context.synchronize(stream);
    assert_eq!(get(word), 7);
}

#[test]
fn registered_memory_is_pinned_until_unregistered() {
    let context = Context::new(0);
    let (stream, gates) = (context.stream(1), context.words(1));
    let mut mine = vec![0_u32; 1024];
    let (start, length) = (mine.as_mut_ptr().cast::<c_void>(), 4096);
    let from = context.words(1);
    set(&from[0], 5);
    // SAFETY: the memory lives until after it was unregistered and the stream has finished.
    unsafe {
        ok((driver().host_register)(start, length, 0));
        assert_eq!((driver().host_register)(start.add(8), 8, 0), 712);
        context.gate(stream, &gates[0]);
        // A copy to pinned memory does not wait, so the gate can still be shut.
        ok((driver().mem_copy_async)(
            start.addr() as u64,
            from[0].as_ptr().addr() as u64,
            4,
            stream,
        ));
        assert_eq!(context.query(stream), support::NOT_READY);
        set(&gates[0], 1);
        context.synchronize(stream);
        assert_eq!((driver().host_unregister)(start.add(8)), 1, "a part");
        ok((driver().host_unregister)(start));
        assert_eq!((driver().host_unregister)(start), 713);
        // Words are pinned memory.
        assert_eq!((driver().mem_free)(from[0].as_ptr().addr() as u64), 1, "pinned memory");
    }
    assert_eq!(mine[0], 5);
}

#[test]
fn memory_of_the_device_is_counted_and_ends() {
    let _guard = MEMORY.lock();
    let _context = Context::new(0);
    let info = || {
        let (mut free, mut total) = (0, 0);
        // SAFETY: the out-pointers are valid.
        ok(unsafe { (driver().mem_info)(&mut free, &mut total) });
        (free, total)
    };
    let (before, total) = info();
    let (mut memory, mut start, mut length) = (0, 0, 0);
    // SAFETY: the out-pointers are valid, and the simulator checks addresses.
    unsafe {
        ok((driver().mem_alloc)(&mut memory, 1 << 20));
        assert_eq!(info(), (before - (1 << 20), total));
        ok((driver().mem_range)(&mut start, &mut length, memory + 100));
        assert_eq!((start, length), (memory, 1 << 20));
        assert_eq!((driver().mem_alloc)(&mut start, total), 2, "out of memory");
        ok((driver().mem_free)(memory));
        assert_eq!((driver().mem_range)(&mut start, &mut length, memory), 500);
    }
    assert_eq!(info(), (before, total));
}

#[test]
fn settings_of_a_context_are_kept() {
    let _context = Context::new(0);
    let (mut value, mut flags) = (0, 9);
    // SAFETY: the out-pointers are valid.
    unsafe {
        ok((driver().set_limit)(0, 8192));
        ok((driver().get_limit)(&mut value, 0));
        ok((driver().get_flags)(&mut flags));
        assert_eq!(flags, 8, "what every context has");
        for allowed in [1, 2, 8, 16, 32, 64, 128, 4] {
            ok((driver().set_flags)(allowed));
        }
        for hidden in [32, 64] {
            ok((driver().set_flags)(hidden));
            ok((driver().get_flags)(&mut flags));
            assert_eq!(flags, 8, "{hidden} is not returned");
        }
        ok((driver().set_flags)(4));
        assert_eq!((driver().set_flags)(3), 1, "two ways of waiting");
        assert_eq!((driver().set_flags)(256), 1, "no such flag");
        ok((driver().get_flags)(&mut flags));
    }
    assert_eq!((value, flags), (8192, 4 | 8));
}

/// The limits of an H100, driver 580.
#[test]
fn limits_begin_as_on_a_device() {
    let _context = Context::new(0);
    let get = |limit| {
        let mut value = 0;
        // SAFETY: `&mut value` is a valid out-pointer.
        (unsafe { (driver().get_limit)(&mut value, limit) }, value)
    };
    let found = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(get);
    let sizes = [(0, 1024), (0, 8_650_752), (0, 8_388_608), (215, 0), (0, 2048)];
    assert_eq!(found[..5], sizes);
    assert_eq!(found[5..], [(0, 64), (0, 9_830_400), (0, 232_448), (0, 0), (215, 0)]);
    assert_eq!((get(-1), get(10)), ((1, 0), (1, 0)), "unknown");
    // SAFETY: no pointer is passed.
    let set = [3, 7, 8, 9, 10].map(|limit| unsafe { (driver().set_limit)(limit, 1) });
    assert_eq!(set, [215, 800, 800, 215, 1], "cannot be set");
}

/// In a process of its own, because a capture in the global mode forbids calls of all threads.
#[test]
fn captures_forbid_limits_and_attached_memory() {
    let output = run_child("captures", &[]);
    assert!(output.status.success(), "{output:?}");
}

/// Sets a limit, and attaches memory to a stream, beside a capture in each mode.
fn limits_and_attached_memory_beside_captures() {
    let context = Context::new(0);
    let (captured, beside) = (context.stream(1), context.stream(1));
    let mut memory = 0;
    // SAFETY: the out-pointer is valid.
    ok(unsafe { (driver().mem_managed)(&mut memory, 4096, 1) });
    let capture = |mode, call: &dyn Fn() -> c_int| {
        let mut graph = null_mut();
        // SAFETY: the simulator checks every handle, and the out-pointer is valid.
        unsafe {
            ok((driver().begin_capture)(captured, mode));
            let code = call();
            (code, (driver().end_capture)(captured, &mut graph))
        }
    };
    // SAFETY: no pointer is passed.
    let set_limit = || unsafe { (driver().set_limit)(0, 2048) };
    // SAFETY: the simulator checks every handle and address.
    let attach = |stream, memory| unsafe { (driver().stream_attach)(stream, memory, 0, 1) };
    for mode in 0..3 {
        let expected = if mode == 2 { (0, 0) } else { (900, 901) };
        assert_eq!(capture(mode, &set_limit), expected, "mode {mode}");
        assert_eq!(capture(mode, &|| attach(captured, memory)), (900, 901), "mode {mode}");
        assert_eq!(capture(mode, &|| attach(captured, 0)), (900, 901), "mode {mode}");
        assert_eq!(capture(mode, &|| attach(beside, memory)), expected, "mode {mode}");
    }
}

#[test]
fn flags_of_records_and_graphs_are_checked() {
    let context = Context::new(0);
    let (stream, event) = (context.stream(1), context.event());
    let (mut graph, mut executable) = (null_mut(), null_mut());
    // SAFETY: the simulator checks every handle, and the out-pointers are valid.
    unsafe {
        ok((driver().event_record_with)(event, stream, 0));
        assert_eq!((driver().event_record_with)(event, stream, 1), 401, "no capture");
        ok((driver().begin_capture)(stream, 2));
        ok((driver().end_capture)(stream, &mut graph));
        for flags in 0..=16 {
            let expected = c_int::from(!matches!(flags, 0 | 1 | 8 | 9));
            let code = (driver().graph_instantiate)(&mut executable, graph, flags);
            assert_eq!(code, expected, "flags {flags}");
            // With a stream for the upload, the flag 2 is allowed too.
            let expected = c_int::from(!matches!(flags & !2, 0 | 1 | 8 | 9));
            let code =
                (driver().graph_instantiate_with)(&mut executable, graph, &mut [flags, 0, 0, 0]);
            assert_eq!(code, expected, "flags {flags} and a stream");
        }
    }
}

#[test]
fn unknown_kernel_runs_without_effect_only_if_asked_for() {
    let name = |name: &str| CString::new(name).expect("a name");
    assert_eq!(Context::new(0).function(&name("unknown")), Err(801));
    let output = run_child("empty kernels", &[("CUDA_SIM_EMPTY_KERNELS", "1")]);
    assert!(output.status.success(), "{output:?}");
}

/// Runs the parts that need a process of their own.
#[test]
fn child() {
    match support::child().as_deref() {
        Some("hidden") => {
            assert_eq!(find(c"cuStreamGetId", 12_000, 0), (0, 0, true));
            assert_eq!(find(c"cuGreenCtxCreate", 12_000, 0), (0, 1, false));
        }
        Some("captures") => limits_and_attached_memory_beside_captures(),
        Some("empty kernels") => {
            let context = Context::new(0);
            let (stream, words) = (context.stream(1), context.words(2));
            context.gate(stream, &words[0]);
            ok(context.launch(c"unknown", stream, &mut []));
            context.store(stream, &words[1], 3);
            set(&words[0], 1);
            context.synchronize(stream);
            assert_eq!(get(&words[1]), 3);
        }
        _ => {}
    }
}
