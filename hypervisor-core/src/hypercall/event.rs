//! event_channel_op (public/event_channel.h): arguments in and out, and what an operation sets off.
//!
//! The operations themselves are in [`crate::evtchn`].

use hv_types::{DomId, Gva, Port};
use xen_abi::Errno;
use xen_abi::event::{
    ALLOC_UNBOUND, AllocUnbound, BIND_INTERDOMAIN, BIND_IPI, BIND_PIRQ, BIND_VCPU, BIND_VIRQ,
    BindInterdomain, BindIpi, BindPirq, BindVcpu, BindVirq, CLOSE, EXPAND_ARRAY, ExpandArray,
    INIT_CONTROL, InitControl, PortArg, RESET, RESET_CONT, Reset, SEND, SET_PRIORITY, STATUS,
    SetPriority, Status, UNMASK, state,
};

use crate::device::table::Devices;
use crate::device::vgic::{EVENT_UPCALL, VGic};
use crate::domain::Domain;
use crate::evtchn::Sent;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{copy_in, copy_out};

/// event_channel_op(cmd, arg) with `args` = x0..x4.
///
/// FIFO event channels do not exist here: `EVTCHNOP_init_control` is `-ENOSYS`, on which guests
/// take the two-level ABI.
///
/// A result that cannot be written back is `-EFAULT` too, and what was bound stays bound (as on Xen).
///
/// # Errors
/// `-EFAULT` for the argument, which is looked at first; the operation's own; `-ENOSYS` for an
/// unknown command; `-EOPNOTSUPP` for physical interrupts, which a guest on Arm gets without event
/// channels, and for growing the array of FIFO channels without having set them up.
pub fn event_channel_op<H: VcpuHost>(
    domain: &mut Domain<'_>,
    devices: &mut Devices,
    host: &mut H,
    args: [u64; 5],
) -> Result<i64, Errno> {
    let arg = Gva::new(args[1]);
    match args[0] {
        SEND => send(domain, devices, host, arg)?,
        UNMASK => {
            let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
            let upcall = domain
                .events
                .unmask(host.window(), &domain.p2m, Port(port))?;
            raise_if(&mut devices.gic, upcall);
        }
        CLOSE => {
            let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
            domain.events.close(host.window(), Port(port))?;
        }
        STATUS => status(domain, host, arg)?,
        ALLOC_UNBOUND => {
            let mut alloc: AllocUnbound = copy_in(host, &domain.p2m, arg)?;
            alloc.port = domain
                .events
                .alloc_unbound(DomId(alloc.dom), DomId(alloc.remote_dom))?
                .0;
            copy_out(host, &domain.p2m, arg, &alloc)?;
        }
        BIND_INTERDOMAIN => {
            let mut bind: BindInterdomain = copy_in(host, &domain.p2m, arg)?;
            let (remote, remote_port) = (DomId(bind.remote_dom), Port(bind.remote_port));
            let (local, upcall) =
                domain
                    .events
                    .bind_interdomain(host.window(), &domain.p2m, remote, remote_port)?;
            raise_if(&mut devices.gic, upcall);
            bind.local_port = local.0;
            copy_out(host, &domain.p2m, arg, &bind)?;
        }
        BIND_VIRQ => {
            let mut bind: BindVirq = copy_in(host, &domain.p2m, arg)?;
            bind.port = domain.events.bind_virq(bind.virq, bind.vcpu)?.0;
            copy_out(host, &domain.p2m, arg, &bind)?;
        }
        BIND_IPI => {
            let mut bind: BindIpi = copy_in(host, &domain.p2m, arg)?;
            bind.port = domain.events.bind_ipi(bind.vcpu)?.0;
            copy_out(host, &domain.p2m, arg, &bind)?;
        }
        BIND_VCPU => {
            let BindVcpu { port, vcpu } = copy_in(host, &domain.p2m, arg)?;
            domain.events.bind_vcpu(Port(port), vcpu)?;
        }
        RESET => {
            let Reset { dom } = copy_in(host, &domain.p2m, arg)?;
            domain.events.reset(host.window(), DomId(dom))?;
        }
        RESET_CONT => {
            let Reset { dom } = copy_in(host, &domain.p2m, arg)?;
            domain.require_self(dom)?;
            // A reset is done in one go here: none is under way.
            return Err(Errno::Ebusy);
        }
        BIND_PIRQ => {
            let BindPirq { .. } = copy_in(host, &domain.p2m, arg)?;
            return Err(Errno::Eopnotsupp);
        }
        INIT_CONTROL => {
            let InitControl { .. } = copy_in(host, &domain.p2m, arg)?;
            return Err(Errno::Enosys);
        }
        EXPAND_ARRAY => {
            let ExpandArray { .. } = copy_in(host, &domain.p2m, arg)?;
            return Err(Errno::Eopnotsupp);
        }
        SET_PRIORITY => {
            let SetPriority { port, .. } = copy_in(host, &domain.p2m, arg)?;
            domain.events.set_priority(Port(port))?;
        }
        _ => return Err(Errno::Enosys),
    }
    Ok(0)
}

fn send<H: VcpuHost>(
    domain: &mut Domain<'_>,
    devices: &mut Devices,
    host: &mut H,
    arg: Gva,
) -> Result<(), Errno> {
    let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
    match domain.events.send(host.window(), &domain.p2m, Port(port))? {
        Sent::Port { upcall } => raise_if(&mut devices.gic, upcall),
        Sent::Service(service) => devices.serve(service),
        Sent::Nobody => {}
    }
    Ok(())
}

fn status<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<(), Errno> {
    let mut status: Status = copy_in(host, &domain.p2m, arg)?;
    let found = domain.events.status(DomId(status.dom), Port(status.port))?;
    (status.status, status.vcpu) = (found.state, found.vcpu);
    // A state writes its own members of a union, and nothing else.
    match found.state {
        state::UNBOUND | state::INTERDOMAIN => {
            status.dom_or_irq = status.dom_or_irq & !0xffff | found.dom_or_irq;
        }
        state::VIRQ => status.dom_or_irq = found.dom_or_irq,
        _ => {}
    }
    if found.state == state::INTERDOMAIN {
        status.remote_port = found.remote_port;
    }
    copy_out(host, &domain.p2m, arg, &status)
}

/// Asserts the upcall's PPI where the flag has just gone up.
fn raise_if(gic: &mut VGic, upcall: bool) {
    if upcall {
        gic.set_level(EVENT_UPCALL, true);
    }
}
