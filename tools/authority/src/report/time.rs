//! Who can use how much of the processor.

use topology::pd;

use crate::spec::Kind;
use crate::{Authority, Role, Subject};

/// A scheduling context of somebody's.
pub(super) struct Share<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Microseconds in each period.
    pub(super) budget: u64,
    /// Microseconds; with the budget alike, a turn among all.
    pub(super) period: u64,
    /// The fault server binds it to the notification: it is for notifications alone, and everything
    /// else is done on the time of whoever calls or faults.
    pub(super) bound: bool,
}

/// The scheduling contexts of `subject`.
pub(super) fn shares<'a>(authority: &'a Authority, subject: &Subject) -> Vec<Share<'a>> {
    let binder = authority
        .subjects
        .iter()
        .find(|s| s.name == pd::FAULT_SERVER);
    let found = subject.sched_contexts.iter().filter_map(|&id| {
        let object = authority.spec.get(id)?;
        let time = object.time?;
        let held = |s: &Subject| {
            let mut all = s.held.iter();
            all.any(|held| held.cap.kind == Kind::SchedContext && held.cap.object == Some(id))
        };
        Some(Share {
            name: object
                .name
                .strip_prefix("sched_context_")
                .unwrap_or(&object.name),
            budget: time.budget,
            period: time.period,
            bound: subject.name != pd::FAULT_SERVER && binder.is_some_and(held),
        })
    });
    found.collect()
}

/// The same in words, a line for each: who, and what.
pub(super) fn text(authority: &Authority) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let several_cores = authority.spec.objects().any(|(_, object)| object.core > 0);
    for subject in &authority.subjects {
        for share in shares(authority, subject) {
            let much = words(&share, subject.role);
            let text = match core(authority, share.name) {
                Some(core) if several_cores => format!("CPU {core}: {much}"),
                _ => much,
            };
            lines.push((share.name.to_owned(), text));
        }
    }
    lines
}

/// The core of the thread called `name`.
fn core(authority: &Authority, name: &str) -> Option<u64> {
    let thread = authority.spec.find(&format!("tcb_{name}"))?;
    Some(authority.spec.get(thread)?.core)
}

fn words(share: &Share<'_>, role: Role) -> String {
    let Share { budget, period, .. } = share;
    let much = if budget < period {
        let permyriad = u128::from(*budget) * 10_000 / u128::from(*period);
        let (whole, part) = (permyriad / 100, permyriad % 100);
        format!("{budget} us in each {period} us, {whole}.{part:02} %")
    } else {
        format!("{budget} us in each turn")
    };
    match (share.bound, role) {
        (false, _) => much,
        (true, Role::Vmm) => format!("{much}, for notifications; otherwise its guest's time"),
        (true, _) => format!("{much}, to start from; then its callers' time"),
    }
}
