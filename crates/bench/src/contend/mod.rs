//! Who takes part in a job, on which streams.

mod bare;
mod object_safe;
mod ours;
#[cfg(test)]
mod tests;

pub(crate) use bare::wait_stream as bare_wait_stream;
pub(crate) use ours::wrap_checked;

use serde::{Deserialize, Serialize};

use crate::{Bare, Contender, Ground, Job, Lane};

/// The streams of one job.
pub struct Stage<'a, G: Ground> {
    /// What the backend brings.
    pub ground: &'a G,
    /// The stream that is asked, and that waits.
    pub main: &'a Lane<G>,
    /// The stream that is waited for.
    pub other: &'a Lane<G>,
    /// The streams of a fork and a join.
    pub branches: &'a [Lane<G>],
}

impl<G: Ground> Clone for Stage<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Ground> Copy for Stage<'_, G> {}

impl<G: Ground> Stage<'_, G> {
    /// Waits until all streams are idle. The main one last, since it waits for the others.
    ///
    /// # Errors
    /// What the backend says.
    pub fn settle(&self) -> Result<(), String> {
        self.other.settle()?;
        self.branches.iter().try_for_each(Lane::settle)?;
        self.main.settle()
    }
}

/// Who takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// The bare driver.
    Bare,
    /// The bare driver, without the look at the capture that the job has.
    BareOnly,
    /// The bare driver, with a look at the capture that the job does without and the backend does
    /// not.
    BareLooking,
    /// The backend.
    Ours,
    /// The backend through the object-safe form.
    ObjectSafe,
    /// The backend, with a wrapper that is made once and kept.
    Kept,
    /// Another library.
    Peer(String),
}

impl Who {
    /// The name for a table.
    pub fn label(&self) -> &str {
        match self {
            Who::Bare => "bare driver",
            Who::BareOnly => "bare driver, no look",
            Who::BareLooking => "bare driver, with a look",
            Who::Ours => "gpu-stream",
            Who::ObjectSafe => "gpu-stream, object-safe",
            Who::Kept => "gpu-stream, wrapper kept",
            Who::Peer(name) => name,
        }
    }
}

/// Those of this process that take part in `job`, the bare driver first, then ours. One that cannot
/// get ready fails at its first batch, with the reason.
pub fn all<'a, G: Ground>(job: Job, stage: Stage<'a, G>) -> Vec<(Who, Contender<'a>)> {
    let mut found = pair(job, stage);
    let mut add = |who: Who, contender: Result<Option<Contender<'a>>, String>| {
        found.extend(contender.transpose().map(|contender| (who, or_fail(contender))));
    };
    let only = stage.ground.bare().and_then(|bare| bare::without_look(bare, job, stage));
    add(Who::BareOnly, Ok(only));
    let looking = stage.ground.bare().map(|bare| bare::with_look(bare, job, stage));
    add(Who::BareLooking, looking.transpose().map(Option::flatten));
    add(Who::ObjectSafe, object_safe::contender(job, stage));
    add(Who::Kept, ours::kept(job, stage));
    for library in stage.ground.libraries() {
        add(Who::Peer(library.name().into()), library.contender(job, stage));
    }
    found
}

/// Those of [`all`] that let a stream wait for a stream, without the object-safe form.
pub fn waiting<'a, G: Ground>(stage: Stage<'a, G>) -> Vec<(Who, Contender<'a>)> {
    let mut found = all(Job::WaitStream, stage);
    found.retain(|(who, _)| *who != Who::ObjectSafe);
    found
}

/// The bare driver, where there is one, and ours.
pub fn pair<'a, G: Ground>(job: Job, stage: Stage<'a, G>) -> Vec<(Who, Contender<'a>)> {
    let bare = stage.ground.bare().map(|bare| bare::contender(bare, job, stage));
    let bare = bare.map(|contender| (Who::Bare, or_fail(contender)));
    bare.into_iter().chain([(Who::Ours, or_fail(ours::contender(job, stage)))]).collect()
}

/// The contender, or one that fails with the reason why there is none.
fn or_fail<'a>(contender: Result<Contender<'a>, String>) -> Contender<'a> {
    contender.unwrap_or_else(|reason| Box::new(move |_| Err(reason.clone())))
}

/// What the bare driver's calls for `job` are, in words.
pub fn bare_calls<G: Ground>(ground: &G, job: Job) -> Option<&'static str> {
    ground.bare().map(|bare| bare.calls(job))
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
