//! Who takes part in a job, on which streams.

mod bare;
mod object_safe;
mod ours;
#[cfg(test)]
mod tests;

pub(crate) use bare::wait_stream as bare_wait_stream;
pub(crate) use ours::wrap_checked;

use serde::{Deserialize, Serialize};

use crate::{Bare, BenchFixture, BenchStream, Contender, Job};

/// The streams of one job.
pub struct BenchStreams<'a, G: BenchFixture> {
    /// What the backend brings.
    pub fixture: &'a G,
    /// The stream that is asked, and that waits.
    pub main: &'a BenchStream<G>,
    /// The stream that is waited for.
    pub other: &'a BenchStream<G>,
    /// The streams of a fork and a join.
    pub branches: &'a [BenchStream<G>],
}

impl<G: BenchFixture> Clone for BenchStreams<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: BenchFixture> Copy for BenchStreams<'_, G> {}

impl<G: BenchFixture> BenchStreams<'_, G> {
    /// Waits until all streams are idle. The main one last, since it waits for the others.
    ///
    /// # Errors
    /// What the backend says.
    pub fn settle(&self) -> Result<(), String> {
        self.other.settle()?;
        self.branches.iter().try_for_each(BenchStream::settle)?;
        self.main.settle()
    }
}

/// Who takes part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContenderKind {
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

impl ContenderKind {
    /// The name for a table.
    pub fn label(&self) -> &str {
        match self {
            ContenderKind::Bare => "bare driver",
            ContenderKind::BareOnly => "bare driver, no look",
            ContenderKind::BareLooking => "bare driver, with a look",
            ContenderKind::Ours => "gpu-stream",
            ContenderKind::ObjectSafe => "gpu-stream, object-safe",
            ContenderKind::Kept => "gpu-stream, wrapper kept",
            ContenderKind::Peer(name) => name,
        }
    }
}

/// Those of this process that take part in `job`, the bare driver first, then ours. One that cannot
/// get ready fails at its first batch, with the reason.
pub fn all<'a, G: BenchFixture>(
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let mut found = pair(job, stage);
    let mut add = |who: ContenderKind, contender: Result<Option<Contender<'a>>, String>| {
        found.extend(contender.transpose().map(|contender| (who, or_fail(contender))));
    };
    let only = stage.fixture.bare().and_then(|bare| bare::without_look(bare, job, stage));
    add(ContenderKind::BareOnly, Ok(only));
    let looking = stage.fixture.bare().map(|bare| bare::with_look(bare, job, stage));
    add(ContenderKind::BareLooking, looking.transpose().map(Option::flatten));
    add(ContenderKind::ObjectSafe, object_safe::contender(job, stage));
    add(ContenderKind::Kept, ours::kept(job, stage));
    for library in stage.fixture.libraries() {
        add(ContenderKind::Peer(library.name().into()), library.contender(job, stage));
    }
    found
}

/// Those of [`all`] that let a stream wait for a stream, without the object-safe form.
pub fn waiting<'a, G: BenchFixture>(
    stage: BenchStreams<'a, G>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let mut found = all(Job::WaitStream, stage);
    found.retain(|(who, _)| *who != ContenderKind::ObjectSafe);
    found
}

/// The bare driver, where there is one, and ours.
pub fn pair<'a, G: BenchFixture>(
    job: Job,
    stage: BenchStreams<'a, G>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let bare = stage.fixture.bare().map(|bare| bare::contender(bare, job, stage));
    let bare = bare.map(|contender| (ContenderKind::Bare, or_fail(contender)));
    bare.into_iter().chain([(ContenderKind::Ours, or_fail(ours::contender(job, stage)))]).collect()
}

/// The contender, or one that fails with the reason why there is none.
fn or_fail<'a>(contender: Result<Contender<'a>, String>) -> Contender<'a> {
    contender.unwrap_or_else(|reason| Box::new(move |_| Err(reason.clone())))
}

/// What the bare driver's calls for `job` are, in words.
pub fn bare_calls<G: BenchFixture>(fixture: &G, job: Job) -> Option<&'static str> {
    fixture.bare().map(|bare| bare.calls(job))
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
