//! The two halves of the address space, from `TCR_EL1` (Arm ARM D19.2.139).

use hv_types::Gva;

/// One half of the address space, from `TCR_EL1`.
pub(super) struct Half {
    /// log2 of the granule: 12, 14 or 16.
    pub(super) granule: u32,
    /// Bits of a virtual address that are translated, 17..=48.
    pub(super) bits: u32,
    /// The tables hold no hierarchical permissions.
    pub(super) flat: bool,
}

impl Half {
    /// The half that `gva` lies in; `None` where the address is in neither or the half cannot be
    /// walked.
    pub(super) fn of(tcr: u64, gva: Gva) -> Option<Self> {
        let upper = is_upper(gva);
        let field = if upper { tcr >> 16 } else { tcr };
        let disabled = field >> 7 & 1 != 0;
        let granule = match (upper, field >> 14 & 3) {
            (false, 0) | (true, 2) => 12,
            (false, 2) | (true, 1) => 14,
            (false, 1) | (true, 3) => 16,
            _ => return None,
        };
        let size = field & 0x3f;
        // Below 16: more than 48 bits (LVA, LPA2). Above 48: not defined.
        if disabled || !(16..=48).contains(&size) {
            return None;
        }
        let bits = 64 - u32::try_from(size).ok()?;
        if bits <= granule {
            return None;
        }
        let flag = |bit: u32| tcr >> (bit + u32::from(upper)) & 1 != 0;
        // Above the translated bits all must equal bit 55; the top byte need not where TBI is set.
        let top = if flag(37) {
            0x00ff_ffff_ffff_ffff
        } else {
            u64::MAX
        };
        let sign = if upper { u64::MAX } else { 0 };
        ((gva.raw() ^ sign) & (u64::MAX << bits) & top == 0).then(|| Self {
            granule,
            bits,
            flat: flag(41),
        })
    }
}

/// Bit 55 chooses the half (Arm ARM D8.2.4).
pub(super) const fn is_upper(gva: Gva) -> bool {
    gva.raw() >> 55 & 1 != 0
}

/// Bits of a physical address that `TCR_EL1.IPS` allows, 48 at most.
pub(super) const fn output_bits(tcr: u64) -> u32 {
    match tcr >> 32 & 7 {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}
