//! Parses a program from its text.

use std::str::FromStr;

use gpu_stream_core::Access;

use crate::program::{EventKind, Op, Program, Statement, StreamKind};

/// Error for a line that is not a statement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {text:?} is not a statement: {why}")]
pub struct ParseError {
    /// Number of the line, counted from 1.
    pub line: usize,
    /// Text of the line, without its comment.
    pub text: String,
    /// Reason.
    pub why: ParseErrorKind,
}

/// Reason why a line is not a statement.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseErrorKind {
    /// A name is missing, or its number is not from 0 to 63.
    #[error("{word:?} is not a name; write {letter:?} and a number from 0 to 63")]
    Name {
        /// The word.
        word: String,
        /// The letter: `s` for a stream, `e` for an event, `t` for a task, `g` for a gate, `c` for a channel, `r` for
        /// a region.
        /// A blank for a device or thread, which is a number alone.
        letter: char,
    },
    /// The operation does not exist.
    #[error("{word:?} is not an operation; use one that README.md of gpu-stream-model lists")]
    Operation {
        /// The word.
        word: String,
    },
    /// A range of bytes is missing, or its bounds are not numbers from 0 to 255 in order.
    #[error("{word:?} is not a range of bytes; write it as 0..4, up to 0..255")]
    Bytes {
        /// The word.
        word: String,
    },
    /// A word follows the end of the statement.
    #[error("{word:?} follows the end of the statement; remove it")]
    Trailing {
        /// The word.
        word: String,
    },
}

/// Upper bound of the numbers of streams, events, tasks, gates, channels and regions.
pub const NAMES: u8 = 64;

/// Remaining words of a line.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl<'a> Words<'a> {
    /// Returns the next word, or an empty string at the end.
    fn word(&mut self) -> &'a str {
        self.0.next().unwrap_or("")
    }

    fn name(&mut self, letter: char) -> Result<u8, ParseErrorKind> {
        name(self.word(), letter)
    }

    fn names(&mut self, letter: char) -> Result<Vec<u8>, ParseErrorKind> {
        self.0.by_ref().map(|word| name(word, letter)).collect()
    }

    /// Returns the two bounds of a range of bytes.
    fn bytes(&mut self) -> Result<(u8, u8), ParseErrorKind> {
        let word = self.word();
        let bounds = word.split_once("..").and_then(|(start, end)| {
            let (start, end) = (start.parse().ok()?, end.parse().ok()?);
            (start <= end).then_some((start, end))
        });
        bounds.ok_or_else(|| ParseErrorKind::Bytes { word: word.into() })
    }
}

/// Parses a letter and a number. With a blank as the letter, parses a number.
fn name(word: &str, letter: char) -> Result<u8, ParseErrorKind> {
    let digits = if letter == ' ' { Some(word) } else { word.strip_prefix(letter) };
    let plain = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let number = plain.and_then(|digits| digits.parse().ok()).filter(|number| *number < NAMES);
    number.ok_or_else(|| ParseErrorKind::Name { word: word.into(), letter })
}

impl FromStr for Program {
    type Err = ParseError;

    /// Parses one statement in each line. `#` begins a comment.
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

fn statement(line: &str) -> Result<Statement, ParseErrorKind> {
    let (thread, rest) = match line.split_once(':') {
        Some((thread, rest)) => (name(thread.trim(), ' ')?, rest),
        None => (0, line),
    };
    let mut words = Words(rest.split_whitespace());
    let op = op(&mut words)?;
    match words.0.next() {
        Some(word) => Err(ParseErrorKind::Trailing { word: word.into() }),
        None => Ok(Statement { thread, op }),
    }
}

/// Parses the operation of a statement.
fn op(words: &mut Words<'_>) -> Result<Op, ParseErrorKind> {
    let first = words.word();
    match first {
        "open" => return Ok(Op::Open { gate: words.name('g')? }),
        "check" => return Ok(Op::Check),
        "barrier" => return Ok(Op::Barrier),
        "send" => return Ok(Op::Send { channel: words.name('c')? }),
        "recv" => return Ok(Op::Recv { channel: words.name('c')? }),
        "capture" => return Ok(Op::BeginCapture { stream: words.name('s')? }),
        "end" => return Ok(Op::EndCapture { stream: words.name('s')? }),
        "elapsed" => {
            let (event, start) = (words.name('e')?, words.name('e')?);
            return Ok(Op::Elapsed { event, start });
        }
        "query" | "sync" | "drop" => return stream_or_event_op(first, words.word()),
        _ => {}
    }
    let verb = words.word();
    if verb == "=" && first.starts_with('e') {
        return new_event(name(first, 'e')?, words);
    }
    if verb == "=" && first.starts_with('r') {
        return new_region(name(first, 'r')?, words);
    }
    let is_verb = matches!(verb, "=" | "task" | "gate" | "record" | "wait" | "fork" | "join");
    if !is_verb && access(verb).is_none() {
        return unknown(if verb.is_empty() { first } else { verb });
    }
    if let Some(access) = access(verb) {
        let stream = if first == "host" { None } else { Some(name(first, 's')?) };
        let (region, (start, end)) = (words.name('r')?, words.bytes()?);
        return Ok(match stream {
            Some(stream) => Op::Access { stream, access, region, start, end },
            None => Op::HostAccess { access, region, start, end },
        });
    }
    let stream = name(first, 's')?;
    Ok(match verb {
        "=" => return new_stream(stream, words),
        "task" => {
            let task = words.name('t')?;
            let reads = match words.word() {
                "" => Vec::new(),
                "reads" => words.names('t')?,
                other => return Err(ParseErrorKind::Trailing { word: other.into() }),
            };
            Op::Task { stream, task, reads }
        }
        "gate" => Op::Gate { stream, gate: words.name('g')? },
        "record" => Op::Record { stream, event: words.name('e')? },
        "fork" => Op::Fork { stream, branches: words.names('s')? },
        "join" => Op::Join { stream, branches: words.names('s')? },
        _ => match words.word() {
            target if target.starts_with('e') => Op::Wait { stream, event: name(target, 'e')? },
            target => Op::WaitStream { stream, other: name(target, 's')? },
        },
    })
}

/// Returns the access of a verb.
fn access(verb: &str) -> Option<Access> {
    match verb {
        "reads" => Some(Access::Read),
        "writes" => Some(Access::Write),
        "releases" => Some(Access::Release),
        _ => None,
    }
}

fn unknown(word: &str) -> Result<Op, ParseErrorKind> {
    Err(ParseErrorKind::Operation { word: word.into() })
}

/// Parses `query`, `sync` or `drop` with its stream or event.
fn stream_or_event_op(verb: &str, target: &str) -> Result<Op, ParseErrorKind> {
    let is_event = target.starts_with('e');
    let number = name(target, if is_event { 'e' } else { 's' })?;
    Ok(match (verb, is_event) {
        ("query", false) => Op::Query { stream: number },
        ("query", true) => Op::QueryEvent { event: number },
        ("sync", false) => Op::Sync { stream: number },
        ("sync", true) => Op::SyncEvent { event: number },
        (_, false) => Op::DropStream { stream: number },
        (_, true) => Op::DropEvent { event: number },
    })
}

/// Parses what follows `e0 =`.
fn new_event(event: u8, words: &mut Words<'_>) -> Result<Op, ParseErrorKind> {
    let kind = match words.word() {
        "record" => return Ok(Op::RecordNew { event, stream: words.name('s')? }),
        "event" => EventKind::Plain,
        "timed" => EventKind::Timed,
        "blocking" => EventKind::Blocking,
        other => return unknown(other),
    };
    Ok(Op::Event { event, kind, device: words.name(' ')? })
}

/// Parses what follows `r0 =`.
fn new_region(region: u8, words: &mut Words<'_>) -> Result<Op, ParseErrorKind> {
    match words.word() {
        "region" => {
            let (start, end) = words.bytes()?;
            Ok(Op::Region { region, start, end })
        }
        other => unknown(other),
    }
}

/// Parses what follows `s0 =`.
fn new_stream(stream: u8, words: &mut Words<'_>) -> Result<Op, ParseErrorKind> {
    let kind = match words.word() {
        "clone" => return Ok(Op::Clone { stream, of: words.name('s')? }),
        "stream" => StreamKind::New,
        "owner" => StreamKind::Owner,
        "raw" => StreamKind::Raw,
        "default" => StreamKind::Default,
        "own" => StreamKind::Own,
        "blocking" => StreamKind::Blocking,
        other => return unknown(other),
    };
    Ok(Op::Stream { stream, kind, device: words.name(' ')? })
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
s6 = blocking 0
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
check
drop s0
drop e0
r0 = region 0..16
s0 reads r0 0..4
s1 writes r0 8..16
s1 releases r0 0..16
host writes r0 0..0
elapsed e0 e1
capture s0
end s0
barrier
1: send c0
2: recv c0
";

    #[test]
    fn text_round_trips_through_a_program() {
        let program: Program = ALL.parse().unwrap();
        assert_eq!(program.to_string(), ALL);
        assert_eq!((program.threads(), program.devices()), (3, 2));
        let again: Program = "# nothing\n\n  s0   task t0 # and why\n".parse().unwrap();
        assert_eq!(again.to_string(), "s0 task t0\n");
    }

    #[test]
    fn parse_names_the_wrong_word() {
        let cases = [
            ("s0 task", "\"\" is not a name; write 't'"),
            ("s0 task t0 read t1", "\"read\" follows the end"),
            ("s64 task t0", "\"s64\" is not a name; write 's'"),
            ("s+1 task t0", "\"s+1\" is not a name; write 's'"),
            ("s0 jump", "\"jump\" is not an operation"),
            ("hello", "\"hello\" is not an operation"),
            ("e0 record s0", "\"e0\" is not a name; write 's'"),
            ("s0 = streams 0", "\"streams\" is not an operation"),
            ("e0 = streams 0", "\"streams\" is not an operation"),
            ("s0 = stream x", "\"x\" is not a name; write ' '"),
            ("x: check", "\"x\" is not a name; write ' '"),
            ("query", "\"\" is not a name; write 's'"),
            ("r0 = regions 0..4", "\"regions\" is not an operation"),
            ("r0 = region 4..3", "\"4..3\" is not a range of bytes"),
            ("s0 reads r0", "\"\" is not a range of bytes"),
            ("s0 writes r0 0..256", "\"0..256\" is not a range of bytes"),
            ("s0 releases t0 0..4", "\"t0\" is not a name; write 'r'"),
            ("check twice", "\"twice\" follows the end"),
        ];
        for (text, why) in cases {
            let error = format!("check\n{text}\n").parse::<Program>().unwrap_err();
            assert_eq!((error.line, error.text.as_str()), (2, text));
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
