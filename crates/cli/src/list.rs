//! `gpu-stream check --list`: lists the cases and the rules that they check.

use std::process::ExitCode;

use gpu_stream_conformance::{CaseInfo, cases};

use crate::args::Check;
use crate::matrix::{bare_table, bold, text_of};
use crate::output::{self, OutputStyle};
use crate::{CommandError, json, select};

/// Runs the command.
///
/// # Errors
/// [`CommandError`] if a pattern matches no case, or if the output cannot be written.
pub fn command(arguments: &Check, style: &OutputStyle) -> Result<ExitCode, CommandError> {
    let chosen = select::cases(cases::ALL, &arguments.case)?;
    let chosen: Vec<&CaseInfo> = chosen.into_iter().map(|index| &cases::ALL[index]).collect();
    match &arguments.json {
        None => output::put(&mut std::io::stdout(), &draw(&chosen, style))?,
        Some(name) => output::put(&mut *output::json_target(name)?, &json::of_cases(&chosen)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Renders the list, grouped by area.
pub fn draw(cases: &[&CaseInfo], style: &OutputStyle) -> String {
    let mut table = bare_table(style);
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
