//! vcpu_op (public/vcpu.h): where a vCPU keeps what it shares with the hypervisor.

use hv_types::{Gfn, Gpa, Gva};
use xen_abi::Errno;
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_RUNSTATE_PHYS_AREA, REGISTER_VCPU_INFO,
    RegisterRunstate, RegisterVcpuInfo,
};

use crate::device::vgic::{EVENT_UPCALL, VGic};
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr;
use crate::vcpu::Vcpu;
use crate::vcpu::runstate::Area;

/// vcpu_op(cmd, vcpu id, arg).
///
/// # Errors
/// [`Errno::Enoent`] for a vCPU that is not there, before anything else; [`Errno::Einval`] for an
/// unknown command (not `-ENOSYS`, as in Xen on Arm); [`Errno::Efault`]; those of the registrations.
pub(super) fn vcpu_op<H: VcpuHost>(
    domain: &mut Domain<'_>,
    vcpu: &mut Vcpu,
    gic: &mut VGic,
    host: &mut H,
    [cmd, id, arg]: [u64; 3],
) -> Result<i64, Errno> {
    if id >= u64::from(domain.record.vcpus) {
        return Err(Errno::Enoent);
    }
    let arg = Gva::new(arg);
    match cmd {
        REGISTER_VCPU_INFO => {
            let place: RegisterVcpuInfo = guest_ptr::copy_in(host, &domain.p2m, arg)?;
            domain.events.register_vcpu_info(
                host.window(),
                &domain.p2m,
                Gfn::new(place.gfn),
                place.offset,
            )?;
            // The new place starts with the upcall raised, so that nothing pending is missed.
            gic.set_level(EVENT_UPCALL, true);
        }
        REGISTER_RUNSTATE_MEMORY_AREA => {
            let place: RegisterRunstate = guest_ptr::copy_in(host, &domain.p2m, arg)?;
            let area = Area::virtually_at(host, &domain.p2m, place.addr.gva());
            vcpu.runstate
                .register(host, &domain.p2m, domain.assists, area);
        }
        REGISTER_RUNSTATE_PHYS_AREA => {
            let place: RegisterRunstate = guest_ptr::copy_in(host, &domain.p2m, arg)?;
            // The same word is a guest physical address here, and all ones ends the registration.
            let area = match place.addr.gva().raw() {
                u64::MAX => Area::default(),
                gpa => Area::physically_at(&domain.p2m, Gpa::new(gpa))?,
            };
            vcpu.runstate
                .register(host, &domain.p2m, domain.assists, area);
        }
        _ => return Err(Errno::Einval),
    }
    Ok(0)
}
