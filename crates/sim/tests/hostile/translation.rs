//! Wild PCs, vectors and page tables.

use super::*;

#[test]
fn a_hypercall_at_an_address_that_is_none_is_undefined() {
    attack(|guest| {
        let mut places = wild(guest);
        places.extend([1, TEXT + 0x102, RAM + 0x40, 0xffff_ffff_ffff_fffc]);
        for pc in places {
            let Ran::Exception(taken) = guest.hvc_at(pc) else {
                panic!("{pc:#x} holds no HVC")
            };
            assert_eq!((taken.vector, taken.esr), (0x200, 0x0200_0000), "{pc:#x}");
        }
    });
}

#[test]
fn vectors_that_are_nowhere_make_the_guest_fault_for_itself() {
    attack(|guest| {
        guest.enable_gic();
        for vbar in [0, GICD, 0x7ff, u64::MAX, 0xffff_ffff_ffff_f800, 1 << 55] {
            guest.set_sysreg(SysReg::Vbar, vbar);
            let ran = guest.hvc_imm(0x1234, Way::Trap);
            assert!(matches!(ran, Ran::Exception(_)), "{ran:?}");
        }
    });
}

#[test]
fn broken_translation_registers_are_efault_or_undefined() {
    attack(|guest| {
        guest.mmu_on();
        let (tcr, ttbr0, ttbr1) = (
            guest.sysreg(SysReg::Tcr),
            guest.sysreg(SysReg::Ttbr0),
            guest.sysreg(SysReg::Ttbr1),
        );
        let at = guest.ptr(ARGS);
        for (reg, values) in [
            (
                SysReg::Tcr,
                [
                    0,
                    u64::MAX,
                    63 << 16 | 63,
                    tcr | 1 << 23,
                    tcr | 3 << 30,
                    tcr & !(0x3f << 16),
                ],
            ),
            (
                SysReg::Ttbr1,
                [
                    0,
                    u64::MAX,
                    GICD,
                    RAM + (16 << 20),
                    0x0000_ffff_ffff_f000,
                    ttbr1 + 8,
                ],
            ),
            (
                SysReg::Ttbr0,
                [
                    0,
                    u64::MAX,
                    GICD,
                    RAM + (16 << 20),
                    0x0000_ffff_ffff_f000,
                    ttbr0 + 8,
                ],
            ),
        ] {
            for value in values {
                for way in Way::ALL {
                    guest.set_way(way);
                    guest.set_x(16, XEN_VERSION);
                    guest.set_x(0, version::EXTRAVERSION);
                    guest.set_x(1, at);
                    guest.set_sysreg(reg, value);
                    // The call, EFAULT, or UNDEF where the text cannot be found any more.
                    let ran = guest.hvc_imm(0xea1, way);
                    assert!(
                        matches!(ran, Ran::Done | Ran::Exception(_)),
                        "{reg:?} {value:#x}: {ran:?}"
                    );
                    if ran == Ran::Done {
                        let result = guest.x(0).cast_signed();
                        assert!(
                            result == 0 || result == EFAULT,
                            "{reg:?} {value:#x}: {result}"
                        );
                    }
                }
            }
            guest.set_sysreg(SysReg::Tcr, tcr);
            guest.set_sysreg(SysReg::Ttbr0, ttbr0);
            guest.set_sysreg(SysReg::Ttbr1, ttbr1);
        }
        assert_eq!(
            guest.hvc(XEN_VERSION, &[version::EXTRAVERSION, at]),
            0,
            "all as before"
        );
    });
}

#[test]
fn page_tables_that_point_at_themselves_end() {
    attack(|guest| {
        guest.mmu_on();
        let ttbr1 = guest.sysreg(SysReg::Ttbr1);
        // Every entry of the table is a table: itself.
        for index in 0..512 {
            guest.put(ttbr1 + 8 * index, &(ttbr1 | 3));
        }
        guest.set_x(16, XEN_VERSION);
        for pc in [
            0xffff_ff80_0000_0000,
            0xffff_ffff_ffff_fff8,
            0xffff_ff80_4020_1000,
        ] {
            let ran = guest.hvc_at(pc);
            assert!(matches!(ran, Ran::Exception(_)), "{pc:#x}: {ran:?}");
        }
    });
}

#[test]
fn pages_mapped_over_the_text_of_a_hypercall() {
    attack(|guest| {
        // The next hypercall's text is where the grant frame is now: what the guest sees counts.
        guest.hvc(XEN_VERSION, &[0, 0]);
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, TEXT >> 12), 0);
        assert_eq!(
            guest.hvc(XEN_VERSION, &[0, 0]),
            4 << 16 | 22,
            "the frame holds the text now"
        );
        assert_eq!(remove(guest, TEXT >> 12), 0);
        assert!(!guest.is_mapped(TEXT));
        let pc = guest.ptr(TEXT + 0x104);
        assert!(matches!(guest.fetch_fault_at(pc), Ran::Exception(_)));
        assert!(
            matches!(guest.hvc_at(pc), Ran::Exception(_)),
            "no text, no call"
        );
    });
}

#[test]
fn giving_away_kernel_text_and_page_tables() {
    attack(|guest| {
        guest.hvc(XEN_VERSION, &[0, 0]);
        assert_eq!(decrease(guest, &[TEXT >> 12]), 1);
        let pc = guest.ptr(TEXT + 0x104);
        assert!(matches!(guest.fetch_fault_at(pc), Ran::Exception(_)));
        assert!(matches!(guest.hvc_at(pc), Ran::Exception(_)));
    });
    attack(|guest| {
        guest.mmu_on();
        guest.set_way(Way::Register);
        let table = guest.sysreg(SysReg::Ttbr1);
        assert_eq!(decrease(guest, &[table >> 12]), 1);
        let pc = guest.ptr(TEXT + 0x104);
        // The VMM may remember where the text was, but an argument has no address any more.
        guest.set_x(0, version::EXTRAVERSION);
        guest.set_x(1, guest.ptr(ARGS));
        guest.set_x(16, XEN_VERSION);
        let ran = guest.hvc_at(pc);
        assert!(matches!(ran, Ran::Done | Ran::Exception(_)), "{ran:?}");
        assert!(
            ran != Ran::Done || guest.x(0).cast_signed() == EFAULT,
            "{:#x}",
            guest.x(0)
        );
    });
}

/// A stub of Xen's shape at `page`, for hypercall `nr`.
fn stub(guest: &mut Guest<'_>, page: u64, nr: u64) {
    let movz = 0xd280_0010 | u32::try_from(nr).unwrap() << 5;
    guest.put(page + 0x100, &[movz, 0xd401_d422]);
}

/// Executes the stub at `page`, which is that of hypercall `nr`, with x0 = 0.
fn call_at(guest: &mut Guest<'_>, page: u64, nr: u64) -> u64 {
    guest.set_x(16, nr);
    guest.set_x(0, 0);
    assert_eq!(guest.hvc_at(page + 0x104), Ran::Done);
    guest.x(0)
}

/// kexec: behind the address of a stub lies another one, by another entry, by other tables, and
/// with the MMU off. The old one is where it was, and is not believed.
#[test]
fn another_stub_at_the_same_address_is_another_call() {
    /// Of a block: valid, access flag, inner-shareable.
    const LEAF: u64 = 1 | 1 << 10 | 3 << 8;
    const BLOCK: u64 = 2 << 20;
    /// What `xen_version` and `sched_op(yield)` return.
    const VERSION: u64 = 4 << 16 | 22;
    const YIELDED: u64 = 0;
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.mmu_on();
    let (one, other) = (FREE, FREE + BLOCK);
    stub(&mut guest, one, XEN_VERSION);
    stub(&mut guest, other, SCHED_OP);
    let at = guest.ptr(one);
    let entry = guest.sysreg(SysReg::Ttbr1) + 0x1000 + 8 * ((one - RAM) / BLOCK);
    assert_eq!(guest.get::<u64>(entry), one | LEAF, "the block's entry");
    assert_eq!(call_at(&mut guest, at, XEN_VERSION), VERSION);
    guest.put(entry, &(other | LEAF));
    assert_eq!(call_at(&mut guest, at, SCHED_OP), YIELDED);
    guest.put(entry, &(one | LEAF));
    assert_eq!(call_at(&mut guest, at, XEN_VERSION), VERSION);
    // Tables of its own: a kernel that another one has started.
    let (high, middle) = (FREE + 2 * BLOCK, FREE + 2 * BLOCK + 0x1000);
    guest.put(high, &(middle | 3));
    guest.put(middle + 8 * ((one - RAM) / BLOCK), &(other | LEAF));
    guest.set_sysreg(SysReg::Ttbr1, high);
    guest.sys.advance(FREQUENCY / 1000);
    let mut guest = sys.guest(0);
    assert_eq!(call_at(&mut guest, at, SCHED_OP), YIELDED);
    // With the MMU off the address is its own: here the lower half has the other's stub, and then
    // nothing lies between.
    assert_eq!(
        call_at(&mut guest, other, SCHED_OP),
        YIELDED,
        "the identity"
    );
    guest.mmu_off();
    stub(&mut guest, other, XEN_VERSION);
    guest.sys.advance(FREQUENCY / 1000);
    let mut guest = sys.guest(0);
    assert_eq!(call_at(&mut guest, other, XEN_VERSION), VERSION);
}
