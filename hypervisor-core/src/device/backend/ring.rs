//! A ring of requests and responses in pages that the guest grants (public/io/ring.h).
//!
//! The guest may write anything there at any time. Its two indices are read once per look and used
//! only if they are possible; our own are here, and shared memory has copies. A request is copied
//! before it is looked at.

use core::fmt;

use guest_mem::Window;
use heapless::Vec;
use hv_types::WindowAddr;
use xen_abi::ring::{HEADER, REQ_EVENT, REQ_PROD, RSP_EVENT, RSP_PROD, slots};

use crate::host::Host;
use crate::hypercall::grant::backend::{Access, Granted, Grants};
use crate::memory::pages::Pages;

/// Pages of the largest ring.
pub const MAX_PAGES: usize = 16;

/// A ring cannot be used any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// A page of it is not granted, or not any more.
    Page(u32),
    /// More requests than slots, or fewer than there were.
    Index {
        /// `req_prod`.
        prod: u32,
        /// Requests taken.
        taken: u32,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(gref) => write!(
                f,
                "grant {gref} does not give domain 0 a page of RAM to write to"
            ),
            Self::Index { prod, taken } => write!(
                f,
                "req_prod {prod:#x} cannot be: {taken:#x} requests were taken"
            ),
        }
    }
}

/// The back end's side of a ring whose slots have `SLOT` bytes, at least 1 and at most 256.
#[derive(Debug)]
pub struct Ring<const SLOT: usize> {
    pages: Vec<Granted, MAX_PAGES>,
    /// Slots, a power of two.
    slots: u32,
    /// Requests taken, modulo 2^32.
    taken: u32,
    /// Responses written.
    answered: u32,
    /// Responses that the guest has been told of.
    published: u32,
}

impl<const SLOT: usize> Ring<SLOT> {
    #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
    const BYTES: u32 = {
        assert!(SLOT > 0 && SLOT <= 256, "slots are small");
        SLOT as u32
    };

    /// The ring in the pages that `grefs` grant, 1 to 16 and a power of two. It goes on behind the
    /// last response, as Xen's back ends do.
    ///
    /// # Errors
    /// [`Broken`]: they are not granted, or more requests are there than slots.
    pub fn connect<H: Host, P: Pages>(
        host: &mut H,
        grants: &Grants<'_, P>,
        grefs: &[u32],
    ) -> Result<Self, Broken> {
        let mut pages = Vec::new();
        for &gref in grefs {
            let page = grants.open(host, gref, Access::Write);
            let (granted, _) = page.ok_or(Broken::Page(gref))?;
            pages.push(granted).map_err(|_| Broken::Page(gref))?;
        }
        let mut ring = Self {
            slots: slots(u32::try_from(pages.len()).unwrap_or(0), Self::BYTES),
            pages,
            taken: 0,
            answered: 0,
            published: 0,
        };
        let header = ring.page(host, grants, 0)?;
        let at = host.window().load_u32(field(header, RSP_PROD));
        (ring.taken, ring.answered, ring.published) = (at, at, at);
        ring.waiting(host, grants)?;
        Ok(ring)
    }

    /// How many requests are there that were not taken.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn waiting<H: Host, P: Pages>(
        &self,
        host: &mut H,
        grants: &Grants<'_, P>,
    ) -> Result<u32, Broken> {
        let header = self.page(host, grants, 0)?;
        let prod = host.window().load_u32(field(header, REQ_PROD));
        let (waiting, open) = (
            prod.wrapping_sub(self.taken),
            prod.wrapping_sub(self.answered),
        );
        if waiting > self.slots || open > self.slots {
            return Err(Broken::Index {
                prod,
                taken: self.taken,
            });
        }
        Ok(waiting)
    }

    /// Copies the request that is `ahead` behind the next, which is there, and stays.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn peek<H: Host, P: Pages>(
        &self,
        host: &mut H,
        grants: &Grants<'_, P>,
        ahead: u32,
    ) -> Result<[u8; SLOT], Broken> {
        let mut bytes = [0; SLOT];
        let mut done = 0;
        let index = self.taken.wrapping_add(ahead);
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let (at, len) = self.place(host, grants, index, done, rest.len())?;
            host.window()
                .read(at, rest.get_mut(..len).unwrap_or_default());
            done += len;
        }
        Ok(bytes)
    }

    /// Takes `count` requests that were copied.
    pub const fn take(&mut self, count: u32) {
        self.taken = self.taken.wrapping_add(count);
    }

    /// Writes a response, of which the first `SLOT` bytes count, to a request that was taken; the
    /// guest does not see it yet.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn respond<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        response: &[u8],
    ) -> Result<(), Broken> {
        let mut rest = response.get(..SLOT).unwrap_or(response);
        let mut done = 0;
        while !rest.is_empty() {
            let (at, len) = self.place(host, grants, self.answered, done, rest.len())?;
            let (bytes, behind) = rest.split_at_checked(len).unwrap_or_default();
            host.window().write(at, bytes);
            done += len;
            rest = behind;
        }
        self.answered = self.answered.wrapping_add(1);
        Ok(())
    }

    /// Shows the guest the responses written; whether it wants an event.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn publish<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
    ) -> Result<bool, Broken> {
        let new = self.answered.wrapping_sub(self.published);
        if new == 0 {
            return Ok(false);
        }
        let header = self.page(host, grants, 0)?;
        // Both accesses are sequentially consistent: the bytes before the index, and the index
        // before the look at what the guest wants.
        host.window()
            .store_u32(field(header, RSP_PROD), self.answered);
        self.published = self.answered;
        let event = host.window().load_u32(field(header, RSP_EVENT));
        Ok(self.answered.wrapping_sub(event) < new)
    }

    /// Fewer requests are there than `wanted`, at least 1: asks for an event when there are as
    /// many. Returns whether there are already.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn rest<H: Host, P: Pages>(
        &self,
        host: &mut H,
        grants: &Grants<'_, P>,
        wanted: u32,
    ) -> Result<bool, Broken> {
        let header = self.page(host, grants, 0)?;
        host.window()
            .store_u32(field(header, REQ_EVENT), self.taken.wrapping_add(wanted));
        Ok(self.waiting(host, grants)? >= wanted)
    }

    /// Where the page of that number is, if it is still granted.
    fn page<H: Host, P: Pages>(
        &self,
        host: &mut H,
        grants: &Grants<'_, P>,
        page: usize,
    ) -> Result<WindowAddr, Broken> {
        let granted = self.pages.get(page).copied().ok_or(Broken::Page(0))?;
        grants
            .again(host, granted, Access::Write)
            .ok_or(Broken::Page(granted.gref))
    }

    /// Where byte `offset` of the slot of that index is, and how many of `len` bytes lie there in a
    /// row: a slot may reach across pages.
    fn place<H: Host, P: Pages>(
        &self,
        host: &mut H,
        grants: &Grants<'_, P>,
        index: u32,
        offset: usize,
        len: usize,
    ) -> Result<(WindowAddr, usize), Broken> {
        const PAGE: usize = 4096;
        let slot = index & self.slots.saturating_sub(1);
        // Within 16 pages.
        let byte = usize::try_from(HEADER + slot * Self::BYTES).unwrap_or(0) + offset;
        let page = self.page(host, grants, byte / PAGE)?;
        let within = byte % PAGE;
        let at = page.checked_add(within as u64).ok_or(Broken::Page(0))?;
        Ok((at, len.min(PAGE - within)))
    }
}

/// A field of the header.
const fn field(page: WindowAddr, offset: u16) -> WindowAddr {
    // The page lies in the window as a whole.
    WindowAddr::new(page.raw() + offset as u64)
}
