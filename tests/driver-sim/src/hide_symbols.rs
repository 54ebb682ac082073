//! Functions that are missing: those that are newer than `DRIVER_SIM_VERSION`, and those that
//! `DRIVER_SIM_HIDE` names.
//!
//! When the library is loaded, before anybody can look for a function in it, the entries of these in
//! its table of dynamic symbols are turned into symbols that it needs and does not have. `dlsym`
//! passes those over.

use std::ffi::{CStr, c_int};

use crate::config::config;

/// Since which version a function is there, if it was not in 11.0.
const SINCE: [(&CStr, c_int); 19] = [
    (c"cuMemAllocAsync", 11_020),
    (c"cuMemFreeAsync", 11_020),
    (c"cuStreamGetCaptureInfo_v2", 11_030),
    (c"cuGraphInstantiateWithFlags", 11_040),
    (c"cuStreamWaitValue32_v2", 11_070),
    (c"cuStreamGetId", 12_000),
    (c"cuCtxGetId", 12_000),
    (c"cuGraphInstantiateWithParams", 12_000),
    (c"cuStreamGetCaptureInfo_v3", 12_030),
    (c"cuDeviceGetDevResource", 12_040),
    (c"cuDevResourceGenerateDesc", 12_040),
    (c"cuGreenCtxCreate", 12_040),
    (c"cuGreenCtxDestroy", 12_040),
    (c"cuCtxFromGreenCtx", 12_040),
    (c"cuStreamGetGreenCtx", 12_040),
    (c"cuGreenCtxStreamCreate", 12_050),
    (c"cuStreamGetCtx_v2", 12_050),
    (c"cuEventElapsedTime_v2", 12_080),
    (c"cuStreamGetDevice", 12_080),
];

#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = at_load;

extern "C" fn at_load() {
    let config = config();
    let mut names: Vec<&[u8]> = config.hide.iter().map(|name| name.as_bytes()).collect();
    let newer = SINCE.iter().filter(|(_, since)| *since > config.version);
    names.extend(newer.map(|(name, _)| name.to_bytes()));
    if names.is_empty() {
        return;
    }
    // SAFETY: this is run while the library is loaded, before anybody else uses its tables.
    let wrong = unsafe { hide(&names) };
    if let Err(name) = wrong {
        eprintln!("driver-sim: DRIVER_SIM_HIDE: {name} is no function of the simulator");
        std::process::abort();
    }
}

/// `DT_STRTAB`, `DT_SYMTAB`, `DT_GNU_HASH`: where the names, the symbols and their hashes are.
const NAMES: usize = 5;
const SYMBOLS: usize = 6;
const HASHES: usize = 0x6fff_fef5;

/// What `_DYNAMIC` is an array of.
#[repr(C)]
struct Entry {
    tag: usize,
    value: usize,
}

unsafe extern "C" {
    /// Every library's own list of where its tables are, up to a tag of 0. The dynamic linker has put
    /// addresses into it.
    #[link_name = "_DYNAMIC"]
    static DYNAMIC: Entry;
}

/// # Safety
/// The library is being loaded, and nobody else uses its tables.
unsafe fn hide<'a>(hidden: &[&'a [u8]]) -> Result<(), std::borrow::Cow<'a, str>> {
    // SAFETY: the linker made these tables as the format has them.
    let (symbols, count, names) = unsafe {
        let Some((names, symbols, hashes)) = table(NAMES)
            .zip(table(SYMBOLS))
            .zip(table(HASHES))
            .map(|((names, symbols), hashes)| (names, symbols, hashes))
        else {
            return Ok(());
        };
        (symbols.cast::<libc::Elf64_Sym>().cast_mut(), count(hashes.cast()), names)
    };
    // SAFETY: the name is one of the table, which ends each with a zero.
    let name_of = |index: usize| unsafe {
        CStr::from_ptr(names.add((*symbols.add(index)).st_name as usize).cast()).to_bytes()
    };
    let find = |name: &[u8]| (0..count).find(|&index| name_of(index) == name);
    // In a program that only links this crate, for its functions in Rust, there is nothing to hide.
    if find(b"cuInit").is_none() {
        return Ok(());
    }
    for name in hidden {
        let index = find(name).ok_or_else(|| String::from_utf8_lossy(name))?;
        // SAFETY: the entry is in the table, which is mapped, and nobody uses it yet.
        unsafe {
            let symbol = symbols.add(index);
            protect(symbol, libc::PROT_READ | libc::PROT_WRITE);
            (*symbol).st_shndx = 0;
            (*symbol).st_value = 0;
            protect(symbol, libc::PROT_READ);
        }
    }
    Ok(())
}

/// The address of a table of this library.
///
/// # Safety
/// As [`hide`].
unsafe fn table(tag: usize) -> Option<*const u8> {
    let mut entry = &raw const DYNAMIC;
    // SAFETY: the list ends with a tag of 0.
    unsafe {
        while (*entry).tag != 0 {
            if (*entry).tag == tag {
                return Some(std::ptr::with_exposed_provenance((*entry).value));
            }
            entry = entry.add(1);
        }
    }
    None
}

/// How many symbols the table has, which only its hashes tell: the last of the last chain.
///
/// # Safety
/// `hashes` is such a table.
unsafe fn count(hashes: *const u32) -> usize {
    // SAFETY: a head of four numbers, filters of 64 bits, buckets, and a chain for each symbol from
    // `first` on, which ends at an odd number.
    unsafe {
        let (buckets, first, filters) = (*hashes, *hashes.add(1), *hashes.add(2));
        let bucket = hashes.add(4 + 2 * filters as usize);
        let chain = bucket.add(buckets as usize);
        let last = (0..buckets as usize).map(|index| *bucket.add(index)).max().unwrap_or(0);
        if last < first {
            return first as usize;
        }
        let mut last = last;
        while *chain.add((last - first) as usize) & 1 == 0 {
            last += 1;
        }
        last as usize + 1
    }
}

/// Sets what may be done with the pages of a symbol.
///
/// # Safety
/// They are of the table of symbols.
unsafe fn protect(symbol: *mut libc::Elf64_Sym, access: c_int) {
    // SAFETY: it may be asked at any time.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs() as usize;
    let start = symbol.addr() & !(page - 1);
    let length = symbol.addr() + size_of::<libc::Elf64_Sym>() - start;
    // SAFETY: the pages are mapped, and are read by everybody in any case.
    if unsafe { libc::mprotect(symbol.with_addr(start).cast(), length, access) } != 0 {
        eprintln!("driver-sim: the table of symbols cannot be written");
        std::process::abort();
    }
}
