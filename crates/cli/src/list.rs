//! `gpu-stream check --list`: the cases and the rules that they check.

use std::process::ExitCode;

use gpu_stream_conformance::{CaseInfo, cases};

use crate::args::Check;
use crate::matrix::{bare_table, bold, text_of};
use crate::output::{self, OutputStyle};
use crate::{CommandError, json, select};

/// Carries the command out.
///
/// # Errors
/// A pattern that matches no case, or an output that cannot be written.
pub fn command(arguments: &Check, screen: &OutputStyle) -> Result<ExitCode, CommandError> {
    let chosen = select::cases(cases::ALL, &arguments.case)?;
    let chosen: Vec<&CaseInfo> = chosen.into_iter().map(|index| &cases::ALL[index]).collect();
    match &arguments.json {
        None => output::put(&mut std::io::stdout(), &draw(&chosen, screen))?,
        Some(name) => output::put(&mut *output::json_target(name)?, &json::of_cases(&chosen)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The list, grouped by area.
pub fn draw(cases: &[&CaseInfo], screen: &OutputStyle) -> String {
    let mut table = bare_table(screen);
    table.set_header([bold("case"), bold("rules"), bold("what it checks")]);
    let mut area = None;
    for case in cases {
        if area != Some(case.area) {
            area = Some(case.area);
            table.add_row([bold(case.area)]);
        }
        let rules: Vec<_> = case.rules.iter().map(|rule| rule.id).collect();
        table.add_row([format!("  {}", case.name), rules.join(" "), case.about.into()]);
    }
    format!("{}\n{} cases\n", text_of(table), cases.len())
}
