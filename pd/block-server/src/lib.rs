//! The block server's protection domain: no device, and nothing that one could reach memory by.
//!
//! A library, so that the boot tests' own can be this one until it crashes.
#![no_std]
#![forbid(unsafe_code)]

use block_server::{Driven, Drives, Server};
use block_server_api::{Client, DiskPort as _, SECTOR};
use guest_mem::RawWindow;
use static_cell::ConstStaticCell;
use topology::channel;
use zazen_rt::event::{notify_each, poll};
use zazen_rt::log::ServerLog;
use zazen_rt::patched;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, region};

/// Some tens of KiB, so it lives here and not on the stack.
static SERVER: ConstStaticCell<Server<'static>> = ConstStaticCell::new(Server::new());

const DRIVER: Channel = Channel::new(channel::BLOCK_DRIVER);

/// The way to the driver; there may be none, and then none of its devices is asked for.
type Port = Option<Client<'static, RawWindow, fn()>>;

/// The protection domain.
pub struct Pd {
    server: &'static mut Server<'static>,
    drives: Drives<RawWindow, Driven<Port>>,
    log: ServerLog,
    /// It was said that there is no device.
    told: bool,
}

/// It at its start; called once.
pub fn init() -> Pd {
    let server = SERVER.take();
    let (devices, files) = patched::disk_devices();
    let port = (devices > 0)
        .then(|| region::driver_region().client(region::disk_buffer(), notify_driver as fn()))
        .flatten();
    let devices = usize::try_from(devices).unwrap_or(0);
    let mut drives = Drives::new(Driven::new(port, devices), region::disk_buffer());
    for (number, &bytes) in files.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
        drives.add_ram(region::ram_disk(number, bytes), bytes / u64::from(SECTOR));
    }
    for (guest, domain) in patched::disk_domains().iter().enumerate() {
        let disks = domain.disks();
        if !disks.is_empty()
            && let Some(end) = region::disks_region(guest).server()
        {
            drives.set_area(guest, region::disk_data(guest));
            server.add(guest, end, disks);
        }
    }
    let mut pd = Pd {
        server,
        drives,
        log: ServerLog::take(),
        told: false,
    };
    pd.work();
    pd
}

fn notify_driver() {
    DRIVER.notify();
}

impl Pd {
    fn take(&mut self, id: usize) {
        let port = self.drives.hardware().port();
        match id {
            channel::BLOCK_DRIVER_LOST => {
                if let Some(port) = port {
                    port.lose();
                }
                // The fault server says why.
                self.told = true;
            }
            channel::BLOCK_DRIVER if port.is_lost() && !self.told => {
                self.told = true;
                let line = "there is no disk where the board has one";
                self.log.line(format_args!("{line}"));
            }
            // A turn looks at everybody.
            _ => {}
        }
    }

    /// Works until there is nothing to do. Each turn also takes new notifications, so a guest that
    /// always has more delays no other.
    fn work(&mut self) {
        loop {
            let turn = self.server.turn(&mut self.drives);
            // VMM `i` is channel `i`.
            notify_each(turn.notify.into());
            while let Some(notice) = self.server.take_notice() {
                let name = |guest: usize| {
                    let domain = patched::disk_domains().get(guest);
                    domain.map_or("?", |domain| domain.name())
                };
                self.log.line(format_args!("{}", notice.with(&name)));
            }
            if !turn.more {
                return;
            }
            poll().iter().for_each(|id| self.take(id));
        }
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
