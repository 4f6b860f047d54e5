//! What one message may cost, and what is counted for it.
//!
//! The server runs above everybody, so a neighbour waits for as much as one message can make it do.
//! Costs are counted in instructions of the release kernel (seL4 16 on AArch64, server included),
//! rounded up; zeroing counts as what it takes at memory speed rather than by its few instructions.
//! What costs by the number of capabilities, pages or records is counted by that number *before* it
//! is done (`afford`): where it does not fit into what is left of the message, the
//! message ends, with what is done so far or with [`Error::Again`].
//!
//! Measured on the release kernel under icount with `domains/dear.dts`, one domain, copies not
//! mapped: the dearest message of PopulateBlocks and of PopulatePages takes 0.97 M instructions, of
//! Tables 0.97 M, of SplitAbort 0.46 M, of Relinquish 0.21 M, of any other less than 0.07 M.
//!
//! Each long step leaves its result in the records, so a request that is repeated finds it and gets
//! further. Nothing long is ever begun twice.

use memory_server_api::Error;

use crate::domain::Spent;
use crate::server::MemoryServer;

/// What one message may cost.
pub const MESSAGE: u32 = 1_000_000;
/// What a message may have cost before a step that needs a whole [`MESSAGE`]: a retype or a revoke
/// or two.
pub const BEFORE: u32 = 64_000;
/// What the end of a domain costs for each message before its last step; some 60 to 90 frames.
pub(crate) const END: u32 = MESSAGE / 10;

/// `CNode_Mint`.
pub const MINT: u32 = 1_000;
/// `CNode_Delete` without what it deletes, or `CNode_Revoke` without what that deletes.
pub const REVOKE: u32 = 700;
/// A capability that is deleted, with its mapping.
pub const DELETE: u32 = 420;
/// A page table, or vCPU, that is deleted with its last capability.
pub const DELETE_TABLE: u32 = 1_000;
/// `Untyped_Retype` without its objects.
pub const RETYPE: u32 = 1_000;
/// An untyped or a page of device memory that is made.
pub const MAKE: u32 = 60;
/// A page or a page table of kernel memory that is made: the kernel cleans it from the caches.
pub const MAKE_PAGE: u32 = 460;
/// A 2 MiB frame of kernel memory that is made.
pub const MAKE_BLOCK: u32 = 200_000;
/// A page of kernel memory that the kernel zeroes, because its untyped was in use before.
pub const RESET_PAGE: u32 = 1_900;
/// A page that the server zeroes: mapped, zeroed, cleaned, unmapped.
pub const SCRUB_PAGE: u32 = 3_600;
/// A 2 MiB frame that the server zeroes.
pub const SCRUB_BLOCK: u32 = 900_000;
/// A split record that is looked at.
pub const LOOK: u32 = 12;
/// A window that is looked at.
pub const LOOK_WINDOW: u32 = 3;
/// A step of the end of a domain that finds nothing.
pub(crate) const END_LOOK: u32 = 100;
/// A page or block that changes hands, in the records.
pub(crate) const RECORD: u32 = 300;
/// A block that a domain splits, with all of its pages, in the records.
pub const RECORD_SPLIT: u32 = 8_000;

impl MemoryServer<'_> {
    /// A message has come.
    pub(crate) fn start_message(&mut self) {
        self.spent = Spent::default();
    }

    /// What the message has cost so far.
    pub(crate) fn spent(&self) -> u32 {
        self.spent.cost.saturating_add(self.spent.looks)
    }

    /// Whether a batch that has got somewhere ends here.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent() > MESSAGE
    }

    /// Counts what is bounded by itself.
    pub(crate) fn spend(&mut self, cost: u32) {
        self.spent.cost = self.spent.cost.saturating_add(cost);
    }

    /// Counts a search through `steps` records.
    pub(crate) fn spend_looks(&mut self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        let looks = steps.saturating_mul(LOOK);
        self.spent.looks = self.spent.looks.saturating_add(looks);
    }

    /// Counts a search for a free window of `d`.
    pub(crate) fn spend_window_looks(&mut self, d: u8) {
        let looks = LOOK_WINDOW * u32::from(self.dom(d).layout.windows());
        self.spent.looks = self.spent.looks.saturating_add(looks);
    }

    /// Counts a step that is about to be done.
    ///
    /// # Errors
    /// [`Error::Again`] if it does not fit into this message; nothing is counted. The first long
    /// step of a message always fits.
    pub(crate) fn afford(&mut self, cost: u32) -> Result<(), Error> {
        if self.spent().saturating_add(cost) > MESSAGE && self.spent.cost > BEFORE {
            return Err(Error::Again);
        }
        self.spend(cost);
        Ok(())
    }

    /// As [`MemoryServer::afford`], for the revocation of frames of which `d` has `copies`
    /// capabilities in the page's own slot, and further ones.
    ///
    /// # Errors
    /// [`Error::Again`].
    pub(crate) fn afford_revoke(&mut self, d: u8, copies: u32) -> Result<(), Error> {
        self.afford(self.revoke_cost(d, copies))?;
        self.spent.counted |= 1 << d;
        Ok(())
    }

    /// As [`MemoryServer::spend`], for the same.
    pub(crate) fn spend_revoke(&mut self, d: u8, copies: u32) {
        self.spend(self.revoke_cost(d, copies));
        self.spent.counted |= 1 << d;
    }

    fn revoke_cost(&self, d: u8, copies: u32) -> u32 {
        REVOKE + DELETE * (copies + self.copies_to_count(d))
    }

    /// The copies beside that in the page's own slot that revoking any frames of `d` can delete,
    /// but for those that this message has counted. Which page has which is not recorded.
    pub(crate) fn copies_to_count(&self, d: u8) -> u32 {
        if self.spent.counted >> d & 1 != 0 {
            return 0;
        }
        self.dom(d)
            .copies
            .iter()
            .map(|word| word.count_ones())
            .sum()
    }
}
