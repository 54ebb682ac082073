//! HIP's built-in kernels that fill and copy memory.

use crate::kernels::{Arguments, Fault, checked_range};

/// The buffer arguments of HIP 5's fill kernels, with their element sizes.
const FILL_BUFFERS: [(&str, usize); 4] =
    [("bufULong", 8), ("bufUInt", 4), ("bufUShort", 2), ("bufUChar", 1)];

/// Fills `count` units at `to` with the `unit` bytes at `pattern`.
fn repeat(to: usize, pattern: usize, unit: usize, count: usize) -> Result<(), Fault> {
    let bytes = unit * count;
    let (to, pattern) = (checked_range(to, bytes)?, checked_range(pattern, unit)?);
    if bytes == 0 {
        return Ok(());
    }
    // SAFETY: both ranges were checked. Each step copies what is already written, so the filled
    // range doubles.
    unsafe {
        to.copy_from(pattern, unit);
        let mut written = unit;
        while written < bytes {
            let more = written.min(bytes - written);
            to.add(written).copy_from_nonoverlapping(to, more);
            written += more;
        }
    }
    Ok(())
}

fn move_bytes(to: usize, from: usize, bytes: usize) -> Result<(), Fault> {
    let (to, from) = (checked_range(to, bytes)?, checked_range(from, bytes)?);
    // SAFETY: both ranges were checked. They may overlap.
    unsafe { to.copy_from(from, bytes) };
    Ok(())
}

/// Executes a fill.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn fill(arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    unsafe {
        let pattern = arguments.get("pattern")?;
        let (start, unit, count) = if let Some(start) = arguments.find("buf") {
            // From HIP 6 on, the arguments are the pattern in elements of `alignment` bytes, and
            // the end of the buffer.
            let unit = arguments.get("pattern_size")? * arguments.get("alignment")?;
            let bytes = arguments.get("end_ptr")?.saturating_sub(start as usize);
            (start as usize, unit, bytes.div_ceil(unit.max(1)))
        } else {
            let (width, buffer) = arguments.buffer(&FILL_BUFFERS)?;
            let start = buffer + arguments.get("offset")? * width;
            (start, arguments.get("patternSize")? * width, arguments.get("size")?)
        };
        repeat(start, pattern, unit, count)?;
        Ok(format!("{} bytes at 0x{start:x}", unit * count))
    }
}

/// Executes a two-dimensional fill.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn fill_2d(arguments: &Arguments<'_>, grid_x: u32) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    unsafe {
        let (width, buffer) = arguments.buffer(&FILL_BUFFERS)?;
        let start = buffer + arguments.get("offset")? * width;
        let unit = arguments.get("patternSize")? * width;
        let pattern = arguments.get("pattern")?;
        // Fills one element for each work-item below the width, whatever the pattern's size.
        let columns = arguments.get("width")?.min(grid_x as usize);
        let (rows, pitch) = (arguments.get("height")?, arguments.get("pitch")? * width);
        for row in 0..rows {
            let at = start + row * pitch;
            if unit == width {
                repeat(at, pattern, unit, columns)?;
            } else {
                for column in 0..columns {
                    repeat(at + column * width, pattern, unit, 1)?;
                }
            }
        }
        Ok(format!("{rows} rows of {columns} at 0x{start:x}"))
    }
}

/// Executes a copy.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn copy(arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    let (from, to, bytes) = unsafe {
        let size = arguments.get("size")?;
        if arguments.find("end_ptr").is_some() {
            // From HIP 6 on, whole elements are copied up to the end, then the remaining bytes.
            (arguments.get("src")?, arguments.get("dst")?, size)
        } else {
            let from = arguments.get("srcI")? + arguments.get("srcOrigin")?;
            let to = arguments.get("dstI")? + arguments.get("dstOrigin")?;
            // `size` counts work-items: one for each byte, or one for each word and a last one for
            // the remainder.
            match arguments.get("remain")? {
                8 => (from, to, size),
                remain => (from, to, size.saturating_sub(1) * 4 + remain),
            }
        }
    };
    move_bytes(to, from, bytes)?;
    Ok(format!("{bytes} bytes, 0x{from:x} to 0x{to:x}"))
}

/// Executes a copy of aligned elements.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn copy_aligned(arguments: &Arguments<'_>) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    let (from, to, bytes) = unsafe {
        let unit = if arguments.get("alignment")? == 16 { 16 } else { 4 };
        let from = arguments.get("src")? + arguments.get("srcOrigin")? * unit;
        let to = arguments.get("dst")? + arguments.get("dstOrigin")? * unit;
        (from, to, arguments.get("size")? * unit)
    };
    move_bytes(to, from, bytes)?;
    Ok(format!("{bytes} bytes, 0x{from:x} to 0x{to:x}"))
}

/// Executes a copy of a box.
///
/// # Safety
///
/// The requirements of [`Arguments::find`].
pub unsafe fn copy_rect(arguments: &Arguments<'_>, aligned: bool) -> Result<String, Fault> {
    // SAFETY: the arguments have the layout that the metadata describes (caller contract).
    unsafe {
        let (from, to) = (arguments.get("src")?, arguments.get("dst")?);
        // The row pitch, the slice pitch and the start. Then follow the extents and the element
        // size.
        let [from_row, from_slice, from_start, _] = arguments.four("srcRect")?;
        let [to_row, to_slice, to_start, _] = arguments.four("dstRect")?;
        let [x, y, z, width] = arguments.four("size")?;
        let unit = if !aligned {
            1
        } else if width == 16 {
            16
        } else {
            4
        };
        for slice in 0..z {
            for row in 0..y {
                let from = from + (from_start + row * from_row + slice * from_slice) * unit;
                let to = to + (to_start + row * to_row + slice * to_slice) * unit;
                move_bytes(to, from, x * unit)?;
            }
        }
        Ok(format!("{x}x{y}x{z} of {unit} bytes, 0x{from:x} to 0x{to:x}"))
    }
}
