//! Copies to and from guest virtual addresses (Xen's `copy_from_guest`, `copy_to_guest`).
//!
//! A pointer from a guest is a claim. Copies translate it page by page, move bytes, and never
//! keep anything that refers to guest memory. Whatever is wrong with a pointer is `-EFAULT`:
//! unmapped, read-only, no memory behind it, or a range that wraps.
//!
//! A copy to the guest looks at *all* of its pages before it writes to any, so `-EFAULT` means
//! that nothing changed (unless the guest unmaps the range from another vCPU at the same time).

use guest_mem::Window;
use hv_types::{Gfn, Gpa, Gva, PAGE_SIZE, WindowAddr};
use xen_abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;
use crate::vcpu::walk::Regime;
use crate::vcpu::walk::fault::Access;

/// Copies a structure from the guest.
///
/// # Errors
/// `-EFAULT`.
pub fn copy_in<H, P, T>(host: &mut H, pages: &P, gva: Gva) -> Result<T, Errno>
where
    H: VcpuHost,
    P: Pages,
    T: FromBytes + IntoBytes + Immutable,
{
    Copier::new().copy_in(host, pages, gva)
}

/// Copies a structure to the guest.
///
/// # Errors
/// `-EFAULT`; nothing has changed.
pub fn copy_out<H, P, T>(host: &mut H, pages: &P, gva: Gva, value: &T) -> Result<(), Errno>
where
    H: VcpuHost,
    P: Pages,
    T: IntoBytes + Immutable,
{
    Copier::new().copy_out(host, pages, gva, value)
}

/// Copies bytes from the guest.
///
/// # Errors
/// `-EFAULT`; `into` holds anything.
pub fn read_bytes<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gva: Gva,
    into: &mut [u8],
) -> Result<(), Errno> {
    Copier::new().read_bytes(host, pages, gva, into)
}

/// Copies bytes to the guest.
///
/// # Errors
/// `-EFAULT`; nothing has changed.
pub fn write_bytes<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gva: Gva,
    from: &[u8],
) -> Result<(), Errno> {
    Copier::new().write_bytes(host, pages, gva, from)
}

/// Address of element `index` of an array of `size`-byte elements at `base`.
///
/// # Errors
/// `-EFAULT` where the address wraps.
pub fn element(base: Gva, index: u64, size: usize) -> Result<Gva, Errno> {
    let bytes = index.checked_mul(size as u64).ok_or(Errno::Efault)?;
    base.checked_add(bytes).ok_or(Errno::Efault)
}

/// Pages that a [`Copier`] remembers: an array being read, one being written, and the structure
/// that names them.
const ENTRIES: usize = 4;

/// The copies of one hypercall: translation registers are read once and the last pages remembered.
///
/// Valid until the guest runs again, or the p2m changes: make a new one after either (or call
/// [`Copier::forget_pages`]).
#[derive(Clone, Copy, Debug, Default)]
pub struct Copier {
    regime: Regime,
    pages: [Option<Entry>; ENTRIES],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    page: Gva,
    gpa: Gpa,
    at: WindowAddr,
    access: Access,
}

impl Copier {
    /// Nothing known yet.
    pub const fn new() -> Self {
        Self {
            regime: Regime::new(),
            pages: [None; ENTRIES],
            next: 0,
        }
    }

    /// Forgets where pages lie; to be called after the p2m changed.
    pub fn forget_pages(&mut self) {
        self.pages = [None; ENTRIES];
    }

    /// Whether a page that is remembered is one of the `count` frames from `gfn` on.
    pub fn remembers(&self, gfn: Gfn, count: u64) -> bool {
        self.pages.iter().flatten().any(|entry| {
            let frame = entry.gpa.gfn().raw();
            frame
                .checked_sub(gfn.raw())
                .is_some_and(|offset| offset < count)
        })
    }

    /// As [`copy_in`].
    ///
    /// # Errors
    /// `-EFAULT`.
    // What lies within a page, as nearly all does, is looked up and copied where it is asked for.
    #[inline]
    pub fn copy_in<H, P, T>(&mut self, host: &mut H, pages: &P, gva: Gva) -> Result<T, Errno>
    where
        H: VcpuHost,
        P: Pages,
        T: FromBytes + IntoBytes + Immutable,
    {
        let mut value = T::new_zeroed();
        let len = size_of::<T>();
        if within_page(gva, len) == len {
            let there = self.locate(host, pages, gva, Access::Read)?;
            if self.regime.uncached(host) {
                host.window().clean(there, len as u64);
            }
            host.window().read(there, value.as_mut_bytes());
        } else {
            self.read_bytes(host, pages, gva, value.as_mut_bytes())?;
        }
        Ok(value)
    }

    /// As [`copy_out`].
    ///
    /// # Errors
    /// `-EFAULT`; nothing has changed.
    pub fn copy_out<H, P, T>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        value: &T,
    ) -> Result<(), Errno>
    where
        H: VcpuHost,
        P: Pages,
        T: IntoBytes + Immutable,
    {
        self.write_bytes(host, pages, gva, value.as_bytes())
    }

    /// As [`read_bytes`].
    ///
    /// # Errors
    /// `-EFAULT`; `into` holds anything.
    pub fn read_bytes<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        mut into: &mut [u8],
    ) -> Result<(), Errno> {
        let mut at = gva;
        while !into.is_empty() {
            let (chunk, rest) = into.split_at_mut(within_page(at, into.len()));
            let there = self.locate(host, pages, at, Access::Read)?;
            let len = chunk.len() as u64;
            if self.regime.uncached(host) {
                host.window().clean(there, len);
            }
            host.window().read(there, chunk);
            into = rest;
            if !into.is_empty() {
                at = at.checked_add(len).ok_or(Errno::Efault)?;
            }
        }
        Ok(())
    }

    /// As [`write_bytes`].
    ///
    /// # Errors
    /// `-EFAULT`; nothing has changed.
    pub fn write_bytes<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        from: &[u8],
    ) -> Result<(), Errno> {
        // Most fit one page, which is then looked at once.
        if within_page(gva, from.len()) < from.len() {
            self.check_writable(host, pages, gva, from.len() as u64)?;
        }
        let (mut at, mut from) = (gva, from);
        while !from.is_empty() {
            let (chunk, rest) = from.split_at(within_page(at, from.len()));
            let there = self.locate(host, pages, at, Access::Write)?;
            let len = chunk.len() as u64;
            host.window().write(there, chunk);
            if self.regime.uncached(host) {
                host.window().clean(there, len);
            }
            from = rest;
            if !from.is_empty() {
                at = at.checked_add(len).ok_or(Errno::Efault)?;
            }
        }
        Ok(())
    }

    /// Whether all of `len` bytes at `gva` can be written, changing nothing. One walk a page:
    /// callers bound `len`.
    ///
    /// # Errors
    /// `-EFAULT`.
    pub fn check_writable<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        len: u64,
    ) -> Result<(), Errno> {
        let Some(last) = len.checked_sub(1) else {
            return Ok(());
        };
        let last = gva.checked_add(last).ok_or(Errno::Efault)?;
        let mut at = gva;
        loop {
            self.locate(host, pages, at, Access::Write)?;
            // The last page of the address space has no next one.
            match at.page_base().checked_add(PAGE_SIZE) {
                Some(next) if next <= last => at = next,
                _ => return Ok(()),
            }
        }
    }

    /// Where the byte at `gva` lies, with the rest of its page.
    fn locate<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        access: Access,
    ) -> Result<WindowAddr, Errno> {
        let page = gva.page_base();
        let known = self
            .pages
            .iter()
            .flatten()
            .find(|e| e.page == page && e.access == access);
        let base = match known {
            Some(entry) => entry.at,
            None => self.find(host, pages, page, access)?,
        };
        base.checked_add(gva.page_offset()).ok_or(Errno::Efault)
    }

    fn find<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        page: Gva,
        access: Access,
    ) -> Result<WindowAddr, Errno> {
        let gpa = self
            .regime
            .translate(host, pages, page, access)
            .map_err(|_| Errno::Efault)?;
        let at = match access {
            Access::Read => pages.readable_by(host, gpa, PAGE_SIZE),
            Access::Write => pages.writable_by(host, gpa, PAGE_SIZE),
        };
        let at = at.ok_or(Errno::Efault)?;
        if let Some(slot) = self.pages.get_mut(self.next % ENTRIES) {
            *slot = Some(Entry {
                page,
                gpa,
                at,
                access,
            });
        }
        self.next = (self.next + 1) % ENTRIES;
        Ok(at)
    }
}

/// How many of `len` bytes at `gva` lie in its page.
fn within_page(gva: Gva, len: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "at most a page")]
    let room = (PAGE_SIZE - gva.page_offset()) as usize;
    len.min(room)
}

#[cfg(test)]
mod tests;
