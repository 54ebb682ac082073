//! Missing functions: those newer than `CUDA_SIM_VERSION`, and those that `CUDA_SIM_HIDE`
//! names.
//!
//! While the library is loaded, before any code can resolve its functions, their entries in the
//! table of dynamic symbols are marked as undefined. `dlsym` skips such entries.

use std::ffi::{CStr, c_int};

use crate::config::config;

/// The functions that CUDA 11.0 lacks, each with the first version that has it.
const SINCE: [(&CStr, c_int); 28] = [
    (c"cuEventRecordWithFlags", 11_010),
    (c"cuGraphUpload", 11_010),
    (c"cuMemAllocAsync", 11_020),
    (c"cuMemFreeAsync", 11_020),
    (c"cuGetProcAddress", 11_030),
    (c"cuStreamGetCaptureInfo_v2", 11_030),
    (c"cuCtxCreate_v3", 11_040),
    (c"cuDeviceGetUuid_v2", 11_040),
    (c"cuGraphInstantiateWithFlags", 11_040),
    (c"cuStreamWaitValue32_v2", 11_070),
    (c"cuStreamWriteValue32_v2", 11_070),
    (c"cuGetProcAddress_v2", 12_000),
    (c"cuStreamGetId", 12_000),
    (c"cuCtxGetId", 12_000),
    (c"cuGraphInstantiateWithParams", 12_000),
    (c"cuCtxSetFlags", 12_010),
    (c"cuStreamGetCaptureInfo_v3", 12_030),
    (c"cuDeviceGetDevResource", 12_040),
    (c"cuDevResourceGenerateDesc", 12_040),
    (c"cuGreenCtxCreate", 12_040),
    (c"cuGreenCtxDestroy", 12_040),
    (c"cuCtxFromGreenCtx", 12_040),
    (c"cuStreamGetGreenCtx", 12_040),
    (c"cuCtxCreate_v4", 12_050),
    (c"cuGreenCtxStreamCreate", 12_050),
    (c"cuStreamGetCtx_v2", 12_050),
    (c"cuEventElapsedTime_v2", 12_080),
    (c"cuStreamGetDevice", 12_080),
];

/// Returns the first version that has a function, if CUDA 11.0 lacks it.
pub fn first_version(name: &str) -> Option<c_int> {
    let is_it = |known: &CStr| known.to_bytes() == name.as_bytes();
    SINCE.iter().find(|(known, _)| is_it(known)).map(|(_, since)| *since)
}

#[used]
#[unsafe(link_section = ".init_array")]
static ON_LOAD: extern "C" fn() = on_load;

extern "C" fn on_load() {
    let config = config();
    let mut names: Vec<&[u8]> = config.hidden.iter().map(|name| name.as_bytes()).collect();
    let newer = SINCE.iter().filter(|(_, since)| *since > config.version);
    names.extend(newer.map(|(name, _)| name.to_bytes()));
    if names.is_empty() {
        return;
    }
    // SAFETY: this runs while the library is loaded, before any other code uses its tables.
    let hidden = unsafe { hide_symbols(&names) };
    if let Err(name) = hidden {
        eprintln!("cuda-sim: CUDA_SIM_HIDE: {name} is not a function of the simulator");
        std::process::abort();
    }
}

/// Tags of the dynamic section: the tables of names, symbols and symbol hashes.
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_GNU_HASH: usize = 0x6fff_fef5;

/// An entry of `_DYNAMIC`.
#[repr(C)]
struct DynamicEntry {
    tag: usize,
    value: usize,
}

unsafe extern "C" {
    /// The library's dynamic section, terminated by a tag of 0. The dynamic linker has relocated
    /// its addresses.
    #[link_name = "_DYNAMIC"]
    static DYNAMIC: DynamicEntry;
}

/// Marks the named functions as undefined. Returns the first name that is no exported function as
/// an error.
///
/// # Safety
/// The library is being loaded, and no other code uses its tables.
unsafe fn hide_symbols<'a>(hidden: &[&'a [u8]]) -> Result<(), std::borrow::Cow<'a, str>> {
    // SAFETY: the linker made these tables in the ELF format.
    let (symbols, count, names) = unsafe {
        let Some((names, symbols, hashes)) = dynamic_table(DT_STRTAB)
            .zip(dynamic_table(DT_SYMTAB))
            .zip(dynamic_table(DT_GNU_HASH))
            .map(|((names, symbols), hashes)| (names, symbols, hashes))
        else {
            return Ok(());
        };
        (symbols.cast::<libc::Elf64_Sym>().cast_mut(), symbol_count(hashes.cast()), names)
    };
    // SAFETY: `index` is below `count`, and the string table terminates each name with a NUL.
    let name_of = |index: usize| unsafe {
        CStr::from_ptr(names.add((*symbols.add(index)).st_name as usize).cast()).to_bytes()
    };
    let find = |name: &[u8]| (0..count).find(|&index| name_of(index) == name);
    // A program that only links this crate's Rust functions exports nothing to hide.
    if find(b"cuInit").is_none() {
        return Ok(());
    }
    for name in hidden {
        let index = find(name).ok_or_else(|| String::from_utf8_lossy(name))?;
        // SAFETY: the entry lies in the mapped symbol table, and no other code uses it yet.
        unsafe {
            let symbol = symbols.add(index);
            set_protection(symbol, libc::PROT_READ | libc::PROT_WRITE);
            (*symbol).st_shndx = 0;
            (*symbol).st_value = 0;
            set_protection(symbol, libc::PROT_READ);
        }
    }
    Ok(())
}

/// Returns the address of a table in this library's dynamic section.
///
/// # Safety
/// The library's dynamic section is relocated.
unsafe fn dynamic_table(tag: usize) -> Option<*const u8> {
    let mut entry = &raw const DYNAMIC;
    // SAFETY: the dynamic section is terminated by a tag of 0.
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

/// Returns the number of symbols, which only the hash table reveals: one more than the end of the
/// last chain.
///
/// # Safety
/// `hashes` points to the library's `DT_GNU_HASH` table.
unsafe fn symbol_count(hashes: *const u32) -> usize {
    // SAFETY: the table consists of a header of four numbers, 64-bit filters, buckets, and a chain
    // entry for each symbol from `first` on. An odd entry ends a chain.
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

/// Sets the protection of the pages that hold a symbol.
///
/// # Safety
/// `symbol` lies in this library's symbol table.
unsafe fn set_protection(symbol: *mut libc::Elf64_Sym, access: c_int) {
    // SAFETY: `sysconf` has no requirements.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs() as usize;
    let start = symbol.addr() & !(page - 1);
    let length = symbol.addr() + size_of::<libc::Elf64_Sym>() - start;
    // SAFETY: the pages are mapped, and stay readable for other code.
    if unsafe { libc::mprotect(symbol.with_addr(start).cast(), length, access) } != 0 {
        eprintln!("cuda-sim: the table of symbols cannot be written");
        std::process::abort();
    }
}
