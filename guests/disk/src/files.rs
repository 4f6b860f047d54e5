//! Files that must outlive a loss of power, and a mark that says which.
//!
//! File `fN` has bytes that follow from N ([`fill`]). When it is written and fsynced, N is written
//! to the mark, a sector of the disk behind the file system: whoever finds N there must find the
//! files up to N, but for those that were removed, which are the ones at least [`KEPT`] before the
//! last. The test that looks has the same rules (tests/src/scenes/power).

use core::ffi::CStr;

use crate::line::{Line, number, say};
use crate::sys;

/// How many files are kept.
const KEPT: u64 = 64;
/// Most bytes of a file.
const MOST: usize = 24_000;
/// Where the mark is on the disk, in bytes.
const MARK: u64 = 60 << 20;

/// A sector, aligned as direct I/O wants it.
#[repr(align(4096))]
struct Sector([u8; 512]);

/// Writes `count` files to `directory`, which is on `device`.
pub fn run(directory: &CStr, device: &CStr, count: &CStr) -> Result<(), &'static str> {
    let count = number(count.to_bytes()).ok_or("the count is no number")?;
    let mark = u64::try_from(sys::open(device, sys::WRITES | sys::DIRECT))
        .map_err(|_| "the disk cannot be opened")?;
    let mut bytes = [0; MOST];
    for number in 1..=count {
        let bytes = fill(number, &mut bytes);
        let file = with_name(directory, number, |name| {
            sys::open(name, sys::WRITES | sys::CREATE)
        })?;
        let file = u64::try_from(file).map_err(|_| "a file cannot be made")?;
        if sys::write(file, bytes) != bytes.len() as i64 || sys::fsync(file) != 0 {
            return Err("a file cannot be written");
        }
        sys::close(file);
        let mut sector = Sector([0; 512]);
        let text = Line::new(format_args!("{number}\n"));
        sector.0[..text.bytes().len()].copy_from_slice(text.bytes());
        if sys::write_at(mark, &sector.0, MARK) != 512 {
            return Err("the mark cannot be written");
        }
        if number > KEPT {
            with_name(directory, number - KEPT, sys::unlink)?;
        }
    }
    say(format_args!("disk: {count} files are written\n"));
    Ok(())
}

/// The bytes of file `number`.
fn fill(number: u64, bytes: &mut [u8; MOST]) -> &[u8] {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = 1 + next() as usize % MOST;
    for byte in &mut bytes[..length] {
        *byte = (next() >> 32) as u8;
    }
    &bytes[..length]
}

fn with_name<T>(
    directory: &CStr,
    number: u64,
    act: impl FnOnce(&CStr) -> T,
) -> Result<T, &'static str> {
    let directory = core::str::from_utf8(directory.to_bytes()).map_err(|_| "not UTF-8")?;
    let name = Line::new(format_args!("{directory}/f{number}\0"));
    let name = CStr::from_bytes_with_nul(name.bytes()).map_err(|_| "the name is too long")?;
    Ok(act(name))
}
