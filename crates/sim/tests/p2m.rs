//! The guest's memory map over a real memory server and modelled page tables.
#![allow(missing_docs, reason = "tests")]

use dt_server_api::Bank;
use guest_mem::Window;
use hv_types::{BLOCK_SIZE, Gfn, Gpa, PAGE_SIZE, PageOrder, WindowAddr};
use hypervisor_core::host::MapError;
use hypervisor_core::memory::p2m::{Error, P2m, Page, Patience};
use hypervisor_core::memory::pages::Pages;
use memory_server::{DomainIndex, Purpose, Untyped};
use memory_server_api::{Error as MemoryError, Extra};
use sim::caps::Side;
use sim::mem_host::MemHost;
use sim::memory::{Memory, domain_config};

const D0: DomainIndex = DomainIndex(0);
const RAM: u64 = 0x4000_0000;
const ONE: PageOrder = PageOrder(0);

/// One guest with `banks`, on static device memory or on heap memory of the kernel's.
struct Guest {
    memory: Memory,
    host: MemHost,
    p2m: P2m<'static>,
    banks: Vec<Bank>,
}

fn untyped(paddr: u64, size_bits: u8, device: bool, purpose: Purpose) -> Untyped {
    Untyped {
        paddr,
        size_bits,
        device,
        purpose,
    }
}

impl Guest {
    fn new(banks: &[(u64, u64)], is_static: bool, tables: u32) -> Self {
        let banks: Vec<Bank> = banks
            .iter()
            .map(|(at, size)| Bank::new(Gpa::new(*at), *size))
            .collect();
        let pages = banks.iter().map(|b| b.size() / PAGE_SIZE).sum();
        let ram = if is_static {
            untyped(0x5000_0000, 24, true, Purpose::Static(D0))
        } else {
            untyped(0x9000_0000, 25, false, Purpose::Heap)
        };
        let memory = Memory::new(
            &[domain_config(1, is_static, pages, tables)],
            &[
                ram,
                untyped(0x6000_0000, 21, true, Purpose::Heap),
                untyped(0x8000_0000, 21, false, Purpose::Tables(D0)),
            ],
            12,
        );
        let host = MemHost::new(&memory, D0);
        let table = vec![0xffff_ffff; P2m::table_words(&banks)].leak();
        let p2m = P2m::new(&banks, table).unwrap();
        Self {
            memory,
            host,
            p2m,
            banks,
        }
    }

    fn build(&mut self) -> Result<(), (Gfn, Error)> {
        self.p2m.build(&mut self.host, &self.banks)
    }

    /// A built guest of 16 MiB at [`RAM`].
    fn usual(is_static: bool) -> Self {
        let mut guest = Self::new(&[(RAM, 16 << 20)], is_static, 64);
        guest.build().unwrap();
        guest
    }

    /// As the guest does: RAM that it does not have yet comes.
    fn read(&mut self, gfn: u64) -> Option<u8> {
        self.p2m.touch(&mut self.host, Gfn::new(gfn)).unwrap();
        self.look(gfn)
    }
    /// What is mapped for the guest.
    fn look(&self, gfn: u64) -> Option<u8> {
        self.memory
            .machine()
            .change()
            .guest_read(D0, Gpa::new(gfn << 12))
    }
    fn write(&mut self, gfn: u64, byte: u8) {
        self.p2m.touch(&mut self.host, Gfn::new(gfn)).unwrap();
        self.memory
            .machine()
            .change()
            .guest_write(D0, Gpa::new(gfn << 12), byte)
            .expect("the guest sees it");
    }
    /// What the guest sees is what the map says: RAM but for what is absent. The window shows the
    /// same frames, and RAM in it is the guest's; nothing is lost or counted twice.
    fn check(&self) {
        let totals = self.memory.totals();
        assert_eq!(totals.sum(), totals.all);
        let machine = self.memory.machine().look();
        let mut absent = 0;
        for bank in &self.banks {
            let first = bank.start().gfn().raw();
            for gfn in (first..first + bank.size() / PAGE_SIZE).map(Gfn::new) {
                let (at, page) = (gfn.raw() << 12, self.p2m.lookup(gfn));
                let there = |side| machine.translate(D0, side, at);
                absent += u32::from(self.p2m.is_absent(gfn));
                assert!(page == Page::Ram || !self.p2m.is_in_sight(gfn));
                if page == Page::Ram {
                    assert_eq!(there(Side::Guest).is_none(), self.p2m.is_absent(gfn));
                    if let Some(place) = self.p2m.in_sight(gfn) {
                        let window = machine.translate(D0, Side::Window, place.raw());
                        assert!(window.is_some() && window == there(Side::Guest), "{at:#x}");
                    }
                }
            }
        }
        assert!(absent <= self.p2m.absent());
        for (at, paddr, size) in machine.mapped(D0, Side::Guest) {
            let gpa = Gpa::new(at);
            match self.p2m.lookup(gpa.gfn()) {
                Page::Foreign => panic!("nobody lends anything"),
                Page::Shared => panic!("nobody shares anything"),
                Page::Ram => {
                    let Some(window) = self.p2m.writable(gpa, PAGE_SIZE) else {
                        continue;
                    };
                    assert_eq!(
                        machine.translate(D0, Side::Window, window.raw()),
                        Some(paddr),
                        "{at:#x} {size:#x}"
                    );
                }
                Page::Extra(kind) => {
                    let window = WindowAddr::extra(kind.index(), 0).raw();
                    assert_eq!(machine.translate(D0, Side::Window, window), Some(paddr));
                }
                Page::Alias(window) => {
                    assert_eq!(
                        machine.translate(D0, Side::Window, window.raw()),
                        Some(paddr)
                    );
                }
                Page::Hole => panic!("the guest sees {at:#x}, which the map calls a hole"),
            }
        }
    }
    /// What the guest and the server see, for "nothing changed": how many pages the guest has, a
    /// checksum of their addresses, RAM and extra pages. In how large frames, what of it is absent,
    /// and tables at hand, do not count.
    fn state(&self) -> [u64; 4] {
        let usage = self.memory.usage(D0);
        let machine = self.memory.machine().look();
        let (mut pages, mut sum) = (0u64, 0u64);
        let mut count = |gfn: u64| {
            pages += 1;
            sum = sum.wrapping_add(gfn.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ gfn << 32);
        };
        for (at, _, size) in machine.mapped(D0, Side::Guest) {
            (at >> 12..(at + size) >> 12).for_each(&mut count);
        }
        for bank in &self.banks {
            let first = bank.start().gfn().raw();
            let frames = first..first + bank.size() / PAGE_SIZE;
            frames
                .filter(|gfn| self.p2m.is_absent(Gfn::new(*gfn)))
                .for_each(&mut count);
        }
        [pages, sum, usage.ram, usage.extra]
    }
    fn decrease(&mut self, gfn: u64) -> Result<(), Error> {
        self.p2m
            .decrease(&mut self.host, Gfn::new(gfn), ONE, Patience::None)
    }
    fn populate(&mut self, gfn: u64) -> Result<(), Error> {
        self.p2m.populate(&mut self.host, Gfn::new(gfn), ONE)
    }
}

const GFN: u64 = RAM >> 12;

/// SM-25, GM-4: RAM is what the banks say, in 2 MiB frames.
#[test]
fn boot_ram_is_2_mib_frames_seen_by_guest_and_vmm() {
    let mut g = Guest::usual(true);
    let machine = g.memory.machine().look();
    assert_eq!(machine.mapped(D0, Side::Guest).len(), 8);
    assert!(
        machine
            .mapped(D0, Side::Guest)
            .iter()
            .all(|(_, _, size)| *size == BLOCK_SIZE)
    );
    assert_eq!(
        machine.mapped(D0, Side::Guest),
        machine.mapped(D0, Side::Window)
    );
    drop(machine);
    assert_eq!(g.memory.usage(D0).ram, 4096);
    assert_eq!(g.p2m.max_gfn(), Gfn::new(GFN + 4095));
    g.host
        .window
        .store_u32(WindowAddr::new(RAM + 0x1000), 0x1234_5678);
    assert_eq!(g.read(GFN + 1), Some(0x78));
    g.check();
}

/// GM-3, GM-4: banks are filled to the page and not beyond.
#[test]
fn ragged_and_several_banks_are_filled_to_the_page() {
    // 3 pages before a block boundary, 2 blocks, 5 pages; and a bank inside one block.
    let mut g = Guest::new(
        &[
            (
                RAM + BLOCK_SIZE - 3 * PAGE_SIZE,
                2 * BLOCK_SIZE + 8 * PAGE_SIZE,
            ),
            (0x2_0000_1000, 2 * PAGE_SIZE),
        ],
        false,
        64,
    );
    g.build().unwrap();
    let mapped = g.memory.machine().look().mapped(D0, Side::Guest);
    assert_eq!(mapped.len(), 3 + 2 + 5 + 2);
    assert_eq!(g.memory.usage(D0).ram, 1024 + 8 + 2);
    assert_eq!(g.p2m.lookup(Gfn::new(GFN + 508)), Page::Hole);
    assert_eq!(g.p2m.lookup(Gfn::new(GFN + 509)), Page::Ram);
    assert_eq!(g.p2m.lookup(Gfn::new(GFN + 512 + 1024 + 4)), Page::Ram);
    assert_eq!(g.p2m.lookup(Gfn::new(GFN + 512 + 1024 + 5)), Page::Hole);
    assert_eq!(g.p2m.lookup(Gfn::new(0x20_0002)), Page::Ram);
    assert_eq!(g.p2m.lookup(Gfn::new(0x20_0003)), Page::Hole);
    g.check();
}

#[test]
fn static_memory_in_small_pieces_is_used_page_by_page() {
    let banks = [Bank::new(Gpa::new(RAM), BLOCK_SIZE + BLOCK_SIZE / 2)];
    let pages = banks[0].size() / PAGE_SIZE;
    let memory = Memory::new(
        &[domain_config(1, true, pages, 64)],
        &[
            untyped(0x5010_0000, 20, true, Purpose::Static(D0)),
            untyped(0x5020_0000, 20, true, Purpose::Static(D0)),
            untyped(0x5030_0000, 20, true, Purpose::Static(D0)),
            untyped(0x8000_0000, 21, false, Purpose::Tables(D0)),
        ],
        4,
    );
    let mut host = MemHost::new(&memory, D0);
    let mut p2m = P2m::new(&banks, vec![0; P2m::table_words(&banks)].leak()).unwrap();
    p2m.build(&mut host, &banks).unwrap();
    assert_eq!(memory.machine().look().mapped(D0, Side::Guest).len(), 768);
    assert_eq!(
        memory.machine().look().translate(D0, Side::Guest, RAM),
        Some(0x5010_0000)
    );
}

#[test]
fn build_names_the_frame_where_memory_ended() {
    let mut g = Guest::new(&[(RAM, 32 << 20)], true, 64);
    let error = g.build().unwrap_err();
    assert_eq!(
        error,
        (Gfn::new(GFN + 4096), Error::Memory(MemoryError::NoMemory))
    );
    let mut g = Guest::new(&[(RAM, 16 << 20)], true, 1);
    let (gfn, error) = g.build().unwrap_err();
    assert_eq!(
        (gfn, error),
        (Gfn::new(GFN), Error::Memory(MemoryError::NoTables))
    );
    assert_eq!(
        g.memory.usage(D0).ram,
        0,
        "what could not be mapped was given back"
    );
}

#[test]
fn the_table_quota_formulas_hold() {
    let banks = [
        (RAM, 16 << 20),
        (0x2_0000_0000 - BLOCK_SIZE, 2 * BLOCK_SIZE),
    ];
    let list = banks.map(|(at, size)| Bank::new(Gpa::new(at), size));
    let mut g = Guest::new(&banks, false, P2m::most_tables(&list));
    g.build().unwrap();
    g.p2m.create_extra(&mut g.host, Extra::SharedInfo).unwrap();
    for block in 0..10 {
        let gfn = if block < 8 {
            GFN + block * 512
        } else {
            0x20_0000 - 512 + (block - 8) * 512
        };
        g.decrease(gfn + 7).unwrap();
    }
    g.check();
    assert!(P2m::least_tables(&list) < P2m::most_tables(&list));
}

/// GM-2, GM-3: banks that are not sorted, disjoint and made of pages are refused.
#[test]
fn bad_banks_are_refused() {
    let bad: [&[(u64, u64)]; 6] = [
        &[(RAM + 1, 4096)],
        &[(RAM, 4097)],
        &[(RAM, 0)],
        &[(RAM, 8192), (RAM + 4096, 4096)],
        &[(RAM, 4096), (RAM + 4096, 4096)],
        &[(1 << 40, 4096)],
    ];
    for banks in bad {
        let list: Vec<Bank> = banks
            .iter()
            .map(|(at, size)| Bank::new(Gpa::new(*at), *size))
            .collect();
        let words = vec![0; P2m::table_words(&list)].leak();
        assert_eq!(
            P2m::new(&list, words).err(),
            Some(Error::BadGfn),
            "{banks:x?}"
        );
    }
    let list = [Bank::new(Gpa::new(RAM), BLOCK_SIZE)];
    let words = P2m::table_words(&list);
    assert_eq!(
        P2m::new(&list, vec![0; words - 1].leak()).err(),
        Some(Error::BadGfn)
    );
}

/// BL-1, UP-5: any single page goes and comes back, on memory that is split in place and by copy.
#[test]
fn one_page_leaves_a_block_and_the_others_keep_their_contents_bl_1() {
    for is_static in [true, false] {
        let mut g = Guest::usual(is_static);
        for gfn in [GFN, GFN + 100, GFN + 511, GFN + 512] {
            g.write(gfn, u8::try_from(gfn & 0x7f).unwrap() | 0x80);
        }
        g.decrease(GFN + 100).unwrap();
        assert_eq!(g.memory.usage(D0).ram, 4095);
        assert_eq!(g.p2m.absent(), 511);
        assert_eq!(g.read(GFN + 100), None, "the guest faults");
        assert_eq!(g.p2m.lookup(Gfn::new(GFN + 100)), Page::Hole);
        assert_eq!(g.p2m.readable(Gpa::new((GFN + 100) << 12), 1), None);
        assert_eq!(
            (g.read(GFN), g.read(GFN + 511), g.read(GFN + 512)),
            (Some(0x80), Some(0xff), Some(0x80))
        );
        g.check();
        assert_eq!(g.decrease(GFN + 100), Err(Error::Nothing));
        g.populate(GFN + 100).unwrap();
        assert_eq!(g.memory.usage(D0).ram, 4096);
        g.write(GFN + 100, 9);
        g.check();
        for gfn in (GFN..GFN + 512).step_by(16) {
            g.read(gfn).unwrap();
            g.check();
        }
        assert_eq!((g.p2m.absent(), g.memory.totals().copying), (0, 0));
    }
}

/// SM-14: contents survive decrease and populate at the same frame (section 8 of the ABI notes).
#[test]
fn decrease_and_populate_of_one_page_keep_its_contents() {
    let mut g = Guest::usual(true);
    g.write(GFN + 5, 0x5a);
    g.decrease(GFN + 5).unwrap();
    g.populate(GFN + 5).unwrap();
    assert_eq!(g.read(GFN + 5), Some(0x5a));
}

#[test]
fn a_whole_block_goes_and_comes_back_in_one_extent() {
    let mut g = Guest::usual(false);
    let nine = PageOrder(9);
    g.p2m
        .decrease(&mut g.host, Gfn::new(GFN + 1024), nine, Patience::None)
        .unwrap();
    assert_eq!((g.memory.usage(D0).ram, g.read(GFN + 1024)), (3584, None));
    assert_eq!(
        g.p2m
            .decrease(&mut g.host, Gfn::new(GFN + 1024), nine, Patience::None),
        Err(Error::Nothing)
    );
    g.p2m
        .populate(&mut g.host, Gfn::new(GFN + 1024), nine)
        .unwrap();
    assert_eq!(g.memory.usage(D0).ram, 4096);
    assert_eq!(g.memory.machine().look().mapped(D0, Side::Guest).len(), 8);
    // An extent that is not aligned spans two blocks.
    g.p2m
        .decrease(&mut g.host, Gfn::new(GFN + 256), nine, Patience::None)
        .unwrap();
    assert_eq!(
        (
            g.read(GFN + 255),
            g.read(GFN + 256),
            g.read(GFN + 767),
            g.read(GFN + 768)
        ),
        (Some(0), None, None, Some(0))
    );
    g.p2m
        .populate(&mut g.host, Gfn::new(GFN + 256), nine)
        .unwrap();
    g.check();
    for order in [10, 64, u32::MAX] {
        assert_eq!(
            g.p2m
                .decrease(&mut g.host, Gfn::new(GFN), PageOrder(order), Patience::None),
            Err(Error::BadGfn)
        );
        assert_eq!(
            g.p2m.populate(&mut g.host, Gfn::new(GFN), PageOrder(order)),
            Err(Error::BadGfn)
        );
    }
}

#[test]
fn an_extent_with_a_hole_is_refused_whole() {
    let mut g = Guest::usual(false);
    g.decrease(GFN + 3).unwrap();
    let before = g.state();
    assert_eq!(
        g.p2m
            .decrease(&mut g.host, Gfn::new(GFN), PageOrder(2), Patience::None),
        Err(Error::Nothing)
    );
    assert_eq!(
        g.p2m.populate(&mut g.host, Gfn::new(GFN), PageOrder(2)),
        Err(Error::Occupied)
    );
    // The last frame of the bank and one after it.
    assert_eq!(
        g.p2m.decrease(
            &mut g.host,
            Gfn::new(GFN + 4095),
            PageOrder(1),
            Patience::None
        ),
        Err(Error::Nothing)
    );
    assert_eq!(g.state(), before);
}

/// SM-27, GM-8, UP-2: only holes of RAM banks are populated.
#[test]
fn populate_is_refused_on_ram_outside_the_banks_and_on_no_address() {
    let mut g = Guest::usual(false);
    assert_eq!(g.populate(GFN), Err(Error::Occupied));
    for gfn in [
        0,
        GFN - 1,
        GFN + 4096,
        1 << 28,
        (1 << 52) - 1,
        1 << 52,
        u64::MAX - 1,
        u64::MAX,
    ] {
        assert_eq!(g.populate(gfn), Err(Error::BadGfn), "{gfn:#x}");
        assert!(
            matches!(g.decrease(gfn), Err(Error::Nothing | Error::BadGfn)),
            "{gfn:#x}"
        );
    }
    assert_eq!(g.memory.usage(D0).ram, 4096);
}

/// BL-8: the U-Boot sequence.
#[test]
fn ram_under_shared_info_comes_back_with_its_contents_bl_8() {
    for is_static in [true, false] {
        let mut g = Guest::usual(is_static);
        let gfn = Gfn::new(GFN + 77);
        g.write(GFN + 77, 0x77);
        g.p2m.create_extra(&mut g.host, Extra::SharedInfo).unwrap();
        g.host.window.store_u32(WindowAddr::extra(0, 0), 0xe5);
        g.p2m
            .map_extra(&mut g.host, Extra::SharedInfo, gfn)
            .unwrap();
        assert_eq!(g.read(GFN + 77), Some(0xe5));
        assert_eq!(g.p2m.lookup(gfn), Page::Extra(Extra::SharedInfo));
        assert_eq!(
            g.p2m.readable(Gpa::new(gfn.raw() << 12 | 8), 8),
            Some(WindowAddr::extra(0, 8))
        );
        assert_eq!(
            g.p2m.writable(Gpa::new(gfn.raw() << 12), 8),
            Some(WindowAddr::extra(0, 0)),
            "argument memory as any other, as on Xen"
        );
        assert_eq!(
            g.memory.usage(D0).ram,
            4096,
            "the frame below is still the domain's"
        );
        assert_eq!(g.decrease(GFN + 77), Err(Error::Nothing));
        assert_eq!(g.populate(GFN + 77), Err(Error::Occupied));
        g.check();

        g.p2m.remove(&mut g.host, gfn).unwrap();
        assert_eq!(g.read(GFN + 77), None);
        assert_eq!(g.p2m.remove(&mut g.host, gfn), Err(Error::Nothing));
        g.populate(GFN + 77).unwrap();
        assert_eq!(
            (g.read(GFN + 77), g.memory.usage(D0).ram),
            (Some(0x77), 4096)
        );
        g.check();
    }
}

/// BL-8: decrease of a hidden frame gives it back.
#[test]
fn a_parked_frame_can_be_given_back_bl_8() {
    let mut g = Guest::usual(true);
    g.p2m.remove(&mut g.host, Gfn::new(GFN + 1)).unwrap();
    assert_eq!((g.memory.usage(D0).ram, g.read(GFN + 1)), (4096, None));
    assert_eq!(g.p2m.readable(Gpa::new((GFN + 1) << 12), 1), None);
    g.decrease(GFN + 1).unwrap();
    assert_eq!(g.memory.usage(D0).ram, 4095);
    assert_eq!(g.decrease(GFN + 1), Err(Error::Nothing));
}

/// EX-16: one place at a time; and it can move.
#[test]
fn an_extra_page_is_seen_at_one_frame_at_a_time_ex_16() {
    let mut g = Guest::usual(true);
    let kind = Extra::GrantFrame(0);
    assert_eq!(
        g.p2m.map_extra(&mut g.host, kind, Gfn::new(0x38000)),
        Err(Error::Nothing)
    );
    g.p2m.create_extra(&mut g.host, kind).unwrap();
    assert_eq!(
        g.p2m.create_extra(&mut g.host, kind),
        Err(Error::Memory(MemoryError::Exists))
    );
    assert_eq!(g.read(0x38000), None);
    g.p2m
        .map_extra(&mut g.host, kind, Gfn::new(0x38000))
        .unwrap();
    assert_eq!(g.read(0x38000), Some(0), "zeroed (EX-3)");
    assert_eq!(
        g.p2m.map_extra(&mut g.host, kind, Gfn::new(0x38001)),
        Err(Error::Busy)
    );
    assert_eq!(g.p2m.extra_gfn(kind), Some(Gfn::new(0x38000)));
    g.p2m.remove(&mut g.host, Gfn::new(0x38000)).unwrap();
    assert_eq!((g.p2m.extra_gfn(kind), g.p2m.has_extra(kind)), (None, true));
    g.p2m
        .map_extra(&mut g.host, kind, Gfn::new(GFN + 600))
        .unwrap();
    // Another extra page takes its place; then the first one can be mapped again.
    g.p2m.create_extra(&mut g.host, Extra::Console).unwrap();
    g.p2m
        .map_extra(&mut g.host, Extra::Console, Gfn::new(GFN + 600))
        .unwrap();
    assert_eq!(
        g.p2m.lookup(Gfn::new(GFN + 600)),
        Page::Extra(Extra::Console)
    );
    g.p2m
        .map_extra(&mut g.host, kind, Gfn::new(0x38000))
        .unwrap();
    g.check();
    for gfn in [1 << 28, 1 << 52, u64::MAX] {
        g.p2m.remove(&mut g.host, Gfn::new(0x38000)).ok();
        assert_eq!(
            g.p2m.map_extra(&mut g.host, kind, Gfn::new(gfn)),
            Err(Error::BadGfn)
        );
    }
}

#[test]
fn a_range_across_pages_is_not_one_place_in_the_window() {
    let g = Guest::usual(true);
    assert_eq!(
        g.p2m.readable(Gpa::new(RAM + 4095), 1),
        Some(WindowAddr::new(RAM + 4095))
    );
    assert_eq!(g.p2m.readable(Gpa::new(RAM + 4095), 2), None);
    assert_eq!(g.p2m.writable(Gpa::new(RAM), 4097), None);
    assert_eq!(g.p2m.readable(Gpa::new(u64::MAX), u64::MAX), None);
    assert_eq!(g.p2m.writable(Gpa::new(RAM + (16 << 20)), 1), None);
}

/// A guest that maps everywhere uses up its own page tables, and is told.
#[test]
fn page_tables_run_out_with_an_error_and_nothing_else_happens() {
    let mut g = Guest::new(&[(RAM, 4 << 20)], true, 16);
    g.build().unwrap();
    g.p2m.create_extra(&mut g.host, Extra::SharedInfo).unwrap();
    let mut mapped = 0;
    for n in 0..64 {
        let gfn = Gfn::new(n << 18);
        match g.p2m.map_extra(&mut g.host, Extra::SharedInfo, gfn) {
            Ok(()) => {
                mapped += 1;
                g.p2m.remove(&mut g.host, gfn).unwrap();
            }
            Err(error) => {
                assert_eq!(error, Error::Memory(MemoryError::NoTables));
                break;
            }
        }
    }
    assert!(mapped > 2 && g.memory.usage(D0).tables == 16, "{mapped}");
    let before = g.state();
    assert_eq!(
        g.decrease(GFN + 512),
        Err(Error::Memory(MemoryError::NoTables))
    );
    assert_eq!(g.state(), before);
    g.write(GFN + 512, 1);
}

/// SM-9, EX-5: every mapping and every kernel operation refused once; the guest notices nothing.
fn refuse_each(is_static: bool, mut act: impl FnMut(&mut Guest) -> Result<(), Error>) {
    let fresh = || {
        let mut g = Guest::usual(is_static);
        g.p2m.create_extra(&mut g.host, Extra::SharedInfo).unwrap();
        // RAM has a mark in each page, a hole and a parked frame.
        g.decrease(GFN + 7).unwrap();
        g.p2m.remove(&mut g.host, Gfn::new(GFN + 8)).unwrap();
        for gfn in [GFN, GFN + 9, GFN + 512, GFN + 1023] {
            g.write(gfn, 0x42);
        }
        g
    };
    let (mappings, operations) = {
        let mut g = fresh();
        let before = {
            let m = g.memory.machine().look();
            (m.mappings, m.operations)
        };
        act(&mut g).unwrap();
        let m = g.memory.machine().look();
        (m.mappings - before.0, m.operations - before.1)
    };
    assert!(mappings + operations > 0);
    let sample = |n: &u64, all: u64| *n < 6 || *n + 4 > all || n.is_multiple_of(173);
    for (kernel, step) in (0..mappings)
        .filter(|n| sample(n, mappings))
        .map(|n| (false, n))
        .chain(
            (0..operations)
                .filter(|n| sample(n, operations))
                .map(|n| (true, n)),
        )
    {
        let mut g = fresh();
        let before = g.state();
        {
            let step = u32::try_from(step).ok();
            let mut machine = g.memory.machine().change();
            if kernel {
                machine.faults.kernel = step
            } else {
                machine.faults.mapping = step
            }
        }
        let result = act(&mut g);
        g.memory.machine().change().faults = sim::caps::Faults::default();
        let at = format!(
            "{} step {step}: {result:?}",
            if kernel { "kernel" } else { "mapping" }
        );
        match result {
            Ok(()) => {}
            Err(Error::Broken) => panic!("{at}"),
            Err(_) => {
                assert_eq!(g.state(), before, "{at}");
                act(&mut g).unwrap_or_else(|error| panic!("{at}, again: {error:?}"));
            }
        }
        for gfn in [GFN + 9, GFN + 1023] {
            assert_eq!(g.read(gfn), Some(0x42), "{at}");
        }
        g.check();
    }
}

/// SM-9, BL-1: a refusal at any step of decrease.
#[test]
fn refused_steps_of_decrease_change_nothing_sm_9() {
    for is_static in [true, false] {
        refuse_each(is_static, |g| g.decrease(GFN + 600));
        refuse_each(is_static, |g| g.decrease(GFN + 1));
    }
}

/// What [`one_block`] wrote to each page of the second block.
fn mark(n: u64) -> u8 {
    u8::try_from(n * 7 % 251).unwrap() + 1
}

/// A guest with marks in the second block, of which page 100 was given back.
fn one_block(is_static: bool) -> Guest {
    let mut g = Guest::usual(is_static);
    for n in 0..512 {
        g.write(GFN + 512 + n, mark(n));
    }
    g.decrease(GFN + 612).unwrap();
    g
}

/// SM-9: whatever is refused while the pages of a split block come, each has its contents in the
/// end, for the guest and for the VMM, and none is there twice.
#[test]
fn refused_steps_of_a_touch_lose_nothing_sm_9() {
    for is_static in [true, false] {
        let steps = |kernel: bool, act: &dyn Fn(&mut Guest)| {
            let mut g = one_block(is_static);
            let count = |g: &Guest| {
                let machine = g.memory.machine().look();
                if kernel {
                    machine.operations
                } else {
                    machine.mappings
                }
            };
            let before = count(&g);
            act(&mut g);
            u32::try_from(count(&g) - before).unwrap()
        };
        let touch = |g: &mut Guest| {
            let _ = g.p2m.touch(&mut g.host, Gfn::new(GFN + 515));
        };
        let look = |g: &mut Guest| {
            g.p2m.reach(&mut g.host, Gpa::new((GFN + 613) << 12));
        };
        for (kernel, act) in [
            (true, &touch as &dyn Fn(&mut Guest)),
            (false, &touch),
            (true, &look),
            (false, &look),
        ] {
            let steps = steps(kernel, act);
            assert!(steps > 0);
            for step in 0..steps {
                let mut g = one_block(is_static);
                let fault = |g: &Guest, step| {
                    let mut machine = g.memory.machine().change();
                    if kernel {
                        machine.faults.kernel = step;
                    } else {
                        machine.faults.mapping = step;
                    }
                };
                fault(&g, Some(step));
                act(&mut g);
                g.memory.machine().change().faults = sim::caps::Faults::default();
                g.check();
                // Twice, and the operation fails; the guest would be stopped, but nothing is lost.
                fault(&g, Some(0));
                let refused = g.p2m.touch(&mut g.host, Gfn::new(GFN + 1023));
                g.memory.machine().change().faults = sim::caps::Faults::default();
                assert_eq!(refused, Ok(true), "a second chance");
                for n in (0..512).filter(|n| *n != 100) {
                    assert_eq!(
                        g.read(GFN + 512 + n),
                        Some(mark(n)),
                        "step {step}, page {n}"
                    );
                }
                for n in [3, 101, 511] {
                    let gpa = Gpa::new((GFN + 512 + n) << 12);
                    let at = g.p2m.writable_by(&mut g.host, gpa, 1).unwrap();
                    assert_eq!(g.host.window.load_u8(at), mark(n));
                }
                assert_eq!(g.read(GFN + 612), None);
                g.check();
                assert_eq!((g.p2m.absent(), g.memory.totals().copying), (0, 0));
            }
        }
    }
}

/// UP-5: pages of a split block are touched, looked at, given back, taken, covered and uncovered in
/// any order; each keeps what was written to it last.
#[test]
fn pages_of_a_split_block_in_any_order() {
    for (is_static, seed) in [(true, 1), (false, 2), (true, 3), (false, 4)] {
        let mut g = one_block(is_static);
        let mut has: Vec<Option<u8>> = (0..512).map(|n| Some(mark(n))).collect();
        has[100] = None;
        let mut random: u64 = seed;
        for round in 0..3000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005_u64)
                .wrapping_add(1_442_695_040_888_963_407);
            let n = random >> 33 & 511;
            let (i, gfn) = (usize::try_from(n).unwrap(), GFN + 512 + n);
            match (random >> 60, has[i]) {
                (0..4, Some(byte)) => assert_eq!(g.read(gfn), Some(byte), "{round}: {n}"),
                (4, Some(_)) => {
                    let byte = u8::try_from(round % 255).unwrap();
                    g.write(gfn, byte);
                    has[i] = Some(byte);
                }
                (5..7, Some(byte)) => {
                    let at = g.p2m.writable_by(&mut g.host, Gpa::new(gfn << 12), 1);
                    assert_eq!(g.host.window.load_u8(at.unwrap()), byte, "{round}: {n}");
                }
                (7..9, Some(_)) => {
                    g.decrease(gfn).unwrap();
                    has[i] = None;
                }
                (9, Some(byte)) => {
                    g.p2m.remove(&mut g.host, Gfn::new(gfn)).unwrap();
                    assert_eq!(g.read(gfn), None);
                    g.populate(gfn).unwrap();
                    assert_eq!(g.read(gfn), Some(byte), "{round}: {n}");
                }
                (10, _) => {
                    // Of another block, which may have to wait for this one's copy.
                    let other = GFN + (random >> 20 & 0xe00) + 5;
                    if other & !511 != GFN + 512 {
                        let _ = g.decrease(other);
                    }
                }
                (_, None) => {
                    g.populate(gfn).unwrap();
                    g.write(gfn, 0xfe);
                    has[i] = Some(0xfe);
                }
                _ => {}
            }
            if round % 100 == 0 {
                g.check();
            }
        }
        for (n, byte) in (0..).zip(&has) {
            assert_eq!(g.read(GFN + 512 + n), *byte, "{n}");
        }
        g.check();
        assert_eq!(g.memory.totals().lost, 0);
    }
}

/// The VMM looks at more pages of split blocks than its window shows at once; each time it sees
/// what the guest wrote.
#[test]
fn more_pages_are_looked_at_than_there_are_sights() {
    for is_static in [true, false] {
        let mut g = Guest::usual(is_static);
        for block in [1, 2] {
            for n in 0..512 {
                g.write(GFN + 512 * block + n, mark(n + block));
            }
            g.decrease(GFN + 512 * block + 100).unwrap();
        }
        for _ in 0..2 {
            for (block, n) in [1, 2]
                .into_iter()
                .flat_map(|b| (0..512).map(move |n| (b, n)))
            {
                let gpa = Gpa::new((GFN + 512 * block + n) << 12);
                let at = g.p2m.writable_by(&mut g.host, gpa, 1);
                assert_eq!(at.is_some(), n != 100);
                if let Some(at) = at {
                    assert_eq!(g.host.window.load_u8(at), mark(n + block), "{block}: {n}");
                }
            }
            g.check();
        }
    }
}

/// What the first page of a block costs the kernel does not depend on the block's size, and a page
/// that is given back before anybody touched it costs it nothing.
#[test]
fn the_first_page_of_a_block_is_cheap() {
    for is_static in [true, false] {
        let mut g = Guest::usual(is_static);
        let count = |g: &Guest| {
            let machine = g.memory.machine().look();
            (machine.operations, machine.mappings)
        };
        let before = count(&g);
        g.decrease(GFN + 512).unwrap();
        let after = count(&g);
        assert!(after.0 - before.0 < 10, "{before:?} {after:?}");
        assert!(after.1 - before.1 < 10, "{before:?} {after:?}");
        for n in 1..16 {
            g.decrease(GFN + 512 + n).unwrap();
        }
        assert_eq!(count(&g), after);
        // The first chunk makes the others' untypeds. 16 pages are made where the guest uses them,
        // or minted for it.
        let first = if is_static { 2 } else { 2 + 16 };
        let next = if is_static { 1 } else { 1 + 16 };
        for (page, operations) in [(16, first), (32, next)] {
            let before = count(&g);
            g.read(GFN + 512 + page).unwrap();
            let touched = count(&g);
            assert_eq!(touched.0 - before.0, operations);
            let mappings = if is_static { 16 } else { 16 * 3 };
            // With the tables for copies, which extra pages bring where there are any.
            assert!((mappings..mappings + 5).contains(&(touched.1 - before.1)));
        }
    }
}

/// SM-9, BL-2: a refusal at any step of populate; the frame goes back.
#[test]
fn refused_steps_of_populate_change_nothing_sm_9() {
    for is_static in [true, false] {
        refuse_each(is_static, |g| g.populate(GFN + 7));
        refuse_each(is_static, |g| g.populate(GFN + 8));
    }
    refuse_each(false, |g| {
        g.p2m.populate(&mut g.host, Gfn::new(GFN + 7), PageOrder(1))
    });
}

/// EX-5: a refusal at any step of an extra page.
#[test]
fn refused_steps_of_extra_pages_change_nothing_ex_5() {
    for is_static in [true, false] {
        refuse_each(is_static, |g| {
            g.p2m.create_extra(&mut g.host, Extra::Console)
        });
        let shared = Extra::SharedInfo;
        refuse_each(is_static, |g| {
            g.p2m.map_extra(&mut g.host, shared, Gfn::new(GFN + 1))
        });
        refuse_each(is_static, |g| {
            g.p2m.map_extra(&mut g.host, shared, Gfn::new(GFN + 700))
        });
        refuse_each(is_static, |g| {
            g.p2m.map_extra(&mut g.host, shared, Gfn::new(0x38000))
        });
        refuse_each(is_static, |g| g.p2m.remove(&mut g.host, Gfn::new(GFN + 1)));
    }
}

#[test]
fn a_place_that_the_machine_holds_is_refused() {
    let mut g = Guest::usual(true);
    g.p2m.create_extra(&mut g.host, Extra::SharedInfo).unwrap();
    // Something that the p2m does not know is mapped there, as the GIC's CPU interface is.
    g.p2m.create_extra(&mut g.host, Extra::Console).unwrap();
    g.p2m
        .map_extra(&mut g.host, Extra::Console, Gfn::new(0x3002))
        .unwrap();
    let mut other = P2m::new(&[], vec![0; P2m::table_words(&[])].leak()).unwrap();
    other.create_extra(&mut g.host, Extra::Xenstore).unwrap();
    assert_eq!(
        other.map_extra(&mut g.host, Extra::Xenstore, Gfn::new(0x3002)),
        Err(Error::Map(MapError::Occupied))
    );
}
