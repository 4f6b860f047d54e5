//! What is kept for splits. Growth ends before it is used up.
//!
//! A block of heap memory that the kernel owns is split by copying it, which takes a free block, a
//! window for it and a split record, and gives the block and its window back when the copy is done.
//! A guest that gives up a single page must find them whatever others have grown by (BL-1). So for
//! each domain that holds such a block whole, a free block of the heap and a free window are kept;
//! the last ones become nobody's RAM and no extra page. The block that a split leaves behind serves
//! the next split. Any other block is split in place and needs only the record, which is kept as
//! well.
//!
//! A static domain whose memory the kernel owns has one block more in its reserve than it may hold,
//! so nothing has to be counted there.

use crate::domain::Kept;
use crate::records::{BlockState, HEAP};
use crate::server::{Domain, Life, MemoryServer};

/// What a block is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// To be granted whole to this domain.
    Whole(u8),
    /// To be made pages of, for anybody.
    Pages,
    /// To be what a block is copied to.
    Copy,
}

impl Domain {
    /// Whether it may ask for a split of one of `blocks` blocks.
    fn may_split(&self, blocks: u32) -> bool {
        self.life == Life::Alive && self.pending.is_none() && blocks > 0
    }

    /// Whether a free block of the heap is kept for its next split.
    fn splits_by_copy(&self) -> bool {
        self.may_split(self.whole_by_copy)
    }

    /// What of its windows is kept when it gets a page.
    pub(crate) fn kept_window(&self) -> Kept {
        if self.splits_by_copy() {
            Kept::One
        } else {
            Kept::None
        }
    }
}

impl MemoryServer<'_> {
    /// Whether block `b` is split by copying it to a block of the heap.
    pub(crate) fn is_copied(&self, b: u32) -> bool {
        self.records.get(b).home == HEAP && !self.untyped_of(b).device
    }

    /// Counts block `b` among those that `d` holds whole.
    pub(crate) fn count_whole(&mut self, d: u8, b: u32) {
        let copied = u32::from(self.is_copied(b));
        let dom = self.dom_mut(d);
        dom.whole += 1;
        dom.whole_by_copy += copied;
    }

    /// Undoes [`MemoryServer::count_whole`].
    pub(crate) fn uncount_whole(&mut self, d: u8, b: u32) {
        let copied = u32::from(self.is_copied(b));
        let dom = self.dom_mut(d);
        dom.whole -= 1;
        dom.whole_by_copy -= copied;
    }

    /// Free blocks of the heap that must be left when one has been taken for `purpose`, or given
    /// back to its last holder: one that is split by copying it, if `copied`.
    pub(crate) fn kept_blocks(&self, purpose: Use, copied: bool) -> u32 {
        let kept = |(d, dom): (u8, &Domain)| match purpose {
            Use::Copy => 0,
            Use::Whole(to) if to == d && copied => u32::from(dom.may_split(1)),
            Use::Whole(_) | Use::Pages => u32::from(dom.splits_by_copy()),
        };
        (0u8..).zip(&self.domains).map(kept).sum()
    }

    /// Unused split records that must be left when one has been taken for `purpose`, of a block of
    /// the pool `home`.
    pub(crate) fn kept_records(&self, home: u8, purpose: Use) -> usize {
        let apart = self.records.is_static_apart();
        if purpose == Use::Copy || apart && home != HEAP {
            return 0;
        }
        let may_split =
            |dom: &&Domain| dom.may_split(dom.whole) && !(apart && dom.config.is_static);
        self.domains.iter().filter(may_split).count()
    }

    /// Whether the counts of whole blocks agree with the records; for tests.
    pub fn counts_hold(&self) -> bool {
        let domains = (0u8..).zip(&self.domains);
        domains.into_iter().all(|(d, dom)| {
            let all = (0u32..).zip(self.records.blocks.iter());
            let held = all.filter(|(_, b)| b.state == BlockState::Held && b.holder == d);
            let copied = held.clone().filter(|(b, _)| self.is_copied(*b)).count();
            dom.whole as usize == held.count() && dom.whole_by_copy as usize == copied
        })
    }
}
