//! The net server, called in place.
//!
//! # Soundness
//! Frames lie in memory that comes from [`Own`], which hands out each byte once; only windows reach
//! it, and they copy bytes.
#![expect(unsafe_code, reason = "memory that a VMM and the net server share")]

use alloc::vec::Vec;

use dt_server::Config;
use guest_mem::RawWindow;
use net_server::{PortSpec, Report, Server, Turn};
use net_server_api::{Client, DATA_SIZE, HEADER_SIZE, Region};

use crate::cpu;
use crate::log::ServerLog;
use crate::own::Own;
use crate::services::{ring_nets, take_net_bells};

/// A VMM's end of its network interfaces.
pub(crate) type NetEnd = Client<'static, RawWindow, fn()>;

/// The server, where a domain has an interface.
pub(crate) struct Nets {
    server: &'static mut Server<'static, RawWindow>,
    log: Option<ServerLog>,
    names: Vec<dt_server_api::DomainName>,
    report: Report,
}

impl Nets {
    /// The server of these domains; `None` where none has an interface.
    pub(crate) fn new(own: &mut Own, config: &Config) -> Option<Self> {
        if config.domains.iter().all(|domain| domain.nics.is_empty()) {
            return None;
        }
        let server = own.value(Server::new);
        server.set_frequency(cpu::frequency());
        let domains = config.domains.iter();
        Some(Self {
            server,
            log: None,
            names: domains.map(|domain| domain.record.name.clone()).collect(),
            report: Report::default(),
        })
    }

    /// From now on it can be heard.
    pub(crate) fn set_log(&mut self, log: ServerLog) {
        self.log = Some(log);
    }

    /// The console has something typed for it, or room.
    pub(crate) fn on_console(&mut self) {
        let names = &self.names;
        let name = |guest: usize| names.get(guest).map_or("?", |name| name.as_str());
        if let Some(log) = &mut self.log {
            self.report.on_console(self.server, &name, log.logger());
        }
    }

    /// Connects guest `guest` of `config`, if it has interfaces.
    pub(crate) fn add(&mut self, own: &mut Own, guest: usize, config: &Config) -> Option<NetEnd> {
        let domain = config.domains.get(guest)?;
        if domain.nics.is_empty() {
            return None;
        }
        let region = Region::new(own.zeroed(HEADER_SIZE / 4))?;
        let at = own.raw(DATA_SIZE as usize);
        // SAFETY: fresh memory; each of the two windows copies bytes.
        let (ours, theirs) = unsafe {
            (
                RawWindow::new(at, DATA_SIZE.into()),
                RawWindow::new(at, DATA_SIZE.into()),
            )
        };
        let nics = config.nics_of(domain);
        let nics = nics.map(|(network, mac)| PortSpec { network, mac });
        self.server.add(guest, region.server(ours)?, nics);
        region.client(theirs, ring_nets)
    }

    /// Does a little of what there is to do; where there is more, it rings itself.
    pub(crate) fn turn(&mut self) -> Turn {
        take_net_bells();
        let turn = self.server.turn(cpu::now());
        while let Some(notice) = self.server.take_notice() {
            let names = &self.names;
            let name = |guest: usize| names.get(guest).map_or("?", |name| name.as_str());
            if let Some(log) = &mut self.log {
                log.line(format_args!("{}", notice.with(&name)));
            }
        }
        if turn.more {
            ring_nets();
        }
        turn
    }
}
