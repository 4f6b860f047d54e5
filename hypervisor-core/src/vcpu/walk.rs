//! The guest's stage-1 translation in software (Arm ARM D8, VMSAv8-64, EL1&0 regime).
//!
//! Hypercall arguments are guest virtual addresses and a VMM at user level has no `AT`
//! instruction, so the tables are read as the hardware would: granules of 4, 16 and 64 KiB, up to
//! 48 bits, both halves, blocks, hierarchical permissions, hardware access flag and dirty state.
//! 52-bit addresses (LPA, LVA, LPA2) are answered with a fault.
//!
//! Left out on purpose: execute permissions (nobody executes through this), PAN and EL0
//! permissions (Xen looks with `AT S1E1R`, which ignores PAN), and caching of translations
//! across exits, except for [`stub::Cache`], which proves what it remembers.
//!
//! A walk reads at most four entries, each only where [`Pages`] says that it is memory.

use hv_types::{Gpa, Gva};

use crate::host::SysReg;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;

mod entry;
pub mod fault;
mod half;
pub mod stub;
#[cfg(test)]
mod tests;

use entry::{
    ADDRESS, SCTLR_C, TABLE_OR_PAGE, TABLE_READ_ONLY, VALID, permit, read_entry, update_entry,
};
use fault::{Access, Fault, FaultKind, fault};
use half::{Half, is_upper, output_bits};

// SCTLR_EL1 (Arm ARM D19.2.118).
const SCTLR_M: u64 = 1;
/// How often a walk is tried again when the guest changes an entry while its flags are set.
const ATTEMPTS: usize = 4;

/// Translates `gva` as the vCPU would now. Reads up to three system registers; use a [`Regime`] for
/// several addresses.
///
/// # Errors
/// The fault that the vCPU would take.
pub fn translate<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    gva: Gva,
    access: Access,
) -> Result<Gpa, Fault> {
    Regime::new().translate(host, pages, gva, access)
}

/// The vCPU's translation registers, each read when it is first needed. Good for one exit: the
/// guest may change them when it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Regime {
    sctlr: Option<u64>,
    tcr: Option<u64>,
    ttbr: [Option<u64>; 2],
    /// Where the last entry of the last walk lies, and what it is.
    leaf: Option<(Gpa, u64)>,
}

impl Regime {
    /// Nothing read yet.
    pub const fn new() -> Self {
        Self {
            sctlr: None,
            tcr: None,
            ttbr: [None; 2],
            leaf: None,
        }
    }

    /// The entry at which the last walk ended, and its place; none where there was none, because
    /// the MMU is off.
    pub const fn leaf(&self) -> Option<(Gpa, u64)> {
        self.leaf
    }

    fn sctlr<H: VcpuHost>(&mut self, host: &mut H) -> u64 {
        *self.sctlr.get_or_insert_with(|| host.sysreg(SysReg::Sctlr))
    }
    fn tcr<H: VcpuHost>(&mut self, host: &mut H) -> u64 {
        *self.tcr.get_or_insert_with(|| host.sysreg(SysReg::Tcr))
    }
    fn ttbr<H: VcpuHost>(&mut self, host: &mut H, upper: bool) -> u64 {
        let (slot, reg) = match (upper, &mut self.ttbr) {
            (false, [low, _]) => (low, SysReg::Ttbr0),
            (true, [_, high]) => (high, SysReg::Ttbr1),
        };
        *slot.get_or_insert_with(|| host.sysreg(reg))
    }

    /// Whether the guest's data cache is off, so that what it writes lies in memory and what it
    /// reads must.
    pub fn uncached<H: VcpuHost>(&mut self, host: &mut H) -> bool {
        self.sctlr(host) & SCTLR_C == 0
    }

    /// Translates `gva` for a data access at EL1.
    ///
    /// # Errors
    /// The fault that the vCPU would take.
    pub fn translate<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        gva: Gva,
        access: Access,
    ) -> Result<Gpa, Fault> {
        if self.sctlr(host) & SCTLR_M == 0 {
            return self.identity(host, gva);
        }
        let Some(half) = Half::of(self.tcr(host), gva) else {
            return fault(FaultKind::Translation, 0);
        };
        self.ttbr(host, is_upper(gva));
        for _ in 0..ATTEMPTS {
            if let Some(gpa) = self.walk(host, pages, &half, gva, access)? {
                return Ok(gpa);
            }
        }
        fault(FaultKind::AccessFlag, 3)
    }

    /// With the MMU off an address is its own translation (Arm ARM D8.2.9).
    fn identity<H: VcpuHost>(&mut self, host: &mut H, gva: Gva) -> Result<Gpa, Fault> {
        let mut raw = gva.raw();
        if raw >> 56 != 0 && self.tcr(host) >> (37 + u32::from(is_upper(gva))) & 1 != 0 {
            raw = ((raw << 8).cast_signed() >> 8).cast_unsigned();
        }
        if raw >> 48 != 0 {
            fault(FaultKind::AddressSize, 0)
        } else {
            Ok(Gpa::new(raw))
        }
    }

    /// One walk; `None` where an entry changed while it was updated.
    fn walk<H: VcpuHost, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        half: &Half,
        gva: Gva,
        access: Access,
    ) -> Result<Option<Gpa>, Fault> {
        let (sctlr, tcr) = (self.sctlr(host), self.tcr(host));
        let out_of_range = |address: u64| address >> output_bits(tcr) != 0;
        let va = gva.raw() & !(u64::MAX << half.bits);
        let stride = half.granule - 3;
        let levels = (half.bits - half.granule).div_ceil(stride);
        let first_bits = half.bits - half.granule - stride * (levels - 1);

        // The first table is aligned to its size (Arm ARM D19.2.155); bit 0 is CnP.
        let mut table =
            self.ttbr(host, is_upper(gva)) & 0x0000_ffff_ffff_fffe & (u64::MAX << (first_bits + 3));
        if out_of_range(table) {
            return fault(FaultKind::AddressSize, 0);
        }
        let mut read_only = false;
        // At most four turns: 48 - 12 bits in strides of 9, 48 - 14 in strides of 11.
        for depth in (0..levels).rev() {
            #[expect(clippy::cast_possible_truncation, reason = "3 - (0..=3)")]
            let level = 3 - depth as u8;
            let shift = half.granule + stride * depth;
            let bits = if depth + 1 == levels {
                first_bits
            } else {
                stride
            };
            let index = va >> shift & !(u64::MAX << bits);
            let at = Gpa::new(table + 8 * index);
            let entry = read_entry(host, pages, sctlr, at).ok_or(Fault {
                kind: FaultKind::NoTable,
                level,
            })?;

            if entry & VALID == 0 {
                return fault(FaultKind::Translation, level);
            }
            if depth > 0 && entry & TABLE_OR_PAGE != 0 {
                table = entry & ADDRESS & (u64::MAX << half.granule);
                if out_of_range(table) {
                    return fault(FaultKind::AddressSize, level);
                }
                read_only |= entry & TABLE_READ_ONLY != 0 && !half.flat;
                continue;
            }
            let leaf = match depth {
                0 => entry & TABLE_OR_PAGE != 0,
                1 => true,
                2 => half.granule == 12,
                _ => false,
            };
            if !leaf {
                return fault(FaultKind::Translation, level);
            }
            let base = entry & ADDRESS & (u64::MAX << shift);
            if out_of_range(base) {
                return fault(FaultKind::AddressSize, level);
            }
            let wanted = match permit(tcr, entry, access, read_only) {
                Ok(wanted) => wanted,
                Err(kind) => return fault(kind, level),
            };
            if wanted != entry && !update_entry(host, pages, sctlr, at, entry, wanted) {
                return Ok(None);
            }
            self.leaf = Some((at, wanted));
            return Ok(Some(Gpa::new(base | va & !(u64::MAX << shift))));
        }
        // Not reached: depth 0 never continues.
        fault(FaultKind::Translation, 3)
    }
}
