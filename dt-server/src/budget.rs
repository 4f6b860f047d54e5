//! Memory that a domain costs besides its RAM.

use hv_types::PAGE_SIZE;

const MIB: u64 = 1 << 20;

/// Default bytes for page tables, by Xen's formula: 1 MiB for each vCPU, 4 KiB for each MiB of RAM
/// and 512 KiB, rounded up to a MiB. One 4 KiB table maps 2 MiB in pages and each page is mapped
/// twice (guest and window), so 4 KiB for each MiB suffices even for RAM that is wholly split.
pub(crate) fn tables(vcpus: u8, ram: u64) -> u64 {
    let bytes = u64::from(vcpus) * MIB + (ram / MIB).saturating_mul(PAGE_SIZE) + MIB / 2;
    bytes.next_multiple_of(MIB)
}

/// Bytes of extra pages at most: shared_info, console, xenstore, and the grant frames.
pub(crate) fn extra(grant_frames: u8) -> u64 {
    (3 + u64::from(grant_frames)) * PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xens_formula() {
        assert_eq!(tables(1, 256 * MIB), 3 * MIB);
        assert_eq!(tables(2, 1024 * MIB), 7 * MIB);
        assert_eq!(extra(64), 67 * 4096);
    }
}
