//! A host for tests of guest memory: real memory server, real mappings, a vCPU of plain registers.

use std::collections::HashMap;
use std::fmt;

use console_api::ConsolePort;
use hv_types::{Gpa, Gva, VcpuId, WindowAddr};
use hypervisor_core::host::on_vcpu::VcpuHost;
use hypervisor_core::host::{Clock, Host, Interrupts, MapsBy, SysReg, Vcpu};
use memory_server::DomainIndex;
use peer_server_api::NoPeers;
use xenstore_server_api::NoStore;

use crate::block::Disks;
use crate::caps::{Mapper, SimWindow};
use crate::memory::{Memory, MemoryClient};
use crate::net::Nets;

/// The host of one guest. Interrupts, time and the console do nothing but remember.
pub struct MemHost {
    /// Maps frames of the capability model.
    pub mapper: Mapper,
    /// What is mapped for the VMM.
    pub window: SimWindow,
    /// The memory server.
    pub memory: MemoryClient,
    /// General registers.
    pub x: [u64; 31],
    /// Program counter.
    pub pc: u64,
    /// Processor state.
    pub pstate: u64,
    /// System registers that were set.
    pub sysregs: HashMap<u8, u64>,
    /// What went to the console.
    pub console: Output,
    store: NoStore,
    disks: Option<Disks>,
    nets: Option<Nets>,
    peers: NoPeers,
    /// Lines logged.
    pub log: Vec<String>,
    /// Interrupts put into list registers.
    pub injected: Vec<u16>,
}

/// A console that takes everything.
#[derive(Debug, Default)]
pub struct Output(pub Vec<u8>);

impl MemHost {
    /// The host of `domain`: EL1h, MMU off, caches on.
    pub fn new(memory: &Memory, domain: DomainIndex) -> Self {
        let machine = memory.machine().clone();
        let mut host = Self {
            mapper: Mapper::new(machine.clone(), domain),
            window: SimWindow::new(machine, domain),
            memory: memory.client(domain),
            x: [0; 31],
            pc: 0,
            pstate: 0x3c5,
            sysregs: HashMap::new(),
            console: Output::default(),
            store: NoStore,
            disks: None,
            nets: None,
            peers: NoPeers,
            log: Vec::new(),
            injected: Vec::new(),
        };
        host.set_sysreg(SysReg::Sctlr, 0x00c5_007c);
        host
    }
}

impl Vcpu for MemHost {
    fn x(&mut self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }
    fn set_x(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }
    fn pc(&mut self) -> Gva {
        Gva::new(self.pc)
    }
    fn set_pc(&mut self, pc: Gva) {
        self.pc = pc.raw();
    }
    fn pstate(&mut self) -> u64 {
        self.pstate
    }
    fn set_pstate(&mut self, pstate: u64) {
        self.pstate = pstate;
    }
    fn sysreg(&mut self, reg: SysReg) -> u64 {
        self.sysregs.get(&(reg as u8)).copied().unwrap_or(0)
    }
    fn set_sysreg(&mut self, reg: SysReg, value: u64) {
        self.sysregs.insert(reg as u8, value);
    }
    fn id_register(&mut self, _name: hypervisor_core::vcpu::idregs::Name) -> Option<u64> {
        None
    }
}

impl Interrupts for MemHost {
    const LIST_REGISTERS: usize = 4;
    fn inject(&mut self, _lr: u8, intid: u16, _priority: u8) -> bool {
        self.injected.push(intid);
        true
    }
    fn ack_vtimer(&mut self) {}
}

impl Clock for MemHost {
    fn now(&self) -> u64 {
        0
    }
    fn frequency(&self) -> u64 {
        62_500_000
    }
    fn wake_at(&mut self, _deadline: Option<u64>) {}
}

impl MapsBy for MemHost {
    type Mapper = Mapper;

    fn mapper(&mut self) -> &mut Mapper {
        &mut self.mapper
    }
}

impl ConsolePort for Output {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.0.extend_from_slice(bytes);
        bytes.len()
    }
    fn read(&mut self, _into: &mut [u8]) -> usize {
        0
    }
    fn room(&self) -> usize {
        usize::MAX
    }
}

/// Its one vCPU is itself.
impl VcpuHost for MemHost {
    fn id(&self) -> VcpuId {
        VcpuId::BOOT
    }
}

impl Host for MemHost {
    type Vcpu = Self;
    type Window = SimWindow;
    type Memory = MemoryClient;
    type Console = Output;
    type Store = NoStore;
    type Disks = Option<Disks>;
    type Nets = Option<Nets>;
    type Peers = NoPeers;

    fn vcpu(&mut self, _: VcpuId) -> &mut Self {
        self
    }
    fn window(&self) -> &SimWindow {
        &self.window
    }
    fn memory(&mut self) -> &mut MemoryClient {
        &mut self.memory
    }
    fn console(&mut self) -> &mut Output {
        &mut self.console
    }
    fn window_and_console(&mut self) -> (&SimWindow, &mut Output) {
        (&self.window, &mut self.console)
    }
    fn window_and_store(&mut self) -> (&SimWindow, &mut NoStore) {
        (&self.window, &mut self.store)
    }
    fn window_and_nets(&mut self) -> (&SimWindow, &mut Option<Nets>) {
        (&self.window, &mut self.nets)
    }
    fn window_and_disks(&mut self) -> (&SimWindow, &mut Option<Disks>) {
        (&self.window, &mut self.disks)
    }
    fn window_and_peers(&mut self) -> (&SimWindow, &mut NoPeers) {
        (&self.window, &mut self.peers)
    }
    fn log(&mut self, line: fmt::Arguments<'_>) {
        self.log.push(line.to_string());
    }
    fn renew_vcpu(
        &mut self,
        _: VcpuId,
        _at: Gpa,
        _there: WindowAddr,
    ) -> Result<(), memory_server_api::Error> {
        Ok(())
    }
    fn sync_instructions(&mut self, _at: Gpa, _len: u64) {}
    fn start(&mut self, _: VcpuId, pc: Gva, x0: u64) {
        self.pc = pc.raw();
        self.x[0] = x0;
    }
}
