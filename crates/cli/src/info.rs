//! `gpu-stream info`: what each backend is.

use std::process::ExitCode;

use gpu_stream::{Availability, Library, available};
use gpu_stream_bench::machine;

use crate::args::Info;
use crate::notes::wrap;
use crate::output::{self, OutputStyle};
use crate::{CommandError, json};

/// Carries the command out. Blocks while drivers start.
///
/// # Errors
/// If the output cannot be written.
pub fn command(arguments: &Info, screen: &OutputStyle) -> Result<ExitCode, CommandError> {
    let available = available();
    match &arguments.json {
        None => output::put(&mut std::io::stdout(), &draw(&available, screen))?,
        Some(name) => {
            output::put(&mut *output::json_target(name)?, &json::of_availability(&available)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is known, backend by backend.
pub fn draw(available: &[Availability], screen: &OutputStyle) -> String {
    let mut text = format!("gpu-stream {}\n", env!("CARGO_PKG_VERSION"));
    for item in available {
        let name = screen.bold(item.backend.name());
        let default = if item.is_default { "  (DefaultBackend)" } else { "" };
        text.push_str(&format!("\n{name}{default}\n"));
        for (what, said) in facts(item) {
            text.push_str(&wrap(&format!("{what:<13}{said}"), 2, 15, screen.width));
        }
    }
    text.push_str(&format!("\n{}\n", screen.bold("machine")));
    for (what, said) in machine::facts() {
        text.push_str(&wrap(&format!("{what:<13}{said}"), 2, 15, screen.width));
    }
    text
}

/// What there is to say of a backend, each under its name.
fn facts(item: &Availability) -> Vec<(&'static str, String)> {
    let yes_or_no = if item.is_compiled() { "yes" } else { "no" };
    let mut facts = vec![("compiled in", yes_or_no.to_owned()), ("library", library(item))];
    match &item.probe {
        Ok(info) => facts.push(("version", info.version.clone())),
        Err(error) => facts.push(("not ready", error.to_string())),
    }
    for (index, device) in item.devices().iter().enumerate() {
        let what = if index == 0 { "devices" } else { "" };
        facts.push((what, format!("{}  {}", device.device, device.name)));
    }
    for (what, said) in item.probe.iter().flat_map(|info| &info.details) {
        facts.push((what, said.clone()));
    }
    facts.extend(item.advice().map(|advice| ("what to do", advice.to_owned())));
    facts
}

fn library(item: &Availability) -> String {
    match item.library() {
        Library::NotNeeded => "none needed".into(),
        Library::NotLookedFor => {
            "not looked for, since the backend is not part of this build".into()
        }
        Library::Found(Some(name)) => format!("found: {name}"),
        // The line "not ready" says where it was looked for.
        Library::NotFound(_) => "not found".into(),
        _ => "found".into(),
    }
}
