//! What the operations are made of: looking at nodes with somebody's eyes, and changing them.

use xen_abi::Errno;
use xenstore_server_api::quota;

use crate::cell::{Chain, Match, Ref, size_of_node};
use crate::credit::Credits;
use crate::path::{Path, base, canonical, device_of, parent};
use crate::peer::Peer;
use crate::perms::{Perms, Rights};
use crate::pool::{Full, Pool};
use crate::tree::Tree;
use crate::who::{COUNT, Who};

/// Who looks, and from within which transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    pub(crate) who: Who,
    /// The transaction's slot.
    pub(crate) tx: Option<usize>,
}

impl Access {
    /// The toolstack's.
    pub(crate) const TOOLS: Self = Self {
        who: Who::TOOLS,
        tx: None,
    };
}

/// The tree and everybody who looks at it.
pub(crate) struct Store<'m> {
    pub(crate) tree: Tree<'m>,
    pub(crate) peers: [Peer<'m>; COUNT - 1],
    /// Domains that there are.
    pub(crate) domains: usize,
    /// Open transactions.
    pub(crate) open: u32,
    pub(crate) credits: Credits,
}

impl<'m> Store<'m> {
    pub(crate) const fn new(pool: Pool<'m>) -> Self {
        Self {
            tree: Tree::new(pool),
            peers: [const { Peer::new() }; COUNT - 1],
            domains: 0,
            open: 0,
            credits: Credits::new(),
        }
    }

    /// The connection of a guest, or of its back ends.
    pub(crate) fn peer(&mut self, who: Who) -> Option<&mut Peer<'m>> {
        self.peers.get_mut(who.index().checked_sub(1)?)
    }

    /// Whether there is a domain with this id.
    pub(crate) fn exists(&self, domid: u16) -> bool {
        usize::from(domid) <= self.domains
    }

    /// A path that lies in the pool.
    pub(crate) fn path(&self, chain: Chain) -> Path {
        self.tree.pool.pieces(chain).flatten().copied().collect()
    }

    /// The path that `who` means by `name`. `special` allows `@...`.
    ///
    /// # Errors
    /// `Einval`: it is none; `Eacces`: it is nothing of the back ends of which `who` is.
    pub(crate) fn named(&self, who: Who, name: &[u8], special: bool) -> Result<Path, Errno> {
        let path = canonical(who, name, special)?;
        match who.front_of() {
            Some(guest) if device_of(guest, &path).is_none() => Err(Errno::Eacces),
            _ => Ok(path),
        }
    }

    /// Whom a node of this owner is charged to where `access` sees it: copies are the
    /// transaction's.
    const fn charged(access: Access, owner: Who) -> Who {
        match access.tx {
            Some(_) => access.who,
            None => owner,
        }
    }

    /// The node at `path`, for which `access` needs all of `wanted`.
    ///
    /// # Errors
    /// `Enoent`, `Eacces`: whoever may not look at the nearest node above it that there is does not
    /// hear whether it exists; and those of [`Store::look`].
    pub(crate) fn get(
        &mut self,
        access: Access,
        path: &[u8],
        wanted: Rights,
    ) -> Result<Ref, Errno> {
        let error = match self.look(access, path) {
            Ok(at) if self.tree.perms(at).of(access.who).has(wanted) => return Ok(at),
            Ok(_) => Errno::Eacces,
            Err(error @ (Errno::Enomem | Errno::Enospc)) => return Err(error),
            Err(error) => error,
        };
        let mut above = path;
        let rights = loop {
            above = parent(above);
            match self.look(access, above) {
                Ok(at) => break self.tree.perms(at).of(access.who),
                Err(error @ (Errno::Enomem | Errno::Enospc)) => return Err(error),
                Err(_) if above == b"/" => break Rights::NONE,
                Err(_) => {}
            }
        };
        Err(if rights.has_one_of(wanted) {
            error
        } else {
            Errno::Eacces
        })
    }

    /// `access` is about to change the node at `path`, which it has looked at.
    pub(crate) fn modify(&mut self, access: Access, path: &[u8]) {
        let generation = self.tree.next_generation();
        let at = if access.tx.is_none() {
            // A write may make a transaction fail.
            if self.open > 0 {
                self.credits.debit(access.who);
            }
            self.tree.find(path)
        } else {
            let touch = self.touch_of(access, path);
            let touch = touch.and_then(|at| self.tree.pool.touch_mut(at));
            touch.map(|touch| {
                touch.modified = true;
                touch.node
            })
        };
        if let Some(node) = at.and_then(|at| self.tree.pool.node_mut(at)) {
            node.generation = generation;
        }
    }

    /// Whether a node of this size is refused.
    fn too_large(access: Access, size: usize) -> bool {
        access.who.is_bounded() && size >= quota::NODE_SIZE
    }

    /// Gives the node at `path`, which is `at`, another value.
    ///
    /// # Errors
    /// `Enospc`: it would be too large; `Eio`: the owner has no memory left. A transaction cannot
    /// be committed then.
    pub(crate) fn write(
        &mut self,
        access: Access,
        path: &[u8],
        at: Ref,
        data: &[u8],
    ) -> Result<(), Errno> {
        let Some(node) = self.tree.pool.node(at) else {
            return Err(Errno::Enoent);
        };
        let size = size_of_node(&node.perms, data.len(), node.children.len());
        let charged = Self::charged(access, node.perms.owner());
        let done = if Self::too_large(access, size) {
            Err(Errno::Enospc)
        } else {
            self.tree.set_data(charged, at, data)
        };
        match done {
            Ok(()) => self.modify(access, path),
            Err(_) => self.spoil(access),
        }
        done
    }

    /// Makes the node at `path`, which does not exist, and those above it that are missing.
    ///
    /// # Errors
    /// `Enospc`: there would be too many, or one too large; `Eio`: the owner has no memory left. In
    /// both cases nothing is changed, but a transaction cannot be committed any more where it had
    /// begun to change something.
    pub(crate) fn create(&mut self, access: Access, path: &[u8], data: &[u8]) -> Result<(), Errno> {
        let mut top = parent(path);
        let above = loop {
            match self.look(access, top) {
                Ok(at) => break at,
                Err(Errno::Enoent) if top != b"/" => top = parent(top),
                Err(error) => return Err(error),
            }
        };
        if let Some(guest) = access.who.front_of()
            && device_of(guest, top).is_none()
        {
            // There is no such device, or none any more.
            return Err(Errno::Enoent);
        }
        let mut perms = self.tree.perms(above);
        if access.who.is_guest() {
            perms.set_owner(access.who);
        }
        if let Some(transaction) = self.transaction(access) {
            transaction.created = true;
        }
        let owner = perms.owner();
        if access.who.is_bounded() && self.tree.owned(owner) + 1 >= quota::NODES {
            return Err(Errno::Enospc);
        }
        let done = self.create_below(access, (path, data), (top, above), perms);
        if done.is_err() {
            self.spoil(access);
        }
        done
    }

    fn create_below(
        &mut self,
        access: Access,
        (path, data): (&[u8], &[u8]),
        (top, above): (&[u8], Ref),
        perms: Perms,
    ) -> Result<(), Errno> {
        // Sizes come first, so that less has to be undone.
        let name = |level: &[u8]| base(level).len() + 1;
        let mut level = path;
        while parent(level) != top {
            level = parent(level);
            let child = name(child_of(path, level));
            if Self::too_large(access, size_of_node(&perms, 0, child)) {
                return Err(Errno::Enospc);
            }
        }
        let last = size_of_node(&perms, data.len(), 0);
        let size = self.tree.pool.node(above).map_or(0, |node| node.size());
        if Self::too_large(access, last) || Self::too_large(access, size + name(level)) {
            return Err(Errno::Enospc);
        }
        let charged = Self::charged(access, perms.owner());
        let mut level = path;
        while level != top {
            let child = child_of(path, level);
            let made = match child {
                [] => self.tree.make(charged, level, perms, (&[data], &[])),
                child => self
                    .tree
                    .make(charged, level, perms, (&[], &[base(child), b"\0"])),
            };
            match made {
                Ok(at) => self.put(access, level, at),
                Err(Full) => {
                    self.undo(access, path, level);
                    return Err(Errno::Eio);
                }
            }
            level = parent(level);
        }
        let charged = Self::charged(access, self.tree.perms(above).owner());
        let child = base(child_of(path, top));
        if self.tree.add_child(charged, above, child) == Err(Full) {
            self.undo(access, path, top);
            return Err(Errno::Eio);
        }
        self.modify(access, top);
        Ok(())
    }

    /// Puts a new node in its place.
    fn put(&mut self, access: Access, path: &[u8], at: Ref) {
        let owner = self.tree.perms(at).owner();
        match self.touch_of(access, path) {
            Some(touch) => {
                if let Some(touch) = self.tree.pool.touch_mut(touch) {
                    touch.node = at;
                }
            }
            None => self.tree.link(at),
        }
        self.modify(access, path);
        self.count(access, owner, 1);
    }

    /// Removes the nodes from `path` up to below `end` that were just made.
    fn undo(&mut self, access: Access, path: &[u8], end: &[u8]) {
        let mut level = path;
        while level != end {
            self.delete(access, level);
            level = parent(level);
        }
    }

    /// The owner has `change` nodes more.
    fn count(&mut self, access: Access, owner: Who, change: i32) {
        match self.transaction(access) {
            Some(transaction) => {
                if let Some(owned) = transaction.owned.get_mut(owner.index()) {
                    *owned += change;
                }
            }
            None => self.tree.count(owner, change),
        }
    }

    /// Takes away the node at `path`, which has no children any more.
    fn delete(&mut self, access: Access, path: &[u8]) {
        let Ok(at) = self.look(access, path) else {
            return;
        };
        let owner = self.tree.perms(at).owner();
        self.modify(access, path);
        match self.touch_of(access, path) {
            Some(touch) => {
                if let Some(touch) = self.tree.pool.touch_mut(touch) {
                    touch.node = Ref::NONE;
                }
                self.tree.discard(access.who, at);
            }
            None => {
                self.tree.unlink(at);
                self.tree.discard(owner, at);
            }
        }
        self.count(access, owner, -1);
    }

    /// Takes away the node at `root` and everything below it, from the leaves on, and tells those
    /// who watch.
    ///
    /// # Errors
    /// Of a transaction that cannot be committed: `Einval` and `Eio` where it has seen parents and
    /// children at different times, and `Eio` where it has to do with too much.
    pub(crate) fn remove(&mut self, access: Access, root: &Path) -> Result<(), Errno> {
        self.look(access, parent(root))
            .map_err(|error| match error {
                Errno::Enoent => Errno::Einval,
                error => error,
            })?;
        let mut path = root.clone();
        loop {
            let at = self.look(access, &path).map_err(|_| Errno::Eio)?;
            if self.tree.descend(at, &mut path) {
                continue;
            }
            let last = path == *root;
            let matching = if last { Match::Subtree } else { Match::Exact };
            self.tell(access, &path, matching, None);
            self.delete(access, &path);
            let above = parent(&path);
            let at = self.look(access, above).map_err(|_| Errno::Eio)?;
            let charged = Self::charged(access, self.tree.perms(at).owner());
            if !self.tree.remove_child(charged, at, base(&path)) {
                return Err(Errno::Eio);
            }
            self.modify(access, above);
            if last {
                return Ok(());
            }
            path.truncate(parent(&path).len());
        }
    }

    /// Gives the node at `path`, which is `at`, other permissions.
    ///
    /// # Errors
    /// `Enospc`: it would be too large. A transaction cannot be committed then.
    pub(crate) fn set_perms(
        &mut self,
        access: Access,
        path: &[u8],
        at: Ref,
        perms: Perms,
    ) -> Result<(), Errno> {
        let Some(node) = self.tree.pool.node(at) else {
            return Err(Errno::Enoent);
        };
        let size = size_of_node(&perms, node.data.len(), node.children.len());
        if Self::too_large(access, size) {
            self.spoil(access);
            return Err(Errno::Enospc);
        }
        let (old, new, cells) = (node.perms.owner(), perms.owner(), node.cells());
        self.modify(access, path);
        if let Some(node) = self.tree.pool.node_mut(at) {
            node.perms = perms;
        }
        if old != new {
            self.count(access, old, -1);
            self.count(access, new, 1);
            if access.tx.is_none() {
                self.tree.pool.transfer(old, new, cells);
            }
        }
        Ok(())
    }
}

/// The node on the way to `path` that lies right below `level`; nothing where that is `path`.
fn child_of<'p>(path: &'p [u8], level: &[u8]) -> &'p [u8] {
    let from = if level == b"/" { 1 } else { level.len() + 1 };
    let Some(rest) = path.get(from..) else {
        return &[];
    };
    let end = rest.iter().position(|&byte| byte == b'/');
    path.get(..end.map_or(path.len(), |end| from + end))
        .unwrap_or(&[])
}
