//! The peer server, and the pages by which guests' hosts send each other events.

use alloc::boxed::Box;
use core::array;
use core::sync::atomic::AtomicU32;

use dt_server::Config;
use peer_server::{Grants, PeerServer, Server, Table};
use peer_server_api::{Client, ENDS_WORDS, Ends, Error, PAIR_WORDS, PairPage, Request};
use topology::MAX_DOMAINS;
use topology::meets::Meets;

use crate::own::Own;
use crate::services::{Services, ring_peer};

type Call = Box<dyn FnMut(Request) -> Result<(), Error>>;
/// A guest's side.
pub(crate) type Peers = Client<'static, Call, fn(usize)>;

/// The pages, from which the server and guests' sides are made.
pub(crate) struct Pages {
    meets: Meets,
    ends: [Option<Ends<'static>>; MAX_DOMAINS],
    /// In the order of [`Meets::pairs`].
    pairs: [Option<&'static [AtomicU32]>; PAIRS],
}

/// Most pairs.
const PAIRS: usize = MAX_DOMAINS * (MAX_DOMAINS - 1) / 2;

impl Pages {
    /// Those of the domains of `config`.
    pub(crate) fn new(own: &mut Own, config: &Config) -> Self {
        let meets = config.meets();
        let ends = array::from_fn(|domain| {
            let page = meets.is_met(Some(domain)).then(|| own.zeroed(ENDS_WORDS));
            page.and_then(|words| Ends::new(words))
        });
        let mut pairs = [None; PAIRS];
        for (page, _) in pairs.iter_mut().zip(meets.pairs()) {
            *page = Some(&*own.zeroed(PAIR_WORDS));
        }
        Self { meets, ends, pairs }
    }

    /// The server; `None` where nobody meets.
    pub(crate) fn server(&self, own: &mut Own, config: &Config) -> Option<PeerServer<'static>> {
        let count = usize::from(self.meets.is_met(None));
        let table = own.zeroed::<Table>(count).first_mut()?;
        let grants = Grants::new(config.lends(), table);
        let channels = Box::leak(config.channels.clone().into_boxed_slice());
        let server = Server::new(self.ends, config.events(), channels);
        Some(PeerServer::new(server, grants))
    }

    /// The side of guest `me`.
    pub(crate) fn side(&self, services: &'static Services, me: usize) -> Peers {
        let pairs = array::from_fn(|other| {
            let both = (me.min(other), me.max(other));
            let page = self.meets.pairs().position(|pair| pair == both)?;
            PairPage::new(self.pairs.get(page).copied().flatten()?, me < other)
        });
        let call: Call = Box::new(move |request| {
            let mut peers = services.peers.borrow_mut();
            let peers = peers.as_mut().ok_or(Error::Denied)?;
            peers.answer(me, request, |lending| services.lending(lending))
        });
        let ends = self.ends.get(me).copied().flatten();
        Client::new(ends, pairs, call, ring_peer)
    }
}
