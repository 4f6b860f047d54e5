//! Which virtual address a faulting load or store named.

use hv_types::{Gpa, Gva};

use crate::exit::mmio::instruction;
use crate::host::Vcpu;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;
use crate::vcpu::walk::Regime;
use crate::vcpu::walk::fault::Access;
use crate::vcpu::walk::stub::fetch_word;

/// The virtual address of the access at the PC that faulted at `gpa`, or `None` where it cannot be
/// told.
///
/// The instruction is read through the guest's tables and its base and offset registers give the
/// address. It is believed if it, or the start of the second page that the access reaches,
/// translates into the page of `gpa`. Where the guest's own `table_walk` faulted, `gpa` is that of
/// a table and the address cannot be checked.
pub fn faulting_address<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gpa: Gpa,
    table_walk: bool,
) -> Option<Gva> {
    let mut regime = Regime::new();
    let word = fetch_word(host, pages, &mut regime).ok()?;
    let Span { first, bytes } = decode(host, word)?;
    if table_walk {
        return Some(first);
    }
    let last = Gva::new(first.raw().wrapping_add(bytes - 1)).page_base();
    [first, last].into_iter().find(|&gva| {
        let to = regime.translate(host, pages, gva, Access::Read);
        to.is_ok_and(|to| to.page_base() == gpa.page_base())
    })
}

/// First and last byte of the access at the PC, or `None` where it cannot be told; see
/// [`faulting_address`].
pub(crate) fn accessed<H: VcpuHost, P: Pages>(host: &mut H, pages: &P) -> Option<(Gva, Gva)> {
    let word = fetch_word(host, pages, &mut Regime::new()).ok()?;
    let Span { first, bytes } = decode(host, word)?;
    Some((first, Gva::new(first.raw().wrapping_add(bytes - 1))))
}

/// What an instruction accesses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Span {
    /// First byte.
    pub(super) first: Gva,
    /// Bytes, at least 1: exact or more (only the page of the last one matters).
    pub(super) bytes: u64,
}

/// Bits `high..=low` of an instruction.
const fn field(word: u32, high: u32, low: u32) -> u32 {
    (word >> low) & (u32::MAX >> (31 - (high - low)))
}

/// Bits `high..=low` as a signed number, extended to 64 bits.
fn signed(word: u32, high: u32, low: u32) -> u64 {
    let unused = 31 - high;
    i64::from((word << unused).cast_signed() >> (unused + low)).cast_unsigned()
}

/// Register `n` as a base.
fn base<V: Vcpu>(vcpu: &mut V, n: u32) -> Option<u64> {
    Some(instruction::base(vcpu, u8::try_from(n).ok()?).raw())
}

/// The access of the load, store or cache instruction `word` (Arm ARM C4.1.94 "Loads and stores",
/// C5.3 for DC and IC).
pub(super) fn decode<V: Vcpu>(vcpu: &mut V, word: u32) -> Option<Span> {
    let span = |first: u64, bytes: u64| {
        Some(Span {
            first: Gva::new(first),
            bytes,
        })
    };
    let rn = field(word, 9, 5);
    let simd = field(word, 26, 26) != 0;
    let size = field(word, 31, 30);

    // DC and IC by address: SYS #op1, C7, Cm, #op2, Xt. A block of DC ZVA has at most 2048 bytes
    // and is aligned.
    if word & 0xfff8_f000 == 0xd508_7000 {
        let rt = u8::try_from(field(word, 4, 0)).ok()?;
        return span(vcpu.x(rt), 1);
    }
    // LDR (literal).
    if word & 0x3b00_0000 == 0x1800_0000 {
        let pc = vcpu.pc().raw();
        return span(pc.wrapping_add(signed(word, 23, 5) << 2), 16);
    }
    // LDP, STP and relatives: post-index accesses at the base itself.
    if word & 0x3a00_0000 == 0x2800_0000 {
        let scale = match (simd, size) {
            (_, 3) => return None,
            (false, 2) => 3,
            (false, _) => 2,
            (true, size) => 2 + size,
        };
        let offset = if field(word, 24, 23) == 1 {
            0
        } else {
            signed(word, 21, 15) << scale
        };
        return span(base(vcpu, rn)?.wrapping_add(offset), 2 << scale);
    }
    // Exclusive, ordered, compare-and-swap.
    if word & 0x3f00_0000 == 0x0800_0000 {
        return span(base(vcpu, rn)?, 16);
    }
    // LDAPUR, STLUR.
    if word & 0x3f20_0c00 == 0x1900_0000 {
        return span(base(vcpu, rn)?.wrapping_add(signed(word, 20, 12)), 8);
    }
    // Structures of SIMD registers.
    if word & 0xbe00_0000 == 0x0c00_0000 {
        return span(base(vcpu, rn)?, 64);
    }
    if word & 0x3a00_0000 != 0x3800_0000 {
        return None;
    }
    // One register: bits 25:24 and 21, 11:10 say how it is addressed.
    let scale = if simd {
        size | field(word, 23, 23) << 2
    } else {
        size
    };
    if scale > 4 {
        return None;
    }
    let bytes = 1 << scale;
    if field(word, 24, 24) == 1 {
        let offset = u64::from(field(word, 21, 10)) << scale;
        return span(base(vcpu, rn)?.wrapping_add(offset), bytes);
    }
    match (field(word, 21, 21), field(word, 11, 10)) {
        // Post-index.
        (0, 1) => span(base(vcpu, rn)?, bytes),
        // Unscaled, unprivileged, pre-index.
        (0, _) => span(base(vcpu, rn)?.wrapping_add(signed(word, 20, 12)), bytes),
        // Atomic operations, LDAPR; 64-byte atomics.
        (_, 0) => span(base(vcpu, rn)?, 64),
        // Register offset.
        (_, 2) => {
            let rm = vcpu.x(u8::try_from(field(word, 20, 16)).ok()?);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "UXTW and SXTW take the low half"
            )]
            let low = rm as u32;
            let offset = match field(word, 15, 13) {
                2 => u64::from(low),
                3 | 7 => rm,
                6 => i64::from(low.cast_signed()).cast_unsigned(),
                _ => return None,
            };
            let shift = if field(word, 12, 12) != 0 { scale } else { 0 };
            span(base(vcpu, rn)?.wrapping_add(offset << shift), bytes)
        }
        // LDRAA, LDRAB: the base is authenticated first.
        _ => None,
    }
}
