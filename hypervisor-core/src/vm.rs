//! One guest: everything its VMM keeps about it.

use dt_server_api::DomainRecord;
use hv_types::{MAX_VCPUS, VcpuId};

use crate::device::bus::Bus;
use crate::device::table::{Devices, Id};
use crate::domain::Domain;
use crate::memory::p2m::P2m;
use crate::vcpu::Vcpu;

/// A guest.
pub struct Vm<'m> {
    /// What exists once.
    pub domain: Domain<'m>,
    /// What exists once for each vCPU, by its number.
    pub vcpus: [Vcpu; MAX_VCPUS],
    /// Its devices.
    pub devices: Devices,
}

impl<'m> Vm<'m> {
    /// The guest that `record` describes, with its devices on `bus`, before its extra pages exist.
    pub fn new(record: DomainRecord, p2m: P2m<'m>, bus: Bus<Id>) -> Self {
        let devices = Devices::new(&record, bus);
        Self {
            domain: Domain::new(record, p2m),
            vcpus: [Vcpu::new(VcpuId::BOOT)],
            devices,
        }
    }

    /// The vCPU of that number.
    #[inline]
    pub fn vcpu(&mut self, id: VcpuId) -> &mut Vcpu {
        &mut self.vcpus[id.index()]
    }
}
