//! Which bytes of a guest's memory the VMM may touch.

use guest_mem::Window;
use hv_types::{Gpa, WindowAddr};

use crate::host::Host;

/// The two questions that stage-1 walks, guest pointers and the loader ask of the p2m.
///
/// A separate trait so that they can be tested against any layout. [`WindowAddr`]s come from here
/// alone: an implementation answers `Some` only where the whole range is mapped in the window.
pub trait Pages {
    /// `len` bytes from `gpa`, which lie within one 4 KiB page, if the VMM may read them: RAM, or
    /// an extra page that is mapped there. `None` for anything else, such as a range across a page
    /// boundary.
    ///
    /// And none for RAM that has to be mapped in the window first: see [`Pages::readable_by`].
    fn readable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr>;
    /// The same for writing: what the guest itself could write there.
    fn writable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr>;
    /// Brings the page of `gpa` into the window if it is RAM and not there.
    fn reach<H: Host>(&self, host: &mut H, gpa: Gpa) {
        let _ = (host, gpa);
    }

    /// [`Pages::readable`] with the page brought into the window if need be.
    #[inline]
    fn readable_by<H: Host>(&self, host: &mut H, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        self.readable(gpa, len).or_else(|| {
            self.reach(host, gpa);
            self.readable(gpa, len)
        })
    }
    /// [`Pages::writable`] with the page brought into the window if need be.
    #[inline]
    fn writable_by<H: Host>(&self, host: &mut H, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        self.writable(gpa, len).or_else(|| {
            self.reach(host, gpa);
            self.writable(gpa, len)
        })
    }
}

/// Writes `from` to guest RAM at `to` and cleans it to the point of coherency, so that a guest that
/// has just started (caches off) sees it. Each page is looked up; those that are next to each other
/// in the window are written together.
///
/// # Errors
/// The first address that is not RAM; what lies before it has been written.
pub fn write_clean<H: Host, P: Pages>(
    host: &mut H,
    pages: &P,
    to: Gpa,
    from: &[u8],
) -> Result<(), Gpa> {
    let mut at = to;
    let mut rest = from;
    while !rest.is_empty() {
        let (there, count) = run(host, pages, at, rest.len()).ok_or(at)?;
        let (chunk, after) = rest.split_at(count);
        let len = chunk.len() as u64;
        let window = host.window();
        window.write(there, chunk);
        window.clean(there, len);
        // A chunk that is RAM is followed by an address of 64 bits.
        at = at.checked_add(len).ok_or(at)?;
        rest = after;
    }
    Ok(())
}

/// Most bytes that [`run`] finds: fewer pages than can be in sight at once.
const RUN: usize = 128 << 10;

/// Where the guest RAM at `at` lies in the window, and how many of `most` bytes lie there in one
/// piece: at least one. `None` if it is not RAM.
fn run<H: Host, P: Pages>(
    host: &mut H,
    pages: &P,
    at: Gpa,
    most: usize,
) -> Option<(WindowAddr, usize)> {
    let most = most.min(RUN);
    let mut of_page = |at: Gpa, most: usize| {
        let room = hv_types::PAGE_SIZE - at.page_offset();
        let count = most.min(usize::try_from(room).unwrap_or(0));
        Some((pages.writable_by(host, at, count as u64)?, count))
    };
    let (first, mut count) = of_page(at, most)?;
    while count < most {
        let next = at.checked_add(count as u64);
        match next.and_then(|next| of_page(next, most - count)) {
            Some((there, more)) if there.raw() == first.raw() + count as u64 => count += more,
            _ => break,
        }
    }
    Some((first, count))
}
