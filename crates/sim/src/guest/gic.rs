//! The guest's interrupt controller and timer, as a driver uses them.

use dt_server_api::XEN_LAYOUT;
use hypervisor_core::exit::Reason;
use hypervisor_core::host::SysReg;

use super::Guest;
use super::insn::Width;
use crate::gicv::Gicv;

/// The distributor.
pub const GICD: u64 = XEN_LAYOUT.gicd.raw();
/// The CPU interface, behind which is the hardware's virtual one.
pub const GICC: u64 = XEN_LAYOUT.gicc.raw();
/// The vpl011.
pub const UART: u64 = XEN_LAYOUT.vpl011.raw();
/// INTID of the vpl011.
pub const UART_INTID: u16 = XEN_LAYOUT.vpl011_intid;
/// INTID of the virtual timer.
pub const VTIMER: u16 = 27;
/// INTID of the event upcall.
pub const UPCALL: u16 = 31;

// Registers of the CPU interface.
const CTLR: u64 = 0x00;
const PMR: u64 = 0x04;
const IAR: u64 = 0x0c;
const EOIR: u64 = 0x10;
const SIZE: u64 = 0x2000;
/// Priority that every interrupt gets from [`Guest::enable_interrupt`], as Linux gives it.
const PRIORITY: u64 = 0xa0;

impl Guest<'_> {
    fn gicv(&mut self) -> &mut Gicv {
        &mut self.cpu_mut().gicv
    }

    /// An access to the CPU interface, which takes no exit; `None` where it is not there.
    pub(super) fn cpu_interface(&mut self, gpa: u64, store: bool) -> Option<u64> {
        let offset = gpa.checked_sub(GICC).filter(|offset| *offset < SIZE)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "registers are narrower than x registers"
        )]
        let (low, intid) = (self.x(super::RT) as u8, self.x(super::RT) as u16 & 0x3ff);
        match (offset, store) {
            (CTLR, true) => self.gicv().enabled = low & 1 != 0,
            (PMR, true) => self.gicv().mask = low & 0xf8,
            (EOIR, true) => {
                if let Some(lr) = self.gicv().end(intid) {
                    // The maintenance interrupt comes after the store.
                    let pc = self.pc();
                    self.set_pc(pc + 4);
                    self.sys
                        .exit(self.index, self.cpu, Reason::Maintenance { lr: Some(lr) });
                }
            }
            (CTLR, false) => return Some(self.gicv().enabled.into()),
            (PMR, false) => return Some(self.gicv().mask.into()),
            (IAR, false) => return Some(self.gicv().acknowledge().into()),
            _ => {}
        }
        Some(0)
    }

    /// Switches distributor and CPU interface on, every priority passing.
    pub fn enable_gic(&mut self) {
        self.store(GICD, Width::Word, 1);
        self.store(GICC + PMR, Width::Word, 0xf0);
        self.store(GICC + CTLR, Width::Word, 1);
    }

    /// Enables `intid` in the distributor.
    pub fn enable_interrupt(&mut self, intid: u16) {
        let (word, bit) = (u64::from(intid / 32) * 4, 1 << (intid % 32));
        self.store(GICD + 0x400 + u64::from(intid), Width::Byte, PRIORITY);
        self.store(GICD + 0x100 + word, Width::Word, bit);
    }

    /// Disables `intid` in the distributor.
    pub fn disable_interrupt(&mut self, intid: u16) {
        let (word, bit) = (u64::from(intid / 32) * 4, 1 << (intid % 32));
        self.store(GICD + 0x180 + word, Width::Word, bit);
    }

    /// Whether an interrupt is signalled to the vCPU.
    pub fn irq(&mut self) -> bool {
        self.is_running();
        self.gicv().irq()
    }

    /// Reads `GICC_IAR`; 1023 where nothing is pending.
    pub fn acknowledge(&mut self) -> u16 {
        u16::try_from(self.load(GICC + IAR, Width::Word)).expect("an interrupt number")
    }

    /// Writes `GICC_EOIR`.
    pub fn end(&mut self, intid: u16) {
        self.store(GICC + EOIR, Width::Word, intid.into());
    }

    /// Takes and ends everything that is signalled, stopping the timer where it is that; the
    /// numbers, in order.
    ///
    /// # Panics
    /// If there is no end to it.
    pub fn take_interrupts(&mut self) -> Vec<u16> {
        let mut taken = Vec::new();
        while self.irq() {
            let intid = self.acknowledge();
            taken.push(intid);
            if intid == VTIMER {
                self.stop_timer();
            }
            self.end(intid);
            assert!(
                taken.len() < 1000,
                "interrupts without end: {:?}",
                &taken[..20]
            );
        }
        taken
    }

    /// Sets the virtual timer to fire at tick `cval`, not masked.
    pub fn set_timer(&mut self, cval: u64) {
        self.set_sysreg(SysReg::CntvCval, cval);
        self.set_sysreg(SysReg::CntvCtl, 1);
    }

    /// Switches it off.
    pub fn stop_timer(&mut self) {
        self.set_sysreg(SysReg::CntvCtl, 0);
    }
}
