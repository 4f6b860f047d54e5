//! Watches: who is told of what.

use heapless::String;
use xen_abi::Errno;
use xen_abi::store::PAYLOAD_MAX;
use xenstore_server_api::quota;

use crate::cell::{Chain, Match, Ref, Watch};
use crate::path::{Path, directory, is_relative, is_within, parent};
use crate::peer::{Link, List};
use crate::perms::{Perms, Rights};
use crate::pool::For;
use crate::store::{Access, Store};
use crate::who::Who;

impl Store<'_> {
    /// Adds a watch of `who` on `path`, which it called `name`; the watch.
    ///
    /// # Errors
    /// `Eexist`: there is one like it; `Enospc`: there are too many; `Enomem`.
    pub(crate) fn watch(
        &mut self,
        who: Who,
        (path, name): (&Path, &[u8]),
        token: &[u8],
        depth: Option<u32>,
    ) -> Result<Ref, Errno> {
        let list = self.peer(who).map_or(List::EMPTY, |peer| peer.watches);
        if self.find_watch(list, path, token).is_some() {
            return Err(Errno::Eexist);
        }
        if list.count + 1 >= quota::WATCHES {
            return Err(Errno::Enospc);
        }
        let cut = if is_relative(name) {
            directory(who.domid()).len() + 1
        } else {
            0
        };
        let pool = &mut self.tree.pool;
        let chains = [&path[..], token].map(|text| pool.chain(who, For::Anything, &[text]));
        let made = match chains {
            [Ok(path), Ok(token)] => pool.put(
                who,
                For::Anything,
                Watch {
                    next: Ref::NONE,
                    path,
                    token,
                    depth,
                    cut: u8::try_from(cut).unwrap_or(0),
                },
            ),
            [Err(full), _] | [_, Err(full)] => Err(full),
        };
        let Ok(at) = made else {
            for chain in chains {
                pool.release(who, chain.unwrap_or(Chain::EMPTY));
            }
            return Err(Errno::Enomem);
        };
        if let Some(last) = pool.watch_mut(list.last) {
            last.next = at;
        }
        if let Some(peer) = self.peer(who) {
            peer.watches = List {
                first: list.first.some().unwrap_or(at),
                last: at,
                count: list.count + 1,
            };
        }
        Ok(at)
    }

    /// The watch with this path and token, and the one before it.
    fn find_watch(&self, list: List, path: &[u8], token: &[u8]) -> Option<(Ref, Ref)> {
        let pool = &self.tree.pool;
        let (mut before, mut at) = (Ref::NONE, list.first);
        while let Some(watch) = pool.watch(at) {
            if pool.is(watch.token, token) && pool.is(watch.path, path) {
                return Some((at, before));
            }
            (before, at) = (at, watch.next);
        }
        None
    }

    /// Ends a watch of `who`.
    ///
    /// # Errors
    /// `Enoent`: there is none.
    pub(crate) fn unwatch(&mut self, who: Who, path: &[u8], token: &[u8]) -> Result<(), Errno> {
        let list = self.peer(who).map_or(List::EMPTY, |peer| peer.watches);
        let (at, before) = self.find_watch(list, path, token).ok_or(Errno::Enoent)?;
        let next = self.forget_watch(who, at).unwrap_or(Ref::NONE);
        let pool = &mut self.tree.pool;
        if let Some(before) = pool.watch_mut(before) {
            before.next = next;
        }
        if let Some(peer) = self.peer(who) {
            let list = &mut peer.watches;
            list.count -= 1;
            if list.first == at {
                list.first = next;
            }
            if list.last == at {
                list.last = before;
            }
        }
        Ok(())
    }

    /// Gives a watch back; the one behind it.
    fn forget_watch(&mut self, who: Who, at: Ref) -> Option<Ref> {
        let watch = *self.tree.pool.watch(at)?;
        for chain in [watch.path, watch.token] {
            self.tree.pool.release(who, chain);
        }
        self.tree.pool.free(who, at);
        Some(watch.next)
    }

    /// Ends all watches of `who`.
    pub(crate) fn unwatch_all(&mut self, who: Who) {
        let Some(peer) = self.peer(who) else {
            return;
        };
        let mut at = core::mem::replace(&mut peer.watches, List::EMPTY).first;
        while let Some(next) = self.forget_watch(who, at) {
            at = next;
        }
    }

    /// `access` has changed the node at `path`, or is about to remove it: tells those who watch, or
    /// notes it for the end of the transaction. `old` are permissions that it had before.
    pub(crate) fn tell(
        &mut self,
        access: Access,
        path: &[u8],
        matching: Match,
        old: Option<Perms>,
    ) {
        if access.tx.is_none() {
            self.fire(path, matching, old);
            return;
        }
        if let Some(touch) = self.touch_of(access, path)
            && let Some(touch) = self.tree.pool.touch_mut(touch)
            && touch.fire != Some(Match::Subtree)
        {
            touch.fire = Some(matching);
        }
    }

    /// Tells those who watch and may know of the node at `path` as it is in the tree now, or was
    /// when its permissions were `old`.
    pub(crate) fn fire(&mut self, path: &[u8], matching: Match, old: Option<Perms>) {
        let perms = |path| self.tree.find(path).map(|at| self.tree.perms(at));
        let now = perms(path);
        let above = now.and_then(|_| perms(parent(path)));
        self.fire_to(path, matching, [old, now, above]);
    }

    /// Tells those who watch and have a right to read by one of `perms`.
    fn fire_to(&mut self, path: &[u8], matching: Match, perms: [Option<Perms>; 3]) {
        for who in Who::all().filter(|who| who.is_bounded()) {
            let Some(peer) = self.peer(who).filter(|peer| peer.link == Link::Up) else {
                continue;
            };
            let mut at = peer.watches.first;
            let mut may = perms.iter().flatten();
            if at == Ref::NONE || !may.any(|perms| perms.of(who).has(Rights::READ)) {
                continue;
            }
            while let Some(&watch) = self.tree.pool.watch(at) {
                if self.concerns(&watch, path, matching) {
                    self.send_event(who, path, &watch);
                }
                at = watch.next;
            }
        }
    }

    fn concerns(&self, watch: &Watch, path: &[u8], matching: Match) -> bool {
        let len = watch.path.len();
        let front = path.get(..len).unwrap_or(&[]);
        let same = self.tree.pool.is(watch.path, front);
        let exact = same && len == path.len();
        let within = || is_within(path, len, same, watch.depth);
        match matching {
            Match::Exact => exact,
            Match::Subtree => within(),
            Match::NoDepth => exact && watch.depth.is_none(),
            Match::Depth => exact || (watch.depth.is_some_and(|depth| depth > 0) && within()),
        }
    }

    /// Sends a watch's first event.
    pub(crate) fn send_first_event(&mut self, who: Who, at: Ref) {
        if let Some(&watch) = self.tree.pool.watch(at) {
            let path = self.path(watch.path);
            self.send_event(who, &path, &watch);
        }
    }

    fn send_event(&mut self, who: Who, path: &[u8], watch: &Watch) {
        let path = path.get(watch.cut.into()..).unwrap_or(&[]);
        let len = path.len() + watch.token.len() + 2;
        let mut payload = [0; PAYLOAD_MAX];
        let Some(payload) = payload.get_mut(..len) else {
            return;
        };
        let token = self.tree.pool.pieces(watch.token).flatten();
        let bytes = path.iter().chain(&[0]).chain(token);
        for (to, from) in payload.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.queue_event(who, payload, path.first() != Some(&b'@'));
    }

    /// Tells those who watch the special node `name` of domain `who`.
    pub(crate) fn fire_special(&mut self, name: &[u8], who: Who) {
        let perms = self.tree.find(name).map(|at| self.tree.perms(at));
        self.fire_to(name, Match::NoDepth, [perms, None, None]);
        let mut number: String<8> = String::new();
        let _ = core::fmt::Write::write_fmt(&mut number, format_args!("/{}", who.domid()));
        let mut path = Path::new();
        // Both are short.
        let _ = path.extend_from_slice(name);
        let _ = path.extend_from_slice(number.as_bytes());
        self.fire_to(&path, Match::Depth, [perms, None, None]);
    }
}
