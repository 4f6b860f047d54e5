//! The EL1 physical timer, where accesses to it trap: PPI 30.
//!
//! All of it is software, as in Xen (xen/arch/arm/vtimer.c): two registers and a wake-up. The level
//! of PPI 30 is the timer's output, high while it is enabled, not masked, and its time has come
//! (Arm ARM D12.2.4). Where the kernel lets guests at the hardware's own physical timer nothing
//! traps and none of this is used.
//!
//! User space gets here only if `CNTKCTL_EL1.EL0PTEN` lets it: otherwise its access traps to EL1
//! first.

use hv_types::VcpuId;

use crate::device::vgic::{PTIMER, VGic};
use crate::exit::syndrome::SysRegAccess;
use crate::host::on_vcpu::VcpuHost;

/// `CNTP_CTL_EL0.ENABLE`.
const ENABLE: u64 = 1 << 0;
/// `CNTP_CTL_EL0.IMASK`.
const IMASK: u64 = 1 << 1;
/// `CNTP_CTL_EL0.ISTATUS`.
const ISTATUS: u64 = 1 << 2;

/// The physical timer of one vCPU.
#[derive(Clone, Copy, Debug)]
pub struct PTimer {
    /// Whose it is.
    cpu: VcpuId,
    /// `ENABLE` and `IMASK`.
    ctl: u64,
    cval: u64,
    /// It will interrupt, and its time had not come when that was last looked at.
    armed: bool,
}

impl PTimer {
    /// That of `cpu` after reset: off.
    pub const fn new(cpu: VcpuId) -> Self {
        Self {
            cpu,
            ctl: 0,
            cval: 0,
            armed: false,
        }
    }

    /// Its time may come: [`PTimer::look`] has to be asked from time to time.
    #[inline]
    pub const fn is_armed(&self) -> bool {
        self.armed
    }

    /// The tick of the system counter at which it interrupts, where that is not yet.
    pub const fn deadline(&self) -> Option<u64> {
        if self.armed { Some(self.cval) } else { None }
    }

    /// It is tick `now`: sets the level of PPI 30.
    #[cold]
    pub fn look(&mut self, gic: &mut VGic, now: u64) {
        let on = self.ctl & (ENABLE | IMASK) == ENABLE;
        let high = on && now >= self.cval;
        // The last tick of all never comes.
        self.armed = on && !high && self.cval != u64::MAX;
        gic.set_level(self.cpu, PTIMER, high);
    }

    /// Carries out `access`; false where it is to another register. After a write the caller asks
    /// to be woken.
    pub fn emulate<H: VcpuHost>(
        &mut self,
        host: &mut H,
        gic: &mut VGic,
        access: SysRegAccess,
    ) -> bool {
        let (3, 3, 14, 2, register @ 0..=2) = access.encoding() else {
            return false;
        };
        let now = host.now();
        if access.read {
            let value = match register {
                // A signed difference of 32 bits, not extended.
                0 => self.cval.wrapping_sub(now) & 0xffff_ffff,
                1 if self.ctl & ENABLE != 0 && now >= self.cval => self.ctl | ISTATUS,
                1 => self.ctl,
                _ => self.cval,
            };
            host.set_x(access.rt, value);
            return true;
        }
        let value = host.x(access.rt);
        match register {
            #[expect(clippy::cast_possible_truncation, reason = "the register has 32 bits")]
            0 => self.cval = now.wrapping_add_signed((value as u32).cast_signed().into()),
            1 => self.ctl = value & (ENABLE | IMASK),
            _ => self.cval = value,
        }
        self.look(gic, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const TVAL: u8 = 0;
    const CTL: u8 = 1;
    const CVAL: u8 = 2;

    struct Guest {
        timer: PTimer,
        gic: VGic,
        host: FakeHost,
    }

    impl Guest {
        fn new() -> Self {
            Self {
                timer: PTimer::new(VcpuId::BOOT),
                gic: VGic::new(32, 1),
                host: FakeHost::new(0x1000),
            }
        }
        fn access(&mut self, op2: u8, read: bool) {
            let access = SysRegAccess {
                op0: 3,
                op1: 3,
                crn: 14,
                crm: 2,
                op2,
                rt: 3,
                read,
            };
            let host = &mut self.host;
            assert!(self.timer.emulate(host, &mut self.gic, access));
        }
        fn read(&mut self, op2: u8) -> u64 {
            self.host.x[3] = u64::MAX;
            self.access(op2, true);
            self.host.x[3]
        }
        fn write(&mut self, op2: u8, value: u64) {
            self.host.x[3] = value;
            self.access(op2, false);
        }
        fn at(&mut self, now: u64) -> bool {
            self.host.now = now;
            if self.timer.is_armed() {
                self.timer.look(&mut self.gic, now);
            }
            self.gic.level(VcpuId::BOOT, PTIMER)
        }
    }

    #[test]
    fn it_interrupts_when_its_time_has_come_and_not_before() {
        let mut guest = Guest::new();
        guest.host.now = 1000;
        guest.write(TVAL, 50);
        assert_eq!((guest.read(CVAL), guest.timer.deadline()), (1050, None));
        guest.write(CTL, ENABLE);
        assert_eq!(guest.timer.deadline(), Some(1050));
        assert!(!guest.at(1049));
        assert_eq!((guest.read(CTL), guest.read(TVAL)), (ENABLE, 1));
        assert!(guest.at(1050));
        assert_eq!(guest.timer.deadline(), None, "it is there");
        assert_eq!(guest.read(CTL), ENABLE | ISTATUS);
        assert!(guest.at(1060));
        assert_eq!(guest.read(TVAL), 0xffff_fff6, "-10");
        guest.write(CTL, ENABLE | IMASK);
        assert!(!guest.at(1060));
        assert_eq!(guest.read(CTL), ENABLE | IMASK | ISTATUS);
        guest.write(CTL, ENABLE);
        assert!(guest.at(1060), "unmasked, its condition holds");
        guest.write(CVAL, 2000);
        assert!(!guest.at(1061), "re-armed, its level is low");
        guest.write(CTL, 0);
        assert!(!guest.at(3000));
        assert_eq!(guest.read(CTL), 0, "off, it says nothing");
    }

    #[test]
    fn a_time_that_has_passed_is_now_and_the_end_of_time_never() {
        let mut guest = Guest::new();
        guest.host.now = 1000;
        guest.write(CTL, ENABLE);
        assert!(guest.at(1000), "CVAL is 0 after reset");
        guest.write(TVAL, 0xffff_ffff);
        assert_eq!(guest.read(CVAL), 999, "TVAL is signed");
        assert!(guest.at(1000));
        guest.write(TVAL, u64::MAX << 32 | 7);
        assert_eq!(guest.read(CVAL), 1007, "and has 32 bits");
        guest.write(CVAL, u64::MAX);
        assert_eq!(guest.timer.deadline(), None);
        assert!(!guest.at(u64::MAX - 1));
        guest.write(CTL, u64::MAX);
        assert_eq!(guest.read(CTL), ENABLE | IMASK, "the rest is reserved");
    }

    #[test]
    fn other_registers_are_not_its_own() {
        let mut guest = Guest::new();
        for (crm, op2) in [(2, 3), (3, 1), (0, 1)] {
            let access = SysRegAccess {
                op0: 3,
                op1: 3,
                crn: 14,
                crm,
                op2,
                rt: 3,
                read: true,
            };
            let host = &mut guest.host;
            assert!(!guest.timer.emulate(host, &mut guest.gic, access));
        }
    }
}
