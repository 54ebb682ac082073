//! The contenders of each job, and the streams they run on.

mod bare;
mod careful;
mod object_safe;
mod ours;
#[cfg(test)]
mod tests;

pub(crate) use bare::wait_stream as bare_wait_stream;
pub(crate) use careful::{query as careful_query, wait_stream as careful_wait_stream};
pub(crate) use ours::wrap_checked;

use serde::{Deserialize, Serialize};

use crate::{Bare, BenchFixture, BenchStream, Contender, Job};

/// The streams of one job.
pub struct BenchStreams<'a, F: BenchFixture> {
    /// The fixture of the measured backend.
    pub fixture: &'a F,
    /// The stream that is queried, and the waiting stream of waits.
    pub main: &'a BenchStream<F>,
    /// The source stream of waits.
    pub other: &'a BenchStream<F>,
    /// The branches of a fork and a join.
    pub branches: &'a [BenchStream<F>],
}

impl<F: BenchFixture> Clone for BenchStreams<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: BenchFixture> Copy for BenchStreams<'_, F> {}

impl<F: BenchFixture> BenchStreams<'_, F> {
    /// Blocks until all streams are idle.
    ///
    /// Synchronizes the main stream last, because it waits for the others.
    ///
    /// # Errors
    /// The backend's error text if a stream cannot be synchronized.
    pub fn settle(&self) -> Result<(), String> {
        self.other.settle()?;
        self.branches.iter().try_for_each(BenchStream::settle)?;
        self.main.settle()
    }
}

/// The library and the variant of its calls that a contender measures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContenderKind {
    /// The fewest calls of the bare driver that do the job.
    Bare,
    /// The bare driver's calls as a careful program makes them: they give the guarantees of gpu-stream.
    Careful,
    /// The backend of gpu-stream.
    Ours,
    /// The backend through its object-safe traits.
    ObjectSafe,
    /// The backend with a wrapper that is created once and kept.
    Kept,
    /// Another library.
    Peer(String),
}

impl ContenderKind {
    /// Returns the name for tables and charts.
    pub fn label(&self) -> &str {
        match self {
            ContenderKind::Bare => "bare call",
            ContenderKind::Careful => "careful calls",
            ContenderKind::Ours => "gpu-stream",
            ContenderKind::ObjectSafe => "gpu-stream, object-safe",
            ContenderKind::Kept => "gpu-stream, wrapper kept",
            ContenderKind::Peer(name) => name,
        }
    }
}

/// Creates all in-process contenders of `job`: the bare driver's first, then the backend's, then the others.
///
/// If a contender cannot be set up, the contender in its place fails at the first batch, with the
/// reason.
pub fn all<'a, F: BenchFixture>(
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let mut found = pair(job, streams);
    let mut add = |kind: ContenderKind, contender: Result<Option<Contender<'a>>, String>| {
        found.extend(contender.transpose().map(|contender| (kind, or_fail(contender))));
    };
    add(ContenderKind::ObjectSafe, object_safe::contender(job, streams));
    add(ContenderKind::Kept, ours::kept(job, streams));
    for library in streams.fixture.libraries() {
        add(ContenderKind::Peer(library.name().into()), library.contender(job, streams));
    }
    found
}

/// Creates the contenders of [`Job::WaitStream`], without the object-safe form.
pub fn waiting<'a, F: BenchFixture>(
    streams: BenchStreams<'a, F>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let mut found = all(Job::WaitStream, streams);
    found.retain(|(kind, _)| *kind != ContenderKind::ObjectSafe);
    found
}

/// Creates the contenders of the bare driver, if there is one, and of the backend.
pub fn pair<'a, F: BenchFixture>(
    job: Job,
    streams: BenchStreams<'a, F>,
) -> Vec<(ContenderKind, Contender<'a>)> {
    let mut found = Vec::new();
    if let Some(bare) = streams.fixture.bare() {
        found.push((ContenderKind::Bare, or_fail(bare::contender(bare, job, streams))));
        let careful = careful::contender(bare, job, streams).transpose();
        found.extend(careful.map(|contender| (ContenderKind::Careful, or_fail(contender))));
    }
    found.push((ContenderKind::Ours, or_fail(ours::contender(job, streams))));
    found
}

/// Returns the contender, or one that fails with the error of its setup.
fn or_fail<'a>(contender: Result<Contender<'a>, String>) -> Contender<'a> {
    contender.unwrap_or_else(|reason| Box::new(move |_| Err(reason.clone())))
}

/// Returns a description of the careful calls for `job`. `None` if there is no driver, or if they are the bare
/// calls.
pub fn careful_calls<F: BenchFixture>(fixture: &F, job: Job) -> Option<String> {
    fixture.bare().and_then(|bare| bare.careful_calls(job))
}

/// Returns a description of the bare driver's calls for `job`. `None` if there is no driver.
pub fn bare_calls<F: BenchFixture>(fixture: &F, job: Job) -> Option<&'static str> {
    fixture.bare().map(|bare| bare.calls(job))
}

/// Converts the error to its text.
fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}
