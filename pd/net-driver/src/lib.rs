//! The protection domain of the driver of an uplink: its device can reach all memory, so there is
//! nothing else in it.
//!
//! A library, so that the boot tests' own can be this one until it crashes.
#![no_std]
#![deny(unsafe_code)]

mod device;

use guest_mem::RawWindow;
use net_driver::Driver;
use net_server_api::Client;
use topology::channel;
use virtio_net::Net;
use zazen_rt::event::poll;
use zazen_rt::patched;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, region};

use crate::device::Addresses;

const SERVER: Channel = Channel::new(channel::DRIVER_NET);
const IRQ: Channel = Channel::new(channel::IRQ);

/// The net server's end of the uplink, as the driver has it.
type Port = Client<'static, RawWindow, fn()>;

/// The protection domain.
pub struct Pd {
    /// `None`: there is no device.
    driver: Option<Driver<Port, Net<Addresses>>>,
}

fn notify_server() {
    SERVER.notify();
}

/// It at its start; called once.
pub fn init() -> Pd {
    let port = region::uplink_region().client(region::uplink_data(), notify_server as fn());
    let port = port.expect("the region has the geometry of its API");
    let device = device::take(patched::net_dma());
    let driver = device.map(|device| Driver::new(port, device));
    // Whether there is a device can be seen from now on.
    SERVER.notify();
    let mut pd = Pd { driver };
    pd.work(false);
    pd
}

impl Pd {
    /// Works until there is nothing to do, after the device's interrupt if that has come.
    fn work(&mut self, mut interrupted: bool) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        loop {
            if interrupted {
                driver.on_interrupt();
                // What comes from here on raises it again.
                let _ = IRQ.irq_ack();
            }
            if !driver.turn().more {
                return;
            }
            interrupted = poll().contains(channel::IRQ);
        }
    }
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        self.work(channels.contains(IRQ));
        Ok(())
    }
}
