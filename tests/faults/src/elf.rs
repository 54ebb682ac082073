//! A library in which a function is missing: [`without_symbol`].

use std::fs;
use std::path::Path;

use object::elf::{FileHeader64, SHN_UNDEF, SHT_DYNSYM, Sym64};
use object::read::elf::{FileHeader, Sym};
use object::{Endianness, pod};

/// Copies the library at `path` to `out` without the function `name`, so that `dlsym` does not find
/// it. The function itself stays, and whoever has it by its address can call it.
///
/// In the table of dynamic symbols the name is marked as one that the library needs and does not
/// have, which is what `dlsym` passes over. For 64-bit ELF. A library that calls its own function by
/// that name cannot be loaded then.
///
/// # Errors
/// A sentence: the file cannot be read or written, or has no such function.
pub fn without_symbol(path: &Path, name: &str, out: &Path) -> Result<(), String> {
    without_symbols(path, &[name], out)
}

/// As [`without_symbol`], for several functions.
///
/// # Errors
/// As there.
pub fn without_symbols(path: &Path, names: &[&str], out: &Path) -> Result<(), String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut bytes = fs::read(path).map_err(|error| at(&error))?;
    for name in names {
        let places = places_of(&bytes, name).map_err(|error| at(&error))?;
        if places.is_empty() {
            return Err(at(&format!("has no function `{name}`")));
        }
        for place in places {
            let size = size_of::<Sym64<Endianness>>();
            let symbol = bytes.get_mut(place..place + size).ok_or_else(|| at(&"cut short"))?;
            let (symbol, _) = pod::from_bytes_mut::<Sym64<Endianness>>(symbol)
                .map_err(|()| at(&"its symbols are not aligned"))?;
            let endian = Endianness::Little;
            symbol.st_shndx.set(endian, SHN_UNDEF);
            symbol.st_value.set(endian, 0);
        }
    }
    fs::write(out, bytes).map_err(|error| format!("{}: {error}", out.display()))
}

/// Where in the file the entries of the name are.
fn places_of(bytes: &[u8], name: &str) -> Result<Vec<usize>, object::read::Error> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let table = sections.symbols(endian, bytes, SHT_DYNSYM)?;
    let mut places = Vec::new();
    for symbol in table.iter() {
        let is_it = symbol.name(endian, table.strings())? == name.as_bytes();
        if is_it && !symbol.is_undefined(endian) {
            places.push(std::ptr::from_ref(symbol).addr() - bytes.as_ptr().addr());
        }
    }
    Ok(places)
}
