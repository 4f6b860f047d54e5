//! What the parts of the system have in common: time, notifications, deadlines.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use timer_server::Deadlines;
use timer_server_api::{NEVER, OP_ARM};
use topology::{MAX_DOMAINS, channel, console_client};

/// Ticks per second of the system counter: QEMU's.
pub const FREQUENCY: u64 = 62_500_000;
/// First tick that a system sees; not 0, so that a forgotten clock shows.
const START: u64 = 1_000_000;

/// Bit of a VMM's notification word for the timer server.
pub(crate) const TIMER: u32 = 1 << channel::TIMER;
/// Bit of a VMM's notification word for the store.
pub(crate) const STORE: u32 = 1 << channel::STORE;
/// Bit of a VMM's notification word for the block server. Its channel is one of those of the board
/// alone.
pub(crate) const DISKS: u32 = 1 << 31;
/// The same for the net server.
pub(crate) const NETS: u32 = 1 << 30;
/// Bit of a VMM's notification word for the VMM of domain `domain`, from 0.
pub(crate) fn peer(domain: usize) -> u32 {
    1 << (channel::PAIR + domain)
}
/// Those bits.
pub(crate) const PEERS: u32 = ((1 << MAX_DOMAINS) - 1) << channel::PAIR;
/// Bit of a VMM's notification word for the console.
pub(crate) const CONSOLE: u32 = 1 << channel::CONSOLE;

/// Virtual time and the notification words of all protection domains.
///
/// As on Microkit a notification is a bit: sent twice before it is taken, it comes once.
#[derive(Debug)]
pub(crate) struct Bus {
    now: Cell<u64>,
    console: Cell<u32>,
    store: Cell<u32>,
    /// The block server has been notified, and how often it was woken.
    block: Cell<bool>,
    block_wakes: Cell<usize>,
    /// The net server has been notified, and how often it was woken.
    net: Cell<bool>,
    net_wakes: Cell<usize>,
    /// How often the store was woken.
    store_wakes: Cell<usize>,
    vmms: [Cell<u32>; MAX_DOMAINS],
    deadlines: RefCell<Deadlines>,
    /// Ticks that a request to the memory server takes.
    request: Cell<u64>,
    /// Ticks that requests have taken so far.
    spent: Cell<u64>,
}

impl Bus {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(START),
            console: Cell::new(0),
            store: Cell::new(0),
            block: Cell::new(false),
            block_wakes: Cell::new(0),
            net: Cell::new(false),
            net_wakes: Cell::new(0),
            store_wakes: Cell::new(0),
            vmms: Default::default(),
            deadlines: RefCell::new(Deadlines::new()),
            request: Cell::new(0),
            spent: Cell::new(0),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }
    pub(crate) fn set_now(&self, now: u64) {
        assert!(now >= self.now(), "time goes forward");
        self.now.set(now);
    }

    /// From now on a request to the memory server takes so many ticks.
    pub(crate) fn set_request(&self, ticks: u64) {
        self.request.set(ticks);
    }
    /// A request to the memory server takes its time.
    pub(crate) fn spend(&self) {
        self.set_now(self.now() + self.request.get());
        self.spent.set(self.spent.get() + self.request.get());
    }
    /// Ticks that requests have taken so far.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.get()
    }

    pub(crate) fn notify_console(&self, client: usize) {
        self.console.set(self.console.get() | 1 << client);
    }
    pub(crate) fn take_console(&self) -> u32 {
        self.console.take()
    }
    /// VMM `vmm`, or the timer server, notifies the store.
    pub(crate) fn notify_store(&self, client: usize) {
        self.store.set(self.store.get() | 1 << client);
    }
    pub(crate) fn take_store(&self) -> u32 {
        let clients = self.store.take();
        self.store_wakes
            .set(self.store_wakes.get() + usize::from(clients != 0));
        clients
    }
    /// How often the store was woken so far.
    pub(crate) fn store_wakes(&self) -> usize {
        self.store_wakes.get()
    }
    /// A VMM notifies the block server.
    pub(crate) fn notify_block(&self) {
        self.block.set(true);
    }
    pub(crate) fn take_block(&self) -> bool {
        let notified = self.block.take();
        self.block_wakes
            .set(self.block_wakes.get() + usize::from(notified));
        notified
    }
    /// How often the block server was woken so far.
    pub(crate) fn block_wakes(&self) -> usize {
        self.block_wakes.get()
    }
    /// A VMM notifies the net server.
    pub(crate) fn notify_net(&self) {
        self.net.set(true);
    }
    pub(crate) fn take_net(&self) -> bool {
        let notified = self.net.take();
        self.net_wakes
            .set(self.net_wakes.get() + usize::from(notified));
        notified
    }
    /// How often the net server was woken so far.
    pub(crate) fn net_wakes(&self) -> usize {
        self.net_wakes.get()
    }
    pub(crate) fn notify_vmm(&self, vmm: usize, bit: u32) {
        let word = &self.vmms[vmm];
        word.set(word.get() | bit);
    }
    pub(crate) fn take_vmm(&self, vmm: usize) -> u32 {
        self.vmms[vmm].take()
    }

    /// A protected call to the timer server.
    pub(crate) fn call_timer(&self, client: usize, label: u64, words: &[u64]) -> u64 {
        self.deadlines.borrow_mut().on_request(client, label, words)
    }
    /// The console asks the timer server for a notification.
    pub(crate) fn arm_console(&self, at: Option<u64>) {
        let answer = self.call_timer(channel::SERVER_CONSOLE, OP_ARM, &[at.unwrap_or(NEVER)]);
        assert_eq!(answer, 0, "the timer server understands its clients");
    }
    /// The store asks for one.
    pub(crate) fn arm_store(&self, at: Option<u64>) {
        let answer = self.call_timer(channel::TIMER_CLIENT_STORE, OP_ARM, &[at.unwrap_or(NEVER)]);
        assert_eq!(answer, 0, "the timer server understands its clients");
    }
    /// The tick that the hardware timer is set to.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.borrow().next()
    }
    /// The hardware timer's interrupt: the timer server notifies whose time has come.
    pub(crate) fn timer_interrupt(&self) {
        let mut expired = self.deadlines.borrow_mut().take_expired(self.now());
        while expired != 0 {
            match expired.trailing_zeros() as usize {
                channel::SERVER_CONSOLE => self.notify_console(console_client::TIMER_SERVER),
                channel::TIMER_CLIENT_STORE => self.notify_store(channel::STORE_TIMER),
                vmm => self.notify_vmm(vmm, TIMER),
            }
            expired &= expired - 1;
        }
    }
}
