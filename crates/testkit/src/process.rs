//! Runs the process of a test, and ends it in time: [`run`].

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::messages::Message;

/// The bytes of each output that are kept.
const KEPT: usize = 1 << 20;

/// The longest line that is read at once. Messages are shorter.
const LINE: u64 = 1 << 20;

/// The time that the readers have after the process has ended. A process that the test has started may
/// keep the output open.
const GRACE: Duration = Duration::from_secs(2);

/// A process that has ended.
pub struct Ended {
    /// How it ended. `None` if the limit had passed and it was killed.
    pub status: Option<ExitStatus>,
    /// What it told.
    pub messages: Vec<Message>,
    /// The output of the test, without that of the test harness around it.
    pub stdout: String,
    /// The error output.
    pub stderr: String,
}

/// Runs a command, whose messages begin with `word`. Blocks until it has ended, or until `limit` has
/// passed; then kills it.
///
/// The process sees the end of its stdin if this process ends first.
///
/// # Errors
/// An error of starting the process or of waiting for it.
pub fn run(mut command: Command, word: &str, limit: Duration) -> io::Result<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Kept open until the process has ended.
    let stdin = child.stdin.take();
    let word = word.to_owned();
    let output = in_background(move || {
        stdout.map_or_else(Output::default, |stdout| read_output(stdout, &word))
    });
    let errors = in_background(move || stderr.map_or_else(String::new, read_text));
    let status = wait(&mut child, limit)?;
    drop(stdin);
    let mut output = output.recv_timeout(GRACE).unwrap_or_default();
    let stderr = errors.recv_timeout(GRACE).unwrap_or_default();
    let stdout = output.take_text();
    Ok(Ended { status, messages: output.messages, stdout, stderr })
}

/// Runs a reader in a thread of its own, and returns where its result comes.
fn in_background<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (done, result) = channel();
    thread::spawn(move || {
        // Nobody listens any more if the output was kept open for too long.
        let _ = done.send(read());
    });
    result
}

/// Waits for the process. Returns `None` if the limit has passed and the process was killed.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let (start, mut pause) = (Instant::now(), Duration::from_micros(200));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() >= limit {
            // Fails only if the process has ended meanwhile.
            let _ = child.kill();
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// The output of a test and its messages.
#[derive(Default)]
struct Output {
    messages: Vec<Message>,
    /// What came before the first message: the test harness's, unless the process has ended then.
    before: Kept,
    /// What came between the first message and the last.
    during: Kept,
}

impl Output {
    fn take_text(&mut self) -> String {
        let kept = if self.messages.is_empty() { &mut self.before } else { &mut self.during };
        std::mem::take(kept).text()
    }
}

/// A text of limited length.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    lost: usize,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let (kept, lost) = bytes.split_at(bytes.len().min(KEPT - self.bytes.len()));
        self.bytes.extend_from_slice(kept);
        self.lost += lost.len();
    }

    fn text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.lost > 0 {
            text.push_str(&format!("\n… and {} more bytes\n", self.lost));
        }
        text
    }
}

fn read_output(stdout: impl Read, word: &str) -> Output {
    let (mut reader, mut output) = (BufReader::new(stdout), Output::default());
    let mut is_over = false;
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return output,
            Ok(_) => {}
        }
        match Message::parse(&line, word) {
            Some(message) => {
                is_over |= matches!(message, Message::Over(_));
                // The message begins with an end of line of its own.
                let before = &mut output.during.bytes;
                if before.last() == Some(&b'\n') {
                    before.pop();
                }
                output.messages.push(message);
            }
            None if output.messages.is_empty() => output.before.push(&line),
            None if !is_over => output.during.push(&line),
            None => {} // the test harness's summary
        }
    }
}

fn read_text(mut stderr: impl Read) -> String {
    let (mut kept, mut buffer) = (Kept::default(), vec![0; 1 << 16]);
    loop {
        match stderr.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return kept.text(),
            Ok(count) => kept.push(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::{Over, Ready};

    fn line(message: &Message) -> String {
        format!("\nword {}\n", serde_json::to_string(message).unwrap())
    }

    #[test]
    fn output_of_the_harness_is_left_out() {
        let ready = line(&Message::Ready(Ready::default()));
        let over = line(&Message::Over(Over::of(&Ok(()), 0.0)));
        let text = format!("running 1 test\ntest a ... {ready}mine\nword mine{over}ok\n");
        let mut output = read_output(text.as_bytes(), "word");
        assert_eq!(output.messages.len(), 2);
        assert_eq!(output.take_text(), "mine\nword mine");
        let mut output = read_output(&b"running 1 test\nno memory"[..], "word");
        assert_eq!(
            output.take_text(),
            "running 1 test\nno memory",
            "it ended before the test began"
        );
    }

    #[test]
    fn endless_output_is_cut() {
        let text = read_text(io::repeat(b'x').take(3 * KEPT as u64));
        assert!(text.ends_with(&format!("x\n… and {} more bytes\n", 2 * KEPT)));
    }
}
