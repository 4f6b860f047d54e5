//! What the cells of the store's memory hold.

use crate::perms::Perms;

/// Bytes of text in a cell.
pub(crate) const TEXT_BYTES: u32 = 56;
/// The same.
pub(crate) const TEXT: usize = TEXT_BYTES as usize;

/// A cell by its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ref(pub(crate) u32);

impl Ref {
    /// No cell.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The cell, if it is one.
    pub(crate) fn some(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

/// Bytes in a row of cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Chain {
    pub(crate) first: Ref,
    pub(crate) len: u16,
}

impl Chain {
    /// No bytes.
    pub(crate) const EMPTY: Self = Self {
        first: Ref::NONE,
        len: 0,
    };

    /// How many bytes.
    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }

    /// How many cells.
    pub(crate) const fn cells(self) -> u32 {
        (self.len as u32).div_ceil(TEXT_BYTES)
    }
}

/// A node, in the tree or a transaction's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Changes with each change of the node, and no other node ever has the same.
    pub(crate) generation: u64,
    /// The next with a hash like this.
    pub(crate) next: Ref,
    pub(crate) hash: u32,
    pub(crate) path: Chain,
    pub(crate) data: Chain,
    /// Names of children, each with a NUL, in the order in which they were made.
    pub(crate) children: Chain,
    pub(crate) perms: Perms,
}

impl Node {
    /// What it counts towards a domain's quota of a node's size.
    pub(crate) const fn size(&self) -> usize {
        size_of_node(&self.perms, self.data.len(), self.children.len())
    }

    /// How many cells it takes, itself included.
    pub(crate) const fn cells(&self) -> u32 {
        1 + self.path.cells() + self.data.cells() + self.children.cells()
    }
}

/// What a node with these counts towards the quota of a node's size.
pub(crate) const fn size_of_node(perms: &Perms, data: usize, children: usize) -> usize {
    16 + 8 * perms.count() + data + children
}

/// Asks to be told of changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// The next of the same domain.
    pub(crate) next: Ref,
    pub(crate) path: Chain,
    pub(crate) token: Chain,
    /// How many levels below `path` count; `None`: all.
    pub(crate) depth: Option<u32>,
    /// Bytes that events leave out of the front of a path.
    pub(crate) cut: u8,
}

/// Which watches a change concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    /// Those on the node itself.
    Exact,
    /// Those on the node and on nodes above it.
    Subtree,
    /// Those on the node that are not limited in depth.
    NoDepth,
    /// Those on the node, and those on nodes above it that are limited in depth.
    Depth,
}

/// What a transaction has to do with a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    /// The node's when the transaction first saw it, or that of no node.
    pub(crate) generation: u64,
    /// The next of the same transaction.
    pub(crate) next: Ref,
    pub(crate) hash: u32,
    pub(crate) path: Chain,
    /// The transaction's own copy; none: to the transaction there is no such node.
    pub(crate) node: Ref,
    /// Permissions when the transaction first saw it.
    pub(crate) perms: Option<Perms>,
    pub(crate) modified: bool,
    /// Who is told when it is committed.
    pub(crate) fire: Option<Match>,
}

/// Bytes of a message on their way to a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queued {
    /// The next of the same connection.
    pub(crate) next: Ref,
    pub(crate) bytes: Chain,
    /// How many of them are in the ring.
    pub(crate) sent: u16,
    /// The hash of an event's payload.
    pub(crate) event: Option<u32>,
}

/// A piece of the store's memory, of which [`Server`](crate::Server) needs [`cells`](crate::cells)
/// many.
#[derive(Clone, Copy, Debug)]
pub struct Cell(pub(crate) Content);

impl Cell {
    /// One that was not used yet.
    pub const EMPTY: Self = Self(Content::Free(Ref::NONE));
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Free(Ref),
    Text(Ref, [u8; TEXT]),
    Node(Node),
    Watch(Watch),
    Touch(Touch),
    Queued(Queued),
}

/// Bytes of a cell.
pub(crate) const CELL: u32 = 64;
const _: () = assert!(size_of::<Cell>() == CELL as usize);

macro_rules! made_of {
    ($($kind:ident),*) => {
        $(impl From<$kind> for Cell {
            fn from(content: $kind) -> Self {
                Self(Content::$kind(content))
            }
        })*
    };
}

made_of!(Node, Watch, Touch, Queued);
