//! A vCPU: what is in the processor while it has it, and what is kept while it does not.

use hv_types::{Gva, VcpuId};
use hypervisor_core::host::{Interrupts, SysReg};
use hypervisor_core::vcpu::idregs;

use crate::cores;
use crate::cpu::{self, El1, Frame, Reg, Vectors};
use crate::gich::{self, Interface, LIST_REGISTERS};

/// PSTATE of a vCPU that starts: EL1h, D, A, I and F masked.
const PSTATE_START: u64 = 0x3c5;

/// Where a vCPU's registers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    /// In the processor, and the machine has one core.
    Processor,
    /// Kept.
    Kept,
    /// In the processor of the vCPU's core, of several.
    Core,
}

/// A vCPU.
#[derive(Debug)]
pub(crate) struct Vcpu {
    frame: Frame,
    /// Where the registers below are; copies that are not kept are old.
    at: At,
    /// The virtual timer has fired and was not acknowledged; its interrupt is masked.
    pub(crate) timer_masked: bool,
    el1: El1,
    interface: Interface,
    vectors: Vectors,
    vttbr: u64,
    id: VcpuId,
    /// Its guest has others.
    several: bool,
    /// The core that it is on.
    core: u8,
    /// How often it was made anew or started: an exit from before is nobody's.
    life: u32,
    /// List registers that another core has filled and this vCPU's is to load, a bit each, and
    /// their values.
    late: u8,
    late_lr: [u32; LIST_REGISTERS],
}

impl Vcpu {
    /// vCPU `id` of a guest with the stage 2 of `vttbr`, on core `core`; `several` says that the
    /// guest has others.
    pub(crate) const fn new(vttbr: u64, id: VcpuId, several: bool, core: u8) -> Self {
        Self {
            frame: Frame {
                x: [0; 31],
                pc: 0,
                pstate: PSTATE_START,
            },
            at: At::Kept,
            timer_masked: false,
            el1: El1::new(),
            interface: Interface::new(),
            vectors: Vectors::new(),
            vttbr,
            id,
            several,
            core,
            life: 0,
            late: 0,
            late_lr: [0; LIST_REGISTERS],
        }
    }

    /// The core that it is on.
    pub(crate) const fn core(&self) -> u8 {
        self.core
    }

    /// Which of its lives this is.
    pub(crate) const fn life(&self) -> u32 {
        self.life
    }

    /// Whether the registers are in the processor of whoever asks. Another core puts them back
    /// first.
    fn is_here(&mut self) -> bool {
        if self.is_away() {
            cores::put_back(self.core, self);
        }
        self.at != At::Kept
    }

    /// Reads a register where the machine has several cores or the registers are kept.
    #[cold]
    #[inline(never)]
    fn sysreg_elsewhere(&mut self, reg: Reg) -> u64 {
        if self.is_here() {
            El1::read(reg)
        } else {
            self.el1.get(reg)
        }
    }

    /// Writes a register likewise.
    #[cold]
    #[inline(never)]
    fn set_sysreg_elsewhere(&mut self, reg: Reg, value: u64) {
        if self.is_here() {
            El1::write(reg, value);
        } else {
            self.el1.set(reg, value);
        }
    }

    /// Whether the registers are in another core.
    fn is_away(&self) -> bool {
        self.at == At::Core && self.core != cpu::number()
    }

    /// Puts `value` into list register `lr`, where the machine has several cores or the registers
    /// are kept. Its own core loads it when it is entered next, which is soon.
    #[cold]
    #[inline(never)]
    fn inject_elsewhere(&mut self, lr: u8, value: u32) {
        if self.is_away() {
            if let Some(place) = self.late_lr.get_mut(usize::from(lr)) {
                *place = value;
                self.late |= 1 << lr;
                cores::ring(self.core);
            }
        } else if self.at == At::Core {
            gich::set(lr, value);
        } else if let Some(place) = self.interface.lr.get_mut(usize::from(lr)) {
            *place = value;
        }
    }

    /// Whether it does not have the processor, and has ended an interrupt of which its guest's core
    /// has not been told.
    pub(crate) fn has_ended(&self) -> bool {
        self.at == At::Kept && self.interface.lr.iter().any(|lr| gich::is_ended(*lr))
    }

    /// Another core stops it: its registers are put back.
    pub(crate) fn stop(&mut self) {
        self.is_here();
    }

    /// What another core has put into its list registers since it was entered. It has the
    /// processor.
    #[inline]
    pub(crate) fn take_late(&mut self) {
        if self.late != 0 {
            for (n, value) in (0..).zip(self.late_lr) {
                if self.late >> n & 1 != 0 {
                    gich::set(n, value);
                }
            }
            self.late = 0;
        }
    }

    /// Gives it the processor, which nobody has; `other` says that another vCPU of its guest had it
    /// before: each may have translations of its own under the same ASID, and they share a VMID.
    pub(crate) fn load(&mut self, other: bool) {
        cpu::identify(self.id.raw(), self.several);
        cpu::set_stage2(self.vttbr);
        if other {
            cpu::forget_translations();
        }
        self.vectors.load();
        self.interface.load();
        self.el1.load();
        cpu::forget_extensions(cpu::has_ras_and_sme());
        cpu::isb();
        self.at = if cores::several() {
            At::Core
        } else {
            At::Processor
        };
    }

    /// Takes the processor away.
    pub(crate) fn unload(&mut self) {
        self.el1.save();
        self.interface.save();
        let late = self.interface.lr.iter_mut().zip(self.late_lr);
        for ((lr, value), n) in late.zip(0..) {
            if self.late >> n & 1 != 0 {
                *lr = value;
            }
        }
        self.late = 0;
        self.vectors.save();
        self.at = At::Kept;
    }

    /// Gives it all the registers of a vCPU that starts, whether or not it has the processor:
    /// vector registers and the interrupt interface too.
    pub(crate) fn renew(&mut self) {
        let had = self.is_here();
        let life = self.life;
        *self = Self::new(self.vttbr, self.id, self.several, self.core);
        self.life = life.wrapping_add(1);
        if had {
            self.load(false);
        }
    }

    /// What [`cpu::enter`] runs it by.
    #[inline]
    pub(crate) const fn frame(&mut self) -> *mut Frame {
        &raw mut self.frame
    }

    /// Starts at `pc`.
    pub(crate) fn start(&mut self, pc: u64, x0: u64) {
        self.stop();
        self.life = self.life.wrapping_add(1);
        self.frame = Frame {
            x: [0; 31],
            pc,
            pstate: PSTATE_START,
        };
        self.frame.x[0] = x0;
    }
}

/// What its core does with it.
impl hypervisor_core::host::Vcpu for Vcpu {
    #[inline]
    fn x(&mut self, n: u8) -> u64 {
        self.frame.x.get(usize::from(n)).copied().unwrap_or(0)
    }
    #[inline]
    fn set_x(&mut self, n: u8, value: u64) {
        if let Some(x) = self.frame.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
    #[inline]
    fn pc(&mut self) -> Gva {
        Gva::new(self.frame.pc)
    }
    #[inline]
    fn set_pc(&mut self, pc: Gva) {
        self.frame.pc = pc.raw();
    }
    #[inline]
    fn pstate(&mut self) -> u64 {
        self.frame.pstate
    }
    #[inline]
    fn set_pstate(&mut self, pstate: u64) {
        self.frame.pstate = pstate;
    }
    // In line, so that with a register that is known it is one instruction.
    #[inline(always)]
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        if self.at == At::Processor {
            El1::read(register(reg))
        } else {
            self.sysreg_elsewhere(register(reg))
        }
    }
    #[inline(always)]
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        if self.at == At::Processor {
            El1::write(register(reg), value);
        } else {
            self.set_sysreg_elsewhere(register(reg), value);
        }
    }
    fn id_register(&mut self, name: idregs::Name) -> Option<u64> {
        Some(cpu::id_register(name))
    }
}

impl Interrupts for Vcpu {
    const LIST_REGISTERS: usize = LIST_REGISTERS;

    #[inline]
    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        let value = gich::pending(intid, priority);
        if self.at == At::Processor {
            gich::set(lr, value);
        } else {
            self.inject_elsewhere(lr, value);
        }
        true
    }
    #[inline]
    fn can_recall(&mut self) -> bool {
        true
    }
    fn recall(&mut self, lr: u8) -> bool {
        if self.late >> (lr % 8) & 1 != 0 {
            self.late &= !(1 << (lr % 8));
            return true;
        }
        if self.is_here() {
            return gich::recall(lr);
        }
        let place = self.interface.lr.get_mut(usize::from(lr));
        match place.filter(|value| gich::is_pending(**value)) {
            Some(place) => {
                *place = 0;
                true
            }
            None => false,
        }
    }
    #[inline]
    fn ack_vtimer(&mut self) {
        // The interrupt is unmasked when the vCPU is entered.
        self.timer_masked = false;
        if self.is_away() {
            cores::ring(self.core);
        }
    }
}

#[inline]
const fn register(reg: SysReg) -> Reg {
    match reg {
        SysReg::Sctlr => Reg::Sctlr,
        SysReg::Ttbr0 => Reg::Ttbr0,
        SysReg::Ttbr1 => Reg::Ttbr1,
        SysReg::Tcr => Reg::Tcr,
        SysReg::Vbar => Reg::Vbar,
        SysReg::Esr => Reg::Esr,
        SysReg::Far => Reg::Far,
        SysReg::Elr => Reg::Elr,
        SysReg::Spsr => Reg::Spsr,
        SysReg::Sp0 => Reg::Sp0,
        SysReg::Sp1 => Reg::Sp1,
        SysReg::CntvCtl => Reg::CntvCtl,
        SysReg::CntvCval => Reg::CntvCval,
    }
}
