//! What a guest grants to domain 0, as the back ends in its own VMM use it.
//!
//! Nothing is mapped: the VMM sees its guest's RAM. So a grant is looked at each time it is used,
//! and one that the guest has withdrawn is not used any more; on Xen it would be in use until the
//! back end lets it go, and the guest could not withdraw it.

use guest_mem::Window;
use hv_types::{DomId, Gfn, PAGE_SIZE, WindowAddr};
use memory_server_api::Extra;
use xen_abi::grant::{ENTRIES_PER_FRAME, EntryV1, gtf};
use zerocopy::FromBytes;

use crate::domain::Domain;
use crate::host::Host;
use crate::memory::pages::Pages;

/// Who back ends are to their guest.
const BACKEND: DomId = DomId(0);

/// What is done with a granted page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It is read.
    Read,
    /// It is written, or both.
    Write,
}

/// A grant as it was when it was first used.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Granted {
    /// Its reference.
    pub gref: u32,
    /// The frame.
    pub gfn: u32,
}

/// A guest's grants.
#[derive(Clone, Copy, Debug)]
pub struct Grants<'a, P> {
    /// Its memory.
    pub pages: &'a P,
    /// Frames that its table has.
    frames: u8,
}

/// The frames that the grant table of `domain` has.
pub fn frames(domain: &Domain<'_>) -> u8 {
    super::entry::nr_frames(domain)
}

impl<'a, P: Pages> Grants<'a, P> {
    /// Those of a guest with these pages, in a table of `frames` frames.
    pub const fn new(pages: &'a P, frames: u8) -> Self {
        Self { pages, frames }
    }

    /// Uses `gref` for the first time; where the page is in the window.
    ///
    /// `None`: there is no such grant to domain 0, or not for this access, or no page there.
    pub fn open<H: Host>(
        &self,
        host: &mut H,
        gref: u32,
        access: Access,
    ) -> Option<(Granted, WindowAddr)> {
        let gfn = self.frame(host.window(), gref, access)?;
        let granted = Granted { gref, gfn };
        Some((granted, self.page(host, granted, access)?))
    }

    /// Uses a grant again; `None` where it is not what it was.
    pub fn again<H: Host>(
        &self,
        host: &mut H,
        granted: Granted,
        access: Access,
    ) -> Option<WindowAddr> {
        let gfn = self.frame(host.window(), granted.gref, access)?;
        (gfn == granted.gfn).then(|| self.page(host, granted, access))?
    }

    /// The frame that `gref` grants.
    fn frame<W: Window>(&self, window: &W, gref: u32, access: Access) -> Option<u32> {
        let frame = u8::try_from(gref / ENTRIES_PER_FRAME).ok()?;
        if frame >= self.frames {
            return None;
        }
        let offset = u16::try_from(gref % ENTRIES_PER_FRAME * 8).ok()?;
        let at = WindowAddr::extra(Extra::GrantFrame(frame).index(), offset);
        // One load: the guest may change it meanwhile.
        let word = window.load_u64(at).to_le_bytes();
        let entry = EntryV1::read_from_bytes(&word).ok()?;
        let refused = match access {
            Access::Read => 0,
            Access::Write => gtf::READONLY,
        };
        let granted = entry.flags & (gtf::TYPE_MASK | gtf::SUB_PAGE | refused)
            == gtf::PERMIT_ACCESS
            && entry.domid == BACKEND.0;
        granted.then_some(entry.frame)
    }

    fn page<H: Host>(&self, host: &mut H, granted: Granted, access: Access) -> Option<WindowAddr> {
        let gpa = Gfn::new(granted.gfn.into()).gpa()?;
        match access {
            Access::Read => self.pages.readable_by(host, gpa, PAGE_SIZE),
            Access::Write => self.pages.writable_by(host, gpa, PAGE_SIZE),
        }
    }
}
