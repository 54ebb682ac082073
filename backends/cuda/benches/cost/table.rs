//! Prints the table, and writes it as JSON.

use std::fmt::Write;

use crate::measure::{Paired, Spread};

/// The rows measured so far. Rows are printed as they are added.
pub struct Table {
    machine: String,
    rows: Vec<(String, String, Paired)>,
    section: String,
}

impl Table {
    pub fn new(machine: String) -> Self {
        println!("{machine}");
        Table { machine, rows: Vec::new(), section: String::new() }
    }

    /// Sets the heading that all later rows have in common.
    pub fn section(&mut self, name: &str) {
        println!("\n-- {name}");
        println!(
            "{:<44} {:>9} {:>9} {:>7}  {:<15} {:>9}",
            "nanoseconds a call", "bare", "ours", "ratio", "(quartiles)", "more"
        );
        self.section = name.into();
    }

    pub fn row(&mut self, name: &str, paired: Paired) {
        let Paired { bare, ours, ratio, more } = &paired;
        let quartiles = format!("({:.3}, {:.3})", ratio.low, ratio.high);
        println!(
            "{name:<44} {:>9.1} {:>9.1} {:>7.3}  {quartiles:<15} {:>+9.1}",
            bare.median, ours.median, ratio.median, more.median
        );
        self.rows.push((self.section.clone(), name.into(), paired));
    }

    pub fn to_json(&self) -> String {
        let mut text = format!("{{\"machine\": {:?}, \"rows\": [", self.machine);
        for (index, (section, name, paired)) in self.rows.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma}\n {{\"section\": {section:?}, \"name\": {name:?}");
            let Paired { bare, ours, ratio, more } = paired;
            for (name, spread) in [("bare", bare), ("ours", ours), ("ratio", ratio), ("more", more)]
            {
                let Spread { low, median, high } = spread;
                let _ = write!(text, ", {name:?}: [{low:.4}, {median:.4}, {high:.4}]");
            }
            text.push('}');
        }
        text.push_str("\n]}\n");
        text
    }
}
