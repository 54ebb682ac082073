//! The metadata of kernels: a MessagePack map in a note of a code object's ELF file.

use std::collections::HashMap;

use rmpv::ValueRef;

use crate::code_objects::Argument;

/// `NT_AMDGPU_METADATA`.
pub const NOTE: u32 = 32;

fn get<'a>(map: &'a ValueRef<'a>, key: &str) -> Option<&'a ValueRef<'a>> {
    let ValueRef::Map(pairs) = map else { return None };
    pairs.iter().find(|(k, _)| text(k) == Some(key)).map(|(_, value)| value)
}

fn text<'a>(value: &'a ValueRef<'a>) -> Option<&'a str> {
    match value {
        ValueRef::String(text) => text.as_str(),
        _ => None,
    }
}

fn list<'a>(map: &'a ValueRef<'a>, key: &str) -> &'a [ValueRef<'a>] {
    match get(map, key) {
        Some(ValueRef::Array(items)) => items,
        _ => &[],
    }
}

fn number(map: &ValueRef<'_>, key: &str) -> Option<usize> {
    match get(map, key)? {
        ValueRef::Integer(number) => number.as_u64()?.try_into().ok(),
        _ => None,
    }
}

/// Returns the arguments of each kernel, by the kernel's name. Arguments that the compiler adds
/// (`hidden_…`) are left out.
pub fn kernels(mut note: &[u8]) -> Result<HashMap<String, Vec<Argument>>, String> {
    let root = rmpv::decode::read_value_ref(&mut note).map_err(|error| error.to_string())?;
    let mut kernels = HashMap::new();
    for kernel in list(&root, "amdhsa.kernels") {
        let Some(name) = get(kernel, ".name").and_then(text) else { continue };
        let mut arguments = Vec::new();
        for argument in list(kernel, ".args") {
            let kind = get(argument, ".value_kind").and_then(text).unwrap_or_default();
            let (Some(offset), Some(size)) =
                (number(argument, ".offset"), number(argument, ".size"))
            else {
                continue;
            };
            if !kind.starts_with("hidden_") {
                let name = get(argument, ".name").and_then(text).unwrap_or_default();
                arguments.push(Argument { name: name.to_owned(), offset, size });
            }
        }
        kernels.insert(name.to_owned(), arguments);
    }
    Ok(kernels)
}
