//! `gpu-stream info`: shows each backend.

use std::process::ExitCode;

use gpu_stream::{Availability, Library, available};
use gpu_stream_bench::machine;

use crate::args::Info;
use crate::notes::wrap;
use crate::output::{self, OutputStyle};
use crate::{CommandError, json};

/// Runs the command. Blocks while drivers are initialized.
///
/// # Errors
/// [`CommandError`] if the output cannot be written.
pub fn command(arguments: &Info, style: &OutputStyle) -> Result<ExitCode, CommandError> {
    let available = available();
    match &arguments.json {
        None => output::put(&mut std::io::stdout(), &draw(&available, style))?,
        Some(name) => {
            output::put(&mut *output::json_target(name)?, &json::of_availability(&available)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Renders all facts, backend by backend.
pub fn draw(available: &[Availability], style: &OutputStyle) -> String {
    let mut text = format!("gpu-stream {}\n", env!("CARGO_PKG_VERSION"));
    for item in available {
        let name = style.bold(item.backend.name());
        let default = if item.is_default { "  (DefaultBackend)" } else { "" };
        text.push_str(&format!("\n{name}{default}\n"));
        for (name, value) in facts(item) {
            text.push_str(&wrap(&format!("{name:<13}{value}"), 2, 15, style.width));
        }
    }
    text.push_str(&format!("\n{}\n", style.bold("machine")));
    for (name, value) in machine::facts() {
        text.push_str(&wrap(&format!("{name:<13}{value}"), 2, 15, style.width));
    }
    text
}

/// Returns the facts about a backend, each with its name.
fn facts(item: &Availability) -> Vec<(&'static str, String)> {
    let yes_or_no = if item.is_compiled() { "yes" } else { "no" };
    let mut facts = vec![("compiled in", yes_or_no.to_owned()), ("library", library(item))];
    match &item.probe {
        Ok(info) => facts.push(("version", info.version.clone())),
        Err(error) => facts.push(("not ready", error.to_string())),
    }
    for (index, device) in item.devices().iter().enumerate() {
        let name = if index == 0 { "devices" } else { "" };
        facts.push((name, format!("{}  {}", device.device, device.name)));
    }
    for (name, value) in item.probe.iter().flat_map(|info| &info.details) {
        facts.push((name, value.clone()));
    }
    facts.extend(item.advice().map(|advice| ("what to do", advice.to_owned())));
    facts
}

/// Describes the state of a backend's library.
fn library(item: &Availability) -> String {
    match item.library() {
        Library::NotNeeded => "none needed".into(),
        Library::NotLookedFor => {
            "not looked for, since the backend is not part of this build".into()
        }
        Library::Found(Some(name)) => format!("found: {name}"),
        // The line "not ready" has the names that were tried.
        Library::NotFound(_) => "not found".into(),
        _ => "found".into(),
    }
}
