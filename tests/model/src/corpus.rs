//! The programs that are kept, each of which is run on every backend.

macro_rules! kept {
    ($($name:ident,)*) => {
        /// Their names and texts.
        pub const ALL: &[(&str, &str)] = &[
            $((stringify!($name), include_str!(concat!("../programs/", stringify!($name), ".txt"))),)*
        ];
    };
}

kept! {
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
    snapshot,
    threads_on_one_stream,
    told_by_another_thread,
    two_devices,
}

/// The mutants of the conformance suite that a kept program must catch, by its comment
/// `# catches: NAME NAME`.
pub fn catches(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# catches:"));
    lines.flat_map(str::split_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::LIKE_A_GPU;
    use crate::check::check;
    use crate::program::Program;

    #[test]
    fn every_file_is_a_program_that_may_be_run() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/programs");
        let files = std::fs::read_dir(folder).unwrap().count();
        assert_eq!(files, ALL.len(), "a file is missing in kept.rs, or in {folder}");
        for (name, text) in ALL {
            let program: Program = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            check(&program, &LIKE_A_GPU).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
