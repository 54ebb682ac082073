//! Reads a call from the text of a source file: [`Call`].
//!
//! This is no parser of Rust. It finds the receiver and the arguments of calls as people write them, and gives up on
//! others, so that a report names the stream by its number.

use super::plain::{char_width, plain_char};

/// The lines before and after the call that are looked at.
const NEAR: usize = 30;
/// The longest name that a report shows for a stream.
const LONGEST_NAME: usize = 40;
/// The columns of a quoted line.
const LONGEST_LINE: usize = 120;

/// A call in a source file.
#[derive(Clone, Default, Debug)]
pub(super) struct Call {
    /// The line of the call, safe to print, with tabs expanded.
    pub(super) line: String,
    /// The column in `line` at which the call begins, with its receiver if that is on the line. Counted from 0.
    pub(super) start: usize,
    /// The number of columns of the call in `line`. At least 1.
    pub(super) width: usize,
    /// The name of the method or function.
    pub(super) method: String,
    /// The object of the call, if it is a variable, a field, or what a method of it returns.
    pub(super) receiver: Option<String>,
    /// The arguments without a leading `&`.
    pub(super) arguments: Vec<String>,
    /// The variable that a `let` binds to the result, or the field of a struct literal or of an assignment that gets it.
    pub(super) binding: Option<String>,
}

impl Call {
    /// Reads the call at `line` and `column` of `text`, both counted from 1. Returns `None` if none can be there.
    pub(super) fn read(text: &str, line: u32, column: u32) -> Option<Call> {
        let index = (line as usize).checked_sub(1)?;
        let first = index.saturating_sub(NEAR);
        let mut near = Vec::new();
        let mut start_of_line = None;
        for (number, text) in text.lines().enumerate().skip(first).take(index - first + NEAR + 1) {
            if number == index {
                start_of_line = Some(near.len());
            }
            near.extend(text.chars());
            near.push('\n');
        }
        let line_start = start_of_line?;
        let line_end = end_of_line(&near, line_start);
        let at = line_start.checked_add((column as usize).checked_sub(1)?)?;
        if at >= line_end || !(is_word(near[at]) || near[at] == '<') {
            return None;
        }
        let mut call = Call::default();
        let expression = call.read_receiver(&near, at).unwrap_or(at);
        let end = call.read_arguments(&near, at, expression).min(line_end).max(at + 1);
        let begin = if expression >= line_start { expression } else { at };
        call.quote(&near[line_start..line_end], begin - line_start, end - line_start);
        Some(call)
    }

    /// Reads the variable before `at`. Returns where it begins.
    fn read_receiver(&mut self, text: &[char], at: usize) -> Option<usize> {
        let dot = back_over_blanks(text, at);
        if dot == 0 || text[dot - 1] != '.' {
            return None;
        }
        let begin = start_of_expression(text, dot - 1)?;
        let name: String = text[begin..dot - 1].iter().collect();
        let code = name.lines().map(|line| line.split("//").next().unwrap_or_default());
        let name: String = code.flat_map(str::split_whitespace).collect();
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().count() <= LONGEST_NAME
            && name.chars().all(|c| is_word(c) || ".:()[]".contains(c))
            && !name.split('.').any(|part| part == "await");
        if is_name {
            self.receiver = Some(name);
        }
        Some(begin)
    }

    /// Reads the path and the arguments from `at` on, in a call that begins at `begin`. Returns where the call ends.
    fn read_arguments(&mut self, text: &[char], at: usize, begin: usize) -> usize {
        let (method, is_path, mut end) = read_path(text, at);
        self.method = method;
        end = skip_blanks(text, end);
        if text.get(end) != Some(&'(') {
            return end;
        }
        let Some(close) = closing(text, end) else { return end };
        let inner: String = text[end + 1..close].iter().collect();
        self.arguments = split_arguments(&inner);
        if is_path && self.receiver.is_none() && !self.arguments.is_empty() {
            let receiver = self.arguments.remove(0);
            self.receiver = Some(receiver).filter(|name| is_variable(name));
        }
        self.binding = binding(text, at, close).or_else(|| field(text, begin, close));
        close + 1
    }

    /// Sets the line and the columns of the call in it.
    fn quote(&mut self, line: &[char], begin: usize, end: usize) {
        let mut cells: Vec<(char, usize)> = Vec::new();
        let mut used = 0;
        // A long line begins a bit before the call.
        let total: usize = line.iter().map(|c| char_width(*c)).sum();
        let first = if total > LONGEST_LINE { begin.saturating_sub(LONGEST_LINE / 4) } else { 0 };
        if first > 0 {
            cells.push(('…', 1));
            used = 1;
        }
        (self.start, self.width) = (used, 1);
        for (index, c) in line.iter().enumerate().skip(first) {
            let c = if *c == '\t' { ' ' } else { plain_char(*c) };
            let times = if line[index] == '\t' { 4 } else { 1 };
            if index == begin {
                self.start = used;
            }
            if used >= LONGEST_LINE {
                cells.push(('…', 1));
                break;
            }
            for _ in 0..times {
                cells.push((c, char_width(c)));
                used += char_width(c);
            }
            if index < end {
                self.width = used.saturating_sub(self.start).max(1);
            }
        }
        self.line = cells.iter().map(|cell| cell.0).collect::<String>().trim_end().to_owned();
    }
}

/// Returns `true` if the function around `line`, counted from 1, has the variable or field `name` before the line or on
/// it.
pub(super) fn has_name(text: &str, line: u32, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().take(line as usize).collect();
    let start = lines.iter().rposition(|line| begins_function(line)).unwrap_or_default();
    lines[start..].iter().any(|line| {
        let mut found = line.match_indices(name);
        found.any(|(at, _)| {
            let is_part = |c: Option<char>| c.is_some_and(|c| is_word(c) || c == '.');
            let after = line[at + name.len()..].chars().next();
            !is_part(line[..at].chars().next_back()) && !after.is_some_and(is_word)
        })
    })
}

fn begins_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        ["pub", "const", "async", "unsafe", "extern", "\"C\""].contains(word)
            || word.starts_with("pub(")
    });
    words.next() == Some("fn") && words.next().is_some()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| is_word(c) || c == '.')
        && name.chars().count() <= LONGEST_NAME
}

fn end_of_line(text: &[char], from: usize) -> usize {
    text[from..].iter().position(|c| *c == '\n').map_or(text.len(), |length| from + length)
}

fn skip_blanks(text: &[char], mut at: usize) -> usize {
    while text.get(at).is_some_and(|c| c.is_whitespace()) {
        at += 1;
    }
    at
}

/// Returns the end of the code before `at`, without blanks and the comments at the ends of lines.
fn back_over_blanks(text: &[char], mut at: usize) -> usize {
    while at > 0 && text[at - 1].is_whitespace() {
        at -= 1;
        if text[at] == '\n' {
            let start = text[..at].iter().rposition(|c| *c == '\n').map_or(0, |end| end + 1);
            let comment = text[start..at].windows(2).position(|pair| pair == ['/', '/']);
            at = comment.map_or(at, |length| start + length);
        }
    }
    at
}

/// Returns the start of the chain of fields, methods, indices and paths that ends at `end`. Returns `None` if the
/// expression has another shape.
fn start_of_expression(text: &[char], end: usize) -> Option<usize> {
    let mut at = back_over_blanks(text, end);
    loop {
        while at > 0 && matches!(text[at - 1], ')' | ']') {
            at = opening(text, at - 1)?;
        }
        let word_end = at;
        while at > 0 && is_word(text[at - 1]) {
            at -= 1;
        }
        if at == word_end {
            return None;
        }
        let before = back_over_blanks(text, at);
        if before > 0 && text[before - 1] == '.' && !(before > 1 && text[before - 2] == '.') {
            at = back_over_blanks(text, before - 1);
        } else if before > 1 && text[before - 2..before] == [':', ':'] {
            at = before - 2;
        } else {
            return Some(at);
        }
    }
}

/// Returns the index of the bracket that opens what the one at `close` closes.
fn opening(text: &[char], close: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in (0..=close).rev() {
        match text[at] {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Returns the index of the bracket that closes what the one at `open` opens.
fn closing(text: &[char], open: usize) -> Option<usize> {
    let (mut depth, mut at, mut in_text) = (0_usize, open, false);
    while at < text.len() {
        match text[at] {
            '\\' if in_text => at += 1,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '/' if text.get(at + 1) == Some(&'/') => at = end_of_line(text, at),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Reads a path from `at` on. Returns its last name, whether another part is before that, and where it ends.
fn read_path(text: &[char], mut at: usize) -> (String, bool, usize) {
    let (mut name, mut is_path, first) = (String::new(), false, at);
    loop {
        if text.get(at) == Some(&'<') {
            let mut depth = 0_usize;
            while let Some(c) = text.get(at) {
                at += 1;
                match c {
                    '<' => depth += 1,
                    '>' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            let start = at;
            while text.get(at).is_some_and(|c| is_word(*c)) {
                at += 1;
            }
            name = text[start..at].iter().collect();
            is_path = start > first;
        }
        if text.get(at) == Some(&':') && text.get(at + 1) == Some(&':') {
            at += 2;
        } else {
            return (name, is_path, at);
        }
    }
}

/// Splits arguments at the commas that are in no brackets, and takes `&` and `&mut` from them.
fn split_arguments(text: &str) -> Vec<String> {
    let (mut parts, mut depth, mut in_text) = (vec![String::new()], 0_i32, false);
    for c in text.chars() {
        match c {
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            ',' if depth == 0 && !in_text => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let parts = parts.iter().map(|part| part.trim().trim_start_matches(['&', '*']));
    let parts = parts.map(|part| part.strip_prefix("mut ").unwrap_or(part).trim().to_owned());
    parts.filter(|part| !part.is_empty()).collect()
}

/// Returns the variable that a `let` binds to the result of the call from `at` to `close`.
fn binding(text: &[char], at: usize, close: usize) -> Option<String> {
    let start = text[..at].iter().rposition(|c| ";{}".contains(*c)).map_or(0, |end| end + 1);
    let statement: String = text[start..at].iter().collect();
    // Comments before the statement.
    let lines = statement.lines().filter(|line| !line.trim_start().starts_with("//"));
    let statement = lines.collect::<Vec<_>>().join(" ");
    let rest = statement.trim_start().strip_prefix("let ")?.trim_start();
    let rest = rest.strip_prefix("mut ").unwrap_or(rest).trim_start();
    let (pattern, call) = rest.split_once('=')?;
    let name = pattern.split(':').next()?.trim();
    let is_result = call.trim().chars().all(|c| is_word(c) || ".:<> &".contains(c));
    (is_result && is_kept(text, close, &[";"]) && is_variable(name)).then(|| name.to_owned())
}

/// Returns the field that gets the result of the call from `begin` to `close`: `side` of `Library { side: call()? }`, and
/// `self.side` of `self.side = call()?;`.
fn field(text: &[char], begin: usize, close: usize) -> Option<String> {
    let end = back_over_blanks(text, begin);
    let sign = *text.get(end.checked_sub(1)?)?;
    let name_end = back_over_blanks(text, end - 1);
    let is_name = |c: &char| is_word(*c) || (sign == '=' && *c == '.');
    let start = text[..name_end].iter().rposition(|c| !is_name(c)).map_or(0, |at| at + 1);
    let before = text[..back_over_blanks(text, start)].last();
    let is_field = match sign {
        ':' => before.is_some_and(|c| "{,".contains(*c)) && is_kept(text, close, &[",", "}"]),
        '=' => before.is_none_or(|c| ";{}".contains(*c)) && is_kept(text, close, &[";"]),
        _ => false,
    };
    let name: String = text[start..name_end].iter().collect();
    (is_field && is_variable(&name)).then_some(name)
}

/// Returns `true` if one of `ends` follows the call that ends at `close`: its value is not used further. A `?` and an
/// `unwrap` or `expect` may be between.
fn is_kept(text: &[char], close: usize, ends: &[&str]) -> bool {
    let after: String = text[close + 1..].iter().take(40).filter(|c| !c.is_whitespace()).collect();
    let value = ["?", ".unwrap()", ""].iter().filter_map(|method| after.strip_prefix(method));
    let mut value = value.filter(|rest| ends.iter().any(|end| rest.starts_with(end)));
    value.next().is_some() || after.starts_with(".expect(")
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
