//! Files that VMMs read: guest kernels and RAM disks.
//!
//! Microkit fills a region of 2 MiB pages from a file by carrying its bytes in the specification,
//! deflated: the initial task checks them byte by byte, inflates them, and copies them into frames
//! that the kernel has zeroed before; several instructions a byte, for a kernel of 33 MB.
//!
//! Where the board has RAM that the kernel does not own, the loader puts the file straight into
//! it instead (0.63 instructions a byte): nobody zeroes that RAM afterwards. The region becomes
//! one with a physical address and no content, the file one more region of the loader.
//! Elsewhere the region gets 4 KiB pages, which lie ready in the initial task's image and are
//! only mapped: 0.63 instructions a byte for the loader and 0.6 for each VMM that maps them.

use microkit_tool::sdf::{SysMemoryRegion, SysMemoryRegionPaddr, SystemDescription};
use microkit_tool::sel4::PageSize;
use untyped_plan::{BootUntyped, Paddr, Span, human, subtract};

use crate::Error;

/// A file that the loader copies to its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Preload {
    /// The memory region it is the content of.
    pub region: String,
    /// Where it goes.
    pub paddr: Paddr,
    /// Bytes of the region, whole pages.
    pub size: u64,
    /// The bytes; none of a region that is filled with zeros.
    pub bytes: Vec<u8>,
}

impl Preload {
    /// What the loader puts there.
    pub(crate) fn contents(&self) -> Vec<u8> {
        if self.bytes.is_empty() {
            return vec![0; usize::try_from(self.size).unwrap_or(0)];
        }
        self.bytes.clone()
    }

    /// Where it lies.
    pub(crate) fn span(&self) -> Option<Span> {
        Span::sized(self.paddr, self.size)
    }
}

const BLOCK: u64 = 1 << 21;

/// Takes the content of prefilled regions of 2 MiB pages out of `system` wherever `ram` has
/// room for it outside the kernel's memory (`device` untypeds) and outside `named`, and makes
/// the others regions of 4 KiB pages.
pub(crate) fn preload(
    system: &mut SystemDescription,
    ram: &[Span],
    device: &[BootUntyped],
    named: &[Span],
) -> Vec<Preload> {
    let mut free = free_ram(ram, device, &taken(system, named));
    let mut preloads = Vec::new();
    for region in &mut system.memory_regions {
        let unplaced = matches!(region.phys_addr, SysMemoryRegionPaddr::Unspecified);
        if !unplaced || region.page_size_bytes() != BLOCK || region.prefill_bytes.is_none() {
            continue;
        }
        let Some(place) = take_last(&mut free, region.size, BLOCK) else {
            use_small_pages(region);
            continue;
        };
        region.phys_addr = SysMemoryRegionPaddr::Specified(place.start().0);
        if let Some(bytes) = region.prefill_bytes.take() {
            preloads.push(Preload {
                region: region.name.clone(),
                paddr: place.start(),
                size: region.size,
                bytes,
            });
        }
    }
    preloads
}

/// What is not free for regions without a place: those with one, and `named`.
fn taken(system: &SystemDescription, named: &[Span]) -> Vec<Span> {
    let regions = system.memory_regions.iter();
    let fixed = regions.filter_map(|region| Span::sized(Paddr(region.paddr()?), region.size));
    fixed.chain(named.iter().copied()).collect()
}

/// Gives the regions called `names`, which a device reads and writes, physical addresses in RAM
/// outside the kernel's memory: there the loader can put zeros, and nobody puts anything else.
///
/// # Errors
/// That there is no room.
pub(crate) fn place_for_devices(
    system: &mut SystemDescription,
    ram: &[Span],
    device: &[BootUntyped],
    named: &[Span],
    names: &[String],
) -> Result<Vec<Preload>, Error> {
    let mut free = free_ram(ram, device, &taken(system, named));
    let regions = system.memory_regions.iter_mut();
    let mut regions: Vec<_> = regions
        .filter(|region| names.contains(&region.name))
        .filter(|region| matches!(region.phys_addr, SysMemoryRegionPaddr::Unspecified))
        .collect();
    // Large pages first, the small ones into what is left between them.
    regions.sort_by_key(|region| core::cmp::Reverse(region.page_size_bytes()));
    let mut preloads = Vec::new();
    for region in regions {
        let place = take_last(&mut free, region.size, region.page_size_bytes());
        let place = place.ok_or_else(|| {
            Error::new(format!(
                "no room for '{}', {} that a disk's device reads and writes: it must lie in RAM that is not the kernel's",
                region.name,
                human(region.size)
            ))
            .advise("less xen,static-mem and xen,static-heap there (0x40000000..0x60000000 on qemu_virt_aarch64)")
        })?;
        region.phys_addr = SysMemoryRegionPaddr::Specified(place.start().0);
        preloads.push(Preload {
            region: region.name.clone(),
            paddr: place.start(),
            size: region.size,
            bytes: Vec::new(),
        });
    }
    Ok(preloads)
}

/// Makes a region one of as many 4 KiB pages as its content needs.
fn use_small_pages(region: &mut SysMemoryRegion) {
    let bytes = region
        .prefill_bytes
        .as_ref()
        .map_or(region.size, |bytes| bytes.len() as u64);
    region.page_size = PageSize::Small;
    region.page_count = bytes.div_ceil(PageSize::Small as u64);
    region.size = region.page_count * PageSize::Small as u64;
}

/// RAM that is device memory to the kernel and not taken.
pub(crate) fn free_ram(ram: &[Span], device: &[BootUntyped], taken: &[Span]) -> Vec<Span> {
    let device: Vec<Span> = device
        .iter()
        .filter(|untyped| untyped.device)
        .map(|untyped| untyped.span())
        .collect();
    let mut free: Vec<Span> = ram
        .iter()
        .flat_map(|&ram| {
            device
                .iter()
                .filter_map(move |&untyped| ram.intersection(untyped))
        })
        .collect();
    free.sort();
    subtract(&free, taken)
}

/// The last `size` bytes at a multiple of `align`: the beginning of RAM stays whole for guests.
fn take_last(free: &mut Vec<Span>, size: u64, align: u64) -> Option<Span> {
    let place = free.iter().rev().find_map(|span| {
        let start = span.end().0.checked_sub(size)? / align * align;
        Span::sized(Paddr(start), size).filter(|place| span.contains(*place))
    })?;
    *free = subtract(free, &[place]);
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> Span {
        Span::new(Paddr(start), Paddr(end)).unwrap()
    }

    #[test]
    fn only_ram_outside_the_kernel_is_offered() {
        let device = [
            BootUntyped::new(Paddr(0x4000_0000), 29, true),
            BootUntyped::new(Paddr(0x6000_0000), 29, false),
        ];
        let ram = [span(0x4000_0000, 0xc000_0000)];
        let free = free_ram(&ram, &device, &[span(0x4000_0000, 0x5000_0000)]);
        assert_eq!(free, [span(0x5000_0000, 0x6000_0000)]);
    }

    #[test]
    fn places_come_from_the_end_in_whole_blocks() {
        let mut free = vec![span(0x5000_0000, 0x6000_0000)];
        assert_eq!(
            take_last(&mut free, 0x60_0000, BLOCK),
            Some(span(0x5fa0_0000, 0x6000_0000))
        );
        assert_eq!(
            take_last(&mut free, 0x20_0000, BLOCK),
            Some(span(0x5f80_0000, 0x5fa0_0000))
        );
        assert_eq!(take_last(&mut free, 0x1000_0000, BLOCK), None);
        let mut odd = vec![span(0x1000, 0x3f_f000)];
        assert_eq!(take_last(&mut odd, 0x20_0000, BLOCK), None);
        assert_eq!(
            take_last(&mut odd, 0x2000, 0x1000),
            Some(span(0x3f_d000, 0x3f_f000))
        );
    }
}
