//! Captures, which the caller begins, ends and launches by the vendor's own calls.

use gpu_stream::PlainHandles;
use gpu_stream::prelude::*;
use gpu_stream_conformance::{CaptureMode, Fixture};
use gpu_stream_portable_library::{Error, Vector, saxpy, sum};
use gpu_stream_test_support::skip;

use super::{Around, Setup, counting, need, sum_of};

const LEN: usize = 1000;

pub fn new_vector_in_a_capture_is_an_error<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    need(setup.fixture.begin_capture(&caller.vendor, CaptureMode::Global));
    let made = Vector::<B>::new(&caller.stream, &[1.0]).map(drop);
    need(setup.fixture.end_capture(&caller.vendor, false));
    let Err(Error::Argument(text)) = made else { panic!("{made:?}") };
    assert!(text.contains("is capturing"), "{text}");
}

pub fn captured_work_runs_at_each_launch<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    let x = Vector::<B>::new(&caller.stream, &counting(LEN)).unwrap();
    let mut y = Vector::new(&caller.stream, &[0.0; LEN]).unwrap();
    caller.stream.synchronize().unwrap();
    for launches in 1..=2 {
        need(setup.fixture.begin_capture(&caller.vendor, CaptureMode::Global));
        saxpy(&caller.stream, 1.0, &x, &mut y).unwrap();
        saxpy(&caller.stream, 1.0, &x, &mut y).unwrap();
        need(setup.fixture.end_capture(&caller.vendor, true));
        let wanted: Vec<f32> =
            counting(LEN).iter().map(|value| 2.0 * launches as f32 * value).collect();
        setup.check("y, which only the launch changes", &y, &wanted);
    }
    setup.end();
}

pub fn captured_sum_allocates_in_the_graph<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    let (_, lanes) = setup.lanes(&caller, 2);
    let x = Vector::<B>::new(&caller.stream, &counting(LEN)).unwrap();
    let mut total = Vector::new(&caller.stream, &[0.0]).unwrap();
    caller.stream.synchronize().unwrap();
    need(setup.fixture.begin_capture(&caller.vendor, CaptureMode::Global));
    let submitted = sum(&caller.stream, &lanes, &x, &mut total);
    need(setup.fixture.end_capture(&caller.vendor, submitted.is_ok()));
    match submitted {
        Ok(()) => setup.check("the sum", &total, &[sum_of(&counting(LEN))]),
        Err(Error::Driver { call, code: 801 }) => {
            skip(&format!("this driver does not allocate in a capture: {call} returned 801"))
        }
        Err(error) => panic!("{error}"),
    }
    setup.end();
}
