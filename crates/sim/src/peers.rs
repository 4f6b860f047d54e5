//! The peer server, and the pages by which VMMs send each other events.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;

use dt_server::Config;
use peer_server::{Grants, PeerServer as Logic, Server, Table};
use peer_server_api::{Client, ENDS_WORDS, Ends, Error, PAIR_WORDS, PairPage, Request};
use topology::MAX_DOMAINS;

use crate::bus::{Bus, peer};
use crate::memory::Memory;

type Call = Box<dyn FnMut(Request) -> Result<(), Error>>;
/// A VMM's side.
pub(crate) type Peers = Client<'static, Call, Box<dyn FnMut(usize)>>;

/// The peer server.
pub(crate) type PeerServer = Rc<RefCell<Logic<'static>>>;

/// A page that two VMMs share.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    /// The two, the lower number first.
    pub(crate) domains: (usize, usize),
    /// Its words.
    pub(crate) words: &'static [AtomicU32],
}

/// The server of these domains, the sides of their VMMs, and the pages between them.
pub(crate) fn new(
    bus: &Rc<Bus>,
    config: &Config,
    memory: &Memory,
) -> (PeerServer, Vec<Peers>, Vec<Shared>) {
    let meets = config.meets();
    let ends: [Option<Ends<'static>>; MAX_DOMAINS] = std::array::from_fn(|domain| {
        let page = || Ends::new(words(ENDS_WORDS)).expect("a page");
        meets.is_met(Some(domain)).then(page)
    });
    let channels = config.channels.clone().leak();
    let server = Server::new(ends, config.events(), channels);
    let table = Box::leak(Box::new(Table::EMPTY));
    let grants = Grants::new(config.lends(), table);
    let server = Rc::new(RefCell::new(Logic::new(server, grants)));
    let shared: Vec<Shared> = meets
        .pairs()
        .map(|domains| Shared {
            domains,
            words: words(PAIR_WORDS),
        })
        .collect();
    let sides = (0..config.domains.len()).map(|me| {
        let pairs = std::array::from_fn(|other| {
            let both = (me.min(other), me.max(other));
            let page = shared.iter().find(|shared| shared.domains == both)?;
            PairPage::new(page.words, me < other)
        });
        let (server, bus, memory) = (server.clone(), bus.clone(), memory.clone());
        let call: Call = Box::new(move |request| {
            let mut server = server.borrow_mut();
            server.answer(me, request, |lending| memory.lending(lending))
        });
        let notify: Box<dyn FnMut(usize)> = Box::new(move |other| bus.notify_vmm(other, peer(me)));
        Client::new(ends[me], pairs, call, notify)
    });
    let sides = sides.collect();
    (server, sides, shared)
}

fn words(count: usize) -> &'static [AtomicU32] {
    let words: Vec<_> = (0..count).map(|_| AtomicU32::new(0)).collect();
    words.leak()
}
