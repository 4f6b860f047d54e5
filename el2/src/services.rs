//! The servers, called in place behind the messages that travel between protection domains on
//! Microkit.

use core::cell::RefCell;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use dt_server::DtServer;
use memory_server::{DomainIndex, MemoryServer, Report};
use memory_server_api::{Error, LendError, Lending, Reply, Request};
use timer_server::{Deadlines, MAX_CLIENTS};
use timer_server_api::{NEVER, OP_ARM};
use topology::cores::MAX;
use topology::{MAX_DOMAINS, console_client};

use crate::log::ServerLog;
use crate::machine::{Machine, ServerKernel};
use crate::{cores, cpu};

/// Somebody has rung one of the bells below since [`take_rung`]: what is asked after each exit.
static RUNG: AtomicBool = AtomicBool::new(false);

/// Adds `bits` to `bells`.
fn add(bells: &AtomicU32, bits: u32) {
    // Interrupts are masked, and whoever is here has the lock: no read-modify-write is needed.
    bells.store(bells.load(Relaxed) | bits, Relaxed);
    RUNG.store(true, Relaxed);
}

/// Whether somebody may have rung since [`take_rung`].
#[inline]
pub(crate) fn rung() -> bool {
    RUNG.load(Relaxed)
}

/// Whether somebody may have rung since this was called last. The caller then looks at all bells.
#[inline]
pub(crate) fn take_rung() -> bool {
    let rung = rung();
    if rung {
        RUNG.store(false, Relaxed);
    }
    rung
}

/// Console clients that have written or read something since [`take_bells`], a bit each.
static BELLS: AtomicU32 = AtomicU32::new(0);

/// Client `N` notifies the console.
fn ring<const N: usize>() {
    add(&BELLS, 1 << N);
}

/// The notification of each client, by its number.
pub(crate) const RING: [fn(); console_client::COUNT] = [
    ring::<0>, ring::<1>, ring::<2>, ring::<3>, ring::<4>, ring::<5>, ring::<6>, ring::<7>,
    ring::<8>, ring::<9>, ring::<10>, ring::<11>, ring::<12>, ring::<13>, ring::<14>,
];

/// Whether a console client waits to be looked after.
#[inline]
pub(crate) fn bells() -> bool {
    BELLS.load(Relaxed) != 0
}

/// The clients that wait to be looked after, of whom none does then.
pub(crate) fn take_bells() -> u32 {
    BELLS.swap(0, Relaxed)
}

/// VMMs that have something for the store, a bit each.
static STORE_BELLS: AtomicU32 = AtomicU32::new(0);

/// VMM `N` notifies the store.
fn ring_store<const N: usize>() {
    add(&STORE_BELLS, 1 << N);
}

/// The store has more to do than it did.
pub(crate) fn ring_itself() {
    ring_store::<31>();
}

/// The notification of each VMM, by its number.
pub(crate) const STORE_RING: [fn(); MAX_DOMAINS] = [
    ring_store::<0>,
    ring_store::<1>,
    ring_store::<2>,
    ring_store::<3>,
    ring_store::<4>,
    ring_store::<5>,
    ring_store::<6>,
    ring_store::<7>,
];

/// Whether a VMM waits for the store.
#[inline]
pub(crate) fn store_bells() -> bool {
    STORE_BELLS.load(Relaxed) != 0
}

/// The VMMs that wait for the store, of whom none does then.
pub(crate) fn take_store_bells() -> u32 {
    STORE_BELLS.swap(0, Relaxed)
}

/// VMMs that have something for the block server, a bit each.
static BLOCK_BELLS: AtomicU32 = AtomicU32::new(0);

/// VMM `N` notifies the block server.
fn ring_blocks<const N: usize>() {
    add(&BLOCK_BELLS, 1 << N);
}

/// The block server has more to do than it did.
pub(crate) fn ring_blocks_itself() {
    ring_blocks::<31>();
}

/// The notification of each VMM, by its number.
pub(crate) const BLOCK_RING: [fn(); MAX_DOMAINS] = [
    ring_blocks::<0>,
    ring_blocks::<1>,
    ring_blocks::<2>,
    ring_blocks::<3>,
    ring_blocks::<4>,
    ring_blocks::<5>,
    ring_blocks::<6>,
    ring_blocks::<7>,
];

/// Whether a VMM waits for the block server.
#[inline]
pub(crate) fn block_bells() -> bool {
    BLOCK_BELLS.load(Relaxed) != 0
}

/// The VMMs that wait for the block server, of whom none does then.
pub(crate) fn take_block_bells() -> u32 {
    BLOCK_BELLS.swap(0, Relaxed)
}

/// Somebody has something for the net server.
static NET_BELLS: AtomicU32 = AtomicU32::new(0);

/// A VMM notifies the net server, or that has more to do than it did.
pub(crate) fn ring_nets() {
    add(&NET_BELLS, 1);
}

/// Whether somebody waits for the net server.
#[inline]
pub(crate) fn net_bells() -> bool {
    NET_BELLS.load(Relaxed) != 0
}

/// The same; nobody waits then.
pub(crate) fn take_net_bells() -> bool {
    NET_BELLS.swap(0, Relaxed) != 0
}

/// Guests to whom others have sent events, a bit each.
static PEER_BELLS: AtomicU32 = AtomicU32::new(0);

/// An event was sent to guest `guest`.
pub(crate) fn ring_peer(guest: usize) {
    add(&PEER_BELLS, 1 << (guest % MAX_DOMAINS));
}

/// Whether there is a guest with an event that it has not been told of.
#[inline]
pub(crate) fn peer_bells() -> bool {
    PEER_BELLS.load(Relaxed) != 0
}

/// Those guests, of whom none is then.
pub(crate) fn take_peer_bells() -> u32 {
    PEER_BELLS.swap(0, Relaxed)
}

/// What guests' hosts share.
pub(crate) struct Services {
    /// The memory server.
    pub(crate) memory: RefCell<MemoryServer<'static>>,
    /// Its log.
    pub(crate) memory_log: RefCell<ServerLog>,
    /// What somebody at the console wants to know of it.
    pub(crate) memory_report: RefCell<Report>,
    /// Capabilities and address spaces.
    pub(crate) machine: RefCell<Machine>,
    /// The dt-server.
    pub(crate) dt: RefCell<DtServer>,
    /// The peer server.
    pub(crate) peers: RefCell<Option<peer_server::PeerServer<'static>>>,
    /// Who is to be woken when.
    pub(crate) timer: RefCell<Timers>,
}

impl Services {
    /// What the peer server asks the memory server.
    ///
    /// # Errors
    /// The server's refusal.
    pub(crate) fn lending(&self, lending: Lending) -> Result<u64, LendError> {
        let mut kernel = ServerKernel {
            machine: &mut self.machine.borrow_mut(),
            log: &mut self.memory_log.borrow_mut(),
        };
        self.memory.borrow_mut().on_lending(&mut kernel, lending)
    }

    /// The console has notified the memory server.
    pub(crate) fn report_memory(&self) {
        self.memory_report
            .borrow_mut()
            .on_console(&self.memory.borrow(), self.memory_log.borrow_mut().logger());
    }
}

/// The timer server, with a timer on each core. A client is woken by the core that asked last.
#[derive(Debug)]
pub(crate) struct Timers {
    cores: [Timer; MAX as usize],
    /// The core of each client's deadline.
    owners: [u8; MAX_CLIENTS],
}

impl Timers {
    /// Timers that are off.
    pub(crate) const fn new() -> Self {
        Self {
            cores: [const { Timer::new() }; MAX as usize],
            owners: [0; MAX_CLIENTS],
        }
    }

    /// This core's.
    #[inline]
    pub(crate) fn here(&mut self) -> &mut Timer {
        if cores::several() {
            &mut self.cores[usize::from(cpu::number() % MAX)]
        } else {
            &mut self.cores[0]
        }
    }

    /// Makes `client` this core's.
    fn own(&mut self, client: usize) {
        let here = cpu::number();
        let owner = self.owners.get_mut(client);
        let owner = owner.map_or(here, |owner| core::mem::replace(owner, here));
        if owner != here {
            // Its interrupt may come all the same, and finds nothing.
            self.cores[usize::from(owner % MAX)].ask(client, None);
        }
    }

    /// Asks for `client` to be woken at tick `deadline`.
    pub(crate) fn arm(&mut self, client: usize, deadline: Option<u64>) {
        if cores::several() {
            self.own(client);
        }
        let timer = self.here();
        timer.ask(client, deadline);
        timer.program();
    }
}

/// The timer of a core.
#[derive(Debug)]
pub(crate) struct Timer {
    deadlines: Deadlines,
    /// When the vCPU that runs makes way for another.
    slice: Option<u64>,
    /// What the hardware is set to.
    set: Option<u64>,
}

impl Timer {
    /// A timer that is off.
    const fn new() -> Self {
        Self {
            deadlines: Deadlines::new(),
            slice: None,
            set: None,
        }
    }

    fn ask(&mut self, client: usize, deadline: Option<u64>) {
        let _understood = self
            .deadlines
            .on_request(client, OP_ARM, &[deadline.unwrap_or(NEVER)]);
    }

    /// Sets when the slice ends.
    pub(crate) fn set_slice(&mut self, end: Option<u64>) {
        if self.slice != end {
            self.slice = end;
            self.program();
        }
    }

    /// The interrupt came, or might have: the clients whose time has come, a bit each, and whether
    /// the slice has ended.
    pub(crate) fn expired(&mut self) -> (u64, bool) {
        let now = cpu::now();
        let clients = self.deadlines.take_expired(now);
        let over = self.slice.is_some_and(|end| end <= now);
        if over {
            self.slice = None;
        }
        self.program();
        (clients, over)
    }

    fn program(&mut self) {
        let next = self.deadlines.next().into_iter().chain(self.slice).min();
        if next != self.set {
            self.set = next;
            cpu::set_timer(next);
        }
    }
}

/// The dt-server as one guest's host sees it.
pub(crate) type DtClient = dt_server_api::Client<
    alloc::boxed::Box<dyn FnMut(&dt_server_api::Message) -> dt_server_api::Message>,
>;

/// The memory server as one guest's host sees it.
#[derive(Clone, Copy)]
pub(crate) struct MemoryClient {
    services: &'static Services,
    domain: DomainIndex,
}

impl MemoryClient {
    /// The client of `domain`.
    pub(crate) const fn new(services: &'static Services, domain: DomainIndex) -> Self {
        Self { services, domain }
    }
}

impl memory_server_api::MemoryServer for MemoryClient {
    fn send(&mut self, request: Request) -> Result<Reply, Error> {
        let mut kernel = ServerKernel {
            machine: &mut self.services.machine.borrow_mut(),
            log: &mut self.services.memory_log.borrow_mut(),
        };
        let mut server = self.services.memory.borrow_mut();
        server.answer(&mut kernel, self.domain, request.label(), Ok(&request))
    }
}
