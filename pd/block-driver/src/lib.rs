//! The block driver's protection domain: its device can reach all memory, so there is nothing else
//! in it.
//!
//! A library, so that the boot tests' own can be this one until it crashes.
#![no_std]
#![deny(unsafe_code)]

mod device;

use block_driver::Driver;
use topology::channel;
use zazen_rt::event::poll;
use zazen_rt::patched;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, region};

use crate::device::Virtio;

const SERVER: Channel = Channel::new(channel::DRIVER_BLOCK);
const IRQ: Channel = Channel::new(channel::IRQ);

/// The protection domain.
pub struct Pd {
    /// `None`: there is no device.
    driver: Option<Driver<'static, Virtio>>,
}

/// It at its start; called once.
pub fn init() -> Pd {
    let (areas, own) = patched::disk_areas();
    let end = region::driver_region().driver();
    let mut end = end.expect("the region has the geometry of its API");
    let driver = match Virtio::take(own, &areas) {
        Some(device) => Some(Driver::new(end, device, areas)),
        None => {
            end.leave();
            None
        }
    };
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
                // What ends from here on raises it again.
                let _ = IRQ.irq_ack();
            }
            let turn = driver.turn();
            if turn.notify {
                SERVER.notify();
            }
            if !turn.more {
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
