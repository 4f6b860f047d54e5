//! The net server's protection domain: no device, and nothing that one could reach memory by.
//!
//! A library, so that the boot tests' own can be this one until it crashes.
#![no_std]
#![forbid(unsafe_code)]

use guest_mem::RawWindow;
use net_server::{Report, Server, UPLINK};
use static_cell::ConstStaticCell;
use topology::channel;
use zazen_rt::clock;
use zazen_rt::event::{notify_each, poll};
use zazen_rt::log::ServerLog;
use zazen_rt::patched;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, region};

/// Some tens of KiB, so it lives here and not on the stack.
static SERVER: ConstStaticCell<Server<'static, RawWindow>> = ConstStaticCell::new(Server::new());

const DRIVER: Channel = Channel::new(channel::NET_DRIVER);

/// The protection domain.
pub struct Pd {
    server: &'static mut Server<'static, RawWindow>,
    log: ServerLog,
    report: Report,
    /// It was said that there is no device.
    told: bool,
}

/// The name of guest `guest`, or of the uplink.
fn name(guest: usize) -> &'static str {
    let domain = patched::net_domains().get(guest);
    domain.map_or("uplink", |domain| domain.name())
}

/// It at its start; called once.
pub fn init() -> Pd {
    let server = SERVER.take();
    server.set_frequency(clock::frequency());
    for (guest, domain) in patched::net_domains().iter().enumerate() {
        let nics = domain.nics();
        if !nics.is_empty()
            && let Some(end) = region::nets_region(guest).server(region::net_data(guest))
        {
            server.add(guest, end, nics);
        }
    }
    if let Some(network) = patched::net_uplink()
        && let Some(end) = region::uplink_region().server(region::uplink_data())
    {
        server.set_uplink(end, network);
    }
    let mut pd = Pd {
        server,
        log: ServerLog::take(),
        report: Report::default(),
        told: false,
    };
    // VMMs that looked before learn of their interfaces.
    let guests = patched::net_domains().iter().enumerate();
    let there = guests.filter(|(_, domain)| !domain.nics().is_empty());
    notify_each(there.fold(0, |bits, (guest, _)| bits | 1 << guest));
    pd.work();
    pd
}

impl Pd {
    fn take(&mut self, id: usize) {
        match id {
            channel::NET_DRIVER_LOST => {
                self.server.lose_uplink();
                // The fault server says why.
                self.told = true;
            }
            channel::NET_DRIVER if !self.server.has_uplink() && !self.told => {
                self.told = true;
                let line = "there is no network device where the board has one";
                self.log.line(format_args!("{line}"));
            }
            channel::SERVER_CONSOLE => self.on_console(),
            // A turn looks at everybody else.
            _ => {}
        }
    }

    /// Works until there is nothing to do. Each turn also takes new notifications, so a guest that
    /// always has more delays no other.
    fn work(&mut self) {
        loop {
            let turn = self.server.turn(clock::now());
            // VMM `i` is channel `i`.
            let vmms = turn.notify & !(1 << UPLINK);
            notify_each(vmms.into());
            if turn.notify != vmms {
                DRIVER.notify();
            }
            while let Some(notice) = self.server.take_notice() {
                self.log.line(format_args!("{}", notice.with(&name)));
            }
            if !turn.more {
                return;
            }
            poll().iter().for_each(|id| self.take(id));
        }
    }

    fn on_console(&mut self) {
        self.report
            .on_console(self.server, &name, self.log.logger());
    }
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        channels
            .iter()
            .for_each(|channel| self.take(channel.index()));
        self.work();
        Ok(())
    }
}
