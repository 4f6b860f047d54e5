//! The VMM's end.

use guest_mem::Window;
use heapless::Vec;

use crate::MAX_NICS;
use crate::frame::{Frame, Malformed, Offload};
use crate::queue::{Receiver, Sender};
use crate::region::{Region, Way};

/// Interfaces as the hypervisor core uses them; never blocks.
pub trait NetPort {
    /// The data area: window address 0 is its first byte, and it is [`crate::DATA_SIZE`] long.
    type Data: Window;

    /// The data area; `None` where there are no interfaces.
    fn data(&self) -> Option<&Self::Data>;
    /// Whether interface `nic` is in a network.
    fn is_present(&self, nic: u8) -> bool;
    /// Whether there is no server any more.
    fn is_lost(&self) -> bool;
    /// The guest uses interface `nic`, or does not: then nothing need be brought to it.
    fn set_open(&mut self, nic: u8, open: bool);
    /// Where in the data area a frame of `len` bytes can be written; `None` where there is no room.
    /// Then the server notifies when there is some.
    fn reserve(&mut self, nic: u8, len: u32) -> Option<u32>;
    /// Sends the frame that was written there; whether that was done.
    fn send(&mut self, nic: u8, len: u32, offload: Offload) -> bool;
    /// The next frame to interface `nic`, which stays until [`NetPort::advance`].
    ///
    /// # Errors
    /// [`Malformed`]; it is to be passed by.
    fn peek(&self, nic: u8) -> Option<Result<Frame, Malformed>>;
    /// Takes it; its bytes are the server's again.
    fn advance(&mut self, nic: u8);
    /// Has the server look at what was sent or taken, where it may sleep.
    fn kick(&mut self);
}

/// A VMM's interfaces: a [`NetPort`] over a [`Region`].
#[derive(Debug)]
pub struct Client<'a, D, F: FnMut()> {
    region: Region<'a>,
    sends: Vec<Sender<'a>, MAX_NICS>,
    receives: Vec<Receiver<'a>, MAX_NICS>,
    data: D,
    notify: F,
    lost: bool,
}

impl<'a, D, F: FnMut()> Client<'a, D, F> {
    pub(crate) fn new(region: Region<'a>, data: D, notify: F) -> Option<Self> {
        Some(Self {
            sends: region.senders(Way::ToServer)?,
            receives: region.receivers(Way::ToVmm)?,
            region,
            data,
            notify,
            lost: false,
        })
    }

    /// Somebody who knows says that there is no server any more.
    pub fn lose(&mut self) {
        self.lost = true;
    }
}

impl<D: Window, F: FnMut()> NetPort for Client<'_, D, F> {
    type Data = D;

    fn data(&self) -> Option<&D> {
        Some(&self.data)
    }

    fn is_present(&self, nic: u8) -> bool {
        self.region.is_present(nic.into())
    }

    fn is_lost(&self) -> bool {
        self.lost || self.region.is_lost()
    }

    fn set_open(&mut self, nic: u8, open: bool) {
        self.region.set_open(nic.into(), open);
    }

    fn reserve(&mut self, nic: u8, len: u32) -> Option<u32> {
        self.sends.get_mut(usize::from(nic))?.reserve(len)
    }

    fn send(&mut self, nic: u8, len: u32, offload: Offload) -> bool {
        let sender = self.sends.get_mut(usize::from(nic));
        sender.is_some_and(|sender| sender.send(len, offload))
    }

    fn peek(&self, nic: u8) -> Option<Result<Frame, Malformed>> {
        if self.is_lost() {
            return None;
        }
        self.receives.get(usize::from(nic))?.peek()
    }

    fn advance(&mut self, nic: u8) {
        if let Some(receiver) = self.receives.get_mut(usize::from(nic)) {
            receiver.advance();
        }
    }

    fn kick(&mut self) {
        let mut wanted = false;
        for sender in &mut self.sends {
            wanted |= sender.take_notify();
        }
        for receiver in &mut self.receives {
            wanted |= receiver.take_starved();
        }
        if wanted {
            (self.notify)();
        }
    }
}

/// A guest may have no interfaces.
impl<P: NetPort> NetPort for Option<P> {
    type Data = P::Data;

    fn data(&self) -> Option<&P::Data> {
        self.as_ref()?.data()
    }
    fn is_present(&self, nic: u8) -> bool {
        self.as_ref().is_some_and(|port| port.is_present(nic))
    }
    fn is_lost(&self) -> bool {
        self.as_ref().is_some_and(P::is_lost)
    }
    fn set_open(&mut self, nic: u8, open: bool) {
        if let Some(port) = self {
            port.set_open(nic, open);
        }
    }
    fn reserve(&mut self, nic: u8, len: u32) -> Option<u32> {
        self.as_mut()?.reserve(nic, len)
    }
    fn send(&mut self, nic: u8, len: u32, offload: Offload) -> bool {
        let port = self.as_mut();
        port.is_some_and(|port| port.send(nic, len, offload))
    }
    fn peek(&self, nic: u8) -> Option<Result<Frame, Malformed>> {
        self.as_ref()?.peek(nic)
    }
    fn advance(&mut self, nic: u8) {
        if let Some(port) = self {
            port.advance(nic);
        }
    }
    fn kick(&mut self) {
        if let Some(port) = self {
            port.kick();
        }
    }
}
