//! From an exit of the vCPU to what happens next.
//!
//! [`Vm::handle`] is the only way in for exits; [`Vm::on_wake`] and [`Vm::on_console`] are for what
//! happens while the vCPU runs or waits. Each ends in `settle`, which brings the level-sensitive
//! interrupts up to date, fills the list registers and decides whether a waiting vCPU may run.

use hv_types::{Gpa, Gva};

use super::psci::{self, Conduit, SmcccAction};
use super::{Exit, sysreg};
use crate::device::vgic::{self, EVENT_UPCALL, VTIMER};
use crate::device::vpl011::Vpl011;
use crate::diag::fault::{Aborted, NoRegister};
use crate::diag::guest_map::Map;
use crate::evtchn::Service;
use crate::exit::mmio::{self, Mmio, instruction};
use crate::exit::syndrome::{self, Abort, SysRegAccess, Trap, WaitKind};
use crate::host::Host;
use crate::hypercall::{self, Outcome, RunState};
use crate::vcpu::{inject, walk};
use crate::vm::{Next, StopReason, Vm, Wait};

/// Bytes of an A64 instruction.
const INSTRUCTION: u64 = 4;
/// Immediate of a Xen hypercall (`XEN_HYPERCALL_TAG`, xen/include/public/arch-arm.h).
const XEN_TAG: u16 = 0xea1;
/// `PSTATE.nRW`: AArch32.
const AARCH32: u64 = 1 << 4;

/// What an exit's handler decided, before the interrupts are settled.
enum Do {
    Run,
    Wait(Wait),
    Stop(StopReason),
}

impl Vm<'_> {
    /// Handles an exit of the vCPU.
    pub fn handle<H: Host>(&mut self, host: &mut H, exit: Exit) -> Next {
        let next = match exit {
            Exit::Hvc => self.on_hvc(host),
            Exit::Trap { esr } => self.on_trap(host, esr),
            Exit::Abort { gpa, iss, fetch } => {
                self.on_abort(host, gpa, iss, fetch);
                Do::Run
            }
            Exit::Maintenance { lr } => {
                self.on_maintenance(host, lr);
                Do::Run
            }
            Exit::VirtualTimer => {
                self.timer.on_fire(&mut self.gic);
                Do::Run
            }
            Exit::Unknown { pc } => {
                host.log(format_args!(
                    "the vCPU stopped at {pc:#x} for a reason the kernel did not tell; the guest cannot go on"
                ));
                Do::Stop(StopReason::Fatal)
            }
        };
        self.settle(host, next)
    }

    /// Time has passed: what was asked for by `wake_at`, or an early look, which costs little.
    pub fn on_wake<H: Host>(&mut self, host: &mut H) -> Next {
        if let Some(reason) = self.hc.on_time(host.now()) {
            return self.settle(host, Do::Stop(reason));
        }
        if self.ptimer.is_armed() {
            self.look_at_timer(host);
        }
        // There is one wake-up at a time, and it is used up; a watchdog may want a later one. Where the
        // vCPU waits, going on to wait or ending the wait asks for it.
        if self.wait == Wait::None
            && let Some(deadline) = self.next_deadline()
        {
            host.wake_at(Some(deadline));
        }
        self.resettle(host)
    }

    /// The console has input for the guest or room for its output.
    pub fn on_console<H: Host>(&mut self, host: &mut H) -> Next {
        self.pump_console(host);
        if self.wait == Wait::Retry {
            // The hypercall is executed again; where there is still no room it waits again.
            return self.settle(host, Do::Run);
        }
        self.resettle(host)
    }

    /// The tick at which [`Vm::on_wake`] has something to do, as far as the guest's virtual timer is not concerned.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        [self.hc.next_deadline(), self.ptimer.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    fn resettle<H: Host>(&mut self, host: &mut H) -> Next {
        let next = match self.wait {
            Wait::None => Do::Run,
            wait => Do::Wait(wait),
        };
        self.settle(host, next)
    }

    /// Moves bytes between the guest's consoles and the console server.
    #[inline(never)]
    fn pump_console<H: Host>(&mut self, host: &mut H) {
        self.hc.console_kick = false;
        let (window, console) = host.window_and_console();
        let mut broken = None;
        if let Some(ring) = &mut self.console {
            let input = self.vpl011.as_ref().is_none_or(Vpl011::leaves_input);
            if ring.pump(window, console, input) {
                self.events
                    .raise_service(window, &self.p2m, Service::Console);
            }
            broken = ring.take_broken();
        }
        if let Some(uart) = &mut self.vpl011
            && uart.pump(console)
        {
            self.gic
                .set_level(self.layout.vpl011_intid, uart.irq_level());
        }
        if let Some(broken) = broken {
            host.log(format_args!("{broken}"));
        }
    }

    /// Of every exit the end, which for most finds nothing to do: what there may be is out of line.
    #[inline]
    fn settle<H: Host>(&mut self, host: &mut H, next: Do) -> Next {
        if self.hc.console_kick {
            self.pump_console(host);
        }
        let upcall = self.events.upcall_pending(host.window(), &self.p2m);
        self.gic.set_level(EVENT_UPCALL, upcall);
        if self.ptimer.is_armed() {
            self.look_at_timer(host);
        }
        self.gic.flush(host);
        match next {
            Do::Run => self.run(host),
            Do::Wait(wait) => self.wait(host, wait),
            Do::Stop(reason) => {
                self.events.shut();
                Next::Stop(reason)
            }
        }
    }

    #[inline]
    fn run<H: Host>(&mut self, host: &mut H) -> Next {
        if self.wait != Wait::None {
            self.end_wait(host);
        }
        Next::Resume
    }

    #[inline(never)]
    fn end_wait<H: Host>(&mut self, host: &mut H) {
        self.wait = Wait::None;
        self.hc.resumed();
        hypercall::set_runstate(self, host, RunState::Running);
        // The sleep may have asked for an earlier wake-up than a watchdog's.
        if let Some(deadline) = self.next_deadline() {
            host.wake_at(Some(deadline));
        }
    }

    /// Puts the vCPU to sleep, or lets it run where what it waits for is there already.
    #[inline(never)]
    fn wait<H: Host>(&mut self, host: &mut H, wait: Wait) -> Next {
        let timer = match wait {
            Wait::None => return self.run(host),
            Wait::Interrupt if self.gic.deliverable() || hypercall::poll_is_over(self, host) => {
                return self.run(host);
            }
            // Resumed for its timer, it is the kernel that reports the interrupt.
            Wait::Interrupt if self.wait == Wait::Interrupt && self.timer.due(host) => {
                return self.run(host);
            }
            Wait::Interrupt => self.timer.deadline(&self.gic, host),
            Wait::Retry | Wait::Off => None,
        };
        if timer.is_some_and(|tick| tick <= host.now()) {
            return self.run(host);
        }
        if self.wait == Wait::None {
            hypercall::set_runstate(
                self,
                host,
                if wait == Wait::Off {
                    RunState::Offline
                } else {
                    RunState::Blocked
                },
            );
        }
        self.wait = wait;
        let deadline = [timer, self.next_deadline()].into_iter().flatten().min();
        host.wake_at(deadline);
        Next::Wait
    }

    fn on_hvc<H: Host>(&mut self, host: &mut H) -> Do {
        let pc = host.pc();
        match walk::fetch_hvc(host, &self.p2m, &mut self.walk) {
            Ok(site) if site.imm == XEN_TAG => {
                let nr = match site.nr {
                    Some(nr) => nr,
                    None => host.x(16),
                };
                self.hypercall(host, nr, pc)
            }
            Ok(site) => self.other_hvc(host, site.imm, pc),
            // The text is not readable or has changed since: what stands there now is no call of ours.
            Err(_) => {
                inject::undefined(host);
                Do::Run
            }
        }
    }

    /// Executes a hypercall whose HVC is at `at`.
    fn hypercall<H: Host>(&mut self, host: &mut H, nr: u64, at: Gva) -> Do {
        let args = [host.x(0), host.x(1), host.x(2), host.x(3), host.x(4)];
        let after = Gva::new(at.raw().wrapping_add(INSTRUCTION));
        match hypercall::dispatch(self, host, nr, args) {
            Outcome::Return(value) => {
                host.set_x(0, value.cast_unsigned());
                host.set_pc(after);
                Do::Run
            }
            Outcome::Yield => {
                host.set_x(0, 0);
                host.set_pc(after);
                // A guest yields while a ring is full; what drains it must come first.
                self.hc.console_kick = true;
                Do::Run
            }
            Outcome::Block => {
                host.set_x(0, 0);
                host.set_pc(after);
                Do::Wait(Wait::Interrupt)
            }
            Outcome::Continue { args } => {
                for (n, value) in (0_u8..).zip(args) {
                    host.set_x(n, value);
                }
                host.set_pc(at);
                Do::Run
            }
            Outcome::Retry => {
                host.set_pc(at);
                Do::Wait(Wait::Retry)
            }
            Outcome::Stop(reason) => Do::Stop(reason),
        }
    }

    fn other_hvc<H: Host>(&mut self, host: &mut H, imm: u16, at: Gva) -> Do {
        host.set_pc(Gva::new(at.raw().wrapping_add(INSTRUCTION)));
        if imm == 0 {
            return self.smccc(host, Conduit::Hvc);
        }
        // Xen answers another immediate with UNDEF, its ELR behind the instruction.
        inject::undefined(host);
        Do::Run
    }

    fn smccc<H: Host>(&mut self, host: &mut H, conduit: Conduit) -> Do {
        match psci::call(host, conduit) {
            SmcccAction::Resume => Do::Run,
            SmcccAction::Wait => Do::Wait(Wait::Interrupt),
            SmcccAction::Off => Do::Wait(Wait::Off),
            // A code latched by SCHEDOP_shutdown_code counts, as in Xen.
            SmcccAction::Stop(reason) => Do::Stop(self.hc.shutdown(reason.code())),
        }
    }

    fn on_trap<H: Host>(&mut self, host: &mut H, esr_el2: u32) -> Do {
        let pc = host.pc();
        let trap = syndrome::decode(esr_el2);
        if let Trap::Hvc { imm } = trap {
            // A kernel that reports HVC as a trap leaves the PC behind it.
            let at = Gva::new(pc.raw().wrapping_sub(INSTRUCTION));
            if imm == XEN_TAG {
                let nr = host.x(16);
                return self.hypercall(host, nr, at);
            }
            return self.other_hvc(host, imm, at);
        }
        let after = Gva::new(pc.raw().wrapping_add(length(host, esr_el2)));
        match trap {
            Trap::Smc { imm: 0 } => {
                host.set_pc(after);
                self.smccc(host, Conduit::Smc)
            }
            Trap::Wait(WaitKind::Wfi) => {
                host.set_pc(after);
                Do::Wait(Wait::Interrupt)
            }
            // WFE and the variants with a timeout may end at any time.
            Trap::Wait(_) => {
                host.set_pc(after);
                Do::Run
            }
            Trap::SysReg(access) if sysreg::emulate(host, access) => {
                host.set_pc(after);
                Do::Run
            }
            Trap::SysReg(access) if self.physical_timer(host, access) => {
                host.set_pc(after);
                Do::Run
            }
            Trap::SysReg(access) => {
                host.log(format_args!("{}", NoRegister { access, pc }));
                inject::undefined(host);
                Do::Run
            }
            _ => {
                inject::undefined(host);
                Do::Run
            }
        }
    }

    /// An access to the physical timer's registers; false where it is to another.
    #[inline(never)]
    fn physical_timer<H: Host>(&mut self, host: &mut H, access: SysRegAccess) -> bool {
        let done = self.ptimer.emulate(host, &mut self.gic, access);
        if done && !access.read && self.ptimer.is_armed() {
            host.wake_at(self.next_deadline());
        }
        done
    }

    /// Tells the physical timer, which is armed, the time.
    #[cold]
    #[inline(never)]
    fn look_at_timer<H: Host>(&mut self, host: &mut H) {
        self.ptimer.look(&mut self.gic, host.now());
    }

    /// The guest's physical map, for words about addresses.
    fn map(&self) -> Map {
        let vpl011 = self.vpl011.is_some();
        let extended = self.record.extended.iter();
        let extended = extended.map(|region| (region.start(), region.size()));
        Map::new(&self.layout, &self.record.max_banks, extended, vpl011)
    }

    #[inline]
    fn on_abort<H: Host>(&mut self, host: &mut H, gpa: Gpa, iss: u32, fetch: bool) {
        if !fetch
            && let Some(access) = Mmio::from_abort(gpa, iss)
            && self.access(host, access)
        {
            let pc = host.pc();
            host.set_pc(Gva::new(pc.raw().wrapping_add(INSTRUCTION)));
            return;
        }
        self.on_other_abort(host, gpa, iss, fetch);
    }

    /// An abort that is no access which the syndrome describes and a device takes.
    #[cold]
    #[inline(never)]
    fn on_other_abort<H: Host>(&mut self, host: &mut H, gpa: Gpa, iss: u32, fetch: bool) {
        let abort = Abort::new(iss);
        if !fetch && !abort.has_syndrome() && self.undescribed(host, gpa, abort) {
            let pc = host.pc();
            host.set_pc(Gva::new(pc.raw().wrapping_add(INSTRUCTION)));
            return;
        }
        let pc = host.pc();
        let aborted = Aborted {
            map: &self.map(),
            gpa,
            pc,
            abort,
            fetch,
        };
        host.log(format_args!("{aborted}"));
        inject::abort(host, &self.p2m, gpa, abort, fetch);
    }

    /// Carries out what the syndrome does not describe, where something answers at `gpa`: maintenance of caches has nothing to do
    /// there, and a load or store with write-back is read from the guest's text. False where that cannot be told.
    ///
    /// The word is read once: another vCPU may write it meanwhile.
    fn undescribed<H: Host>(&mut self, host: &mut H, gpa: Gpa, abort: Abort) -> bool {
        if !self.answers_at(gpa) {
            return false;
        }
        if abort.cache_maintenance() {
            return mmio::is_maintenance(abort.iss());
        }
        if host.pstate() & AARCH32 != 0 {
            return false;
        }
        let Ok(word) = walk::fetch_word(host, &self.p2m, &mut walk::Regime::new()) else {
            return false;
        };
        let Some(form) = instruction::WriteBack::decode(word) else {
            return false;
        };
        let base = instruction::base(host, form.base);
        let Some(access) = form.access(gpa, abort, base) else {
            return false;
        };
        let done = self.access_again(host, access);
        if done {
            instruction::set_base(host, form.base, form.moved(base));
        }
        done
    }

    /// Whether an emulated device is at `gpa`, or the domain asked for silence where nothing is.
    fn answers_at(&self, gpa: Gpa) -> bool {
        offset_in(gpa, self.layout.gicd, u64::from(vgic::GICD_SIZE)).is_some()
            || self.vpl011.is_some() && offset_in(gpa, self.layout.vpl011, 0x1000).is_some()
            || !self.record.trap_unmapped
    }

    /// [`Vm::access`], out of line for what is rare.
    #[cold]
    #[inline(never)]
    fn access_again<H: Host>(&mut self, host: &mut H, access: Mmio) -> bool {
        self.access(host, access)
    }

    /// Carries out an access to a device; false where there is none, or none of that size. With most aborts, so it is in line there.
    #[inline(always)]
    fn access<H: Host>(&mut self, host: &mut H, access: Mmio) -> bool {
        if let Some(offset) = offset_in(access.gpa, self.layout.gicd, u64::from(vgic::GICD_SIZE)) {
            return self.access_gicd(host, access, offset);
        }
        if let Some(offset) = offset_in(access.gpa, self.layout.vpl011, 0x1000)
            && self.vpl011.is_some()
        {
            return self.access_uart(host, access, offset);
        }
        // A domain may ask for reads of all ones and ignored writes where nothing is.
        if !self.record.trap_unmapped && !access.write {
            access.finish_load(host, u64::MAX);
        }
        !self.record.trap_unmapped
    }

    /// As [`Vm::access`].
    #[inline(always)]
    fn access_gicd<H: Host>(&mut self, host: &mut H, access: Mmio, offset: u32) -> bool {
        if access.write {
            let Ok(value) = u32::try_from(access.value(host)) else {
                return false;
            };
            let done = self.gic.mmio_write(offset, access.size, value);
            self.timer.recheck(&mut self.gic, host);
            return done;
        }
        if vgic::shows_pending(offset) {
            self.show_pending(host);
        }
        let value = self.gic.mmio_read(offset, access.size);
        if let Some(value) = value {
            access.finish_load(host, u64::from(value));
        }
        value.is_some()
    }

    /// Brings the levels of the timers up to date, for a guest that looks.
    #[cold]
    #[inline(never)]
    fn show_pending<H: Host>(&mut self, host: &mut H) {
        self.timer.show(&mut self.gic, host);
        self.ptimer.look(&mut self.gic, host.now());
    }

    fn access_uart<H: Host>(&mut self, host: &mut H, access: Mmio, offset: u32) -> bool {
        let Some(uart) = &mut self.vpl011 else {
            return false;
        };
        let done = if access.write {
            match u32::try_from(access.value(host)) {
                Ok(value) => {
                    let open = uart.is_open();
                    let done = uart.mmio_write(offset, access.size, value, host.console());
                    // A UART that is closed leaves what waits to the PV console.
                    self.hc.console_kick |= open && !uart.is_open();
                    done
                }
                Err(_) => false,
            }
        } else {
            let value = uart.mmio_read(offset, access.size, host.console());
            if let Some(value) = value {
                access.finish_load(host, u64::from(value));
            }
            value.is_some()
        };
        self.gic
            .set_level(self.layout.vpl011_intid, uart.irq_level());
        done
    }

    fn on_maintenance<H: Host>(&mut self, host: &mut H, lr: Option<u8>) {
        // The levels of the event upcall and of the UART are settled with every exit.
        if self.gic.on_maintenance(lr) == Some(VTIMER) {
            self.timer.on_eoi(&mut self.gic, host);
        }
    }
}

/// Bytes of the instruction that trapped: AArch32 user space has instructions of 16 bits, which the IL bit of `ESR_EL2` tells.
fn length<H: Host>(host: &mut H, esr: u32) -> u64 {
    let short = esr >> 25 & 1 == 0 && host.pstate() & AARCH32 != 0;
    if short { 2 } else { INSTRUCTION }
}

fn offset_in(gpa: Gpa, base: Gpa, size: u64) -> Option<u32> {
    let offset = gpa.raw().checked_sub(base.raw())?;
    if offset < size {
        u32::try_from(offset).ok()
    } else {
        None
    }
}
