//! Putting a kernel, its device tree and its initial RAM disk into guest RAM (requirement GM-15).
//! Files are copied in pieces (GM-16). The guest's map is its device tree: no p2m is offered
//! (GM-17).
//!
//! [`probe`] reads the kernel's header, [`plan`] decides where everything lies and refuses with a
//! reason what cannot be, and [`load_some`] copies. Places are Xen's (xen/arch/arm/kernel.c decides
//! the same): the kernel at its offset from the start of the first bank, the device tree with the
//! RAM disk directly after it at 128 MiB, else at the top of the bank, else below the kernel.

use hv_types::{BLOCK_SIZE, Gpa, Gva};

use crate::host::Host;
use crate::memory::pages::{Pages, write_clean};

mod error;
mod image;
mod parts;
#[cfg(test)]
mod tests;

pub use dt_server_api::kernel::Image;
pub use error::LoadError;
pub use image::probe;
pub use parts::{Format, Reserved};

/// Where Xen puts device tree and RAM disk if they fit: this far into the first bank.
const PREFERRED: u64 = 128 << 20;
/// Most that Linux accepts as a device tree (booting.rst).
pub const DTB_MAX: u64 = 2 << 20;

/// Guest physical range `start..end`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    start: u64,
    end: u64,
}

impl Range {
    fn new(start: u64, size: u64) -> Option<Self> {
        Some(Self {
            start,
            end: start.checked_add(size)?,
        })
    }
    const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
    const fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl Reserved<'_> {
    fn range(&self) -> Range {
        let start = self.start.raw();
        Range {
            start,
            end: start.saturating_add(self.size),
        }
    }
}

/// Where everything lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Where vCPU 0 starts; the MMU is off, so the guest physical address of the kernel.
    pub entry: Gva,
    /// First byte of the kernel.
    pub kernel: Gpa,
    /// Bytes that the kernel needs from there, its bss included.
    pub kernel_size: u64,
    /// First byte of the device tree, a multiple of 2 MiB.
    pub dtb: Gpa,
    /// Bytes that the device tree may have.
    pub dtb_max: u64,
    /// First byte of the RAM disk and the one after its last: exact.
    pub initrd: Option<(Gpa, Gpa)>,
}

/// `value` up to the next multiple of 2 MiB, or `None` past 64 bits.
const fn round_up(value: u64) -> Option<u64> {
    value.checked_next_multiple_of(BLOCK_SIZE)
}

/// `value` down to a multiple of 2 MiB.
const fn round_down(value: u64) -> u64 {
    value & !(BLOCK_SIZE - 1)
}

/// Decides where `image`, a device tree of at most `dtb_max` bytes and an initial RAM disk of
/// `initrd` bytes lie in `bank0` (start and bytes), touching nothing in `reserved`.
///
/// # Errors
/// [`LoadError`] that names what does not fit or collides, and what to try.
pub fn plan<'a>(
    bank0: (Gpa, u64),
    image: &Image,
    dtb_max: u64,
    initrd: Option<u64>,
    reserved: &'a [Reserved<'a>],
) -> Result<Plan, LoadError<'a>> {
    let (bank_start, bank_size) = bank0;
    let initrd = initrd.filter(|&size| size != 0);
    if dtb_max > DTB_MAX {
        return Err(LoadError::DeviceTreeTooLarge { size: dtb_max });
    }
    let no_room = LoadError::NoRoom {
        kernel: image.size,
        dtb: dtb_max,
        initrd: initrd.unwrap_or(0),
        bank: bank_start,
        bank_size,
        taken: reserved.first().map(|r| r.name),
    };
    let bank = Range::new(bank_start.raw(), bank_size).ok_or(no_room)?;
    let kernel = round_up(bank.start)
        .and_then(|base| base.checked_add(image.text_offset))
        .and_then(|start| Range::new(start, image.size))
        .filter(|&kernel| bank.contains(kernel))
        .ok_or(LoadError::KernelTooLarge {
            size: image.size,
            offset: image.text_offset,
            bank: bank_start,
            bank_size,
        })?;
    // The kernel's place is fixed by its header.
    if let Some(with) = reserved.iter().find(|r| r.range().overlaps(kernel)) {
        return Err(LoadError::KernelConflict {
            start: Gpa::new(kernel.start),
            end: Gpa::new(kernel.end),
            with: *with,
        });
    }

    let dtb_space = round_up(dtb_max).ok_or(no_room)?;
    let space = initrd
        .map_or(Some(0), round_up)
        .and_then(|size| size.checked_add(dtb_space));
    let space = space.ok_or(no_room)?;
    let place = find_place(bank, kernel, space, reserved).ok_or(no_room)?;

    let initrd = initrd.map(|size| {
        // Within `space`, which ends within the bank.
        let start = place + dtb_space;
        (Gpa::new(start), Gpa::new(start + size))
    });
    Ok(Plan {
        entry: Gva::new(kernel.start),
        kernel: Gpa::new(kernel.start),
        kernel_size: image.size,
        dtb: Gpa::new(place),
        dtb_max,
        initrd,
    })
}

/// The first of the candidate places at which `space` bytes (a multiple of 2 MiB) collide with
/// nothing.
fn find_place(bank: Range, kernel: Range, space: u64, reserved: &[Reserved<'_>]) -> Option<u64> {
    let free = |start: u64| {
        Range::new(start, space).is_some_and(|range| {
            bank.contains(range)
                && !range.overlaps(kernel)
                && !reserved.iter().any(|r| r.range().overlaps(range))
        })
    };
    let below = |end: u64| end.checked_sub(space).map(round_down);
    // Xen's three places. The first is above the kernel or not at all.
    let preferred = bank.start.checked_add(PREFERRED).and_then(round_up);
    let xen = [
        preferred.filter(|&start| kernel.end <= start),
        below(bank.end),
        below(kernel.start),
    ];
    // Then whatever is next to the kernel or to a reserved range.
    let near = reserved.iter().map(Reserved::range).chain([kernel]);
    let around = near.flat_map(|range| [round_up(range.end), below(range.start)]);
    xen.into_iter()
        .chain(around)
        .flatten()
        .find(|&start| free(start))
}

/// Copies the next `most` bytes of the files (kernel, then RAM disk) to where `plan` says, from
/// byte `from` of both taken together, page by page, each cleaned to the point of coherency.
/// Returns where to go on, `None` at the end. The rest of the kernel's space stays as it is: memory
/// is zeroed when it is granted.
///
/// # Errors
/// [`LoadError::NotRam`] where the plan's bank is not RAM in `pages`; [`LoadError::FileChanged`]
/// where a file is larger than planned.
pub fn load_some<H: Host, P: Pages>(
    host: &mut H,
    pages: &P,
    plan: &Plan,
    (kernel, initrd): (&[u8], Option<&[u8]>),
    from: u64,
    most: u64,
) -> Result<Option<u64>, LoadError<'static>> {
    let initrd = initrd.unwrap_or(&[]);
    let (disk, disk_room) = plan.initrd.map_or((plan.kernel, 0), |(start, end)| {
        (start, end.raw().saturating_sub(start.raw()))
    });
    let kernel_size = kernel.len() as u64;
    let (name, to, room, file, skip) = if from < kernel_size {
        ("kernel", plan.kernel, plan.kernel_size, kernel, from)
    } else {
        let skip = from - kernel_size;
        ("initial RAM disk", disk, disk_room, initrd, skip)
    };
    if file.len() as u64 > room {
        return Err(LoadError::FileChanged {
            name,
            size: file.len() as u64,
            room,
        });
    }
    let rest = usize::try_from(skip)
        .ok()
        .and_then(|skip| file.get(skip..))
        .unwrap_or(&[]);
    let count = rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    let not_ram = |at| LoadError::NotRam { name, at };
    let at = to.checked_add(skip).ok_or(not_ram(to))?;
    write_clean(host, pages, at, rest.get(..count).unwrap_or(&[])).map_err(not_ram)?;
    let next = from.saturating_add(count as u64);
    Ok((next < kernel_size.saturating_add(initrd.len() as u64)).then_some(next))
}
