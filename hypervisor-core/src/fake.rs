//! A host for tests: registers in a struct, memory on the heap, everything the core does recorded.
#![allow(dead_code, reason = "a fixture shared by the tests of all modules")]

use core::fmt;
use std::{collections::VecDeque, string::String, vec::Vec};

use console_api::ConsolePort;
use dt_server_api::{Bank, DomainRecord, Module, PvFeatures};
use guest_mem::{VecWindow, Window};
use hv_types::{FrameSize, Gpa, Gva, PAGE_SIZE, VcpuId, WindowAddr};
use memory_server_api::{Error, Extra, MemoryServer, Reply, Request, Slot};
use peer_server_api::NoPeers;
use xen_abi::store::{Header, kind};
use xenstore_server_api::{BackendStore, Heard, StorePort};

use crate::host::on_vcpu::VcpuHost;
use crate::host::{Clock, Host, Interrupts, MapError, Stage2, SysReg, Vcpu};
use crate::memory::pages::Pages;

/// First byte of the RAM that [`FakeHost::new`] and [`FakePages::new`] give.
pub(crate) const RAM: u64 = 0x4000_0000;

/// What the core asked of [`Stage2`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MapCall {
    Guest(Slot, Gpa, FrameSize),
    Window(Slot, WindowAddr, FrameSize),
    Unmap(Slot),
    GuestTable(Slot, Gpa),
    WindowTable(Slot, WindowAddr),
}

/// A [`Host`] whose fields tests set and read.
pub(crate) struct FakeHost {
    pub x: [u64; 31],
    pub pc: Gva,
    pub pstate: u64,
    sysregs: [u64; 13],
    /// How many system registers the core has read: each costs about 600 instructions on Microkit.
    pub sysreg_reads: usize,
    /// How many general registers the core has read.
    pub x_reads: usize,
    pub window: VecWindow,
    pub memory: FakeMemory,
    pub console: FakeConsole,
    pub store: FakeStore,
    pub disks: Option<FakeDisks>,
    pub nets: Option<FakeNets>,
    pub peers: NoPeers,
    /// Lines logged.
    pub log: Vec<String>,
    /// Interrupts put into list registers: (list register, INTID, priority).
    pub injected: Vec<(u8, u16, u8)>,
    pub vtimer_acks: usize,
    pub now: u64,
    pub frequency: u64,
    /// The last argument of `wake_at`, and how often it was called.
    pub wake: Option<u64>,
    pub wake_calls: usize,
    pub maps: Vec<MapCall>,
    /// Answers of the next mapping calls; success when empty.
    pub map_results: VecDeque<Result<(), MapError>>,
    /// Arguments of `start`.
    pub started: Option<(Gva, u64)>,
    /// The processor's identification registers, where reads of them trap.
    pub id_registers: Option<fn(crate::vcpu::idregs::Name) -> u64>,
}

/// A memory server that answers [`Error::NoMemory`] until a test scripts it.
#[derive(Default)]
pub(crate) struct FakeMemory {
    pub requests: Vec<Request>,
    pub replies: VecDeque<Result<Reply, Error>>,
}

/// Its end of a region that it shares with a block server.
pub(crate) type FakeDisks =
    block_server_api::Client<'static, VecWindow, std::boxed::Box<dyn FnMut()>>;

/// Its end of a region that it shares with a net server.
pub(crate) type FakeNets =
    net_server_api::Client<'static, &'static VecWindow, std::boxed::Box<dyn FnMut()>>;

/// A store for back ends: nodes, watches, and messages that were not heard. The guest has none.
#[derive(Default)]
pub(crate) struct FakeStore {
    pub nodes: std::collections::BTreeMap<String, String>,
    watches: Vec<(String, String)>,
    messages: VecDeque<(u32, u32, Vec<u8>)>,
}

impl FakeStore {
    /// Writes a node, of which those who watch it are told.
    pub(crate) fn write(&mut self, path: &str, value: &str) {
        self.nodes.insert(path.into(), value.into());
        for (_, token) in self.watches.iter().filter(|(watched, _)| watched == path) {
            let event = std::format!("{path}\0{token}\0").into_bytes();
            self.messages.push_back((kind::WATCH_EVENT, 0, event));
        }
    }
}

impl BackendStore for FakeStore {
    fn ask(&mut self, request: xenstore_server_api::Request<'_>) -> bool {
        let payload = request.payload.concat();
        let text = String::from_utf8(payload).expect("text");
        let (path, value) = text.split_once('\0').expect("a path");
        let mut kind = request.kind;
        let mut answer = b"OK\0".to_vec();
        match request.kind {
            kind::READ => match self.nodes.get(path) {
                Some(value) => answer = value.clone().into_bytes(),
                None => (kind, answer) = (kind::ERROR, b"ENOENT\0".to_vec()),
            },
            kind::WRITE => self.write(path, value),
            kind::WATCH => {
                let token = value.trim_end_matches('\0');
                self.watches.push((path.into(), token.into()));
                self.messages.push_back((kind, request.id, answer));
                self.write(path, &self.nodes.get(path).cloned().unwrap_or_default());
                return true;
            }
            _ => panic!("request {kind}"),
        }
        self.messages.push_back((kind, request.id, answer));
        true
    }

    fn hear(&mut self, into: &mut [u8]) -> Option<Heard> {
        let (kind, req_id, payload) = self.messages.pop_front()?;
        let len = payload.len().min(into.len());
        into[..len].copy_from_slice(&payload[..len]);
        let header = Header {
            kind,
            req_id,
            len: u32::try_from(payload.len()).expect("a short message"),
            ..Header::default()
        };
        Some(Heard { header, len })
    }
}

impl StorePort for FakeStore {
    fn begin(&mut self, _: u32, _: u64) {}
    fn again(&mut self) {}
    fn end(&mut self) {}
    fn is_ready(&mut self) -> bool {
        false
    }
    fn send(&mut self, _: &[u8]) -> usize {
        0
    }
    fn receive(&mut self, _: &mut [u8]) -> usize {
        0
    }
    fn error(&self) -> u32 {
        0
    }
}

/// A console that takes `room` bytes.
pub(crate) struct FakeConsole {
    pub out: Vec<u8>,
    pub input: VecDeque<u8>,
    pub room: usize,
}

impl FakeHost {
    /// A host with `size` bytes of RAM at [`RAM`] and all extra pages, at EL1h with the MMU off and
    /// the caches on.
    pub(crate) fn new(size: u64) -> Self {
        let extra = u64::from(Extra::COUNT) * PAGE_SIZE;
        let window = VecWindow::new()
            .with(WindowAddr::new(RAM), size)
            .with(WindowAddr::extra(0, 0), extra);
        let mut host = Self {
            x: [0; 31],
            pc: Gva::new(RAM),
            pstate: 0x3c5,
            sysregs: [0; 13],
            sysreg_reads: 0,
            x_reads: 0,
            window,
            memory: FakeMemory::default(),
            console: FakeConsole {
                out: Vec::new(),
                input: VecDeque::new(),
                room: usize::MAX,
            },
            store: FakeStore::default(),
            disks: None,
            nets: None,
            peers: NoPeers,
            log: Vec::new(),
            injected: Vec::new(),
            vtimer_acks: 0,
            now: 0,
            frequency: 62_500_000,
            wake: None,
            wake_calls: 0,
            maps: Vec::new(),
            map_results: VecDeque::new(),
            started: None,
            id_registers: None,
        };
        // The reset value with the data cache on.
        host.set(SysReg::Sctlr, 0x00c5_007c);
        host
    }
    /// Sets a system register.
    pub(crate) fn set(&mut self, reg: SysReg, value: u64) {
        self.sysregs[reg as usize] = value;
    }
    /// Reads a system register without counting it.
    pub(crate) fn get(&self, reg: SysReg) -> u64 {
        self.sysregs[reg as usize]
    }
    /// Puts an instruction or another word at `gpa` in RAM.
    pub(crate) fn poke32(&self, gpa: u64, word: u32) {
        self.window.store_u32(WindowAddr::new(gpa), word);
    }
    /// Puts a table entry at `gpa` in RAM.
    pub(crate) fn poke64(&self, gpa: u64, word: u64) {
        self.window.store_u64(WindowAddr::new(gpa), word);
    }
    fn map(&mut self, call: MapCall) -> Result<(), MapError> {
        self.maps.push(call);
        self.map_results.pop_front().unwrap_or(Ok(()))
    }
}

impl Vcpu for FakeHost {
    fn x(&mut self, n: u8) -> u64 {
        self.x_reads += 1;
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }
    fn set_x(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
    fn pc(&mut self) -> Gva {
        self.pc
    }
    fn set_pc(&mut self, pc: Gva) {
        self.pc = pc;
    }
    fn pstate(&mut self) -> u64 {
        self.pstate
    }
    fn set_pstate(&mut self, pstate: u64) {
        self.pstate = pstate;
    }
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        self.sysreg_reads += 1;
        self.get(reg)
    }
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.set(reg, value);
    }
    fn id_register(&mut self, name: crate::vcpu::idregs::Name) -> Option<u64> {
        self.id_registers.map(|registers| registers(name))
    }
}

impl Interrupts for FakeHost {
    const LIST_REGISTERS: usize = 4;
    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        self.injected.push((lr, intid, priority));
        true
    }
    fn ack_vtimer(&mut self) {
        self.vtimer_acks += 1;
    }
}

impl Clock for FakeHost {
    fn now(&self) -> u64 {
        self.now
    }
    fn frequency(&self) -> u64 {
        self.frequency
    }
    fn wake_at(&mut self, deadline: Option<u64>) {
        self.wake = deadline;
        self.wake_calls += 1;
    }
}

impl Stage2 for FakeHost {
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError> {
        self.map(MapCall::Guest(slot, gpa, size))
    }
    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.map(MapCall::Guest(slot, gpa, FrameSize::Page))
    }
    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError> {
        self.map(MapCall::Window(slot, at, size))
    }
    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        self.map(MapCall::Unmap(slot))
    }
    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.map(MapCall::GuestTable(slot, gpa))
    }
    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        self.map(MapCall::WindowTable(slot, at))
    }
}

/// Its one vCPU is itself.
impl VcpuHost for FakeHost {
    fn id(&self) -> VcpuId {
        VcpuId::BOOT
    }
}

impl Host for FakeHost {
    type Vcpu = Self;
    type Window = VecWindow;
    type Memory = FakeMemory;
    type Console = FakeConsole;
    type Store = FakeStore;
    type Disks = Option<FakeDisks>;
    type Nets = Option<FakeNets>;
    type Peers = NoPeers;

    fn vcpu(&mut self, _: VcpuId) -> &mut Self {
        self
    }
    fn window(&self) -> &VecWindow {
        &self.window
    }
    fn memory(&mut self) -> &mut FakeMemory {
        &mut self.memory
    }
    fn console(&mut self) -> &mut FakeConsole {
        &mut self.console
    }
    fn window_and_console(&mut self) -> (&VecWindow, &mut FakeConsole) {
        (&self.window, &mut self.console)
    }
    fn window_and_store(&mut self) -> (&VecWindow, &mut FakeStore) {
        (&self.window, &mut self.store)
    }
    fn window_and_nets(&mut self) -> (&VecWindow, &mut Option<FakeNets>) {
        (&self.window, &mut self.nets)
    }
    fn window_and_disks(&mut self) -> (&VecWindow, &mut Option<FakeDisks>) {
        (&self.window, &mut self.disks)
    }
    fn window_and_peers(&mut self) -> (&VecWindow, &mut NoPeers) {
        (&self.window, &mut self.peers)
    }
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.push(std::format!("{line}"));
    }
    fn renew_vcpu(&mut self, _: VcpuId, _at: Gpa, _there: WindowAddr) -> Result<(), Error> {
        Ok(())
    }
    fn sync_instructions(&mut self, _at: Gpa, _len: u64) {}
    fn start(&mut self, _: VcpuId, pc: Gva, x0: u64) {
        self.started = Some((pc, x0));
    }
}

impl MemoryServer for FakeMemory {
    fn send(&mut self, request: Request) -> Result<Reply, Error> {
        self.requests.push(request);
        self.replies.pop_front().unwrap_or(Err(Error::NoMemory))
    }
}

impl ConsolePort for FakeConsole {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room);
        self.room -= count;
        self.out.extend_from_slice(&bytes[..count]);
        count
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.input.len());
        for (to, from) in into.iter_mut().zip(self.input.drain(..count)) {
            *to = from;
        }
        count
    }
    fn room(&self) -> usize {
        self.room
    }
}

/// [`Pages`] from a list: RAM lies in the window at its address, as always.
#[derive(Clone, Debug)]
pub(crate) struct FakePages {
    /// (start, size) of each RAM range.
    pub ram: Vec<(u64, u64)>,
    /// Extra pages: where the guest sees them, and which.
    pub extra: Vec<(Gpa, Extra)>,
}

impl FakePages {
    /// `size` bytes of RAM at [`RAM`].
    pub(crate) fn new(size: u64) -> Self {
        Self {
            ram: std::vec![(RAM, size)],
            extra: Vec::new(),
        }
    }
}

impl Pages for FakePages {
    fn readable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        if let Some(ram) = self.writable(gpa, len) {
            return Some(ram);
        }
        if gpa.page_offset() + len > PAGE_SIZE {
            return None;
        }
        let (_, kind) = self.extra.iter().find(|(at, _)| *at == gpa.page_base())?;
        Some(WindowAddr::extra(
            kind.index(),
            u16::try_from(gpa.page_offset()).ok()?,
        ))
    }
    fn writable(&self, gpa: Gpa, len: u64) -> Option<WindowAddr> {
        if len > PAGE_SIZE || gpa.page_offset() + len > PAGE_SIZE {
            return None;
        }
        let inside = |&(start, size): &(u64, u64)| gpa.raw() >= start && gpa.raw() - start < size;
        self.ram
            .iter()
            .any(inside)
            .then(|| WindowAddr::new(gpa.raw()))
    }
}

/// Bytes of RAM of the guest that [`record`] describes.
pub(crate) const RAM_SIZE: u64 = 0x20_0000;
/// Its id.
pub(crate) const DOMID: u16 = 3;

/// A guest with 2 MiB of RAM on the heap, Xen's layout, PV features and no UART.
pub(crate) fn record() -> DomainRecord {
    let banks: heapless::Vec<_, _> = [Bank::new(Gpa::new(RAM), RAM_SIZE)].into_iter().collect();
    DomainRecord {
        domid: DOMID,
        // Domain 1 exists beside it.
        domains: 3,
        name: heapless::String::try_from("guest").expect("a short name"),
        vcpus: 1,
        max_banks: banks.clone(),
        banks,
        extended: heapless::Vec::new(),
        shared: heapless::Vec::new(),
        layout: dt_server_api::XEN_LAYOUT,
        is_static: false,
        direct_map: false,
        pv: PvFeatures::NoXenstore,
        vpl011: false,
        nr_spis: 32,
        max_grant_frames: 64,
        trap_unmapped: true,
        kernel: Module { region: 0, size: 0 },
        ramdisk: None,
        meets: 0,
    }
}
