//! Processor time of vCPUs, from whoever can know it.
//!
//! No VMM knows how long its guest had the processor: others run in between. One client of the
//! console does, the *timekeeper*: the fault server, which holds the scheduling contexts, or the
//! host's own scheduler. The console asks by a count that it raises, and the timekeeper answers
//! with all times and then with that count, so that the console knows whether they are all there.

use ring::Words;
use ring::sync::AtomicU32;

use crate::{DOMAINS_MAX, HEADER_SIZE, VCPUS_MAX};

/// First word of the block in a region's header page, behind the one of [`crate::control`].
const FIRST: usize = 256;
/// The console's: how often it has asked.
const ASKED: usize = 0;
/// The timekeeper's: the last count that it has answered.
const ANSWERED: usize = 1;
/// The timekeeper's: microseconds of each vCPU, low and high word.
const TIMES: usize = 2;
const COUNT: usize = TIMES + 2 * DOMAINS_MAX * VCPUS_MAX;

const _: () = assert!(FIRST >= Words::FIRST + Words::COUNT && 4 * (FIRST + COUNT) <= HEADER_SIZE);

/// The block, for either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times<'a>(Words<'a>);

/// The words of a vCPU; none where there can be no such vCPU.
fn words(domain: usize, vcpu: usize) -> Option<[usize; 2]> {
    let there = domain < DOMAINS_MAX && vcpu < VCPUS_MAX;
    let low = TIMES + 2 * (domain * VCPUS_MAX + vcpu);
    there.then_some([low, low + 1])
}

impl<'a> Times<'a> {
    /// The block in a region's header page; `None` where that is too short.
    pub(crate) fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Words::at(header, FIRST, COUNT).map(Self)
    }

    pub(crate) fn ask(&self) {
        self.0.store(ASKED, self.0.load(ASKED).wrapping_add(1));
    }

    /// The timekeeper has answered what was asked last.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.load(ANSWERED) == self.0.load(ASKED)
    }

    pub(crate) fn get(&self, domain: usize, vcpu: usize) -> u64 {
        words(domain, vcpu).map_or(0, |at| self.0.load_u64(at))
    }

    /// If there is an open question, answers it with `us`, which is called for each vCPU there can
    /// be; whether there was.
    pub(crate) fn answer(&self, mut us: impl FnMut(usize, usize) -> u64) -> bool {
        let asked = self.0.load(ASKED);
        if self.0.load(ANSWERED) == asked {
            return false;
        }
        for domain in 0..DOMAINS_MAX {
            for vcpu in 0..VCPUS_MAX {
                if let Some(at) = words(domain, vcpu) {
                    self.0.store_u64(at, us(domain, vcpu));
                }
            }
        }
        self.0.store(ANSWERED, asked);
        true
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn header() -> Vec<AtomicU32> {
        (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect()
    }

    #[test]
    fn each_question_is_answered_once_and_wholly() {
        let header = header();
        let times = Times::new(&header).unwrap();
        assert!(times.is_answered() && !times.answer(|_, _| unreachable!()));
        for round in 0..3_u64 {
            times.ask();
            assert!(!times.is_answered());
            let us = |domain: usize, vcpu: usize| round << 40 | (8 * domain + vcpu) as u64;
            assert!(times.answer(us));
            assert!(times.is_answered() && !times.answer(us));
            for domain in 0..DOMAINS_MAX {
                for vcpu in 0..VCPUS_MAX {
                    assert_eq!(times.get(domain, vcpu), us(domain, vcpu));
                }
            }
        }
        assert_eq!(times.get(DOMAINS_MAX, 0), 0);
        assert_eq!(times.get(0, VCPUS_MAX), 0);
        assert!(Times::new(&header[1..]).is_some() && Times::new(&header[..FIRST]).is_none());
    }
}
