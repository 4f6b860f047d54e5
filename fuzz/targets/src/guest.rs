//! A guest on the real core and memory server, over `sim`'s capabilities.

use dt_server_api::{Bank, DomainRecord, DtServer, Error, Module, PvFeatures};
use hv_types::{Gfn, Gpa, PAGE_SHIFT, WindowAddr};
use hypervisor_core::life::boot::Modules;
use hypervisor_core::memory::p2m::{P2m, Page};
use hypervisor_core::vm::Vm;
use memory_server::{DomainIndex, Purpose, Untyped};
use sim::caps::Side;
use sim::mem_host::MemHost;
use sim::memory::{Memory, domain_config};

use crate::input::Input;

/// First byte of its RAM.
pub(crate) const RAM: u64 = 0x4000_0000;
/// Bytes of RAM: the kernel's block, two free ones, and the device tree's.
pub(crate) const RAM_SIZE: u64 = 8 << 20;
/// Where arguments lie.
pub(crate) const ARGS: u64 = RAM + 0x10_0000;
/// RAM that nothing uses, the second block.
pub(crate) const FREE: u64 = RAM + 0x20_0000;

const DOMAIN: DomainIndex = DomainIndex(0);
const DOMID: u16 = 1;

/// The guest and its host.
pub(crate) struct Guest<'t> {
    pub(crate) memory: Memory,
    pub(crate) host: MemHost,
    pub(crate) vm: Vm<'t>,
}

/// A device tree of four bytes.
struct NoTree;

impl DtServer for NoTree {
    fn record(&mut self) -> Result<DomainRecord, Error> {
        Err(Error::NoDomain)
    }
    fn write_tree(&mut self, _: Option<(Gpa, Gpa)>) -> Result<u32, Error> {
        Ok(4)
    }
    fn read_tree(&mut self, _: u32, into: &mut [u8]) -> Result<usize, Error> {
        for (to, from) in into.iter_mut().zip(b"tree") {
            *to = *from;
        }
        Ok(4)
    }
}

fn record(is_static: bool, trap_unmapped: bool, vcpus: u8) -> DomainRecord {
    let banks = || [Bank::new(Gpa::new(RAM), RAM_SIZE)].into_iter().collect();
    DomainRecord {
        domid: DOMID,
        domains: 2,
        name: "guest".try_into().expect("a short name"),
        vcpus,
        max_banks: banks(),
        banks: banks(),
        extended: Default::default(),
        shared: Default::default(),
        layout: dt_server_api::XEN_LAYOUT,
        is_static,
        direct_map: false,
        pv: PvFeatures::NoXenstore,
        vpl011: true,
        nr_spis: 32,
        max_grant_frames: 4,
        trap_unmapped,
        kernel: Module {
            region: 0,
            size: 64,
        },
        ramdisk: None,
        meets: 0,
    }
}

/// Boots a guest for as long as `f` runs: static or heap memory, aborts or nothing for accesses to
/// nothing. The memory server's tables (some 30 KiB) live as long as the process.
pub(crate) fn with_guest(is_static: bool, trap_unmapped: bool, f: impl FnOnce(&mut Guest<'_>)) {
    with_smp_guest(is_static, trap_unmapped, 1, f);
}

/// [`with_guest`] with so many vCPUs, which share their registers.
pub(crate) fn with_smp_guest(
    is_static: bool,
    trap_unmapped: bool,
    vcpus: u8,
    f: impl FnOnce(&mut Guest<'_>),
) {
    let purpose = if is_static {
        Purpose::Static(DOMAIN)
    } else {
        Purpose::Heap
    };
    let untyped = |paddr, size_bits, device, purpose| Untyped {
        paddr,
        size_bits,
        device,
        purpose,
    };
    let memory = Memory::new(
        &[domain_config(DOMID, is_static, RAM_SIZE >> PAGE_SHIFT, 64)],
        &[
            // A heap has a block more, for the pages of one that is split.
            untyped(0x4000_0000, 23, is_static, purpose),
            untyped(0x6000_0000, 21, false, Purpose::Heap),
            untyped(0x7000_0000, 21, true, Purpose::Heap),
            untyped(0x8000_0000, 18, false, Purpose::Tables(DOMAIN)),
        ],
        4,
    );
    let record = record(is_static, trap_unmapped, vcpus);
    let mut kernel = [0; 64];
    kernel[16..24].copy_from_slice(&64u64.to_le_bytes());
    kernel[56..60].copy_from_slice(b"ARM\x64");
    let modules = Modules {
        kernel: &kernel,
        ramdisk: None,
    };
    let mut host = MemHost::new(&memory, DOMAIN);
    let mut table = vec![0; P2m::table_words(&record.max_banks)];
    let vm = Vm::boot(&mut host, &mut NoTree, record, &mut table, &modules);
    let vm = vm.unwrap_or_else(|error| panic!("the guest boots: {error}"));
    let mut guest = Guest { memory, host, vm };
    f(&mut guest);
    guest.check();
}

impl Guest<'_> {
    /// Writes as the guest does; what is not mapped is left out.
    pub(crate) fn poke(&mut self, gpa: u64, bytes: &[u8]) {
        let mut machine = self.memory.machine().change();
        for (offset, byte) in (0..).zip(bytes) {
            if let Some(at) = gpa.checked_add(offset) {
                machine.guest_write(DOMAIN, Gpa::new(at), *byte);
            }
        }
    }

    /// All memory is accounted for, and what the guest reaches is what its VMM's p2m says.
    pub(crate) fn check(&self) {
        let totals = self.memory.totals();
        assert_eq!(totals.sum(), totals.all, "{totals:?}");
        assert_eq!(totals.lost, 0);
        let usage = self.memory.usage(DOMAIN);
        assert!(
            usage.ram <= usage.max && usage.tables <= usage.tables_max,
            "{usage:?}"
        );
        let [guest, window] =
            [Side::Guest, Side::Window].map(|side| Mapped::of(&self.memory, side));
        let bank = RAM >> PAGE_SHIFT..(RAM + RAM_SIZE) >> PAGE_SHIFT;
        for gfn in bank.chain(guest.pages()) {
            let p2m = &self.vm.domain.p2m;
            let at = match p2m.lookup(Gfn::new(gfn)) {
                Page::Hole => None,
                // It comes when the guest touches it, and into the window when the VMM looks.
                Page::Ram if p2m.is_absent(Gfn::new(gfn)) => None,
                Page::Ram if !p2m.is_in_sight(Gfn::new(gfn)) => {
                    assert!(guest.get(gfn).is_some(), "frame {gfn:#x}");
                    continue;
                }
                Page::Ram => Some(gfn),
                Page::Alias(at) => Some(at.raw() >> PAGE_SHIFT),
                Page::Extra(kind) => Some(WindowAddr::extra(kind.index(), 0).raw() >> PAGE_SHIFT),
                page @ (Page::Foreign | Page::Shared) => {
                    panic!("frame {gfn:#x} is {page:?}: the guest meets nobody")
                }
            };
            let expected =
                at.map(|at| window.get(at).expect("what the guest has is in the window"));
            assert_eq!(guest.get(gfn), expected, "frame {gfn:#x}");
        }
    }
}

/// What an address space holds: address, physical address and bytes of each frame, ascending.
struct Mapped(Vec<(u64, u64, u64)>);

impl Mapped {
    fn of(memory: &Memory, side: Side) -> Self {
        Self(memory.machine().look().mapped(DOMAIN, side))
    }

    /// The physical page behind page `page`.
    fn get(&self, page: u64) -> Option<u64> {
        let at = page << PAGE_SHIFT;
        let above = self.0.partition_point(|(start, ..)| *start <= at);
        let (start, paddr, bytes) = *self.0.get(above.checked_sub(1)?)?;
        (at - start < bytes).then(|| (paddr + at - start) >> PAGE_SHIFT)
    }

    fn pages(&self) -> impl Iterator<Item = u64> {
        self.0
            .iter()
            .flat_map(|(at, _, bytes)| at >> PAGE_SHIFT..(at + bytes) >> PAGE_SHIFT)
    }
}

/// A number that means something to a guest, or any: `0..=0x7f` is itself; then come places of its
/// memory and devices, frames, powers of two, and after `0xff` eight bytes.
pub(crate) fn value(input: &mut Input<'_>) -> u64 {
    match input.get::<u8>() {
        n @ ..0x80 => u64::from(n),
        n @ ..0x90 => ARGS + 0x100 * u64::from(n & 15),
        n @ ..0xa0 => (FREE >> PAGE_SHIFT) + u64::from(n & 15),
        n @ ..0xb0 => {
            const PLACES: [u64; 16] = [
                0x7ff0,
                RAM,
                RAM + RAM_SIZE - 8,
                RAM + RAM_SIZE,
                ARGS + 0xffc,
                FREE,
                FREE + 0x20_0000 - 4,
                // The distributor, the CPU interface, the UART, the grant region and the PV
                // console.
                0x0300_1000,
                0x0300_2000,
                0x2200_0000,
                0x3800_0000,
                0x3900_0000,
                0x3_8000,
                0x3_9000,
                // A hole, and its frame.
                0x3000_0000,
                0x3_0000,
            ];
            PLACES[usize::from(n & 15)]
        }
        n @ ..0xf0 => 1 << (n - 0xb0),
        0xf0 => u64::MAX,
        0xf1 => u64::from(u32::MAX),
        0xf2 => 1 << 63,
        0xf3 => u64::MAX - 7,
        0xf4 => u64::from(input.get::<u8>()),
        0xf5 => u64::from(input.get::<u16>()),
        0xf6 => u64::from(input.get::<u32>()),
        0xf7 => RAM + u64::from(input.get::<u32>()) % RAM_SIZE,
        _ => input.get(),
    }
}
