//! sched_op (public/sched.h): yield, block, poll, shutdown, watchdog.

use hv_types::{DomId, Gva, MAX_VCPUS, Port};
use xen_abi::Errno::{self, Enosys, Eperm};
use xen_abi::sched::{
    self, POLL_MAX_PORTS, Poll, RemoteShutdown, Shutdown, Watchdog, reason as code,
};

use super::outcome::Outcome;
use super::row::Status::{Done, Error};
use super::row::family;
use crate::device::vgic::VGic;
use crate::domain::Domain;
use crate::domain::watchdog::NONE_FREE;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{self, Copier};

use crate::memory::pages::Pages;
use crate::vcpu::poll::{PollWait, Ports};
use crate::vcpu::time::ns_to_ticks;
use crate::vcpu::{Vcpu, next_deadline};

/// The IRQ mask bit of the processor state (Arm ARM C5.2.19, SPSR_EL2.I).
const PSTATE_I: u64 = 1 << 7;

family! {
    /// sched_op(cmd, arg).
    SCHED_OP "sched_op"
    fn sched_op<H: VcpuHost>(
        domain: &mut Domain<'_>,
        vcpus: &mut [Vcpu; MAX_VCPUS],
        gic: &VGic,
        host: &mut H,
        cmd: u64,
        arg: u64,
    );
    before { let at = Gva::new(arg); }
    match cmd, else Enosys;
    sched::YIELD { "yield", Done, "Lets others run.",
        Outcome::Yield }
    sched::BLOCK { "block", Done, "Waits for an event, with events allowed.",
        block(host) }
    sched::SHUTDOWN { "shutdown", Done, "Ends the guest: power off, reboot, suspend, crash or watchdog.",
        shutdown(domain, host, at) }
    sched::POLL { "poll", Done, "Waits for one of a list of events or a time.",
        poll(domain, &mut vcpus[host.id().index()], gic, host, at) }
    sched::REMOTE_SHUTDOWN { "remote_shutdown", Error(Eperm), "Ends another domain.",
        remote_shutdown(domain, host, at) }
    sched::SHUTDOWN_CODE { "shutdown_code", Done, "Says beforehand how the guest will end.",
        shutdown_code(domain, host, at) }
    sched::WATCHDOG { "watchdog", Done, "Sets a watchdog, which ends the guest if it is not set again in time.",
        watchdog(domain, vcpus, host, at) }
    sched::PIN_OVERRIDE { "pin_override", Error(Eperm), "Pins a vCPU to a CPU." }
}

/// Enables interrupts and waits.
///
/// The header: a call with events masked enables them and then looks whether any is pending, so
/// that no wake-up is lost between the guest's own look and this call.
fn block<H: VcpuHost>(host: &mut H) -> Outcome {
    let pstate = host.pstate();
    host.set_pstate(pstate & !PSTATE_I);
    Outcome::Block
}

fn shutdown<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    gva: Gva,
) -> Result<Outcome, Errno> {
    let code = reason(host, &domain.p2m, gva)?;
    Ok(Outcome::Stop(domain.shutdown.shutdown(code)))
}

fn shutdown_code<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    gva: Gva,
) -> Result<i64, Errno> {
    let code = reason(host, &domain.p2m, gva)?;
    domain.shutdown.latch(code);
    Ok(0)
}

/// The eight bits of the reason that Xen keeps.
fn reason<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, gva: Gva) -> Result<u32, Errno> {
    let arg: Shutdown = guest_ptr::copy_in(host, pages, gva)?;
    Ok(arg.reason & 0xff)
}

/// Blocks until one of some ports, each bound, is pending, masked or not, or the system time comes,
/// or any interrupt is deliverable. The result is 0 in every case.
fn poll<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    gic: &VGic,
    host: &mut H,
    gva: Gva,
) -> Result<Outcome, Errno> {
    let mut guest = Copier::new();
    let arg: Poll = guest.copy_in(host, &domain.p2m, gva)?;
    if arg.nr_ports > POLL_MAX_PORTS {
        return Err(Errno::Einval);
    }
    // What could be delivered now ends the poll before its ports are looked at.
    if host.pstate() & PSTATE_I == 0
        && (gic.deliverable(host.id())
            || domain
                .events
                .upcall_pending(host.window(), &domain.p2m, host.id()))
    {
        return Ok(Outcome::Return(0));
    }
    let mut ports = Ports::new();
    let mut at = arg.ports.gva();
    for _ in 0..arg.nr_ports {
        let port = Port(guest.copy_in(host, &domain.p2m, at)?);
        if !domain.events.is_bound(port) {
            return Err(Errno::Einval);
        }
        if domain.events.is_pending(host.window(), port) {
            return Ok(Outcome::Return(0));
        }
        // There is room: nr_ports was checked against the capacity; and what is bound is below
        // 1024.
        let _ = u16::try_from(port.0).map(|port| ports.push(port));
        at = at
            .checked_add(size_of::<u32>() as u64)
            .ok_or(Errno::Efault)?;
    }
    if domain
        .events
        .upcall_pending(host.window(), &domain.p2m, host.id())
    {
        return Ok(Outcome::Return(0));
    }
    let deadline = (arg.timeout != 0).then(|| ns_to_ticks(arg.timeout, host.frequency()));
    if deadline.is_some_and(|deadline| deadline <= host.now()) {
        return Ok(Outcome::Return(0));
    }
    vcpu.poll = Some(PollWait { ports, deadline });
    Ok(Outcome::Block)
}

/// A domain without privilege may shut down none by id, not even itself.
fn remote_shutdown<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, gva: Gva) -> Result<i64, Errno> {
    let arg: RemoteShutdown = guest_ptr::copy_in(host, &domain.p2m, gva)?;
    Err(domain.peers.remote(DomId(arg.domain_id)))
}

fn watchdog<H: VcpuHost>(
    domain: &mut Domain<'_>,
    vcpus: &[Vcpu; MAX_VCPUS],
    host: &mut H,
    gva: Gva,
) -> Result<Outcome, Errno> {
    let arg: Watchdog = guest_ptr::copy_in(host, &domain.p2m, gva)?;
    let number = domain.watchdogs.set(arg, host.now(), host.frequency())?;
    // Armed with no time at all it has expired at once, as on Xen 4.22.
    if arg.id == 0 && arg.timeout == 0 && number != NONE_FREE {
        return Ok(Outcome::Stop(domain.shutdown.shutdown(code::WATCHDOG)));
    }
    // It counts while the guest runs, when nothing else asks to be woken.
    host.wake_at(next_deadline(vcpus, &domain.watchdogs));
    Ok(Outcome::Return(number))
}
