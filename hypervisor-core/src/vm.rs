//! One guest: everything its VMM keeps about it.

use dt_server_api::DomainRecord;
use hv_types::{MAX_VCPUS, VcpuId, Vcpus};

use crate::device::bus::Bus;
use crate::device::table::{Devices, Id};
use crate::domain::Domain;
use crate::memory::p2m::P2m;
use crate::vcpu::wait::Wait;
use crate::vcpu::{self, Vcpu};

/// A guest.
pub struct Vm<'m> {
    /// What exists once.
    pub domain: Domain<'m>,
    /// What exists once for each vCPU, by its number; those beyond `domain.record.vcpus` stay off.
    pub vcpus: [Vcpu; MAX_VCPUS],
    /// Its devices.
    pub devices: Devices,
    /// vCPUs that run, or would like to: those that wait for nothing.
    pub(crate) runs: Vcpus,
    /// vCPUs that wait in SCHEDOP_poll.
    pub(crate) polls: Vcpus,
}

impl<'m> Vm<'m> {
    /// The guest that `record` describes, with its devices on `bus`, before its extra pages exist.
    pub fn new(record: DomainRecord, p2m: P2m<'m>, bus: Bus<Id>) -> Self {
        let devices = Devices::new(&record, bus);
        let mut ids = Vcpus::first(u8::MAX).into_iter();
        Self {
            domain: Domain::new(record, p2m),
            vcpus: core::array::from_fn(|_| Vcpu::new(ids.next().unwrap_or(VcpuId::BOOT))),
            devices,
            runs: Vcpus::BOOT,
            polls: Vcpus::NONE,
        }
    }

    /// The vCPU of that number.
    #[inline]
    pub fn vcpu(&mut self, id: VcpuId) -> &mut Vcpu {
        &mut self.vcpus[id.index()]
    }

    /// The vCPUs that run, or would like to.
    #[inline]
    pub const fn running(&self) -> Vcpus {
        self.runs
    }

    /// The vCPUs that the guest has.
    #[inline]
    pub(crate) const fn all(&self) -> Vcpus {
        self.devices.gic.all()
    }

    /// Those of them that are on.
    pub(crate) const fn on(&self) -> Vcpus {
        self.devices.gic.online()
    }

    /// The tick at which one of its vCPUs, or a watchdog, has something to say.
    pub fn next_deadline(&self) -> Option<u64> {
        let vcpus = self.vcpus.get(..usize::from(self.domain.record.vcpus));
        let vcpus = vcpus.unwrap_or(&[]);
        let next = vcpu::next_deadline(vcpus, &self.domain.watchdogs);
        match self.domain.impatient_at {
            // Nobody has waited for another domain since the last one that did was heard.
            None => next,
            Some(impatient) => earliest_of_peers(vcpus, impatient, next),
        }
    }
}

/// The earlier of `next` and `impatient`, when the vCPUs that wait for another domain have waited
/// long enough, if any of them does.
#[cold]
fn earliest_of_peers(vcpus: &[Vcpu], impatient: u64, next: Option<u64>) -> Option<u64> {
    let waits = vcpus.iter().any(|vcpu| vcpu.wait == Wait::Peer);
    next.into_iter().chain(waits.then_some(impatient)).min()
}
