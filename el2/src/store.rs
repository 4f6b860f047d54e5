//! The xenstore server.

use dt_server::{Config, DomainConfig};
use xenstore_server::{Cell, Server, Turn, cells};
use xenstore_server_api::{Client, HEADER_SIZE, REGION_SIZE, Region};

use crate::cpu;
use crate::log::ServerLog;
use crate::own::Own;
use crate::services::{STORE_RING, ring_itself, take_store_bells};

/// A guest's end of its connection.
pub(crate) type StoreEnd = Client<'static, fn()>;

/// The server.
pub(crate) struct Store {
    server: &'static mut Server<'static>,
    /// Its log, which is also what is typed for it.
    log: Option<ServerLog>,
}

impl Store {
    /// The server of these domains, without connections.
    pub(crate) fn new(own: &mut Own, config: &Config) -> Self {
        let domains = config.domains.iter();
        let guests = domains
            .filter(|domain| domain.record.pv.has_store())
            .count();
        let memory = own.slice(cells(guests), || Cell::EMPTY);
        let server = own.value(Server::new);
        server.begin(memory, cpu::frequency(), config.domains.len());
        Self { server, log: None }
    }

    /// Connects guest `guest`, which `config` describes.
    pub(crate) fn add(&mut self, own: &mut Own, guest: usize, config: &DomainConfig) -> StoreEnd {
        let header = own.zeroed(HEADER_SIZE / 4);
        let data = own.zeroed(REGION_SIZE - HEADER_SIZE);
        let region = Region::new(header, data).expect("the lengths are the geometry's own");
        let facts = config.store_facts();
        self.server
            .add(guest, facts, region.server().expect("likewise"));
        region.client(STORE_RING[guest]).expect("likewise")
    }

    /// Its log is `log`.
    pub(crate) fn set_log(&mut self, log: ServerLog) {
        self.log = Some(log);
    }

    /// The console has notified the store.
    pub(crate) fn on_console(&mut self) {
        if let Some(log) = &mut self.log {
            self.server.on_console(log.logger());
            ring_itself();
        }
    }

    /// Does a little of what there is to do; where there is more, it rings itself.
    pub(crate) fn turn(&mut self) -> Turn {
        let mut bells = take_store_bells();
        while bells != 0 {
            // That of the store itself is no guest's.
            self.server.on_guest(bells.trailing_zeros() as usize);
            bells &= bells - 1;
        }
        let turn = self.server.turn(cpu::now());
        if turn.more {
            ring_itself();
        }
        turn
    }
}
