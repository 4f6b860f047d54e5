//! What is recorded of each page of a split block, in one word.

/// No record, no frame, no neighbour.
pub(crate) const NIL: u32 = u32::MAX;

/// What a page of a split block is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum PageState {
    Free,
    /// As `BlockState::Returned`.
    Returned,
    Ram,
    /// An extra page.
    Extra,
    /// As `BlockState::Lost`.
    Lost,
}

/// Neighbour on a list of pages: a `PageId` in 24 bits, or all ones for none.
const LINK: u64 = (1 << 24) - 1;
/// Where the link to the page before begins; the one to the next is in front of it.
const PREV: u32 = 24;
/// Where the count of lends begins, behind the guest frame.
const LENDS: u32 = 32;
/// Bits of links, or of guest frame and lends.
const BODY: u64 = (1 << STATE) - 1;
const STATE: u32 = 48;
const HOLDER: u32 = 56;

/// A page of a split block, in one word.
///
/// A page that is free or returned may be on a list and has two links, or none; every other page
/// has a guest frame and a count of lends in their place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRecord(u64);

const _: () = assert!(size_of::<PageRecord>() == 8);

impl PageRecord {
    const fn new(state: PageState, holder: u8, body: u64) -> Self {
        Self(body & BODY | (state as u64) << STATE | (holder as u64) << HOLDER)
    }
    /// A free page on no list, last held by `holder`.
    pub(crate) const fn free(holder: u8) -> Self {
        Self::new(PageState::Free, holder, BODY)
    }
    /// RAM of `holder`, at a frame that is not known.
    pub(crate) const fn ram(holder: u8) -> Self {
        Self::new(PageState::Ram, holder, NIL as u64)
    }

    pub(crate) const fn state(self) -> PageState {
        match self.0 >> STATE & 0xff {
            0 => PageState::Free,
            1 => PageState::Returned,
            2 => PageState::Ram,
            3 => PageState::Extra,
            _ => PageState::Lost,
        }
    }
    /// Who holds it, or while free who held it last.
    pub(crate) const fn holder(self) -> u8 {
        self.0.to_le_bytes()[7]
    }
    pub(crate) fn set_holder(&mut self, holder: u8) {
        *self = Self::new(self.state(), holder, self.0);
    }
    /// Whether it may be on a list.
    pub(crate) const fn has_links(self) -> bool {
        matches!(self.state(), PageState::Free | PageState::Returned)
    }
    /// Guest frame that the holder named, [`NIL`] if there is none.
    pub(crate) const fn gfn(self) -> u32 {
        if self.has_links() {
            return NIL;
        }
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
    /// The same page with another guest frame, which is none where it has links.
    pub(crate) const fn at(self, gfn: u32) -> Self {
        match self.has_links() {
            true => self,
            false => Self(self.0 & !(NIL as u64) | gfn as u64),
        }
    }
    /// How often it is lent to others. Only RAM is.
    pub(crate) const fn lends(self) -> u16 {
        if self.has_links() {
            return 0;
        }
        let [_, _, _, _, low, high, ..] = self.0.to_le_bytes();
        u16::from_le_bytes([low, high])
    }
    /// Whether it is RAM of `holder` that is lent to nobody.
    pub(crate) const fn is_unlent_ram(self, holder: u8) -> bool {
        self.0 >> LENDS == Self::new(PageState::Ram, holder, 0).0 >> LENDS
    }
    /// For a page that is RAM.
    pub(crate) fn set_lends(&mut self, count: u16) {
        let (gfn, holder) = (u64::from(self.gfn()), self.holder());
        *self = Self::new(self.state(), holder, gfn | u64::from(count) << LENDS);
    }
    /// RAM of its holder now, at `gfn`, on no list and not lent.
    pub(crate) fn set_ram(&mut self, gfn: u32) {
        *self = Self::ram(self.holder()).at(gfn);
    }
    /// An extra page, or lost: on no list, without a guest frame.
    pub(crate) fn set_apart(&mut self, state: PageState) {
        *self = Self::new(state, self.holder(), NIL.into());
    }
    /// Free or returned, on no list yet.
    pub(crate) fn set_unlisted(&mut self, state: PageState) {
        *self = Self::new(state, self.holder(), BODY);
    }

    /// The next page on its list, a `PageId` as a word, or [`NIL`].
    pub(crate) fn next(self) -> u32 {
        Self::word(self.0 & LINK)
    }
    /// The page before.
    pub(crate) fn prev(self) -> u32 {
        Self::word(self.0 >> PREV & LINK)
    }
    /// A link as a word, or [`NIL`].
    fn word(link: u64) -> u32 {
        match link {
            LINK => NIL,
            link => u32::try_from(link).unwrap_or(NIL),
        }
    }
    pub(crate) fn set_next(&mut self, word: u32) {
        self.0 = self.0 & !LINK | u64::from(word) & LINK;
    }
    pub(crate) fn set_prev(&mut self, word: u32) {
        self.0 = self.0 & !(LINK << PREV) | (u64::from(word) & LINK) << PREV;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [PageState; 5] = [
        PageState::Free,
        PageState::Returned,
        PageState::Ram,
        PageState::Extra,
        PageState::Lost,
    ];

    /// A page of `holder` in each state.
    fn pages(holder: u8) -> impl Iterator<Item = PageRecord> {
        STATES.into_iter().map(move |state| {
            let mut page = PageRecord::free(holder);
            match state {
                PageState::Free | PageState::Returned => page.set_unlisted(state),
                PageState::Ram => page.set_ram(7),
                PageState::Extra | PageState::Lost => page.set_apart(state),
            }
            assert_eq!(page.state(), state);
            page
        })
    }

    #[test]
    fn state_and_holder_are_apart_from_the_rest() {
        for mut page in pages(0xfe) {
            let (state, gfn) = (page.state(), page.gfn());
            assert_eq!(page.holder(), 0xfe);
            page.set_holder(3);
            assert_eq!((page.state(), page.holder(), page.gfn()), (state, 3, gfn));
            if page.has_links() {
                page.set_next(0xff_fffe);
                page.set_prev(0);
                assert_eq!((page.next(), page.prev()), (0xff_fffe, 0));
                page.set_next(NIL);
                assert_eq!((page.next(), page.prev()), (NIL, 0));
            }
            assert_eq!((page.state(), page.holder()), (state, 3));
        }
    }

    #[test]
    fn ram_has_a_frame_and_lends_and_nothing_else_has() {
        for mut page in pages(1) {
            page.set_ram(0x1234_5678);
            assert_eq!((page.gfn(), page.lends()), (0x1234_5678, 0));
            assert!(page.is_unlent_ram(1) && !page.is_unlent_ram(2));
            page.set_lends(u16::MAX);
            assert!(!page.is_unlent_ram(1));
            assert_eq!((page.gfn(), page.lends()), (0x1234_5678, u16::MAX));
            assert_eq!(page.state(), PageState::Ram);
            page.set_unlisted(PageState::Returned);
            page.set_prev(0);
            assert!(!page.is_unlent_ram(1));
            page.set_prev(NIL);
            assert_eq!((page.gfn(), page.lends()), (NIL, 0));
            assert_eq!((page.next(), page.prev()), (NIL, NIL));
            assert_eq!(page.at(5).gfn(), NIL);
        }
        assert_eq!(PageRecord::ram(1).gfn(), NIL);
        assert_eq!(PageRecord::ram(1).at(5).gfn(), 5);
        assert_eq!(PageRecord::free(1).at(5).next(), NIL);
    }

    #[test]
    fn a_new_life_of_a_page_knows_nothing_of_its_lists() {
        let mut page = PageRecord::free(1);
        page.set_next(17);
        page.set_prev(19);
        page.set_ram(NIL);
        assert_eq!((page.gfn(), page.lends()), (NIL, 0));
        page.set_apart(PageState::Extra);
        assert_eq!((page.gfn(), page.lends()), (NIL, 0));
        page.set_unlisted(PageState::Free);
        assert_eq!((page.next(), page.prev()), (NIL, NIL));
    }
}
