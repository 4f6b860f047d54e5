//! The whole system: servers, VMMs and their guests, on virtual time.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use console::{Mux, Role, SERVER_COMMANDS};
use console_api::{HEADER_SIZE, Logger, REGION_SIZE, Region};
use dt_server::{DtServer, Entropy, Range, Seeds};
use hv_types::{VcpuId, Vcpus};
use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::exit::{Exit, Reason};
use memory_server::{DomainIndex, Report};
use memory_server_api::Relinquished;
use peer_server_api::Request;
use topology::console_client::{COUNT, DT_SERVER, MEMORY_SERVER};
use topology::pd;

use crate::block::Blocks;
use crate::bus::{Bus, CONSOLE, FREQUENCY, peer};
use crate::domains::{self, Domain};
use crate::host::{Console, SimHost};
use crate::memory::Memory;
use crate::net::Switch;
use crate::peers::{self, PeerServer, Shared};
use crate::serial::Serial;
use crate::store::Store;
use crate::vcpu::Thread;
use crate::vmm::Vmm;

/// Events that may follow from one; more means that protection domains wake each other for ever.
const MOST_EVENTS: usize = 100_000;

/// A system that has booted.
///
/// Nothing runs by itself: a test has guests execute instructions ([`System::guest`]) and lets time
/// pass ([`System::advance`]). Between two of those every protection domain has done what it had to
/// do: protected calls are calls, and notifications are handled after the event that sent them, the
/// highest priority (timer server, console, store, VMMs) first.
pub struct System {
    pub(crate) bus: Rc<Bus>,
    pub(crate) vmms: Vec<Vmm>,
    /// The memory server and the machine below it.
    pub memory: Memory,
    /// The dt-server; VMM `i` is its client `i`.
    pub dt: Rc<RefCell<DtServer>>,
    mux: Box<Mux<'static, COUNT>>,
    /// The xenstore server; VMM `i` is its guest `i`.
    store: Store,
    /// The block server.
    blocks: Blocks,
    /// The net server.
    switch: Switch,
    /// The peer server; VMM `i` is its client `i`.
    peers: PeerServer,
    /// The pages between VMMs.
    shared: Vec<Shared>,
    /// Client number of each of the multiplexer's clients.
    channels: Vec<usize>,
    memory_log: Logger<Console>,
    memory_report: Report,
    /// The console has notified the memory server.
    memory_notified: bool,
    /// How many of the memory server's lines it has been given.
    memory_lines: usize,
    /// The UART.
    serial: Serial,
    /// How much of the transcript [`System::seen`] has returned.
    seen: usize,
}

impl System {
    /// Boots these domains, with a UART that takes everything at once.
    ///
    /// # Panics
    /// If the dt-server finds a mistake.
    pub fn new(domains: &[Domain]) -> Self {
        Self::with_serial(domains, Serial::fast())
    }

    /// Boots these domains.
    ///
    /// # Panics
    /// If the dt-server finds a mistake.
    pub fn with_serial(domains: &[Domain], serial: Serial) -> Self {
        Self::boot(domains, &[], serial)
    }

    /// Boots these domains on a machine whose heap is these ranges and nothing else
    /// (`xen,static-heap`).
    ///
    /// # Panics
    /// If the dt-server finds a mistake.
    pub fn with_heap(domains: &[Domain], heap: &[Range]) -> Self {
        Self::boot(domains, heap, Serial::fast())
    }

    fn boot(domains: &[Domain], heap: &[Range], serial: Serial) -> Self {
        let (config, files) =
            domains::configure(domains, heap).unwrap_or_else(|errors| panic!("{errors}"));
        let bus = Bus::new();
        let memory = domains::memory(&config);
        let mut mux: Box<Mux<'static, COUNT>> = Box::default();
        mux.set_frequency(FREQUENCY);
        mux.set_commands(SERVER_COMMANDS);
        let mut channels = Vec::new();
        let mut ends = Vec::new();
        let (store, store_ends) = Store::new(&bus, &config);
        let (blocks, disks) = Blocks::new(&bus, domains);
        let (switch, nets) = Switch::new(&bus, domains);
        let (peers, sides, shared) = peers::new(&bus, &config, &memory);
        for (client, domain) in config.domains.iter().enumerate() {
            let region = region();
            let end = region.server().expect("the region has its size");
            mux.add(&domain.record.name, Role::Guest, end)
                .expect("names are checked by the dt-server");
            channels.push(client);
            ends.push(console_end(&bus, client, region));
        }
        let mut server = |client, name| {
            let region = region();
            let end = region.server().expect("the region has its size");
            let index = mux.add(name, Role::Server, end);
            let index = index.expect("no domain has a server's name");
            // Nobody here knows processor times; that nothing has used any is said by somebody.
            if client == MEMORY_SERVER {
                mux.set_timekeeper(index);
            }
            channels.push(client);
            Logger::new(console_end(&bus, client, region))
        };
        let memory_log = server(MEMORY_SERVER, pd::MEMORY_SERVER);
        let mut dt_log = server(DT_SERVER, pd::DT_SERVER);
        for warning in config.warnings.iter() {
            writeln!(dt_log, "{warning}").expect("a logger takes everything");
        }
        let dt = Rc::new(RefCell::new(DtServer::new(config, seeds())));
        let mut system = Self {
            bus: bus.clone(),
            vmms: Vec::new(),
            memory,
            dt: dt.clone(),
            mux,
            store,
            blocks,
            switch,
            peers,
            shared,
            channels,
            memory_log,
            memory_report: Report::default(),
            memory_notified: false,
            memory_lines: 0,
            serial,
            seen: 0,
        };
        system.pump_console();
        let ends = ends
            .into_iter()
            .zip(store_ends)
            .zip(disks.into_iter().zip(nets))
            .zip(sides);
        for (index, (((console, store), (disks, nets)), peers)) in ends.enumerate() {
            let ends = (console, store, disks, nets, peers);
            let host = SimHost::new(index, bus.clone(), &system.memory, ends);
            system.vmms.push(Vmm::init(index, host, &dt, &files));
        }
        system.settle();
        system
    }

    /// `linux1` in static memory and `linux2` on the heap, otherwise alike.
    pub fn two() -> Self {
        Self::new(&[Domain::new("linux1"), Domain::new("linux2").heap()])
    }

    /// Why guest `index` stopped for good.
    pub fn stopped(&self, index: usize) -> Option<StopReason> {
        self.vmms[index].stopped()
    }

    /// How often guest `index` has begun to live again.
    pub fn restarts(&self, index: usize) -> u32 {
        self.vmms[index].restarts()
    }

    /// Whether guest `index` was started and has not stopped.
    pub fn is_alive(&self, index: usize) -> bool {
        self.vmms[index].vm().is_some()
    }

    /// From now on the VMM of guest `index` handles nothing any more; the guest is stopped.
    pub fn hang(&mut self, index: usize) {
        self.vmms[index].hangs = true;
        for cpu in &mut self.vmms[index].host.cpus {
            cpu.thread = Thread::Parked;
        }
    }

    /// The VMM of guest `index` crashes and the memory server is told; what it took back. What the
    /// guest executes next it does not find any more.
    ///
    /// # Panics
    /// If the memory server refuses.
    pub fn crash(&mut self, index: usize) -> Relinquished {
        self.hang(index);
        let domain = Self::domain(index).0;
        loop {
            let mut peers = self.peers.borrow_mut();
            if peers.crash(domain, |lending| self.memory.lending(lending))
                != Err(peer_server_api::Error::Again)
            {
                break;
            }
        }
        let taken = self.memory.crash(Self::domain(index));
        taken.unwrap_or_else(|error| panic!("domain {index} is not taken apart: {error}"))
    }

    /// The VMM of guest `index`, which was taken over, rings every port of guest `other`'s, and
    /// writes what it likes into the page between them.
    ///
    /// # Panics
    /// If the two share no page.
    pub fn ring_all(&mut self, index: usize, other: usize) {
        let both = (index.min(other), index.max(other));
        let mut pages = self.shared.iter();
        let page = pages.find(|page| page.domains == both);
        for word in page.expect("the two share a page").words {
            word.store(u32::MAX, Ordering::SeqCst);
        }
        self.bus.notify_vmm(other, peer(index));
        self.settle();
    }

    /// What the peer server says to `request` of the VMM of guest `index`, which was taken over.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn ask_peers(
        &mut self,
        index: usize,
        request: Request,
    ) -> Result<(), peer_server_api::Error> {
        let mut peers = self.peers.borrow_mut();
        peers.answer(index, request, |lending| self.memory.lending(lending))
    }

    /// Whether the boot CPU of guest `index` waits.
    pub fn is_waiting(&self, index: usize) -> bool {
        self.is_alive(index) && self.vmms[index].host.cpus[0].thread == Thread::Parked
    }

    /// Lines that the VMM of guest `index` logged.
    pub fn vmm_log(&self, index: usize) -> &[String] {
        &self.vmms[index].host.log
    }

    /// A domain's number for the memory server.
    pub fn domain(index: usize) -> DomainIndex {
        DomainIndex(u8::try_from(index).expect("eight domains at most"))
    }

    /// How often the store was woken so far.
    pub fn store_wakes(&self) -> usize {
        self.bus.store_wakes()
    }

    /// How often the block server was woken so far.
    pub fn block_wakes(&self) -> usize {
        self.bus.block_wakes()
    }

    /// How often the net server was woken so far.
    pub fn net_wakes(&self) -> usize {
        self.bus.net_wakes()
    }

    /// What the port of interface `nic` of a guest has counted.
    ///
    /// # Panics
    /// There is none.
    pub fn port(&self, guest: usize, nic: usize) -> net_server::Counters {
        self.switch.counters(guest, nic)
    }

    /// The net server crashes, which VMMs learn.
    pub fn crash_nets(&mut self) {
        self.switch.crash(&self.bus);
        self.settle();
    }

    /// From now on disks do nothing of what they are asked; or they do it now.
    pub fn hold_disks(&mut self, held: bool) {
        self.blocks.hold(held);
        self.blocks.notified(&self.bus);
        self.settle();
    }

    /// From now on everything that disks are asked ends so.
    pub fn fail_disks(&mut self, failure: Option<block_server_api::Status>) {
        self.blocks.fail(failure);
    }

    /// The block server crashes, which VMMs learn.
    pub fn crash_disks(&mut self) {
        self.blocks.crash(&self.bus);
        self.settle();
    }

    /// Bytes of disk `disk`, counted over all guests.
    pub fn disk_bytes(&self, disk: usize, at: u64, len: usize) -> Vec<u8> {
        self.blocks.bytes(disk, at, len)
    }

    /// Bytes that the store keeps for guest `index`.
    pub fn store_used(&self, index: usize) -> usize {
        self.store.server.used(index)
    }

    /// Ticks of the system counter.
    pub fn now(&self) -> u64 {
        self.bus.now()
    }

    /// From now on each request to the memory server takes `ticks`; at first they take no time.
    pub fn set_request_time(&mut self, ticks: u64) {
        self.bus.set_request(ticks);
    }

    /// Ticks that requests to the memory server have taken.
    pub fn request_time(&self) -> u64 {
        self.bus.spent()
    }

    /// Lets `ticks` pass. Timers of guests that run and deadlines of guests that sleep come when
    /// they are due.
    pub fn advance(&mut self, ticks: u64) {
        let until = self.now() + ticks;
        // Guests' instructions take time, too.
        self.serial.at(self.now());
        loop {
            self.settle();
            self.fire_timers();
            let now = self.now();
            // What the protection domains have done may have taken longer than was given.
            if now >= until {
                return;
            }
            let cpus = self.vmms.iter().flat_map(|vmm| &vmm.host.cpus);
            let timers = cpus.filter_map(|cpu| {
                cpu.timer_fires_at()
                    .filter(|_| cpu.thread == Thread::Running && !cpu.timer_masked)
            });
            let next = timers
                .chain(self.bus.next_deadline())
                .chain(self.serial.next())
                .filter(|at| *at > now);
            let next = next.min().filter(|at| *at < until).unwrap_or(until);
            if next == now {
                return;
            }
            self.bus.set_now(next);
            self.serial.at(next);
        }
    }

    /// Lets time pass until the next timer, deadline or byte on the line; false if there is none.
    pub fn advance_to_next_event(&mut self) -> bool {
        self.settle();
        let now = self.now();
        let next = self
            .bus
            .next_deadline()
            .into_iter()
            .chain(self.serial.next())
            .min();
        let Some(next) = next else { return false };
        self.advance(next.max(now + 1) - now);
        true
    }

    /// The user types.
    pub fn type_in(&mut self, keys: &[u8]) {
        // As fast as the console reads: what a person types never fills the UART.
        for key in keys {
            self.serial.type_in(&[*key]);
            self.settle();
        }
    }

    /// What came out of the UART since the last call.
    pub fn seen(&mut self) -> String {
        self.settle();
        let text = self.serial.transcript();
        let new = String::from_utf8_lossy(&text[self.seen..]).into_owned();
        self.seen = text.len();
        new
    }

    /// Everything that came out of the UART so far.
    pub fn transcript(&mut self) -> String {
        self.settle();
        String::from_utf8_lossy(self.serial.transcript()).into_owned()
    }

    /// A protected call of VMM `client` to the timer server.
    pub fn call_timer(&self, client: usize, label: u64, words: &[u64]) -> u64 {
        self.bus.call_timer(client, label, words)
    }

    /// A vCPU of guest `index` stopped; everything that follows is done.
    pub(crate) fn exit(&mut self, index: usize, vcpu: VcpuId, reason: Reason) {
        self.vmms[index].fault(Exit { vcpu, reason });
        self.settle();
    }

    /// Reports the timers of running vCPUs that fire now.
    pub(crate) fn fire_timers(&mut self) {
        for index in 0..self.vmms.len() {
            for id in Vcpus::first(u8::MAX) {
                let now = self.now();
                let cpu = &mut self.vmms[index].host.cpus[id.index()];
                if cpu.timer_fires(now) {
                    cpu.timer_masked = true;
                    self.exit(index, id, Reason::VirtualTimer);
                }
            }
        }
    }

    /// Handles notifications until there are none.
    pub(crate) fn settle(&mut self) {
        for _ in 0..MOST_EVENTS {
            self.log_memory();
            if std::mem::take(&mut self.memory_notified) {
                self.memory
                    .report(&mut self.memory_report, &mut self.memory_log);
            }
            if self.bus.next_deadline().is_some_and(|at| at <= self.now()) {
                self.bus.timer_interrupt();
                continue;
            }
            let clients = self.bus.take_console();
            if clients != 0 || self.serial.irq() {
                self.console_notified(clients);
                continue;
            }
            let clients = self.bus.take_store();
            if clients != 0 {
                self.store.notified(&self.bus, clients);
                continue;
            }
            if self.bus.take_block() {
                self.blocks.notified(&self.bus);
                continue;
            }
            if self.bus.take_net() {
                self.switch.notified(&self.bus);
                continue;
            }
            let Some((index, bits)) = (0..self.vmms.len()).find_map(|index| {
                let bits = self.bus.take_vmm(index);
                (bits != 0).then_some((index, bits))
            }) else {
                return;
            };
            self.vmms[index].notified(bits);
        }
        panic!("the protection domains do not come to rest");
    }

    /// Sends the memory server's new lines to the console.
    fn log_memory(&mut self) {
        let machine = self.memory.machine().look();
        for line in machine.log.iter().skip(self.memory_lines) {
            writeln!(self.memory_log, "{line}").expect("a logger takes everything");
        }
        self.memory_lines = machine.log.len();
    }

    /// The monitor's list of vCPUs, with the input at the monitor.
    pub fn vcpus(&mut self) -> String {
        self.seen();
        self.type_in(b"v");
        self.memory_log.port().answer_times(|_, _| 0);
        self.settle();
        self.seen()
    }

    fn console_notified(&mut self, clients: u32) {
        if self.serial.irq() {
            self.mux.on_uart_irq(&mut self.serial);
        }
        for (index, client) in self.channels.iter().enumerate() {
            if clients & 1 << client != 0 {
                self.mux.on_client(index);
            }
        }
        self.pump_console();
    }

    fn pump_console(&mut self) {
        for _ in 0..MOST_EVENTS {
            let pumped = self.mux.pump(&mut self.serial, self.bus.now());
            for index in pumped.notify {
                match self.channels[index] {
                    MEMORY_SERVER => self.memory_notified = true,
                    vmm => self.bus.notify_vmm(vmm, CONSOLE),
                }
            }
            if !pumped.more {
                self.bus.arm_console(pumped.wake_at);
                assert_eq!(self.mux.lost(), 0, "the console lost bytes");
                return;
            }
        }
        panic!("the console does not come to rest");
    }
}

fn region() -> Region<'static> {
    let header = (0..HEADER_SIZE / 4)
        .map(|_| AtomicU32::new(0))
        .collect::<Vec<_>>()
        .leak();
    let data = (0..REGION_SIZE - HEADER_SIZE)
        .map(|_| AtomicU8::new(0))
        .collect::<Vec<_>>()
        .leak();
    Region::new(header, data).expect("the region has its size")
}

fn console_end(bus: &Rc<Bus>, client: usize, region: Region<'static>) -> Console {
    let bus = bus.clone();
    let notify: Box<dyn FnMut()> = Box::new(move || bus.notify_console(client));
    region.client(notify).expect("the region has its size")
}

/// Seeds that are the same in every run.
fn seeds() -> Seeds {
    let mut entropy = Entropy::new();
    entropy.give(b"the same in each run of a test..");
    Seeds::new(entropy)
}
