//! Exceptions as the guest's vector code sees them.

use proptest::prelude::*;

use super::far::{Span, decode};
use super::*;
use crate::fake::{FakeHost, FakePages, RAM};

const SIZE: u64 = 1 << 20;
const VBAR: u64 = 0xffff_8000_0801_0800;

fn host() -> FakeHost {
    let mut host = FakeHost::new(SIZE);
    host.set(SysReg::Vbar, VBAR);
    host.pc = Gva::new(RAM + 0x100);
    host
}

#[test]
fn undefined_at_el1() {
    let mut host = host();
    host.pstate = 0x6000_0005 | PAN;
    undefined(&mut host);
    assert_eq!(host.pc, Gva::new(VBAR + 0x200));
    assert_eq!(host.get(SysReg::Esr), 0x0200_0000);
    assert_eq!(host.get(SysReg::Elr), RAM + 0x100);
    assert_eq!(host.get(SysReg::Spsr), 0x6000_0005 | PAN);
    assert_eq!(host.pstate, 0x6000_03c5 | PAN);
}

#[test]
fn the_vector_depends_on_where_the_guest_was() {
    for (pstate, vector, esr) in [
        (0x4, 0x000, 0x9600_0000),
        (0x5, 0x200, 0x9600_0000),
        (0x0, 0x400, 0x9200_0000),
        (0x10, 0x600, 0x9200_0000),
    ] {
        let mut host = host();
        host.pstate = pstate;
        data_abort(&mut host, Some(Gva::new(0x5000_0000)), ISS_UNMAPPED);
        assert_eq!(host.pc, Gva::new(VBAR + vector));
        assert_eq!(host.get(SysReg::Esr), esr);
        assert_eq!(host.get(SysReg::Far), 0x5000_0000);
        assert_eq!(host.get(SysReg::Spsr), pstate);
        assert_eq!(host.pstate, 0x3c5);
        prefetch_abort(&mut host, ISS_UNMAPPED);
        assert_eq!(host.get(SysReg::Esr), 0x8600_0000, "now from EL1");
        assert_eq!(host.get(SysReg::Far), VBAR + vector);
    }
}

#[test]
fn state_bits_follow_sctlr() {
    let mut host = host();
    // SPAN clear, DSSBS set; single step, illegal state, UAO, BTYPE and the old SSBS are dropped.
    host.set(SysReg::Sctlr, SCTLR_DSSBS);
    host.pstate = DIT | 1 << 21 | 1 << 20 | 1 << 23 | 3 << 10;
    undefined(&mut host);
    assert_eq!(host.pstate, DIT | PAN | SSBS | 0x3c5);
    host.set(SysReg::Sctlr, SCTLR_SPAN);
    host.pstate = SSBS;
    undefined(&mut host);
    assert_eq!(host.pstate, 0x3c5);
}

/// `word` runs with registers as in `x`; the abort was at `gpa`. The guest's (ESR, FAR).
fn abort_of(word: u32, x: &[(usize, u64)], gpa: u64, iss: u32) -> (u64, u64) {
    let mut host = host();
    host.poke32(RAM + 0x100, word);
    for &(n, value) in x {
        host.x[n] = value;
    }
    let pages = FakePages::new(SIZE);
    abort(&mut host, &pages, Gpa::new(gpa), Abort::new(iss), false);
    (host.get(SysReg::Esr), host.get(SysReg::Far))
}

#[test]
fn accesses_to_nothing_show_their_address() {
    let found = (0x9600_0000, 0x5000_0008);
    let unknown = (0x9600_0410, 0);
    // ldp x2, x3, [x1, #8] and stp x2, x3, [x1, #8]! carry no syndrome.
    assert_eq!(
        abort_of(0xa940_8c22, &[(1, 0x5000_0000)], 0x5000_0008, 6),
        found
    );
    assert_eq!(
        abort_of(0xa980_8c22, &[(1, 0x5000_0000)], 0x5000_0008, 6),
        found
    );
    // ldr w2, [x1], #4
    assert_eq!(
        abort_of(0xb840_4422, &[(1, 0x5000_0008)], 0x5000_0008, 6),
        found
    );
    // The register does not lead there: another vCPU changed the text.
    assert_eq!(
        abort_of(0xb840_4422, &[(1, 0x6000_0008)], 0x5000_0008, 6),
        unknown
    );
    // ldr x2, [sp], which is 0.
    assert_eq!(abort_of(0xf940_03e2, &[], 0x5000_0008, 6), unknown);
    // nop
    assert_eq!(abort_of(0xd503_201f, &[], 0x5000_0008, 6), unknown);
    // ldr x2, [x1] across the end of RAM: the second page faults.
    let end = RAM + SIZE;
    assert_eq!(
        abort_of(0xf940_0022, &[(1, end - 4)], end, 6),
        (0x9600_0000, end)
    );
    // The guest's tables are in nothing: the address cannot be checked, but is known.
    assert_eq!(
        abort_of(0xb840_4422, &[(1, 0x5000_0008)], 0x7000_0000, 1 << 7 | 6),
        found
    );
}

#[test]
fn the_stack_pointer_in_use_is_a_base_too() {
    for (pstate, pointer) in [(0x3c5, SysReg::Sp1), (0x3c4, SysReg::Sp0), (0, SysReg::Sp0)] {
        let mut host = host();
        // ldp x2, x3, [sp, #8]
        host.poke32(RAM + 0x100, 0xa940_8fe2);
        host.pstate = pstate;
        host.set(pointer, 0x5000_0000);
        let at = Gpa::new(0x5000_0008);
        abort(&mut host, &FakePages::new(SIZE), at, Abort::new(6), false);
        assert_eq!(host.get(SysReg::Far), 0x5000_0008, "{pstate:#x}");
    }
}

#[test]
fn fetches_from_nothing() {
    let mut host = host();
    host.pc = Gva::new(0x5000_0000);
    abort(
        &mut host,
        &FakePages::new(SIZE),
        Gpa::new(0x5000_0000),
        Abort::new(6),
        true,
    );
    assert_eq!(host.get(SysReg::Esr), 0x8600_0000);
    assert_eq!(host.get(SysReg::Far), 0x5000_0000);
    assert_eq!(host.get(SysReg::Elr), 0x5000_0000);
}

#[test]
fn a_virtual_address_is_found_through_the_tables() {
    let mut host = host();
    // 4 KiB pages, 30 bits: 1:1 for the text at level 2, page 5 to a device.
    let table = RAM + 0x8_0000;
    host.set(SysReg::Sctlr, 5);
    host.set(SysReg::Tcr, 34 | 1 << 23 | 5 << 32);
    host.set(SysReg::Ttbr0, table);
    host.poke64(table, (table + 0x1000) | 3);
    host.poke64(table + 0x1000, RAM | 0x403);
    host.poke64(table + 0x1028, 0x0300_1000 | 0x403);
    host.pc = Gva::new(0x100);
    host.x[1] = 0x5010;
    host.poke32(RAM + 0x100, 0xa940_0c22);
    abort(
        &mut host,
        &FakePages::new(SIZE),
        Gpa::new(0x0300_1010),
        Abort::new(6),
        false,
    );
    assert_eq!(
        (host.get(SysReg::Esr), host.get(SysReg::Far)),
        (0x9600_0000, 0x5010)
    );
    assert_eq!(host.get(SysReg::Elr), 0x100);
}

#[test]
fn addressing_modes() {
    let mut host = host();
    host.pc = Gva::new(0x1000);
    host.x[1] = 0x8000;
    host.set(SysReg::Sp1, 0x9000);
    host.x[2] = 0xffff_ffff_ffff_fff0;
    // Encodings from an assembler.
    for (text, word, first, bytes) in [
        ("ldrb w0, [x1, #5]", 0x3940_1420, 0x8005, 1),
        ("strh w0, [x1, #6]", 0x7900_0c20, 0x8006, 2),
        ("ldr x0, [x1, #32760]", 0xf97f_fc20, 0xfff8, 8),
        ("ldr q0, [x1, #16]", 0x3dc0_0420, 0x8010, 16),
        ("ldur x0, [x1, #-8]", 0xf85f_8020, 0x7ff8, 8),
        ("str w0, [x1], #-4", 0xb81f_c420, 0x8000, 4),
        ("ldr x0, [x1, #-16]!", 0xf85f_0c20, 0x7ff0, 8),
        ("ldtr w0, [x1, #4]", 0xb840_4820, 0x8004, 4),
        ("ldr x0, [x1, x2]", 0xf862_6820, 0x7ff0, 8),
        ("ldr w0, [x1, w2, uxtw #2]", 0xb862_5820, 0x4_0000_7fc0, 4),
        ("ldr w0, [x1, w2, sxtw #2]", 0xb862_d820, 0x7fc0, 4),
        ("ldp w0, w3, [x1, #-8]", 0x297f_0c20, 0x7ff8, 8),
        ("ldp x0, x3, [x1], #16", 0xa8c1_0c20, 0x8000, 16),
        ("stp q0, q3, [x1, #32]!", 0xad81_0c20, 0x8020, 32),
        ("ldpsw x0, x3, [x1, #4]", 0x6940_8c20, 0x8004, 8),
        ("ldr x0, .+8", 0x5800_0040, 0x1008, 16),
        ("ldr w0, .-4", 0x18ff_ffe0, 0xffc, 16),
        ("ldxr x0, [x1]", 0xc85f_7c20, 0x8000, 16),
        ("stlr w0, [x1]", 0x889f_fc20, 0x8000, 16),
        ("cas x0, x3, [x1]", 0xc8a0_7c23, 0x8000, 16),
        ("ldadd x0, x3, [x1]", 0xf820_0023, 0x8000, 64),
        ("ld1 {v0.16b}, [x1]", 0x4c40_7020, 0x8000, 64),
        ("dc civac, x1", 0xd50b_7e21, 0x8000, 1),
        ("ldr x0, [sp, #8]", 0xf940_07e0, 0x9008, 8),
        ("dc zva, x1", 0xd50b_7421, 0x8000, 1),
    ] {
        let span = Span {
            first: Gva::new(first),
            bytes,
        };
        assert_eq!(decode(&mut host, word), Some(span), "{text}");
    }
    for (text, word) in [
        ("add x0, x1, x2", 0x8b02_0020),
        ("b .", 0x1400_0000),
        ("ldraa x0, [x1]", 0xf820_0420),
        ("mrs x0, cntvct_el0", 0xd53b_e040),
    ] {
        assert_eq!(decode(&mut host, word), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_instruction_ends_in_an_exception(
        word in any::<u32>(), x in any::<[u64; 31]>(), gpa in any::<u64>(), iss in any::<u32>(), fetch in any::<bool>(),
        pstate in any::<u64>(), sctlr in any::<u64>(),
    ) {
        let mut host = host();
        host.poke32(RAM + 0x100, word);
        host.x = x;
        host.pstate = pstate;
        host.set(SysReg::Sctlr, sctlr & !1);
        abort(&mut host, &FakePages::new(SIZE), Gpa::new(gpa), Abort::new(iss), fetch);
        prop_assert_eq!(host.pc.raw() & !0x600, VBAR);
        prop_assert_eq!(host.pstate & 0x3df, 0x3c5);
        prop_assert_eq!(host.get(SysReg::Spsr), pstate);
        prop_assert_eq!(host.x, x);
    }
}
