//! The host as one of its vCPUs sees it.

use core::fmt;

use hv_types::{FrameSize, Gpa, Gva, VcpuId, WindowAddr};
use memory_server_api::Slot;

use crate::vcpu::idregs::Name;

use super::{Clock, Host, Interrupts, MapError, Stage2, SysReg, Vcpu};

/// A host whose registers and interrupts are those of one vCPU, the one that stopped.
pub trait VcpuHost: Host + Vcpu + Interrupts {
    /// The vCPU's number.
    fn id(&self) -> VcpuId;
}

/// Which vCPU it is.
pub trait Which: Copy {
    /// Its number.
    fn id(self) -> VcpuId;
}

impl Which for VcpuId {
    #[inline(always)]
    fn id(self) -> VcpuId {
        self
    }
}

/// The boot CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boot;

impl Which for Boot {
    #[inline(always)]
    fn id(self) -> VcpuId {
        VcpuId::BOOT
    }
}

/// The [`VcpuHost`] of any host, for as long as one of its vCPUs is stopped and looked after.
#[derive(Debug)]
pub struct OnVcpu<'a, H, W = VcpuId> {
    host: &'a mut H,
    which: W,
}

/// [`OnVcpu`] of the boot CPU.
pub type OnBoot<'a, H> = OnVcpu<'a, H, Boot>;

impl<'a, H: Host> OnVcpu<'a, H> {
    /// The host as vCPU `id` sees it.
    #[inline]
    pub const fn new(host: &'a mut H, id: VcpuId) -> Self {
        Self { host, which: id }
    }
}

impl<'a, H: Host> OnBoot<'a, H> {
    /// The host as its boot CPU sees it.
    #[inline]
    pub const fn boot(host: &'a mut H) -> Self {
        Self { host, which: Boot }
    }
}

impl<H: Host, W: Which> OnVcpu<'_, H, W> {
    #[inline]
    fn vcpu(&mut self) -> &mut H::Vcpu {
        self.host.vcpu(self.which.id())
    }
}

impl<H: Host, W: Which> VcpuHost for OnVcpu<'_, H, W> {
    #[inline]
    fn id(&self) -> VcpuId {
        self.which.id()
    }
}

impl<H: Host, W: Which> Vcpu for OnVcpu<'_, H, W> {
    #[inline]
    fn x(&mut self, n: u8) -> u64 {
        self.vcpu().x(n)
    }
    #[inline]
    fn set_x(&mut self, n: u8, value: u64) {
        self.vcpu().set_x(n, value);
    }
    #[inline]
    fn pc(&mut self) -> Gva {
        self.vcpu().pc()
    }
    #[inline]
    fn set_pc(&mut self, pc: Gva) {
        self.vcpu().set_pc(pc);
    }
    #[inline]
    fn pstate(&mut self) -> u64 {
        self.vcpu().pstate()
    }
    #[inline]
    fn set_pstate(&mut self, pstate: u64) {
        self.vcpu().set_pstate(pstate);
    }
    #[inline]
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        self.vcpu().sysreg(reg)
    }
    #[inline]
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.vcpu().set_sysreg(reg, value);
    }
    fn id_register(&mut self, name: Name) -> Option<u64> {
        self.vcpu().id_register(name)
    }
}

impl<H: Host, W: Which> Interrupts for OnVcpu<'_, H, W> {
    const LIST_REGISTERS: usize = H::Vcpu::LIST_REGISTERS;

    #[inline]
    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        let done = self.vcpu().inject(lr, intid, priority);
        if !done {
            self.refused(lr, intid);
        }
        done
    }
    #[inline]
    fn can_recall(&mut self) -> bool {
        self.vcpu().can_recall()
    }
    #[inline]
    fn recall(&mut self, lr: u8) -> bool {
        self.vcpu().recall(lr)
    }
    #[inline]
    fn ack_vtimer(&mut self) {
        self.vcpu().ack_vtimer();
    }
}

impl<H: Host, W: Which> OnVcpu<'_, H, W> {
    #[cold]
    fn refused(&mut self, lr: u8, intid: u16) {
        self.host.log(format_args!(
            "the kernel refused interrupt {intid} in list register {lr}"
        ));
    }
}

impl<H: Host, W: Which> Clock for OnVcpu<'_, H, W> {
    #[inline]
    fn now(&self) -> u64 {
        self.host.now()
    }
    #[inline]
    fn frequency(&self) -> u64 {
        self.host.frequency()
    }
    #[inline]
    fn wake_at(&mut self, deadline: Option<u64>) {
        self.host.wake_at(deadline);
    }
}

impl<H: Host, W: Which> Stage2 for OnVcpu<'_, H, W> {
    #[inline]
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError> {
        self.host.map_guest(slot, gpa, size)
    }
    #[inline]
    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.host.map_guest_read_only(slot, gpa)
    }
    #[inline]
    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError> {
        self.host.map_window(slot, at, size)
    }
    #[inline]
    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        self.host.unmap(slot)
    }
    #[inline]
    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.host.map_guest_table(slot, gpa)
    }
    #[inline]
    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        self.host.map_window_table(slot, at)
    }
}

impl<H: Host, W: Which> Host for OnVcpu<'_, H, W> {
    type Vcpu = H::Vcpu;
    type Window = H::Window;
    type Memory = H::Memory;
    type Console = H::Console;
    type Store = H::Store;
    type Disks = H::Disks;
    type Nets = H::Nets;
    type Peers = H::Peers;

    #[inline]
    fn vcpu(&mut self, id: VcpuId) -> &mut H::Vcpu {
        self.host.vcpu(id)
    }
    #[inline]
    fn window(&self) -> &H::Window {
        self.host.window()
    }
    #[inline]
    fn memory(&mut self) -> &mut H::Memory {
        self.host.memory()
    }
    #[inline]
    fn console(&mut self) -> &mut H::Console {
        self.host.console()
    }
    #[inline]
    fn window_and_console(&mut self) -> (&H::Window, &mut H::Console) {
        self.host.window_and_console()
    }
    #[inline]
    fn window_and_store(&mut self) -> (&H::Window, &mut H::Store) {
        self.host.window_and_store()
    }
    #[inline]
    fn window_and_nets(&mut self) -> (&H::Window, &mut H::Nets) {
        self.host.window_and_nets()
    }
    fn window_and_disks(&mut self) -> (&H::Window, &mut H::Disks) {
        self.host.window_and_disks()
    }
    fn window_and_peers(&mut self) -> (&H::Window, &mut H::Peers) {
        self.host.window_and_peers()
    }
    #[inline]
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.host.log(line);
    }
    #[inline]
    fn renew_vcpu(
        &mut self,
        vcpu: VcpuId,
        at: Gpa,
        there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        self.host.renew_vcpu(vcpu, at, there)
    }
    #[inline]
    fn sync_instructions(&mut self, at: Gpa, len: u64) {
        self.host.sync_instructions(at, len);
    }
    #[inline]
    fn start(&mut self, vcpu: VcpuId, pc: Gva, x0: u64) {
        self.host.start(vcpu, pc, x0);
    }
}
