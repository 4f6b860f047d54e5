//! The registers of a vCPU that stopped, read as late and written as seldom as the kernel allows.
//!
//! What a fault message brings costs nothing; anything else costs a `TCB_ReadRegisters`, about
//! 1,000 instructions. An unknown-syscall fault (the stock kernel's HVC) lets its reply set x0..x7
//! and the PC, so a hypercall that changes nothing else needs no write; every other change takes
//! one `TCB_WriteRegisters`. Where the thread's time is not lent ([`crate::lent`]) that also
//! resumes it and saves the reply.

use hv_types::{Gva, VcpuId};
use hypervisor_core::host::{Interrupts, SysReg, Vcpu};
use hypervisor_core::vcpu::idregs;
use memory_server_api::Slot;
use sel4::VCpuReg;
use sel4_microkit::{MessageInfo, with_msg_regs, with_msg_regs_mut};
use topology::caps;

use crate::event::{Event, Signals};
use crate::fault::Fault;
use crate::lent::Replies;
use crate::unload::unload;

use crate::invoke::{
    CONTEXT_LEN, CONTEXT_PC, CONTEXT_SP, CONTEXT_SPSR, CONTEXT_X, identify, read_registers,
    reset_vcpu, write_registers,
};

/// How the stopped thread is made to run again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stopped {
    /// It runs (or was never started); nothing is owed.
    Not,
    /// Blocked on the reply to an unknown system call: x0..x7 and the PC travel with the reply.
    Syscall,
    /// Blocked on the reply to another fault: the reply just resumes.
    Fault,
    /// Suspended by [`VcpuRegs::park`], or not started yet.
    Parked,
}

/// Who goes on when a thread has faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// The fault handler has time of its own: the thread may be suspended and resumed.
    Kept,
    /// The fault handler runs on the thread's time, which only a reply gives back.
    Lent,
}

/// One vCPU's registers.
#[derive(Debug)]
pub struct VcpuRegs {
    tcb: u64,
    vcpu: sel4::cap::VCpu,
    regs: [u64; CONTEXT_LEN],
    /// Bit `i`: `regs[i]` holds the thread's register at position `i`.
    valid: u64,
    /// Bit `i`: `regs[i]` has been changed.
    dirty: u64,
    stopped: Stopped,
    time: Time,
    /// Its core, if that is not the VMM's.
    elsewhere: Option<u8>,
    /// It has run since its core was last made to save it: what the kernel tells of it may be old.
    loaded: bool,
}

/// INTID of the virtual timer, the only interrupt that the kernel passes on.
pub const VIRTUAL_TIMER: u64 = 27;

/// All registers.
const ALL: u64 = (1 << CONTEXT_LEN) - 1;
/// x0..x7 in the kernel's order, and the PC.
const REPLY_SET: u64 = (0xff << 3) | (1 << CONTEXT_PC);

impl VcpuRegs {
    /// The vCPU whose thread and vCPU object have these CPtrs.
    pub const fn new(tcb: u64, vcpu: u64, time: Time) -> Self {
        Self {
            tcb,
            vcpu: sel4::Cap::from_bits(vcpu),
            regs: [0; CONTEXT_LEN],
            valid: 0,
            dirty: 0,
            stopped: Stopped::Parked,
            time,
            elsewhere: None,
            loaded: false,
        }
    }

    /// The same on core `core`, which is not that of the protection domain; on its own with `None`.
    #[must_use]
    pub const fn on(mut self, core: Option<u8>) -> Self {
        self.elsewhere = core;
        self
    }

    /// Has the kernel know the system registers of the vCPU, which is stopped.
    fn unload(&mut self) {
        if let Some(core) = self.elsewhere
            && self.loaded
        {
            unload(core);
            self.loaded = false;
        }
    }

    /// The thread stopped with the fault whose message, with tag `info`, is in the message
    /// registers. Returns the fault.
    pub fn stopped_with(&mut self, info: &MessageInfo) -> Fault {
        let fault = Fault::decode(info);
        match fault {
            Fault::UnknownSyscall => self.stopped_in_syscall(),
            Fault::Cap { pc } | Fault::User { pc } => self.stopped_in_fault(Some(pc)),
            Fault::Vm(at) => self.stopped_in_fault(Some(at.pc)),
            _ => self.stopped_in_fault(None),
        }
        fault
    }

    /// The thread stopped with an unknown-syscall fault, whose message is in the message registers.
    pub fn stopped_in_syscall(&mut self) {
        with_msg_regs(|mrs| {
            self.regs[3..11].copy_from_slice(&mrs[..8]); // X0..X7
            self.regs[CONTEXT_PC] = mrs[8]; // FaultIP
            self.regs[CONTEXT_SPSR] = mrs[11];
        });
        self.valid = REPLY_SET | (1 << CONTEXT_SPSR);
        self.dirty = 0;
        self.stopped = Stopped::Syscall;
    }

    /// The thread stopped with another fault; `pc` where the message told it.
    pub fn stopped_in_fault(&mut self, pc: Option<u64>) {
        self.valid = 0;
        self.dirty = 0;
        self.stopped = Stopped::Fault;
        if let Some(pc) = pc {
            self.regs[CONTEXT_PC] = pc;
            self.valid = 1 << CONTEXT_PC;
        }
    }

    fn get(&mut self, position: usize) -> u64 {
        if self.valid & (1 << position) == 0 {
            // The first four words of a message travel in registers, so fewer cost as much.
            let count = (position + 1).max(4);
            // A register written before it was read stays as written.
            if read_registers(self.tcb, &mut self.regs, count, self.dirty) {
                self.valid |= (1_u64 << count) - 1;
            }
        }
        self.regs[position]
    }

    fn set(&mut self, position: usize, value: u64) {
        self.regs[position] = value;
        self.valid |= 1 << position;
        self.dirty |= 1 << position;
    }

    /// Writes what changed, and lets the thread run if it is to be resumed.
    fn write_back(&mut self, resume: bool) {
        let count = 64 - self.dirty.leading_zeros() as usize;
        // All registers up to the last changed one travel; those unknown are read first.
        let missing = !self.valid & ((1_u64 << count) - 1);
        if missing != 0 {
            self.get(63 - missing.leading_zeros() as usize);
        }
        self.dirty = 0;
        write_registers(self.tcb, &self.regs, count, resume);
    }

    /// Lets the thread run. Returns the reply for the fault handler to give, or `None` where the
    /// thread runs already.
    pub fn resume(&mut self) -> Option<MessageInfo> {
        let stopped = core::mem::replace(&mut self.stopped, Stopped::Not);
        self.loaded |= stopped != Stopped::Not;
        match stopped {
            Stopped::Not => None,
            Stopped::Syscall if self.dirty & !REPLY_SET == 0 && self.dirty != 0 => {
                with_msg_regs_mut(|mrs| {
                    mrs[..8].copy_from_slice(&self.regs[3..11]);
                    mrs[8] = self.regs[CONTEXT_PC];
                });
                // Length 9 sets x0..x7 and the PC; length 0 would execute the HVC again.
                Some(MessageInfo::new(0, 9))
            }
            Stopped::Syscall | Stopped::Fault if self.dirty == 0 => Some(MessageInfo::new(0, 0)),
            Stopped::Parked if self.dirty == 0 => {
                let _ = sel4::cap::Tcb::from_bits(self.tcb).tcb_resume();
                None
            }
            Stopped::Syscall | Stopped::Fault if self.time == Time::Lent => {
                self.write_back(false);
                Some(MessageInfo::new(0, 0))
            }
            _ => {
                self.write_back(true);
                None
            }
        }
    }

    /// The thread does not run until [`VcpuRegs::resume`]: one whose time is lent goes on waiting
    /// for its reply, or is suspended if it runs (another one may end the guest, or a watchdog).
    pub fn hold(&mut self) {
        if self.stopped == Stopped::Not {
            self.park();
        }
    }

    /// Takes the thread out of its fault without letting it run, so that the reply object is free
    /// for the next fault; changed registers are kept until [`VcpuRegs::resume`]. A thread that
    /// runs is stopped. Where the thread's time is lent it would stay with whoever has it: see
    /// [`VcpuRegs::hold`].
    pub fn park(&mut self) {
        if self.stopped != Stopped::Parked {
            let _ = sel4::cap::Tcb::from_bits(self.tcb).tcb_suspend();
            self.stopped = Stopped::Parked;
        }
    }

    /// Gives the thread, which is stopped, the vCPU object in `slot` of the grant CNode in place of
    /// the one it has; false if the kernel refused. A new object has all system registers, list
    /// registers, priorities and the timer in their reset state, most of which a VMM could not
    /// bring them back to.
    ///
    /// The vector registers are the thread's, not the vCPU's: see [`VcpuRegs::run_until`].
    pub fn renew(&mut self, slot: Slot) -> bool {
        let vcpu = sel4::Cap::from_bits(caps::cptr(caps::VMM_GRANT_ROOT, slot.0));
        let done = sel4::cap::VCpu::vcpu_set_tcb(vcpu, sel4::Cap::from_bits(self.tcb)).is_ok();
        if done {
            self.vcpu = vcpu;
        }
        done
    }

    /// The same without a new object: makes the system registers of the vCPU, which is stopped,
    /// what they are in a new one, in which `SCTLR_EL1` is `sctlr`. [`crate::interface`] does the
    /// rest.
    pub fn reset(&mut self, sctlr: u64) {
        self.unload();
        reset_vcpu(self.vcpu.bits(), sctlr);
        self.ack_vtimer();
    }

    /// Runs the thread, which is stopped, from `pc` with `x0` to the instruction at `stop`, where
    /// it traps; false if it did not come there. Its general registers are anything afterwards, and
    /// it waits for a reply.
    ///
    /// The program between is the VMM's own and short, so the fault that stops it is waited for
    /// here: no other vCPU of the guest runs. Notifications that come meanwhile are added to
    /// `missed`.
    pub fn run_until(
        &mut self,
        replies: &mut Replies,
        missed: &mut Signals,
        id: VcpuId,
        (pc, stop): (u64, u64),
        x0: u64,
    ) -> bool {
        self.start(pc, x0);
        let mut answer = self.resume().map(|info| (id, info));
        loop {
            match replies.next(answer.take()) {
                Event::Signals(signals) => *missed = missed.with(signals),
                Event::Fault(_, info) => match self.stopped_with(&info) {
                    // It ends interrupts, and the timer's may have come before it was reset.
                    Fault::Maintenance { .. } => answer = self.resume().map(|info| (id, info)),
                    Fault::Vppi { .. } => {
                        self.ack_vtimer();
                        answer = self.resume().map(|info| (id, info));
                    }
                    _ => return self.pc().raw() == stop,
                },
            }
        }
    }

    /// Tells the guest on this vCPU that it is number `id` of a processor (`MPIDR_EL1`), as Xen
    /// does.
    pub fn identify(&mut self, id: VcpuId) {
        // The kernel refuses only registers that do not exist, and this one does.
        identify(self.vcpu.bits(), 1 << 31 | u64::from(id.raw()));
    }

    /// Has the thread start at `pc` in EL1h with D, A, I and F masked and `x0` when it is resumed
    /// next.
    pub fn start(&mut self, pc: u64, x0: u64) {
        self.regs = [0; CONTEXT_LEN];
        self.regs[CONTEXT_PC] = pc;
        self.regs[CONTEXT_SPSR] = 0x3c5;
        self.regs[3] = x0;
        self.valid = ALL;
        self.dirty = ALL;
    }
}

/// The number of a register of the vCPU object; `None` for `SP_EL0`, which is the thread's.
fn vcpu_reg(reg: SysReg) -> Option<VCpuReg> {
    Some(match reg {
        SysReg::Sp0 => return None,
        SysReg::Sp1 => VCpuReg::SP_EL1,
        SysReg::Sctlr => VCpuReg::SCTLR,
        SysReg::Ttbr0 => VCpuReg::TTBR0,
        SysReg::Ttbr1 => VCpuReg::TTBR1,
        SysReg::Tcr => VCpuReg::TCR,
        SysReg::Vbar => VCpuReg::VBAR,
        SysReg::Esr => VCpuReg::ESR,
        SysReg::Far => VCpuReg::FAR,
        SysReg::Elr => VCpuReg::ELR_EL1,
        SysReg::Spsr => VCpuReg::SPSR_EL1,
        SysReg::CntvCtl => VCpuReg::CNTV_CTL,
        SysReg::CntvCval => VCpuReg::CNTV_CVAL,
    })
}

/// Whether the kernel saves a register when the thread of its vCPU stops, and loads it again when
/// that goes on (seL4 16.0.0, `vcpu_reg_saved_when_disabled`), on whatever core.
fn is_saved_at_a_stop(reg: &VCpuReg) -> bool {
    matches!(reg, VCpuReg::SCTLR | VCpuReg::CNTV_CTL | VCpuReg::CNTV_CVAL)
}

impl Vcpu for VcpuRegs {
    fn x(&mut self, n: u8) -> u64 {
        match CONTEXT_X.get(usize::from(n)) {
            Some(&position) => self.get(usize::from(position)),
            None => 0,
        }
    }
    fn set_x(&mut self, n: u8, value: u64) {
        if let Some(&position) = CONTEXT_X.get(usize::from(n)) {
            self.set(usize::from(position), value);
        }
    }
    fn pc(&mut self) -> Gva {
        Gva::new(self.get(CONTEXT_PC))
    }
    fn set_pc(&mut self, pc: Gva) {
        self.set(CONTEXT_PC, pc.raw());
    }
    fn pstate(&mut self) -> u64 {
        self.get(CONTEXT_SPSR)
    }
    fn set_pstate(&mut self, pstate: u64) {
        self.set(CONTEXT_SPSR, pstate);
    }
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        match vcpu_reg(reg) {
            Some(reg) => {
                if !is_saved_at_a_stop(&reg) {
                    self.unload();
                }
                self.vcpu.vcpu_read_regs(reg).unwrap_or(0)
            }
            None => self.get(CONTEXT_SP),
        }
    }
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        match vcpu_reg(reg) {
            Some(reg) => {
                if !is_saved_at_a_stop(&reg) {
                    self.unload();
                }
                // The kernel refuses only numbers that do not exist, and these do.
                let _ = self.vcpu.vcpu_write_regs(reg, value);
            }
            None => self.set(CONTEXT_SP, value),
        }
    }
    fn id_register(&mut self, _name: idregs::Name) -> Option<u64> {
        // The kernel does not set HCR_EL2.TID3, and no protection domain can read them.
        None
    }
}

impl Interrupts for VcpuRegs {
    const LIST_REGISTERS: usize = 4;

    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        // Five bits of priority are implemented; the kernel wants them unshifted.
        self.vcpu
            .vcpu_inject_irq(intid, priority >> 3, 0, lr)
            .is_ok()
    }
    fn ack_vtimer(&mut self) {
        let _ = self.vcpu.vcpu_ack_vppi(VIRTUAL_TIMER);
    }
}
