//! Tests of [`HostFuncs`].

use std::sync::Arc;

use super::*;

const STREAM: StreamKey = StreamKey { scope: 1, handle: 16, id: Some(1) };
const OTHER: StreamKey = StreamKey { scope: 2, handle: 32, id: Some(2) };

fn taken(funcs: &HostFuncs, func: HostFunc, stream: StreamKey) -> *mut c_void {
    let mut key = std::ptr::null_mut();
    let launched = funcs.launch(func, stream, |user_data| {
        key = user_data;
        Ok::<_, ()>(())
    });
    launched.expect("the driver took it");
    key
}

#[test]
fn closure_runs_once_for_repeated_driver_calls() {
    let (funcs, panics, count) = (HostFuncs::new(), Panics::new(), Arc::new(()));
    let (ran, held) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&count));
    let inside = Arc::clone(&ran);
    let key = taken(
        &funcs,
        Box::new(move || {
            assert!(is_inside());
            inside.fetch_add(1, Ordering::SeqCst);
            drop(held);
        }),
        STREAM,
    );
    for _ in 0..3 {
        funcs.run(key, &panics);
    }
    assert_eq!((ran.load(Ordering::SeqCst), Arc::strong_count(&count), funcs.len()), (1, 1, 0));
    assert!(!is_inside());
}

#[test]
fn refused_launch_drops_the_closure_and_a_late_call_finds_nothing() {
    let (funcs, panics, held) = (HostFuncs::new(), Panics::new(), Arc::new(()));
    let inner = Arc::clone(&held);
    let mut key = std::ptr::null_mut();
    let launched = funcs.launch(Box::new(move || drop(inner)), STREAM, |user_data| {
        key = user_data;
        Err("refused")
    });
    assert_eq!(launched, Err("refused"));
    assert_eq!(Arc::strong_count(&held), 1);
    funcs.run(key, &panics);
    assert!(funcs.is_empty());
}

#[test]
fn key_of_a_used_slot_finds_nothing_and_slots_are_used_again() {
    let (funcs, panics, ran) = (HostFuncs::new(), Panics::new(), Arc::new(AtomicUsize::new(0)));
    let launch = || {
        let ran = Arc::clone(&ran);
        taken(&funcs, Box::new(move || _ = ran.fetch_add(1, Ordering::SeqCst)), STREAM)
    };
    let mut old = Vec::new();
    for round in 0..5 {
        let keys = [launch(), launch(), launch()];
        old.iter().for_each(|key| funcs.run(*key, &panics));
        assert_eq!((ran.load(Ordering::SeqCst), funcs.len()), (3 * round, 3));
        keys.iter().for_each(|key| funcs.run(*key, &panics));
        old.extend(keys);
    }
    old.sort_unstable();
    old.dedup();
    assert_eq!((old.len(), funcs.table().slots.len()), (15, 3));
}

/// A burst of launches leaves no memory behind, and the keys of its slots stay used up.
#[test]
fn slots_of_a_burst_are_freed_and_their_keys_find_nothing() {
    let (funcs, panics, ran) = (HostFuncs::new(), Panics::new(), Arc::new(AtomicUsize::new(0)));
    let launch = || {
        let ran = Arc::clone(&ran);
        taken(&funcs, Box::new(move || _ = ran.fetch_add(1, Ordering::SeqCst)), STREAM)
    };
    let burst = KEPT + 1;
    let mut old = Vec::new();
    for round in 1..4 {
        let keys: Vec<_> = (0..burst).map(|_| launch()).collect();
        old.iter().for_each(|key| funcs.run(*key, &panics));
        assert_eq!((ran.load(Ordering::SeqCst), funcs.len()), ((round - 1) * burst, burst));
        match round {
            2 => funcs.cancel(|_| true),
            _ => keys.iter().for_each(|key| funcs.run(*key, &panics)),
        }
        ran.store(round * burst, Ordering::SeqCst);
        assert_eq!((funcs.len(), funcs.table().slots.capacity()), (0, 0));
        old.extend(keys);
    }
    old.sort_unstable();
    old.dedup();
    assert_eq!(old.len(), 3 * burst);
}

#[test]
fn slots_stay_if_one_has_no_key_left() {
    let (funcs, panics) = (HostFuncs::new(), Panics::new());
    let launch = || taken(&funcs, Box::new(|| {}), STREAM);
    let keys: Vec<_> = (0..=KEPT).map(|_| launch()).collect();
    keys.iter().for_each(|key| funcs.run(*key, &panics));
    let first = launch();
    funcs.run(first, &panics);
    funcs.table().slots.resize_with(KEPT + 1, || Slot {
        uses: u32::MAX,
        next_empty: NONE,
        waiting: None,
    });
    funcs.run(launch(), &panics);
    let next = launch();
    assert_eq!(funcs.table().slots.len(), KEPT + 1);
    funcs.run(next, &panics);
    assert!(funcs.is_empty());
}

#[test]
fn slot_with_no_key_left_stays_empty() {
    let (funcs, panics) = (HostFuncs::new(), Panics::new());
    funcs.run(taken(&funcs, Box::new(|| {}), STREAM), &panics);
    funcs.table().slots[0].uses = u32::MAX - 1;
    let last = taken(&funcs, Box::new(|| {}), STREAM);
    funcs.run(last, &panics);
    let next = taken(&funcs, Box::new(|| {}), STREAM);
    assert_eq!((last.addr() >> 32, next.addr()), (u32::MAX as usize, 1 << 32 | 1));
}

#[test]
fn cancelled_closures_are_dropped_in_the_order_of_their_launches() {
    struct Drops(usize, Arc<Mutex<Vec<usize>>>);
    impl Drop for Drops {
        fn drop(&mut self) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let (funcs, panics, dropped) = (HostFuncs::new(), Panics::new(), Arc::default());
    let launch = |number| {
        let drops = Drops(number, Arc::clone(&dropped));
        taken(&funcs, Box::new(move || drop(drops)), STREAM)
    };
    let first = [launch(0), launch(1), launch(2)];
    // The slots are used again in another order.
    first.into_iter().for_each(|key| funcs.run(key, &panics));
    (3..7).for_each(|number| _ = launch(number));
    funcs.cancel(|_| true);
    assert_eq!(*dropped.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn closures_after_a_panic_are_dropped_on_that_stream_only() {
    let (funcs, panics, held) = (HostFuncs::new(), Panics::new(), Arc::new(()));
    let fails = || Box::new(|| std::panic::resume_unwind(Box::new("meant to fail")));
    let key = taken(&funcs, fails(), STREAM);
    let (inner, outer) = (Arc::clone(&held), Arc::new(AtomicUsize::new(0)));
    let behind = taken(&funcs, Box::new(move || panic!("runs with {inner:?}")), STREAM);
    let ran = Arc::clone(&outer);
    let elsewhere = taken(&funcs, Box::new(move || _ = ran.fetch_add(1, Ordering::SeqCst)), OTHER);
    [key, behind, elsewhere].into_iter().for_each(|key| funcs.run(key, &panics));
    assert_eq!((Arc::strong_count(&held), outer.load(Ordering::SeqCst)), (1, 1));
    assert!(panics.has(STREAM) && !panics.has(OTHER));
}

#[test]
fn cancelled_closures_are_dropped_without_the_lock() {
    struct Asks(Arc<HostFuncs>, bool);
    impl Drop for Asks {
        fn drop(&mut self) {
            // Takes the lock of the table.
            self.0.cancel(|_| false);
            if self.1 {
                std::panic::resume_unwind(Box::new("a destructor's own"));
            }
        }
    }
    let (funcs, panics) = (Arc::new(HostFuncs::new()), Panics::new());
    let locking = |panics| {
        let asks = Asks(Arc::clone(&funcs), panics);
        Box::new(move || drop(asks))
    };
    let keys = [
        taken(&funcs, locking(true), STREAM),
        taken(&funcs, locking(true), STREAM),
        taken(&funcs, locking(false), STREAM),
    ];
    let alive = taken(&funcs, locking(false), OTHER);
    funcs.cancel(|stream| stream.scope == STREAM.scope);
    assert_eq!((funcs.len(), Arc::strong_count(&funcs)), (1, 2));
    keys.into_iter().for_each(|key| funcs.run(key, &panics));
    funcs.run(alive, &panics);
    assert_eq!((funcs.len(), Arc::strong_count(&funcs)), (0, 1));
}
