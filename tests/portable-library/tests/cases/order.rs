//! Order: gates hold streams back, and no call waits for them.

use gpu_stream::PlainHandles;
use gpu_stream::prelude::*;
use gpu_stream_conformance::Fixture;
use gpu_stream_portable_library::{Vector, saxpy, sum};

use super::{Around, Setup, counting, sum_of};

const LEN: usize = 5000;

pub fn lanes_wait_for_the_caller<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    let (vendor_lanes, lanes) = setup.lanes(&caller, 2);
    let x = Vector::<B>::new(&caller.stream, &counting(LEN)).unwrap();
    let mut y = Vector::new(&caller.stream, &[1.0; LEN]).unwrap();
    let mut total = Vector::new(&caller.stream, &[0.0]).unwrap();
    caller.stream.synchronize().unwrap();
    let gate = setup.gate(&caller.vendor);
    saxpy(&caller.stream, 1.0, &x, &mut y).unwrap(); // held back
    sum(&caller.stream, &lanes, &y, &mut total).unwrap();
    // A lane that does not wait has run by now.
    setup.fixture.settle(&[&caller.vendor, &vendor_lanes[0], &vendor_lanes[1]]);
    assert!(!lanes[0].query().unwrap() && !lanes[1].query().unwrap(), "the lanes are held back");
    setup.fixture.open(&gate);
    let wanted = sum_of(&counting(LEN)) + LEN as f32;
    setup.check("the sum, which reads what the caller's earlier work wrote", &total, &[wanted]);
}

pub fn caller_waits_for_the_lanes<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    let (vendor_lanes, lanes) = setup.lanes(&caller, 2);
    let x = Vector::<B>::new(&caller.stream, &counting(LEN)).unwrap();
    let mut total = Vector::new(&caller.stream, &[0.0]).unwrap();
    let mut copy = Vector::new(&caller.stream, &[0.0]).unwrap();
    caller.stream.synchronize().unwrap();
    let gate = setup.gate(&vendor_lanes[1]);
    sum(&caller.stream, &lanes, &x, &mut total).unwrap();
    saxpy(&caller.stream, 1.0, &total, &mut copy).unwrap();
    setup.fixture.settle(&[&caller.vendor, &vendor_lanes[0], &vendor_lanes[1]]);
    assert!(!caller.stream.query().unwrap(), "the caller waits for the lane");
    setup.fixture.open(&gate);
    setup.check("what the caller's later work read", &copy, &[sum_of(&counting(LEN))]);
}

pub fn vector_of_another_stream_is_used_in_order<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let (home, other) = (setup.foreign::<B>(), setup.foreign::<B>());
    let mut x = Vector::<B>::new(&home.stream, &[1.0; LEN]).unwrap();
    let one = Vector::new(&home.stream, &[1.0; LEN]).unwrap();
    let mut y = Vector::new(&other.stream, &[0.0; LEN]).unwrap();
    other.stream.synchronize().unwrap();
    home.stream.synchronize().unwrap();
    let gate = setup.gate(&home.vendor);
    saxpy(&home.stream, 1.0, &one, &mut x).unwrap(); // x = 2, held back
    saxpy(&other.stream, 1.0, &x, &mut y).unwrap(); // y = 2
    saxpy(&home.stream, 1.0, &one, &mut x).unwrap(); // x = 3, after y
    setup.fixture.settle(&[&home.vendor, &other.vendor]);
    assert!(!other.stream.query().unwrap(), "the other stream waits for the vector's home");
    setup.fixture.open(&gate);
    setup.check("y", &y, &[2.0; LEN]);
    setup.check("x", &x, &[3.0; LEN]);
}

pub fn dropped_vector_is_freed_after_its_work<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let (caller, other) = (setup.foreign::<B>(), setup.foreign::<B>());
    let x = Vector::<B>::new(&caller.stream, &counting(LEN)).unwrap();
    let mut y = Vector::new(&caller.stream, &[0.0; LEN]).unwrap();
    caller.stream.synchronize().unwrap();
    let gate = setup.gate(&caller.vendor);
    saxpy(&caller.stream, 3.0, &x, &mut y).unwrap(); // held back
    drop(x);
    // Memory that was freed too early would be used again here, for other numbers.
    let more: Vec<_> =
        (0..8).map(|_| Vector::<B>::new(&other.stream, &[-1.0; LEN]).unwrap()).collect();
    // Does not wait for the writes: CUDA's pool may make them wait for the memory that `caller` frees.
    setup.fixture.settle(&[&caller.vendor, &other.vendor]);
    setup.fixture.open(&gate);
    let wanted: Vec<f32> = counting(LEN).iter().map(|value| 3.0 * value).collect();
    setup.check("y", &y, &wanted);
    drop(more);
    setup.end();
}
