//! vcpu_op (public/vcpu.h): where a vCPU keeps what it shares with the hypervisor.

use hv_types::{Gfn, Gpa, Gva};
use xen_abi::Errno;
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_RUNSTATE_PHYS_AREA, REGISTER_VCPU_INFO,
    RegisterRunstate, RegisterVcpuInfo,
};

use super::runstate::{self, Area};
use crate::device::vgic::EVENT_UPCALL;
use crate::host::Host;
use crate::memory::guest_ptr;
use crate::vm::Vm;

/// vcpu_op(cmd, vcpu id, arg).
///
/// # Errors
/// [`Errno::Enoent`] for a vCPU that is not there, before anything else; [`Errno::Einval`] for an
/// unknown command (not `-ENOSYS`, as in Xen on Arm); [`Errno::Efault`]; those of the registrations.
pub(super) fn vcpu_op<H: Host>(
    vm: &mut Vm<'_>,
    host: &mut H,
    cmd: u64,
    vcpu: u64,
    arg: u64,
) -> Result<i64, Errno> {
    if vcpu >= u64::from(vm.record.vcpus) {
        return Err(Errno::Enoent);
    }
    let arg = Gva::new(arg);
    match cmd {
        REGISTER_VCPU_INFO => {
            let place: RegisterVcpuInfo = guest_ptr::copy_in(host, &vm.p2m, arg)?;
            vm.events.register_vcpu_info(
                host.window(),
                &vm.p2m,
                Gfn::new(place.gfn),
                place.offset,
            )?;
            // The new place starts with the upcall raised, so that nothing pending is missed.
            vm.gic.set_level(EVENT_UPCALL, true);
        }
        REGISTER_RUNSTATE_MEMORY_AREA => {
            let place: RegisterRunstate = guest_ptr::copy_in(host, &vm.p2m, arg)?;
            vm.hc.runstate.area = Area::virtually_at(host, &vm.p2m, place.addr.gva());
            runstate::publish(vm, host);
        }
        REGISTER_RUNSTATE_PHYS_AREA => {
            let place: RegisterRunstate = guest_ptr::copy_in(host, &vm.p2m, arg)?;
            // The same word is a guest physical address here, and all ones ends the registration.
            vm.hc.runstate.area = match place.addr.gva().raw() {
                u64::MAX => Area::default(),
                gpa => Area::physically_at(&vm.p2m, Gpa::new(gpa))?,
            };
            runstate::publish(vm, host);
        }
        _ => return Err(Errno::Einval),
    }
    Ok(0)
}
