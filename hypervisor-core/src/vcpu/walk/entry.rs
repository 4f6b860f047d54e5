//! Table entries: reading, permission, and the flags that hardware manages (Arm ARM D8.3, D8.5).

use guest_mem::Window;
use hv_types::Gpa;

use super::fault::{Access, FaultKind};
use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;

/// `SCTLR_EL1` (Arm ARM D19.2.118): the data cache is on.
pub(super) const SCTLR_C: u64 = 1 << 2;
/// `SCTLR_EL1`: tables are big-endian.
pub(super) const SCTLR_EE: u64 = 1 << 25;
// TCR_EL1: hardware manages the access flag, dirty state.
pub(super) const TCR_HA: u64 = 1 << 39;
pub(super) const TCR_HD: u64 = 1 << 40;
// Entries (Arm ARM D8.3).
pub(super) const VALID: u64 = 1;
pub(super) const TABLE_OR_PAGE: u64 = 1 << 1;
pub(super) const READ_ONLY: u64 = 1 << 7;
pub(super) const ACCESSED: u64 = 1 << 10;
pub(super) const DBM: u64 = 1 << 51;
pub(super) const TABLE_READ_ONLY: u64 = 1 << 62;
/// Address bits that an entry or a TTBR can hold without 52-bit extensions.
pub(super) const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// The leaf `entry` as the hardware would leave it after the access (Arm ARM D8.5), or the fault.
pub(super) fn permit(
    tcr: u64,
    entry: u64,
    access: Access,
    read_only: bool,
) -> Result<u64, FaultKind> {
    let mut wanted = entry;
    if entry & ACCESSED == 0 {
        if tcr & TCR_HA == 0 {
            return Err(FaultKind::AccessFlag);
        }
        wanted |= ACCESSED;
    }
    if access == Access::Write {
        if read_only {
            return Err(FaultKind::Permission);
        }
        if entry & READ_ONLY != 0 {
            let hardware = tcr & (TCR_HA | TCR_HD) == TCR_HA | TCR_HD;
            if !hardware || entry & DBM == 0 {
                return Err(FaultKind::Permission);
            }
            wanted &= !READ_ONLY;
        }
    }
    Ok(wanted)
}

/// The entry at `at`, or `None` where the guest has no memory.
pub(super) fn read_entry<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    sctlr: u64,
    at: Gpa,
) -> Option<u64> {
    let there = pages.readable_by(host, at, 8)?;
    if sctlr & SCTLR_C == 0 {
        // The guest wrote it past the caches.
        host.window().clean(there, 8);
    }
    let raw = host.window().load_u64(there);
    Some(if sctlr & SCTLR_EE != 0 {
        raw.swap_bytes()
    } else {
        raw
    })
}

/// Sets the flags that `wanted` differs in, all in the low half of the entry; `false` if the entry
/// is not `entry` any more or read-only memory.
pub(super) fn update_entry<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    sctlr: u64,
    at: Gpa,
    entry: u64,
    wanted: u64,
) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let (old, new) = (entry as u32, wanted as u32);
    let big = sctlr & SCTLR_EE != 0;
    let low = Gpa::new(at.raw() | if big { 4 } else { 0 });
    let (old, new) = if big {
        (old.swap_bytes(), new.swap_bytes())
    } else {
        (old, new)
    };
    let Some(there) = pages.writable_by(host, low, 4) else {
        return false;
    };
    let done = host.window().compare_exchange_u32(there, old, new).is_ok();
    if sctlr & SCTLR_C == 0 {
        host.window().clean(there, 4);
    }
    done
}
