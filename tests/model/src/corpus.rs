//! Regression corpus: programs that run on every backend.

macro_rules! corpus {
    ($($name:ident,)*) => {
        /// Names and texts of the programs.
        pub const ALL: &[(&str, &str)] = &[
            $((stringify!($name), include_str!(concat!("../programs/", stringify!($name), ".txt"))),)*
        ];
    };
}

corpus! {
    default_stream,
    dropped_event,
    dropped_stream,
    fork_and_join,
    later_work,
    own_stream,
    owner_and_event,
    racing_records,
    rebound_event,
    recorded_later,
    second_record,
    second_waiter,
    send_and_recv,
    snapshot,
    threads_on_one_stream,
    two_devices,
}

/// Returns the mutants of the conformance suite that a program must detect.
///
/// They are listed in its comment `# catches: NAME NAME`.
pub fn catches(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# catches:"));
    lines.flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::GPU_LIMITS;
    use crate::check::check;
    use crate::program::Program;

    #[test]
    fn every_corpus_file_is_listed_and_valid() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, ALL.len(), "corpus.rs and {folder} list different programs");
        for (name, text) in ALL {
            let program: Program = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            check(&program, &GPU_LIMITS).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
