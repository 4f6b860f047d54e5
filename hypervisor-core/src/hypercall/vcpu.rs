//! vcpu_op (public/vcpu.h): where a vCPU keeps what it shares with the hypervisor.

use hv_types::{Gfn, Gpa, Gva, MAX_VCPUS, VcpuId};
use xen_abi::Errno::{self, Einval};
use xen_abi::vcpu::{self, RegisterRunstate, RegisterVcpuInfo};

use super::row::Status::{Done, Error};
use super::row::family;
use crate::device::vgic::VGic;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr;
use crate::memory::pages::Pages as _;
use crate::vcpu::Vcpu;
use crate::vcpu::runstate::Area;

family! {
    /// vcpu_op(cmd, vcpu id, arg). `-ENOENT` for a vCPU that is not there, before anything else;
    /// `-EINVAL` for an unknown command (not `-ENOSYS`, as in Xen on Arm); `-EFAULT`; those of the
    /// registrations. A vCPU may be named by any other.
    VCPU_OP "vcpu_op"
    fn vcpu_op<H: VcpuHost>(
        domain: &mut Domain<'_>,
        vcpus: &mut [Vcpu; MAX_VCPUS],
        gic: &mut VGic,
        host: &mut H,
        args: [u64; 3],
    );
    before {
        let [cmd, id, arg] = args;
        let id = VcpuId::new(id).filter(|id| id.raw() < domain.record.vcpus);
        let Some(id) = id else {
            return Errno::Enoent.into();
        };
        let vcpu = &mut vcpus[id.index()];
        let arg = Gva::new(arg);
    }
    match cmd, else Einval;
    vcpu::INITIALISE { "initialise", Error(Einval), "Sets the first state of a vCPU; Arm guests use PSCI." }
    vcpu::UP { "up", Error(Einval), "Starts a vCPU; Arm guests use PSCI." }
    vcpu::DOWN { "down", Error(Einval), "Stops a vCPU; Arm guests use PSCI." }
    vcpu::IS_UP { "is_up", Error(Einval), "Whether a vCPU runs; Arm guests use PSCI." }
    vcpu::GET_RUNSTATE_INFO { "get_runstate_info", Error(Einval), "How long a vCPU has run and waited; Arm guests register an area instead." }
    vcpu::REGISTER_RUNSTATE_MEMORY_AREA { "register_runstate_memory_area", Done, "Where the guest wants to find how long its vCPU has run and waited.",
        runstate_area(domain, vcpu, host, arg) }
    vcpu::SET_PERIODIC_TIMER { "set_periodic_timer", Error(Einval), "Timers of PV guests; Arm guests have the architecture's." }
    vcpu::STOP_PERIODIC_TIMER { "stop_periodic_timer", Error(Einval), "Timers of PV guests; Arm guests have the architecture's." }
    vcpu::SET_SINGLESHOT_TIMER { "set_singleshot_timer", Error(Einval), "Timers of PV guests; Arm guests have the architecture's." }
    vcpu::STOP_SINGLESHOT_TIMER { "stop_singleshot_timer", Error(Einval), "Timers of PV guests; Arm guests have the architecture's." }
    vcpu::REGISTER_VCPU_INFO { "register_vcpu_info", Done, "Where in the guest's memory the words about pending events are.",
        vcpu_info(domain, id, gic, host, arg) }
    vcpu::SEND_NMI { "send_nmi", Error(Einval), "An NMI to a vCPU, which Arm does not have." }
    vcpu::GET_PHYSID { "get_physid", Error(Einval), "Which CPU a vCPU runs on." }
    vcpu::REGISTER_VCPU_TIME_MEMORY_AREA { "register_vcpu_time_memory_area", Error(Einval), "Time of PV guests; Arm guests have the architecture's." }
    vcpu::REGISTER_RUNSTATE_PHYS_AREA { "register_runstate_phys_area", Done, "register_runstate_memory_area by guest physical address.",
        runstate_phys_area(domain, vcpu, host, arg) }
    vcpu::REGISTER_VCPU_TIME_PHYS_AREA { "register_vcpu_time_phys_area", Error(Einval), "Time of PV guests; Arm guests have the architecture's." }
}

fn vcpu_info<H: VcpuHost>(
    domain: &mut Domain<'_>,
    id: VcpuId,
    gic: &mut VGic,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let place: RegisterVcpuInfo = guest_ptr::copy_in(host, &domain.p2m, arg)?;
    let gfn = Gfn::new(place.gfn);
    if let Some(page) = gfn.gpa() {
        domain.p2m.reach(host, page);
    }
    domain
        .events
        .register_vcpu_info(host.window(), &domain.p2m, id, (gfn, place.offset))?;
    domain.p2m.keep_in_sight(gfn);
    // The new place starts with the upcall raised, so that nothing pending is missed.
    gic.raise_upcall(id);
    Ok(0)
}

fn runstate_area<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let place: RegisterRunstate = guest_ptr::copy_in(host, &domain.p2m, arg)?;
    let area = Area::virtually_at(host, &domain.p2m, place.addr.gva());
    vcpu.runstate
        .register(host, &domain.p2m, domain.assists, area);
    Ok(0)
}

fn runstate_phys_area<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let place: RegisterRunstate = guest_ptr::copy_in(host, &domain.p2m, arg)?;
    // The same word is a guest physical address here, and all ones ends the registration.
    let area = match place.addr.gva().raw() {
        u64::MAX => Area::default(),
        gpa => {
            domain.p2m.reach(host, Gpa::new(gpa));
            Area::physically_at(&domain.p2m, Gpa::new(gpa))?
        }
    };
    vcpu.runstate
        .register(host, &domain.p2m, domain.assists, area);
    Ok(0)
}
