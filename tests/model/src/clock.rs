//! Vector clocks, and the order in which the threads of a program make their calls.

use crate::program::{Op, Program, Statement};

/// How much of each of several chains comes before something. A missing part is none.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Clock(Vec<u16>);

impl Clock {
    /// How much of this chain.
    pub fn get(&self, chain: usize) -> u16 {
        self.0.get(chain).copied().unwrap_or(0)
    }

    /// Sets how much of this chain.
    pub fn set(&mut self, chain: usize, count: u16) {
        if self.0.len() <= chain {
            self.0.resize(chain + 1, 0);
        }
        self.0[chain] = count;
    }

    /// Whatever comes before one of the two.
    pub fn join(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// What comes before both of the two.
    pub fn meet(&mut self, other: &Clock) {
        self.0.truncate(other.0.len());
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).min(*theirs);
        }
    }

    /// Whether all of this is in `other`.
    pub fn is_within(&self, other: &Clock) -> bool {
        self.0.iter().enumerate().all(|(chain, count)| *count <= other.get(chain))
    }
}

/// What [`Calls::undo`] needs.
#[derive(Clone, Debug)]
pub struct Mark(Vec<Clock>);

/// Which statement comes before which, by the threads' own order, barriers and channels.
#[derive(Clone, Debug)]
pub struct Calls {
    threads: usize,
    /// What each thread knows to be over: how many statements of each.
    known: Vec<Clock>,
    messages: Vec<Option<Clock>>,
    /// Of each statement: its thread, its number there, and what is over when it begins.
    all: Vec<(usize, u16, Clock)>,
}

impl Calls {
    /// No statement yet.
    pub fn new(threads: usize) -> Self {
        Calls {
            threads,
            known: vec![Clock::default(); threads],
            messages: Vec::new(),
            all: Vec::new(),
        }
    }

    /// Those of a whole program.
    pub fn of(program: &Program) -> Self {
        let mut calls = Calls::new(program.threads());
        program.0.iter().for_each(|statement| drop(calls.push(statement)));
        calls
    }

    /// The next statement. [`undo`](Self::undo) takes it back.
    pub fn push(&mut self, statement: &Statement) -> Mark {
        let thread = usize::from(statement.thread);
        if self.threads == 1 {
            // In order, all of them: there is nothing to keep.
            return Mark(Vec::new());
        }
        let mark = Mark(self.known.clone());
        match statement.op {
            Op::Barrier => {
                let mut all = Clock::default();
                self.known.iter().for_each(|known| all.join(known));
                self.all.push((0, all.get(0), all.clone()));
                // Everybody's own count goes on, by the barrier itself.
                (0..self.threads).for_each(|thread| all.set(thread, all.get(thread) + 1));
                self.known.fill(all);
                return mark;
            }
            Op::Recv { channel } => {
                if let Some(Some(messages)) = self.messages.get(usize::from(channel)) {
                    self.known[thread].join(messages);
                }
            }
            _ => {}
        }
        let before = self.known[thread].clone();
        let number = before.get(thread);
        self.known[thread].set(thread, number + 1);
        if let Op::Send { channel } = statement.op {
            let channel = usize::from(channel);
            self.messages.resize(self.messages.len().max(channel + 1), None);
            self.messages[channel] = Some(self.known[thread].clone());
        }
        self.all.push((thread, number, before));
        mark
    }

    /// Takes back the statement that was pushed last. What it told stays, and nobody may hear it.
    pub fn undo(&mut self, mark: Mark) {
        if self.threads > 1 {
            self.known = mark.0;
            self.all.pop();
        }
    }

    /// The thread of a statement; 0 for a barrier.
    pub fn thread(&self, statement: usize) -> usize {
        self.all.get(statement).map_or(0, |(thread, _, _)| *thread)
    }

    /// Whether statement `first` is over before statement `second` begins.
    pub fn before(&self, first: usize, second: usize) -> bool {
        if self.threads == 1 {
            return first < second;
        }
        // Behind the last statement there is none.
        let (Some((thread, number, _)), Some((_, _, over))) =
            (self.all.get(first), self.all.get(second))
        else {
            return false;
        };
        over.get(*thread) > *number
    }
}
