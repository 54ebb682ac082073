//! Vector clocks (Fidge 1988, Mattern 1988), and the order of the calls of a program: [`Clock`], [`CallOrder`].

use crate::program::{Op, Program, Statement};

/// Vector clock: for each chain, the number of its steps that happen before something. Missing entries are 0.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Clock(Vec<u16>);

impl Clock {
    /// Returns the number of steps of a chain.
    pub fn get(&self, chain: usize) -> u16 {
        self.0.get(chain).copied().unwrap_or(0)
    }

    /// Sets the number of steps of a chain.
    pub fn set(&mut self, chain: usize, count: u16) {
        if self.0.len() <= chain {
            self.0.resize(chain + 1, 0);
        }
        self.0[chain] = count;
    }

    /// Adds what happens before `other` (least upper bound).
    pub fn join(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(*other);
        }
    }

    /// Keeps only what also happens before `other` (greatest lower bound).
    pub fn meet(&mut self, other: &Clock) {
        self.0.truncate(other.0.len());
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).min(*other);
        }
    }

    /// Returns `true` if all steps of this clock are in `other`.
    pub fn is_within(&self, other: &Clock) -> bool {
        self.0.iter().enumerate().all(|(chain, count)| *count <= other.get(chain))
    }
}

/// State that [`CallOrder::undo`] restores.
#[derive(Clone, Debug)]
pub struct UndoState(Vec<Clock>);

/// Happens-before order of the statements: by thread, barrier and channel.
#[derive(Clone, Debug)]
pub struct CallOrder {
    threads: usize,
    /// For each thread, the statements of every thread that happen before its next one.
    known: Vec<Clock>,
    /// For each channel, the clock of its sender.
    messages: Vec<Option<Clock>>,
    /// For each statement: its thread, its number in that thread, and what happens before it.
    all: Vec<(usize, u16, Clock)>,
}

impl CallOrder {
    /// Creates an order without statements.
    pub fn new(threads: usize) -> Self {
        CallOrder {
            threads,
            known: vec![Clock::default(); threads],
            messages: Vec::new(),
            all: Vec::new(),
        }
    }

    /// Creates the order of a whole program.
    pub fn of(program: &Program) -> Self {
        let mut calls = CallOrder::new(program.threads());
        program.0.iter().for_each(|statement| drop(calls.push(statement)));
        calls
    }

    /// Appends a statement. [`undo`](Self::undo) removes it again.
    pub fn push(&mut self, statement: &Statement) -> UndoState {
        let thread = usize::from(statement.thread);
        if self.threads == 1 {
            // One thread is totally ordered, so nothing is stored.
            return UndoState(Vec::new());
        }
        let undo = UndoState(self.known.clone());
        match statement.op {
            Op::Barrier => {
                let mut all = Clock::default();
                self.known.iter().for_each(|known| all.join(known));
                self.all.push((0, all.get(0), all.clone()));
                // The barrier counts as one statement of each thread.
                (0..self.threads).for_each(|thread| all.set(thread, all.get(thread) + 1));
                self.known.fill(all);
                return undo;
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
        undo
    }

    /// Removes the statement that was pushed last. A message that it sent stays, and must not be received.
    pub fn undo(&mut self, undo: UndoState) {
        if self.threads > 1 {
            self.known = undo.0;
            self.all.pop();
        }
    }

    /// Returns the number of threads whose calls are not in the order of the text.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Returns the thread of a statement; 0 for a barrier.
    pub fn thread(&self, statement: usize) -> usize {
        self.all.get(statement).map_or(0, |(thread, _, _)| *thread)
    }

    /// Returns `true` if statement `first` is over before statement `second` begins.
    pub fn before(&self, first: usize, second: usize) -> bool {
        if self.threads == 1 {
            return first < second;
        }
        // An index after the last statement has no order.
        let (Some((thread, number, _)), Some((_, _, over))) =
            (self.all.get(first), self.all.get(second))
        else {
            return false;
        };
        over.get(*thread) > *number
    }
}
