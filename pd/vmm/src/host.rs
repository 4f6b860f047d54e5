//! What the hypervisor core needs, from seL4 and the servers.

use core::fmt;

use console_api::{GuestPort, Order, Shown};
use dt_server_api::DomainRecord;
use guest_mem::{RawWindow, Window as _};
use hv_types::{Gpa, Gva, MAX_VCPUS, VcpuId, WindowAddr};
use hypervisor_core::diag::line_rate::LineRate;
use hypervisor_core::host::{Clock, Host, MapsBy, SysReg, Vcpu as _};
use hypervisor_core::life::boot::Modules;
use hypervisor_core::life::driver::Driven;
use memory_server_api::{MemoryServer as _, Remembering, Reply, Request};
use timer_server_api::Armed;
use topology::caps;
use zazen_rt::clients::{MemoryClient, arm_timer};
use zazen_rt::clock;
use zazen_rt::event::Signals;
use zazen_rt::interface;
use zazen_rt::lent::Replies;
use zazen_rt::log::{
    VmmConsole, VmmDisks, VmmNets, VmmPeers, VmmStore, vmm_console, vmm_disks, vmm_nets, vmm_peers,
    vmm_store,
};
use zazen_rt::patched;
use zazen_rt::program::Program;
use zazen_rt::region;
use zazen_rt::stage2::Mapper;
use zazen_rt::unload;
use zazen_rt::vcpu::{Time, VcpuRegs};
use zazen_rt::vectors;

/// The host of this VMM's guest.
pub(crate) struct GuestHost {
    /// Its vCPUs, by number.
    pub(crate) vcpus: [VcpuRegs; MAX_VCPUS],
    /// Who waits for a reply.
    pub(crate) replies: Replies,
    /// Notifications that came while a vCPU was renewed.
    pub(crate) missed: Signals,
    mapper: Mapper,
    memory: Remembering<MemoryClient>,
    window: RawWindow,
    console: GuestPort<VmmConsole>,
    store: VmmStore,
    disks: Option<VmmDisks>,
    nets: Option<VmmNets>,
    peers: VmmPeers,
    rate: LineRate,
    frequency: u64,
    /// Where the guest has its interrupt interface.
    gicc: Gpa,
    /// Cores of its vCPUs, by number.
    cores: [u8; MAX_VCPUS],
    /// What the timer server has been asked.
    armed: Armed,
    /// `SCTLR_EL1` of a new vCPU object, where those of the start are kept for ever.
    reset_sctlr: Option<u64>,
}

impl GuestHost {
    /// The host; taken once, at start.
    pub(crate) fn take() -> Self {
        let cores = patched::cores();
        let mut vcpus = core::array::from_fn(|number| {
            let elsewhere = cores.and_then(|cores| cores.elsewhere(number));
            let number = number as u64;
            let (tcb, vcpu) = (caps::VMM_VCPU_TCB + number, caps::VMM_VCPU + number);
            VcpuRegs::new(tcb, vcpu, Time::Lent).on(elsewhere)
        });
        // All are new, and alike.
        let reset_sctlr = cores.map(|_| vcpus[0].sysreg(SysReg::Sctlr));
        Self {
            vcpus,
            replies: Replies::new(cores.is_some()),
            missed: Signals::NONE,
            mapper: Mapper::take(),
            memory: Remembering::new(MemoryClient::take()),
            window: region::guest_window(),
            console: GuestPort::new(vmm_console()),
            store: vmm_store(),
            disks: vmm_disks(),
            nets: vmm_nets(),
            peers: vmm_peers(0, 0),
            rate: LineRate::new(),
            frequency: clock::frequency(),
            gicc: Gpa::new(0),
            cores: core::array::from_fn(|number| cores.map_or(0, |cores| cores.of(number))),
            armed: Armed::default(),
            reset_sctlr,
        }
    }

    /// The timer server has notified.
    pub(crate) fn woken(&mut self) {
        self.armed.woken();
    }

    /// The block server has stopped.
    pub(crate) fn lose_disks(&mut self) {
        if let Some(disks) = &mut self.disks {
            disks.lose();
        }
    }

    /// The net server has stopped.
    pub(crate) fn lose_nets(&mut self) {
        if let Some(nets) = &mut self.nets {
            nets.lose();
        }
    }

    /// Notifications that came while something else was waited for, which are then forgotten.
    pub(crate) fn take_missed(&mut self) -> Signals {
        core::mem::take(&mut self.missed).with(unload::take_missed())
    }

    /// Has `vcpu`, which is stopped, run `program` in the page at `at` of its guest, which is
    /// mapped here at `there`. The address of its interrupt interface is in x0.
    fn run(
        &mut self,
        vcpu: VcpuId,
        program: &Program,
        at: Gpa,
        there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        let len = program.bytes.len() as u64;
        self.window.write(there, program.bytes);
        self.window.clean(there, len);
        self.mapper.sync_instructions(at, len);
        let regs = &mut self.vcpus[vcpu.index()];
        let run = (at.raw(), at.raw() + program.stop);
        let (replies, missed) = (&mut self.replies, &mut self.missed);
        let done = regs.run_until(replies, missed, vcpu, run, self.gicc.raw());
        self.window.zero(there, len);
        self.window.clean(there, len);
        done.then_some(()).ok_or(memory_server_api::Error::Kernel)
    }

    /// The table behind the p2m; taken once.
    pub(crate) fn take_p2m(&mut self, record: &DomainRecord) -> &'static mut [u32] {
        self.gicc = record.layout.gicc;
        region::p2m_table(record.max_banks.iter().map(dt_server_api::Bank::size).sum())
    }

    /// The domain, whose record has come, may meet others; to be called once.
    pub(crate) fn meet(&mut self, record: &DomainRecord) {
        let me = usize::from(record.domid).saturating_sub(1);
        self.peers = vmm_peers(me, record.meets);
    }

    /// The guest's files.
    pub(crate) fn modules(&self, record: &DomainRecord) -> Modules<'static> {
        Modules {
            kernel: region::module(record.kernel.region, record.kernel.size),
            ramdisk: record
                .ramdisk
                .map(|module| region::module(module.region, module.size)),
        }
    }
}

impl Clock for GuestHost {
    fn now(&self) -> u64 {
        clock::now()
    }
    fn frequency(&self) -> u64 {
        self.frequency
    }
    fn wake_at(&mut self, deadline: Option<u64>) {
        if let Some(deadline) = self.armed.ask(deadline, clock::now) {
            arm_timer(Some(deadline));
        }
    }
}

impl MapsBy for GuestHost {
    type Mapper = Mapper;

    fn mapper(&mut self) -> &mut Mapper {
        &mut self.mapper
    }
}

impl Host for GuestHost {
    type Vcpu = VcpuRegs;
    // Each VMM has its program to itself, and an exit costs thousands of instructions anyway.
    const BOOT_APART: bool = false;
    type Window = RawWindow;
    type Memory = Remembering<MemoryClient>;
    type Console = GuestPort<VmmConsole>;
    type Store = VmmStore;
    type Disks = Option<VmmDisks>;
    type Nets = Option<VmmNets>;
    type Peers = VmmPeers;

    #[inline]
    fn vcpu(&mut self, id: VcpuId) -> &mut VcpuRegs {
        &mut self.vcpus[id.index()]
    }
    fn window(&self) -> &RawWindow {
        &self.window
    }
    fn memory(&mut self) -> &mut Self::Memory {
        &mut self.memory
    }
    fn console(&mut self) -> &mut GuestPort<VmmConsole> {
        &mut self.console
    }
    fn window_and_console(&mut self) -> (&RawWindow, &mut GuestPort<VmmConsole>) {
        (&self.window, &mut self.console)
    }
    fn window_and_store(&mut self) -> (&RawWindow, &mut VmmStore) {
        (&self.window, &mut self.store)
    }
    fn window_and_nets(&mut self) -> (&RawWindow, &mut Option<VmmNets>) {
        (&self.window, &mut self.nets)
    }
    fn window_and_disks(&mut self) -> (&RawWindow, &mut Option<VmmDisks>) {
        (&self.window, &mut self.disks)
    }
    fn window_and_peers(&mut self) -> (&RawWindow, &mut VmmPeers) {
        (&self.window, &mut self.peers)
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        let admission = self.rate.admit(clock::now(), self.frequency);
        admission.tell(line, |line| self.say(line));
    }

    fn renew_vcpu(
        &mut self,
        vcpu: VcpuId,
        at: Gpa,
        there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        if let Some(sctlr) = self.reset_sctlr {
            self.vcpu(vcpu).reset(sctlr);
            self.run(vcpu, &interface::program(), at, there)?;
        } else {
            // The object of the life before went with the page tables.
            match self.memory.call(Request::Vcpu { vcpu })? {
                Reply::Tables { first, .. } if self.vcpu(vcpu).renew(first) => {}
                _ => return Err(memory_server_api::Error::Kernel),
            }
        }
        self.run(vcpu, &vectors::program(), at, there)
    }

    fn sync_instructions(&mut self, at: Gpa, len: u64) {
        self.mapper.sync_instructions(at, len);
    }

    fn start(&mut self, vcpu: VcpuId, pc: Gva, x0: u64) {
        self.vcpu(vcpu).identify(vcpu);
        self.vcpu(vcpu).start(pc.raw(), x0);
    }
}

impl Driven for GuestHost {
    fn show(&mut self, shown: Shown) {
        self.console.port().show(shown);
    }
    fn core(&self, vcpu: VcpuId) -> u8 {
        self.cores[vcpu.index()]
    }
    fn take_order(&mut self) -> Option<Order> {
        self.console.port().take_order()
    }
    fn say(&mut self, line: fmt::Arguments<'_>) {
        self.console.say(format_args!("[vmm] {line}"));
    }
    fn flush_log(&mut self) {
        self.console.flush();
    }
}
