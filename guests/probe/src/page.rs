//! Pages of our own RAM that tests may lose, fill or have the hypervisor write.

use core::cell::UnsafeCell;

/// One page.
#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; 512]>);

// SAFETY: one CPU; accesses go through raw pointers, one at a time.
unsafe impl Sync for Page {}

/// Uses of the pages.
#[derive(Clone, Copy)]
pub enum Use {
    /// shared_info is mapped over it.
    SharedInfo,
    /// The first grant frame is mapped over it.
    Grant,
    /// Given up and taken back.
    Balloon,
    /// `vcpu_info` and runstate live in it.
    Vcpu,
    /// The ring of a disk, or that by which a network interface sends.
    Ring,
    /// What is read from a disk and written to it, or sent to a network.
    Data,
    /// The ring by which a network interface receives.
    Receives,
}

static PAGES: [Page; 7] = [const { Page(UnsafeCell::new([0; 512])) }; 7];

/// Address of the page; with the MMU off also its guest physical address.
pub fn address(page: Use) -> u64 {
    PAGES[page as usize].0.get() as u64
}

/// Its frame number.
pub fn frame(page: Use) -> u64 {
    address(page) >> 12
}

/// Reads the byte at `offset` of a page.
pub fn read_byte(page: Use, offset: u64) -> u8 {
    // SAFETY: the page is ours and mapped, or a page of the hypervisor's lies over it; offset is
    // below 4096.
    unsafe { ((address(page) + (offset & 0xfff)) as *const u8).read_volatile() }
}

/// Reads the aligned word at `offset` of a page.
pub fn read(page: Use, offset: u64) -> u64 {
    // SAFETY: as for `read_byte`.
    unsafe { ((address(page) + (offset & 0xff8)) as *const u64).read_volatile() }
}

/// Writes the aligned word at `offset` of a page.
pub fn write(page: Use, offset: u64, value: u64) {
    // SAFETY: as for `read_byte`; nothing else lives in the page.
    unsafe { ((address(page) + (offset & 0xff8)) as *mut u64).write_volatile(value) }
}

/// Writes the aligned half of a word at `offset` of a page.
pub fn write_half(page: Use, offset: u64, value: u32) {
    // SAFETY: as for `write`.
    unsafe { ((address(page) + (offset & 0xffc)) as *mut u32).write_volatile(value) }
}
