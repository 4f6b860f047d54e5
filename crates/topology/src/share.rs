//! What a domain gets of the processor: the time of its vCPUs, as the domains file has it, and what
//! follows for its VMM and its gate.
//!
//! A vCPU has a [slice](time::VCPU) in each turn, another one if its node says so, or a budget in
//! each period. A domain with a budget in each period is *bounded*, and then all that works for it
//! alone is: its VMM has a tenth beside, as of a slice, and its gate stays active, with
//! [`GATE_BUDGET`] in as long a time as its vCPUs take to use as much. It gives up what is left of
//! that before it answers, so a call costs the domain that long. docs/design/budgets.md has the
//! reasons.

use crate::pd::time::{self, Time, slice};
use crate::pd::{GATE_PREFIX, VMM_PREFIX};
use crate::table::Member;

/// Least budget of a vCPU, in microseconds. The kernel refuses less than 20 (seL4 16: twice its
/// longest way through itself, 10); one exit with its answer takes 10 more.
pub const LEAST_BUDGET: u64 = 50;
/// The longest period of a vCPU, in microseconds.
pub const LONGEST_PERIOD: u64 = 100_000;
/// Microseconds for which a domain may keep another one waiting on a core: the fairness rule's
/// (docs/fairness.md).
pub const TURN: u64 = 2000;
/// Budget of a gate that has time of its own: what the dearest message to a server costs
/// (`memory_server::cost::MESSAGE`, a million instructions) and a quarter more, so that it never
/// ends within a server, where others would wait for the next period.
pub const GATE_BUDGET: u64 = 1250;

/// Slice of a VMM on a multicore kernel, where it has time of its own on its core: with it a guest
/// that keeps its VMM busy has a sixth more than one that computes.
pub const VMM_OF_SEVERAL: Time = slice(100);
/// Slice of a gate on a multicore kernel: it has the servers work for its VMM on the servers' core.
pub const GATE_OF_SEVERAL: Time = slice(100);
/// Slice of an unloader ([`crate::cores`]), which runs for a few microseconds.
pub const UNLOADER: Time = slice(50);

/// Microseconds for which the servers may keep a domain waiting between two of its turns: those
/// with time of their own.
pub const SERVERS: u64 = time::CONSOLE.budget
    + time::FAULT_SERVER.budget
    + time::TIMER_SERVER_WITH_CLOCK.budget
    + time::PULSE.budget;

/// Budgets of a bounded domain's vCPUs on a core, at most: with its VMM's and its gate's a
/// [turn](TURN).
pub const MOST_BOUNDED: u64 = TURN - time::VMM.budget - GATE_BUDGET;
/// Slices of another domain's vCPUs on a core, at most.
pub const MOST_SLICE: u64 = TURN - time::VMM.budget;

/// Whether a domain is bounded whose vCPUs have this time.
#[must_use]
pub fn is_bounded(vcpus: &[Time]) -> bool {
    vcpus.iter().any(|vcpu| vcpu.is_bound())
}

/// Millionths of a processor that the vCPUs that are bounded have together, at least one.
#[must_use]
pub fn millionths(vcpus: &[Time]) -> u64 {
    let bound = vcpus.iter().filter(|vcpu| vcpu.is_bound());
    let sum = bound.fold(0_u64, |sum, vcpu| sum.saturating_add(vcpu.millionths()));
    sum.max(1)
}

/// `budget` in each period so long that it is `part` millionths of a processor, or all of it.
fn within(budget: u64, part: u64) -> Time {
    let period = budget.saturating_mul(1_000_000).div_ceil(part.max(1));
    let period = period.max(budget);
    Time { budget, period }
}

/// The time of a domain whose vCPUs have this time, where one scheduler entity stands for all of
/// them (the EL2 host): their budgets together, in a period that makes the same share.
#[must_use]
pub fn domain(vcpus: &[Time]) -> Time {
    let budgets = vcpus.iter().map(|vcpu| vcpu.budget);
    let budget = budgets.fold(0, u64::saturating_add).max(LEAST_BUDGET);
    if is_bounded(vcpus) {
        within(budget, millionths(vcpus))
    } else {
        let period = budget;
        Time { budget, period }
    }
}

/// The time of a VMM whose vCPUs have this time: for notifications, and to start from.
#[must_use]
pub fn vmm(vcpus: &[Time], several_cores: bool) -> Time {
    let own = if several_cores {
        VMM_OF_SEVERAL
    } else {
        time::VMM
    };
    if is_bounded(vcpus) {
        within(own.budget, millionths(vcpus) / 10)
    } else {
        own
    }
}

/// The time of a gate that stays active; `None` if it runs on the time of whoever calls.
#[must_use]
pub fn gate(vcpus: &[Time], several_cores: bool) -> Option<Time> {
    let bounded = is_bounded(vcpus).then(|| within(GATE_BUDGET, millionths(vcpus)));
    bounded.or(several_cores.then_some(GATE_OF_SEVERAL))
}

/// Microseconds for which a domain whose vCPUs on a core have this time may keep another one
/// waiting there.
#[must_use]
pub fn turn(vcpus: &[Time]) -> u64 {
    let budgets = vcpus.iter().map(|vcpu| vcpu.budget);
    let own = budgets.fold(time::VMM.budget, u64::saturating_add);
    own.saturating_add(gate(vcpus, false).map_or(0, |gate| gate.budget))
}

impl Member {
    /// Its time of its own, if `vcpus` is that of its domain's vCPUs.
    #[must_use]
    pub fn time(&self, vcpus: &[Time], several_cores: bool) -> Time {
        match self.pd.name {
            VMM_PREFIX => vmm(vcpus, several_cores),
            GATE_PREFIX => gate(vcpus, several_cores).unwrap_or(self.pd.time),
            _ => self.pd.time,
        }
    }

    /// Whether it runs on the time of whoever calls ([`crate::table::Pd::on_callers_time`]), if
    /// `vcpus` is that of its domain's vCPUs.
    #[must_use]
    pub fn on_callers_time(&self, vcpus: &[Time], several_cores: bool) -> bool {
        let active = match self.pd.name {
            GATE_PREFIX => several_cores || is_bounded(vcpus),
            VMM_PREFIX => several_cores,
            _ => false,
        };
        self.pd.on_callers_time && !active
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::{Counter, Shape};
    use crate::table::members;

    const FIFTH: Time = Time {
        budget: 500,
        period: 2500,
    };

    #[test]
    fn without_a_bound_all_is_as_the_table_says() {
        for vcpus in [&[][..], &[time::VCPU], &[time::VCPU; 8]] {
            for member in members(Shape::plain(Counter::Readable, 1)) {
                let name = member.pd.name;
                assert_eq!(member.time(vcpus, false), member.pd.time, "{name}");
                let passive = member.on_callers_time(vcpus, false);
                assert_eq!(passive, member.pd.on_callers_time, "{}", member.pd.name);
            }
        }
    }

    #[test]
    fn a_bounded_domain_has_a_tenth_more_for_its_vmm_and_pays_its_gate() {
        let part = |time: Time| time.millionths();
        assert_eq!(part(FIFTH), 200_000);
        assert_eq!(
            (vmm(&[FIFTH], false).budget, part(vmm(&[FIFTH], false))),
            (50, 20_000)
        );
        let gate = gate(&[FIFTH], false).unwrap();
        assert_eq!((gate.budget, gate.period), (1250, 6250));
        // Two of them: half as long.
        assert_eq!(super::gate(&[FIFTH; 2], false).unwrap().period, 3125);
        assert_eq!(part(vmm(&[FIFTH; 2], false)), 40_000);
        let passive = |name: &str| {
            let mut all = members(Shape::plain(Counter::Readable, 1));
            let found = all.find(|member| member.pd.name == name).unwrap();
            found.on_callers_time(&[FIFTH], false)
        };
        assert!(passive(VMM_PREFIX) && !passive(GATE_PREFIX));
        assert!(passive(crate::pd::MEMORY_SERVER));
    }

    #[test]
    fn on_several_cores_vmms_and_gates_have_time_of_their_own() {
        for member in members(Shape::plain(Counter::Readable, 1)) {
            let passive = member.on_callers_time(&[time::VCPU], true);
            let name = member.pd.name;
            let server = [crate::pd::MEMORY_SERVER, crate::pd::DT_SERVER].contains(&name);
            assert_eq!(passive, server, "{name}");
        }
        assert_eq!(vmm(&[time::VCPU], true), VMM_OF_SEVERAL);
        assert_eq!(gate(&[time::VCPU], true), Some(GATE_OF_SEVERAL));
        // What bounds a domain bounds it there, too.
        assert_eq!(gate(&[FIFTH], true), gate(&[FIFTH], false));
        assert_eq!(vmm(&[FIFTH], true).millionths(), 20_000);
    }

    #[test]
    fn a_domain_has_what_its_vcpus_have() {
        assert_eq!(domain(&[time::VCPU]), time::VCPU);
        assert_eq!(domain(&[time::VCPU.shared_by(4); 4]), time::VCPU);
        assert_eq!(domain(&[FIFTH]), FIFTH);
        let two = domain(&[FIFTH; 2]);
        assert_eq!((two.budget, two.period), (1000, 2500));
        // A whole processor is no bound that one could count in.
        let half = Time {
            budget: 500,
            period: 1000,
        };
        let three = domain(&[half; 3]);
        assert_eq!((three.budget, three.period), (1500, 1500));
    }

    #[test]
    fn eight_whole_processors_are_time_that_the_kernel_takes() {
        let nearly = Time {
            budget: 699,
            period: 700,
        };
        for time in [vmm(&[nearly; 8], false), gate(&[nearly; 8], false).unwrap()] {
            assert!(time.budget <= time.period && time.budget >= LEAST_BUDGET);
        }
    }

    #[test]
    fn the_least_share_is_not_lost_in_rounding() {
        let least = Time {
            budget: LEAST_BUDGET,
            period: LONGEST_PERIOD,
        };
        assert_eq!(least.millionths(), 500);
        assert_eq!(gate(&[least], false).unwrap().period, 2_500_000);
        assert_eq!(vmm(&[least], false).millionths(), 50);
    }

    #[test]
    fn the_most_that_a_domain_may_have_is_a_turn() {
        let bounded = Time {
            budget: MOST_BOUNDED,
            period: LONGEST_PERIOD,
        };
        assert_eq!(turn(&[bounded]), TURN);
        let slice = Time {
            budget: MOST_SLICE,
            period: MOST_SLICE,
        };
        assert_eq!(turn(&[slice]), TURN);
        assert_eq!(turn(&[time::VCPU]), 550);
    }
}
