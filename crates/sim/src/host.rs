//! What the hypervisor core needs, from the models.

use std::fmt;
use std::rc::Rc;

use console_api::{Client, ConsolePort, Order, Shown};
use guest_mem::Window as _;
use hv_types::{Gpa, Gva, MAX_VCPUS, PAGE_SIZE, VcpuId, WindowAddr};
use hypervisor_core::diag::line_rate::LineRate;
use hypervisor_core::host::{Clock, Host, MapsBy};
use hypervisor_core::life::driver::Driven;
use memory_server::DomainIndex;
use memory_server_api::{MemoryServer as _, Remembering, Request};
use timer_server_api::{NEVER, OP_ARM};

use crate::block::Disks;
use crate::bus::{Bus, FREQUENCY};
use crate::caps::{Mapper, SimWindow};
use crate::meddler::Meddler;
use crate::memory::{Memory, MemoryClient};
use crate::net::Nets;
use crate::peers::Peers;
use crate::vcpu::{Thread, Vcpu};

/// Most lines of a VMM that are kept; a guest that causes more is told by their number.
const LOG_MAX: usize = 10_000;

/// A VMM's end of its console region.
pub(crate) type Console = Client<'static, Box<dyn FnMut()>>;
/// A VMM's end of the region that it shares with the store.
pub(crate) type Store = xenstore_server_api::Client<'static, Box<dyn FnMut()>>;

/// The host of one guest.
pub(crate) struct SimHost {
    /// Its vCPUs, by number.
    pub(crate) cpus: [Vcpu; MAX_VCPUS],
    /// Lines that the VMM logged.
    pub(crate) log: Vec<String>,
    rate: LineRate,
    index: usize,
    bus: Rc<Bus>,
    mapper: Mapper,
    window: SimWindow,
    memory: Remembering<MemoryClient>,
    /// What instruction caches were last told of.
    synced: Option<(Gpa, u64)>,
    console: Console,
    store: Store,
    disks: Option<Disks>,
    nets: Option<Nets>,
    peers: Peers,
}

/// A VMM's ends of what it shares with servers and other VMMs.
pub(crate) type Ends = (Console, Store, Option<Disks>, Option<Nets>, Peers);

impl SimHost {
    pub(crate) fn new(
        index: usize,
        bus: Rc<Bus>,
        memory: &Memory,
        (console, store, disks, nets, peers): Ends,
    ) -> Self {
        let domain = DomainIndex(u8::try_from(index).expect("eight domains at most"));
        let machine = memory.machine().clone();
        Self {
            cpus: std::array::from_fn(|_| Vcpu::new()),
            log: Vec::new(),
            rate: LineRate::new(),
            index,
            bus,
            mapper: Mapper::new(machine.clone(), domain),
            window: SimWindow::new(machine, domain),
            memory: Remembering::new(memory.client(domain)),
            synced: None,
            console,
            store,
            disks,
            nets,
            peers,
        }
    }
}

impl SimHost {
    /// See [`SimWindow::meddle`].
    pub(crate) fn meddle(&self, meddler: Option<Meddler>) -> Option<Meddler> {
        self.window.meddle(meddler)
    }
}

impl Clock for SimHost {
    fn now(&self) -> u64 {
        self.bus.now()
    }
    fn frequency(&self) -> u64 {
        FREQUENCY
    }
    fn wake_at(&mut self, deadline: Option<u64>) {
        let answer = self
            .bus
            .call_timer(self.index, OP_ARM, &[deadline.unwrap_or(NEVER)]);
        assert_eq!(answer, 0, "the timer server understands its clients");
    }
}

impl MapsBy for SimHost {
    type Mapper = Mapper;

    fn mapper(&mut self) -> &mut Mapper {
        &mut self.mapper
    }
}

impl Host for SimHost {
    type Vcpu = Vcpu;
    type Window = SimWindow;
    type Memory = Remembering<MemoryClient>;
    type Console = Console;
    type Store = Store;
    type Disks = Option<Disks>;
    type Nets = Option<Nets>;
    type Peers = Peers;

    fn vcpu(&mut self, id: VcpuId) -> &mut Vcpu {
        &mut self.cpus[id.index()]
    }
    fn window(&self) -> &SimWindow {
        &self.window
    }
    fn memory(&mut self) -> &mut Self::Memory {
        // Whoever asks for the client sends a request.
        self.bus.spend();
        &mut self.memory
    }
    fn console(&mut self) -> &mut Console {
        &mut self.console
    }
    fn window_and_console(&mut self) -> (&SimWindow, &mut Console) {
        (&self.window, &mut self.console)
    }
    fn window_and_store(&mut self) -> (&SimWindow, &mut Store) {
        (&self.window, &mut self.store)
    }
    fn window_and_nets(&mut self) -> (&SimWindow, &mut Option<Nets>) {
        (&self.window, &mut self.nets)
    }
    fn window_and_disks(&mut self) -> (&SimWindow, &mut Option<Disks>) {
        (&self.window, &mut self.disks)
    }
    fn window_and_peers(&mut self) -> (&SimWindow, &mut Peers) {
        (&self.window, &mut self.peers)
    }
    fn log(&mut self, line: fmt::Arguments<'_>) {
        let admission = self.rate.admit(self.now(), FREQUENCY);
        admission.tell(line, |line| self.say(line));
    }
    fn renew_vcpu(
        &mut self,
        vcpu: VcpuId,
        _at: Gpa,
        there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        // Code of the host's own may run there, so nothing of the guest's may be there yet.
        for word in (0..PAGE_SIZE).step_by(8) {
            let at = WindowAddr::new(there.raw() + word);
            assert_eq!(self.window.load_u64(at), 0, "the page lent has contents");
        }
        // As on Microkit, where another vCPU object takes the place of the old one.
        self.memory.call(Request::Vcpu { vcpu })?;
        assert_ne!(
            self.vcpu(vcpu).thread,
            Thread::Running,
            "the vCPU of a guest that runs is taken away"
        );
        *self.vcpu(vcpu) = Vcpu::new();
        Ok(())
    }
    fn sync_instructions(&mut self, at: Gpa, len: u64) {
        self.synced = Some((at, len));
    }
    fn start(&mut self, vcpu: VcpuId, pc: Gva, x0: u64) {
        // The host loads no code for those that a guest turns on itself.
        if vcpu == VcpuId::BOOT && self.vcpu(vcpu).thread == Thread::Idle {
            let fetched = self
                .synced
                .take()
                .and_then(|(at, len)| pc.raw().checked_sub(at.raw()).filter(|&n| n < len));
            assert!(
                fetched.is_some(),
                "the vCPU starts in what instruction caches may know otherwise"
            );
        }
        self.vcpu(vcpu).start(pc.raw(), x0);
    }
}

impl Driven for SimHost {
    fn show(&mut self, shown: Shown) {
        self.console.show(shown);
    }
    fn take_order(&mut self) -> Option<Order> {
        self.console.take_order()
    }
    fn say(&mut self, line: fmt::Arguments<'_>) {
        if self.log.len() == LOG_MAX {
            return;
        }
        // What does not fit is cut, as in the protection domain once its own buffer is full.
        self.console.write(format!("[vmm] {line}\n").as_bytes());
        self.log.push(line.to_string());
    }
}
