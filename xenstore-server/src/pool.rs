//! The memory of the store: cells of one size, of which each domain may use so many.
//!
//! Everything of variable length is a [`Chain`] of cells, so nothing is ever torn into pieces that
//! are too small, and what a domain does not use of its share others cannot take from it: the
//! shares together are no more than there are cells.

use xenstore_server_api::quota;

use crate::cell::{CELL, Cell, Chain, Content, Node, Queued, Ref, TEXT, TEXT_BYTES, Touch, Watch};
use crate::who::{COUNT, Who};

/// A domain's share is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// What an allocation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum For {
    /// Whatever a domain may ask for.
    Anything,
    /// An answer, for which something is always left.
    Answer,
}

/// Cells kept for a guest's answers: as many of the longest as may wait.
const ANSWERS: u32 = quota::OUTSTANDING * (1 + (16 + 4096_u32).div_ceil(TEXT_BYTES));
/// The same for a guest's back ends, which get no answer that is longer than a node.
const BACK_ANSWERS: u32 = quota::OUTSTANDING * (1 + (16 + NODE).div_ceil(TEXT_BYTES));
/// Most bytes of a node.
#[expect(clippy::cast_possible_truncation, reason = "a few KiB")]
const NODE: u32 = quota::NODE_SIZE as u32;
/// Cells of the toolstack.
const TOOLS: u32 = 1024;
/// Cells of each guest's back ends.
const BACK: u32 = quota::BACK_MEMORY / CELL;
const _: () = assert!(BACK > 4 * BACK_ANSWERS);

/// Cells of each guest.
const GUEST: u32 = quota::MEMORY / CELL;

/// Cells that a store of `guests` guests has.
pub const fn cells(guests: usize) -> usize {
    TOOLS as usize + guests * (GUEST + BACK) as usize
}

/// All cells.
pub(crate) struct Pool<'m> {
    cells: &'m mut [Cell],
    /// The first of those that were used and are free.
    free: Ref,
    /// How many were ever used.
    fresh: usize,
    /// Cells that each uses.
    used: [u32; COUNT],
}

macro_rules! cells_of {
    ($($get:ident, $get_mut:ident: $kind:ident;)*) => {
        $(
            pub(crate) fn $get(&self, at: Ref) -> Option<&$kind> {
                match self.cells.get(at.0 as usize)? {
                    Cell(Content::$kind(content)) => Some(content),
                    _ => None,
                }
            }

            pub(crate) fn $get_mut(&mut self, at: Ref) -> Option<&mut $kind> {
                match self.cells.get_mut(at.0 as usize)? {
                    Cell(Content::$kind(content)) => Some(content),
                    _ => None,
                }
            }
        )*
    };
}

impl<'m> Pool<'m> {
    /// A pool that has no cells yet.
    pub(crate) const fn new() -> Self {
        Self {
            cells: &mut [],
            free: Ref::NONE,
            fresh: 0,
            used: [0; COUNT],
        }
    }

    /// Its cells, [`cells()`] of them.
    pub(crate) fn give(&mut self, cells: &'m mut [Cell]) {
        self.cells = cells;
    }

    cells_of! {
        node, node_mut: Node;
        watch, watch_mut: Watch;
        touch, touch_mut: Touch;
        queued, queued_mut: Queued;
    }

    /// Cells that `who` uses.
    pub(crate) fn used(&self, who: Who) -> u32 {
        self.used.get(who.index()).copied().unwrap_or(0)
    }

    /// Whether `who` may have `count` more.
    fn allows(&self, who: Who, count: u32, purpose: For) -> bool {
        let (most, answers) = if who.is_guest() {
            (GUEST, ANSWERS)
        } else if who.is_bounded() {
            (BACK, BACK_ANSWERS)
        } else {
            (TOOLS, 0)
        };
        let kept = if purpose == For::Answer { 0 } else { answers };
        u64::from(self.used(who)) + u64::from(count) + u64::from(kept) <= most.into()
    }

    fn take(&mut self, content: Content) -> Result<Ref, Full> {
        let at = match self.free.some() {
            Some(at) => at,
            None => Ref(u32::try_from(self.fresh).map_err(|_| Full)?),
        };
        let cell = self.cells.get_mut(at.0 as usize).ok_or(Full)?;
        if self.free == at {
            if let Cell(Content::Free(next)) = *cell {
                self.free = next;
            }
        } else {
            self.fresh += 1;
        }
        *cell = Cell(content);
        Ok(at)
    }

    /// A cell with this content, for `who`.
    pub(crate) fn put(
        &mut self,
        who: Who,
        purpose: For,
        content: impl Into<Cell>,
    ) -> Result<Ref, Full> {
        if !self.allows(who, 1, purpose) {
            return Err(Full);
        }
        let at = self.take(content.into().0)?;
        self.charge(who, 1);
        Ok(at)
    }

    fn charge(&mut self, who: Who, count: u32) {
        if let Some(used) = self.used.get_mut(who.index()) {
            *used += count;
        }
    }

    fn discharge(&mut self, who: Who, count: u32) {
        if let Some(used) = self.used.get_mut(who.index()) {
            *used = used.saturating_sub(count);
        }
    }

    /// `count` cells of `from` are `to`'s now.
    pub(crate) fn transfer(&mut self, from: Who, to: Who, count: u32) {
        self.discharge(from, count);
        self.charge(to, count);
    }

    /// Gives a cell of `who` back.
    pub(crate) fn free(&mut self, who: Who, at: Ref) {
        if let Some(cell) = self.cells.get_mut(at.0 as usize) {
            *cell = Cell(Content::Free(self.free));
            self.free = at;
            self.discharge(who, 1);
        }
    }

    /// The bytes of all `parts` in a row, for `who`; at most 65,535.
    pub(crate) fn chain(&mut self, who: Who, purpose: For, parts: &[&[u8]]) -> Result<Chain, Full> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let len = u16::try_from(bytes).map_err(|_| Full)?;
        let mut chain = Chain {
            first: Ref::NONE,
            len,
        };
        if !self.allows(who, chain.cells(), purpose) {
            return Err(Full);
        }
        let mut all = parts.iter().copied().flatten();
        let mut last = Ref::NONE;
        for made in 0..chain.cells() {
            let mut text = [0; TEXT];
            for (to, from) in text.iter_mut().zip(&mut all) {
                *to = *from;
            }
            let Ok(at) = self.take(Content::Text(Ref::NONE, text)) else {
                // Shares are together no more than there are cells, so this does not happen.
                self.release_cells(who, chain.first, made);
                return Err(Full);
            };
            self.charge(who, 1);
            self.join(&mut chain.first, last, at);
            last = at;
        }
        Ok(chain)
    }

    fn text(&self, at: Ref) -> Option<(Ref, &[u8; TEXT])> {
        match self.cells.get(at.0 as usize)? {
            Cell(Content::Text(next, text)) => Some((*next, text)),
            _ => None,
        }
    }

    fn text_mut(&mut self, at: Ref) -> Option<(&mut Ref, &mut [u8; TEXT])> {
        match self.cells.get_mut(at.0 as usize)? {
            Cell(Content::Text(next, text)) => Some((next, text)),
            _ => None,
        }
    }

    /// Puts `at` behind `last`, or first where there is none.
    fn join(&mut self, first: &mut Ref, last: Ref, at: Ref) {
        match self.text_mut(last) {
            Some((next, _)) => *next = at,
            None => *first = at,
        }
    }

    /// A chain of `who` with the bytes of another one.
    pub(crate) fn copy(&mut self, who: Who, chain: Chain) -> Result<Chain, Full> {
        if !self.allows(who, chain.cells(), For::Anything) {
            return Err(Full);
        }
        let mut copy = Chain {
            first: Ref::NONE,
            ..chain
        };
        let (mut from, mut last) = (chain.first, Ref::NONE);
        for made in 0..chain.cells() {
            let taken = match self.text(from).map(|(next, text)| (next, *text)) {
                Some((next, text)) => {
                    from = next;
                    self.take(Content::Text(Ref::NONE, text))
                }
                None => Err(Full),
            };
            let Ok(at) = taken else {
                self.release_cells(who, copy.first, made);
                return Err(Full);
            };
            self.charge(who, 1);
            self.join(&mut copy.first, last, at);
            last = at;
        }
        Ok(copy)
    }

    /// Gives the cells of a chain of `who` back.
    pub(crate) fn release(&mut self, who: Who, chain: Chain) {
        self.release_cells(who, chain.first, chain.cells());
    }

    fn release_cells(&mut self, who: Who, first: Ref, count: u32) {
        let mut at = first;
        for _ in 0..count {
            let Some((next, _)) = self.text(at) else {
                return;
            };
            self.free(who, at);
            at = next;
        }
    }

    /// The bytes of a chain, piece by piece.
    pub(crate) fn pieces(&self, chain: Chain) -> impl Iterator<Item = &[u8]> {
        let (mut at, mut left) = (chain.first, chain.len());
        core::iter::from_fn(move || {
            let (next, text) = self.text(at).filter(|_| left > 0)?;
            let piece = text.get(..left.min(TEXT))?;
            at = next;
            left -= piece.len();
            Some(piece)
        })
    }

    /// Whether the bytes of a chain are these.
    pub(crate) fn is(&self, chain: Chain, bytes: &[u8]) -> bool {
        chain.len() == bytes.len()
            && self
                .pieces(chain)
                .zip(bytes.chunks(TEXT))
                .all(|(a, b)| a == b)
    }

    /// Puts a byte string behind the end of a chain of `who`.
    pub(crate) fn append(&mut self, who: Who, chain: &mut Chain, bytes: &[u8]) -> Result<(), Full> {
        let len = u16::try_from(chain.len() + bytes.len()).map_err(|_| Full)?;
        let room = (TEXT - chain.len() % TEXT) % TEXT;
        let (inside, behind) = bytes.split_at(room.min(bytes.len()));
        let more = self.chain(who, For::Anything, &[behind])?;
        let mut last = chain.first;
        for _ in 1..chain.cells() {
            last = self.text(last).map_or(Ref::NONE, |(next, _)| next);
        }
        let from = chain.len() % TEXT;
        match self.text_mut(last) {
            Some((next, text)) => {
                *next = more.first;
                for (to, byte) in text.iter_mut().skip(from).zip(inside) {
                    *to = *byte;
                }
            }
            None => chain.first = more.first,
        }
        chain.len = len;
        Ok(())
    }

    /// Takes `count` bytes from byte `from` on out of a chain of `who`.
    pub(crate) fn cut(&mut self, who: Who, chain: &mut Chain, from: usize, count: usize) {
        // Bytes behind move up one by one; a chain is short.
        let end = chain.len();
        let mut read = Cursor::at(self, *chain, from + count);
        let mut write = Cursor::at(self, *chain, from);
        for _ in from + count..end {
            let byte = read.get(self);
            write.set(self, byte);
        }
        let before = *chain;
        let len = end.saturating_sub(count);
        chain.len = u16::try_from(len).unwrap_or(0);
        let keep = chain.cells();
        let mut at = before.first;
        for n in 0..before.cells() {
            let Some((next, _)) = self.text(at) else {
                return;
            };
            if n + 1 == keep
                && let Some((next, _)) = self.text_mut(at)
            {
                *next = Ref::NONE;
            }
            if n >= keep {
                self.free(who, at);
            }
            at = next;
        }
        if keep == 0 {
            chain.first = Ref::NONE;
        }
    }
}

/// A place in a chain.
struct Cursor {
    at: Ref,
    offset: usize,
}

impl Cursor {
    fn at(pool: &Pool<'_>, chain: Chain, offset: usize) -> Self {
        let mut at = chain.first;
        for _ in 0..offset / TEXT {
            at = pool.text(at).map_or(Ref::NONE, |(next, _)| next);
        }
        Self {
            at,
            offset: offset % TEXT,
        }
    }

    fn step(&mut self, next: Ref) {
        self.offset += 1;
        if self.offset == TEXT {
            (self.at, self.offset) = (next, 0);
        }
    }

    fn get(&mut self, pool: &Pool<'_>) -> u8 {
        let Some((next, text)) = pool.text(self.at) else {
            return 0;
        };
        let byte = text.get(self.offset).copied().unwrap_or(0);
        self.step(next);
        byte
    }

    fn set(&mut self, pool: &mut Pool<'_>, byte: u8) {
        let offset = self.offset;
        let Some((next, text)) = pool.text_mut(self.at) else {
            return;
        };
        if let Some(to) = text.get_mut(offset) {
            *to = byte;
        }
        let next = *next;
        self.step(next);
    }
}
