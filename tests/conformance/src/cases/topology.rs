//! Shapes of several streams: fork, join, chains, diamonds, many to one and one to many.

use super::support::*;

/// Checks that every branch of a fork runs after the source's work so far.
pub fn fork_orders_every_branch<F: Fixture>(fx: &F) -> Outcome {
    let (source, gate) = gated(fx)?;
    let before = work(fx, &source)?;
    let branches = streams(fx, 4)?;
    source.fork(&branches)?;
    let mut after = Vec::new();
    for branch in &branches {
        let copy = fx.data(source.device(), 7)?;
        fx.copy(branch, &before, &copy)?;
        after.push((work(fx, branch)?, copy));
    }
    for (branch, (data, _)) in branches.iter().zip(&after) {
        check_held(fx, &[&source, branch], data)?;
    }
    fx.open(&gate);
    for (branch, (data, copy)) in branches.iter().zip(&after) {
        branch.synchronize()?;
        check_done(fx, data)?;
        check_eq(fx.load(copy)?, 1, "what the branch saw of the source's work")?;
    }
    Ok(())
}

/// Checks that all branches wait for one record, made at the call: work that is submitted to the
/// source during the call holds back none of them.
pub fn fork_makes_one_record<F: Fixture>(fx: &F) -> Outcome {
    let source = stream(fx)?;
    let branches = streams(fx, 2)?;
    let mut gate = None;
    // The iterator yields the second branch after the source was held back.
    let handed_out = branches.iter().enumerate().map(|(index, branch)| {
        if index == 1 {
            gate = Some(fx.gate(&source));
        }
        branch
    });
    source.fork(handed_out)?;
    let gate = gate.ok_or_else(|| Verdict::failed("fork did not come to the second branch"))??;
    for branch in &branches {
        let data = work(fx, branch)?;
        check_goes_on(fx, &[branch], &data)?;
    }
    fx.open(&gate);
    Ok(source.synchronize()?)
}

/// Checks that work that is submitted to the source after a fork is not waited for.
pub fn fork_is_a_snapshot<F: Fixture>(fx: &F) -> Outcome {
    let source = stream(fx)?;
    let branches = streams(fx, 2)?;
    source.fork(&branches)?;
    let gate = fx.gate(&source)?;
    for branch in &branches {
        let data = work(fx, branch)?;
        check_goes_on(fx, &[branch], &data)?;
    }
    fx.open(&gate);
    Ok(source.synchronize()?)
}

/// Checks that a stream among its own branches is skipped, in a fork and in a join.
pub fn fork_and_join_skip_the_stream_itself<F: Fixture>(fx: &F) -> Outcome {
    let (source, gate) = gated(fx)?;
    let other = stream(fx)?;
    let branches = [source.clone(), other.clone(), source.clone()];
    source.fork(&branches)?;
    source.join(&branches)?;
    let (mine, theirs) = (work(fx, &source)?, work(fx, &other)?);
    check_held(fx, &[&source], &mine)?;
    check_held(fx, &[&source, &other], &theirs)?;
    fx.open(&gate);
    check_goes_on(fx, &[&source, &other], &theirs)?;
    check_goes_on(fx, &[&other, &source], &mine)
}

/// Checks that with no branch, fork and join do nothing.
pub fn fork_and_join_of_nothing<F: Fixture>(fx: &F) -> Outcome {
    let (source, gate) = gated(fx)?;
    let none: [StreamOf<F>; 0] = [];
    source.fork(&none)?;
    source.join(&none)?;
    let data = work(fx, &source)?;
    check_held(fx, &[&source], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&source], &data)
}

/// Checks that after a join, later work waits for every branch, the last as well as the first.
pub fn join_waits_for_every_branch<F: Fixture>(fx: &F) -> Outcome {
    for held in 0..3 {
        let branches = streams(fx, 3)?;
        let target = stream(fx)?;
        let gate = fx.gate(&branches[held])?;
        let before = work(fx, &branches[held])?;
        target.join(&branches)?;
        let data = work(fx, &target)?;
        check_held(fx, &[&branches[0], &branches[1], &branches[2], &target], &data)?;
        fx.open(&gate);
        target.synchronize()?;
        check_done(fx, &before)?;
        check_done(fx, &data)?;
    }
    Ok(())
}

/// Checks that work that is submitted to a branch after the join is not waited for.
pub fn join_is_a_snapshot<F: Fixture>(fx: &F) -> Outcome {
    let branches = streams(fx, 2)?;
    let target = stream(fx)?;
    target.join(&branches)?;
    let gate = fx.gate(&branches[1])?;
    let data = work(fx, &target)?;
    check_goes_on(fx, &[&branches[0], &target], &data)?;
    fx.open(&gate);
    Ok(branches[1].synchronize()?)
}

/// Checks that in repeated rounds of fork and join over many streams, each branch sees the number
/// of its own round.
pub fn fork_and_join_in_rounds<F: Fixture>(fx: &F) -> Outcome {
    let (main, gate) = gated(fx)?;
    let branches = streams(fx, 3)?;
    let device = main.device();
    let source = fx.data(device, 0)?;
    let mut copies = Vec::new();
    for round in 1..=10 {
        fx.store(&main, &source, round)?;
        main.fork(&branches)?;
        for branch in &branches {
            let copy = fx.data(device, 0)?;
            fx.copy(branch, &source, &copy)?;
            copies.push((round, copy));
        }
        main.join(&branches)?;
    }
    fx.open(&gate);
    main.synchronize()?;
    for (round, copy) in &copies {
        check_eq(fx.load(copy)?, *round, "a branch's copy")?;
    }
    Ok(())
}

/// Checks that a number travels along a chain of streams, each of which waits for the previous one.
pub fn chain_of_streams<F: Fixture>(fx: &F) -> Outcome {
    let chain = streams(fx, 32)?;
    let gate = fx.gate(&chain[0])?;
    let device = chain[0].device();
    let numbers: Vec<_> =
        (0..=chain.len()).map(|_| fx.data(device, 0)).collect::<Result<_, _>>()?;
    fx.store(&chain[0], &numbers[0], 1)?;
    for (index, stream) in chain.iter().enumerate() {
        if index > 0 {
            stream.wait_stream(&chain[index - 1])?;
        }
        fx.copy(stream, &numbers[index], &numbers[index + 1])?;
    }
    let order: Vec<_> = chain.iter().collect();
    let last = &numbers[chain.len()];
    check_held(fx, &order, last)?;
    fx.open(&gate);
    chain[chain.len() - 1].synchronize()?;
    for number in &numbers {
        check_done(fx, number)?;
    }
    Ok(())
}

/// Checks that in a diamond, one stream to two and back to one, the end sees the work of both sides
/// and of the beginning.
pub fn diamond<F: Fixture>(fx: &F) -> Outcome {
    let (top, gate) = gated(fx)?;
    let (left, right, bottom) = (stream(fx)?, stream(fx)?, stream(fx)?);
    let start = work(fx, &top)?;
    let fresh = || fx.data(top.device(), 0);
    let (by_left, by_right, end_left, end_right) = (fresh()?, fresh()?, fresh()?, fresh()?);
    left.wait_stream(&top)?;
    right.wait_stream(&top)?;
    fx.copy(&left, &start, &by_left)?;
    fx.copy(&right, &start, &by_right)?;
    bottom.wait_stream(&left)?;
    bottom.wait_stream(&right)?;
    fx.copy(&bottom, &by_left, &end_left)?;
    fx.copy(&bottom, &by_right, &end_right)?;
    check_held(fx, &[&top, &left, &right, &bottom], &end_right)?;
    fx.open(&gate);
    bottom.synchronize()?;
    check_done(fx, &end_left)?;
    check_done(fx, &end_right)
}

/// Checks that many streams wait for one event, and all of them continue when it is reached.
pub fn many_wait_for_one<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let event = first.record_event()?;
    let waiters = streams(fx, 32)?;
    let mut after = Vec::new();
    for waiter in &waiters {
        waiter.wait_event(&event)?;
        after.push(work(fx, waiter)?);
    }
    for (waiter, data) in waiters.iter().zip(&after) {
        check_held(fx, &[&first, waiter], data)?;
    }
    fx.open(&gate);
    for (waiter, data) in waiters.iter().zip(&after) {
        waiter.synchronize()?;
        check_done(fx, data)?;
    }
    Ok(())
}

/// Checks that one stream waits for many, and continues only after the last of them.
pub fn one_waits_for_many<F: Fixture>(fx: &F) -> Outcome {
    let (held, gates): (Vec<_>, Vec<_>) =
        (0..8).map(|_| gated(fx)).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
    let waiter = stream(fx)?;
    for stream in &held {
        waiter.wait_stream(stream)?;
    }
    let data = work(fx, &waiter)?;
    let mut order: Vec<_> = held.iter().collect();
    order.push(&waiter);
    for gate in &gates {
        check_held(fx, &order, &data)?;
        fx.open(gate);
    }
    waiter.synchronize()?;
    check_done(fx, &data)
}

/// Checks that waits are transitive: in a chain of waits, the last stream waits for the first, too.
pub fn waits_are_transitive<F: Fixture>(fx: &F) -> Outcome {
    let (first, gate) = gated(fx)?;
    let (middle, last) = (stream(fx)?, stream(fx)?);
    middle.wait_stream(&first)?;
    // Only the wait is submitted to the middle stream.
    last.wait_stream(&middle)?;
    let data = work(fx, &last)?;
    check_held(fx, &[&first, &middle, &last], &data)?;
    fx.open(&gate);
    check_goes_on(fx, &[&first, &middle, &last], &data)
}
