//! Messages on their way to guests.
//!
//! A message goes into the ring that the server shares with the guest's VMM; what finds no room
//! there waits in cells of the guest's own. So a guest that does not take its messages uses up what
//! is its own and delays nobody else.

use xen_abi::store::{HEADER, Header, kind};
use xenstore_server_api::quota;
use zerocopy::IntoBytes as _;

use crate::cell::{Queued, Ref};
use crate::peer::{Link, List};
use crate::pool::For;
use crate::store::Store;
use crate::tree::hash;
use crate::who::Who;

/// Most events of a guest that wait; later ones are lost.
const EVENTS_MAX: u32 = 1024;

impl Store<'_> {
    /// Sends an answer.
    pub(crate) fn answer(&mut self, who: Who, header: Header, payload: &[u8]) {
        self.send(who, header, payload, None);
    }

    /// Sends an event, unless one like it waits already and `once` is set.
    pub(crate) fn queue_event(&mut self, who: Who, payload: &[u8], once: bool) {
        let hash = hash(payload);
        if once && self.waits(who, payload, hash) {
            return;
        }
        let header = Header {
            kind: kind::WATCH_EVENT,
            req_id: 0,
            tx_id: 0,
            len: u32::try_from(payload.len()).unwrap_or(0),
        };
        self.send(who, header, payload, Some(hash));
    }

    /// Whether an event with this payload waits whole.
    fn waits(&mut self, who: Who, payload: &[u8], hash: u32) -> bool {
        let mut at = self.peer(who).map_or(Ref::NONE, |peer| peer.queue.first);
        let pool = &self.tree.pool;
        while let Some(queued) = pool.queued(at) {
            if queued.event == Some(hash) && queued.sent == 0 && {
                let bytes = pool.pieces(queued.bytes).flatten().skip(HEADER);
                bytes.eq(payload)
            } {
                return true;
            }
            at = queued.next;
        }
        false
    }

    fn send(&mut self, who: Who, header: Header, payload: &[u8], event: Option<u32>) {
        let Some(peer) = self.peer(who).filter(|peer| peer.link == Link::Up) else {
            return;
        };
        let list = peer.queue;
        let parts = [header.as_bytes(), payload];
        let len = HEADER + payload.len();
        let mut sent = 0;
        if list.first == Ref::NONE
            && let Some(end) = &mut peer.end
        {
            for part in parts {
                let put = end.answers.write(part);
                sent += put;
                if put < part.len() {
                    break;
                }
            }
        }
        if sent == len {
            return;
        }
        let events = list.count - peer.outstanding;
        // Of a message that has begun the rest must follow.
        let purpose = match event {
            Some(_) if sent == 0 && events >= EVENTS_MAX => return,
            Some(_) if sent == 0 => For::Anything,
            _ => For::Answer,
        };
        let pool = &mut self.tree.pool;
        let Ok(bytes) = pool.chain(who, purpose, &parts) else {
            return;
        };
        let queued = Queued {
            next: Ref::NONE,
            bytes,
            sent: u16::try_from(sent).unwrap_or(0),
            event,
        };
        let Ok(at) = pool.put(who, purpose, queued) else {
            pool.release(who, bytes);
            return;
        };
        if let Some(last) = pool.queued_mut(list.last) {
            last.next = at;
        }
        if let Some(peer) = self.peer(who) {
            peer.queue = List {
                first: list.first.some().unwrap_or(at),
                last: at,
                count: list.count + 1,
            };
            peer.outstanding += u32::from(event.is_none());
        }
    }

    /// Moves what waits into the ring, as far as there is room.
    pub(crate) fn flush(&mut self, who: Who) {
        loop {
            let Some(index) = who.index().checked_sub(1) else {
                return;
            };
            let Some(peer) = self.peers.get_mut(index) else {
                return;
            };
            let at = peer.queue.first;
            let (Some(&queued), Some(end)) = (self.tree.pool.queued(at), &mut peer.end) else {
                return;
            };
            let mut skip = usize::from(queued.sent);
            let mut sent = skip;
            for piece in self.tree.pool.pieces(queued.bytes) {
                let rest = piece.get(skip..).unwrap_or(&[]);
                skip = skip.saturating_sub(piece.len());
                let put = end.answers.write(rest);
                sent += put;
                if put < rest.len() {
                    break;
                }
            }
            if sent < queued.bytes.len() {
                if let Some(queued) = self.tree.pool.queued_mut(at) {
                    queued.sent = u16::try_from(sent).unwrap_or(0);
                }
                return;
            }
            self.drop_first(who);
        }
    }

    /// Drops the first message that waits; whether there was one.
    fn drop_first(&mut self, who: Who) -> bool {
        let at = self.peer(who).map_or(Ref::NONE, |peer| peer.queue.first);
        let Some(&queued) = self.tree.pool.queued(at) else {
            return false;
        };
        self.tree.pool.release(who, queued.bytes);
        self.tree.pool.free(who, at);
        if let Some(peer) = self.peer(who) {
            peer.queue.first = queued.next;
            peer.queue.count -= 1;
            if queued.next == Ref::NONE {
                peer.queue.last = Ref::NONE;
            }
            peer.outstanding -= u32::from(queued.event.is_none());
        }
        true
    }

    /// Drops everything that waits.
    pub(crate) fn drop_queue(&mut self, who: Who) {
        while self.drop_first(who) {}
    }

    /// Whether so many answers of `who` wait that no request is read.
    pub(crate) fn is_full(&mut self, who: Who) -> bool {
        self.peer(who)
            .is_some_and(|peer| peer.outstanding >= quota::OUTSTANDING)
    }
}
