//! event_channel_op (public/event_channel.h): arguments in and out, and what an operation sets off.
//!
//! The operations themselves are in [`crate::evtchn`].

use hv_types::{DomId, Gva, Port, VcpuId};
use peer_server_api::{PeerPort as _, Request};
use xen_abi::Errno::{self, Ebusy, Enosys, Eopnotsupp};
use xen_abi::event::{
    self, AllocUnbound, BindInterdomain, BindIpi, BindPirq, BindVcpu, BindVirq, ExpandArray,
    InitControl, PortArg, Reset, SetPriority, Status, state,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::row::Status::{Done, Error, Later};
use super::row::family;
use crate::device::table::Devices;
use crate::device::vgic::VGic;
use crate::domain::Domain;
use crate::evtchn::{Events, Sent};
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{copy_in, copy_out};

family! {
    /// event_channel_op(cmd, arg).
    ///
    /// FIFO event channels do not exist here: `EVTCHNOP_init_control` is `-ENOSYS`, on which guests
    /// take the two-level ABI.
    ///
    /// A result that cannot be written back is `-EFAULT` too, and what was bound stays bound (as on
    /// Xen). The argument is looked at first (`-EFAULT`), then come the operation's own errors.
    /// Physical interrupts are `-EOPNOTSUPP`: a guest on Arm gets them without event channels; so
    /// is growing the array of FIFO channels without having set them up.
    EVENT_CHANNEL_OP "event_channel_op"
    fn event_channel_op<H: VcpuHost>(
        domain: &mut Domain<'_>,
        devices: &mut Devices,
        host: &mut H,
        cmd: u64,
        arg: u64,
    );
    before { let arg = Gva::new(arg); }
    match cmd, else Enosys;
    event::BIND_INTERDOMAIN { "bind_interdomain", Done, "Binds a port to one that another domain has set aside.",
        bind_interdomain(domain, &mut devices.gic, host, arg) }
    event::BIND_VIRQ { "bind_virq", Done, "Binds a port to a virtual interrupt, such as the debug key or a timer.",
        bind_virq(domain, host, arg) }
    event::BIND_PIRQ { "bind_pirq", Error(Eopnotsupp), "Binds a port to an interrupt of the host; Arm routes those by the GIC.",
        refuse::<H, BindPirq>(domain, host, arg, Errno::Eopnotsupp) }
    event::CLOSE { "close", Done, "Closes a port.",
        close(domain, host, arg) }
    event::SEND { "send", Done, "Sends an event: what a notification is made of.",
        send(domain, devices, host, arg) }
    event::STATUS { "status", Done, "What a port is bound to.",
        status(domain, host, arg) }
    event::ALLOC_UNBOUND { "alloc_unbound", Done, "Sets a port aside for a domain to bind to.",
        alloc_unbound(domain, &mut devices.gic, host, arg) }
    event::BIND_IPI { "bind_ipi", Done, "Binds a port to events from one vCPU to another.",
        bind_ipi(domain, host, arg) }
    event::BIND_VCPU { "bind_vcpu", Done, "Says which vCPU a port's events go to.",
        bind_vcpu(domain, host, arg) }
    event::UNMASK { "unmask", Done, "Unmasks a port and delivers what waited.",
        unmask(domain, &mut devices.gic, host, arg) }
    event::RESET { "reset", Done, "Closes all ports.",
        reset(domain, host, arg) }
    event::INIT_CONTROL { "init_control", Later(Enosys), "Chooses the FIFO form of event channels; guests fall back to two levels of bits.",
        refuse::<H, InitControl>(domain, host, arg, Errno::Enosys) }
    event::EXPAND_ARRAY { "expand_array", Later(Eopnotsupp), "Gives the FIFO form more room.",
        refuse::<H, ExpandArray>(domain, host, arg, Errno::Eopnotsupp) }
    event::SET_PRIORITY { "set_priority", Later(Enosys), "A port's priority in the FIFO form.",
        set_priority(domain, host, arg) }
    event::RESET_CONT { "reset_cont", Error(Ebusy), "How the hypervisor goes on with a reset that it has interrupted; not for guests.",
        reset_cont(domain, host, arg) }
}

fn unmask<H: VcpuHost>(
    domain: &mut Domain<'_>,
    gic: &mut VGic,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
    let upcall = domain
        .events
        .unmask(host.window(), &domain.p2m, Port(port))?;
    raise_if(gic, upcall);
    Ok(0)
}

fn close<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
    if let Some(port) = domain.events.foreign(Port(port)) {
        // It is a channel of this domain: the server knows it.
        let _ = host.peers().ask(Request::Close { port });
    }
    domain.events.close(host.window(), Port(port))?;
    Ok(0)
}

fn alloc_unbound<H: VcpuHost>(
    domain: &mut Domain<'_>,
    gic: &mut VGic,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let mut alloc: AllocUnbound = copy_in(host, &domain.p2m, arg)?;
    let (dom, remote) = (DomId(alloc.dom), DomId(alloc.remote_dom));
    let port = match domain.peers.met(remote) {
        Some(remote) => {
            receive(domain, gic, host);
            domain.events.alloc_foreign(host.peers(), dom, remote)?
        }
        None => domain.events.alloc_unbound(dom, remote)?,
    };
    alloc.port = port.0;
    copy_out(host, &domain.p2m, arg, &alloc)?;
    Ok(0)
}

fn bind_interdomain<H: VcpuHost>(
    domain: &mut Domain<'_>,
    gic: &mut VGic,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let mut bind: BindInterdomain = copy_in(host, &domain.p2m, arg)?;
    let (remote, remote_port) = (DomId(bind.remote_dom), Port(bind.remote_port));
    let (local, upcall) = match domain.peers.met(remote) {
        Some(remote) => {
            receive(domain, gic, host);
            let both = host.window_and_peers();
            domain
                .events
                .bind_foreign(both, &domain.p2m, remote, remote_port)?
        }
        None => domain
            .events
            .bind_interdomain(host.window(), &domain.p2m, remote, remote_port)?,
    };
    raise_if(gic, upcall);
    bind.local_port = local.0;
    copy_out(host, &domain.p2m, arg, &bind)?;
    Ok(0)
}

fn bind_virq<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let mut bind: BindVirq = copy_in(host, &domain.p2m, arg)?;
    bind.port = domain.events.bind_virq(bind.virq, bind.vcpu)?.0;
    copy_out(host, &domain.p2m, arg, &bind)?;
    Ok(0)
}

fn bind_ipi<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let mut bind: BindIpi = copy_in(host, &domain.p2m, arg)?;
    bind.port = domain.events.bind_ipi(bind.vcpu)?.0;
    copy_out(host, &domain.p2m, arg, &bind)?;
    Ok(0)
}

fn bind_vcpu<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let BindVcpu { port, vcpu } = copy_in(host, &domain.p2m, arg)?;
    domain.events.bind_vcpu(Port(port), vcpu)?;
    Ok(0)
}

fn reset<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let Reset { dom } = copy_in(host, &domain.p2m, arg)?;
    if domain.peers.own(DomId(dom)).is_ok() && domain.events.any_foreign() {
        // It refuses nobody that.
        let _ = host.peers().ask(Request::Reset);
    }
    domain.events.reset(host.window(), DomId(dom))?;
    Ok(0)
}

/// A reset is done in one go here: none is under way.
fn reset_cont<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let Reset { dom } = copy_in(host, &domain.p2m, arg)?;
    domain.require_self(dom)?;
    Err(Errno::Ebusy)
}

fn set_priority<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let SetPriority { port, .. } = copy_in(host, &domain.p2m, arg)?;
    domain.events.set_priority(Port(port))?;
    Ok(0)
}

/// Refuses an operation whose argument is looked at first.
fn refuse<H: VcpuHost, T: FromBytes + IntoBytes + Immutable>(
    domain: &Domain<'_>,
    host: &mut H,
    arg: Gva,
    errno: Errno,
) -> Result<i64, Errno> {
    let _: T = copy_in(host, &domain.p2m, arg)?;
    Err(errno)
}

fn send<H: VcpuHost>(
    domain: &mut Domain<'_>,
    devices: &mut Devices,
    host: &mut H,
    arg: Gva,
) -> Result<i64, Errno> {
    let PortArg { port } = copy_in(host, &domain.p2m, arg)?;
    match domain.events.send(host.window(), &domain.p2m, Port(port))? {
        Sent::Port { upcall } => raise_if(&mut devices.gic, upcall),
        Sent::Service(service) => devices.serve(service),
        Sent::Foreign(port) => host.peers().send(port),
        Sent::Nobody => {}
    }
    Ok(0)
}

fn status<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, arg: Gva) -> Result<i64, Errno> {
    let mut status: Status = copy_in(host, &domain.p2m, arg)?;
    let mut found = domain.events.status(DomId(status.dom), Port(status.port))?;
    if let Some(port) = domain.events.foreign(Port(status.port)) {
        found = Events::foreign_status(host.peers(), port, found);
    }
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
    copy_out(host, &domain.p2m, arg, &status)?;
    Ok(0)
}

/// Takes what other domains have sent before a port gets another meaning: what was sent to the old
/// one is not the new one's.
pub(crate) fn receive<H: Host>(domain: &mut Domain<'_>, gic: &mut VGic, host: &mut H) {
    let both = host.window_and_peers();
    let events = &domain.events;
    events.receive(both, &domain.p2m, |cpu| gic.raise_upcall(cpu));
}

/// Asserts the PPI of the upcall of the vCPU whose flag has just gone up.
fn raise_if(gic: &mut VGic, upcall: Option<VcpuId>) {
    if let Some(cpu) = upcall {
        gic.raise_upcall(cpu);
    }
}
