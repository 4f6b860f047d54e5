//! The guest's own translation: off, or real tables in its RAM.
//!
//! 4 KiB granule, 39 bits in both halves. The lower half is the identity in blocks of 1 GiB. The
//! upper half has the RAM in a row ([`LINEAR`]), the argument pages in reverse order
//! ([`SCRAMBLED`]), and the argument pages read-only ([`READ_ONLY`]); nothing else is mapped there.

use hypervisor_core::host::SysReg;

use super::{ARGS, ARGS_PAGES, Guest, RAM, TABLES};

/// Where the upper half has the RAM.
pub const LINEAR: u64 = 0xffff_ff80_0000_0000;
/// Where it has the argument pages, the last one first.
pub const SCRAMBLED: u64 = LINEAR + 0x8000_0000;
/// Where it has the argument pages for reading alone.
pub const READ_ONLY: u64 = LINEAR + 0xc000_0000;
/// Within the upper half, never mapped.
pub const UNMAPPED: u64 = LINEAR + 0x1_0000_0000;

const PAGE: u64 = 0x1000;
const GIB: u64 = 1 << 30;
/// Of a page or block: valid, access flag, inner-shareable, normal memory (attribute 0), EL1 only.
const LEAF: u64 = 1 | 1 << 10 | 3 << 8;
const TABLE: u64 = 3;
const PAGE_BIT: u64 = 2;
const AP_READ_ONLY: u64 = 1 << 7;
/// T0SZ and T1SZ 25, 4 KiB granules, write-back walks, 40-bit addresses.
const TCR: u64 =
    25 | 1 << 8 | 1 << 10 | 3 << 12 | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30 | 2 << 32;
const SCTLR_M_C_I: u64 = 1 | 1 << 2 | 1 << 12;

impl Guest<'_> {
    /// Whether the guest's MMU is on.
    pub fn mmu_is_on(&self) -> bool {
        self.cpu_ref().guest_sysreg(SysReg::Sctlr) & 1 != 0
    }

    /// Writes tables and switches the MMU and the caches on.
    pub fn mmu_on(&mut self) {
        let table = |n: u64| TABLES + n * PAGE;
        let mut put = |table: u64, index: u64, entry: u64| self.put(table + 8 * index, &entry);
        let (low, high) = (table(0), table(1));
        for gib in 0..8 {
            put(low, gib, (gib * GIB) | LEAF);
        }
        put(high, 0, table(2) | TABLE);
        put(table(2), 0, table(3) | TABLE);
        for page in 0..512 {
            put(table(3), page, (RAM + page * PAGE) | LEAF | PAGE_BIT);
        }
        for block in 1..512 {
            put(table(2), block, (RAM + (block << 21)) | LEAF);
        }
        for (n, gib, flags) in [(4, 2, 0), (6, 3, AP_READ_ONLY)] {
            put(high, gib, table(n) | TABLE);
            put(table(n), 0, table(n + 1) | TABLE);
            for page in 0..ARGS_PAGES {
                let from = if flags == 0 {
                    ARGS_PAGES - 1 - page
                } else {
                    page
                };
                put(
                    table(n + 1),
                    page,
                    (ARGS + from * PAGE) | LEAF | PAGE_BIT | flags,
                );
            }
        }
        let cpu = &mut self.cpu_mut();
        let sctlr = cpu.guest_sysreg(SysReg::Sctlr);
        cpu.guest_set_sysreg(SysReg::Tcr, TCR);
        cpu.guest_set_sysreg(SysReg::Ttbr0, low);
        cpu.guest_set_sysreg(SysReg::Ttbr1, high);
        cpu.guest_set_sysreg(SysReg::Sctlr, sctlr | SCTLR_M_C_I);
    }

    /// Switches MMU and caches off.
    pub fn mmu_off(&mut self) {
        let cpu = &mut self.cpu_mut();
        let sctlr = cpu.guest_sysreg(SysReg::Sctlr);
        cpu.guest_set_sysreg(SysReg::Sctlr, sctlr & !SCTLR_M_C_I);
    }

    /// An address through which the guest reaches RAM at `gpa`, as the MMU is now.
    pub fn ptr(&self, gpa: u64) -> u64 {
        if self.mmu_is_on() {
            LINEAR + (gpa - RAM)
        } else {
            gpa
        }
    }

    /// Whether the pages of its tables are there.
    pub fn tables_are_mapped(&self) -> bool {
        (0..8).all(|n| self.is_mapped(TABLES + n * PAGE))
    }

    /// Whether the guest's own MMU lets it access `gva`.
    pub fn translates(&self, gva: u64, write: bool) -> bool {
        (gva..=gva.saturating_add(15)).all(|gva| self.stage1(gva, write).is_some())
    }

    /// The guest physical address behind `gva`, as the guest's MMU translates a read or write;
    /// `None` is a fault that the guest takes from its own MMU.
    pub(super) fn stage1(&self, gva: u64, write: bool) -> Option<u64> {
        if !self.mmu_is_on() {
            return (gva < 1 << 48).then_some(gva);
        }
        match gva {
            ..0x2_0000_0000 => Some(gva),
            LINEAR.. if gva < LINEAR + GIB => Some(RAM + (gva - LINEAR)),
            SCRAMBLED.. if gva < SCRAMBLED + ARGS_PAGES * PAGE => {
                let page = ARGS_PAGES - 1 - (gva - SCRAMBLED) / PAGE;
                Some(ARGS + page * PAGE + gva % PAGE)
            }
            READ_ONLY.. if gva < READ_ONLY + ARGS_PAGES * PAGE && !write => {
                Some(ARGS + (gva - READ_ONLY))
            }
            _ => None,
        }
    }
}
