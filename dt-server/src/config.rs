//! What a valid domains file says.

use alloc::string::String;
use alloc::vec::Vec;

use dt_server_api::{Bank, DomainRecord};
use hv_types::BLOCK_SIZE;
use topology::pd::time::Time;

use crate::diag::Diagnostics;
use crate::range::{Range, total};

/// Everything a domains file says, checked. The default has no domain: for a server whose file is
/// not valid.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The board that the tree is for.
    pub board: &'static board::Board,
    /// The domains in device-tree order: domain ids 1, 2, …; 1..=[`topology::MAX_DOMAINS`] of them.
    pub domains: Vec<DomainConfig>,
    /// `xen,static-heap`; empty where the file leaves the choice to the image builder.
    pub static_heap: Vec<Range>,
    /// `zazen,heap = "all"`: the heap is all memory that is left over, and not only what the
    /// domains need.
    pub heap_all: bool,
    /// RAM of the host as the `memory` nodes give it; may be empty.
    pub memory: Vec<Range>,
    /// What was noticed but is no error.
    pub warnings: Diagnostics,
}

/// One domain.
#[derive(Clone, Debug)]
pub struct DomainConfig {
    /// The record that its VMM gets.
    pub record: DomainRecord,
    /// `xen,static-mem`: host memory in the order of the property, which is the order in which it
    /// fills the guest's banks (SM-25). Empty where RAM comes from the heap.
    pub static_mem: Vec<Range>,
    /// Bytes of RAM taken from the heap at the start; 0 with static memory (SM-26).
    pub heap: u64,
    /// Processor time of its vCPUs, by their numbers: a slice in each turn, or a budget in each
    /// period (`zazen,budget`, `zazen,period`).
    pub vcpu_times: Vec<Time>,
    /// Bytes for page tables, those of the guest and of the VMM's window together
    /// (`xen,domain-p2m-mem-mb`, or Xen's formula). Kernel-owned memory, never device memory.
    pub tables: u64,
    /// Bytes of extra pages (shared_info, console, xenstore, grant frames) at most.
    pub extra: u64,
    /// Command line of the guest, at most 1024 bytes.
    pub bootargs: String,
    /// `zazen,file` of the kernel, module region 0.
    pub kernel_file: String,
    /// `zazen,file` of the RAM disk, module region 1.
    pub ramdisk_file: Option<String>,
}

fn bytes(banks: &[Bank]) -> u64 {
    banks
        .iter()
        .fold(0, |sum, bank| sum.saturating_add(bank.size()))
}

impl DomainConfig {
    /// Bytes of RAM that the guest starts with.
    pub fn ram(&self) -> u64 {
        bytes(&self.record.banks)
    }

    /// Bytes of RAM that it may hold at most (`XENMEM_maximum_reservation`): the same without
    /// `zazen,memory-max`.
    pub fn max_ram(&self) -> u64 {
        bytes(&self.record.max_banks)
    }

    /// Files of the domain with their module regions.
    pub fn modules(&self) -> impl Iterator<Item = (u8, &str)> {
        let kernel = (self.record.kernel.region, self.kernel_file.as_str());
        let ramdisk = self.record.ramdisk.zip(self.ramdisk_file.as_deref());
        core::iter::once(kernel).chain(ramdisk.map(|(module, file)| (module.region, file)))
    }
}

/// Free 2 MiB blocks that the heap needs beside the domains' RAM, given as each domain's bytes of
/// RAM from the heap. A block of kernel memory is split by copying it, and all VMMs can do that at
/// the same time; the block that a split leaves behind serves the next one. At least one block, for
/// what is not RAM.
fn spare_blocks(heaps: impl Iterator<Item = u64>) -> u64 {
    (heaps.filter(|bytes| *bytes > 0).count() as u64).max(1)
}

/// Bytes of heap that domains need, given as each one's bytes of RAM from the heap and of extra
/// pages: RAM in whole blocks, everybody's extra pages, and the blocks to spare for copying blocks
/// that are split.
pub fn heap_bytes(domains: impl Iterator<Item = (u64, u64)> + Clone) -> u64 {
    let ram: u64 = domains
        .clone()
        .map(|(heap, _)| heap.next_multiple_of(BLOCK_SIZE))
        .sum();
    let extra: u64 = domains.clone().map(|(_, extra)| extra).sum();
    let spare = spare_blocks(domains.map(|(heap, _)| heap));
    ram + extra.next_multiple_of(BLOCK_SIZE) + spare * BLOCK_SIZE
}

impl Config {
    /// Bytes of all static memory.
    pub fn static_total(&self) -> u64 {
        self.domains.iter().fold(0, |sum, domain| {
            sum.saturating_add(total(&domain.static_mem))
        })
    }

    /// Bytes that all domains together need besides static memory: RAM from the heap, page tables
    /// and extra pages.
    pub fn heap_total(&self) -> u64 {
        self.domains.iter().fold(0, |sum, domain| {
            sum.saturating_add(domain.heap)
                .saturating_add(domain.tables)
                .saturating_add(domain.extra)
        })
    }

    /// Bytes in the memory server's hands at most, if it is handed what the file asks for: static
    /// memory, the heap (`xen,static-heap`, or what the domains need in whole blocks) and page
    /// tables in powers of two; rounded up to 64 MiB, so that whole untypeds fit.
    pub fn handed(&self) -> u64 {
        const SPARE: u64 = 8 << 20;
        let up = |bytes: u64, align| bytes.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        let heaps = self.domains.iter().map(|domain| domain.heap);
        let spare = SPARE.saturating_add(spare_blocks(heaps) * BLOCK_SIZE);
        let need = self.domains.iter().fold(spare, |sum, domain| {
            let tables = domain
                .tables
                .checked_next_power_of_two()
                .unwrap_or(u64::MAX);
            sum.saturating_add(up(domain.heap, BLOCK_SIZE))
                .saturating_add(tables)
                .saturating_add(domain.extra)
        });
        up(
            self.static_total()
                .saturating_add(total(&self.static_heap))
                .saturating_add(need),
            64 << 20,
        )
    }
}

/// What is known about a file that a module names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileInfo {
    /// Exact bytes.
    pub size: u64,
    /// The first 64 bytes (zeros past the end of a shorter file), where they can be read.
    pub head: Option<[u8; 64]>,
}

/// Where module files are looked up.
pub trait Files {
    /// The file that `zazen,file` names, or `None` where there is none.
    fn probe(&self, name: &str) -> Option<FileInfo>;
}

/// No files at hand, as in the protection domain: sizes come from `zazen,size`.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl Files for NoFiles {
    fn probe(&self, _name: &str) -> Option<FileInfo> {
        None
    }
}
