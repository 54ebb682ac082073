//! The dynamic symbol tables of the ELF objects that are loaded in this process.
//!
//! The table in memory lists what an object itself exports. `dlsym` would also return functions of its
//! dependencies.

use std::ffi::{CStr, c_char};
use std::slice;

const DT_HASH: usize = 4;
const DT_STRTAB: usize = 5;
const DT_SYMTAB: usize = 6;
const DT_GNU_HASH: usize = 0x6fff_fef5;

/// `Elf64_Sym`.
#[cfg(target_pointer_width = "64")]
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

/// `Elf32_Sym`.
#[cfg(target_pointer_width = "32")]
#[repr(C)]
struct Symbol {
    name: u32,
    value: usize,
    size: usize,
    info: u8,
    other: u8,
    section: u16,
}

/// The parts of an object's dynamic section that a lookup needs.
pub(super) struct SymbolTable {
    base: usize,
    symbols: *const Symbol,
    names: *const c_char,
    hash: Hash,
}

enum Hash {
    Gnu(*const u32),
    SysV(*const u32),
}

impl SymbolTable {
    /// Reads the dynamic section at `dynamic` of the object that is loaded at `base`.
    ///
    /// # Safety
    /// `dynamic` is the dynamic section of an object that stays loaded while the table is used.
    pub(super) unsafe fn read(base: usize, dynamic: *const [usize; 2]) -> Option<Self> {
        let (mut symbols, mut names, mut gnu, mut sysv) = (0, 0, 0, 0);
        for index in 0.. {
            // SAFETY: `dynamic` is a dynamic section (caller contract). It ends with an entry of tag 0,
            // where the loop stops.
            let [tag, value] = unsafe { *dynamic.add(index) };
            match tag {
                0 => break,
                DT_SYMTAB => symbols = value,
                DT_STRTAB => names = value,
                DT_GNU_HASH => gnu = value,
                DT_HASH => sysv = value,
                _ => {}
            }
        }
        // glibc replaces the offsets by addresses. musl, and glibc for read-only sections, keep offsets.
        let address = |value: usize| if value < base { base + value } else { value };
        let hash = match (gnu, sysv) {
            (0, 0) => return None,
            (0, sysv) => Hash::SysV(std::ptr::with_exposed_provenance(address(sysv))),
            (gnu, _) => Hash::Gnu(std::ptr::with_exposed_provenance(address(gnu))),
        };
        if symbols == 0 || names == 0 {
            return None;
        }
        Some(SymbolTable {
            base,
            symbols: std::ptr::with_exposed_provenance(address(symbols)),
            names: std::ptr::with_exposed_provenance(address(names)),
            hash,
        })
    }

    /// Returns the address of the function `name` if this object itself exports it.
    ///
    /// # Safety
    /// The object is still loaded.
    pub(super) unsafe fn find(&self, name: &CStr) -> Option<usize> {
        // SAFETY: the object is loaded (caller contract), and both tables have the layout of ELF.
        unsafe {
            match self.hash {
                Hash::Gnu(table) => self.find_gnu(table, name),
                Hash::SysV(table) => self.find_sysv(table, name),
            }
        }
    }

    /// Searches the GNU hash table.
    ///
    /// # Safety
    /// `table` is the object's GNU hash table, and the object is loaded.
    unsafe fn find_gnu(&self, table: *const u32, name: &CStr) -> Option<usize> {
        let hash = gnu_hash(name);
        // SAFETY: `table` is valid (caller contract). The four words of the header give the sizes of what
        // follows: a Bloom filter of machine words, the buckets, and one chain word for each symbol from
        // `first` on. The last word of a bucket's chain has its lowest bit set.
        unsafe {
            let [buckets, first, filter, _] = *table.cast::<[u32; 4]>();
            if buckets == 0 {
                return None;
            }
            let filter_words = filter as usize * (size_of::<usize>() / size_of::<u32>());
            let bucket_table = table.add(4 + filter_words);
            let chains = bucket_table.add(buckets as usize);
            let mut index = *bucket_table.add((hash % buckets) as usize);
            if index < first {
                return None;
            }
            loop {
                let entry = *chains.add((index - first) as usize);
                if entry | 1 == hash | 1
                    && let Some(found) = self.symbol(index, name)
                {
                    return Some(found);
                }
                if entry & 1 == 1 {
                    return None;
                }
                index += 1;
            }
        }
    }

    /// Searches the System V hash table.
    ///
    /// # Safety
    /// `table` is the object's System V hash table, and the object is loaded.
    unsafe fn find_sysv(&self, table: *const u32, name: &CStr) -> Option<usize> {
        // SAFETY: `table` is valid (caller contract). Its first two words give the sizes of the two arrays
        // that follow; index 0 ends a chain.
        unsafe {
            let [buckets, chains] = *table.cast::<[u32; 2]>();
            if buckets == 0 {
                return None;
            }
            let bucket_table = slice::from_raw_parts(table.add(2), buckets as usize);
            let chain_table =
                slice::from_raw_parts(table.add(2 + buckets as usize), chains as usize);
            let mut index = bucket_table[(sysv_hash(name) % buckets) as usize];
            while index != 0 {
                if let Some(found) = self.symbol(index, name) {
                    return Some(found);
                }
                index = *chain_table.get(index as usize)?;
            }
            None
        }
    }

    /// Returns the address of symbol `index` if it is defined here and has this name.
    ///
    /// # Safety
    /// `index` is one of the table's, and the object is loaded.
    unsafe fn symbol(&self, index: u32, name: &CStr) -> Option<usize> {
        // SAFETY: `index` is in the table (caller contract). A name's offset leads to a string of the table
        // of names.
        let (symbol, its_name) = unsafe {
            let symbol = &*self.symbols.add(index as usize);
            (symbol, CStr::from_ptr(self.names.add(symbol.name as usize)))
        };
        let is_defined = symbol.section != 0 && symbol.value != 0;
        (is_defined && its_name == name).then(|| self.base + symbol.value)
    }
}

fn gnu_hash(name: &CStr) -> u32 {
    let bytes = name.to_bytes().iter();
    bytes.fold(5381, |hash: u32, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()))
}

fn sysv_hash(name: &CStr) -> u32 {
    name.to_bytes().iter().fold(0, |hash: u32, &byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_the_format() {
        assert_eq!((gnu_hash(c""), gnu_hash(c"printf")), (0x1505, 0x156b_2bb8));
        assert_eq!((sysv_hash(c""), sysv_hash(c"printf")), (0, 0x0779_05a6));
    }
}
