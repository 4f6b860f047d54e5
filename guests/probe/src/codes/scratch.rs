//! Pages of our RAM that this set gives up, covers and grants.

use core::cell::UnsafeCell;

/// How many there are.
const COUNT: usize = 16;

#[repr(C, align(4096))]
struct Page(UnsafeCell<[u64; 512]>);

// SAFETY: one CPU; accesses go through raw pointers, one at a time.
unsafe impl Sync for Page {}

static PAGES: [Page; COUNT] = [const { Page(UnsafeCell::new([0; 512])) }; COUNT];

/// Address of page `n`; with the MMU off also its guest physical address.
pub fn address(n: usize) -> u64 {
    PAGES[n % COUNT].0.get() as u64
}

/// Frame number of page `n`.
pub fn frame(n: usize) -> u64 {
    address(n) >> 12
}

/// Reads the aligned word at `address`, which is mapped.
pub fn read(address: u64) -> u64 {
    // SAFETY: callers name memory that the hypervisor has just mapped or that is ours.
    unsafe { (address as *const u64).read_volatile() }
}

/// Writes the aligned word at `address`, which is mapped and nobody else's.
pub fn write(address: u64, value: u64) {
    // SAFETY: as for `read`; the pages here hold nothing but test data.
    unsafe { (address as *mut u64).write_volatile(value) }
}
