//! sched_op (public/sched.h): yield, block, poll, shutdown, watchdog.

use heapless::Vec;
use hv_types::{DomId, Gva, Port};
use xen_abi::Errno;
use xen_abi::sched::{
    BLOCK, PIN_OVERRIDE, POLL, POLL_MAX_PORTS, Poll, REMOTE_SHUTDOWN, RemoteShutdown, SHUTDOWN,
    SHUTDOWN_CODE, Shutdown, WATCHDOG, Watchdog, YIELD, reason as code,
};

use super::Outcome;
use super::watchdog::NONE_FREE;
use crate::host::Host;
use crate::memory::guest_ptr::{self, Copier};
use crate::vcpu::time::ns_to_ticks;
use crate::vm::Vm;

/// The IRQ mask bit of the processor state (Arm ARM C5.2.19, SPSR_EL2.I).
const PSTATE_I: u64 = 1 << 7;

/// What a vCPU in SCHEDOP_poll waits for besides an interrupt.
#[derive(Debug)]
pub(super) struct PollWait {
    /// Any of these pending ends the wait.
    ports: Vec<Port, { POLL_MAX_PORTS as usize }>,
    /// So does this tick of the system counter.
    pub(super) deadline: Option<u64>,
}

/// sched_op(cmd, arg).
pub(super) fn sched_op<H: Host>(vm: &mut Vm<'_>, host: &mut H, cmd: u64, arg: u64) -> Outcome {
    let gva = Gva::new(arg);
    match cmd {
        YIELD => Outcome::Yield,
        BLOCK => {
            // The header: a call with events masked enables them and then looks whether any is pending,
            // so that no wake-up is lost between the guest's own look and this call.
            let pstate = host.pstate();
            host.set_pstate(pstate & !PSTATE_I);
            Outcome::Block
        }
        SHUTDOWN => match reason(vm, host, gva) {
            // Xen keeps eight bits of the reason.
            Ok(code) => Outcome::Stop(vm.hc.shutdown(code & 0xff)),
            Err(errno) => errno.into(),
        },
        POLL => poll(vm, host, gva).unwrap_or_else(Outcome::from),
        REMOTE_SHUTDOWN => remote_shutdown(vm, host, gva).into(),
        SHUTDOWN_CODE => reason(vm, host, gva)
            .map(|code| {
                vm.hc.latch(code & 0xff);
                0
            })
            .into(),
        WATCHDOG => watchdog(vm, host, gva).unwrap_or_else(Outcome::from),
        PIN_OVERRIDE => Errno::Eperm.into(),
        _ => Errno::Enosys.into(),
    }
}

fn reason<H: Host>(vm: &Vm<'_>, host: &mut H, gva: Gva) -> Result<u32, Errno> {
    let arg: Shutdown = guest_ptr::copy_in(host, &vm.p2m, gva)?;
    Ok(arg.reason)
}

/// Blocks until one of some ports, each bound, is pending, masked or not, or the system time comes, or any
/// interrupt is deliverable. The result is 0 in every case.
fn poll<H: Host>(vm: &mut Vm<'_>, host: &mut H, gva: Gva) -> Result<Outcome, Errno> {
    let mut guest = Copier::new();
    let arg: Poll = guest.copy_in(host, &vm.p2m, gva)?;
    if arg.nr_ports > POLL_MAX_PORTS {
        return Err(Errno::Einval);
    }
    // What could be delivered now ends the poll before its ports are looked at.
    if host.pstate() & PSTATE_I == 0
        && (vm.gic.deliverable() || vm.events.upcall_pending(host.window(), &vm.p2m))
    {
        return Ok(Outcome::Return(0));
    }
    let mut ports = Vec::new();
    let mut at = arg.ports.gva();
    for _ in 0..arg.nr_ports {
        let port = Port(guest.copy_in(host, &vm.p2m, at)?);
        if !vm.events.is_bound(port) {
            return Err(Errno::Einval);
        }
        if vm.events.is_pending(host.window(), port) {
            return Ok(Outcome::Return(0));
        }
        // There is room: nr_ports was checked against the capacity.
        let _ = ports.push(port);
        at = at
            .checked_add(size_of::<u32>() as u64)
            .ok_or(Errno::Efault)?;
    }
    if vm.events.upcall_pending(host.window(), &vm.p2m) {
        return Ok(Outcome::Return(0));
    }
    let deadline = (arg.timeout != 0).then(|| ns_to_ticks(arg.timeout, host.frequency()));
    if deadline.is_some_and(|deadline| deadline <= host.now()) {
        return Ok(Outcome::Return(0));
    }
    vm.hc.poll = Some(PollWait { ports, deadline });
    Ok(Outcome::Block)
}

/// Whether a vCPU that waits in SCHEDOP_poll may go on: one of its ports is pending or its time has come.
///
/// `false` for one that does not poll. To be asked wherever an event was raised or time went by
/// while the vCPU waits; [`super::State::resumed`] ends the poll.
pub fn poll_is_over<H: Host>(vm: &Vm<'_>, host: &H) -> bool {
    let Some(poll) = &vm.hc.poll else {
        return false;
    };
    poll.deadline.is_some_and(|deadline| deadline <= host.now())
        || poll
            .ports
            .iter()
            .any(|port| vm.events.is_pending(host.window(), *port))
}

impl super::State {
    /// The vCPU runs again: it waits for nothing.
    pub fn resumed(&mut self) {
        self.poll = None;
    }
}

/// A domain without privilege may shut down none by id, not even itself.
fn remote_shutdown<H: Host>(vm: &Vm<'_>, host: &mut H, gva: Gva) -> Result<i64, Errno> {
    let arg: RemoteShutdown = guest_ptr::copy_in(host, &vm.p2m, gva)?;
    Err(vm.events.domains().remote(DomId(arg.domain_id)))
}

fn watchdog<H: Host>(vm: &mut Vm<'_>, host: &mut H, gva: Gva) -> Result<Outcome, Errno> {
    let arg: Watchdog = guest_ptr::copy_in(host, &vm.p2m, gva)?;
    let number = vm.hc.watchdogs.set(arg, host.now(), host.frequency())?;
    // Armed with no time at all it has expired at once, as on Xen 4.22.
    if arg.id == 0 && arg.timeout == 0 && number != NONE_FREE {
        return Ok(Outcome::Stop(vm.hc.shutdown(code::WATCHDOG)));
    }
    // It counts while the guest runs, when nothing else asks to be woken.
    host.wake_at(vm.next_deadline());
    Ok(Outcome::Return(number))
}
