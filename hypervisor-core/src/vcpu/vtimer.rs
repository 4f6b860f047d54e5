//! The virtual timer: PPI 27, and waking a vCPU that sleeps until it.
//!
//! The timer itself is the hardware's: the guest programs `CNTV_CTL_EL0` and `CNTV_CVAL_EL0`
//! without an exit. The host tells us when its interrupt fires and keeps it masked until
//! [`Interrupts::ack_vtimer`]. This module turns that into the level of PPI 27:
//!
//! - fired: the level is high ([`VTimer::on_fire`]);
//! - the guest ended PPI 27: the level is low and the host's interrupt is unmasked
//!   ([`VTimer::on_eoi`]). Where the timer's condition still holds (the guest did not re-arm it),
//!   the interrupt fires again at once, which is what a level-sensitive timer does.
//!
//! # A vCPU that sleeps
//!
//! While a vCPU does not run, seL4 keeps its timer switched off (`save_virt_timer` stores
//! `CNTV_CTL` and writes 0, and masks the interrupt), so nothing fires. Before the guest blocks,
//! the exit loop asks for [`VTimer::deadline`] and has itself woken then. On waking it only
//! *resumes* the vCPU. It does not assert PPI 27, because the kernel will anyway: when it switches
//! back to the vCPU, `restore_virt_timer` sets the interrupt's mask from the vCPU's `vppi_masked`,
//! which is false after an acknowledgement, and writes `CNTV_CTL` back; the condition holds, the
//! interrupt fires before the guest gets far, and [`VTimer::on_fire`] follows. Asserting at once
//! would not save that exit: user level can clear `vppi_masked` but not set it, and masking the
//! timer in `CNTV_CTL` instead (as Xen does) would show in a register that the guest owns. Nor
//! would it be wrong: the level is high once however often it is raised. It would only be done
//! twice. The EL2 host, whose mask is its own, reports the interrupt before it enters such a vCPU,
//! so there an exit is saved.
//!
//! If the guest runs a few instructions first, it sees a WFI that completed early, which the
//! architecture allows (Arm ARM D1.6.2).

use hv_types::VcpuId;

use crate::device::vgic::{VGic, VTIMER};
use crate::host::{Clock, Interrupts, SysReg, Vcpu};

/// `CNTV_CTL_EL0.ENABLE` (Arm ARM D19.12.23).
const ENABLE: u64 = 1 << 0;
/// `CNTV_CTL_EL0.IMASK`.
const IMASK: u64 = 1 << 1;

/// The virtual timer of one vCPU.
#[derive(Clone, Copy, Debug)]
pub struct VTimer {
    /// Whose it is.
    cpu: VcpuId,
    /// Fired and not acknowledged: the host holds the interrupt masked.
    fired: bool,
    /// Tick at which the timer of the vCPU that sleeps fires.
    deadline: Option<u64>,
}

impl VTimer {
    /// The timer of `cpu`, which has not fired.
    pub const fn new(cpu: VcpuId) -> Self {
        Self {
            cpu,
            fired: false,
            deadline: None,
        }
    }

    /// The host reports that the timer's interrupt fired. Its vCPU is `cpu`: the caller may know
    /// the number when it is compiled.
    #[inline]
    pub fn on_fire(&mut self, cpu: VcpuId, gic: &mut VGic) {
        self.fired = true;
        gic.set_private_level(cpu, VTIMER, true);
    }

    /// The guest has ended PPI 27. `cpu` as for [`VTimer::on_fire`].
    #[inline]
    pub fn on_eoi<I: Interrupts>(&mut self, cpu: VcpuId, gic: &mut VGic, host: &mut I) {
        gic.set_private_level(cpu, VTIMER, false);
        if self.fired {
            self.fired = false;
            host.ack_vtimer();
        }
    }

    /// Lets the level fall if the guest has re-armed or stopped a timer that fired while PPI 27
    /// could not be delivered (disabled in the distributor, or no list register was free).
    ///
    /// For every write to the distributor, before [`VGic::flush`]: it may have enabled PPI 27.
    /// Costs one test, and register reads only in the case described.
    pub fn recheck<H: Vcpu + Interrupts + Clock>(&mut self, gic: &mut VGic, host: &mut H) {
        if !self.fired || gic.in_list_register(self.cpu, VTIMER) {
            return;
        }
        if fires_at(host).is_none_or(|tick| tick > host.now()) {
            self.on_eoi(self.cpu, gic, host);
        }
    }

    /// The guest asks whether PPI 27 is pending: brings a level that is high up to date with the
    /// timer's condition, also while the guest has the interrupt and re-armed the timer. Where it
    /// holds again, its end lets it fire as ever.
    ///
    /// Costs register reads only after the timer fired and before its interrupt ended.
    pub fn show<H: Vcpu + Interrupts + Clock>(&mut self, gic: &mut VGic, host: &mut H) {
        self.recheck(gic, host);
        if self.fired {
            let high = fires_at(host).is_some_and(|tick| tick <= host.now());
            gic.set_level(self.cpu, VTIMER, high);
        }
    }

    /// The guest is about to block: the tick of the system counter at which its timer would end
    /// that, or `None` if it would not (off, masked, PPI 27 or the distributor disabled).
    ///
    /// A tick that has passed means: do not block. The answer is remembered for [`VTimer::due`].
    pub fn deadline<H: Vcpu>(&mut self, gic: &VGic, host: &mut H) -> Option<u64> {
        // A timer that fired and is still unacknowledged stays masked: it cannot wake anybody.
        self.deadline = if gic.is_enabled(self.cpu, VTIMER) && !self.fired {
            fires_at(host)
        } else {
            None
        };
        self.deadline
    }

    /// The last [`VTimer::deadline`].
    pub const fn sleeps_until(&self) -> Option<u64> {
        self.deadline
    }

    /// The guest sleeps and the host reports that time has passed: whether to resume it.
    ///
    /// `false` where it was early, late for a deadline since cancelled, or meant for somebody else:
    /// ask again for the same [`VTimer::deadline`] (its registers cannot have changed while it
    /// slept).
    pub fn due<C: Clock>(&self, host: &C) -> bool {
        self.deadline.is_some_and(|tick| host.now() >= tick)
    }
}

/// The tick at which the timer's condition holds with its interrupt enabled and unmasked.
///
/// The virtual offset is 0: `CNTVCT_EL0` is the system counter. Both compare as unsigned 64-bit
/// numbers (Arm ARM D12.2.4), so the last tick of all never comes.
fn fires_at<H: Vcpu>(host: &mut H) -> Option<u64> {
    if host.sysreg(SysReg::CntvCtl) & (ENABLE | IMASK) != ENABLE {
        return None;
    }
    Some(host.sysreg(SysReg::CntvCval)).filter(|tick| *tick != u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const BOOT: VcpuId = VcpuId::BOOT;
    const ISENABLER: u32 = 0x100;

    struct Guest {
        gic: VGic,
        timer: VTimer,
        host: FakeHost,
        /// The kernel masks the interrupt between the event and the acknowledgement.
        masked: bool,
    }

    impl Guest {
        fn new() -> Self {
            let mut gic = VGic::new(32, 1);
            assert!(gic.mmio_write(BOOT, 0, 4, 1) && gic.mmio_write(BOOT, ISENABLER, 4, 1 << 27));
            Self {
                gic,
                timer: VTimer::new(BOOT),
                host: FakeHost::new(0x1000),
                masked: false,
            }
        }
        fn arm(&mut self, ctl: u64, cval: u64) {
            self.host.set(SysReg::CntvCtl, ctl);
            self.host.set(SysReg::CntvCval, cval);
        }
        /// The vCPU runs: the kernel restores its timer, which may fire.
        fn run(&mut self) -> bool {
            self.gic.flush(BOOT, &mut self.host);
            let fires =
                !self.masked && fires_at(&mut self.host).is_some_and(|tick| tick <= self.host.now);
            if fires {
                self.masked = true;
                self.timer.on_fire(BOOT, &mut self.gic);
                self.gic.flush(BOOT, &mut self.host);
            }
            fires
        }
        /// The guest takes and ends the interrupt in list register 0.
        fn end(&mut self) {
            assert_eq!(self.gic.on_maintenance(BOOT, Some(0)), Some(VTIMER));
            let before = self.host.vtimer_acks;
            self.timer.on_eoi(BOOT, &mut self.gic, &mut self.host);
            self.masked &= self.host.vtimer_acks == before;
        }
        fn ticks(&self) -> usize {
            self.host
                .injected
                .iter()
                .filter(|(_, intid, _)| *intid == VTIMER)
                .count()
        }
    }

    #[test]
    fn one_tick_is_one_interrupt() {
        let mut guest = Guest::new();
        guest.arm(ENABLE, 100);
        guest.host.now = 100;
        assert!(guest.run());
        assert!(!guest.run(), "masked until it is ended");
        assert_eq!((guest.ticks(), guest.host.vtimer_acks), (1, 0));
        guest.arm(ENABLE, 200);
        guest.end();
        assert!(!guest.run());
        assert_eq!((guest.ticks(), guest.host.vtimer_acks), (1, 1));
        guest.host.now = 200;
        assert!(guest.run());
        assert_eq!(guest.ticks(), 2);
    }

    #[test]
    fn without_being_re_armed_it_fires_again() {
        let mut guest = Guest::new();
        guest.arm(ENABLE, 100);
        guest.host.now = 150;
        assert!(guest.run());
        guest.end();
        assert!(guest.run());
        assert_eq!((guest.ticks(), guest.host.vtimer_acks), (2, 1));
    }

    #[test]
    fn a_sleeper_wakes_for_one_tick() {
        let mut guest = Guest::new();
        guest.arm(ENABLE, 1000);
        guest.host.now = 10;
        assert_eq!(
            guest.timer.deadline(&guest.gic, &mut guest.host),
            Some(1000)
        );
        guest.host.now = 999;
        assert!(!guest.timer.due(&guest.host), "early");
        guest.host.now = 1003;
        assert!(guest.timer.due(&guest.host));
        assert_eq!(guest.ticks(), 0, "waking injects nothing");
        assert!(guest.run());
        assert_eq!(guest.ticks(), 1);
        guest.arm(ENABLE, 2000);
        guest.end();
        assert!(!guest.run());
        assert_eq!(guest.ticks(), 1);
        assert_eq!(
            guest.timer.deadline(&guest.gic, &mut guest.host),
            Some(2000),
            "the next sleep"
        );
        guest.timer.recheck(&mut guest.gic, &mut guest.host);
        assert_eq!(guest.host.vtimer_acks, 1);
    }

    #[test]
    fn a_timer_that_cannot_interrupt_gives_no_deadline() {
        let mut guest = Guest::new();
        for (ctl, cval) in [(0, 5), (IMASK, 5), (ENABLE | IMASK, 5), (ENABLE, u64::MAX)] {
            guest.arm(ctl, cval);
            assert_eq!(
                guest.timer.deadline(&guest.gic, &mut guest.host),
                None,
                "{ctl} {cval}"
            );
            assert!(!guest.timer.due(&guest.host));
        }
        guest.arm(ENABLE | 4, 5);
        assert_eq!(
            guest.timer.deadline(&guest.gic, &mut guest.host),
            Some(5),
            "ISTATUS does not matter"
        );
        assert!(guest.gic.mmio_write(BOOT, 0x180, 4, 1 << 27));
        assert_eq!(
            guest.timer.deadline(&guest.gic, &mut guest.host),
            None,
            "PPI disabled"
        );
        assert!(
            guest.gic.mmio_write(BOOT, ISENABLER, 4, 1 << 27)
                && guest.gic.mmio_write(BOOT, 0, 4, 0)
        );
        assert_eq!(
            guest.timer.deadline(&guest.gic, &mut guest.host),
            None,
            "distributor disabled"
        );
    }

    #[test]
    fn a_tick_while_disabled_waits_and_is_dropped_if_the_timer_was_stopped() {
        for stopped in [false, true] {
            let mut guest = Guest::new();
            assert!(guest.gic.mmio_write(BOOT, 0x180, 4, 1 << 27));
            guest.arm(ENABLE, 100);
            guest.host.now = 100;
            assert!(guest.run());
            assert_eq!(guest.ticks(), 0);
            assert_eq!(
                guest.timer.deadline(&guest.gic, &mut guest.host),
                None,
                "it sleeps, not spins"
            );
            if stopped {
                guest.arm(0, 100);
            }
            assert!(guest.gic.mmio_write(BOOT, ISENABLER, 4, 1 << 27));
            guest.timer.recheck(&mut guest.gic, &mut guest.host);
            guest.gic.flush(BOOT, &mut guest.host);
            assert_eq!(
                (guest.ticks(), guest.host.vtimer_acks),
                if stopped { (0, 1) } else { (1, 0) }
            );
        }
    }

    #[test]
    fn a_tick_that_software_holds_back_does_not_keep_the_guest_awake() {
        let mut guest = Guest::new();
        assert!(
            guest.gic.mmio_write(BOOT, 0x300, 4, 1 << 27),
            "PPI 27 active"
        );
        guest.arm(ENABLE, 100);
        guest.host.now = 100;
        assert!(guest.run());
        assert!(!guest.gic.deliverable(BOOT));
        assert_eq!(guest.timer.deadline(&guest.gic, &mut guest.host), None);
    }

    #[test]
    fn rechecking_costs_no_register_read_in_the_ordinary_case() {
        let mut guest = Guest::new();
        guest.timer.recheck(&mut guest.gic, &mut guest.host);
        guest.arm(ENABLE, 1);
        guest.host.now = 1;
        guest.run();
        let reads = guest.host.sysreg_reads;
        guest.timer.recheck(&mut guest.gic, &mut guest.host);
        assert_eq!(
            (guest.host.sysreg_reads, guest.host.vtimer_acks),
            (reads, 0)
        );
        assert!(guest.gic.level(BOOT, VTIMER));
    }
}
