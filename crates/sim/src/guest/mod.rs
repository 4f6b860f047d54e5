//! A guest that executes what a test tells it to.
//!
//! Each method is one instruction, or a few, of the guest: the words lie in its text, its registers
//! hold the operands, and what the machine would do happens: an access to mapped memory is just
//! done, anything else is an exit to its VMM. Before each instruction the machine looks at the
//! timers, as it would between any two.

mod gic;
pub mod insn;
mod memory;
mod run;
pub mod stage1;
pub(crate) mod way;
mod xen;

use hv_types::{PAGE_SIZE, VcpuId};
use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::host::SysReg;

pub use way::Way;

pub use gic::{GICC, GICD, UART, UART_INTID, UPCALL, VTIMER};
pub use xen::{CONSOLE_PAGE, SHARED_INFO};

use crate::meddler::Meddler;
use crate::system::System;
use crate::vcpu::{Thread, Vcpu};
use crate::vmm::Vmm;

/// First byte of guest RAM.
pub const RAM: u64 = 0x4000_0000;
/// Where the guest's text is, one page.
pub const TEXT: u64 = RAM + 0x10_0000;
/// Where its text is if a guest has done away with that page.
const OTHER_TEXTS: [u64; 2] = [RAM + 0x80_0000, RAM + 0x90_0000];
/// Bytes of it for each vCPU.
const TEXT_EACH: u64 = 0x100;
/// Its exception vectors.
pub const VECTORS: u64 = TEXT + PAGE_SIZE;
/// Its page tables, eight pages.
pub const TABLES: u64 = VECTORS + PAGE_SIZE;
/// Pages for arguments of hypercalls.
pub const ARGS: u64 = RAM + 0x11_0000;
/// How many.
pub const ARGS_PAGES: u64 = 16;
/// RAM that nothing uses, from the third 2 MiB block on.
pub const FREE: u64 = RAM + 0x40_0000;

/// Registers of loads and stores: value and base.
const RT: u8 = 4;
const RN: u8 = 2;
/// How often an instruction is executed again before the test fails.
const MOST_RETRIES: usize = 1_000_000;

/// An exception that the guest took at EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// Offset of the vector.
    pub vector: u64,
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1` relative to the instruction.
    pub elr: i64,
}

/// What became of an instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ran {
    /// It is done.
    Done,
    /// It will be executed again.
    Again,
    /// It is done and the vCPU waits.
    Waiting,
    /// It will be executed again, and until then the vCPU waits.
    WaitingToRetry,
    /// The guest took an exception.
    Exception(Exception),
    /// The guest stopped and lives again, now or as soon as its VMM has built it.
    Restarts,
    /// The guest stopped for good.
    Stopped(StopReason),
}

/// A guest of a [`System`], on one of its vCPUs.
pub struct Guest<'s> {
    /// The system around it.
    pub sys: &'s mut System,
    index: usize,
    cpu: VcpuId,
}

impl<'s> Guest<'s> {
    pub(crate) fn new(sys: &'s mut System, index: usize, cpu: VcpuId) -> Self {
        Self { sys, index, cpu }
    }

    /// The same guest on vCPU `number`.
    ///
    /// # Panics
    /// If no guest has as many vCPUs.
    pub fn on(&mut self, number: u8) -> Guest<'_> {
        let cpu = VcpuId::new(number.into()).expect("a vCPU's number");
        Guest::new(self.sys, self.index, cpu)
    }

    /// Whether this vCPU runs or would like to; nothing happens before it is asked.
    pub fn runs(&self) -> bool {
        self.cpu_ref().thread == Thread::Running
    }

    /// Turns vCPU `number` on at `entry` with `context` in its x0 (PSCI `CPU_ON`); the result.
    pub fn cpu_on(&mut self, number: u64, entry: u64, context: u64) -> i64 {
        match self.smc(&[0xc400_0003, number, entry, context]) {
            Ran::Done => self.x(0).cast_signed(),
            ran => panic!("CPU_ON of {number}: {ran:?}"),
        }
    }

    /// From now on another vCPU writes to memory between any two of the VMM's accesses, or no more;
    /// returns the one before.
    pub fn meddle(&mut self, meddler: Option<Meddler>) -> Option<Meddler> {
        self.vmm().host.meddle(meddler)
    }

    fn cpu_ref(&self) -> &Vcpu {
        &self.vmm().host.cpus[self.cpu.index()]
    }
    fn cpu_mut(&mut self) -> &mut Vcpu {
        let cpu = self.cpu.index();
        &mut self.vmm_mut().host.cpus[cpu]
    }

    fn vmm(&self) -> &Vmm {
        &self.sys.vmms[self.index]
    }
    fn vmm_mut(&mut self) -> &mut Vmm {
        &mut self.sys.vmms[self.index]
    }

    /// Its domain id.
    pub fn domid(&self) -> u16 {
        u16::try_from(self.index).expect("few domains") + 1
    }

    // Registers.

    /// Register `n`.
    pub fn x(&self, n: u8) -> u64 {
        self.cpu_ref().guest_x(n)
    }
    /// Sets register `n`.
    pub fn set_x(&mut self, n: u8, value: u64) {
        self.cpu_mut().guest_set_x(n, value);
    }
    /// The PC.
    pub fn pc(&self) -> u64 {
        self.cpu_ref().guest_pc()
    }
    /// Jumps.
    pub fn set_pc(&mut self, pc: u64) {
        self.cpu_mut().guest_set_pc(pc);
    }
    /// Has the processor's identification registers say this, and reads of them trap.
    pub fn identify_as(&mut self, registers: fn(hypervisor_core::vcpu::idregs::Name) -> u64) {
        self.cpu_mut().id_registers = Some(registers);
    }
    /// `PSTATE` as an SPSR.
    pub fn pstate(&self) -> u64 {
        self.cpu_ref().guest_pstate()
    }
    /// Sets it.
    pub fn set_pstate(&mut self, pstate: u64) {
        self.cpu_mut().guest_set_pstate(pstate);
    }
    /// A system register.
    pub fn sysreg(&self, reg: SysReg) -> u64 {
        self.cpu_ref().guest_sysreg(reg)
    }
    /// `msr`.
    pub fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.cpu_mut().guest_set_sysreg(reg, value);
    }
}

impl System {
    /// The guest of VMM `index`, on its boot CPU.
    pub fn guest(&mut self, index: usize) -> Guest<'_> {
        Guest::new(self, index, VcpuId::BOOT)
    }
}
