//! The server's end.

use guest_mem::Window;
use heapless::Vec;

use crate::MAX_NICS;
use crate::queue::{Receiver, Sender};
use crate::region::{Region, Way};

/// One VMM's interfaces, as the server has them.
#[derive(Debug)]
pub struct ServerEnd<'a, D> {
    region: Region<'a>,
    receives: Vec<Receiver<'a>, MAX_NICS>,
    sends: Vec<Sender<'a>, MAX_NICS>,
    data: D,
}

impl<'a, D> ServerEnd<'a, D> {
    pub(crate) fn new(region: Region<'a>, data: D) -> Option<Self> {
        Some(Self {
            receives: region.receivers(Way::ToServer)?,
            sends: region.senders(Way::ToVmm)?,
            region,
            data,
        })
    }

    /// Interface `nic` is in a network from now on. The VMM is to be notified.
    pub fn set_present(&mut self, nic: usize) {
        self.region.set_present(nic);
    }

    /// Whether the guest uses interface `nic`.
    pub fn is_open(&self, nic: usize) -> bool {
        self.region.is_open(nic)
    }

    /// The server stops for good. The VMM is to be notified.
    pub fn leave(&mut self) {
        self.region.mark_lost();
    }

    /// Whether the VMM may sleep and has to be notified now: there are frames, or room.
    pub fn take_notify(&mut self) -> bool {
        let mut wanted = false;
        for sender in &mut self.sends {
            wanted |= sender.take_notify();
        }
        for receiver in &mut self.receives {
            wanted |= receiver.take_starved();
        }
        wanted
    }
}

impl<'a, D: Window> ServerEnd<'a, D> {
    /// The data area.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// Frames that interface `nic` sends.
    pub fn sent(&mut self, nic: usize) -> Option<&mut Receiver<'a>> {
        self.receives.get_mut(nic)
    }

    /// The way to interface `nic`, and the data area.
    pub fn to(&mut self, nic: usize) -> Option<(&mut Sender<'a>, &D)> {
        Some((self.sends.get_mut(nic)?, &self.data))
    }
}
