//! A guest for the tests of memory_op and grant_table_op: booted on the real memory server.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "a fixture shared by several test programs"
)]

use dt_server_api::{Bank, DomainRecord, DtServer, Module, PvFeatures};
use guest_mem::Window;
use hv_types::{Gpa, WindowAddr};
use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::hypercall::dispatch;
use hypervisor_core::hypercall::outcome::Outcome;
use hypervisor_core::life::boot::Modules;
use hypervisor_core::memory::pages::Pages as _;
use hypervisor_core::vm::Vm;
use memory_server::{DomainIndex, Purpose, Untyped};
use sim::mem_host::MemHost;
use sim::memory::{Memory, domain_config};
use xen_abi::memory::{self, AddToPhysmap, RemoveFromPhysmap, Reservation};
use xen_abi::{Errno, GuestHandle, number};
use zerocopy::{FromBytes, Immutable, IntoBytes};

pub const D0: DomainIndex = DomainIndex(0);
pub const RAM: u64 = 0x4000_0000;
pub const GFN: u64 = RAM >> 12;
pub const PAGES: u64 = 4096;
pub const DOMID: u16 = 5;
pub const SELF: u16 = 0x7ff0;
/// Where the guest puts arguments, lists and results: not in what it balloons.
pub const ARG: u64 = RAM + 0x2000;
pub const LIST: u64 = RAM + 0x8000;
pub const LIST2: u64 = RAM + 0x1_8000;
pub const ERRS: u64 = RAM + 0x2_8000;
pub const HOLE: u64 = 0x3000_0000;
/// The first frame of the second block.
pub const FREE: u64 = GFN + 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Heap,
    /// Of a heap that has one block more than the guest.
    TightHeap,
    Static,
    DirectMap,
}

pub struct Guest {
    pub memory: Memory,
    pub host: MemHost,
    pub vm: Vm<'static>,
    /// HVCs that the last hypercall took.
    pub rounds: u64,
    /// How often it let others run first.
    pub waits: u64,
}

/// A device tree of four bytes.
pub struct NoTree(DomainRecord);

impl DtServer for NoTree {
    fn record(&mut self) -> Result<DomainRecord, dt_server_api::Error> {
        Ok(self.0.clone())
    }
    fn write_tree(&mut self, _: Option<(Gpa, Gpa)>) -> Result<u32, dt_server_api::Error> {
        Ok(4)
    }
    fn read_tree(&mut self, _: u32, into: &mut [u8]) -> Result<usize, dt_server_api::Error> {
        into[..4].copy_from_slice(b"tree");
        Ok(4)
    }
}

impl Guest {
    pub fn new(kind: Kind) -> Self {
        let is_static = matches!(kind, Kind::Static | Kind::DirectMap);
        let ram = if is_static {
            Untyped {
                paddr: RAM,
                size_bits: 24,
                device: true,
                purpose: Purpose::Static(D0),
            }
        } else {
            Untyped {
                paddr: 0x9000_0000,
                size_bits: if kind == Kind::TightHeap { 24 } else { 25 },
                device: false,
                purpose: Purpose::Heap,
            }
        };
        let spare = Untyped {
            paddr: 0xa000_0000,
            size_bits: 21,
            device: false,
            purpose: Purpose::Heap,
        };
        let extra = Untyped {
            paddr: 0x6000_0000,
            size_bits: 21,
            device: true,
            purpose: Purpose::Heap,
        };
        let tables = Untyped {
            paddr: 0x8000_0000,
            size_bits: 21,
            device: false,
            purpose: Purpose::Tables(D0),
        };
        let memory = Memory::new(
            &[domain_config(DOMID, is_static, PAGES, 64)],
            &match kind {
                Kind::TightHeap => vec![ram, extra, tables, spare],
                _ => vec![ram, extra, tables],
            },
            12,
        );
        let banks = || {
            [Bank::new(Gpa::new(RAM), PAGES << 12)]
                .into_iter()
                .collect()
        };
        let record = DomainRecord {
            domid: DOMID,
            domains: 1,
            name: "guest".try_into().unwrap(),
            vcpus: 1,
            max_banks: banks(),
            banks: banks(),
            extended: Default::default(),
            shared: Default::default(),
            layout: dt_server_api::XEN_LAYOUT,
            is_static,
            direct_map: kind == Kind::DirectMap,
            pv: PvFeatures::NoXenstore,
            vpl011: false,
            nr_spis: 32,
            max_grant_frames: 4,
            trap_unmapped: true,
            kernel: Module {
                region: 0,
                size: 64,
            },
            ramdisk: None,
            meets: 0,
        };
        let mut kernel = [0u8; 64];
        kernel[16..24].copy_from_slice(&64u64.to_le_bytes());
        kernel[56..60].copy_from_slice(b"ARM\x64");
        let mut host = MemHost::new(&memory, D0);
        let table =
            vec![0; hypervisor_core::memory::p2m::P2m::table_words(&record.max_banks)].leak();
        let modules = Modules {
            kernel: &kernel,
            ramdisk: None,
        };
        let vm = Vm::boot(
            &mut host,
            &mut NoTree(record.clone()),
            record,
            table,
            &modules,
        )
        .unwrap();
        Self {
            memory,
            host,
            vm,
            rounds: 0,
            waits: 0,
        }
    }

    /// RAM that somebody looks at comes, for the guest and into the window; where it is there.
    fn look_at(&self, at: u64) -> WindowAddr {
        let mut host = MemHost::new(&self.memory, D0);
        let p2m = &self.vm.domain.p2m;
        p2m.reach(&mut host, Gpa::new(at));
        let seen = p2m.in_sight(Gpa::new(at).gfn());
        // What is no RAM lies in the window where it is.
        seen.map_or(WindowAddr::new(at), |page| {
            WindowAddr::new(page.raw() + at % 4096)
        })
    }
    pub fn put<T: IntoBytes + Immutable>(&self, at: u64, value: &T) {
        self.host.window.write_obj(self.look_at(at), value);
    }
    pub fn get<T: FromBytes + IntoBytes + Immutable>(&self, at: u64) -> T {
        self.host.window.read_obj(self.look_at(at))
    }
    pub fn put_list(&self, at: u64, list: impl IntoIterator<Item = u64>) {
        for (n, gfn) in (0..).zip(list) {
            self.put(at + 8 * n, &gfn);
        }
    }

    /// A hypercall, executed again as often as it asks to be.
    pub fn call(&mut self, nr: u64, args: [u64; 5]) -> Result<i64, StopReason> {
        let mut args = args;
        self.waits = 0;
        for rounds in 1.. {
            match dispatch(&mut self.vm, &mut self.host, nr, args) {
                Outcome::Return(value) => {
                    self.rounds = rounds;
                    self.check();
                    return Ok(value);
                }
                Outcome::Continue { args: next } => args = next,
                Outcome::ContinueLater { args: next, .. } => {
                    self.waits += 1;
                    args = next;
                }
                Outcome::Stop(reason) => return Err(reason),
                other => panic!("{other:?}"),
            }
            assert!(rounds < 10_000, "the hypercall does not end: {args:x?}");
        }
        unreachable!()
    }
    /// Whatever happened, all memory is accounted for.
    pub fn check(&self) {
        let totals = self.memory.totals();
        assert_eq!(totals.sum(), totals.all);
    }
    pub fn memory_op<T: IntoBytes + Immutable>(&mut self, cmd: u64, arg: &T) -> i64 {
        self.put(ARG, arg);
        self.call(number::MEMORY_OP, [cmd, ARG, 0, 0, 0]).unwrap()
    }
    pub fn grant_op<T: IntoBytes + Immutable>(&mut self, cmd: u64, arg: &T, count: u64) -> i64 {
        self.put(ARG, arg);
        self.call(number::GRANT_TABLE_OP, [cmd, ARG, count, 0, 0])
            .unwrap()
    }
    pub fn reserve(&mut self, cmd: u64, order: u32, gfns: &[u64]) -> i64 {
        self.put_list(LIST, gfns.iter().copied());
        let request = reservation(gfns.len() as u64, order);
        self.memory_op(cmd, &request)
    }
    pub fn decrease(&mut self, order: u32, gfns: &[u64]) -> i64 {
        self.reserve(memory::DECREASE_RESERVATION, order, gfns)
    }
    pub fn populate(&mut self, order: u32, gfns: &[u64]) -> i64 {
        self.reserve(memory::POPULATE_PHYSMAP, order, gfns)
    }
    pub fn current(&mut self) -> i64 {
        self.memory_op(memory::CURRENT_RESERVATION, &SELF)
    }
    pub fn add(&mut self, space: u32, idx: u64, gpfn: u64) -> i64 {
        self.memory_op(
            memory::ADD_TO_PHYSMAP,
            &AddToPhysmap {
                domid: SELF,
                size: 0,
                space,
                idx,
                gpfn,
            },
        )
    }
    pub fn remove(&mut self, gpfn: u64) -> i64 {
        self.memory_op(
            memory::REMOVE_FROM_PHYSMAP,
            &RemoveFromPhysmap {
                domid: SELF,
                pad: [0; 6],
                gpfn,
            },
        )
    }
    pub fn read(&self, gfn: u64) -> Option<u8> {
        self.look_at(gfn << 12);
        self.memory
            .machine()
            .change()
            .guest_read(D0, Gpa::new(gfn << 12))
    }
    pub fn write(&self, gfn: u64, byte: u8) {
        self.look_at(gfn << 12);
        self.memory
            .machine()
            .change()
            .guest_write(D0, Gpa::new(gfn << 12), byte)
            .unwrap();
    }
    pub fn paddr(&self, gfn: u64) -> Option<u64> {
        self.look_at(gfn << 12);
        self.memory
            .machine()
            .look()
            .translate(D0, sim::caps::Side::Guest, gfn << 12)
    }
}

pub fn reservation(nr_extents: u64, extent_order: u32) -> Reservation {
    Reservation {
        extent_start: GuestHandle::new(hv_types::Gva::new(LIST)),
        nr_extents,
        extent_order,
        mem_flags: 0,
        domid: SELF,
        pad: [0; 6],
    }
}

pub const fn minus(errno: Errno) -> i64 {
    errno.as_i64()
}
