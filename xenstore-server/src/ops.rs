//! The operations that a guest may ask for. What only a toolstack may is refused, as C xenstored
//! refuses it.

use core::fmt::Write as _;

use heapless::Vec;
use xen_abi::Errno;
use xen_abi::store::{Header, PAYLOAD_MAX, feature, kind};

use crate::cell::{Chain, Match, Ref};
use crate::path::{device_of, parent};
use crate::perms::{Perms, Rights};
use crate::store::{Access, Store};
use crate::text::{count, domid, leading, one, string, strings};
use crate::who::Who;

/// Features that every guest is offered.
pub(crate) const FEATURES: u32 =
    feature::RECONNECTION | feature::ERROR | feature::WATCH_DEPTH | feature::DOMID_ANY;

/// The payload of an answer.
pub(crate) type Payload = Vec<u8, PAYLOAD_MAX>;

/// What follows an answer.
type Then = Option<Ref>;

impl Store<'_> {
    /// Does what a message of `who` asks for and answers. `out` is room for the answer.
    pub(crate) fn handle(&mut self, who: Who, header: Header, payload: &[u8], out: &mut Payload) {
        out.clear();
        let done = self.perform(who, header, payload, out);
        let (kind, then) = match done {
            Ok(then) => (header.kind, then),
            Err(error) => {
                out.clear();
                // An error has a short name.
                let _ = out.extend_from_slice(error.name().as_bytes());
                let _ = out.push(0);
                (kind::ERROR, None)
            }
        };
        let len = u32::try_from(out.len()).unwrap_or(0);
        self.answer(
            who,
            Header {
                kind,
                len,
                ..header
            },
            out,
        );
        if let Some(watch) = then {
            self.send_first_event(who, watch);
        }
    }

    fn perform(
        &mut self,
        who: Who,
        header: Header,
        payload: &[u8],
        out: &mut Payload,
    ) -> Result<Then, Errno> {
        match header.kind {
            kind::CONTROL
            | kind::INTRODUCE
            | kind::RELEASE
            | kind::IS_DOMAIN_INTRODUCED
            | kind::RESUME
            | kind::SET_TARGET
            | kind::SET_FEATURE
            | kind::GET_QUOTA
            | kind::SET_QUOTA => return Err(Errno::Eacces),
            kind::WATCH => return self.do_watch(who, payload, out).map(Some),
            kind::UNWATCH => return self.do_unwatch(who, payload, out),
            kind::DIRECTORY..=kind::GET_PERMS
            | kind::TRANSACTION_START
            | kind::TRANSACTION_END
            | kind::GET_DOMAIN_PATH..=kind::SET_PERMS
            | kind::RESET_WATCHES..=kind::GET_FEATURE => {}
            _ => return Err(Errno::Enosys),
        }
        let slot = self.peer(who).and_then(|peer| peer.slot_of(header.tx_id));
        let tx = match header.tx_id {
            0 => None,
            _ => Some(slot.ok_or(Errno::Enoent)?),
        };
        let access = Access { who, tx };
        match header.kind {
            kind::DIRECTORY => self.do_directory(access, payload, out)?,
            kind::READ => self.do_read(access, payload, out)?,
            kind::GET_PERMS => self.do_get_perms(access, payload, out)?,
            kind::TRANSACTION_START => self.do_start(access, out)?,
            kind::TRANSACTION_END => self.do_end(access, payload, out)?,
            kind::GET_DOMAIN_PATH => {
                let text = one(payload).ok_or(Errno::Einval)?;
                let domid = domid(text).ok_or(Errno::Einval)?;
                say(out, format_args!("/local/domain/{domid}\0"))?;
            }
            kind::WRITE => self.do_write(access, payload, out)?,
            kind::MKDIR => self.do_mkdir(access, payload, out)?,
            kind::RM => self.do_rm(access, payload, out)?,
            kind::SET_PERMS => self.do_set_perms(access, payload, out)?,
            kind::RESET_WATCHES => {
                self.unwatch_all(who);
                self.abandon_all(who);
                ok(out)?;
            }
            kind::DIRECTORY_PART => self.do_directory_part(access, payload, out)?,
            kind::GET_FEATURE if string(payload).is_some() => return Err(Errno::Eacces),
            _ => say(out, format_args!("{FEATURES}\0"))?,
        }
        Ok(None)
    }

    /// The node that a payload of one string names.
    fn node_of(&mut self, access: Access, payload: &[u8], special: bool) -> Result<Ref, Errno> {
        let name = one(payload).ok_or(Errno::Einval)?;
        let path = self.named(access.who, name, special)?;
        self.get(access, &path, Rights::READ)
    }

    fn put_out(&self, chain: Chain, out: &mut Payload) -> Result<(), Errno> {
        self.tree
            .pool
            .pieces(chain)
            .try_for_each(|piece| put(out, piece))
    }

    fn do_directory(
        &mut self,
        access: Access,
        payload: &[u8],
        out: &mut Payload,
    ) -> Result<(), Errno> {
        let at = self.node_of(access, payload, false)?;
        let children = self.tree.pool.node(at).map(|node| node.children);
        self.put_out(children.unwrap_or(Chain::EMPTY), out)
    }

    fn do_directory_part(
        &mut self,
        access: Access,
        payload: &[u8],
        out: &mut Payload,
    ) -> Result<(), Errno> {
        let [name, offset] = strings(payload).ok_or(Errno::Einval)?;
        let path = self.named(access.who, name, false)?;
        let at = self.get(access, &path, Rights::READ)?;
        let Some(&node) = self.tree.pool.node(at) else {
            return Err(Errno::Enoent);
        };
        say(out, format_args!("{}\0", node.generation))?;
        let begin = out.len();
        let all = node.children.len();
        // Numbers below zero are as good as one behind the end.
        let offset = usize::try_from(leading(offset)).unwrap_or(all).min(all);
        let most = PAYLOAD_MAX - begin - 1;
        let bytes = self.tree.pool.pieces(node.children).flatten().skip(offset);
        let mut end = begin;
        for byte in bytes {
            if *byte != 0 && out.len() - begin >= most - 1 {
                break;
            }
            put(out, &[*byte])?;
            if *byte == 0 {
                end = out.len();
            }
        }
        // Only whole names.
        out.truncate(end);
        if offset + end - begin == all {
            put(out, &[0])?;
        }
        Ok(())
    }

    fn do_read(&mut self, access: Access, payload: &[u8], out: &mut Payload) -> Result<(), Errno> {
        let at = self.node_of(access, payload, false)?;
        let data = self.tree.pool.node(at).map(|node| node.data);
        self.put_out(data.unwrap_or(Chain::EMPTY), out)
    }

    fn do_get_perms(
        &mut self,
        access: Access,
        payload: &[u8],
        out: &mut Payload,
    ) -> Result<(), Errno> {
        let at = self.node_of(access, payload, true)?;
        let perms = self.tree.perms(at);
        say(out, format_args!("{perms}"))
    }

    fn do_start(&mut self, access: Access, out: &mut Payload) -> Result<(), Errno> {
        if access.tx.is_some() {
            return Err(Errno::Ebusy);
        }
        let id = self.peer(access.who).and_then(|peer| peer.open());
        let id = id.ok_or(Errno::Enospc)?;
        self.open += 1;
        say(out, format_args!("{id}\0"))
    }

    fn do_end(&mut self, access: Access, payload: &[u8], out: &mut Payload) -> Result<(), Errno> {
        let commit = match one(payload) {
            Some(b"T") => true,
            Some(b"F") => false,
            _ => return Err(Errno::Einval),
        };
        let slot = access.tx.ok_or(Errno::Enoent)?;
        if commit {
            self.commit(access.who, slot)?;
        } else {
            self.abandon(access.who, slot);
        }
        ok(out)
    }

    fn do_write(&mut self, access: Access, payload: &[u8], out: &mut Payload) -> Result<(), Errno> {
        let (name, data) = string(payload).ok_or(Errno::Einval)?;
        let path = self.named(access.who, name, false)?;
        match self.get(access, &path, Rights::WRITE) {
            Ok(at) => self.write(access, &path, at, data)?,
            Err(Errno::Enoent) => self.create(access, &path, data)?,
            Err(error) => return Err(error),
        }
        self.tell(access, &path, Match::Subtree, None);
        ok(out)
    }

    fn do_mkdir(&mut self, access: Access, payload: &[u8], out: &mut Payload) -> Result<(), Errno> {
        let name = one(payload).ok_or(Errno::Einval)?;
        let path = self.named(access.who, name, false)?;
        match self.get(access, &path, Rights::WRITE) {
            Ok(_) => {}
            Err(Errno::Enoent) => {
                self.create(access, &path, b"")?;
                self.tell(access, &path, Match::Subtree, None);
            }
            Err(error) => return Err(error),
        }
        ok(out)
    }

    fn do_rm(&mut self, access: Access, payload: &[u8], out: &mut Payload) -> Result<(), Errno> {
        let name = one(payload).ok_or(Errno::Einval)?;
        let path = self.named(access.who, name, false)?;
        if Self::is_device(access.who, &path) {
            return Err(Errno::Eacces);
        }
        match self.get(access, &path, Rights::WRITE) {
            Ok(_) if path == b"/" => return Err(Errno::Einval),
            Ok(_) => self.remove(access, &path)?,
            // One that is not there is as good as removed, where its parent is.
            Err(Errno::Enoent) => {
                self.look(access, parent(&path))?;
            }
            Err(error) => return Err(error),
        }
        ok(out)
    }

    fn do_set_perms(
        &mut self,
        access: Access,
        payload: &[u8],
        out: &mut Payload,
    ) -> Result<(), Errno> {
        if !access.who.is_guest() {
            return Err(Errno::Eacces);
        }
        let entries = count(payload).checked_sub(1).filter(|&count| count > 0);
        let entries = entries.ok_or(Errno::Einval)?;
        let (name, text) = string(payload).ok_or(Errno::Einval)?;
        let perms = Perms::parse(text, entries, |domid| self.exists(domid))?;
        let path = self.named(access.who, name, true)?;
        let at = self.get(access, &path, Rights::WRITE.and(Rights::OWNER))?;
        let old = self.tree.perms(at);
        if perms.owner() != old.owner() {
            return Err(Errno::Eperm);
        }
        self.set_perms(access, &path, at, perms)?;
        self.tell(access, &path, Match::Subtree, Some(old));
        ok(out)
    }

    fn do_watch(&mut self, who: Who, payload: &[u8], out: &mut Payload) -> Result<Ref, Errno> {
        let ([name, token], depth) = match strings::<3>(payload) {
            Some([name, token, depth]) => {
                let depth = u32::try_from(leading(depth)).map_err(|_| Errno::Einval)?;
                ([name, token], Some(depth))
            }
            None => (strings::<2>(payload).ok_or(Errno::Einval)?, None),
        };
        let path = self.named(who, name, true)?;
        let watch = self.watch(who, (&path, name), token, depth)?;
        ok(out)?;
        Ok(watch)
    }

    fn do_unwatch(&mut self, who: Who, payload: &[u8], out: &mut Payload) -> Result<Then, Errno> {
        let [name, token] = strings(payload).ok_or(Errno::Einval)?;
        let path = self.named(who, name, true)?;
        self.unwatch(who, &path, token)?;
        ok(out)?;
        Ok(None)
    }

    /// Whether back ends may not take `path` away: it is the directory of a device.
    fn is_device(who: Who, path: &[u8]) -> bool {
        let guest = who.front_of();
        guest.and_then(|guest| device_of(guest, path)) == Some(path)
    }

    /// Abandons all transactions of `who`.
    pub(crate) fn abandon_all(&mut self, who: Who) {
        let slots = self.peer(who).map_or(0, |peer| peer.transactions.len());
        (0..slots).for_each(|slot| self.abandon(who, slot));
    }
}

/// Puts bytes behind the others.
fn put(out: &mut Payload, bytes: &[u8]) -> Result<(), Errno> {
    out.extend_from_slice(bytes).map_err(|_| Errno::E2big)
}

fn say(out: &mut Payload, text: core::fmt::Arguments<'_>) -> Result<(), Errno> {
    out.write_fmt(text).map_err(|_| Errno::E2big)
}

/// The answer of what has nothing else to say.
fn ok(out: &mut Payload) -> Result<(), Errno> {
    put(out, b"OK\0")
}
