//! The records region that an image has against what the memory server needs.
#![allow(missing_docs, reason = "tests")]

use hv_types::{BLOCK_SIZE, DomId, PAGE_SIZE};
use memory_server::layout::{self, GrantLayout};
use memory_server::manifest::{self, MAX_UNTYPEDS};
use memory_server::{
    BlockRecord, DomainConfig, DomainIndex, Manifest, Purpose, SplitRecord, Untyped, UntypedRecord,
};
use topology::records_bytes;

const MIB: u64 = 1 << 20;
/// A grant CNode of the largest size has windows for so much RAM.
const MOST_RAM: u64 = 12 << 30;

/// The memory that is handed over and the bytes of all records for it, if `domains` guests share
/// `ram` bytes, in static memory or on the heap and then growing up to `growth` times as large, and
/// every block is split.
fn needed(ram: u64, domains: u16, is_static: bool, growth: u64) -> (u64, u64) {
    let each = ram / u64::from(domains) / BLOCK_SIZE * BLOCK_SIZE;
    let mut untypeds = Vec::new();
    let mut paddr = 1 << 40;
    for n in 0..domains {
        let index = DomainIndex(u8::try_from(n).unwrap());
        let mut left = each;
        while left > 0 {
            let size_bits = u8::try_from(left.ilog2()).unwrap();
            untypeds.push(Untyped {
                paddr,
                size_bits,
                device: true,
                purpose: if is_static {
                    Purpose::Static(index)
                } else {
                    Purpose::Heap
                },
            });
            paddr += 1 << 36;
            left -= 1 << size_bits;
        }
    }
    let config = |n, grant_radix| DomainConfig {
        domid: DomId(n),
        name: [0; 16],
        max_pages: (each * growth).min(MOST_RAM) / PAGE_SIZE,
        is_static,
        direct: false,
        table_quota: u32::try_from(each / BLOCK_SIZE * 2 + 64).unwrap(),
        grant_radix,
        lenders: 0,
        shares: memory_server::Shares::NONE,
    };
    let configs: Vec<_> = (0..domains).map(|n| config(n, 24)).collect();
    let words = manifest::encode(&configs, &untypeds, 0).unwrap();
    let manifest = Manifest::decode(&words).unwrap();
    let windows: u64 = manifest
        .domains()
        .map(|(n, domain)| {
            let radix = layout::grant_radix(&manifest, n).max(10);
            GrantLayout::new(radix, domain.table_quota, 0).words() as u64
        })
        .sum();
    let blocks = u64::from(layout::blocks(&manifest));
    let split = size_of::<BlockRecord>() + size_of::<SplitRecord>();
    let fixed = (MAX_UNTYPEDS * size_of::<UntypedRecord>()) as u64;
    (
        blocks * BLOCK_SIZE,
        fixed + windows * 4 + blocks * split as u64,
    )
}

/// BL-1, UP-5: the image sets enough aside for every block to be split at once, and not much more.
#[test]
fn every_block_can_be_split_at_once() {
    for ram in [32, 64, 100, 256, 768, 1024, 1026, 4096, 12 * 1024] {
        for domains in [1, 2, 3, 8] {
            for (is_static, growth) in [(true, 1), (false, 1), (false, 3), (false, 10)] {
                let (handed, need) = needed(ram * MIB, domains, is_static, growth);
                let have = records_bytes(handed);
                assert!(
                    need <= have,
                    "{ram} MiB, {domains}, {growth}: {need} of {have}"
                );
                let most = need + need / 20 + 0x1_0000;
                assert!(have <= most, "{ram} MiB, {domains}: {have} for {need}");
            }
        }
    }
}
