//! The walker against tables made by a builder of its own, and against garbage.

use guest_mem::Window;
use proptest::prelude::*;

use super::entry::*;
use super::stub::{Cache, FetchError, HvcSite, fetch_hvc};
use super::*;
use crate::fake::{FakeHost, FakePages, RAM};

const SIZE: u64 = 16 << 20;
/// `TCR_EL1` fields of a granule: (log2, TG0, TG1).
const GRANULES: [(u32, u64, u64); 3] = [(12, 0, 2), (14, 2, 1), (16, 1, 3)];
const M: u64 = 1;
const C: u64 = 4;
const IPS_48: u64 = 5 << 32;

/// Tables in fake RAM, written with no help from the walker.
struct Builder {
    granule: u32,
    bits: u32,
    root: u64,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Leaf {
    va: u64,
    pa: u64,
    level: u32,
    flags: u64,
}

impl Builder {
    fn new(granule: u32, bits: u32) -> Self {
        let mut builder = Self {
            granule,
            bits,
            root: RAM + 0x10_0000,
            next: RAM + 0x20_0000,
        };
        // Aligned to its size and no further.
        builder.root += 8 << (bits - builder.shift(builder.start()));
        builder
    }
    fn shift(&self, level: u32) -> u32 {
        self.granule + (3 - level) * (self.granule - 3)
    }
    fn start(&self) -> u32 {
        (0..=3)
            .find(|&level| self.shift(level) < self.bits)
            .expect("a level resolves something")
    }
    /// The address of the entry of `va` in `table` at `level`.
    fn entry(&self, table: u64, va: u64, level: u32) -> u64 {
        let top = if level == self.start() {
            self.bits
        } else {
            self.shift(level) + self.granule - 3
        };
        table + 8 * ((va & ((1 << top) - 1)) >> self.shift(level))
    }
    /// Maps `leaf` and returns the address of its entry, or `None` where the place is taken.
    fn map(&mut self, host: &FakeHost, leaf: Leaf) -> Option<u64> {
        let mut table = self.root;
        for level in self.start()..leaf.level {
            let at = self.entry(table, leaf.va, level);
            let old = host.window.load_u64(hv_types::WindowAddr::new(at));
            table = match old & 3 {
                0 => {
                    let new = self.next;
                    self.next += 1 << self.granule;
                    assert!(self.next <= RAM + SIZE, "the test's tables fit");
                    host.poke64(at, new | 3);
                    new
                }
                3 => old & 0xffff_ffff_f000,
                _ => return None,
            };
        }
        let at = self.entry(table, leaf.va, leaf.level);
        if host.window.load_u64(hv_types::WindowAddr::new(at)) != 0 {
            return None;
        }
        let kind = if leaf.level == 3 { 3 } else { 1 };
        host.poke64(at, leaf.pa | kind | leaf.flags);
        Some(at)
    }
    /// A host whose both halves use these tables.
    fn host(&self, more_tcr: u64) -> FakeHost {
        let mut host = FakeHost::new(SIZE);
        let size = u64::from(64 - self.bits);
        let (_, tg0, tg1) = GRANULES[(self.granule as usize - 12) / 2];
        host.set(SysReg::Sctlr, M | C);
        host.set(
            SysReg::Tcr,
            size | size << 16 | tg0 << 14 | tg1 << 30 | IPS_48 | more_tcr,
        );
        host.set(SysReg::Ttbr0, self.root | 1 | 0x55 << 48);
        host.set(SysReg::Ttbr1, self.root | 0x77 << 48);
        host
    }
}

fn kind(result: Result<Gpa, Fault>) -> (FaultKind, u8) {
    let fault = result.expect_err("a fault");
    (fault.kind, fault.level)
}

/// A 4 KiB granule, 39 bits: Linux with three levels. Maps 0x1000 (low half) to the page at RAM +
/// 0x3000.
fn linux() -> (FakeHost, FakePages, Builder, u64) {
    let mut builder = Builder::new(12, 39);
    let host = builder.host(0);
    let leaf = Leaf {
        va: 0x1000,
        pa: RAM + 0x3000,
        level: 3,
        flags: ACCESSED,
    };
    let at = builder.map(&host, leaf).expect("empty tables");
    (host, FakePages::new(SIZE), builder, at)
}

fn read(host: &mut FakeHost, gva: u64) -> Result<Gpa, Fault> {
    translate(host, &FakePages::new(SIZE), Gva::new(gva), Access::Read)
}
fn write(host: &mut FakeHost, gva: u64) -> Result<Gpa, Fault> {
    translate(host, &FakePages::new(SIZE), Gva::new(gva), Access::Write)
}

#[test]
fn mmu_off_is_identity_and_reads_one_register() {
    let mut host = FakeHost::new(SIZE);
    assert_eq!(read(&mut host, 0x4000_1234), Ok(Gpa::new(0x4000_1234)));
    assert_eq!(host.sysreg_reads, 1);
    assert_eq!(kind(read(&mut host, 1 << 48)), (FaultKind::AddressSize, 0));
    assert_eq!(
        kind(read(&mut host, 0xab00_0000_4000_0000)),
        (FaultKind::AddressSize, 0)
    );
    host.set(SysReg::Tcr, 1 << 37);
    assert_eq!(
        read(&mut host, 0xab00_0000_4000_0000),
        Ok(Gpa::new(0x4000_0000))
    );
    assert_eq!(kind(read(&mut host, u64::MAX)), (FaultKind::AddressSize, 0));
}

#[test]
fn both_halves_tags_and_disabled_halves() {
    let (mut host, ..) = linux();
    let low = 0x1234;
    let high = 0xffff_ff80_0000_1234;
    assert_eq!(read(&mut host, low), Ok(Gpa::new(RAM + 0x3234)));
    assert_eq!(read(&mut host, high), Ok(Gpa::new(RAM + 0x3234)));
    assert_eq!(host.sysreg_reads, 6);
    // Neither half.
    assert_eq!(
        kind(read(&mut host, 1 << 39 | low)),
        (FaultKind::Translation, 0)
    );
    assert_eq!(
        kind(read(&mut host, 0xffff_fe80_0000_1234)),
        (FaultKind::Translation, 0)
    );
    // A tag in the top byte.
    let tagged = 0xaa << 56 | low;
    assert_eq!(kind(read(&mut host, tagged)), (FaultKind::Translation, 0));
    let tcr = host.get(SysReg::Tcr);
    host.set(SysReg::Tcr, tcr | 1 << 37);
    assert_eq!(read(&mut host, tagged), Ok(Gpa::new(RAM + 0x3234)));
    assert_eq!(
        kind(read(&mut host, 0x00ff_ff80_0000_1234)),
        (FaultKind::Translation, 0)
    );
    host.set(SysReg::Tcr, tcr | 1 << 38);
    assert_eq!(
        read(&mut host, 0x00ff_ff80_0000_1234),
        Ok(Gpa::new(RAM + 0x3234))
    );
    // EPD0, EPD1.
    host.set(SysReg::Tcr, tcr | 1 << 7);
    assert_eq!(kind(read(&mut host, low)), (FaultKind::Translation, 0));
    assert!(read(&mut host, high).is_ok());
    host.set(SysReg::Tcr, tcr | 1 << 23);
    assert!(read(&mut host, low).is_ok());
    assert_eq!(kind(read(&mut host, high)), (FaultKind::Translation, 0));
}

#[test]
fn permissions_and_flags() {
    let (mut host, _, mut builder, at) = linux();
    assert!(write(&mut host, 0x1000).is_ok());
    host.poke64(at, (RAM + 0x3000) | 3 | ACCESSED | READ_ONLY);
    assert!(read(&mut host, 0x1000).is_ok());
    assert_eq!(kind(write(&mut host, 0x1000)), (FaultKind::Permission, 3));
    // Read-only by the table above.
    let ro = Leaf {
        va: 0x4000_0000,
        pa: RAM,
        level: 3,
        flags: ACCESSED,
    };
    builder.map(&host, ro).expect("free");
    let table = builder.entry(builder.root, ro.va, 1);
    let entry = host.window.load_u64(hv_types::WindowAddr::new(table));
    host.poke64(table, entry | TABLE_READ_ONLY);
    assert!(read(&mut host, ro.va).is_ok());
    assert_eq!(kind(write(&mut host, ro.va)), (FaultKind::Permission, 3));
    let tcr = host.get(SysReg::Tcr);
    host.set(SysReg::Tcr, tcr | 1 << 41);
    assert!(write(&mut host, ro.va).is_ok());
    // Access flag in software.
    host.poke64(at, (RAM + 0x3000) | 3);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::AccessFlag, 3));
}

#[test]
fn hardware_access_flag_and_dirty_state() {
    let (mut host, _, _, at) = linux();
    let tcr = host.get(SysReg::Tcr);
    host.set(SysReg::Tcr, tcr | TCR_HA | TCR_HD);
    let clean = (RAM + 0x3000) | 3 | READ_ONLY | DBM;
    host.poke64(at, clean);
    let entry = |host: &FakeHost| host.window.load_u64(hv_types::WindowAddr::new(at));
    assert!(read(&mut host, 0x1000).is_ok());
    assert_eq!(entry(&host), clean | ACCESSED);
    assert!(write(&mut host, 0x1000).is_ok());
    assert_eq!(entry(&host), clean & !READ_ONLY | ACCESSED);
    // HD without DBM is a read-only page.
    host.poke64(at, (RAM + 0x3000) | 3 | READ_ONLY | ACCESSED);
    assert_eq!(kind(write(&mut host, 0x1000)), (FaultKind::Permission, 3));
    // DBM without HD too.
    host.set(SysReg::Tcr, tcr | TCR_HA);
    host.poke64(at, clean | ACCESSED);
    assert_eq!(kind(write(&mut host, 0x1000)), (FaultKind::Permission, 3));
    // A big-endian guest's table.
    host.set(SysReg::Tcr, tcr | TCR_HA | TCR_HD);
    host.set(SysReg::Sctlr, M | C | SCTLR_EE);
    let root = host.get(SysReg::Ttbr0) & 0xffff_ffff_f000;
    let mut table = root;
    for _ in 0..2 {
        let next = host.window.load_u64(hv_types::WindowAddr::new(table));
        host.poke64(table, next.swap_bytes());
        table = next & 0xffff_ffff_f000;
    }
    host.poke64(at, clean.swap_bytes());
    assert_eq!(write(&mut host, 0x1000), Ok(Gpa::new(RAM + 0x3000)));
    assert_eq!(entry(&host).swap_bytes(), clean & !READ_ONLY | ACCESSED);
}

#[test]
fn entries_that_are_not_allowed() {
    let (mut host, _, _, at) = linux();
    // Level 3 with bit 1 clear is reserved.
    host.poke64(at, (RAM + 0x3000) | 1 | ACCESSED);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::Translation, 3));
    // Output above IPS (32 bits).
    let tcr = host.get(SysReg::Tcr);
    host.set(SysReg::Tcr, tcr & !(7 << 32));
    host.poke64(at, 1 << 32 | 3 | ACCESSED);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::AddressSize, 3));
    host.set(SysReg::Tcr, tcr);
    assert_eq!(read(&mut host, 0x1000), Ok(Gpa::new(1 << 32)));
    // A table outside of memory.
    let root = host.get(SysReg::Ttbr0) & 0xffff_ffff_f000;
    host.poke64(root, 0x1000 | 3);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::NoTable, 2));
    host.set(SysReg::Ttbr0, 0x1000);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::NoTable, 1));
    // Reserved granule, 52-bit address space.
    host.set(SysReg::Ttbr0, root);
    host.set(SysReg::Tcr, tcr | 3 << 14);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::Translation, 0));
    host.set(SysReg::Tcr, tcr & !0x3f | 12);
    assert_eq!(kind(read(&mut host, 0x1000)), (FaultKind::Translation, 0));
    // Bits 15:12 of an entry are not address where tables have 64 KiB.
    let mut builder = Builder::new(16, 48);
    let mut host64 = builder.host(0);
    let leaf = Leaf {
        va: 0,
        pa: RAM,
        level: 3,
        flags: ACCESSED,
    };
    builder.map(&host64, leaf).expect("empty");
    let next = host64
        .window
        .load_u64(hv_types::WindowAddr::new(builder.root));
    host64.poke64(builder.root, next | 0xf000);
    assert_eq!(read(&mut host64, 0x1234), Ok(Gpa::new(RAM + 0x1234)));
    // A block at level 0 (4 KiB granule, 48 bits) and at level 1 (16 KiB).
    for (granule, level) in [(12, 0), (14, 1), (16, 1)] {
        let mut builder = Builder::new(granule, 48);
        let mut host = builder.host(0);
        builder
            .map(
                &host,
                Leaf {
                    va: 0,
                    pa: 0,
                    level,
                    flags: ACCESSED,
                },
            )
            .expect("empty");
        let fault = (FaultKind::Translation, u8::try_from(level).expect("small"));
        assert_eq!(kind(read(&mut host, 0)), fault, "granule {granule}");
    }
}

#[test]
fn tables_written_with_the_cache_off_are_cleaned_before_they_are_read() {
    let (mut host, ..) = linux();
    read(&mut host, 0x1000).expect("mapped");
    assert_eq!(host.window.cleaned(), 0);
    host.set(SysReg::Sctlr, M);
    read(&mut host, 0x1000).expect("mapped");
    assert_eq!(host.window.cleaned(), 3 * 8);
}

const HVC_XEN: u32 = 0xd401_d422;
const HVC_PSCI: u32 = 0xd400_0002;

#[test]
fn hvc_is_found_with_its_number() {
    let mut host = FakeHost::new(SIZE);
    let pages = FakePages::new(SIZE);
    let mut cache = Cache::new();
    host.pc = Gva::new(RAM + 0x104);
    host.poke32(RAM + 0x104, HVC_XEN);
    let mut site = |host: &mut FakeHost| fetch_hvc(host, &pages, &mut cache);
    for (before, nr) in [
        (0xd280_0230, Some(17)),     // mov x16, #17
        (0x5280_0190, Some(12)),     // mov w16, #12
        (0xd29f_fff0, Some(0xffff)), // mov x16, #65535
        (0xd2a0_0230, None),         // mov x16, #17 << 16
        (0xd280_0231, None),         // mov x17, #17
        (0x9280_0230, None),         // mov x16, #-18
        (0xf280_0230, None),         // movk x16, #17
    ] {
        host.poke32(RAM + 0x100, before);
        assert_eq!(
            site(&mut host),
            Ok(HvcSite { imm: 0xea1, nr }),
            "{before:#x}"
        );
    }
    assert_eq!(
        host.sysreg_reads, 1,
        "only the first needs the translation registers"
    );
    // The first word of a page and the second.
    host.pc = Gva::new(RAM + 0x2004);
    host.poke32(RAM + 0x2000, 0xd280_0230);
    host.poke32(RAM + 0x2004, HVC_XEN);
    assert_eq!(
        site(&mut host),
        Ok(HvcSite {
            imm: 0xea1,
            nr: Some(17)
        })
    );
    // At the start of a page the word before may belong to anything.
    host.pc = Gva::new(RAM + 0x1000);
    host.poke32(RAM + 0xffc, 0xd280_0230);
    host.poke32(RAM + 0x1000, HVC_PSCI);
    assert_eq!(site(&mut host), Ok(HvcSite { imm: 0, nr: None }));
}

#[test]
fn hvc_that_is_not_there() {
    let mut host = FakeHost::new(SIZE);
    let pages = FakePages::new(SIZE);
    let mut cache = Cache::new();
    host.pc = Gva::new(RAM + 0x102);
    assert_eq!(
        fetch_hvc(&mut host, &pages, &mut cache),
        Err(FetchError::NotHvc(0))
    );
    host.pc = Gva::new(RAM + 0x104);
    host.poke32(RAM + 0x104, 0xd503_201f);
    assert_eq!(
        fetch_hvc(&mut host, &pages, &mut cache),
        Err(FetchError::NotHvc(0xd503_201f))
    );
    host.pc = Gva::new(0x1000);
    let nowhere = Err(FetchError::NoMemory(Gpa::new(0x1000)));
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), nowhere);
    host.pc = Gva::new(1 << 50);
    let fault = Fault {
        kind: FaultKind::AddressSize,
        level: 0,
    };
    assert_eq!(
        fetch_hvc(&mut host, &pages, &mut cache),
        Err(FetchError::Walk(fault))
    );
}

#[test]
fn a_stale_guess_is_walked_again() {
    let (mut host, mut pages, _, at) = linux();
    let mut cache = Cache::new();
    host.pc = Gva::new(0x1010);
    host.poke32(RAM + 0x300c, 0xd280_0230);
    host.poke32(RAM + 0x3010, HVC_XEN);
    let first = fetch_hvc(&mut host, &pages, &mut cache);
    assert_eq!(
        first,
        Ok(HvcSite {
            imm: 0xea1,
            nr: Some(17)
        })
    );
    let reads = host.sysreg_reads;
    // The guest maps other text there; the old page is used for something else.
    host.poke64(at, (RAM + 0x5000) | 3 | ACCESSED);
    host.poke32(RAM + 0x3010, 0);
    host.poke32(RAM + 0x5010, HVC_PSCI);
    let second = fetch_hvc(&mut host, &pages, &mut cache);
    assert_eq!(second, Ok(HvcSite { imm: 0, nr: None }));
    assert!(host.sysreg_reads > reads);
    // An immediate that is neither Xen's nor SMCCC's is not believed without a walk.
    host.poke32(RAM + 0x5010, 0xd402_4682);
    let reads = host.sysreg_reads;
    let third = fetch_hvc(&mut host, &pages, &mut cache);
    assert_eq!(
        third,
        Ok(HvcSite {
            imm: 0x1234,
            nr: None
        })
    );
    assert!(host.sysreg_reads > reads);
    // The page is ballooned out: the cache does not reach into the hole.
    pages.ram = std::vec![(RAM, 0x5000), (RAM + 0x6000, SIZE - 0x6000)];
    let hole = fetch_hvc(&mut host, &pages, &mut cache);
    assert_eq!(hole, Err(FetchError::NoMemory(Gpa::new(RAM + 0x5010))));
}

/// A stub of Xen's shape at offset 0x10 of the page at `page`.
fn stub(host: &FakeHost, page: u64, nr: u32) {
    host.poke32(page + 0xc, 0xd280_0010 | nr << 5);
    host.poke32(page + 0x10, HVC_XEN);
}

const fn xen(nr: u64) -> Result<HvcSite, FetchError> {
    Ok(HvcSite {
        imm: 0xea1,
        nr: Some(nr),
    })
}

/// Another page behind the same address: seen at once, though an HVC of Xen's stands in the old
/// page too.
#[test]
fn another_page_behind_a_stub_is_seen_at_once() {
    let (mut host, pages, _, at) = linux();
    let mut cache = Cache::new();
    host.pc = Gva::new(0x1010);
    stub(&host, RAM + 0x3000, 17);
    stub(&host, RAM + 0x5000, 29);
    for _ in 0..2 {
        assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    }
    host.poke64(at, (RAM + 0x5000) | 3 | ACCESSED);
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(29));
    host.poke64(at, (RAM + 0x3000) | 3 | ACCESSED);
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    // Unmapped, and mapped read-only by a page that holds the same.
    host.poke64(at, 0);
    assert!(fetch_hvc(&mut host, &pages, &mut cache).is_err());
    let registers = host.sysreg_reads;
    host.poke64(at, (RAM + 0x3000) | 3 | ACCESSED);
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    assert_eq!(host.sysreg_reads, registers, "it is as it was");
}

/// kexec: other tables, or none, with the old text and its tables left as they were. x16 tells.
#[test]
fn other_tables_are_seen_when_the_proof_is_old() {
    let (mut host, pages, _, _) = linux();
    let mut cache = Cache::new();
    host.pc = Gva::new(0x1010);
    stub(&host, RAM + 0x3000, 17);
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    let (registers, asked) = (host.sysreg_reads, host.x_reads);
    host.x[16] = 17;
    host.now += host.frequency / 5000 - 1;
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    assert_eq!(host.x_reads, asked, "within 200 us of the walk");
    // Asked once, and then believed again.
    host.now += 1;
    for _ in 0..3 {
        assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(17));
    }
    assert_eq!((host.sysreg_reads, host.x_reads), (registers, asked + 1));
    // Tables of a new kernel: the same address is another page.
    let mut new = Builder {
        granule: 12,
        bits: 39,
        root: RAM + 0x60_0000,
        next: RAM + 0x70_0000,
    };
    let leaf = Leaf {
        va: 0x1000,
        pa: RAM + 0x5000,
        level: 3,
        flags: ACCESSED,
    };
    new.map(&host, leaf).expect("empty tables");
    stub(&host, RAM + 0x5000, 29);
    host.set(SysReg::Ttbr0, new.root);
    host.now += host.frequency;
    host.x[16] = 29;
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(29));
    assert!(host.sysreg_reads > registers);
    // x16 is the number, whatever the text says: the guest may have jumped past it.
    host.now += host.frequency;
    host.x[16] = 12;
    assert_eq!(fetch_hvc(&mut host, &pages, &mut cache), xen(12));
    // With the MMU off nothing is at that address.
    host.set(SysReg::Sctlr, C);
    host.now += host.frequency;
    host.x[16] = 17;
    assert!(fetch_hvc(&mut host, &pages, &mut cache).is_err());
}

fn granule_and_bits() -> impl Strategy<Value = (u32, u32)> {
    (0..GRANULES.len(), 17..=48u32).prop_filter_map(
        "an address needs more bits than a page",
        |(g, bits)| {
            let granule = GRANULES[g].0;
            (bits > granule).then_some((granule, bits))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_list_of_mappings(
        (granule, bits) in granule_and_bits(),
        upper in any::<bool>(),
        wanted in prop::collection::vec((any::<u64>(), any::<u64>(), 1..=3u32, any::<bool>()), 1..8),
        near in prop::collection::vec((0..8usize, any::<u64>()), 20),
    ) {
        let mut builder = Builder::new(granule, bits);
        let mut host = builder.host(0);
        let mut list: Vec<Leaf> = Vec::new();
        for (va, pa, level, read_only) in wanted {
            // Blocks: level 2 everywhere, level 1 with 4 KiB pages only.
            let level = if level == 1 && granule != 12 { 2 } else { level }.max(builder.start());
            let size_mask = (1u64 << builder.shift(level)) - 1;
            let leaf = Leaf {
                // Few distinct prefixes, so that mappings meet in tables.
                va: va & ((1 << bits) - 1) & !size_mask & 0x8000_4063_f3ff_ffff,
                pa: pa & 0xffff_ffff_f000 & !size_mask,
                level,
                flags: ACCESSED | if read_only { READ_ONLY } else { 0 },
            };
            if level < 3 && !(level == 2 || granule == 12 && level == 1) {
                continue;
            }
            if builder.map(&host, leaf).is_some() {
                list.push(leaf);
            }
        }
        let sign = if upper { u64::MAX << bits } else { 0 };
        let pages = FakePages::new(SIZE);
        for (which, offset) in near {
            let base = list.get(which).map_or(0, |leaf| leaf.va);
            // Inside the mapping, or a little around it.
            let va = (base ^ offset & ((1 << (granule + 12)) - 1)) & ((1 << bits) - 1);
            let model = list.iter().find(|leaf| va >> builder.shift(leaf.level) == leaf.va >> builder.shift(leaf.level));
            for access in [Access::Read, Access::Write] {
                let result = translate(&mut host, &pages, Gva::new(va | sign), access);
                match model {
                    None => prop_assert_eq!(kind(result).0, FaultKind::Translation),
                    Some(leaf) if access == Access::Write && leaf.flags & READ_ONLY != 0 => {
                        prop_assert_eq!(kind(result), (FaultKind::Permission, u8::try_from(leaf.level).unwrap()));
                    }
                    Some(leaf) => {
                        let inside = va & ((1 << builder.shift(leaf.level)) - 1);
                        prop_assert_eq!(result, Ok(Gpa::new(leaf.pa | inside)));
                    }
                }
            }
        }
    }

    #[test]
    fn garbage_ends_in_an_answer(
        sctlr in any::<u64>(), tcr in any::<u64>(), ttbr in any::<u64>(), inside in any::<bool>(),
        words in prop::collection::vec(any::<u64>(), 64),
        gvas in prop::collection::vec(any::<u64>(), 16),
        pc in any::<u64>(),
    ) {
        let mut host = FakeHost::new(SIZE);
        let pages = FakePages::new(SIZE);
        // Tables that point into themselves, so that walks get deep.
        for (n, at) in (RAM..RAM + 0x2_0000).step_by(8).enumerate() {
            let word = words[n % words.len()];
            let loop_back = RAM | word & 0x1_f000 | word & 0xfff | word & 0xfff0_0000_0000_0000;
            host.poke64(at, if word & 4 == 0 { loop_back | 3 } else { word });
        }
        let table = if inside { RAM | ttbr & 0xffff_0000_0001_ffff } else { ttbr };
        host.set(SysReg::Sctlr, sctlr);
        host.set(SysReg::Tcr, tcr);
        host.set(SysReg::Ttbr0, table);
        host.set(SysReg::Ttbr1, table);
        for gva in gvas {
            for gva in [gva, gva | 0xffff_0000_0000_0000, gva & 0xffff_ffff_ffff] {
                for access in [Access::Read, Access::Write] {
                    if let Ok(gpa) = translate(&mut host, &pages, Gva::new(gva), access) {
                        prop_assert!(gpa.raw() >> 48 == 0);
                        prop_assert_eq!(gpa.raw() & 0xfff, gva & 0xfff);
                    }
                }
            }
        }
        host.pc = Gva::new(pc);
        let mut cache = Cache::new();
        for _ in 0..2 {
            if let Ok(site) = fetch_hvc(&mut host, &pages, &mut cache) {
                prop_assert!(site.nr.is_none_or(|nr| nr <= 0xffff));
            }
        }
    }
}
