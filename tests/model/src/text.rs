//! Reads a program from its text.

use std::str::FromStr;

use crate::program::{EventKind, Op, Program, Statement, StreamKind};

/// A line that is no statement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {text:?} is no statement: {why}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// The line, without its comment.
    pub text: String,
    /// What is wrong, and what would be right.
    pub why: Why,
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// A number is missing, or is not one from 0 to 63.
    #[error("{word:?} should be {letter:?} and a number from 0 to 63")]
    Name {
        /// What is there.
        word: String,
        /// s for a stream, e for an event, t for a task, g for a gate, c for a channel; a blank for
        /// a device or a thread, which go by the number alone.
        letter: char,
    },
    /// No such thing can be done.
    #[error("there is no {word:?}; README.md of gpu-stream-model lists what there is")]
    Verb {
        /// What is there.
        word: String,
    },
    /// Something comes behind the end.
    #[error("{word:?} is too much")]
    TooMuch {
        /// What is there.
        word: String,
    },
}

/// The numbers of streams, events, tasks and gates are below this.
pub const NAMES: u8 = 64;

struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn word(&mut self) -> &'a str {
        self.0.next().unwrap_or("")
    }

    fn name(&mut self, letter: char) -> Result<u8, Why> {
        name(self.word(), letter)
    }

    fn names(&mut self, letter: char) -> Result<Vec<u8>, Why> {
        self.0.by_ref().map(|word| name(word, letter)).collect()
    }
}

fn name(word: &str, letter: char) -> Result<u8, Why> {
    let digits = if letter == ' ' { Some(word) } else { word.strip_prefix(letter) };
    let plain = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = plain.and_then(|digits| digits.parse().ok()).filter(|number| *number < NAMES);
    number.ok_or_else(|| Why::Name { word: word.into(), letter })
}

impl FromStr for Program {
    type Err = ParseError;

    /// Reads statements, one in a line; `#` begins a comment.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut statements = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let parsed = statement(line).map_err(|why| ParseError {
                line: index + 1,
                text: line.into(),
                why,
            })?;
            statements.push(parsed);
        }
        Ok(Program(statements))
    }
}

fn statement(line: &str) -> Result<Statement, Why> {
    let (thread, rest) = match line.split_once(':') {
        Some((thread, rest)) => (name(thread.trim(), ' ')?, rest),
        None => (0, line),
    };
    let mut words = Words(rest.split_whitespace());
    let op = op(&mut words)?;
    match words.0.next() {
        Some(word) => Err(Why::TooMuch { word: word.into() }),
        None => Ok(Statement { thread, op }),
    }
}

fn op(words: &mut Words<'_>) -> Result<Op, Why> {
    let first = words.word();
    let unknown = |word: &str| Err(Why::Verb { word: word.into() });
    match first {
        "open" => return Ok(Op::Open { gate: words.name('g')? }),
        "look" => return Ok(Op::Check),
        "barrier" => return Ok(Op::Barrier),
        "tell" => return Ok(Op::Send { channel: words.name('c')? }),
        "hear" => return Ok(Op::Recv { channel: words.name('c')? }),
        "query" | "sync" | "drop" => {
            let what = words.word();
            let is_event = what.starts_with('e');
            let number = name(what, if is_event { 'e' } else { 's' })?;
            return Ok(match (first, is_event) {
                ("query", false) => Op::Query { stream: number },
                ("query", true) => Op::QueryEvent { event: number },
                ("sync", false) => Op::Sync { stream: number },
                ("sync", true) => Op::SyncEvent { event: number },
                (_, false) => Op::DropStream { stream: number },
                (_, true) => Op::DropEvent { event: number },
            });
        }
        _ => {}
    }
    let verb = words.word();
    if verb == "=" && first.starts_with('e') {
        let event = name(first, 'e')?;
        let sort = match words.word() {
            "record" => return Ok(Op::RecordNew { event, stream: words.name('s')? }),
            "event" => EventKind::Plain,
            "timed" => EventKind::Timed,
            "blocking" => EventKind::Blocking,
            other => return unknown(other),
        };
        return Ok(Op::Event { event, sort, device: words.name(' ')? });
    }
    if !matches!(verb, "=" | "task" | "gate" | "record" | "wait" | "fork" | "join") {
        return unknown(if verb.is_empty() { first } else { verb });
    }
    let stream = name(first, 's')?;
    Ok(match verb {
        "=" => {
            let sort = match words.word() {
                "clone" => return Ok(Op::Clone { stream, of: words.name('s')? }),
                "stream" => StreamKind::New,
                "owner" => StreamKind::Owner,
                "raw" => StreamKind::Raw,
                "default" => StreamKind::Default,
                "own" => StreamKind::Own,
                other => return unknown(other),
            };
            Op::Stream { stream, sort, device: words.name(' ')? }
        }
        "task" => {
            let task = words.name('t')?;
            let reads = match words.word() {
                "" => Vec::new(),
                "reads" => words.names('t')?,
                other => return Err(Why::TooMuch { word: other.into() }),
            };
            Op::Task { stream, task, reads }
        }
        "gate" => Op::Gate { stream, gate: words.name('g')? },
        "record" => Op::Record { stream, event: words.name('e')? },
        "fork" => Op::Fork { stream, branches: words.names('s')? },
        "join" => Op::Join { stream, branches: words.names('s')? },
        _ => match words.word() {
            what if what.starts_with('e') => Op::Wait { stream, event: name(what, 'e')? },
            what => Op::WaitStream { stream, other: name(what, 's')? },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "\
s0 = stream 0
s1 = owner 0
s2 = raw 1
s3 = default 0
s4 = own 1
s5 = clone s0
e0 = event 0
e1 = timed 0
e2 = blocking 1
e3 = record s0
s0 task t0
s1 task t1 reads t0 t2
s0 gate g0
open g0
s0 record e0
s1 wait e0
s1 wait s0
s0 fork s1 s2
s0 join s1
query s0
query e0
sync s0
sync e0
look
drop s0
drop e0
barrier
1: tell c0
2: hear c0
";

    #[test]
    fn a_program_reads_as_it_is_written() {
        let program: Program = ALL.parse().unwrap();
        assert_eq!(program.to_string(), ALL);
        assert_eq!((program.threads(), program.devices()), (3, 2));
        let again: Program = "# nothing\n\n  s0   task t0 # and why\n".parse().unwrap();
        assert_eq!(again.to_string(), "s0 task t0\n");
    }

    #[test]
    fn what_is_no_statement_is_named() {
        let cases = [
            ("s0 task", "\"\" should be 't'"),
            ("s0 task t0 read t1", "\"read\" is too much"),
            ("s64 task t0", "\"s64\" should be 's'"),
            ("s+1 task t0", "\"s+1\" should be 's'"),
            ("s0 jump", "there is no \"jump\""),
            ("hello", "there is no \"hello\""),
            ("e0 record s0", "\"e0\" should be 's'"),
            ("s0 = streams 0", "there is no \"streams\""),
            ("e0 = streams 0", "there is no \"streams\""),
            ("s0 = stream x", "\"x\" should be ' '"),
            ("x: look", "\"x\" should be ' '"),
            ("query", "\"\" should be 's'"),
            ("look twice", "\"twice\" is too much"),
        ];
        for (text, why) in cases {
            let error = format!("look\n{text}\n").parse::<Program>().unwrap_err();
            assert_eq!((error.line, error.text.as_str()), (2, text));
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
