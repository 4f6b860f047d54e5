//! The peer server's protection domain.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::array;

use peer_server::{Facts, Grants, PeerServer, Server, Table};
use static_cell::{ConstStaticCell, StaticCell};
use topology::channel;
use zazen_rt::clients::{answer_peer, answer_peer_crash, lending};
use zazen_rt::{
    Channel, ChannelSet, Handler, Infallible, MessageInfo, patched, protection_domain, region,
};

protection_domain!(init);

/// What the image builder says; the server keeps a part of it for good.
static FACTS: StaticCell<Facts> = StaticCell::new();

/// What is lent.
static TABLE: ConstStaticCell<Table> = ConstStaticCell::new(Table::EMPTY);

struct Pd(PeerServer<'static>);

fn init() -> Pd {
    let facts = &*FACTS.init(Facts::of(patched::peer_facts()));
    let page = |domain| {
        facts
            .meets
            .is_met(Some(domain))
            .then(|| region::ends(domain))
    };
    let channels = Server::new(array::from_fn(page), facts.events, facts.channels());
    let grants = Grants::new(facts.lends, TABLE.take());
    Pd(PeerServer::new(channels, grants))
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        // Nobody has anything to say without waiting for an answer.
        Ok(())
    }

    fn protected(
        &mut self,
        client: Channel,
        message: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        if client.index() == channel::PEER_FAULTS {
            return Ok(answer_peer_crash(&message, |domain| {
                self.0.crash(domain, lending)
            }));
        }
        // Channel i is the gate of domain i; the server refuses a number without a page.
        Ok(answer_peer(&message, |request| {
            self.0.answer(client.index(), request, lending)
        }))
    }
}
