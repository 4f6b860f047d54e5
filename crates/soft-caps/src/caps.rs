//! The table and its operations.

use crate::node::{Cap, MAX_DEPTH, Mapping, Node, Object};
use crate::{CHUNK, CNode, MAX_CNODES, Place};

/// log2 of the page size.
const PAGE_SHIFT: u32 = 12;

/// Why an operation was refused; nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// The slot holds nothing: never used, or revoked.
    Empty,
    /// The destination holds a capability.
    Occupied,
    /// The capability is not of the kind that the operation needs.
    WrongKind,
    /// The untyped has no room left for the objects.
    NoRoom,
    /// There is no such CNode or slot.
    NoSlot,
    /// The table's memory is used up; give it more nodes.
    NoNodes,
    /// The address or length cannot be recorded: not page-aligned, beyond 40 bits, or derived too
    /// deep.
    Range,
}

/// What a retype made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Made {
    /// Physical address of the first object; the others follow.
    pub paddr: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// They come from memory that is never zeroed by a retype.
    pub device: bool,
}

/// Memory for [`CHUNK`] consecutive slots of a CNode.
#[derive(Clone, Debug)]
pub struct Chunk {
    nodes: [Node; CHUNK],
    /// The CNode that they belong to.
    cnode: u8,
}

impl Chunk {
    /// Memory that is not in use; all its bytes are zero.
    pub const EMPTY: Self = Self {
        nodes: [Node::EMPTY; CHUNK],
        cnode: 0,
    };
}

/// All capabilities of a system.
#[derive(Debug)]
pub struct Caps<'a> {
    chunks: &'a mut [Chunk],
    /// Chunks that are in use, from the first.
    used: usize,
    /// Per CNode, for each 64 slots the chunk plus one, or 0.
    directories: [&'a mut [u16]; MAX_CNODES],
    cnodes: u8,
}

/// A capability in its slot.
#[derive(Debug)]
pub struct Held<'c> {
    /// As it was when it was looked at.
    pub cap: Cap,
    node: &'c mut Node,
}

impl Held<'_> {
    /// Remembers where it is mapped, or that it is not.
    ///
    /// # Errors
    /// [`Error::WrongKind`] for an untyped; [`Error::Range`].
    #[inline]
    pub fn set_mapping(self, mapping: Option<Mapping>) -> Result<(), Error> {
        if matches!(self.cap.object, Object::Untyped { .. }) {
            return Err(Error::WrongKind);
        }
        if self.node.set_mapping(mapping) {
            Ok(())
        } else {
            Err(Error::Range)
        }
    }
}

impl<'a> Caps<'a> {
    /// An empty table over `chunks`, which are [`Chunk::EMPTY`]; more than 65,535 are of no use.
    pub fn new(chunks: &'a mut [Chunk]) -> Self {
        Self {
            chunks,
            used: 0,
            directories: core::array::from_fn(|_| -> &mut [u16] { &mut [] }),
            cnodes: 0,
        }
    }

    /// Adds a CNode with 64 slots for each entry of `directory`, which is cleared.
    ///
    /// # Errors
    /// [`Error::NoSlot`] after [`MAX_CNODES`].
    pub fn add_cnode(&mut self, directory: &'a mut [u16]) -> Result<CNode, Error> {
        directory.fill(0);
        let cnode = CNode(self.cnodes);
        *self
            .directories
            .get_mut(usize::from(cnode.0))
            .ok_or(Error::NoSlot)? = directory;
        self.cnodes += 1;
        Ok(cnode)
    }

    /// Chunks in use.
    pub const fn chunks_used(&self) -> usize {
        self.used
    }

    /// Number of the node of `place`, if its chunk has memory.
    fn find(&self, place: Place) -> Result<Option<u32>, Error> {
        let slot = usize::try_from(place.slot).map_err(|_| Error::NoSlot)?;
        let directory = self
            .directories
            .get(usize::from(place.cnode.0))
            .ok_or(Error::NoSlot)?;
        match directory.get(slot / CHUNK).ok_or(Error::NoSlot)? {
            0 => Ok(None),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "CHUNK is 64, chunks are 16 bits"
            )]
            chunk => Ok(Some(
                (u32::from(*chunk) - 1) * CHUNK as u32 + (slot % CHUNK) as u32,
            )),
        }
    }

    /// The node of `place`, which gets memory if it has none yet.
    fn find_or_make(&mut self, place: Place) -> Result<u32, Error> {
        if let Some(node) = self.find(place)? {
            return Ok(node);
        }
        let memory = self.chunks.get_mut(self.used).ok_or(Error::NoNodes)?;
        let chunk = u16::try_from(self.used + 1).map_err(|_| Error::NoNodes)?;
        memory.cnode = place.cnode.0;
        self.used += 1;
        let index = usize::try_from(place.slot).map_err(|_| Error::NoSlot)? / CHUNK;
        if let Some(entry) = self.directories[usize::from(place.cnode.0)].get_mut(index) {
            *entry = chunk;
        }
        self.find(place)?.ok_or(Error::NoSlot)
    }

    fn node(&self, node: u32) -> &Node {
        let chunk = self.chunks.get(node as usize / CHUNK);
        chunk.map_or(&Node::EMPTY, |chunk| &chunk.nodes[node as usize % CHUNK])
    }
    /// Changes a node; the end of a list is left alone.
    fn change(&mut self, node: u32, change: impl FnOnce(&mut Node)) {
        if let Some(chunk) = self.chunks.get_mut(node as usize / CHUNK) {
            change(&mut chunk.nodes[node as usize % CHUNK]);
        }
    }

    /// The node of a slot that holds something.
    fn full(&self, place: Place) -> Result<u32, Error> {
        let node = self.find(place)?.ok_or(Error::Empty)?;
        if self.node(node).is_empty() {
            Err(Error::Empty)
        } else {
            Ok(node)
        }
    }

    /// Makes sure that `count` slots from `place` on are empty and have memory.
    fn reserve(&mut self, place: Place, count: u32) -> Result<(), Error> {
        let mut node = 0;
        for n in 0..count {
            let slot = place.slot.checked_add(n).ok_or(Error::NoSlot)?;
            node = if n == 0 || Self::begins_chunk(slot) {
                self.find_or_make(Place { slot, ..place })?
            } else {
                node + 1
            };
            if !self.node(node).is_empty() {
                return Err(Error::Occupied);
            }
        }
        Ok(())
    }

    /// Whether the node of this slot may lie anywhere: within a chunk they follow each other.
    const fn begins_chunk(slot: u32) -> bool {
        (slot as usize).is_multiple_of(CHUNK)
    }

    /// Puts `child` into its empty node and links it behind `parent`.
    fn link(&mut self, parent: u32, node: u32, mut child: Node) {
        child.set_next(self.node(parent).next());
        self.change(node, |place| *place = child);
        self.change(parent, |parent| parent.set_next(node));
    }

    fn has_children(&self, node: u32) -> bool {
        let this = self.node(node);
        let next = self.node(this.next());
        !next.is_empty() && next.depth() > this.depth()
    }

    /// Puts an untyped that the system starts with into an empty slot.
    ///
    /// # Errors
    /// [`Error`].
    pub fn insert_untyped(
        &mut self,
        place: Place,
        paddr: u64,
        size_bits: u8,
        device: bool,
    ) -> Result<(), Error> {
        if !(12..=47).contains(&size_bits) || !paddr.is_multiple_of(1 << size_bits) {
            return Err(Error::Range);
        }
        let frame = u32::try_from(paddr >> PAGE_SHIFT)
            .ok()
            .filter(|frame| frame >> 28 == 0)
            .ok_or(Error::Range)?;
        self.reserve(place, 1)?;
        let node = self.find(place)?.ok_or(Error::NoSlot)?;
        self.change(node, |node| {
            *node = Node::new(Object::Untyped { size_bits }, device, frame, 0)
        });
        Ok(())
    }

    /// Makes `count` objects from the untyped at `from`, in ascending address order, in the slots
    /// from `into` on.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn retype(
        &mut self,
        from: Place,
        object: Object,
        into: Place,
        count: u32,
    ) -> Result<Made, Error> {
        let parent = self.full(from)?;
        let untyped = *self.node(parent);
        let Some(Object::Untyped { size_bits }) = untyped.object() else {
            return Err(Error::WrongKind);
        };
        let bits = object.size_bits();
        if !(12..=47).contains(&bits) || untyped.depth() == MAX_DEPTH {
            return Err(Error::Range);
        }
        let pages = 1_u64 << (bits - 12);
        let used = if self.has_children(parent) {
            u64::from(untyped.used())
        } else {
            0
        };
        let start = used.next_multiple_of(pages);
        let end = start + u64::from(count) * pages;
        if end > 1 << (size_bits - 12) {
            return Err(Error::NoRoom);
        }
        // The watermark counts pages in a word; an untyped whose end does not fit cannot be used up
        // to it.
        let end = u32::try_from(end).map_err(|_| Error::Range)?;
        self.reserve(into, count)?;
        let mut node = 0;
        for n in 0..count {
            let slot = into.slot + n;
            node = if n == 0 || Self::begins_chunk(slot) {
                self.find(Place { slot, ..into })?.ok_or(Error::NoSlot)?
            } else {
                node + 1
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "within the untyped, whose frames have 28 bits"
            )]
            let frame = untyped.frame() + (start + u64::from(n) * pages) as u32;
            self.link(
                parent,
                node,
                Node::new(object, untyped.is_device(), frame, untyped.depth() + 1),
            );
        }
        self.change(parent, |parent| parent.set_used(end));
        Ok(Made {
            paddr: (u64::from(untyped.frame()) + start) << PAGE_SHIFT,
            bytes: u64::from(count) << bits,
            device: untyped.is_device(),
        })
    }

    /// Puts a copy of the frame capability at `from` into the empty slot `into`.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn mint(&mut self, from: Place, into: Place) -> Result<(), Error> {
        self.mint_as(from, into, true)
    }

    /// The same; the copy of a page may only be read unless `writable`.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn mint_as(&mut self, from: Place, into: Place, writable: bool) -> Result<(), Error> {
        let parent = self.full(from)?;
        let original = *self.node(parent);
        let object = original
            .object()
            .filter(|object| object.is_frame())
            .ok_or(Error::WrongKind)?;
        if original.depth() == MAX_DEPTH {
            return Err(Error::Range);
        }
        self.reserve(into, 1)?;
        let node = self.find(into)?.ok_or(Error::NoSlot)?;
        let copy = Node::new(object, false, original.frame(), original.depth() + 1);
        let copy = if writable { copy } else { copy.read_only() };
        self.link(parent, node, copy);
        Ok(())
    }

    /// Deletes everything derived from `place`. `unmap` is told of each deleted capability that was
    /// mapped, with the CNode in which it lay; it must take the mapping away.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoSlot`].
    pub fn revoke(
        &mut self,
        place: Place,
        mut unmap: impl FnMut(CNode, Cap, Mapping),
    ) -> Result<(), Error> {
        let root = self.full(place)?;
        let depth = self.node(root).depth();
        let mut next = self.node(root).next();
        // Each round deletes a node, so there are no more rounds than nodes.
        loop {
            let node = *self.node(next);
            if node.is_empty() || node.depth() <= depth {
                break;
            }
            if let (Some(cap), Some(mapping)) = (node.cap(), node.mapping()) {
                unmap(self.cnode_of(next), cap, mapping);
            }
            self.change(next, |node| *node = Node::EMPTY);
            next = node.next();
        }
        self.change(root, |root| root.set_next(next));
        Ok(())
    }

    /// Deletes the capability at `child`, a copy of the frame at `parent` of which nothing is
    /// derived. The caller has taken its mapping away. Nothing happens where `child` is empty.
    ///
    /// # Errors
    /// [`Error::WrongKind`] where it is not such a copy; [`Error::Empty`] and [`Error::NoSlot`] for
    /// the parent. Nothing changed.
    pub fn delete(&mut self, parent: Place, child: Place) -> Result<(), Error> {
        let root = self.full(parent)?;
        let Ok(gone) = self.full(child) else {
            return Ok(());
        };
        let depth = self.node(root).depth();
        let mut before = root;
        // Ends at the next node that is not derived from the root, at the latest.
        while self.node(before).next() != gone {
            before = self.node(before).next();
            let node = self.node(before);
            if node.is_empty() || node.depth() <= depth {
                return Err(Error::WrongKind);
            }
        }
        if self.has_children(gone) {
            return Err(Error::WrongKind);
        }
        let next = self.node(gone).next();
        self.change(before, |node| node.set_next(next));
        self.change(gone, |node| *node = Node::EMPTY);
        Ok(())
    }

    /// The CNode in which a node in use lies.
    fn cnode_of(&self, node: u32) -> CNode {
        CNode(
            self.chunks
                .get(node as usize / CHUNK)
                .map_or(0, |chunk| chunk.cnode),
        )
    }

    /// The capability at `place`.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoSlot`].
    pub fn get(&self, place: Place) -> Result<Cap, Error> {
        self.node(self.full(place)?).cap().ok_or(Error::Empty)
    }

    /// The capability at `place`, to look at it and then to change its mapping.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoSlot`].
    #[inline]
    pub fn held(&mut self, place: Place) -> Result<Held<'_>, Error> {
        let node = self.find(place)?.ok_or(Error::Empty)? as usize;
        let chunk = self.chunks.get_mut(node / CHUNK).ok_or(Error::Empty)?;
        let node = &mut chunk.nodes[node % CHUNK];
        let cap = node.cap().ok_or(Error::Empty)?;
        Ok(Held { cap, node })
    }

    /// Remembers where the capability at `place` is mapped, or that it is not.
    ///
    /// # Errors
    /// [`Error::Empty`], [`Error::NoSlot`]; otherwise as [`Held::set_mapping`].
    pub fn set_mapping(&mut self, place: Place, mapping: Option<Mapping>) -> Result<(), Error> {
        self.held(place)?.set_mapping(mapping)
    }

    /// Everything in use: place and capability, for tests and dumps. Slow.
    pub fn iter(&self) -> impl Iterator<Item = (Place, Cap)> + '_ {
        self.directories
            .iter()
            .zip(0_u8..)
            .flat_map(move |(directory, cnode)| {
                let slots = 0..u32::try_from(directory.len() * CHUNK).unwrap_or(u32::MAX);
                slots.filter_map(move |slot| {
                    let place = Place {
                        cnode: CNode(cnode),
                        slot,
                    };
                    Some((place, self.get(place).ok()?))
                })
            })
    }
}
