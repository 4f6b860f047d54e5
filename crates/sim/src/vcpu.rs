//! A vCPU as its VMM sees it: registers, its thread, its timer.

use hv_types::Gva;
use hypervisor_core::host::{Interrupts, SysReg};
use hypervisor_core::vcpu::idregs::Name;

use crate::gicv::{Gicv, LIST_REGISTERS};

const SYSREGS: usize = 13;
/// `CNTV_CTL_EL0.ENABLE` without `IMASK`.
const TIMER_ON: u64 = 1;

/// What the thread of a vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Thread {
    /// Not started.
    Idle,
    Running,
    /// Stopped in a fault that its VMM handles.
    Faulted,
    /// Suspended by its VMM.
    Parked,
}

/// The vCPU.
#[derive(Clone, Debug)]
pub(crate) struct Vcpu {
    x: [u64; 31],
    pc: u64,
    pstate: u64,
    sysregs: [u64; SYSREGS],
    pub(crate) gicv: Gicv,
    pub(crate) thread: Thread,
    /// The kernel keeps the timer's interrupt masked after the event, until it is acknowledged.
    pub(crate) timer_masked: bool,
    /// What the processor's identification registers say, on a machine where guests' reads of them
    /// trap.
    pub(crate) id_registers: Option<fn(Name) -> u64>,
}

impl Vcpu {
    pub(crate) fn new() -> Self {
        Self {
            x: [0; 31],
            pc: 0,
            pstate: 0,
            sysregs: [0; SYSREGS],
            gicv: Gicv::new(),
            thread: Thread::Idle,
            timer_masked: false,
            id_registers: None,
        }
    }

    /// Registers of a thread that runs are in the processor: a VMM that reads or writes them
    /// meanwhile gets or leaves nonsense.
    fn assert_stopped(&self) {
        assert_ne!(
            self.thread,
            Thread::Running,
            "the VMM touches registers of a vCPU that runs"
        );
    }

    pub(crate) fn guest_sysreg(&self, reg: SysReg) -> u64 {
        self.sysregs[reg as usize]
    }
    pub(crate) fn guest_set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.sysregs[reg as usize] = value;
    }
    pub(crate) fn guest_x(&self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }
    pub(crate) fn guest_set_x(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
    pub(crate) fn guest_pc(&self) -> u64 {
        self.pc
    }
    pub(crate) fn guest_set_pc(&mut self, pc: u64) {
        self.pc = pc;
    }
    pub(crate) fn guest_pstate(&self) -> u64 {
        self.pstate
    }
    pub(crate) fn guest_set_pstate(&mut self, pstate: u64) {
        self.pstate = pstate;
    }

    /// Starts the thread: EL1h, everything masked, MMU and caches off.
    pub(crate) fn start(&mut self, pc: u64, x0: u64) {
        self.x = [0; 31];
        self.x[0] = x0;
        self.pc = pc;
        self.pstate = 0x3c5;
        // SCTLR_EL1 as seL4 and Xen leave it.
        self.sysregs[SysReg::Sctlr as usize] = 0x00c5_0078;
        self.thread = Thread::Running;
    }

    /// The tick at which the timer's condition comes true with its interrupt not masked by the
    /// guest.
    pub(crate) fn timer_fires_at(&self) -> Option<u64> {
        let on = self.sysregs[SysReg::CntvCtl as usize] & 3 == TIMER_ON;
        on.then(|| self.sysregs[SysReg::CntvCval as usize])
    }

    /// Whether the timer interrupts at tick `now`. It is switched off while the vCPU does not run.
    pub(crate) fn timer_fires(&self, now: u64) -> bool {
        self.thread == Thread::Running
            && !self.timer_masked
            && self.timer_fires_at().is_some_and(|at| at <= now)
    }
}

/// What its VMM does with it.
impl hypervisor_core::host::Vcpu for Vcpu {
    fn x(&mut self, n: u8) -> u64 {
        self.assert_stopped();
        self.guest_x(n)
    }
    fn set_x(&mut self, n: u8, value: u64) {
        self.assert_stopped();
        self.guest_set_x(n, value);
    }
    fn pc(&mut self) -> Gva {
        self.assert_stopped();
        Gva::new(self.pc)
    }
    fn set_pc(&mut self, pc: Gva) {
        self.assert_stopped();
        self.pc = pc.raw();
    }
    fn pstate(&mut self) -> u64 {
        self.assert_stopped();
        self.pstate
    }
    fn set_pstate(&mut self, pstate: u64) {
        self.assert_stopped();
        self.pstate = pstate;
    }
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        self.sysregs[reg as usize]
    }
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.assert_stopped();
        self.sysregs[reg as usize] = value;
    }
    fn id_register(&mut self, name: Name) -> Option<u64> {
        self.id_registers.map(|registers| registers(name))
    }
}

impl Interrupts for Vcpu {
    const LIST_REGISTERS: usize = LIST_REGISTERS;

    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        self.gicv.inject(lr, intid, priority);
        true
    }
    fn ack_vtimer(&mut self) {
        assert!(
            self.timer_masked,
            "the VMM acknowledges a timer that has not fired"
        );
        self.timer_masked = false;
    }
}
