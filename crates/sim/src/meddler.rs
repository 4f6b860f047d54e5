//! Another vCPU of a guest that writes to its memory while the VMM works.
//!
//! On one core a time slice of the VMM can end between any two of its accesses, on several cores
//! nothing has to end. So before each access of the VMM the meddler may change what the access
//! will find, as its seed has it: the same seed brings the same stores at the same accesses.

use hv_types::{Gpa, PAGE_SIZE};
use memory_server::DomainIndex;

use crate::caps::{Machine, Side};

/// Most stores at one turn.
const STORES: u64 = 3;

/// A vCPU that writes words at random places of some ranges of guest memory.
#[derive(Clone, Debug)]
pub struct Meddler {
    state: u64,
    ranges: Vec<(u64, u64)>,
    values: Vec<u64>,
    stores: u64,
    /// Guest physical addresses of bytes that the VMM has read by copying them in.
    read: Vec<(u64, u64)>,
    twice: Vec<u64>,
}

impl Meddler {
    /// Writes to the ranges (guest physical address, bytes), mostly one of `values`.
    pub fn new(seed: u64, ranges: &[(u64, u64)], values: &[u64]) -> Self {
        Self {
            // xorshift does not leave 0.
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            ranges: ranges.to_vec(),
            values: values.to_vec(),
            stores: 0,
            read: Vec::new(),
            twice: Vec::new(),
        }
    }

    /// How many words it has written.
    pub const fn stores(&self) -> u64 {
        self.stores
    }

    /// Addresses in its ranges that the VMM has copied in more than once.
    pub fn read_twice(&self) -> &[u64] {
        &self.twice
    }

    /// How often the VMM has copied something in from its ranges.
    pub fn reads(&self) -> usize {
        self.read.len()
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or(0)
    }

    /// It runs for a moment.
    pub(crate) fn turn(&mut self, machine: &mut Machine, domain: DomainIndex) {
        for _ in 0..self.next() % (STORES + 1) {
            let range = self.below(self.ranges.len());
            let Some(&(start, len)) = self.ranges.get(range) else {
                return;
            };
            let at = start + (self.next() % len.max(1)) / 4 * 4;
            let value = match self.next() % 8 {
                0 => self.next(),
                // One of the words that are there already, somewhere else.
                1 => machine
                    .guest_read(domain, Gpa::new(start + self.next() % len))
                    .map_or(0, u64::from),
                _ => {
                    let n = self.below(self.values.len());
                    self.values.get(n).copied().unwrap_or(0)
                }
            };
            let bytes = value.to_le_bytes();
            let bytes = if self.next().is_multiple_of(2) {
                &bytes[..4]
            } else {
                &bytes[..]
            };
            for (at, byte) in (at..).zip(bytes) {
                if at - start < len {
                    // What the guest has given away it does not reach.
                    let _ = machine.guest_write(domain, Gpa::new(at), *byte);
                }
            }
            self.stores += 1;
        }
    }

    /// The VMM copies `len` bytes in from window address `at`.
    pub(crate) fn note(&mut self, machine: &Machine, domain: DomainIndex, at: u64, len: u64) {
        let ranges = self.ranges.clone();
        for (start, size) in ranges {
            for page in (0..size.div_ceil(PAGE_SIZE)).map(|n| start + n * PAGE_SIZE) {
                let here = machine.translate(domain, Side::Guest, page);
                let there = machine.translate(domain, Side::Window, at - at % PAGE_SIZE);
                if here.is_none() || here != there {
                    continue;
                }
                let first = page + at % PAGE_SIZE;
                let again = |&&(was, bytes): &&(u64, u64)| was < first + len && first < was + bytes;
                if self.read.iter().find(again).is_some() {
                    self.twice.push(first);
                }
                self.read.push((first, len));
            }
        }
    }
}
