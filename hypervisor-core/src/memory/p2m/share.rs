//! Static shared memory: what the domains file gives to several domains together.
//!
//! It is not the guest's RAM. It lies in no bank and in no window, so nothing of it is an argument
//! of a hypercall, and the guest can neither grant it nor give it up. It stays where the file puts
//! it for the guest's whole life: nothing is mapped over it, and it is not removed.

use dt_server_api::Bank;
use hv_types::{FrameSize, Gfn, PAGE_SHIFT};
use memory_server_api::{Reply, Request};

use super::P2m;
use super::error::Error;
use super::map::{MALFORMED, Space, ask};
use crate::host::Host;

/// How much of its shared memory a guest that is being built has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SharedSoFar {
    /// Frames.
    frames: u32,
    /// Their bytes.
    bytes: u64,
}

impl P2m<'_> {
    /// Maps the next piece of the shared memory `shared`, which lies outside the banks, as much as
    /// one request brings; returns where to go on, `None` at the end.
    ///
    /// # Errors
    /// The frame from which on nothing was mapped, and why.
    pub fn share_some<H: Host>(
        &mut self,
        host: &mut H,
        shared: &[Bank],
        so_far: SharedSoFar,
    ) -> Result<Option<SharedSoFar>, (Gfn, Error)> {
        let mut before = 0u64;
        let place = shared.iter().find_map(|bank| {
            let offset = so_far.bytes.checked_sub(before)?;
            before = before.saturating_add(bank.size());
            (offset < bank.size()).then_some((bank, offset))
        });
        let Some((bank, offset)) = place else {
            return Ok(None);
        };
        let gpa = bank.start().checked_add(offset);
        let gfn = gpa.unwrap_or(bank.start()).gfn();
        self.share_run(host, bank, offset, so_far)
            .map(Some)
            .map_err(|error| (gfn, error))
    }

    fn share_run<H: Host>(
        &mut self,
        host: &mut H,
        bank: &Bank,
        offset: u64,
        so_far: SharedSoFar,
    ) -> Result<SharedSoFar, Error> {
        if offset == 0 {
            self.note_shared(bank)?;
        }
        let frame = so_far.frames;
        let Reply::Shared { first, count, size } = ask(host, Request::Shared { frame })? else {
            return Err(MALFORMED);
        };
        let SharedSoFar {
            mut frames,
            mut bytes,
        } = so_far;
        let mut offset = offset;
        for n in 0..count {
            let each = u64::from(size.pages()) << PAGE_SHIFT;
            let at = bank.start().checked_add(offset).ok_or(Error::BadGfn)?;
            // A run ends with its region.
            if each > bank.size() - offset || size == FrameSize::Block && !at.is_aligned(each) {
                return Err(MALFORMED);
            }
            self.map(host, first.nth(n), Space::Guest(at), size)?;
            (frames, bytes, offset) = (frames + 1, bytes + each, offset + each);
        }
        Ok(SharedSoFar { frames, bytes })
    }

    /// Keeps `bank` free of anything else.
    fn note_shared(&mut self, bank: &Bank) -> Result<(), Error> {
        let (first, pages) = (bank.start().gfn().raw(), bank.size() >> PAGE_SHIFT);
        let end = first.checked_add(pages).ok_or(Error::BadGfn)?;
        let ram = |b: &super::RamBank| first < b.first + b.pages && b.first < end;
        if self.banks.iter().any(ram) {
            return Err(Error::Occupied);
        }
        self.shared.push(*bank).map_err(|_| Error::BadGfn)?;
        self.note_mapped(Gfn::new(end.saturating_sub(1)));
        Ok(())
    }

    /// Whether `gfn` is of shared memory.
    #[inline]
    pub(super) fn is_shared(&self, gfn: Gfn) -> bool {
        let gfn = gfn.raw();
        self.shared
            .iter()
            .any(|bank| gfn.wrapping_sub(bank.start().gfn().raw()) < bank.size() >> PAGE_SHIFT)
    }
}
