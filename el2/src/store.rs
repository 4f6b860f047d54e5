//! The xenstore server.

use dt_server::{Config, DomainConfig};
use dt_server_api::Bank;
use xenstore_server::{Cell, Facts, Server, Turn, cells};
use xenstore_server_api::{Client, HEADER_SIZE, REGION_SIZE, Region};

use crate::cpu;
use crate::own::Own;
use crate::services::{STORE_RING, ring_itself, take_store_bells};

/// A guest's end of its connection.
pub(crate) type StoreEnd = Client<'static, fn()>;

/// The server.
pub(crate) struct Store(&'static mut Server<'static>);

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
        Self(server)
    }

    /// Connects guest `guest`, which `config` describes.
    pub(crate) fn add(&mut self, own: &mut Own, guest: usize, config: &DomainConfig) -> StoreEnd {
        let header = own.zeroed(HEADER_SIZE / 4);
        let data = own.zeroed(REGION_SIZE - HEADER_SIZE);
        let region = Region::new(header, data).expect("the lengths are the geometry's own");
        let record = &config.record;
        let kib = |banks: &[Bank]| banks.iter().map(Bank::size).sum::<u64>() >> 10;
        let facts = Facts {
            name: record.name.clone(),
            vcpus: record.vcpus,
            memory_kib: kib(&record.banks),
            most_kib: kib(&record.max_banks),
        };
        self.0.add(guest, facts, region.server().expect("likewise"));
        region.client(STORE_RING[guest]).expect("likewise")
    }

    /// Does a little of what there is to do; where there is more, it rings itself.
    pub(crate) fn turn(&mut self) -> Turn {
        let mut bells = take_store_bells();
        while bells != 0 {
            // That of the store itself is no guest's.
            self.0.on_guest(bells.trailing_zeros() as usize);
            bells &= bells - 1;
        }
        let turn = self.0.turn(cpu::now());
        if turn.more {
            ring_itself();
        }
        turn
    }
}
