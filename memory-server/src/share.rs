//! Static shared memory: who has which frames is in the manifest, and never changes.
//!
//! A frame is made when the first domain asks for it, and its original stays in the server's own
//! CNode for ever. A domain that the manifest names gets one copy of each, read and write. The end
//! of a domain takes its copies away; the frames and what is in them stay, for the others and for
//! its next life. They are in nobody's RAM count, and no other request names them: they have slots
//! of their own, behind all that a domain can give back, split, alias or lend.

use hv_types::FrameSize;
use memory_server_api::{Error, Request, Slot};

use crate::cost;
use crate::domain::DomainIndex;
use crate::kernel::{Destination, Kernel, Object, Original};
use crate::layout;
use crate::manifest::{MAX_SHARED_REGIONS, Purpose, Untyped};
use crate::server::{MemoryServer, UntypedRecord};

/// Most pages that are made at once: the dearest message stays below [`cost::MESSAGE`].
const MAKE_AT_ONCE: u32 = 32;

impl UntypedRecord {
    /// Frames of shared memory in it, and their size.
    fn shared_frames(&self) -> (u32, FrameSize) {
        layout::shared_frames(&Untyped {
            paddr: self.paddr,
            size_bits: self.size_bits,
            device: self.device,
            purpose: self.purpose,
        })
    }
}

impl MemoryServer<'_> {
    /// [`Request::Shared`].
    ///
    /// # Errors
    /// [`Error::NotYours`] behind the last frame that `d` shares, [`Error::WrongState`] where it
    /// lacks one before it; [`Error::Kernel`], [`Error::Again`]: nothing new was granted.
    pub(crate) fn share(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        frame: u32,
    ) -> Result<(Slot, u32, FrameSize), Error> {
        let (index, n) = self.find_shared(d, frame).ok_or(Error::NotYours)?;
        let have = self.dom(d).shared;
        let (frames, size) = self.untypeds[index].shared_frames();
        let first = self.dom(d).layout.shared(frame);
        let most = (frames - n).min(Request::MAX_SHARED);
        if frame < have {
            return Ok((first, most.min(have - frame), size));
        }
        if frame > have {
            return Err(Error::WrongState);
        }
        let mut count = 0;
        while count < most {
            match self.share_next(kernel, d, index, n + count) {
                Ok(()) => count += 1,
                Err(error) if count == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok((first, count, size))
    }

    /// Frame `frame` of those that `d` shares: its untyped, and which of its frames. Counts the
    /// search, which goes through the untypeds once for each region.
    fn find_shared(&mut self, d: u8, frame: u32) -> Option<(usize, u32)> {
        let regions = self.dom(d).config.shares.regions.count_ones();
        for _ in 0..regions {
            self.spend_looks(self.untypeds.len());
        }
        self.shared_at(d, frame)
    }

    fn shared_at(&self, d: u8, frame: u32) -> Option<(usize, u32)> {
        let shares = self.dom(d).config.shares;
        let mut left = frame;
        // The regions in the order of their numbers, as the domain's record has them.
        for number in (0..MAX_SHARED_REGIONS).filter(|number| shares.has(*number)) {
            for (index, untyped) in self.untypeds.iter().enumerate() {
                if !matches!(untyped.purpose, Purpose::Shared { region, .. } if region == number) {
                    continue;
                }
                let (frames, _) = untyped.shared_frames();
                match left.checked_sub(frames) {
                    None => return Some((index, left)),
                    Some(rest) => left = rest,
                }
            }
        }
        None
    }

    /// Gives `d` its next frame, which is frame `n` of untyped `index`.
    fn share_next(
        &mut self,
        kernel: &mut impl Kernel,
        d: u8,
        index: usize,
        n: u32,
    ) -> Result<(), Error> {
        while self.untypeds[index].clean <= n {
            self.make_shared(kernel, index)?;
        }
        self.afford(cost::MINT)?;
        let original = Original::Own(self.own.shared(self.untypeds[index].first + n));
        let slot = self.dom(d).layout.shared(self.dom(d).shared);
        kernel
            .lend(original, DomainIndex(d), slot, true)
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).shared += 1;
        Ok(())
    }

    /// Makes the next frames of untyped `index`, or has the next one that was made hold nothing.
    fn make_shared(&mut self, kernel: &mut impl Kernel, index: usize) -> Result<(), Error> {
        let untyped = self.untypeds[index];
        let (frames, size) = untyped.shared_frames();
        let slot = self.own.shared(untyped.first + untyped.made);
        if untyped.clean == untyped.made {
            let (most, each) = match (size, untyped.device) {
                (FrameSize::Block, true) => (1, cost::MAKE),
                (FrameSize::Block, false) => (1, cost::MAKE_BLOCK),
                (FrameSize::Page, true) => (MAKE_AT_ONCE, cost::MAKE),
                (FrameSize::Page, false) => (MAKE_AT_ONCE, cost::MAKE_PAGE),
            };
            let count = layout::run(slot.0, (frames - untyped.made).min(most));
            self.afford(cost::RETYPE + each * count)?;
            let from = self.own.untyped(u8::try_from(index).unwrap_or(u8::MAX));
            kernel
                .retype(from, Object::Frame(size), Destination::Own(slot), count)
                .map_err(|_| Error::Kernel)?;
            self.untypeds[index].made += count;
            if !untyped.device {
                // The kernel has zeroed it at boot.
                self.untypeds[index].clean += count;
            }
            return Ok(());
        }
        self.afford(match size {
            FrameSize::Block => cost::SCRUB_BLOCK,
            FrameSize::Page => cost::SCRUB_PAGE,
        })?;
        let slot = self.own.shared(untyped.first + untyped.clean);
        kernel
            .scrub(Original::Own(slot), size)
            .map_err(|_| Error::Kernel)?;
        self.untypeds[index].clean += 1;
        Ok(())
    }

    /// Takes the last capability of shared memory that `d` has away; whether it had one.
    ///
    /// # Errors
    /// [`Error::Kernel`]; nothing changed.
    pub(crate) fn end_share(&mut self, kernel: &mut impl Kernel, d: u8) -> Result<bool, Error> {
        let Some(last) = self.dom(d).shared.checked_sub(1) else {
            return Ok(false);
        };
        // It had it, so it is there.
        let (index, n) = self.find_shared(d, last).ok_or(Error::Kernel)?;
        let original = Original::Own(self.own.shared(self.untypeds[index].first + n));
        let slot = self.dom(d).layout.shared(last);
        self.spend(cost::REVOKE + cost::DELETE);
        kernel
            .delete(original, DomainIndex(d), slot)
            .map_err(|_| Error::Kernel)?;
        self.dom_mut(d).shared = last;
        Ok(true)
    }
}
