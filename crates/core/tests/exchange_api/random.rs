//! Random chains of tables.

use std::ptr;

use gpu_stream_core::exchange::dlpack::{CurrentWorkStream, ExchangeApi};

use crate::{by_device, read, table};

/// Returns a new random number. Origin: xorshift64 (Marsaglia, 2003).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Returns up to six tables of random versions, each of which names any of them as older, or nothing, or no table.
fn random_tables(state: &mut u64) -> Vec<*mut ExchangeApi> {
    let length = 1 + next(state) % 6;
    let mut tables: Vec<*mut ExchangeApi> = Vec::new();
    for _ in 0..length {
        let any = next(state).is_multiple_of(8);
        let major = if any { next(state) as u32 } else { next(state) as u32 % 4 };
        let minor = next(state) as u32 % 3;
        let has_function = !next(state).is_multiple_of(4);
        let function = has_function.then_some(by_device as CurrentWorkStream);
        tables.push(table((major, minor), ptr::null_mut(), function));
    }
    for &table in &tables {
        let prev_api = match next(state) % 8 {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut((next(state) as usize) | 1),
            _ => tables[(next(state) % length) as usize].cast(),
        };
        // SAFETY: the table was made above, and nothing else uses it now. Its other functions are never called.
        unsafe {
            (*table).header.prev_api = prev_api;
            (*table).managed_tensor_allocator = ptr::without_provenance(next(state) as usize);
        }
    }
    tables
}

/// Returns the table that a chain leads to: a second implementation of the walk.
fn expected(first: *mut ExchangeApi) -> Option<*mut ExchangeApi> {
    let mut at = first;
    loop {
        // SAFETY: `at` is one of the tables, which are not changed any more.
        let ExchangeApi { header, current_work_stream, .. } = unsafe { &*at };
        let (version, prev_api) = (header.version, header.prev_api);
        if version.major <= 1 {
            return (version.major == 1 && current_work_stream.is_some()).then_some(at);
        }
        if prev_api.is_null() || prev_api.addr() % align_of::<ExchangeApi>() != 0 {
            return None;
        }
        // SAFETY: a pointer that is neither null nor misaligned is one of the tables.
        if unsafe { (*prev_api).version } >= version {
            return None;
        }
        at = prev_api.cast();
    }
}

/// Checks random chains of memory that is all readable.
#[test]
fn random_tables_give_the_right_table_or_the_right_error() {
    let rounds = if cfg!(miri) { 50 } else { 20_000 };
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut used, mut rejected) = (0, 0);
    for _ in 0..rounds {
        let tables = random_tables(&mut state);
        match (read(tables[0].cast()), expected(tables[0])) {
            (Ok(found), Some(table)) => {
                assert!(ptr::eq(found, table), "another table");
                used += 1;
            }
            (Err(error), None) => {
                assert!(!error.to_string().is_empty());
                rejected += 1;
            }
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
        for table in tables {
            // SAFETY: it was made by `Box::into_raw`, and `found` is not used any more.
            drop(unsafe { Box::from_raw(table) });
        }
    }
    assert!(used > rounds / 10 && rejected > rounds / 10, "{used} used, {rejected} rejected");
}
