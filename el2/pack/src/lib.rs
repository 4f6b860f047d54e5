//! Packing of EL2 images.
//!
//! The program is an arm64 Image by itself. Behind it comes the payload ([`el2_boot::payload`]),
//! and `text_offset` in its header is set so that the boot loader puts the whole where the domains
//! file has nothing: as high as possible, because boot loaders leave their own things low.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use el2_boot::payload::{self, DOMAINS, Entry, Header, MAGIC, VERSION};
use el2_boot::{Ram, plan};
use zazen_tools::board::{Area, Target};
use zazen_tools::load::{Loaded, describe, load};
use zerocopy::IntoBytes;

/// Images are loaded at multiples of this.
const LOAD_ALIGN: u64 = 2 << 20;

/// An image.
#[derive(Debug)]
pub struct Packed {
    /// The file's bytes.
    pub image: Vec<u8>,
    /// How many of them are there without the guests' files: program, its zeroed data and tables.
    pub program: u64,
    /// Where it is to be loaded.
    pub base: u64,
    /// Bytes behind it that belong to the host.
    pub own: u64,
}

/// Packs `program` for `target`, its board and how many of its cores are used, with the domains
/// file `domains`; files that modules name are looked for next to it and in `search`.
///
/// # Errors
/// What is wrong, in words.
pub fn pack(
    program: &Path,
    domains: &Path,
    search: &[PathBuf],
    target: impl Into<Target>,
) -> Result<Packed, String> {
    let loaded = load(domains, search, target).map_err(|error| error.to_string())?;
    eprint!("{}", describe(&loaded.config.warnings, &loaded.locations));
    let mut files = vec![(DOMAINS.to_owned(), loaded.boot_dtb()?)];
    for (name, path) in &loaded.files {
        let bytes = fs::read(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        files.push((name.clone(), bytes));
    }
    let program = fs::read(program)
        .map_err(|error| format!("{} cannot be read: {error}", program.display()))?;
    assemble(program, &files, &loaded)
}

/// The little-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn assemble(
    mut image: Vec<u8>,
    files: &[(String, Vec<u8>)],
    loaded: &Loaded,
) -> Result<Packed, String> {
    let is_image = image.get(56..60) == Some(b"ARM\x64");
    // Its header counts a stack, which comes last of all.
    let end = number(&image, 16).and_then(|size| size.checked_sub(plan::GUARD + plan::STACK));
    let end = end.filter(|&end| is_image && end >= image.len() as u64);
    let end = end.ok_or(
        "the program is no arm64 Image; build it in el2/ (the linker writes the Image itself)",
    )?;
    let end = usize::try_from(end.next_multiple_of(payload::ALIGN as u64))
        .map_err(|_| "the program is too large")?;

    let sizes: Vec<u64> = files.iter().map(|(_, bytes)| bytes.len() as u64).collect();
    let (offsets, size) = payload::offsets(&sizes);
    let own = plan::own_bytes(&loaded.config);
    let count = u32::try_from(files.len()).map_err(|_| "too many files")?;
    let header = Header {
        magic: MAGIC,
        version: VERSION,
        count,
        size,
        own,
    };
    image.resize(end, 0);
    image.extend(header.as_bytes());
    let mut places = Vec::new();
    for ((name, bytes), offset) in files.iter().zip(offsets) {
        let entry = Entry::new(name, offset, bytes.len() as u64);
        let entry = entry.ok_or_else(|| {
            format!(
                "zazen,file \"{name}\": names have 1 to {} bytes",
                payload::NAME_MAX
            )
        })?;
        image.extend(entry.as_bytes());
        places.push(offset);
    }
    // Without the guests' files; the device tree belongs to the program.
    let guests: u64 = files
        .iter()
        .filter(|(name, _)| name != DOMAINS)
        .map(|(_, bytes)| bytes.len() as u64)
        .sum();
    for ((_, bytes), offset) in files.iter().zip(places) {
        image.resize(
            end + usize::try_from(offset).map_err(|_| "the files are too large")?,
            0,
        );
        image.extend(bytes);
    }
    image.resize(
        end + usize::try_from(size).map_err(|_| "the files are too large")?,
        0,
    );

    let base = place(&loaded.config, image.len() as u64 + own)?;
    let offset = base - first_ram(&loaded.config).start;
    image[8..16].copy_from_slice(&offset.to_le_bytes());
    let total = image.len() as u64;
    image[16..24].copy_from_slice(&(total + own).to_le_bytes());
    Ok(Packed {
        program: total - guests,
        image,
        base,
        own,
    })
}

/// Room that QEMU wants behind what it loads, for a device tree that it puts at the next multiple
/// of 2 MiB.
const BOOT_LOADER: u64 = 4 << 20;

/// The lowest RAM of the board: boot loaders count `text_offset` from its beginning, whatever part
/// of it the domains file names.
fn first_ram(config: &dt_server::Config) -> Area {
    let lowest = config.board.ram.iter().min_by_key(|area| area.start);
    lowest.copied().unwrap_or(Area::new(0, 0))
}

/// Where `bytes` of image and host memory go.
fn place(config: &dt_server::Config, bytes: u64) -> Result<u64, String> {
    let mut ram: Ram = plan::unclaimed(config);
    // Boot loaders have little use for what lies far away.
    let first = first_ram(config);
    for other in config
        .memory
        .iter()
        .filter(|range| range.start >= first.end())
    {
        ram.claim(*other);
    }
    let place = ram.highest(bytes + BOOT_LOADER, LOAD_ALIGN).ok_or_else(|| {
        format!("no {} MiB of the first RAM are left in one piece for the image; give the domains less of it, or name more of it in a memory node", bytes.div_ceil(1 << 20))
    })?;
    // What the domains and their tables need must fit besides.
    plan::Plan::new(config, place).map_err(|error| error.to_string())?;
    Ok(place.start)
}
