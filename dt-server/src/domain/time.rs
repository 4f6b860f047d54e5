//! Processor time of a domain's vCPUs.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use topology::pd::time::{self, Time};
use topology::share::{LEAST_BUDGET, LONGEST_PERIOD, MOST_BOUNDED, MOST_SLICE, is_bounded};

use crate::diag::{Diagnostics, Hint, Rule};
use crate::node::At;

const BUDGET: &str = "zazen,budget";
const PERIOD: &str = "zazen,period";

/// The time of a domain's vCPUs, by their numbers.
pub(super) struct Times {
    times: Vec<Time>,
    /// Those without a budget of their own.
    unnamed: Vec<bool>,
    /// How many there are is not known, because it is written wrongly: as many as have nodes.
    open: bool,
    /// Some node's budget is wrong.
    wrong: bool,
}

impl Times {
    /// `vcpus` of them, which share a [slice](time::VCPU).
    pub(super) fn new(vcpus: Option<u8>) -> Self {
        let count = vcpus.unwrap_or(1);
        Self {
            times: vec![time::VCPU.shared_by(count); usize::from(count)],
            unnamed: vec![true; usize::from(count)],
            open: vcpus.is_none(),
            wrong: false,
        }
    }

    /// Reads the node of vCPU `id`, which is one of them.
    pub(super) fn read(&mut self, at: &At<'_>, id: u32, d: &mut Diagnostics) {
        let before = d.error_count();
        let found = vcpu(at, d);
        self.wrong |= d.error_count() != before;
        let id = usize::from(u8::try_from(id).unwrap_or(u8::MAX));
        if self.open && id >= self.times.len() {
            self.times.resize(id + 1, time::VCPU);
        }
        if let (Some(found), Some(slot)) = (found, self.times.get_mut(id)) {
            *slot = found;
            if let Some(unnamed) = self.unnamed.get_mut(id) {
                *unnamed = false;
            }
        }
    }

    /// vCPUs that have no budget of their own, by their numbers.
    pub(super) fn unnamed(&self) -> Vec<bool> {
        self.unnamed.clone()
    }

    /// Checks that they go together; `at` is the domain. Whether something is wrong is returned
    /// with them.
    pub(super) fn check(self, at: &At<'_>, d: &mut Diagnostics) -> (Vec<Time>, bool) {
        let free = self.times.iter().position(|vcpu| !vcpu.is_bound());
        let mut wrong = self.wrong;
        if wrong {
            return (self.times, wrong);
        }
        if let Some(free) = free.filter(|_| is_bounded(&self.times)) {
            let what = format!(
                "vCPU {free} has no budget in each period, and another of the domain's has one"
            );
            let hint = "give all vCPUs of the domain a period, or none";
            at.node_error(d, Rule::CpuMixed, what, hint);
            wrong = true;
        }
        (self.times, wrong)
    }
}

/// `zazen,budget` and `zazen,period` of a vCPU; `None` where it has none, or one that is wrong.
fn vcpu(at: &At<'_>, d: &mut Diagnostics) -> Option<Time> {
    if !at.has(BUDGET) {
        if at.has(PERIOD) {
            let hint = "add zazen,budget = <microseconds> to the node, or remove the period";
            let what = "says nothing without zazen,budget";
            at.error(d, Rule::CpuPeriod, PERIOD, what, hint);
        }
        return None;
    }
    let budget = at.u32(BUDGET, Rule::CpuBudget, d).map(u64::from);
    let period = if at.has(PERIOD) {
        Some(at.u32(PERIOD, Rule::CpuPeriod, d).map(u64::from)?)
    } else {
        None
    };
    let budget = budget?;
    let bounded = period.filter(|period| *period > budget);
    if budget < LEAST_BUDGET {
        let what = match budget {
            0 => String::from("a vCPU without time never runs"),
            _ => format!("{budget} us are too few: a vCPU needs {LEAST_BUDGET} to get anywhere"),
        };
        let hint = match bounded.and_then(|period| larger(budget, period)) {
            Some(period) => format!("write {BUDGET} = <{LEAST_BUDGET}> and {PERIOD} = <{period}>, which is the same share").into(),
            None => Hint::set(format!("<{LEAST_BUDGET}>")),
        };
        at.error(d, Rule::CpuBudget, BUDGET, what, hint);
        return None;
    }
    let most = bounded.map_or(MOST_SLICE, |_| MOST_BOUNDED);
    if budget > most {
        let what = format!("{budget} us keep others waiting for too long, at most {most} do not");
        let hint = match bounded {
            Some(period) => format!(
                "write {BUDGET} = <{most}> and {PERIOD} = <{}>, which is the same share",
                u128::from(period) * u128::from(most) / u128::from(budget)
            )
            .into(),
            None => Hint::set(format!("<{most}>")),
        };
        at.error(d, Rule::CpuBudget, BUDGET, what, hint);
        return None;
    }
    match period {
        None => {}
        Some(period) if period < budget => {
            let what = format!("is shorter than the budget, {budget} us");
            let hint = "a vCPU has budget microseconds in each period: exchange the two, or remove the period";
            at.error(d, Rule::CpuPeriod, PERIOD, what, hint);
            return None;
        }
        Some(period) if period > LONGEST_PERIOD => {
            let what = format!("{period} us are too long, at most {LONGEST_PERIOD} are possible");
            let hint = Hint::set(format!("<{LONGEST_PERIOD}>"));
            at.error(d, Rule::CpuPeriod, PERIOD, what, hint);
            return None;
        }
        Some(_) => {}
    }
    let period = period.unwrap_or(budget);
    Some(Time { budget, period })
}

/// The period in which [`LEAST_BUDGET`] is the share that `budget` is in `period`, if it may be so
/// long.
fn larger(budget: u64, period: u64) -> Option<u64> {
    let longer = period.checked_mul(LEAST_BUDGET)?.checked_div(budget)?;
    (longer <= LONGEST_PERIOD).then_some(longer)
}
