//! Turns: frames in, frames out.

use guest_mem::Window;
use hv_types::WindowAddr;
use net_server_api::{Checksum, Frame, MIN_FRAME, NetPort, Offload, QUEUE_LEN, UPLINK_FRAME};

/// Its only interface.
const NIC: u8 = 0;

/// A device; nothing here waits.
pub trait Device {
    /// Gives the next frame that has come to `take`, which says `false` if it is to stay; whether
    /// it was taken.
    fn receive(&mut self, take: impl FnOnce(&[u8], Checksum) -> bool) -> bool;
    /// Sends a frame of `len` bytes, from [`MIN_FRAME`] to [`UPLINK_FRAME`], which `fill` writes.
    /// `false` where there is no room; the device's interrupt comes when there is some.
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool;
    /// Lets it begin with what it was given.
    fn kick(&mut self);
    /// Its interrupt has come: it may raise it again.
    fn acknowledge(&mut self);
}

/// What a turn has left to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Turn {
    /// There is more to do now.
    pub more: bool,
}

/// What the driver has counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Frames from outside that it passed on.
    pub received: u64,
    /// Frames that it gave to the device.
    pub sent: u64,
    /// What came from outside and is no frame, too short or too long.
    pub refused: u64,
    /// What the net server sent and the device cannot carry.
    pub malformed: u64,
}

/// The driver of one device, which is interface 0 of `port`.
#[derive(Debug)]
pub struct Driver<P, D> {
    port: P,
    device: D,
    counters: Counters,
}

impl<P: NetPort, D: Device> Driver<P, D> {
    /// Says to the net server, which is to be notified, that there is a device.
    pub fn new(mut port: P, device: D) -> Self {
        port.set_open(NIC, true);
        Self {
            port,
            device,
            counters: Counters::default(),
        }
    }

    /// The device's interrupt has come.
    pub fn on_interrupt(&mut self) {
        self.device.acknowledge();
    }

    /// What it has counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Does what there is to do, a bounded part of it, and notifies the net server.
    pub fn turn(&mut self) -> Turn {
        let mut turn = Turn::default();
        // No more wait than a queue holds.
        turn.more |= (0..QUEUE_LEN).all(|_| self.receive());
        turn.more |= (0..QUEUE_LEN).all(|_| self.send());
        self.device.kick();
        self.port.kick();
        turn
    }

    /// Passes on the next frame that has come; `false` where there is none or no room for it.
    fn receive(&mut self) -> bool {
        let Self {
            port,
            device,
            counters,
        } = self;
        device.receive(|frame, checksum| {
            let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            if !(MIN_FRAME..=UPLINK_FRAME).contains(&len) {
                counters.refused = counters.refused.saturating_add(1);
                return true;
            }
            // Where there is no room the device keeps it, and drops what is too much.
            let Some(at) = port.reserve(NIC, len) else {
                return false;
            };
            let Some(data) = port.data() else {
                return false;
            };
            data.write(WindowAddr::new(at.into()), frame);
            let offload = Offload {
                checksum,
                gso: None,
            };
            if port.send(NIC, len, offload) {
                counters.received = counters.received.saturating_add(1);
            }
            true
        })
    }

    /// Gives the next frame of the net server to the device; `false` where there is none or no
    /// room.
    fn send(&mut self) -> bool {
        let Self {
            port,
            device,
            counters,
        } = self;
        let frame = match port.peek(NIC) {
            Some(Ok(frame)) if is_complete(&frame) => frame,
            Some(_) => {
                counters.malformed = counters.malformed.saturating_add(1);
                port.advance(NIC);
                return true;
            }
            None => return false,
        };
        let (Some(data), Ok(len)) = (port.data(), usize::try_from(frame.len)) else {
            return false;
        };
        let at = WindowAddr::new(frame.offset.into());
        if !device.send(len, |bytes| data.read(at, bytes)) {
            return false;
        }
        counters.sent = counters.sent.saturating_add(1);
        port.advance(NIC);
        true
    }
}

/// Whether nothing is left to be done with a frame that the device can carry.
fn is_complete(frame: &Frame) -> bool {
    let Offload { checksum, gso } = frame.offload;
    frame.len <= UPLINK_FRAME && gso.is_none() && checksum != Checksum::Blank
}
