//! What whoever started this program knows and it does not: a seed of random numbers, in the
//! machine's device tree.
//!
//! # Soundness
//! The tree's address comes from firmware, in x0 as for Linux (Documentation/arm64/booting.rst). It
//! is read once, before this program has written anything but its own image, and only where the
//! boot tables map memory: reads there have no side effects.
#![expect(unsafe_code, reason = "reads memory that firmware filled")]

use dt_server::Entropy;
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node, Property};

use crate::cpu;

/// Most bytes of a tree (Documentation/arm64/booting.rst).
const TREE_MAX: u32 = 2 << 20;
/// First word of a tree.
const MAGIC: u32 = 0xd00d_feed;
/// The boot tables map memory by GiB.
const GIB: u64 = 1 << 30;

/// What there is at the start: the tree's `rng-seed` and `kaslr-seed`, the processor's random
/// numbers, the time. `image` is an address in the image.
pub(crate) fn entropy(tree: u64, image: u64) -> Entropy {
    let mut entropy = Entropy::new();
    entropy.mix(&cpu::now().to_le_bytes());
    if let Some(bytes) = read(tree, image) {
        seeds(bytes, &mut entropy);
    }
    let mut numbers = [0; 32];
    if processor(&mut numbers) {
        entropy.give(&numbers);
    }
    entropy
}

/// The tree's bytes, if there is one in the GiB that the image is in.
fn read(tree: u64, image: u64) -> Option<&'static [u8]> {
    let end = (image / GIB + 1) * GIB;
    let mapped = |bytes: u64| tree / GIB == image / GIB && end - tree >= bytes;
    if !tree.is_multiple_of(8) || !mapped(8) {
        return None;
    }
    let word = |at: u64| {
        // SAFETY: in a GiB that is mapped as memory, and aligned.
        u32::from_be(unsafe { core::ptr::read_volatile(at as *const u32) })
    };
    let size = word(tree + 4);
    if word(tree) != MAGIC || size > TREE_MAX || !mapped(size.into()) {
        return None;
    }
    // SAFETY: as above; nothing writes there while the slice lives, which is until this program
    // makes anything of its memory.
    Some(unsafe { core::slice::from_raw_parts(tree as *const u8, size as usize) })
}

/// Takes the seeds of the tree in `bytes`.
fn seeds(bytes: &[u8], entropy: &mut Entropy) {
    let Ok(tree) = Fdt::new(bytes) else {
        return;
    };
    let Some(chosen) = tree.find_node("/chosen") else {
        return;
    };
    for (name, full) in [("rng-seed", true), ("kaslr-seed", false)] {
        let Some(property) = chosen.property(name) else {
            continue;
        };
        // A seed that was used is zeroed.
        let value = property.value();
        if full && value.iter().any(|byte| *byte != 0) {
            entropy.give(value);
        } else {
            entropy.mix(value);
        }
    }
}

/// Fills `numbers` with the processor's random numbers, if it has them to give.
fn processor(numbers: &mut [u8; 32]) -> bool {
    numbers
        .as_chunks_mut()
        .0
        .iter_mut()
        .all(|place| match cpu::random() {
            Some(number) => {
                *place = u64::to_le_bytes(number);
                true
            }
            None => false,
        })
}
