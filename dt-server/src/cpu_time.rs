//! Whether what domains have of a CPU adds up.
//!
//! All vCPUs run on CPU 0, so one sum is all there is.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use topology::pd::time;
use topology::share::{SERVERS, is_bounded, millionths, turn, vmm};

use crate::chosen::Found;
use crate::diag::{Diagnostics, Rule};

/// Millionths of a CPU.
const WHOLE: u64 = 1_000_000;

/// Reports domains whose budgets are more than a CPU, and warns of periods in which the others may
/// take so much that the budget does not come.
pub(crate) fn check(found: &[Found<'_>], d: &mut Diagnostics) {
    let mut sum = 0_u64;
    let mut parts: Vec<String> = Vec::new();
    for domain in found {
        let times = &domain.draft.times;
        if !is_bounded(times) {
            continue;
        }
        let part = millionths(times).saturating_add(vmm(times).millionths());
        let fitted = sum <= WHOLE;
        sum = sum.saturating_add(part);
        parts.push(format!("{} {}", name(domain), percent(part)));
        if fitted && sum > WHOLE {
            let what = format!(
                "is more than CPU 0 has left: {} with what VMMs have beside",
                parts.join(", ")
            );
            let hint = "smaller budgets or longer periods";
            domain.at.node_error(d, Rule::CpuSum, what, hint);
        }
    }
    if sum > WHOLE {
        return;
    }
    for (index, domain) in found.iter().enumerate() {
        let times = &domain.draft.times;
        if !is_bounded(times) {
            continue;
        }
        let others = found.iter().enumerate().filter(|(n, _)| *n != index);
        let others: u64 = others.map(|(_, other)| turn(&other.draft.times)).sum();
        let own: u64 = times.iter().map(|vcpu| vcpu.budget).sum();
        let round = own
            .saturating_add(time::VMM.budget)
            .saturating_add(others)
            .saturating_add(SERVERS);
        if let Some(short) = times
            .iter()
            .find(|vcpu| vcpu.is_bound() && vcpu.period < round)
        {
            let what = format!(
                "others on CPU 0 may take so long that {} us come only once in {round} us, not in {}",
                short.budget, short.period
            );
            let hint = "longer periods, or smaller budgets for the others: what a domain has is a bound, and no promise beyond its turn";
            domain.at.warn(d, Rule::CpuLate, None, what, hint);
        }
    }
}

fn name<'a>(domain: &'a Found<'_>) -> &'a str {
    domain.at.path.rsplit('/').next().unwrap_or_default()
}

/// Millionths as percent, with one digit.
fn percent(part: u64) -> String {
    let permille = part.div_ceil(1000);
    format!("{}.{} %", permille / 10, permille % 10)
}
