//! The port table: what each port is bound to.

use hv_types::{DomId, Port, VcpuId};
use xen_abi::Errno;

/// Highest port that the table has room for.
pub(super) const MAX_PORT: u32 = 1023;
/// Ports with the reserved port 0.
const PORTS: usize = MAX_PORT as usize + 1;

/// Ports come into being by this many: a table has room for all up to the last one that was ever
/// bound (Xen's `EVTCHNS_PER_BUCKET` on Arm), and a guest can tell a free port from one without
/// room.
const GROWTH: u16 = 64;

/// Something in the hypervisor that a guest reaches through a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Service {
    /// The PV console.
    Console,
    /// The xenstore server.
    Store,
    /// The back end of the guest's disks. It has as many ports as the guest gives it
    /// ([`Binding::Backend`]).
    Disks,
    /// The back end of its network interfaces, likewise.
    Nics,
}

impl Service {
    /// How many there are.
    pub(super) const COUNT: usize = 4;
}

/// What a port is bound to (Xen's `ECS_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Binding {
    /// Nothing.
    Free,
    /// Waits for `remote` to bind to it.
    Unbound {
        /// Who may.
        remote: DomId,
    },
    /// Connected to another port.
    Interdomain {
        /// Whose port: always the domain itself.
        remote: DomId,
        /// Its number.
        port: u16,
    },
    /// A virtual interrupt.
    Virq(u8),
    /// Between vCPUs of the domain.
    Ipi,
    /// The hypervisor.
    Service(Service),
    /// A back end in the hypervisor, at a port that the guest has set aside for domain 0.
    Backend(Service),
    /// Another domain: the peer server knows which, and where.
    Foreign,
}

/// Where a send went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// To a port of this domain.
    Port {
        /// Whose upcall has been raised by it: its PPI 31 must go high.
        upcall: Option<VcpuId>,
    },
    /// To a service, which the caller must run.
    Service(Service),
    /// To wherever this port, a channel to another domain, ends.
    Foreign(u16),
    /// To nobody: the port is unbound, and the event dropped (as on Xen).
    Nobody,
}

/// One port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) binding: Binding,
    /// vCPU that it notifies.
    pub(super) vcpu: VcpuId,
}

impl Channel {
    const FREE: Self = Self {
        binding: Binding::Free,
        vcpu: VcpuId::BOOT,
    };
}

/// All ports.
#[derive(Clone, Debug)]
pub(super) struct Table {
    max_port: u16,
    /// How many ports have room, port 0 included; a multiple of [`GROWTH`].
    room: u16,
    channels: [Channel; PORTS],
    /// A bit for each port in use, so that the lowest free one is found without a scan.
    used: [u64; PORTS / 64],
}

impl Table {
    pub(super) const fn new(max_port: u32) -> Self {
        let mut used = [0; PORTS / 64];
        used[0] = 1;
        #[expect(clippy::cast_possible_truncation, reason = "at most 1023")]
        let max_port = (if max_port > MAX_PORT {
            MAX_PORT
        } else {
            max_port
        }) as u16;
        Self {
            max_port,
            room: GROWTH,
            channels: [Channel::FREE; PORTS],
            used,
        }
    }

    /// `port` as an index, if a port of that number can exist.
    pub(super) const fn index(&self, port: Port) -> Option<u16> {
        if port.0 == 0 || port.0 > self.max_port as u32 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most max_port")]
        Some(port.0 as u16)
    }

    /// Whether there is room for `port`: bound, free, or the reserved port 0.
    pub(super) const fn has_room(&self, port: Port) -> bool {
        port.0 < self.room as u32
    }

    pub(super) fn get(&self, port: u16) -> Channel {
        self.channels
            .get(usize::from(port))
            .copied()
            .unwrap_or(Channel::FREE)
    }

    /// The lowest free port.
    fn lowest_free(&self) -> Option<u16> {
        let (word, bits) = self
            .used
            .iter()
            .enumerate()
            .find(|(_, bits)| **bits != u64::MAX)?;
        let port = 64 * word + bits.trailing_ones() as usize;
        u16::try_from(port)
            .ok()
            .filter(|port| *port <= self.max_port)
    }

    pub(super) fn is_full(&self) -> bool {
        self.lowest_free().is_none()
    }

    /// Binds the lowest free port, which notifies vCPU 0.
    pub(super) fn alloc(&mut self, binding: Binding) -> Result<u16, Errno> {
        let port = self.lowest_free().ok_or(Errno::Enospc)?;
        self.claim(port, binding);
        Ok(port)
    }

    /// Binds `port`, which notifies vCPU 0; false where it is bound already or cannot exist.
    pub(super) fn claim(&mut self, port: u16, binding: Binding) -> bool {
        let bit = 1 << (port % 64);
        let Some(bits) = self.used.get_mut(usize::from(port / 64)) else {
            return false;
        };
        if port > self.max_port || *bits & bit != 0 {
            return false;
        }
        *bits |= bit;
        // At most 1023, so the next multiple fits.
        self.room = self.room.max((port / GROWTH + 1) * GROWTH);
        let vcpu = VcpuId::BOOT;
        self.set(port, Channel { binding, vcpu });
        true
    }

    /// Frees `port`; port 0 stays reserved.
    pub(super) fn free(&mut self, port: u16) {
        if port != 0 {
            self.set(port, Channel::FREE);
            if let Some(bits) = self.used.get_mut(usize::from(port / 64)) {
                *bits &= !(1 << (port % 64));
            }
        }
    }

    /// Changes what a port in use is.
    pub(super) fn set(&mut self, port: u16, channel: Channel) {
        if let Some(place) = self.channels.get_mut(usize::from(port)) {
            *place = channel;
        }
    }

    /// Ports in use but 0, ascending.
    pub(super) fn in_use(&self) -> impl Iterator<Item = u16> + use<> {
        let used = self.used;
        (1..=self.max_port)
            .filter(move |port| used[usize::from(port / 64)] & (1 << (port % 64)) != 0)
    }
}
