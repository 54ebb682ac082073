//! Shrinks a failing program: [`ShrinkTree`], a proptest value tree.

use std::sync::Arc;

use proptest::strategy::ValueTree;

use crate::check::{Limits, repair};
use crate::order::Order;
use crate::program::{Op, Program, Statement};

/// Program, and the smaller programs that result from removing parts of it.
#[derive(Debug)]
pub struct ShrinkTree {
    limits: Limits,
    /// Smallest failing program so far.
    best: Program,
    /// Order of the current candidate.
    order: Arc<Order>,
    /// Number of statements that are removed at a time; 0 while single words are changed.
    chunk: usize,
    /// Position of the next change, in statements from the end or in words.
    position: usize,
    /// `true` if this round has made the program smaller.
    has_shrunk: bool,
}

impl ShrinkTree {
    /// Creates the tree of a valid program.
    pub fn new(order: Order, limits: Limits) -> Self {
        let best = order.program.clone();
        let chunk = best.0.len().div_ceil(2);
        ShrinkTree { limits, best, order: Arc::new(order), chunk, position: 0, has_shrunk: false }
    }

    /// Returns the order of [`current`](ValueTree::current).
    pub fn order(&self) -> &Arc<Order> {
        &self.order
    }

    /// Moves to the next candidate that differs from the best program. Returns `false` if there is none.
    fn next(&mut self) -> bool {
        loop {
            let candidate = match self.chunk {
                0 => self.change_a_word(),
                chunk => {
                    let mut statements = self.best.0.clone();
                    // From the end, because nothing depends on the last statements.
                    let end = statements.len().checked_sub(self.position);
                    end.filter(|end| *end > 0).map(|end| {
                        statements.drain(end.saturating_sub(chunk)..end);
                        Program(statements)
                    })
                }
            };
            let Some(candidate) = candidate else {
                match (self.chunk, self.has_shrunk) {
                    (0, false) => return false,
                    (0, true) => (self.chunk, self.has_shrunk) = (1, false),
                    (1, true) => self.has_shrunk = false,
                    (chunk, _) => self.chunk = chunk / 2,
                }
                self.position = 0;
                continue;
            };
            let order = repair(&candidate, &self.limits);
            if order.program != self.best {
                self.order = Arc::new(order);
                return true;
            }
            self.position += self.chunk.max(1);
        }
    }

    /// Makes the change with the number `position`: removes a read or branch, or moves a statement to thread 0.
    fn change_a_word(&self) -> Option<Program> {
        let mut number = self.position;
        for (index, statement) in self.best.0.iter().enumerate() {
            let list = match &statement.op {
                Op::Task { reads, .. } => reads.len(),
                Op::Fork { branches, .. } | Op::Join { branches, .. } => branches.len(),
                _ => 0,
            };
            if number > list {
                number -= list + 1;
                continue;
            }
            let mut program = self.best.clone();
            match &mut program.0[index] {
                statement if number == list => statement.thread = 0,
                Statement { op: Op::Task { reads: all, .. }, .. }
                | Statement { op: Op::Fork { branches: all, .. }, .. }
                | Statement { op: Op::Join { branches: all, .. }, .. } => drop(all.remove(number)),
                _ => {}
            }
            return Some(program);
        }
        None
    }
}

impl ValueTree for ShrinkTree {
    type Value = Program;

    fn current(&self) -> Program {
        self.order.program.clone()
    }

    /// Keeps the current program, which fails, and removes more.
    fn simplify(&mut self) -> bool {
        if self.order.program != self.best {
            self.has_shrunk = true;
            self.best = self.order.program.clone();
        }
        self.next()
    }

    /// Restores the best program, because the current one passes, and removes something else.
    fn complicate(&mut self) -> bool {
        self.position += self.chunk.max(1);
        if self.next() {
            return true;
        }
        self.order = Arc::new(repair(&self.best, &self.limits));
        false
    }
}
