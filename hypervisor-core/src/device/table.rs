//! The devices that there are, and which of them a guest has. A new device gets a line here.

use dt_server_api::{DomainRecord, GuestLayout};
use hv_types::{Gpa, VcpuId};

use super::backend::Inbox;
use super::bus::{Bus, Refused};
use super::console_io::ConsoleIo;
use super::model::{Device, Line, Region, Words, Written};
use super::pv_block::PvBlock;
use super::pv_console::PvConsole;
use super::pv_net::PvNet;
use super::vgic::VGic;
use super::vpl011::{Pv, Vpl011};
use super::xenstore::Xenstore;
use crate::evtchn::Service;
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;

/// Makes [`Id`], [`Devices`] and what is done with each device from the list of them. They are
/// looked for, work and drain in that order.
macro_rules! devices {
    ($($(#[$about:meta])* $field:ident, $id:ident: $device:ty;)*) => {
        /// A device, by name.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Id {
            $($(#[$about])* $id,)*
        }

        /// A guest's devices.
        #[derive(Debug)]
        pub struct Devices {
            $($(#[$about])* pub $field: $device,)*
            /// What the store says to back ends.
            pub inbox: Inbox,
            bus: Bus<Id>,
            /// Those that have been notified and have not worked since.
            notified: Set,
        }

        /// Every device with its words and, where it has registers, its place in a guest of this
        /// layout.
        pub fn places(layout: &GuestLayout) -> impl Iterator<Item = (Id, Words, Region)> + use<> {
            [$((Id::$id, <$device>::WORDS, <$device>::place(layout)),)*]
                .into_iter()
                .filter_map(|(id, words, place)| Some((id, words, place?)))
        }

        impl Set {
            /// Those of the guest that `record` describes.
            pub fn of(record: &DomainRecord) -> Self {
                let mut set = Self::NONE;
                $(if <$device>::is_in(record) {
                    set = set.with(Id::$id);
                })*
                set
            }
        }

        impl Devices {
            /// Those of the guest that `record` describes, at their places on `bus`.
            /// [`Devices::reset`] follows.
            pub fn new(record: &DomainRecord, bus: Bus<Id>) -> Self {
                Self {
                    $($field: <$device as Device>::new(record),)*
                    inbox: Inbox::new(),
                    bus,
                    notified: Set::NONE,
                }
            }

            /// Reads `size` bytes at byte `offset` of a device; `None` where it has no such
            /// register of that size.
            #[inline(always)]
            pub fn read<H: VcpuHost>(&mut self, id: Id, host: &mut H, offset: u32, size: u8) -> Option<u32> {
                match id {
                    $(Id::$id => {
                        let value = self.$field.read(host, offset, size);
                        self.settle(self.$field.line());
                        value
                    })*
                }
            }

            /// Writes the low `size` bytes of `value` at byte `offset` of a device; false where it
            /// has no such register of that size.
            #[inline(always)]
            pub fn write<H: VcpuHost>(
                &mut self,
                id: Id,
                host: &mut H,
                (offset, size): (u32, u8),
                value: u32,
            ) -> bool {
                let written = match id {
                    $(Id::$id => {
                        let written = self.$field.write(host, offset, size, value);
                        self.settle(self.$field.line());
                        written
                    })*
                };
                if written == Written::Notify {
                    self.notify(Set::CONSOLES);
                }
                written != Written::Refused
            }

            /// Lets all devices do what there is to do. `signal` gets the services whose event
            /// channels are to be signalled.
            #[inline(never)]
            pub fn work<H: Host>(&mut self, host: &mut H, mut signal: impl FnMut(&mut H, Service)) {
                self.notified = Set::NONE;
                self.share_input();
                $(
                    if let Some(service) = self.$field.work(host) {
                        signal(host, service);
                    }
                    self.settle(self.$field.line());
                )*
                $(self.$field.report(host);)*
            }

            /// Hands on what the guest, which has stopped, has written; returns whether that is
            /// all. Where it is not, the console's notification is the time to go on.
            pub fn drain<H: Host>(&mut self, host: &mut H) -> bool {
                let mut all = true;
                $(all &= self.$field.drain(host);)*
                all
            }

            /// The guest's life has ended; their pages go.
            pub fn end<H: Host>(&mut self, host: &mut H) {
                $(self.$field.end(host);)*
            }

            /// Brings all to the state in which a guest's life begins; their pages exist.
            pub fn reset<H: Host>(&mut self, host: &mut H) {
                self.notified = Set::NONE;
                self.inbox = Inbox::new();
                $(self.$field.reset(host);)*
            }
        }

        /// The bus of the guest that `record` describes.
        ///
        /// # Errors
        /// Two of its devices are at one address.
        pub fn bus(record: &DomainRecord) -> Result<Bus<Id>, Refused> {
            let mut bus = Bus::new();
            $(if <$device>::is_in(record) && let Some(region) = <$device>::place(&record.layout) {
                bus.add(Id::$id, <$device>::WORDS.name, region)?;
            })*
            Ok(bus)
        }
    };
}

devices! {
    /// The interrupt controller.
    gic, Gic: VGic;
    /// The PV console, where the domain has PV features.
    pv_console, PvConsole: Option<PvConsole>;
    /// The SBSA UART, where the domain has one.
    vpl011, Vpl011: Option<Vpl011>;
    /// The emergency console of console_io.
    console_io, ConsoleIo: ConsoleIo;
    /// The xenstore ring, where the domain has one.
    xenstore, Xenstore: Option<Xenstore>;
    /// The back end of its disks, which has more to look at than the others: [`PvBlock::serve`].
    pv_block, PvBlock: PvBlock;
    /// The back end of its network interfaces, likewise: [`PvNet::serve`].
    pv_net, PvNet: PvNet;
}

/// Some devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Set(u8);

impl Set {
    /// None.
    pub const NONE: Self = Self(0);
    /// The two that share the guest's stream of the console server.
    pub const CONSOLES: Self = Self::NONE.with(Id::PvConsole).with(Id::Vpl011);
    /// The xenstore ring.
    pub const XENSTORE: Self = Self::NONE.with(Id::Xenstore);

    /// The disks' back end.
    pub const DISKS: Self = Self::NONE.with(Id::PvBlock);
    /// The network interfaces' back end.
    pub const NICS: Self = Self::NONE.with(Id::PvNet);

    /// These and another one.
    #[must_use]
    pub const fn with(self, id: Id) -> Self {
        Self(self.0 | 1 << id as u8)
    }

    /// Whether it is among them.
    pub const fn contains(self, id: Id) -> bool {
        self.0 & 1 << id as u8 != 0
    }
}

impl Devices {
    /// The device at `gpa`, and the offset in its region.
    #[inline(always)]
    pub fn find(&self, gpa: Gpa) -> Option<(Id, u32)> {
        self.bus.find(gpa)
    }

    /// These devices have something to do before the guest runs on.
    #[inline]
    pub const fn notify(&mut self, devices: Set) {
        self.notified = Set(self.notified.0 | devices.0);
    }

    /// Whether one of them has something to do.
    #[inline]
    pub fn have_work(&self) -> bool {
        self.notified != Set::NONE
    }

    /// Whether this device has something to do.
    pub const fn is_notified(&self, id: Id) -> bool {
        self.notified.contains(id)
    }

    /// The guest has sent an event to `service`.
    pub const fn serve(&mut self, service: Service) {
        match service {
            Service::Console => {
                self.notify(Set::CONSOLES);
                if let Some(uart) = &mut self.vpl011 {
                    uart.set_pv(Pv::Used);
                }
            }
            Service::Store => self.notify(Set::XENSTORE),
            Service::Disks => self.notify(Set::DISKS),
            Service::Nics => self.notify(Set::NICS),
        }
    }

    /// The consoles share one stream of input: says which of them takes it now.
    fn share_input(&mut self) {
        let input = self.vpl011.as_ref().is_none_or(Vpl011::leaves_input);
        if let Some(console) = &mut self.pv_console {
            console.take_input(input);
        }
    }

    /// A device's line goes to the interrupt controller.
    #[inline(always)]
    fn settle(&mut self, line: Option<Line>) {
        if let Some(Line { intid, high }) = line {
            // It is a shared one: it is no vCPU's own.
            self.gic.set_level(VcpuId::BOOT, intid, high);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::fake::{FakeHost, record};

    fn devices(vpl011: bool) -> Devices {
        let record = DomainRecord { vpl011, ..record() };
        let bus = bus(&record).expect("Xen's layout");
        Devices::new(&record, bus)
    }

    #[test]
    fn a_guest_has_the_devices_that_its_record_names() {
        let layout = record().layout;
        let (with, without) = (devices(true), devices(false));
        assert_eq!(with.find(layout.gicd), Some((Id::Gic, 0)));
        assert_eq!(with.find(layout.vpl011), Some((Id::Vpl011, 0)));
        assert_eq!(without.find(layout.vpl011), None);
        assert_eq!(with.find(layout.gicc), None, "it is the hardware's");
        let present = Set::of(&record());
        assert!(present.contains(Id::PvConsole) && !present.contains(Id::Vpl011));
    }

    #[test]
    fn two_devices_at_one_address_are_refused_by_name() {
        let mut record = record();
        record.vpl011 = true;
        record.layout.vpl011 = record.layout.gicd;
        let refused = bus(&record).expect_err("both are there");
        assert_eq!(
            refused.to_string(),
            "the UART (vpl011) lies where the GIC distributor (GICD) is"
        );
    }

    #[test]
    fn an_access_ends_with_the_devices_line_at_the_controller() {
        let mut host = FakeHost::new(0x1000);
        let mut devices = devices(true);
        let intid = record().layout.vpl011_intid;
        // IMSC: the receive timeout interrupt, for which there is something.
        host.console.input.push_back(b'x');
        assert!(devices.write(Id::Vpl011, &mut host, (0x38, 4), 1 << 6));
        assert!(devices.gic.level(VcpuId::BOOT, intid));
        assert_eq!(devices.read(Id::Vpl011, &mut host, 0, 4), Some(b'x'.into()));
        assert!(!devices.gic.level(VcpuId::BOOT, intid));
        assert!(!devices.have_work(), "it is open");
        assert!(devices.write(Id::Vpl011, &mut host, (0x38, 4), 0));
        assert!(
            devices.have_work(),
            "closed, it leaves what waits to the PV console"
        );
        devices.reset(&mut host);
        assert!(!devices.have_work());
        assert_eq!(devices.read(Id::Vpl011, &mut host, 0x38, 8), None);
    }
}
