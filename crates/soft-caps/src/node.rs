//! One capability in three words.

/// log2 of the page size; addresses and lengths are kept in pages.
const PAGE_SHIFT: u32 = 12;
/// Bits below the node number in [`Node::link`]: depth above size bits.
const LINK: u32 = 10;
const DEPTH: u32 = 6;
const SIZE: u32 = (1 << DEPTH) - 1;

/// The end of a list; node numbers have 22 bits.
pub(crate) const NIL: u32 = u32::MAX >> LINK;
/// Greatest depth of a derivation tree; the memory server needs 3 (untyped, block, frame, copy).
pub(crate) const MAX_DEPTH: u32 = 15;

/// What a capability is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Object {
    /// Memory without a type: `2^size_bits` bytes, 12..=47.
    Untyped {
        /// log2 of the bytes.
        size_bits: u8,
    },
    /// A frame of 4 KiB.
    Page,
    /// A frame of 2 MiB.
    Block,
    /// A page table of 4 KiB.
    Table,
}

impl Object {
    /// log2 of the object's bytes.
    pub const fn size_bits(self) -> u8 {
        match self {
            Self::Untyped { size_bits } => size_bits,
            Self::Page | Self::Table => 12,
            Self::Block => 21,
        }
    }
    /// Whether it can be mapped and minted.
    pub const fn is_frame(self) -> bool {
        matches!(self, Self::Page | Self::Block)
    }
}

/// One of the two address spaces of a domain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Space {
    /// The guest's stage 2.
    Guest,
    /// The hypervisor's window on the guest.
    Window,
}

/// Where a frame is mapped, or where a page table is installed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mapping {
    /// In which space.
    pub space: Space,
    /// First address, a multiple of 4 KiB below 2^42.
    pub at: u64,
}

/// A capability as its holder sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    /// What it is.
    pub object: Object,
    /// Physical address of the object.
    pub paddr: u64,
    /// Where it is mapped.
    pub mapping: Option<Mapping>,
    /// It may only be mapped for reading.
    pub read_only: bool,
}

/// Memory for one capability; all zero is an empty slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Frame number above 4 bits of kind.
    what: u32,
    /// Successor, depth, size bits.
    link: u32,
    /// Of an untyped the pages used; of other objects the mapping: page, space, whether there is
    /// one.
    state: u32,
}

const UNTYPED: u32 = 1;
const DEVICE: u32 = 2;
const PAGE: u32 = 3;
const BLOCK: u32 = 4;
const TABLE: u32 = 5;
/// A page that may only be read.
const READ_ONLY: u32 = 6;

impl Node {
    /// An empty slot.
    pub(crate) const EMPTY: Self = Self {
        what: 0,
        link: 0,
        state: 0,
    };

    /// An object at frame `frame`, linked to nothing.
    pub(crate) const fn new(object: Object, device: bool, frame: u32, depth: u32) -> Self {
        let kind = match object {
            Object::Untyped { .. } if device => DEVICE,
            Object::Untyped { .. } => UNTYPED,
            Object::Page => PAGE,
            Object::Block => BLOCK,
            Object::Table => TABLE,
        };
        Self {
            what: frame << 4 | kind,
            link: NIL << LINK | (depth & MAX_DEPTH) << DEPTH | object.size_bits() as u32,
            state: 0,
        }
    }

    /// The same, if it is a page, for reading only.
    pub(crate) const fn read_only(mut self) -> Self {
        if self.what & 15 == PAGE {
            self.what = self.what & !15 | READ_ONLY;
        }
        self
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.what == 0
    }
    pub(crate) const fn object(&self) -> Option<Object> {
        Some(match self.what & 15 {
            UNTYPED | DEVICE => Object::Untyped {
                size_bits: (self.link & SIZE) as u8,
            },
            PAGE | READ_ONLY => Object::Page,
            BLOCK => Object::Block,
            TABLE => Object::Table,
            _ => return None,
        })
    }
    pub(crate) const fn is_device(&self) -> bool {
        self.what & 15 == DEVICE
    }
    pub(crate) const fn frame(&self) -> u32 {
        self.what >> 4
    }
    pub(crate) const fn depth(&self) -> u32 {
        self.link >> DEPTH & MAX_DEPTH
    }
    pub(crate) const fn next(&self) -> u32 {
        self.link >> LINK
    }
    pub(crate) const fn set_next(&mut self, node: u32) {
        self.link = node << LINK | self.link & ((1 << LINK) - 1);
    }
    /// Pages of an untyped that are used.
    pub(crate) const fn used(&self) -> u32 {
        self.state
    }
    pub(crate) const fn set_used(&mut self, pages: u32) {
        self.state = pages;
    }

    pub(crate) const fn mapping(&self) -> Option<Mapping> {
        if matches!(self.what & 15, UNTYPED | DEVICE) || self.state & 1 == 0 {
            return None;
        }
        let space = if self.state & 2 == 0 {
            Space::Guest
        } else {
            Space::Window
        };
        Some(Mapping {
            space,
            at: ((self.state >> 2) as u64) << PAGE_SHIFT,
        })
    }
    pub(crate) fn set_mapping(&mut self, mapping: Option<Mapping>) -> bool {
        self.state = match mapping {
            None => 0,
            Some(Mapping { space, at }) => {
                let Some(page) = u32::try_from(at >> PAGE_SHIFT)
                    .ok()
                    .filter(|page| page >> 30 == 0)
                else {
                    return false;
                };
                page << 2 | u32::from(space == Space::Window) << 1 | 1
            }
        };
        true
    }

    pub(crate) fn cap(&self) -> Option<Cap> {
        Some(Cap {
            object: self.object()?,
            paddr: u64::from(self.frame()) << PAGE_SHIFT,
            mapping: self.mapping(),
            read_only: self.what & 15 == READ_ONLY,
        })
    }
}

const _: () = assert!(size_of::<Node>() == 12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_disturb_each_other() {
        let mut node = Node::new(Object::Untyped { size_bits: 47 }, true, 0x0fff_ffff, 3);
        assert_eq!(node.object(), Some(Object::Untyped { size_bits: 47 }));
        assert_eq!(
            (node.depth(), node.next(), node.frame()),
            (3, NIL, 0x0fff_ffff)
        );
        node.set_next(NIL - 1);
        node.set_used(77);
        assert_eq!((node.depth(), node.next(), node.used()), (3, NIL - 1, 77));
        assert!(node.is_device() && node.mapping().is_none());
        assert_eq!(node.object(), Some(Object::Untyped { size_bits: 47 }));
    }

    #[test]
    fn a_mapping_is_remembered_up_to_42_bits() {
        let mut node = Node::new(Object::Page, false, 1, 0);
        for space in [Space::Guest, Space::Window] {
            for at in [0, 0x4000_0000, 0x50_0020_0000, (1 << 42) - 0x1000] {
                let mapping = Some(Mapping { space, at });
                assert!(node.set_mapping(mapping));
                assert_eq!(node.mapping(), mapping);
            }
        }
        assert!(!node.set_mapping(Some(Mapping {
            space: Space::Guest,
            at: 1 << 42
        })));
        assert!(node.set_mapping(None));
        assert_eq!(node.mapping(), None);
    }
}
