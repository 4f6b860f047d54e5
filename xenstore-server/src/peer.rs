//! Connections.

use xenstore_server_api::{Pipe, quota};

use crate::cell::Ref;
use crate::who::COUNT;

/// Most open transactions of a guest.
const TRANSACTIONS: usize = quota::TRANSACTIONS as usize - 1;

/// What becomes of a guest's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// There is no guest.
    Off,
    /// They are answered.
    Up,
    /// They are not looked at any more: one made no sense.
    Ignored,
}

/// Cells in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    pub(crate) first: Ref,
    pub(crate) last: Ref,
    pub(crate) count: u32,
}

impl List {
    pub(crate) const EMPTY: Self = Self {
        first: Ref::NONE,
        last: Ref::NONE,
        count: 0,
    };
}

/// An open transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: u32,
    /// What it has to do with, in the order in which it did.
    pub(crate) first: Ref,
    pub(crate) last: Ref,
    pub(crate) touched: u32,
    /// It cannot be committed any more.
    pub(crate) fails: bool,
    /// It has made a node.
    pub(crate) created: bool,
    /// By how much it changes the number of nodes that each domain owns.
    pub(crate) owned: [i32; COUNT],
}

impl Transaction {
    const fn new(id: u32) -> Self {
        Self {
            id,
            first: Ref::NONE,
            last: Ref::NONE,
            touched: 0,
            fails: false,
            created: false,
            owned: [0; COUNT],
        }
    }
}

/// The connection of a guest, or of its back ends.
pub(crate) struct Peer<'m> {
    pub(crate) end: Option<Pipe<'m>>,
    pub(crate) link: Link,
    pub(crate) watches: List,
    pub(crate) transactions: [Option<Transaction>; TRANSACTIONS],
    /// The number that the next transaction gets, unless it is taken.
    pub(crate) next_transaction: u32,
    /// What waits for room in the ring.
    pub(crate) queue: List,
    /// Answers among them.
    pub(crate) outstanding: u32,
    /// Its VMM has to be notified.
    pub(crate) notify: bool,
}

impl Peer<'_> {
    pub(crate) const fn new() -> Self {
        Self {
            end: None,
            link: Link::Off,
            watches: List::EMPTY,
            transactions: [None; TRANSACTIONS],
            next_transaction: 0,
            queue: List::EMPTY,
            outstanding: 0,
            notify: false,
        }
    }

    /// The slot of transaction `id`.
    pub(crate) fn slot_of(&self, id: u32) -> Option<usize> {
        self.transactions
            .iter()
            .position(|open| open.is_some_and(|open| open.id == id))
    }

    /// Opens a transaction and returns its id; `None` where there are too many.
    pub(crate) fn open(&mut self) -> Option<u32> {
        let slot = self.transactions.iter().position(Option::is_none)?;
        let id = loop {
            let id = self.next_transaction;
            self.next_transaction = id.wrapping_add(1);
            if id != 0 && self.slot_of(id).is_none() {
                break id;
            }
        };
        *self.transactions.get_mut(slot)? = Some(Transaction::new(id));
        Some(id)
    }
}
