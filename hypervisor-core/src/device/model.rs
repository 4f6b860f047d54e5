//! What a device is to the guest and to the rest of the core.

use dt_server_api::{DomainRecord, GuestLayout};
use hv_types::Gpa;

use crate::evtchn::Service;
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;

/// Where a device answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First address.
    pub start: Gpa,
    /// Bytes, not 0.
    pub size: u32,
}

/// An interrupt line of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Its INTID at the guest's interrupt controller.
    pub intid: u16,
    /// Its level.
    pub high: bool,
}

/// What a device is called, and what to say where it does not do what the guest wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Words {
    /// Its name.
    pub name: &'static str,
    /// What to try after an access in its region that it refused.
    pub refuses: &'static str,
    /// The name of its place in a guest that has none, and what to try after an access there.
    pub absent: (&'static str, &'static str),
}

/// What became of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Written {
    /// There is no such register of that size: the guest gets a data abort.
    Refused,
    /// It is done.
    Done,
    /// It is done, and devices that share something with this one have to look at it.
    Notify,
}

/// A device of a guest.
///
/// It has registers ([`Device::place`]), or is a page that it shares with the guest, or both.
pub trait Device: Sized {
    /// What it is called.
    const WORDS: Words;

    /// Whether the guest that `record` describes has it.
    fn is_in(record: &DomainRecord) -> bool {
        let _ = record;
        true
    }

    /// The device of the guest that `record` describes. [`Device::reset`] follows before the guest
    /// runs.
    fn new(record: &DomainRecord) -> Self;

    /// Where its registers are in a guest of this layout; none for a device without registers.
    fn place(layout: &GuestLayout) -> Option<Region> {
        let _ = layout;
        None
    }

    /// Reads `size` bytes (1, 2, 4 or 8) of the register at byte `offset`; `None` where there is
    /// none of that size, for which the guest gets a data abort.
    fn read<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8) -> Option<u32> {
        let _ = (host, offset, size);
        None
    }

    /// Writes the low `size` bytes (1, 2, 4 or 8) of `value` to the register at byte `offset`.
    fn write<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8, value: u32) -> Written {
        let _ = (host, offset, size, value);
        Written::Refused
    }

    /// Its interrupt line, if it has one: looked at after each access and each [`Device::work`].
    fn line(&self) -> Option<Line> {
        None
    }

    /// Does what there is to do after a notification: somebody notified it, or the console server
    /// has input or room. Returns the service whose event channel is to be signalled.
    fn work<H: Host>(&mut self, host: &mut H) -> Option<Service> {
        let _ = host;
        None
    }

    /// Says in the log what [`Device::work`] found wrong with the guest's part of it.
    fn report<H: Host>(&mut self, host: &mut H) {
        let _ = host;
    }

    /// Hands on what the guest, which has stopped, has written; returns whether that is all.
    fn drain<H: Host>(&mut self, host: &mut H) -> bool {
        let _ = host;
        true
    }

    /// The guest's life has ended: whoever is to be told is told.
    fn end<H: Host>(&mut self, host: &mut H) {
        let _ = host;
    }

    /// Brings it to the state in which a guest's life begins, its pages included.
    fn reset<H: Host>(&mut self, host: &mut H);
}

/// A device that not every guest has.
impl<D: Device> Device for Option<D> {
    const WORDS: Words = D::WORDS;

    fn is_in(record: &DomainRecord) -> bool {
        D::is_in(record)
    }
    fn new(record: &DomainRecord) -> Self {
        D::is_in(record).then(|| D::new(record))
    }
    fn place(layout: &GuestLayout) -> Option<Region> {
        D::place(layout)
    }
    #[inline]
    fn read<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8) -> Option<u32> {
        self.as_mut()?.read(host, offset, size)
    }
    #[inline]
    fn write<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8, value: u32) -> Written {
        match self {
            Some(device) => device.write(host, offset, size, value),
            None => Written::Refused,
        }
    }
    #[inline]
    fn line(&self) -> Option<Line> {
        self.as_ref()?.line()
    }
    fn work<H: Host>(&mut self, host: &mut H) -> Option<Service> {
        self.as_mut()?.work(host)
    }
    fn report<H: Host>(&mut self, host: &mut H) {
        if let Some(device) = self {
            device.report(host);
        }
    }
    fn drain<H: Host>(&mut self, host: &mut H) -> bool {
        self.as_mut().is_none_or(|device| device.drain(host))
    }
    fn end<H: Host>(&mut self, host: &mut H) {
        if let Some(device) = self {
            device.end(host);
        }
    }
    fn reset<H: Host>(&mut self, host: &mut H) {
        if let Some(device) = self {
            device.reset(host);
        }
    }
}
