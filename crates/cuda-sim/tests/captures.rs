//! Captures: destroyed members, capture info, and the launches of a captured graph.
//!
//! The tests run one at a time, because a query on another thread breaks a global capture.
#![cfg(target_os = "linux")]

mod support;

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use support::{Context, Ptr, address, driver, get, ok, set};

const MODES: [c_int; 3] = [0, 1, 2];

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin(stream: Ptr, mode: c_int) {
    // SAFETY: the simulator checks every handle.
    ok(unsafe { (driver().begin_capture)(stream, mode) });
}

fn end(stream: Ptr) -> Result<Ptr, c_int> {
    let mut graph = null_mut();
    // SAFETY: `&mut graph` is a valid out-pointer.
    match unsafe { (driver().end_capture)(stream, &mut graph) } {
        0 => Ok(graph),
        code => Err(code),
    }
}

fn status(stream: Ptr) -> c_int {
    let mut status = -1;
    // SAFETY: `&mut status` is a valid out-pointer.
    ok(unsafe { (driver().capture_status)(stream, &mut status) });
    status
}

/// Makes `waiter` wait for the work that `source` has so far. Returns the code of the wait.
fn wait(context: &Context, waiter: Ptr, source: Ptr) -> c_int {
    let event = context.event();
    // SAFETY: the simulator checks every handle. The event is not needed after the wait.
    unsafe {
        ok((driver().event_record)(event, source));
        let code = (driver().stream_wait_event)(waiter, event, 0);
        ok((driver().event_destroy)(event));
        code
    }
}

fn launch(graph: Ptr, stream: Ptr) {
    let mut executable = null_mut();
    // SAFETY: `&mut executable` is a valid out-pointer.
    unsafe {
        ok((driver().graph_instantiate)(&mut executable, graph, 0));
        ok((driver().graph_launch)(executable, stream));
    }
}

/// A library with its own streams does this: fork, work, join, destroy.
#[test]
fn capture_survives_destruction_of_a_joined_stream() {
    let (_alone, context) = (alone(), Context::new(0));
    let [from, to] = context.words(2) else { unreachable!() };
    for mode in MODES {
        let (origin, branch) = (context.stream(1), context.stream(1));
        set(from, 0);
        set(to, 0);
        begin(origin, mode);
        context.store(origin, from, 7);
        ok(wait(&context, branch, origin));
        context.copy(branch, to, from);
        ok(wait(&context, origin, branch));
        // SAFETY: the branch is not used afterwards.
        ok(unsafe { (driver().stream_destroy)(branch) });
        assert_eq!(status(origin), 1, "mode {mode}");
        let graph = end(origin).unwrap_or_else(|code| panic!("mode {mode}: {code}"));
        assert_eq!(get(to), 0, "captured work ran");
        launch(graph, origin);
        context.synchronize(origin);
        assert_eq!(get(to), 7, "mode {mode}");
    }
}

#[test]
fn capture_survives_destruction_of_a_stream_without_work() {
    let (_alone, context) = (alone(), Context::new(0));
    for mode in MODES {
        let (origin, branch) = (context.stream(1), context.stream(1));
        begin(origin, mode);
        ok(wait(&context, branch, origin));
        // SAFETY: the branch is not used afterwards.
        ok(unsafe { (driver().stream_destroy)(branch) });
        assert_eq!(status(origin), 1, "mode {mode}");
        assert!(end(origin).is_ok(), "mode {mode}");
    }
}

/// The branch's work can no longer be joined.
#[test]
fn capture_is_unjoined_after_destruction_of_a_stream_with_work() {
    let (_alone, context) = (alone(), Context::new(0));
    let words = context.words(1);
    for mode in MODES {
        let (origin, branch) = (context.stream(1), context.stream(1));
        begin(origin, mode);
        ok(wait(&context, branch, origin));
        context.store(branch, &words[0], 1);
        // SAFETY: the branch is not used afterwards.
        ok(unsafe { (driver().stream_destroy)(branch) });
        assert_eq!(status(origin), 1, "mode {mode}");
        assert_eq!(end(origin), Err(904), "mode {mode}");
    }
}

/// The capture ends for its other members.
#[test]
fn capture_ends_with_destruction_of_its_origin() {
    let (_alone, context) = (alone(), Context::new(0));
    for mode in MODES {
        let (origin, branch) = (context.stream(1), context.stream(1));
        begin(origin, mode);
        ok(wait(&context, branch, origin));
        // SAFETY: the origin is not used afterwards.
        ok(unsafe { (driver().stream_destroy)(origin) });
        assert_eq!((status(branch), end(branch)), (0, Err(401)), "mode {mode}");
        assert_eq!(context.query(branch), 0, "a capture is left");
    }
}

#[test]
fn wait_for_outside_work_breaks_the_capture_with_a_specific_code() {
    let (_alone, context) = (alone(), Context::new(0));
    let word = &context.words(1)[0];
    for mode in MODES {
        let (first, second, outside) = (context.stream(1), context.stream(1), context.stream(1));
        set(word, 0);
        // Covers pending work and finished work.
        for is_done in [false, true] {
            context.gate(outside, word);
            set(word, u32::from(is_done));
            begin(first, mode);
            assert_eq!(wait(&context, first, outside), 905, "mode {mode}");
            assert_eq!((status(first), end(first)), (2, Err(901)), "mode {mode}");
            set(word, 1);
            context.synchronize(outside);
        }
        begin(first, mode);
        begin(second, mode);
        assert_eq!(wait(&context, first, second), 902, "mode {mode}");
        assert_eq!([status(first), status(second)], [2, 2]);
        assert_eq!([end(first), end(second)], [Err(901); 2]);
        // The reverse is no error: the waiting stream joins the capture.
        begin(first, mode);
        assert_eq!(wait(&context, outside, first), 0);
        assert_eq!([status(first), status(outside)], [1, 1]);
        assert!(end(first).is_ok());
        assert_eq!(status(outside), 0);
    }
}

/// The capture info of a stream.
#[derive(PartialEq, Debug)]
struct Info {
    status: c_int,
    id: u64,
    graph: Ptr,
    nodes: Vec<Ptr>,
}

/// Returns the capture info. Checks that both versions of the function agree, and that v3 reports
/// zeros for the edges.
fn info(stream: Ptr) -> Info {
    let (mut status, mut id, mut graph) = (-1, 0, null_mut());
    let (mut nodes, mut edges, mut count) = (std::ptr::null(), std::ptr::null(), 0);
    let copy = |nodes: *const Ptr, count| match count {
        0 => Vec::new(),
        // SAFETY: the driver's array has `count` elements.
        _ => unsafe { std::slice::from_raw_parts(nodes, count) }.to_vec(),
    };
    let all = driver();
    // SAFETY: each pointer is null or a valid out-pointer.
    unsafe {
        let capture_info = all.capture_info_v3;
        ok(capture_info(
            stream,
            &mut status,
            &mut id,
            &mut graph,
            &mut nodes,
            &mut edges,
            &mut count,
        ));
        let newer = Info { status, id, graph, nodes: copy(nodes, count) };
        if count > 0 {
            assert!(std::slice::from_raw_parts(edges, count).iter().all(|&edge| edge == 0));
        }
        let capture_info = all.capture_info;
        ok(capture_info(stream, &mut status, &mut id, &mut graph, &mut nodes, &mut count));
        assert_eq!(newer, Info { status, id, graph, nodes: copy(nodes, count) });
        // Every out-pointer but the status may be null. The nodes may not be null if the edges are
        // requested.
        ok(capture_info(stream, &mut status, null_mut(), null_mut(), null_mut(), null_mut()));
        assert_eq!(
            (all.capture_info_v3)(
                stream,
                &mut status,
                null_mut(),
                null_mut(),
                null_mut(),
                &mut edges,
                null_mut()
            ),
            1
        );
        newer
    }
}

#[test]
fn capture_info_reports_id_graph_and_dependencies() {
    let (_alone, context) = (alone(), Context::new(0));
    let (origin, branch) = (context.stream(1), context.stream(1));
    let words = context.words(1);
    let nothing = Info { status: 0, id: 0, graph: null_mut(), nodes: vec![] };
    assert_eq!(info(origin), nothing);
    begin(origin, 1);
    let start = info(origin);
    assert_eq!((start.status, start.nodes.len()), (1, 0));
    assert!(start.id != 0 && !start.graph.is_null());
    context.store(origin, &words[0], 1);
    ok(wait(&context, branch, origin));
    let first = info(origin);
    assert_eq!(first.nodes.len(), 1);
    assert_eq!(info(branch), first, "a member reports the same");
    context.store(branch, &words[0], 2);
    context.store(origin, &words[0], 3);
    ok(wait(&context, origin, branch));
    let (joined, of_branch) = (info(origin), info(branch));
    assert_eq!((joined.nodes.len(), of_branch.nodes.len()), (2, 1));
    assert!(joined.nodes.contains(&of_branch.nodes[0]) && !joined.nodes.contains(&first.nodes[0]));
    assert_eq!((joined.id, joined.graph), (start.id, start.graph));
    let graph = end(origin).expect("a graph");
    assert_eq!(graph, start.graph);
    let (mut nodes, mut count) = ([null_mut(); 4], 0);
    // SAFETY: the out-pointers are valid, and the array has as many elements as `count` says.
    unsafe {
        ok((driver().graph_nodes)(graph, null_mut(), &mut count));
        assert_eq!(count, 3);
        count = 4;
        ok((driver().graph_nodes)(graph, nodes.as_mut_ptr(), &mut count));
    }
    assert_eq!((count, nodes[3]), (3, null_mut()));
    assert!(joined.nodes.iter().all(|node| nodes.contains(node)));
    assert_eq!(info(origin), nothing);
    begin(origin, 1);
    assert_ne!(info(origin).id, start.id, "another capture");
    context.query(origin);
    assert_eq!(info(origin).status, 2);
    assert_eq!(end(origin), Err(901));
}

/// Each launch of the graph calls the function again, in its place and with the same argument.
#[test]
fn captured_host_function_runs_in_each_launch() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn call(argument: *mut c_void) {
        // SAFETY: the argument is the word that was stored to before.
        let before = unsafe { AtomicU32::from_ptr(argument.cast()) };
        assert_eq!(before.load(Ordering::SeqCst), 7);
        CALLS.fetch_add(1, Ordering::SeqCst);
    }
    let (_alone, context) = (alone(), Context::new(0));
    let stream = context.stream(1);
    let word = &context.words(1)[0];
    begin(stream, 1);
    context.store(stream, word, 7);
    // SAFETY: the word is never freed.
    ok(unsafe { (driver().launch_host_func)(stream, call, word.as_ptr().cast()) });
    context.store(stream, word, 8);
    let graph = end(stream).expect("a graph");
    let (mut plain, mut older, mut newer) = (null_mut(), null_mut(), null_mut());
    let mut parameters = [1; 4];
    // SAFETY: the out-pointers are valid.
    unsafe {
        ok((driver().graph_instantiate)(&mut plain, graph, 0));
        ok((driver().graph_instantiate_v2)(&mut older, graph, null_mut(), null_mut(), 0));
        ok((driver().graph_instantiate_with)(&mut newer, graph, &mut parameters));
        // Flags and stream are the caller's. No node failed, and the result is 0.
        assert_eq!(parameters[..3], [1, 1, 0]);
        assert_eq!(parameters[3] as u32, 0);
        assert_eq!(CALLS.load(Ordering::SeqCst), 0, "captured work ran");
        for (launches, executable) in [plain, plain, older, newer].into_iter().enumerate() {
            ok((driver().graph_launch)(executable, stream));
            context.synchronize(stream);
            assert_eq!(CALLS.load(Ordering::SeqCst) as usize, launches + 1);
            assert_eq!(get(word), 8);
        }
    }
}

/// A captured copy from ordinary memory reads it at each launch. Outside of a capture, the call reads it.
#[test]
fn captured_copy_reads_ordinary_memory_at_the_launch() {
    let (_alone, context) = (alone(), Context::new(0));
    let stream = context.stream(1);
    let [word, other] = context.words(2) else { unreachable!() };
    let source = Box::leak(Box::new(AtomicU32::new(1)));
    let from = source.as_ptr().cast_const().cast::<c_void>();
    begin(stream, 0);
    // SAFETY: all three words are never freed.
    unsafe {
        ok((driver().mem_copy_in_async)(address(word), from, 4, stream));
        ok((driver().mem_copy_async)(address(other), address(source), 4, stream));
    }
    let graph = end(stream).expect("a graph");
    for value in [2, 3] {
        set(source, value);
        launch(graph, stream);
        context.synchronize(stream);
        assert_eq!((get(word), get(other)), (value, value));
    }
    let gate = &context.words(1)[0];
    context.gate(stream, gate);
    // SAFETY: both words are never freed.
    ok(unsafe { (driver().mem_copy_in_async)(address(word), from, 4, stream) });
    set(source, 4);
    set(gate, 1);
    context.synchronize(stream);
    assert_eq!(get(word), 3);
}
