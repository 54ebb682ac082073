//! Runs the process of a test, and ends it in time: [`run`].

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::messages::Message;

/// The bytes of the beginning, and those of the end, of each output that are kept.
const KEPT: usize = 1 << 19;

/// The longest line that is read at once. Messages are shorter.
const LINE: u64 = 1 << 20;

/// The time that the readers have after the process has ended. A process that the test has started may
/// keep the output open.
const GRACE: Duration = Duration::from_secs(1);

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
/// passed; then kills it. On Unix, also kills the processes that it has started, unless they have left its group.
///
/// The process sees the end of its stdin if this process ends first.
///
/// # Errors
/// An error of starting the process or of waiting for it.
pub fn run(mut command: Command, word: &str, limit: Duration) -> io::Result<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    // Kept open until the process has ended.
    let stdin = child.stdin.take();
    let (output, errors) = <(Shared<Output>, Shared<Kept>)>::default();
    let (lines, text, word) = (Arc::clone(&output), Arc::clone(&errors), word.to_owned());
    let readers = [
        in_background(move || stdout.into_iter().for_each(|from| read_lines(from, &word, &lines))),
        in_background(move || stderr.into_iter().for_each(|from| read_text(from, &text))),
    ];
    let status = wait(&mut child, limit)?;
    drop(stdin);
    for reader in readers {
        // After that time, what was read is all.
        let _ = reader.recv_timeout(GRACE);
    }
    let (mut output, errors) = (lock(&output), std::mem::take(&mut *lock(&errors)));
    let (messages, stdout) = (std::mem::take(&mut output.messages), output.take_text());
    Ok(Ended { status, messages, stdout, stderr: errors.text() })
}

/// What a reader has read so far.
type Shared<T> = Arc<Mutex<T>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a reader in a thread of its own. The result hears of its end.
fn in_background(read: impl FnOnce() + Send + 'static) -> Receiver<()> {
    let (done, result) = channel();
    thread::spawn(move || {
        read();
        // Fails only if the output was kept open for too long: then the end is not awaited any more.
        let _ = done.send(());
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
            kill(child);
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Kills a process that leads a group, and the group.
fn kill(child: &mut Child) {
    #[cfg(unix)]
    if let Ok(group) = libc::pid_t::try_from(child.id()) {
        // SAFETY: `kill` has no requirements. The number is the process's, which has not been waited for, so that no
        // other process or group has it.
        unsafe { libc::kill(-group, libc::SIGKILL) };
    }
    // Fails only if the process has ended meanwhile.
    let _ = child.kill();
}

/// The output of a test and its messages.
#[derive(Default)]
struct Output {
    messages: Vec<Message>,
    has_begun: bool,
    is_over: bool,
    /// What came before the first message: the test harness's, unless the process has ended then.
    before: Kept,
    /// What came between the first message and the last.
    during: Kept,
}

impl Output {
    fn take_text(&mut self) -> String {
        let kept = if self.has_begun { &mut self.during } else { &mut self.before };
        std::mem::take(kept).text()
    }

    fn push(&mut self, line: &[u8], word: &str) {
        match Message::parse(line, word) {
            Some(message) => {
                (self.has_begun, self.is_over) = (true, matches!(message, Message::Over(_)));
                // The message begins with an end of line of its own.
                self.during.pop_end_of_line();
                self.messages.push(message);
            }
            None if !self.has_begun => self.before.push(line),
            None if !self.is_over => self.during.push(line),
            None => {} // the test harness's summary
        }
    }
}

/// The beginning and the end of a text.
#[derive(Default)]
struct Kept {
    beginning: Vec<u8>,
    end: VecDeque<u8>,
    lost: usize,
}

impl Kept {
    fn push(&mut self, bytes: &[u8]) {
        let (first, rest) = bytes.split_at(bytes.len().min(KEPT - self.beginning.len()));
        self.beginning.extend_from_slice(first);
        self.end.extend(rest);
        let excess = self.end.len().saturating_sub(KEPT);
        self.end.drain(..excess);
        self.lost += excess;
    }

    /// Removes an end of line, if the text ends with one.
    fn pop_end_of_line(&mut self) {
        if self.end.back() == Some(&b'\n') {
            self.end.pop_back();
        } else if self.end.is_empty() {
            self.beginning.pop_if(|last| *last == b'\n');
        }
    }

    fn text(self) -> String {
        let end = Vec::from(self.end);
        if self.lost == 0 {
            return String::from_utf8_lossy(&[self.beginning, end].concat()).into_owned();
        }
        let [beginning, end] = [&self.beginning, &end].map(|part| String::from_utf8_lossy(part));
        format!("{beginning}\n… {} bytes are left out …\n{end}", self.lost)
    }
}

fn read_lines(stdout: impl Read, word: &str, output: &Shared<Output>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        match reader.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => lock(output).push(&line, word),
        }
    }
}

fn read_text(mut stderr: impl Read, text: &Shared<Kept>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stderr.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(count) => lock(text).push(&buffer[..count]),
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

    fn output_of(text: &str) -> Output {
        let output = Shared::default();
        read_lines(text.as_bytes(), "word", &output);
        std::mem::take(&mut *lock(&output))
    }

    #[test]
    fn output_of_the_harness_is_left_out() {
        let ready = line(&Message::Ready(Ready::default()));
        let over = line(&Message::Over(Over::of(&Ok(()), 0.0)));
        let text = format!("running 1 test\ntest a ... {ready}mine\nword mine{over}ok\n");
        let mut output = output_of(&text);
        assert_eq!(output.messages.len(), 2);
        assert_eq!(output.take_text(), "mine\nword mine");
        let mut output = output_of("running 1 test\nno memory");
        assert_eq!(
            output.take_text(),
            "running 1 test\nno memory",
            "it ended before the test began"
        );
    }

    #[test]
    fn endless_output_keeps_its_beginning_and_its_end() {
        let text = Shared::default();
        let input = b"first".chain(io::repeat(b'x').take(5 * KEPT as u64)).chain(&b"last"[..]);
        read_text(input, &text);
        let text = std::mem::take(&mut *lock(&text)).text();
        assert!(text.starts_with("firstx") && text.ends_with("xlast"));
        let lost = 3 * KEPT + "firstlast".len();
        assert!(text.contains(&format!("x\n… {lost} bytes are left out …\nx")));
    }

    #[test]
    fn end_of_line_before_a_message_is_removed_wherever_it_is_kept() {
        for length in [1, KEPT, KEPT + 1, 3 * KEPT] {
            let mut kept = Kept::default();
            kept.push(&vec![b'x'; length - 1]);
            kept.push(b"\n");
            kept.pop_end_of_line();
            kept.pop_end_of_line();
            assert_eq!(kept.beginning.len() + kept.end.len() + kept.lost, length - 1);
        }
    }

    /// Ends only if the second process does.
    #[cfg(target_os = "linux")]
    #[test]
    fn limit_ends_the_processes_that_the_test_has_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep infinity & echo $! >&2; wait"]);
        let ended = run(command, "word", Duration::from_secs(2)).unwrap();
        assert!(ended.status.is_none());
        let process: u32 = ended.stderr.trim().parse().unwrap();
        // A process that has been killed has no program any more, even if nothing waits for it.
        while std::fs::read_link(format!("/proc/{process}/exe")).is_ok() {
            thread::yield_now();
        }
    }

    #[cfg(unix)]
    #[test]
    fn output_that_stays_open_is_not_waited_for() {
        let mut command = Command::new("sh");
        // The second process keeps the outputs, and reads the stdin of neither.
        command.args(["-c", "echo before; echo problem >&2; sleep 1000 & echo $! >&2"]);
        let ended = run(command, "word", Duration::from_secs(60)).unwrap();
        assert!(ended.status.is_some_and(|status| status.success()));
        assert_eq!(ended.stdout, "before\n");
        let (problem, process) = ended.stderr.trim().split_once('\n').unwrap();
        assert_eq!(problem, "problem");
        assert!(Command::new("kill").arg(process).status().unwrap().success());
    }
}
