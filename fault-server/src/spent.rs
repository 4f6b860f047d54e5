//! Processor time that vCPUs have used, added up.
//!
//! The kernel counts what each scheduling context has been used since it was asked last. What a
//! VMM, its gate and servers do on a guest's time is in it: it is what the guest has cost.

use hv_types::MAX_VCPUS;
use topology::MAX_DOMAINS;

/// Microseconds of each vCPU since the machine started.
#[derive(Clone, Debug)]
pub struct Spent {
    /// How many vCPUs each domain has.
    vcpus: [u64; MAX_DOMAINS],
    us: [[u64; MAX_VCPUS]; MAX_DOMAINS],
}

impl Spent {
    /// Nothing so far, with so many vCPUs in each domain.
    pub const fn new(vcpus: [u64; MAX_DOMAINS]) -> Self {
        Self {
            vcpus,
            us: [[0; MAX_VCPUS]; MAX_DOMAINS],
        }
    }

    /// Microseconds that vCPU `vcpu` of domain `domain` has used, both counted from 0; 0 where
    /// there is none. `since` says how many since it was asked last, if there is such a vCPU;
    /// `None` counts for nothing.
    pub fn total(
        &mut self,
        domain: usize,
        vcpu: usize,
        since: impl FnOnce() -> Option<u64>,
    ) -> u64 {
        let vcpus = self.vcpus.get(domain).copied().unwrap_or(0);
        let there = u64::try_from(vcpu).is_ok_and(|vcpu| vcpu < vcpus);
        let us = self.us.get_mut(domain).and_then(|of| of.get_mut(vcpu));
        let Some(us) = us.filter(|_| there) else {
            return 0;
        };
        *us = us.saturating_add(since().unwrap_or(0));
        *us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up_and_nobody_asks_for_what_is_not_there() {
        let mut spent = Spent::new([2, 0, 99, 0, 0, 0, 0, 1]);
        assert_eq!(spent.total(0, 1, || Some(5)), 5);
        assert_eq!(spent.total(0, 1, || Some(7)), 12);
        assert_eq!(spent.total(0, 1, || None), 12, "the kernel refused");
        assert_eq!(spent.total(0, 0, || Some(1)), 1, "each is for itself");
        assert_eq!(spent.total(7, 0, || Some(u64::MAX)), u64::MAX);
        assert_eq!(spent.total(7, 0, || Some(1)), u64::MAX);
        assert_eq!(spent.total(2, 7, || Some(3)), 3);
        for (domain, vcpu) in [(0, 2), (1, 0), (2, 8), (7, 1), (8, 0), (usize::MAX, 0)] {
            assert_eq!(spent.total(domain, vcpu, || unreachable!()), 0);
        }
    }
}
