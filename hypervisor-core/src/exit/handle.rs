//! From an exit of a vCPU to what happens next.
//!
//! [`Vm::handle`] is the only way in for exits; [`Vm::on_wake`] and [`Vm::on_console`] are for what
//! happens while the vCPU runs or waits. Each ends in `settle`, which brings the level-sensitive
//! interrupts up to date, fills the list registers and decides whether a waiting vCPU may run.

use hv_types::VcpuId;

use super::disposition::Disposition;
use super::{Exit, Reason, abort, hvc, trap};
use crate::device::vgic::{EVENT_UPCALL, VGic, VTIMER};
use crate::domain::shutdown::StopReason;
use crate::host::on_vcpu::{OnVcpu, VcpuHost};
use crate::host::{Clock as _, Host};
use crate::vcpu::Vcpu;
use crate::vcpu::action::VcpuAction;
use crate::vcpu::runstate::RunState;
use crate::vcpu::wait::Wait;
use crate::vm::Vm;

impl Vm<'_> {
    /// Handles an exit of a vCPU.
    #[inline]
    pub fn handle<H: Host>(&mut self, host: &mut H, exit: Exit) -> VcpuAction {
        self.handle_on(&mut OnVcpu::new(host, exit.vcpu), exit.reason)
    }

    fn handle_on<H: VcpuHost>(&mut self, host: &mut H, reason: Reason) -> VcpuAction {
        let next = match reason {
            Reason::Hvc => hvc::unseen(self, host),
            Reason::Trap { esr } => trap::on_trap(self, host, esr),
            Reason::Abort { gpa, iss, fetch } => {
                let vcpu = &mut self.vcpus[host.id().index()];
                abort::on_abort(
                    &self.domain,
                    vcpu,
                    &mut self.devices,
                    host,
                    (gpa, iss, fetch),
                );
                Disposition::Run
            }
            Reason::Maintenance { lr } => {
                let vcpu = &mut self.vcpus[host.id().index()];
                on_maintenance(vcpu, &mut self.devices.gic, host, lr);
                Disposition::Run
            }
            Reason::VirtualTimer => {
                let vcpu = &mut self.vcpus[host.id().index()];
                vcpu.timer.on_fire(&mut self.devices.gic);
                Disposition::Run
            }
            Reason::Unknown { pc } => {
                host.log(format_args!(
                    "the vCPU stopped at {pc:#x} for a reason the kernel did not tell; the guest cannot go on"
                ));
                Disposition::Stop(StopReason::Fatal)
            }
        };
        self.settle(host, next)
    }

    /// Time has passed: what was asked for by `wake_at`, or an early look, which costs little.
    pub fn on_wake<H: Host>(&mut self, host: &mut H) -> VcpuAction {
        let host = &mut OnVcpu::new(host, VcpuId::BOOT);
        if let Some(reason) = self.domain.on_time(host.now()) {
            return self.settle(host, Disposition::Stop(reason));
        }
        let vcpu = &mut self.vcpus[host.id().index()];
        if vcpu.ptimer.is_armed() {
            look_at_timer(vcpu, &mut self.devices.gic, host);
        }
        // There is one wake-up at a time, and it is used up; a watchdog may want a later one. Where
        // the vCPU waits, going on to wait or ending the wait asks for it.
        if vcpu.wait == Wait::None
            && let Some(deadline) = vcpu.next_deadline(&self.domain.watchdogs)
        {
            host.wake_at(Some(deadline));
        }
        self.resettle(host)
    }

    /// The console has input for the guest or room for its output.
    pub fn on_console<H: Host>(&mut self, host: &mut H) -> VcpuAction {
        let host = &mut OnVcpu::new(host, VcpuId::BOOT);
        self.run_devices(host);
        if self.vcpu(host.id()).wait == Wait::Retry {
            // The hypercall is executed again; where there is still no room it waits again.
            return self.settle(host, Disposition::Run);
        }
        self.resettle(host)
    }

    /// The store has something for the guest, or room for its requests.
    pub fn on_store<H: Host>(&mut self, host: &mut H) -> VcpuAction {
        let host = &mut OnVcpu::new(host, VcpuId::BOOT);
        self.run_devices(host);
        self.resettle(host)
    }

    fn resettle<H: VcpuHost>(&mut self, host: &mut H) -> VcpuAction {
        let next = match self.vcpu(host.id()).wait {
            Wait::None => Disposition::Run,
            wait => Disposition::Wait(wait),
        };
        self.settle(host, next)
    }

    /// Lets the devices do what there is to do.
    fn run_devices<H: Host>(&mut self, host: &mut H) {
        let Self {
            domain, devices, ..
        } = self;
        devices.work(host, |host, service| {
            domain
                .events
                .raise_service(host.window(), &domain.p2m, service);
        });
    }

    /// Every exit ends here. Most have nothing to do, so the slow paths are out of line.
    #[inline]
    fn settle<H: VcpuHost>(&mut self, host: &mut H, next: Disposition) -> VcpuAction {
        if self.devices.have_work() {
            self.run_devices(host);
        }
        let gic = &mut self.devices.gic;
        let upcall = self
            .domain
            .events
            .upcall_pending(host.window(), &self.domain.p2m);
        gic.set_level(EVENT_UPCALL, upcall);
        let vcpu = &mut self.vcpus[host.id().index()];
        if vcpu.ptimer.is_armed() {
            look_at_timer(vcpu, gic, host);
        }
        gic.flush(host);
        match next {
            Disposition::Run => self.run(host),
            Disposition::Wait(wait) => self.wait(host, wait),
            Disposition::Stop(reason) => {
                self.domain.events.shut();
                VcpuAction::Stop(reason)
            }
        }
    }

    #[inline]
    fn run<H: VcpuHost>(&mut self, host: &mut H) -> VcpuAction {
        if self.vcpu(host.id()).wait != Wait::None {
            self.end_wait(host);
        }
        VcpuAction::Resume
    }

    #[inline(never)]
    fn end_wait<H: VcpuHost>(&mut self, host: &mut H) {
        let Self { domain, vcpus, .. } = self;
        let vcpu = &mut vcpus[host.id().index()];
        vcpu.wait = Wait::None;
        vcpu.poll = None;
        vcpu.runstate
            .set(host, &domain.p2m, domain.assists, RunState::Running);
        // The sleep may have asked for an earlier wake-up than a watchdog's.
        if let Some(deadline) = vcpu.next_deadline(&domain.watchdogs) {
            host.wake_at(Some(deadline));
        }
    }

    /// Puts the vCPU to sleep, or lets it run where what it waits for is there already.
    #[inline(never)]
    fn wait<H: VcpuHost>(&mut self, host: &mut H, wait: Wait) -> VcpuAction {
        let Self {
            domain,
            vcpus,
            devices,
        } = self;
        let vcpu = &mut vcpus[host.id().index()];
        let gic = &devices.gic;
        let polled = |vcpu: &Vcpu, host: &H| {
            let poll = vcpu.poll.as_ref();
            poll.is_some_and(|poll| poll.is_over(&domain.events, host))
        };
        let timer = match wait {
            Wait::None => return self.run(host),
            Wait::Interrupt if gic.deliverable() || polled(vcpu, host) => {
                return self.run(host);
            }
            // Resumed for its timer, it is the kernel that reports the interrupt.
            Wait::Interrupt if vcpu.wait == Wait::Interrupt && vcpu.timer.due(host) => {
                return self.run(host);
            }
            Wait::Interrupt => vcpu.timer.deadline(gic, host),
            Wait::Retry | Wait::Off => None,
        };
        if timer.is_some_and(|tick| tick <= host.now()) {
            return self.run(host);
        }
        if vcpu.wait == Wait::None {
            let state = if wait == Wait::Off {
                RunState::Offline
            } else {
                RunState::Blocked
            };
            vcpu.runstate.set(host, &domain.p2m, domain.assists, state);
        }
        vcpu.wait = wait;
        let deadline = [timer, vcpu.next_deadline(&domain.watchdogs)];
        host.wake_at(deadline.into_iter().flatten().min());
        VcpuAction::Wait
    }
}

/// Tells the physical timer, which is armed, the time.
#[cold]
#[inline(never)]
fn look_at_timer<H: Host>(vcpu: &mut Vcpu, gic: &mut VGic, host: &mut H) {
    vcpu.ptimer.look(gic, host.now());
}

fn on_maintenance<H: VcpuHost>(vcpu: &mut Vcpu, gic: &mut VGic, host: &mut H, lr: Option<u8>) {
    // The levels of the event upcall and of the UART are settled with every exit.
    if gic.on_maintenance(lr) == Some(VTIMER) {
        vcpu.timer.on_eoi(gic, host);
    }
}
