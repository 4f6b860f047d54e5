//! One guest: its core, and what the core needs from here.

use core::fmt;

use console_api::{GuestPort, Order, Shown};
use guest_mem::RawWindow;
use hv_types::{FrameSize, Gpa, Gva, MAX_VCPUS, VcpuId, Vcpus, WindowAddr};
use hypervisor_core::diag::line_rate::LineRate;
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{Clock, Host, MapError, Stage2};
use hypervisor_core::life::driver::{Driven, Driver};
use hypervisor_core::vcpu::action::VcpuAction;
use memory_server::DomainIndex;
use memory_server_api::{Remembering, Slot};

use crate::block::DiskEnd;
use crate::cpu;
use crate::log::Port;
use crate::machine::{Machine, in_guest, in_window};
use crate::net::NetEnd;
use crate::paging::Kind;
use crate::peers::Peers;
use crate::services::{DtClient, MemoryClient, Services};
use crate::store::StoreEnd;
use crate::vcpu::Vcpu;

/// A guest.
pub(crate) struct Guest {
    /// The core's host.
    pub(crate) host: GuestHost,
    /// The core with the guest's lives.
    pub(crate) driver: Driver<'static, DtClient>,
    /// Which of its vCPUs run, as far as their cores have been told.
    pub(crate) told: Vcpus,
    /// Ticks of the processor that each has had, with what was done for it.
    pub(crate) ticks: [u64; MAX_VCPUS],
}

impl Guest {
    /// Whether one of its vCPUs has a processor, or would like to.
    pub(crate) fn is_ready(&self) -> bool {
        !self.driver.running().is_empty()
    }

    /// Hands the exception that stopped a vCPU to the core. It says what it was in registers, and
    /// is matched where it is read.
    #[inline(never)]
    pub(crate) fn stopped(&mut self, vcpu: VcpuId) -> VcpuAction {
        self.handle(vcpu, decode(cpu::syndrome()))
    }

    /// Hands an exit of a vCPU to the core.
    #[inline(always)]
    pub(crate) fn handle(&mut self, vcpu: VcpuId, reason: Reason) -> VcpuAction {
        self.driver.exit(&mut self.host, Exit { vcpu, reason })
    }
}

/// The host of one guest.
pub(crate) struct GuestHost {
    /// Its vCPUs, by number.
    pub(crate) vcpus: [Vcpu; MAX_VCPUS],
    services: &'static Services,
    domain: DomainIndex,
    memory: Remembering<MemoryClient>,
    window: RawWindow,
    console: GuestPort<Port>,
    store: StoreEnd,
    disks: Option<DiskEnd>,
    nets: Option<NetEnd>,
    peers: Peers,
    rate: LineRate,
    frequency: u64,
}

/// A VMM's ends of what it shares with servers and other VMMs.
pub(crate) type Ends = (Port, StoreEnd, Option<DiskEnd>, Option<NetEnd>, Peers);

impl GuestHost {
    /// The host of `domain`.
    pub(crate) fn new(
        services: &'static Services,
        domain: DomainIndex,
        vcpus: [Vcpu; MAX_VCPUS],
        window: RawWindow,
        (port, store, disks, nets, peers): Ends,
    ) -> Self {
        Self {
            vcpus,
            services,
            domain,
            memory: Remembering::new(MemoryClient::new(services, domain)),
            window,
            console: GuestPort::new(port),
            store,
            disks,
            nets,
            peers,
            rate: LineRate::new(),
            frequency: cpu::frequency(),
        }
    }
}

impl Clock for GuestHost {
    fn now(&self) -> u64 {
        cpu::now()
    }
    fn frequency(&self) -> u64 {
        self.frequency
    }
    fn wake_at(&mut self, deadline: Option<u64>) {
        self.services
            .timer
            .borrow_mut()
            .arm(usize::from(self.domain.0), deadline);
    }
}

impl GuestHost {
    /// Does something with a slot. One that holds nothing is reported: it was revoked, and the core
    /// still uses it.
    fn with_slot(
        &mut self,
        slot: Slot,
        f: impl FnOnce(&mut Machine, DomainIndex) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let result = f(&mut self.services.machine.borrow_mut(), self.domain);
        if result == Err(MapError::NoFrame) {
            self.log(format_args!(
                "grant slot {} is used but holds nothing of that kind",
                slot.0
            ));
        }
        result
    }
}

impl Stage2 for GuestHost {
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError> {
        self.with_slot(slot, |machine, domain| {
            machine.map(domain, slot, in_guest(gpa), size)
        })
    }
    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.with_slot(slot, |machine, domain| {
            machine.map_as(domain, slot, in_guest(gpa), FrameSize::Page, Kind::Constant)
        })
    }
    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError> {
        // A page of a split block has no window capability before the core has asked for one, which
        // it does when this is refused.
        let mut machine = self.services.machine.borrow_mut();
        machine.map(self.domain, slot, in_window(at), size)
    }
    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        self.with_slot(slot, |machine, domain| machine.unmap(domain, slot))
    }
    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.with_slot(slot, |machine, domain| {
            machine.map_table(domain, slot, in_guest(gpa))
        })
    }
    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        self.with_slot(slot, |machine, domain| {
            machine.map_table(domain, slot, in_window(at))
        })
    }
}

impl Host for GuestHost {
    type Vcpu = Vcpu;
    type Window = RawWindow;
    type Memory = Remembering<MemoryClient>;
    type Console = GuestPort<Port>;
    type Store = StoreEnd;
    type Disks = Option<DiskEnd>;
    type Nets = Option<NetEnd>;
    type Peers = Peers;

    #[inline]
    fn vcpu(&mut self, id: VcpuId) -> &mut Vcpu {
        &mut self.vcpus[id.index()]
    }
    #[inline]
    fn window(&self) -> &RawWindow {
        &self.window
    }
    fn memory(&mut self) -> &mut Self::Memory {
        &mut self.memory
    }
    fn console(&mut self) -> &mut GuestPort<Port> {
        &mut self.console
    }
    fn window_and_console(&mut self) -> (&RawWindow, &mut GuestPort<Port>) {
        (&self.window, &mut self.console)
    }
    fn window_and_store(&mut self) -> (&RawWindow, &mut StoreEnd) {
        (&self.window, &mut self.store)
    }
    fn window_and_nets(&mut self) -> (&RawWindow, &mut Option<NetEnd>) {
        (&self.window, &mut self.nets)
    }
    fn window_and_disks(&mut self) -> (&RawWindow, &mut Option<DiskEnd>) {
        (&self.window, &mut self.disks)
    }
    fn window_and_peers(&mut self) -> (&RawWindow, &mut Peers) {
        (&self.window, &mut self.peers)
    }

    fn log(&mut self, line: fmt::Arguments<'_>) {
        let admission = self.rate.admit(cpu::now(), self.frequency);
        admission.tell(line, |line| self.say(line));
    }

    fn renew_vcpu(
        &mut self,
        vcpu: VcpuId,
        _at: Gpa,
        _there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        self.vcpu(vcpu).renew();
        Ok(())
    }

    fn sync_instructions(&mut self, _at: Gpa, _len: u64) {
        cpu::forget_instructions();
    }

    fn start(&mut self, vcpu: VcpuId, pc: Gva, x0: u64) {
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
    fn core(&self, vcpu: VcpuId) -> u8 {
        self.vcpus[vcpu.index()].core()
    }
    fn say(&mut self, line: fmt::Arguments<'_>) {
        self.console.say(format_args!("[vmm] {line}"));
    }
    fn flush_log(&mut self) {
        self.console.flush();
    }
}

/// What a synchronous exception of a guest was, from the syndrome.
#[inline]
pub(crate) fn decode(esr: u32) -> Reason {
    const INSTRUCTION_ABORT: u32 = 0x20;
    const DATA_ABORT: u32 = 0x24;
    match esr >> 26 {
        class @ (INSTRUCTION_ABORT | DATA_ABORT) => {
            // 0b0011xx: permission; S1PTW is bit 7.
            let permission = esr >> 2 & 0xf == 3 && esr >> 7 & 1 == 0;
            Reason::Abort {
                gpa: Gpa::new(cpu::fault_address(permission)),
                iss: esr & 0x1ff_ffff,
                fetch: class == INSTRUCTION_ABORT,
            }
        }
        _ => Reason::Trap { esr },
    }
}
