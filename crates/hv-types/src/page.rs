//! Page geometry: 4 KiB pages and 2 MiB blocks, the two frame sizes used on AArch64.

/// log2 of the page size.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page; Xen's and seL4's small page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;
/// log2 of the block size.
pub const BLOCK_SHIFT: u32 = 21;
/// Bytes in a block: seL4's large page, one level-2 entry.
pub const BLOCK_SIZE: u64 = 1 << BLOCK_SHIFT;
/// Pages in a block.
pub const PAGES_PER_BLOCK: u32 = 1 << (BLOCK_SHIFT - PAGE_SHIFT);

/// The two sizes in which guest memory is granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum FrameSize {
    /// 4 KiB.
    Page,
    /// 2 MiB.
    Block,
}

impl FrameSize {
    /// log2 of the size in bytes, seL4's `size_bits`.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Page => PAGE_SHIFT,
            Self::Block => BLOCK_SHIFT,
        }
    }
    /// Bytes.
    pub const fn bytes(self) -> u64 {
        1 << self.bits()
    }
    /// 4 KiB pages.
    pub const fn pages(self) -> u32 {
        1 << (self.bits() - PAGE_SHIFT)
    }
}

/// log2 of a number of contiguous pages (Xen's `extent_order`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
#[repr(transparent)]
pub struct PageOrder(pub u32);
