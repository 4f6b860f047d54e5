//! The nodes of all domains, found by their paths.

use core::hash::Hasher as _;

use xen_abi::Errno;

use crate::cell::{Chain, Node, Ref};
use crate::path::Path;
use crate::perms::Perms;
use crate::pool::{For, Full, Pool};
use crate::who::{COUNT, Who};

const BUCKETS: usize = 1024;
/// Generation of a node that does not exist.
pub(crate) const NO_GENERATION: u64 = u64::MAX;

/// FNV-1a.
struct Fnv(u32);

impl core::hash::Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0.into()
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

/// A number that is seldom the same for two byte strings. Guests can make strings for which it is;
/// what that costs is bounded by how many nodes they may have.
#[expect(clippy::cast_possible_truncation, reason = "it has 32 bits")]
pub(crate) fn hash(bytes: &[u8]) -> u32 {
    let mut fnv = Fnv(0x811c_9dc5);
    fnv.write(bytes);
    fnv.finish() as u32
}

/// The tree.
pub(crate) struct Tree<'m> {
    pub(crate) pool: Pool<'m>,
    heads: [Ref; BUCKETS],
    generation: u64,
    /// Nodes that each domain owns.
    nodes: [u32; COUNT],
}

impl<'m> Tree<'m> {
    pub(crate) const fn new(pool: Pool<'m>) -> Self {
        Self {
            pool,
            heads: [Ref::NONE; BUCKETS],
            generation: 0,
            nodes: [0; COUNT],
        }
    }

    /// A generation that there was not before.
    pub(crate) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Nodes that `who` owns.
    pub(crate) fn owned(&self, who: Who) -> u32 {
        self.nodes.get(who.index()).copied().unwrap_or(0)
    }

    /// `who` owns `change` nodes more.
    pub(crate) fn count(&mut self, who: Who, change: i32) {
        if let Some(nodes) = self.nodes.get_mut(who.index()) {
            *nodes = nodes.saturating_add_signed(change);
        }
    }

    fn head(&mut self, hash: u32) -> &mut Ref {
        &mut self.heads[hash as usize % BUCKETS]
    }

    /// The node at `path`.
    pub(crate) fn find(&self, path: &[u8]) -> Option<Ref> {
        let hash = hash(path);
        let mut at = self.heads[hash as usize % BUCKETS];
        while let Some(node) = self.pool.node(at) {
            if node.hash == hash && self.pool.is(node.path, path) {
                return Some(at);
            }
            at = node.next;
        }
        None
    }

    /// Every node, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Ref, &Node)> {
        self.heads.iter().flat_map(move |&head| {
            core::iter::successors(
                self.pool.node(head).map(|node| (head, node)),
                |(_, node)| Some((node.next, self.pool.node(node.next)?)),
            )
        })
    }

    /// A node that nobody finds yet, charged to `who`.
    pub(crate) fn make(
        &mut self,
        who: Who,
        path: &[u8],
        perms: Perms,
        (data, children): (&[&[u8]], &[&[u8]]),
    ) -> Result<Ref, Full> {
        let pool = &mut self.pool;
        let path_chain = pool.chain(who, For::Anything, &[path])?;
        let data = pool.chain(who, For::Anything, data);
        let children = pool.chain(who, For::Anything, children);
        let generation = self.next_generation();
        let made = match (data, children) {
            (Ok(data), Ok(children)) => self.pool.put(
                who,
                For::Anything,
                Node {
                    generation,
                    next: Ref::NONE,
                    hash: hash(path),
                    path: path_chain,
                    data,
                    children,
                    perms,
                },
            ),
            _ => Err(Full),
        };
        if made.is_err() {
            for chain in [Some(path_chain), data.ok(), children.ok()] {
                self.pool.release(who, chain.unwrap_or(Chain::EMPTY));
            }
        }
        made
    }

    /// A copy of a node that nobody finds, charged to `who`.
    pub(crate) fn copy(&mut self, who: Who, at: Ref) -> Result<Ref, Full> {
        let node = *self.pool.node(at).ok_or(Full)?;
        let chains = [node.path, node.data, node.children].map(|chain| self.pool.copy(who, chain));
        let made = match chains {
            [Ok(path), Ok(data), Ok(children)] => self.pool.put(
                who,
                For::Anything,
                Node {
                    next: Ref::NONE,
                    path,
                    data,
                    children,
                    ..node
                },
            ),
            _ => Err(Full),
        };
        if made.is_err() {
            for chain in chains {
                self.pool.release(who, chain.unwrap_or(Chain::EMPTY));
            }
        }
        made
    }

    /// From now on the node is found by its path.
    pub(crate) fn link(&mut self, at: Ref) {
        let Some(hash) = self.pool.node(at).map(|node| node.hash) else {
            return;
        };
        let next = core::mem::replace(self.head(hash), at);
        if let Some(node) = self.pool.node_mut(at) {
            node.next = next;
        }
    }

    /// From now on it is not.
    pub(crate) fn unlink(&mut self, at: Ref) {
        let Some(&Node { hash, next, .. }) = self.pool.node(at) else {
            return;
        };
        let head = self.head(hash);
        if *head == at {
            *head = next;
            return;
        }
        let mut before = *head;
        while let Some(node) = self.pool.node_mut(before) {
            if node.next == at {
                node.next = next;
                return;
            }
            before = node.next;
        }
    }

    /// Gives a node back that nobody finds and that is charged to `who`.
    pub(crate) fn discard(&mut self, who: Who, at: Ref) {
        let Some(&Node {
            path,
            data,
            children,
            ..
        }) = self.pool.node(at)
        else {
            return;
        };
        for chain in [path, data, children] {
            self.pool.release(who, chain);
        }
        self.pool.free(who, at);
    }

    /// Removes the node at `path`, if there is one.
    pub(crate) fn remove(&mut self, path: &[u8]) {
        if let Some(at) = self.find(path) {
            let owner = self.perms(at).owner();
            self.unlink(at);
            self.discard(owner, at);
        }
    }

    /// A node's permissions.
    pub(crate) fn perms(&self, at: Ref) -> Perms {
        let node = self.pool.node(at);
        node.map_or(Perms::private(Who::TOOLS), |node| node.perms)
    }

    /// Gives a node, charged to `who`, another value.
    pub(crate) fn set_data(&mut self, who: Who, at: Ref, data: &[u8]) -> Result<(), Errno> {
        let new = self
            .pool
            .chain(who, For::Anything, &[data])
            .map_err(|Full| Errno::Eio)?;
        if let Some(node) = self.pool.node_mut(at) {
            let old = core::mem::replace(&mut node.data, new);
            self.pool.release(who, old);
        }
        Ok(())
    }

    /// Gives a node, charged to `who`, another child.
    pub(crate) fn add_child(&mut self, who: Who, at: Ref, name: &[u8]) -> Result<(), Full> {
        let mut children = self.pool.node(at).ok_or(Full)?.children;
        // The name first: where the NUL does not fit any more, it goes again.
        let len = children.len();
        self.pool.append(who, &mut children, name)?;
        let done = self.pool.append(who, &mut children, b"\0");
        if done.is_err() {
            self.pool.cut(who, &mut children, len, name.len());
        }
        if let Some(node) = self.pool.node_mut(at) {
            node.children = children;
        }
        done
    }

    /// Takes a child from a node that is charged to `who`; whether it had it.
    pub(crate) fn remove_child(&mut self, who: Who, at: Ref, name: &[u8]) -> bool {
        let children = self.pool.node(at).map(|node| node.children);
        let Some(mut children) = children else {
            return false;
        };
        let Some(offset) = self.child_at(children, name) else {
            return false;
        };
        self.pool.cut(who, &mut children, offset, name.len() + 1);
        if let Some(node) = self.pool.node_mut(at) {
            node.children = children;
        }
        true
    }

    /// Where among the children `name` begins.
    fn child_at(&self, children: Chain, name: &[u8]) -> Option<usize> {
        let bytes = self.pool.pieces(children).flatten().copied().enumerate();
        let (mut start, mut same) = (0, true);
        for (at, byte) in bytes {
            if byte == 0 {
                if same && at - start == name.len() {
                    return Some(start);
                }
                (start, same) = (at + 1, true);
            } else {
                same &= name.get(at - start) == Some(&byte);
            }
        }
        None
    }

    /// The name of the child behind the one called `name`.
    pub(crate) fn child_behind(&self, at: Ref, name: &[u8]) -> Option<Path> {
        let children = self.pool.node(at)?.children;
        let from = self.child_at(children, name)? + name.len() + 1;
        let rest = self.pool.pieces(children).flatten().skip(from);
        let next: Path = rest.take_while(|byte| **byte != 0).copied().collect();
        (!next.is_empty()).then_some(next)
    }

    /// The name of the first child, behind `path`; false without one.
    pub(crate) fn descend(&self, at: Ref, path: &mut Path) -> bool {
        let Some(node) = self.pool.node(at).filter(|node| node.children.len() > 0) else {
            return false;
        };
        if path.last() != Some(&b'/') {
            // A child's path is one that there is, so it fits.
            let _ = path.push(b'/');
        }
        let name = self.pool.pieces(node.children).flatten();
        for byte in name.take_while(|byte| **byte != 0) {
            let _ = path.push(*byte);
        }
        true
    }
}
