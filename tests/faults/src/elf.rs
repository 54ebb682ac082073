//! Copies of a library in which functions are missing: [`without_symbol`].

use std::fs;
use std::path::Path;

use object::elf::{FileHeader64, SHN_UNDEF, SHT_DYNSYM, Sym64};
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, pod};

/// Copies the library at `path` to `out` so that `dlsym` does not find the function `name`.
///
/// The function's code stays: a caller that has its address can still call it. The entry in the
/// table of dynamic symbols is marked as undefined, and `dlsym` skips such entries. A library that
/// calls its own function by that name cannot be loaded afterwards. Only 64-bit ELF is supported.
///
/// # Errors
/// A message that says that the file cannot be read or written, or that it has no such function.
pub fn without_symbol(path: &Path, name: &str, out: &Path) -> Result<(), String> {
    without_symbols(path, &[name], out)
}

/// Copies the library at `path` to `out` so that `dlsym` finds none of the functions `names`.
///
/// # Errors
/// Errors as [`without_symbol`].
pub fn without_symbols(path: &Path, names: &[&str], out: &Path) -> Result<(), String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(|error| at(&error))?;
    for name in names {
        let offsets = symbol_offsets(&bytes, name).map_err(|error| at(&error))?;
        if offsets.is_empty() {
            return Err(at(&format!("has no function `{name}`")));
        }
        for offset in offsets {
            let size = size_of::<Sym64<Endianness>>();
            let symbol = bytes.get_mut(offset..offset + size).ok_or_else(|| at(&"cut short"))?;
            let (symbol, _) = pod::from_bytes_mut::<Sym64<Endianness>>(symbol)
                .map_err(|()| at(&"its symbols are not aligned"))?;
            let endian = Endianness::Little;
            symbol.st_shndx.set(endian, SHN_UNDEF);
            symbol.st_value.set(endian, 0);
        }
    }
    fs::write(out, bytes).map_err(|error| format!("{}: {error}", out.display()))
}

/// Returns the file offsets of the defined dynamic symbols called `name`.
fn symbol_offsets(bytes: &[u8], name: &str) -> Result<Vec<usize>, object::read::Error> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let table = sections.symbols(endian, bytes, SHT_DYNSYM)?;
    let mut offsets = Vec::new();
    for symbol in table.iter() {
        let name_matches = symbol.name(endian, table.strings())? == name.as_bytes();
        if name_matches && !symbol.is_undefined(endian) {
            offsets.push(std::ptr::from_ref(symbol).addr() - bytes.as_ptr().addr());
        }
    }
    Ok(offsets)
}
