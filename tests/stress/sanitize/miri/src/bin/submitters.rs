//! Threads submit to one stream concurrently, destroy busy streams, and help to run work while they wait.

use std::sync::Arc;
use std::thread;

use gpu_stream_core::{Backend, Stream};
use gpu_stream_host::{Gate, Host};
use gpu_stream_miri::{Number, adds, stream};

fn main() {
    let (shared, number) = (stream(0), Arc::new(Number::default()));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..4 {
                    shared.launch(adds(&number)).expect("launch");
                    let (own, held) = (stream(1), Gate::new(shared.device()).expect("gate"));
                    own.wait_event(held.event()).expect("wait");
                    own.wait_stream(&shared).expect("wait");
                    own.launch(|| ()).expect("launch");
                    let done = own.record_event().expect("event");
                    drop((own, held));
                    gpu_stream_core::Event::synchronize(&done).expect("synchronize");
                }
                let mine = Host::per_thread_stream(shared.device()).expect("stream");
                mine.wait_stream(&shared).expect("wait");
                mine.synchronize().expect("synchronize");
            });
        }
    });
    shared.synchronize().expect("synchronize");
    assert_eq!(number.add(), 13);
}
