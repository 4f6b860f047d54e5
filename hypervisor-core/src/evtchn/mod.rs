//! Two-level event channels of one domain (xen/include/public/event_channel.h, requirements EV-1 to
//! EV-7).
//!
//! What the guest cannot see is here: what each port is bound to. What it shares with us lies in
//! its memory and is touched with single atomic operations, none of which repeats (EV-7): a pending
//! and a mask bit for each port in the `shared_info` page, and for each vCPU a `vcpu_info` with a
//! selector of the words to look at and the upcall flag. The flag is the level of PPI 31
//! ([`crate::device::vgic::EVENT_UPCALL`]).
//!
//! # Who calls what
//!
//! Devices use [`Events::raise_service`] or [`Events::raise`], hypercalls the operations of the
//! ABI. Each says whose upcall has been raised; the caller then sets the level of PPI 31 of that
//! vCPU. At the end of PPI 31 and after a write to the distributor the caller sets the level to
//! [`Events::upcall_pending`] anew, because the guest clears the flag in memory.

mod area;
mod bind;
mod foreign;
mod ports;
mod shared;
#[cfg(test)]
mod tests;

use hv_types::{MAX_VCPUS, Port, VcpuId};
use xen_abi::event::NR_VIRQS;

pub use bind::PortStatus;
pub use ports::{Binding, Sent, Service};

use area::Area;
use ports::Table;

use crate::domain::peers::Domains;

/// The event channels of one domain. About 8 KiB: build it where it stays.
#[derive(Clone, Debug)]
pub struct Events {
    domains: Domains,
    table: Table,
    /// Port of each service, 0 without one.
    services: [u16; Service::COUNT],
    cpus: [Cpu; MAX_VCPUS],
    /// How many of them there are.
    vcpus: u8,
    /// The guest may set ports aside for domain 0, which is its back ends.
    has_backends: bool,
    /// Guest memory may be written; false from teardown on.
    live: bool,
}

/// What each vCPU has of its own.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// Where its `vcpu_info` is.
    area: Area,
    /// Port bound to each VIRQ, 0 without one.
    virqs: [u16; NR_VIRQS as usize],
}

impl Events {
    /// Highest port that this implementation has, and Xen's limit for a domU started from the
    /// device tree (`max_evtchn_port`).
    pub const MAX_PORT: u32 = ports::MAX_PORT;

    /// A domain of `vcpus` vCPUs without ports; `max_port` is the highest that it may use, at most
    /// [`Events::MAX_PORT`].
    pub const fn new(domains: Domains, max_port: u32, vcpus: u8) -> Self {
        let mut cpus = [Cpu {
            area: Area::Nowhere,
            virqs: [0; NR_VIRQS as usize],
        }; MAX_VCPUS];
        // The first vCPU has a vcpu_info in the shared_info page until it registers another
        // (EX-10).
        cpus[0].area = Area::Shared;
        Self {
            domains,
            table: Table::new(max_port),
            services: [0; Service::COUNT],
            cpus,
            vcpus,
            has_backends: false,
            live: true,
        }
    }

    /// The domain itself and which others there are.
    pub const fn domains(&self) -> &Domains {
        &self.domains
    }

    /// The vCPU of that number, if the domain has it.
    const fn vcpu(&self, number: u32) -> Result<VcpuId, xen_abi::Errno> {
        match VcpuId::new(number as u64) {
            Some(id) if id.raw() < self.vcpus => Ok(id),
            _ => Err(xen_abi::Errno::Enoent),
        }
    }

    /// Binds the lowest free port to a service of the hypervisor: the guest finds it as an
    /// interdomain channel, sends on it reach the service and [`Events::raise_service`] signals it.
    ///
    /// # Errors
    /// `Eexist` where the service has one; `Enospc` without a free port.
    pub fn alloc_hypervisor_port(&mut self, service: Service) -> Result<Port, xen_abi::Errno> {
        if self.services[service as usize] != 0 {
            return Err(xen_abi::Errno::Eexist);
        }
        let port = self.table.alloc(Binding::Service(service))?;
        self.services[service as usize] = port;
        Ok(Port(port.into()))
    }

    /// The guest has devices whose back ends are here: it may set ports aside for domain 0.
    pub const fn allow_backends(&mut self) {
        self.has_backends = true;
    }

    /// Whether a port of this number can exist: 1 to the limit.
    pub const fn is_valid(&self, port: Port) -> bool {
        self.table.index(port).is_some()
    }

    /// Whether `port` is bound to anything.
    pub fn is_bound(&self, port: Port) -> bool {
        self.table
            .index(port)
            .is_some_and(|port| self.table.get(port).binding != Binding::Free)
    }

    /// `EVTCHNOP_set_priority`: two-level channels have none.
    ///
    /// # Errors
    /// `Einval` for a port without room, otherwise `Enosys`.
    pub const fn set_priority(&self, port: Port) -> Result<(), xen_abi::Errno> {
        Err(if self.table.has_room(port) {
            xen_abi::Errno::Enosys
        } else {
            xen_abi::Errno::Einval
        })
    }

    /// The domain is being torn down: from now on nothing here touches guest memory (EX-7, EV-3).
    ///
    /// To be called before the shared_info page goes; [`crate::life::teardown`] asserts it.
    pub const fn shut(&mut self) {
        self.live = false;
    }

    /// Whether [`Events::shut`] was called.
    pub const fn is_shut(&self) -> bool {
        !self.live
    }
}
