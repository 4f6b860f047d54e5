//! Whether what domains have of each core adds up.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use topology::cores::{self, SERVERS as SERVERS_CORE};
use topology::pd::time::Time;
use topology::share::{self, SERVERS, TURN, is_bounded, millionths, vmm};

use crate::chosen::Found;
use crate::diag::{Diagnostics, Rule};
use crate::domain::Draft;

/// Millionths of a CPU.
const WHOLE: u64 = 1_000_000;

/// Reports domains whose vCPUs have too much of a core in one turn, or together more than there is,
/// and warns of periods in which the others may take so much that the budget does not come. The
/// kernel uses `count` cores.
pub(crate) fn check(found: &[Found<'_>], count: u8, d: &mut Diagnostics) {
    for core in 0..count.max(1) {
        let domains: Vec<OnCore<'_>> = found
            .iter()
            .map(|domain| OnCore::new(domain, core, count > 1))
            .collect();
        turns(&domains, core, d);
        sums(&domains, core, d);
    }
}

/// What a domain has on one core.
struct OnCore<'a> {
    domain: &'a Found<'a>,
    /// The time of its vCPUs there.
    times: Vec<Time>,
    /// Microseconds, at most, for which what works for it keeps others waiting there, its vCPUs
    /// left out.
    beside: u64,
    /// Its VMM's part, in millionths, where the domain is bounded.
    vmm: u64,
}

impl<'a> OnCore<'a> {
    fn new(domain: &'a Found<'a>, core: u8, several_cores: bool) -> Self {
        let Draft {
            times: all,
            cores: at,
            ..
        } = &domain.draft;
        let there = |at: &u8| !several_cores || *at == core;
        let times = all.iter().zip(at).filter(|(_, at)| there(at));
        let times: Vec<Time> = times.map(|(time, _)| *time).collect();
        let own = at.first().copied().unwrap_or(SERVERS_CORE);
        let has_vmm = there(&own);
        let gate = share::gate(all, several_cores).filter(|_| core == SERVERS_CORE);
        let unloads = several_cores && cores::with_unloader(own, at).any(|at| at == core);
        let parts = [
            has_vmm.then(|| vmm(all, several_cores).budget),
            gate.map(|gate| gate.budget),
            unloads.then_some(share::UNLOADER.budget),
        ];
        Self {
            domain,
            times,
            beside: parts.into_iter().flatten().sum(),
            vmm: if has_vmm && is_bounded(all) {
                vmm(all, several_cores).millionths()
            } else {
                0
            },
        }
    }

    /// Microseconds of its vCPUs in a turn.
    fn own(&self) -> u64 {
        let budgets = self.times.iter().map(|vcpu| vcpu.budget);
        budgets.fold(0, u64::saturating_add)
    }

    fn turn(&self) -> u64 {
        self.own().saturating_add(self.beside)
    }

    /// Whether its file says what its vCPUs have, and says it without mistakes.
    fn is_named(&self) -> bool {
        let draft = &self.domain.draft;
        !draft.times_are_wrong && draft.unnamed.iter().any(|unnamed| !unnamed)
    }
}

/// Reports domains that keep others waiting for too long.
fn turns(domains: &[OnCore<'_>], core: u8, d: &mut Diagnostics) {
    for domain in domains.iter().filter(|domain| domain.is_named()) {
        if domain.times.is_empty() || domain.turn() <= TURN {
            continue;
        }
        let what = format!(
            "its vCPUs on CPU {core} have {} us together before others have a turn, at most {} are possible",
            domain.own(),
            TURN.saturating_sub(domain.beside)
        );
        let hint = "smaller budgets, in shorter periods for the same share";
        domain.domain.at.node_error(d, Rule::CpuTurn, what, hint);
    }
}

/// Reports more than a core, and periods that are too short beside the others.
fn sums(domains: &[OnCore<'_>], core: u8, d: &mut Diagnostics) {
    let bounded = || {
        let all = domains.iter().enumerate();
        all.filter(|(_, domain)| is_bounded(&domain.times))
    };
    let mut sum = 0_u64;
    let mut parts: Vec<String> = Vec::new();
    for (_, domain) in bounded() {
        let part = millionths(&domain.times).saturating_add(domain.vmm);
        let fitted = sum <= WHOLE;
        sum = sum.saturating_add(part);
        parts.push(format!("{} {}", name(domain.domain), percent(part)));
        if fitted && sum > WHOLE {
            let what = format!(
                "is more than CPU {core} has left: {} with what VMMs have beside",
                parts.join(", ")
            );
            let hint = "smaller budgets or longer periods";
            domain.domain.at.node_error(d, Rule::CpuSum, what, hint);
        }
    }
    if sum > WHOLE {
        return;
    }
    for (index, domain) in bounded() {
        let others = domains.iter().enumerate().filter(|(n, _)| *n != index);
        let others: u64 = others.map(|(_, other)| other.turn()).sum();
        // Its gate works only while its vCPUs wait.
        let round = domain
            .own()
            .saturating_add(topology::pd::time::VMM.budget)
            .saturating_add(others)
            .saturating_add(if core == SERVERS_CORE { SERVERS } else { 0 });
        if let Some(short) = domain
            .times
            .iter()
            .find(|vcpu| vcpu.is_bound() && vcpu.period < round)
        {
            let what = format!(
                "others on CPU {core} may take so long that {} us come only once in {round} us, not in {}",
                short.budget, short.period
            );
            let hint = "longer periods, or smaller budgets for the others: what a domain has is a bound, and no promise beyond its turn";
            let at = &domain.domain.at;
            at.warn(d, Rule::CpuLate, None, what, hint);
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
