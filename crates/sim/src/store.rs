//! The xenstore server.

use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32};

use dt_server::Config;
use topology::channel;
use xenstore_server::{Cell, Server, cells};
use xenstore_server_api::{HEADER_SIZE, REGION_SIZE, Region};

use crate::bus::{Bus, FREQUENCY, STORE};
use crate::host::Store as End;

/// Turns that may follow from one notification; more means that it never comes to rest.
const MOST_TURNS: usize = 100_000;

pub(crate) struct Store {
    pub(crate) server: Box<Server<'static>>,
}

impl Store {
    /// The server of these domains, and the ends of their VMMs.
    pub(crate) fn new(bus: &Rc<Bus>, config: &Config) -> (Self, Vec<End>) {
        let count = config.domains.len();
        let memory = vec![Cell::EMPTY; cells(count)].leak();
        let mut server = Box::new(Server::new());
        server.begin(memory, FREQUENCY, count);
        let ends = config.domains.iter().enumerate().map(|(guest, domain)| {
            let region = region();
            let end = region.server().expect("the region has its size");
            server.add(guest, domain.store_facts(), end);
            let bus = bus.clone();
            let notify: Box<dyn FnMut()> = Box::new(move || bus.notify_store(guest));
            region.client(notify).expect("the region has its size")
        });
        let ends = ends.collect();
        (Self { server }, ends)
    }

    /// Notifications came, a bit for each channel.
    pub(crate) fn notified(&mut self, bus: &Bus, channels: u32) {
        (0..channel::STORE_TIMER)
            .filter(|guest| channels & 1 << guest != 0)
            .for_each(|guest| self.server.on_guest(guest));
        for _ in 0..MOST_TURNS {
            let turn = self.server.turn(bus.now());
            (0..32)
                .filter(|guest| turn.notify & 1 << guest != 0)
                .for_each(|guest| bus.notify_vmm(guest, STORE));
            if !turn.more {
                if turn.wake_at.is_some() {
                    bus.arm_store(turn.wake_at);
                }
                return;
            }
        }
        panic!("the store does not come to rest");
    }
}

fn region() -> Region<'static> {
    let header = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
    let data = (0..REGION_SIZE - HEADER_SIZE).map(|_| AtomicU8::new(0));
    let (header, data): (Vec<_>, Vec<_>) = (header.collect(), data.collect());
    Region::new(header.leak(), data.leak()).expect("the region has its size")
}
