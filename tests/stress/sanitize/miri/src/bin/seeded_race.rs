//! Seeded bug that Miri must detect: two unordered streams use one number.

use std::sync::Arc;

use gpu_stream_core::Stream;
use gpu_stream_miri::{Number, adds, stream};

fn main() {
    let (one, other, number) = (stream(0), stream(0), Arc::new(Number::default()));
    for stream in [&one, &other] {
        for _ in 0..20 {
            stream.launch(adds(&number)).expect("launch");
        }
    }
    one.synchronize().expect("synchronize");
    other.synchronize().expect("synchronize");
}
