//! Which machine frames a domain holds, merged into runs. `inspect` shows what the image grants;
//! this shows what was granted since.

use core::fmt;

use hv_types::{PAGE_SHIFT, PAGES_PER_BLOCK};

use crate::records::{BlockState, NIL, PageId, PageState};
use crate::server::MemoryServer;

/// A page among all pages of the server, whether or not its block is split. Blocks are numbered as
/// the manifest orders the untypeds, which is by address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Position {
    block: u32,
    page: u32,
}

impl Position {
    pub(crate) const START: Self = Self { block: 0, page: 0 };
}

/// Frames of one size that follow each other both for the machine and for the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// First guest frame; `None` where the records do not tell (above 2^32).
    gfn: Option<u32>,
    mfn: u64,
    pub(crate) pages: u64,
    /// In 2 MiB frames.
    whole: bool,
}

impl Run {
    /// Whether `next` goes on where this ends.
    fn goes_on(&self, next: &Self) -> bool {
        let follows = match (self.gfn, next.gfn) {
            (Some(gfn), Some(next)) => u64::from(gfn) + self.pages == u64::from(next),
            (None, None) => true,
            _ => false,
        };
        follows && self.whole == next.whole && self.mfn + self.pages == next.mfn
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.pages.saturating_sub(1);
        match self.gfn {
            Some(gfn) => write!(f, "gfn {gfn:#x}..{:#x}", u64::from(gfn) + last)?,
            None => write!(f, "gfn above 2^32")?,
        }
        let (size, count) = if self.whole {
            ("2 MiB", self.pages / u64::from(PAGES_PER_BLOCK))
        } else {
            ("4 KiB", self.pages)
        };
        write!(
            f,
            " = mfn {:#x}..{:#x} ({count} x {size})",
            self.mfn,
            self.mfn + last
        )
    }
}

/// The runs of one domain's RAM from a position on, by machine address.
pub(crate) struct Runs<'s, 'a> {
    server: &'s MemoryServer<'a>,
    domain: u8,
    at: Position,
}

impl Runs<'_, '_> {
    /// Where the next run is looked for.
    pub(crate) fn position(&self) -> Position {
        self.at
    }

    /// The frame at or after `at` that the domain holds, and the position behind it.
    fn frame(&self, mut at: Position) -> Option<(Run, Position)> {
        let records = &self.server.records;
        loop {
            let block = records.blocks.get(at.block as usize)?;
            let next = Position {
                block: at.block + 1,
                page: 0,
            };
            let run = |id, gfn, pages| Run {
                gfn: (gfn != NIL).then_some(gfn),
                mfn: self.server.paddr(id) >> PAGE_SHIFT,
                pages: u64::from(pages),
                whole: pages != 1,
            };
            match block.state {
                BlockState::Held | BlockState::Source
                    if block.holder == self.domain && at.page == 0 =>
                {
                    let frame = run(PageId::new(at.block, 0), block.gfn, PAGES_PER_BLOCK);
                    return Some((frame, next));
                }
                BlockState::Split => {
                    let split = records.splits.get(usize::from(block.split));
                    let pages = split.map_or(&[][..], |split| {
                        split.page.get(..usize::from(split.pages)).unwrap_or(&[])
                    });
                    let found = (at.page..)
                        .zip(pages.get(at.page as usize..).unwrap_or(&[]))
                        .find(|(_, page)| {
                            page.state() == PageState::Ram && page.holder() == self.domain
                        });
                    if let Some((page, record)) = found {
                        let behind = Position {
                            block: at.block,
                            page: page + 1,
                        };
                        return Some((run(PageId::new(at.block, page), record.gfn(), 1), behind));
                    }
                }
                _ => {}
            }
            at = next;
        }
    }
}

impl Iterator for Runs<'_, '_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let (mut run, behind) = self.frame(self.at)?;
        self.at = behind;
        while let Some((frame, behind)) =
            self.frame(self.at).filter(|(frame, _)| run.goes_on(frame))
        {
            run.pages += frame.pages;
            self.at = behind;
        }
        Some(run)
    }
}

impl<'a> MemoryServer<'a> {
    /// The runs of `d`'s RAM from `from` on.
    pub(crate) fn runs(&self, d: u8, from: Position) -> Runs<'_, 'a> {
        Runs {
            server: self,
            domain: d,
            at: from,
        }
    }
}
