//! The table of what each driver function does to a capture: [`check_effects`].

use std::ffi::c_int;

/// The circumstances of a call.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// The mode of the capture.
    pub capture: c_int,
    /// `true` if the calling thread is not the capturing one.
    pub on_other_thread: bool,
    /// The capture mode of the calling thread.
    pub thread: c_int,
}

impl Column {
    /// Makes a call on the thread that the column says, and returns its code.
    ///
    /// # Panics
    /// If the call does.
    pub fn make(self, call: impl FnOnce() -> c_int + Send) -> c_int {
        if !self.on_other_thread {
            return call();
        }
        std::thread::scope(|scope| scope.spawn(call).join().expect("another thread"))
    }
}

/// The code of a call, and the status of the capture after it.
pub type Effect = (c_int, Result<c_int, c_int>);

/// Prints the lines of a table, and keeps them.
#[derive(Debug, Default)]
pub struct Table(pub String);

impl Table {
    /// Adds a line.
    pub fn say(&mut self, line: &str) {
        println!("{line}");
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// Adds the effect of each call to the table, in all circumstances. `probe` makes a call beside a capture.
/// Checks that no call is harmful that the backend makes so, by the policy that is listed for it.
///
/// # Panics
/// If a call is harmful. The message names each.
pub fn check_effects<P, C: Copy>(
    table: &mut Table,
    cell: &str,
    calls: &[(&str, P, C)],
    mut probe: impl FnMut(&str, C, Column) -> Effect,
    is_harmful: impl Fn(&P, Column, Effect) -> bool,
) {
    let circumstances = [(false, 0), (false, 2), (true, 0), (true, 2)];
    let columns = crate::MODES.into_iter().flat_map(|capture| {
        circumstances.map(|(on_other_thread, thread)| Column { capture, on_other_thread, thread })
    });
    let columns: Vec<Column> = columns.collect();
    table.say(&format!("Each cell: {cell}, and ! if the capture was broken after it."));
    table.say(
        "Columns: the mode of the capture (g global, t thread-local, r relaxed), the thread that",
    );
    table.say("calls (own, other), and the mode of that thread.");
    const WIDTH: usize = 36;
    let mut head = " ".repeat(WIDTH);
    for Column { capture, on_other_thread, thread } in &columns {
        let caller = if *on_other_thread { "oth" } else { "own" };
        let name = |mode: &c_int| ["g", "t", "r"][*mode as usize];
        head.push_str(&format!(" {:>7}", format!("{}-{caller}-{}", name(capture), name(thread))));
    }
    table.say(&head);
    let mut harmful = Vec::new();
    for (name, policy, call) in calls {
        let mut row = format!("{name:<WIDTH$}");
        for &column in &columns {
            let (code, status) = probe(name, *call, column);
            let mark = if status == Ok(1) { "" } else { "!" };
            row.push_str(&format!(" {:>7}", format!("{code}{mark}")));
            if is_harmful(policy, column, (code, status)) {
                harmful.push(format!("{name}: code {code}, the capture {status:?}; {column:?}"));
            }
        }
        table.say(&row);
    }
    assert!(harmful.is_empty(), "harmful calls that the backend makes:\n{}", harmful.join("\n"));
}
