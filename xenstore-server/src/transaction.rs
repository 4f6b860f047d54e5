//! Transactions.
//!
//! A transaction has a copy of each node that it has to do with, taken when it first looked at it;
//! what it changes, it changes there. When it ends and one of those nodes has changed in the tree
//! meanwhile, or has come or gone, it fails with `EAGAIN`; otherwise its copies take their places.
//! Nodes that it wrote are looked at like those that it read: C xenstored reads a node before it
//! writes it, and its code compares whatever was read first, though its comment says otherwise.

use xen_abi::Errno;
use xenstore_server_api::quota;

use crate::cell::{Chain, Ref, Touch};
use crate::peer::Transaction;
use crate::pool::{For, Full};
use crate::store::{Access, Store};
use crate::tree::{NO_GENERATION, hash};
use crate::who::Who;

impl Store<'_> {
    /// The transaction of an access.
    pub(crate) fn transaction(&mut self, access: Access) -> Option<&mut Transaction> {
        let peer = self.peer(access.who)?;
        peer.transactions.get_mut(access.tx?)?.as_mut()
    }

    /// The transaction of an access cannot be committed any more.
    pub(crate) fn spoil(&mut self, access: Access) {
        if let Some(transaction) = self.transaction(access) {
            transaction.fails = true;
        }
    }

    /// What the transaction of an access has to do with `path`.
    pub(crate) fn touch_of(&mut self, access: Access, path: &[u8]) -> Option<Ref> {
        let mut at = self.transaction(access)?.first;
        let hash = hash(path);
        let pool = &self.tree.pool;
        while let Some(touch) = pool.touch(at) {
            if touch.hash == hash && pool.is(touch.path, path) {
                return Some(at);
            }
            at = touch.next;
        }
        None
    }

    /// The node at `path`, as `access` sees it.
    ///
    /// # Errors
    /// `Enoent`: there is none; of a transaction `Enospc` and `Enomem`: it has to do with too much.
    pub(crate) fn look(&mut self, access: Access, path: &[u8]) -> Result<Ref, Errno> {
        if access.tx.is_none() {
            return self.tree.find(path).ok_or(Errno::Enoent);
        }
        if let Some(touch) = self.touch_of(access, path) {
            let node = self.tree.pool.touch(touch).map(|touch| touch.node);
            return node.and_then(Ref::some).ok_or(Errno::Enoent);
        }
        let node = self.touch(access, path);
        if node.is_err() {
            self.spoil(access);
        }
        node?.some().ok_or(Errno::Enoent)
    }

    /// From now on the transaction of an access has to do with `path`; its copy of the node.
    fn touch(&mut self, access: Access, path: &[u8]) -> Result<Ref, Errno> {
        let who = access.who;
        let touched = self.transaction(access).map_or(0, |all| all.touched + 1);
        if who.is_bounded() && touched >= quota::TRANSACTION_NODES {
            return Err(Errno::Enospc);
        }
        let no_memory = |Full| Errno::Enomem;
        let found = self.tree.find(path);
        let original = found.and_then(|at| self.tree.pool.node(at)).copied();
        let node = match found {
            Some(at) => self.tree.copy(who, at).map_err(no_memory)?,
            None => Ref::NONE,
        };
        let chain = self.tree.pool.chain(who, For::Anything, &[path]);
        let put = chain.and_then(|path_chain| {
            let touch = Touch {
                generation: original.map_or(NO_GENERATION, |node| node.generation),
                next: Ref::NONE,
                hash: hash(path),
                path: path_chain,
                node,
                perms: original.map(|node| node.perms),
                modified: false,
                fire: None,
            };
            self.tree.pool.put(who, For::Anything, touch)
        });
        let Ok(at) = put else {
            self.tree.pool.release(who, chain.unwrap_or(Chain::EMPTY));
            self.tree.discard(who, node);
            return Err(Errno::Enomem);
        };
        let last = match self.transaction(access) {
            Some(transaction) => {
                transaction.touched = touched;
                if transaction.first == Ref::NONE {
                    transaction.first = at;
                }
                core::mem::replace(&mut transaction.last, at)
            }
            None => Ref::NONE,
        };
        if let Some(last) = self.tree.pool.touch_mut(last) {
            last.next = at;
        }
        Ok(node)
    }

    /// Ends the transaction in `slot` of `who` without doing anything.
    pub(crate) fn abandon(&mut self, who: Who, slot: usize) {
        let taken = self
            .peer(who)
            .and_then(|peer| peer.transactions.get_mut(slot)?.take());
        let Some(transaction) = taken else {
            return;
        };
        self.open -= 1;
        let mut at = transaction.first;
        while let Some(next) = self.forget_touch(who, at) {
            at = next;
        }
    }

    /// Gives a touch back; the one behind it, unless there was none.
    fn forget_touch(&mut self, who: Who, at: Ref) -> Option<Ref> {
        let touch = *self.tree.pool.touch(at)?;
        self.tree.discard(who, touch.node);
        self.tree.pool.release(who, touch.path);
        self.tree.pool.free(who, at);
        Some(touch.next)
    }

    /// Does what the transaction in `slot` of `who` wants, and ends it.
    ///
    /// # Errors
    /// `Enomem`: something in it failed; `Enospc`: an owner would have too many nodes; `Eagain`:
    /// what it has to do with has changed. It is abandoned then.
    pub(crate) fn commit(&mut self, who: Who, slot: usize) -> Result<(), Errno> {
        let peer = self.peer(who);
        let Some(transaction) = peer.and_then(|peer| *peer.transactions.get(slot)?) else {
            return Err(Errno::Enoent);
        };
        let result = self.may_commit(who, &transaction);
        if result.is_ok() {
            // Somebody else's transaction may fail because of this one.
            if self.open > 1 {
                self.credits.debit(who);
            }
            self.apply(who, &transaction);
        }
        self.abandon(who, slot);
        result
    }

    fn may_commit(&self, who: Who, transaction: &Transaction) -> Result<(), Errno> {
        if transaction.fails {
            return Err(Errno::Enomem);
        }
        let check = transaction.created && who.is_bounded();
        for (owner, change) in Who::all().zip(&transaction.owned).filter(|_| check) {
            let more = u32::try_from(*change).unwrap_or(0);
            if *change > 0 && owner.is_bounded() && self.tree.owned(owner) + more >= quota::NODES {
                return Err(Errno::Enospc);
            }
        }
        let mut at = transaction.first;
        while let Some(touch) = self.tree.pool.touch(at) {
            if self.generation_at(touch.path) != touch.generation {
                return Err(Errno::Eagain);
            }
            at = touch.next;
        }
        Ok(())
    }

    /// Generation of the node at `path` in the tree.
    fn generation_at(&self, path: Chain) -> u64 {
        let path = self.path(path);
        let node = self.tree.find(&path).and_then(|at| self.tree.pool.node(at));
        node.map_or(NO_GENERATION, |node| node.generation)
    }

    /// Puts the copies of a transaction in the places of what they were taken from.
    fn apply(&mut self, who: Who, transaction: &Transaction) {
        let mut at = transaction.first;
        while let Some(&touch) = self.tree.pool.touch(at) {
            if touch.modified {
                let path = self.path(touch.path);
                self.tree.remove(&path);
                if let Some(node) = self.tree.pool.node(touch.node) {
                    let (owner, cells) = (node.perms.owner(), node.cells());
                    let generation = self.tree.next_generation();
                    if let Some(node) = self.tree.pool.node_mut(touch.node) {
                        node.generation = generation;
                    }
                    self.tree.link(touch.node);
                    self.tree.pool.transfer(who, owner, cells);
                    if let Some(touch) = self.tree.pool.touch_mut(at) {
                        touch.node = Ref::NONE;
                    }
                }
                if let Some(matching) = touch.fire {
                    self.fire(&path, matching, touch.perms);
                }
            }
            at = touch.next;
        }
        for (owner, change) in Who::all().zip(transaction.owned) {
            self.tree.count(owner, change);
        }
    }
}
