//! Executors of others.

use std::future::Future;
use std::sync::mpsc::channel;

use gpu_stream_async::DoneExt;

use super::support::*;

/// Runs an executor on a thread of its own, and gives up if it does not end.
fn within_the_limit(executor: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(executor()));
    receive.recv_timeout(limit()).map_err(|_| Verdict::failed("the executor hangs"))?
}

/// Returns a program: two streams in a ring of waits, awaited after each step.
fn program<F: Fixture>(fx: &F) -> Result<impl Future<Output = Outcome> + Send + 'static, Verdict> {
    let (left, right) = (stream(fx)?, stream(fx)?);
    let gate = fx.gate(&left)?;
    let mut first = left.done()?;
    check_pending(fx, &[&left], &mut first)?;
    fx.open(&gate);
    Ok(async move {
        first.await?;
        for round in 0..100 {
            right.wait_stream(&left)?;
            left.wait_stream(&right)?;
            let (outcome, value) = left.done()?.with(round).await;
            outcome?;
            check(value == round, "another value came back")?;
            right.done()?.await?;
        }
        Ok(())
    })
}

/// Checks `futures::executor::block_on`.
pub fn futures_executor<F: Fixture>(fx: &F) -> Outcome {
    let program = program(fx)?;
    within_the_limit(|| futures::executor::block_on(program))
}

/// Checks tokio's executor of one thread and that of several.
pub fn tokio<F: Fixture>(fx: &F) -> Outcome {
    use tokio::runtime::Builder;

    for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let programs = (0..8).map(|_| program(fx)).collect::<Result<Vec<_>, _>>()?;
        within_the_limit(move || {
            let runtime = builder.worker_threads(4).build()?;
            runtime.block_on(async {
                let tasks: Vec<_> = programs.into_iter().map(tokio::spawn).collect();
                for task in tasks {
                    task.await??;
                }
                Ok(())
            })
        })?;
    }
    Ok(())
}

/// Checks smol.
pub fn smol<F: Fixture>(fx: &F) -> Outcome {
    let programs = (0..8).map(|_| program(fx)).collect::<Result<Vec<_>, _>>()?;
    within_the_limit(move || {
        smol::block_on(async {
            let tasks: Vec<_> = programs.into_iter().map(smol::spawn).collect();
            for task in tasks {
                task.await?;
            }
            Ok(())
        })
    })
}
