//! An access to an emulated device, from the syndrome of a stage-2 abort.

use hv_types::Gpa;

use crate::exit::syndrome::{Abort, FaultStatus};
use crate::host::Vcpu;

pub mod instruction;

/// Whether `abort` says that an address is not mapped, or not for that: what an emulated device
/// gives. Not where the guest's own walk faulted.
const fn is_of_a_mapping(abort: Abort) -> bool {
    let mapping = matches!(
        abort.status(),
        FaultStatus::Translation | FaultStatus::Permission | FaultStatus::AccessFlag
    );
    mapping && !abort.table_walk()
}

/// Whether cache maintenance by address aborted, for want of a mapping.
pub const fn is_maintenance(iss: u32) -> bool {
    let abort = Abort::new(iss);
    abort.cache_maintenance() && is_of_a_mapping(abort)
}

/// A load or store that the device models can carry out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mmio {
    /// First byte accessed; may be unaligned.
    pub gpa: Gpa,
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// A store.
    pub write: bool,
    /// General register, 0..=31; 31 reads as zero and discards.
    pub reg: u8,
    /// The loaded value is sign-extended to the register's width.
    pub sign_extend: bool,
    /// The register is 64 bits wide (x rather than w).
    pub wide: bool,
}

impl Mmio {
    /// The access behind an abort at `gpa` with `iss`, or `None` where there is no telling: the
    /// syndrome is not valid (LDP, write-back, SIMD, cache maintenance: ISV = 0), the guest's own
    /// table walk faulted, or the fault is none of the mapping. See [`instruction`] and
    /// [`is_maintenance`] for what can still be done.
    pub const fn from_abort(gpa: Gpa, iss: u32) -> Option<Self> {
        let abort = Abort::new(iss);
        if !abort.has_syndrome() || abort.cache_maintenance() || !is_of_a_mapping(abort) {
            return None;
        }
        Some(Self {
            gpa,
            size: abort.size(),
            write: abort.write(),
            reg: abort.register(),
            sign_extend: abort.sign_extend(),
            wide: abort.wide(),
        })
    }

    /// The address is a multiple of the size.
    pub const fn is_aligned(&self) -> bool {
        self.gpa.is_aligned(self.size as u64)
    }

    /// Bits of a value of this size.
    const fn mask(&self) -> u64 {
        match self.size {
            1 => 0xff,
            2 => 0xffff,
            4 => 0xffff_ffff,
            _ => u64::MAX,
        }
    }

    /// What a store writes: the register cut to the size.
    pub fn value<V: Vcpu>(&self, vcpu: &mut V) -> u64 {
        vcpu.x(self.reg) & self.mask()
    }

    /// What a load of `value` leaves in the register (Arm ARM, `LoadStore` pseudocode): bits above
    /// the size are dropped, then the value is sign- or zero-extended; a 32-bit register clears the
    /// upper half.
    pub const fn extend(&self, value: u64) -> u64 {
        let value = value & self.mask();
        let sign = value & (self.mask() ^ self.mask() >> 1) != 0;
        let extended = if self.sign_extend && sign {
            value | !self.mask()
        } else {
            value
        };
        if self.wide {
            extended
        } else {
            extended & 0xffff_ffff
        }
    }

    /// Ends a load: the register gets `value`.
    pub fn finish_load<V: Vcpu>(&self, vcpu: &mut V, value: u64) {
        vcpu.set_x(self.reg, self.extend(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const GPA: Gpa = Gpa::new(0x0300_1004);
    /// ISV and a level-2 translation fault.
    const LOAD: u32 = 1 << 24 | 6;

    fn load(sas: u32, sse: u32, sf: u32) -> Mmio {
        Mmio::from_abort(GPA, LOAD | sas << 22 | sse << 21 | sf << 15 | 9 << 16).expect("valid")
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        let value = 0xffff_ffff_89ab_cdef;
        for (sas, sse, sf, want) in [
            (0, 0, 0, 0xef),                  // ldrb w
            (0, 1, 0, 0xffff_ffef),           // ldrsb w
            (0, 1, 1, 0xffff_ffff_ffff_ffef), // ldrsb x
            (1, 0, 0, 0xcdef),                // ldrh w
            (1, 1, 1, 0xffff_ffff_ffff_cdef), // ldrsh x
            (2, 0, 0, 0x89ab_cdef),           // ldr w
            (2, 0, 1, 0x89ab_cdef),           // zero-extends
            (2, 1, 1, 0xffff_ffff_89ab_cdef), // ldrsw
            (3, 0, 1, 0xffff_ffff_89ab_cdef), // ldr x
        ] {
            assert_eq!(
                load(sas, sse, sf).extend(value),
                want,
                "SAS {sas} SSE {sse} SF {sf}"
            );
        }
        assert_eq!(load(0, 1, 1).extend(0x7f), 0x7f);
        let mut host = FakeHost::new(0x1000);
        host.x[9] = u64::MAX;
        load(2, 0, 0).finish_load(&mut host, 7);
        assert_eq!(host.x[9], 7);
    }

    #[test]
    fn stores_are_cut_and_the_zero_register_is_zero() {
        let mut host = FakeHost::new(0x1000);
        host.x[9] = 0x1122_3344_5566_7788;
        let store = Mmio::from_abort(GPA, LOAD | 1 << 6 | 1 << 22 | 9 << 16).expect("valid");
        assert!(store.write && store.is_aligned());
        assert_eq!(store.value(&mut host), 0x7788);
        let zero = Mmio::from_abort(GPA, LOAD | 1 << 6 | 2 << 22 | 31 << 16).expect("valid");
        assert_eq!(zero.value(&mut host), 0);
        assert!(!load(3, 0, 1).is_aligned());
    }

    #[test]
    fn accesses_without_a_description() {
        assert_eq!(Mmio::from_abort(GPA, 6), None, "ISV clear, as for ldp");
        assert_eq!(
            Mmio::from_abort(GPA, LOAD | 1 << 7),
            None,
            "the guest's walk"
        );
        assert_eq!(Mmio::from_abort(GPA, LOAD | 1 << 8), None, "dc civac");
        assert_eq!(Mmio::from_abort(GPA, 1 << 24 | 0x21), None, "alignment");
        assert_eq!(
            Mmio::from_abort(GPA, 1 << 24 | 0x10),
            None,
            "external abort"
        );
        assert!(
            Mmio::from_abort(GPA, 1 << 24 | 0x0f).is_some(),
            "write to a read-only page"
        );
    }
}
