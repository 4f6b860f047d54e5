//! What the hypervisor core needs, from seL4 and the servers.

use core::fmt;

use console_api::{GuestPort, Order, Shown};
use dt_server_api::DomainRecord;
use guest_mem::{RawWindow, Window as _};
use hv_types::{Gpa, Gva, MAX_VCPUS, VcpuId, WindowAddr};
use hypervisor_core::diag::line_rate::LineRate;
use hypervisor_core::host::{Clock, Host, MapsBy};
use hypervisor_core::life::boot::Modules;
use hypervisor_core::life::driver::Driven;
use memory_server_api::{MemoryServer as _, Remembering, Reply, Request};
use topology::caps;
use zazen_rt::clients::{MemoryClient, arm_timer};
use zazen_rt::clock;
use zazen_rt::event::Signals;
use zazen_rt::lent::Replies;
use zazen_rt::log::{VmmConsole, VmmStore, vmm_console, vmm_store};
use zazen_rt::region;
use zazen_rt::stage2::Mapper;
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
    rate: LineRate,
    frequency: u64,
}

impl GuestHost {
    /// The host; taken once, at start.
    pub(crate) fn take() -> Self {
        Self {
            vcpus: core::array::from_fn(|number| {
                let number = number as u64;
                let (tcb, vcpu) = (caps::VMM_VCPU_TCB + number, caps::VMM_VCPU + number);
                VcpuRegs::new(tcb, vcpu, Time::Lent)
            }),
            replies: Replies::new(),
            missed: Signals::NONE,
            mapper: Mapper::take(),
            memory: Remembering::new(MemoryClient::take()),
            window: region::guest_window(),
            console: GuestPort::new(vmm_console()),
            store: vmm_store(),
            rate: LineRate::new(),
            frequency: clock::frequency(),
        }
    }

    /// The table behind the p2m; taken once.
    pub(crate) fn take_p2m(&mut self, record: &DomainRecord) -> &'static mut [u32] {
        region::p2m_table(record.max_banks.iter().map(dt_server_api::Bank::size).sum())
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
        arm_timer(deadline);
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
    type Window = RawWindow;
    type Memory = Remembering<MemoryClient>;
    type Console = GuestPort<VmmConsole>;
    type Store = VmmStore;

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
        // The object of the life before went with the page tables.
        match self.memory.call(Request::Vcpu { vcpu })? {
            Reply::Tables { first, .. } if self.vcpu(vcpu).renew(first) => {}
            _ => return Err(memory_server_api::Error::Kernel),
        }
        let (program, stop) = vectors::program();
        let len = program.len() as u64;
        self.window.write(there, program);
        self.window.clean(there, len);
        self.mapper.sync_instructions(at, len);
        let regs = &mut self.vcpus[vcpu.index()];
        let run = (at.raw(), at.raw() + stop);
        let done = regs.run_until(&mut self.replies, &mut self.missed, vcpu, run);
        self.window.zero(there, len);
        self.window.clean(there, len);
        done.then_some(()).ok_or(memory_server_api::Error::Kernel)
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
