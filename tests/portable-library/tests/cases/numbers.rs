//! Results, arguments and kinds of streams.

use gpu_stream::PlainHandles;
use gpu_stream::prelude::*;
use gpu_stream_conformance::Fixture;
use gpu_stream_portable_library::{Error, Vector, saxpy, sum};

use gpu_stream_test_support::skip;

use super::{Around, Setup, counting, need, sum_of};

pub fn results_are_right_for_every_length<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    for (len, lanes) in [(0, 0), (1, 0), (255, 1), (256, 2), (1000, 3), (70_001, 0), (70_001, 3)] {
        let (_, lanes) = setup.lanes(&caller, lanes);
        let x = Vector::<B>::new(&caller.stream, &counting(len)).unwrap();
        let mut y = Vector::new(&caller.stream, &vec![1.0; len]).unwrap();
        let mut total = Vector::new(&caller.stream, &[7.0]).unwrap();
        saxpy(&caller.stream, 2.0, &x, &mut y).unwrap();
        sum(&caller.stream, &lanes, &y, &mut total).unwrap();
        let wanted: Vec<f32> = counting(len).iter().map(|value| 1.0 + 2.0 * value).collect();
        setup.check(&format!("y, of {len}"), &y, &wanted);
        setup.check(
            &format!("the sum of {len}, {} lanes", lanes.len()),
            &total,
            &[sum_of(&wanted)],
        );
    }
    setup.end();
}

pub fn wrong_arguments_are_errors<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let caller = setup.foreign::<B>();
    let vector = |len| Vector::<B>::new(&caller.stream, &vec![1.0; len]).unwrap();
    let (x, mut y, mut empty) = (vector(3), vector(4), vector(0));
    let refused = [
        (saxpy(&caller.stream, 1.0, &x, &mut y), "x has 3 elements and y has 4"),
        (sum(&caller.stream, &[], &x, &mut empty), "`to` is empty"),
    ];
    for (result, text) in refused {
        let Err(Error::Argument(seen)) = result else { panic!("{text}: {result:?}") };
        assert!(seen.contains(text), "{seen}");
    }
    let devices = need(setup.fixture.devices());
    if let Some(second) = devices.get(1) {
        let elsewhere = F::Backend::new_stream(*second, StreamOptions::new()).unwrap();
        let result = sum(&B::around(&elsewhere), &[], &x, &mut y);
        let Err(Error::Argument(seen)) = result else { panic!("{result:?}") };
        assert!(seen.contains(&second.to_string()), "{seen}");
        let result = sum(&caller.stream, &[B::around(&elsewhere)], &x, &mut y);
        assert!(matches!(&result, Err(Error::Argument(_))), "{result:?}");
    }
    setup.check("y, which nothing has changed", &y, &[1.0; 4]);
}

pub fn default_streams_can_be_the_caller<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let home = setup.foreign::<B>();
    let x = Vector::<B>::new(&home.stream, &counting(1000)).unwrap();
    let mut y = Vector::new(&home.stream, &[0.0; 1000]).unwrap();
    let (device, mut total) = (setup.device(), Vector::new(&home.stream, &[0.0]).unwrap());
    let default = match B::default_stream(device) {
        Err(error) if error.kind() == ErrorKind::Unsupported => skip(&error.to_string()),
        default => default.unwrap(),
    };
    saxpy(&default, 2.0, &x, &mut y).unwrap();
    let mine = B::per_thread_stream(device).unwrap();
    match saxpy(&mine, 1.0, &x, &mut y) {
        Err(Error::NoKernels(reason)) => skip(&reason),
        done => done.unwrap(),
    }
    sum(&mine, &[], &y, &mut total).unwrap();
    setup.check("the sum", &total, &[3.0 * sum_of(&counting(1000))]);
    setup.end();
}

pub fn thread_is_left_as_found<F, B>(setup: &Setup<F>)
where
    F: Fixture<Backend: PlainHandles>,
    B: Around<F::Backend>,
{
    let (caller, found) = (setup.foreign::<B>(), need(setup.fixture.thread_state()));
    let x = Vector::<B>::new(&caller.stream, &[1.0]).unwrap();
    let mut y = Vector::new(&caller.stream, &[1.0]).unwrap();
    saxpy(&caller.stream, 1.0, &x, &mut y).unwrap();
    drop(x);
    assert_eq!(need(setup.fixture.thread_state()), found);
    setup.check("y", &y, &[2.0]);
    assert_eq!(need(setup.fixture.thread_state()), found, "after a read");
}
