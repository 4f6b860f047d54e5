//! The net server.

use std::rc::Rc;
use std::sync::atomic::AtomicU32;

use guest_mem::VecWindow;
use hv_types::WindowAddr;
use net_server::{Counters, Server};
use net_server_api::{Client, DATA_SIZE, HEADER_SIZE, Region};

use crate::FREQUENCY;
use crate::bus::{Bus, NETS};
use crate::domains::Domain;

/// A VMM's end of its network interfaces.
pub(crate) type Nets = Client<'static, &'static VecWindow, Box<dyn FnMut()>>;

/// Turns that may follow from one notification; more means that it never comes to rest.
const MOST_TURNS: usize = 10_000;

/// The server.
pub(crate) struct Switch {
    server: Box<Server<'static, &'static VecWindow>>,
    guests: Vec<Option<Region<'static>>>,
    /// It has stopped.
    crashed: bool,
}

impl Switch {
    /// The server of these domains, and the ends of their VMMs.
    pub(crate) fn new(bus: &Rc<Bus>, domains: &[Domain]) -> (Self, Vec<Option<Nets>>) {
        let mut switch = Self {
            server: Box::new(Server::new()),
            guests: Vec::new(),
            crashed: false,
        };
        switch.server.set_frequency(FREQUENCY);
        let ends = domains.iter().enumerate();
        let ends = ends.map(|(guest, domain)| switch.add(bus, guest, domain));
        let ends = ends.collect();
        (switch, ends)
    }

    fn add(&mut self, bus: &Rc<Bus>, guest: usize, domain: &Domain) -> Option<Nets> {
        self.guests.push(None);
        if domain.nics.is_empty() {
            return None;
        }
        let header: Vec<_> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
        let region = Region::new(header.leak()).expect("the region has its size");
        let data = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
        let data: &VecWindow = Box::leak(Box::new(data));
        self.guests[guest] = Some(region);
        let nics = domain.nics.iter().copied();
        self.server.add(guest, region.server(data)?, nics);
        let bus = bus.clone();
        region.client(data, Box::new(move || bus.notify_net()))
    }

    /// Notifications came.
    pub(crate) fn notified(&mut self, bus: &Bus) {
        if self.crashed {
            return;
        }
        for _ in 0..MOST_TURNS {
            let turn = self.server.turn(bus.now());
            (0..self.guests.len())
                .filter(|guest| turn.notify & 1 << guest != 0)
                .for_each(|guest| bus.notify_vmm(guest, NETS));
            if !turn.more {
                return;
            }
        }
        panic!("the net server does not come to rest");
    }

    /// What a port has counted.
    pub(crate) fn counters(&self, guest: usize, nic: usize) -> Counters {
        self.server.counters(guest, nic).expect("there is one")
    }

    /// It stops, and somebody says so.
    pub(crate) fn crash(&mut self, bus: &Bus) {
        self.crashed = true;
        for (guest, region) in self.guests.iter().enumerate() {
            if let Some(region) = region {
                region.mark_lost();
                bus.notify_vmm(guest, NETS);
            }
        }
    }
}
