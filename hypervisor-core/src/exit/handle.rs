//! From an exit of a vCPU to what happens next.
//!
//! [`Vm::handle`] is the only way in for exits; [`Vm::on_wake`] and [`Vm::on_console`] are for what
//! happens while vCPUs run or wait. An exit ends in `settle`, which brings the level-sensitive
//! interrupts up to date, fills the list registers and decides whether the vCPU waits. What it did
//! for other vCPUs of the guest is then done for them (`look_at`): their list registers are filled,
//! whether or not they run, and a wait may end. [`Vm::running`] says who runs.

use hv_types::{Gva, VcpuId, Vcpus};

use super::disposition::Disposition;
use super::{Exit, Reason, abort, hvc, trap};
use crate::device::backend::Kind;
use crate::device::table::{Devices, Id, Set};
use crate::device::vgic::{EVENT_UPCALL, VGic, VTIMER};
use crate::domain::Domain;
use crate::domain::shutdown::StopReason;
use crate::host::on_vcpu::{OnBoot, OnVcpu, VcpuHost};
use crate::host::{Host, SysReg, Vcpu as _};
use crate::hypercall::event::receive;
use crate::hypercall::grant::backend::{Grants, frames};
use crate::hypercall::grant::foreign;
use crate::vcpu::Vcpu;
use crate::vcpu::action::VcpuAction;
use crate::vcpu::runstate::RunState;
use crate::vcpu::wait::Wait;
use crate::vcpu::walk::stub::Cache;
use crate::vm::Vm;

/// `SCTLR_EL1` of a vCPU that is turned on: MMU and caches off (Xen's `SCTLR_GUEST_INIT`).
const SCTLR_START: u64 = 0x00c5_0078;

impl Vm<'_> {
    /// Handles an exit of a vCPU. In line in the host, which knows the reason, so that it is not
    /// decoded twice.
    #[inline(always)]
    pub fn handle<H: Host>(&mut self, host: &mut H, exit: Exit) -> VcpuAction {
        if !H::BOOT_APART {
            return self.handle_on(&mut OnVcpu::new(host, exit.vcpu), exit.reason);
        }
        if exit.vcpu == VcpuId::BOOT {
            return self.handle_on(&mut OnBoot::boot(host), exit.reason);
        }
        self.handle_other(&mut OnVcpu::new(host, exit.vcpu), exit.reason)
    }

    #[inline(never)]
    fn handle_other<H: VcpuHost>(&mut self, host: &mut H, reason: Reason) -> VcpuAction {
        self.handle_on(host, reason)
    }

    #[inline(always)]
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
                )
            }
            Reason::Maintenance { lr } => {
                let vcpu = &mut self.vcpus[host.id().index()];
                on_maintenance(vcpu, &mut self.devices.gic, host, lr);
                // A host may report this late, of a vCPU that waits by now.
                match vcpu.wait {
                    Wait::None => Disposition::Run,
                    wait => Disposition::Wait(wait),
                }
            }
            Reason::VirtualTimer => {
                let vcpu = &mut self.vcpus[host.id().index()];
                vcpu.timer.on_fire(host.id(), &mut self.devices.gic);
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
    /// Returns why the guest stops, if it does.
    pub fn on_wake<H: Host>(&mut self, host: &mut H) -> Option<StopReason> {
        if let Some(reason) = self.domain.on_time(host.now()) {
            self.cut();
            return Some(reason);
        }
        for id in self.all() {
            let vcpu = &mut self.vcpus[id.index()];
            if vcpu.ptimer.is_armed() {
                look_at_timer(vcpu, &mut self.devices.gic, host);
            }
            self.look_at(host, id);
            let vcpu = &self.vcpus[id.index()];
            // Resumed for its timer, it is the kernel that reports the interrupt.
            let impatient = self.domain.impatient_at.is_none_or(|at| at <= host.now());
            if vcpu.wait == Wait::Interrupt && vcpu.timer.due(host)
                || vcpu.wait == Wait::Peer && impatient
            {
                self.end_wait(host, id);
            }
        }
        // There is one wake-up at a time, and it is used up.
        self.rearm(host);
        None
    }

    /// The console has input for the guest or room for its output.
    pub fn on_console<H: Host>(&mut self, host: &mut H) {
        self.run_devices(host);
        let before = self.runs;
        for id in self.all() {
            if self.vcpu(id).wait == Wait::Retry {
                // The hypercall is executed again; where there is still no room it waits again.
                self.end_wait(host, id);
            }
            self.look_at(host, id);
        }
        if self.runs != before {
            self.rearm(host);
        }
    }

    /// Brings what vCPU `id` is to be told up to date: somebody else may have done something for
    /// it. Ends its wait where what it waits for has come.
    fn look_at<H: Host>(&mut self, host: &mut H, id: VcpuId) {
        let Self {
            domain,
            vcpus,
            devices,
            ..
        } = self;
        let vcpu = &vcpus[id.index()];
        if vcpu.wait == Wait::Off {
            return;
        }
        let gic = &mut devices.gic;
        let upcall = domain.events.upcall_pending(host.window(), &domain.p2m, id);
        gic.set_private_level(id, EVENT_UPCALL, upcall);
        gic.flush(id, host.vcpu(id));
        if vcpu.wait == Wait::Interrupt
            && (gic.deliverable(id) || vcpu.has_polled(&domain.events, host))
        {
            self.end_wait(host, id);
        }
    }

    /// [`Vm::look_at`] of several.
    fn look_after<H: Host>(&mut self, host: &mut H, vcpus: Vcpus) {
        let before = self.runs;
        for id in vcpus.and(self.all()) {
            self.look_at(host, id);
        }
        if self.runs != before {
            self.rearm(host);
        }
    }

    /// Asks to be woken at the next deadline. What was asked for before may have been an earlier
    /// one, or is used up; where there is none, one that is too many does no harm.
    #[inline(never)]
    fn rearm<H: Host>(&self, host: &mut H) {
        if let Some(deadline) = self.next_deadline() {
            host.wake_at(Some(deadline));
        }
    }

    /// What becomes of vCPU `id` that gives up the rest of its turn.
    pub(super) fn yields(&self, id: VcpuId) -> Disposition {
        if self.runs.without(Vcpus::only(id)).is_empty() {
            Disposition::Run
        } else {
            Disposition::Yield
        }
    }

    /// Turns vCPU `id`, which is off, on: it starts at `entry` with `context` in x0, as Xen has it
    /// start.
    pub(super) fn turn_on<H: Host>(
        &mut self,
        host: &mut H,
        id: VcpuId,
        (entry, context): (Gva, u64),
    ) {
        let gic = &mut self.devices.gic;
        let cpu = host.vcpu(id);
        gic.restart(id, cpu);
        gic.set_online(id, true);
        for (register, value) in [
            (SysReg::Sctlr, SCTLR_START),
            (SysReg::Ttbr0, 0),
            (SysReg::Ttbr1, 0),
            (SysReg::Tcr, 0),
        ] {
            cpu.set_sysreg(register, value);
        }
        host.start(id, entry, context);
        self.vcpu(id).stubs = Cache::new();
        // What came while it was off, but for what is its own.
        self.devices.gic.kick(id);
        self.end_wait(host, id);
    }

    /// The store has something for the guest or its back ends, or room for their requests.
    pub fn on_store<H: Host>(&mut self, host: &mut H) {
        self.devices.notify(Set::NICS);
        self.on_disks(host);
    }

    /// The net server has frames or room, or says something about an interface.
    pub fn on_nets<H: Host>(&mut self, host: &mut H) {
        self.devices.notify(Set::NICS);
        self.run_devices(host);
        self.look_after(host, self.all());
    }

    /// The block server has answers, or says something about a disk.
    pub fn on_disks<H: Host>(&mut self, host: &mut H) {
        self.devices.notify(Set::DISKS);
        self.run_devices(host);
        self.look_after(host, self.all());
    }

    /// Other domains have sent events.
    pub fn on_peers<H: Host>(&mut self, host: &mut H) {
        receive(&mut self.domain, &mut self.devices.gic, host);
        for id in self.all() {
            if self.vcpu(id).wait == Wait::Peer {
                // The hypercall goes on; where it still cannot it waits again.
                self.end_wait(host, id);
            }
        }
        self.look_after(host, self.all());
    }

    /// Other domains want pages that the guest grants to them.
    ///
    /// # Errors
    /// The guest must be stopped: its memory is no longer what it was.
    pub fn lend<H: Host>(&mut self, host: &mut H) -> Result<(), crate::memory::p2m::Error> {
        foreign::serve(&mut self.domain, host)
    }

    /// The guest, which has been built, begins to live among others.
    pub(crate) fn meet<H: Host>(&mut self, host: &mut H) {
        if !self.domain.peers.meets_any() {
            return;
        }
        let Self {
            domain, devices, ..
        } = self;
        let both = host.window_and_peers();
        let raise = |cpu| devices.gic.raise_upcall(cpu);
        domain.events.begin_foreign(both, &domain.p2m, raise);
        // What came before.
        self.on_peers(host);
    }

    /// Lets the devices do what there is to do.
    fn run_devices<H: Host>(&mut self, host: &mut H) {
        let Self {
            domain, devices, ..
        } = self;
        let mut upcalls = Vcpus::NONE;
        let disks = devices.is_notified(Id::PvBlock);
        let nics = devices.is_notified(Id::PvNet);
        devices.work(host, |host, service| {
            let raised = domain
                .events
                .raise_service(host.window(), &domain.p2m, service);
            if let Some(cpu) = raised {
                upcalls = upcalls.with(Vcpus::only(cpu));
            }
        });
        if disks || nics {
            let served = serve(domain, devices, host, (disks, nics));
            upcalls = upcalls.with(served);
        }
        for cpu in upcalls {
            devices.gic.raise_upcall(cpu);
        }
    }

    /// Every exit ends here. Most have nothing to do, so the slow paths are out of line.
    #[inline(always)]
    fn settle<H: VcpuHost>(&mut self, host: &mut H, next: Disposition) -> VcpuAction {
        if self.devices.have_work() {
            self.run_devices(host);
        }
        let id = host.id();
        let gic = &mut self.devices.gic;
        let upcall = self
            .domain
            .events
            .upcall_pending(host.window(), &self.domain.p2m, id);
        gic.set_private_level(id, EVENT_UPCALL, upcall);
        let vcpu = &mut self.vcpus[id.index()];
        if vcpu.ptimer.is_armed() {
            look_at_timer(vcpu, gic, host);
        }
        gic.flush(id, host);
        if !gic.kicked().with(self.polls).is_empty() {
            return self.settle_others(host, next);
        }
        match next {
            Disposition::Run => self.run(host),
            next => self.go_on(host, next),
        }
    }

    /// The end of [`Vm::settle`] where there may be something for other vCPUs.
    #[cold]
    #[inline(never)]
    fn settle_others<H: VcpuHost>(&mut self, host: &mut H, next: Disposition) -> VcpuAction {
        let others = self.devices.gic.take_kicked().with(self.polls);
        let ran = self.runs;
        self.look_after(host, others.without(Vcpus::only(host.id())));
        let changed = self.runs != ran;
        match self.go_on(host, next) {
            VcpuAction::Resume if changed => VcpuAction::Others,
            action => action,
        }
    }

    #[inline]
    fn go_on<H: VcpuHost>(&mut self, host: &mut H, next: Disposition) -> VcpuAction {
        match next {
            Disposition::Run => self.run(host),
            Disposition::Wait(wait) => self.wait(host, wait),
            Disposition::Others => {
                self.run(host);
                VcpuAction::Others
            }
            Disposition::Yield => {
                self.run(host);
                VcpuAction::Yield
            }
            Disposition::Stop(reason) => {
                self.cut();
                VcpuAction::Stop(reason)
            }
        }
    }

    #[inline(always)]
    fn run<H: VcpuHost>(&mut self, host: &mut H) -> VcpuAction {
        let id = host.id();
        if self.vcpu(id).wait != Wait::None {
            self.end_wait(host, id);
            self.rearm(host);
        }
        VcpuAction::Resume
    }

    #[inline(never)]
    fn end_wait<H: Host>(&mut self, host: &mut H, id: VcpuId) {
        let Self { domain, vcpus, .. } = self;
        let vcpu = &mut vcpus[id.index()];
        vcpu.wait = Wait::None;
        vcpu.poll = None;
        vcpu.runstate
            .set(host, &domain.p2m, domain.assists, RunState::Running);
        self.runs = self.runs.with(Vcpus::only(id));
        self.polls = self.polls.without(Vcpus::only(id));
    }

    /// Puts the vCPU to sleep, or lets it run where what it waits for is there already.
    #[inline(never)]
    fn wait<H: VcpuHost>(&mut self, host: &mut H, wait: Wait) -> VcpuAction {
        let Self {
            domain,
            vcpus,
            devices,
            ..
        } = self;
        let id = host.id();
        let vcpu = &mut vcpus[id.index()];
        let more = devices.have_work();
        let gic = &mut devices.gic;
        match wait {
            Wait::None => return self.run(host),
            Wait::Interrupt => {
                let ready = gic.deliverable(id) || vcpu.has_polled(&domain.events, host);
                // What is left over for the disks is done a part at a time, at exits.
                if ready || more {
                    return self.run(host);
                }
                let timer = vcpu.timer.deadline(gic, host);
                if timer.is_some_and(|tick| tick <= host.now()) {
                    return self.run(host);
                }
            }
            Wait::Off => gic.set_online(id, false),
            Wait::Retry | Wait::Peer => {}
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
        let polls = vcpu.poll.is_some();
        let only = Vcpus::only(id);
        self.runs = self.runs.without(only);
        if polls {
            self.polls = self.polls.with(only);
        }
        host.wake_at(self.next_deadline());
        VcpuAction::Wait
    }
}

/// Lets back ends do what there is to do; returns the vCPUs whose upcall went up.
fn serve<H: Host>(
    domain: &mut Domain<'_>,
    devices: &mut Devices,
    host: &mut H,
    (disks, nics): (bool, bool),
) -> Vcpus {
    let mut upcalls = Vcpus::NONE;
    let grants = Grants::new(&domain.p2m, frames(domain));
    let (events, inbox) = (&mut domain.events, &mut devices.inbox);
    let mut more = Set::NONE;
    if disks {
        let served = devices.pv_block.serve(host, &grants, events, inbox);
        upcalls = upcalls.with(served);
        if devices.pv_block.has_more() {
            more = more.with(Id::PvBlock);
        }
    }
    // What the store says to one it may have said to the other.
    if nics || inbox.has(Kind::Nics) {
        let served = devices.pv_net.serve(host, &grants, events, inbox);
        upcalls = upcalls.with(served);
        if devices.pv_net.has_more() {
            more = more.with(Id::PvNet);
        }
    }
    if inbox.has(Kind::Disks) {
        more = more.with(Id::PvBlock);
    }
    devices.notify(more);
    upcalls
}

/// Tells the physical timer, which is armed, the time.
#[cold]
#[inline(never)]
fn look_at_timer<H: Host>(vcpu: &mut Vcpu, gic: &mut VGic, host: &mut H) {
    vcpu.ptimer.look(gic, host.now());
}

#[inline]
fn on_maintenance<H: VcpuHost>(vcpu: &mut Vcpu, gic: &mut VGic, host: &mut H, lr: Option<u8>) {
    // The levels of the event upcall and of the UART are settled with every exit.
    if gic.on_maintenance(host.id(), lr) == Some(VTIMER) {
        vcpu.timer.on_eoi(host.id(), gic, host);
    }
}
