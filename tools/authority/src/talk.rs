//! Who may call, notify or report faults to whom.

use core::fmt;

use crate::cspace::describe;
use crate::spec::{Cap, Id, Kind, Spec};
use crate::subject::Subject;

/// Microkit sets this bit in the badge of a protected call's endpoint capability.
const CALL_BADGE: u64 = 1 << 63;

/// How one talks to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// A protected call: the caller waits for the answer.
    Call,
    /// A notification: nobody waits.
    Notify,
    /// The kernel reports the faults of the one to the other, or the one can report something as if
    /// it were a fault.
    Fault,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Call => "calls",
            Self::Notify => "notifies",
            Self::Fault => "reports faults to",
        })
    }
}

/// One way from one subject to another. Subjects are positions in `Authority::subjects`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Who sends.
    pub from: usize,
    /// Who receives.
    pub to: usize,
    /// How.
    pub way: Way,
    /// Badge that tells the receiver who sent.
    pub badge: u64,
    /// The endpoint or notification.
    pub through: Id,
    /// The capabilities that make it so.
    pub chain: Vec<String>,
}

/// Whose endpoint or notification `id` is: the one whose thread it is bound to, or that can
/// receive on it without a badge. If several can, the one that it is named after; the rule
/// `receive` tells of the others.
pub(crate) fn owner(spec: &Spec, subjects: &[Subject], id: Id) -> Option<usize> {
    let bound = |subject: &Subject| subject.notifications.contains(&id);
    let holds = |subject: &Subject| {
        subject
            .held
            .iter()
            .any(|held| held.cap.object == Some(id) && held.cap.badge == 0 && receives(&held.cap))
    };
    let name = spec.name(id);
    let named = |subject: &Subject| name.strip_prefix("ep_") == Some(&subject.name);
    let position = |test: &dyn Fn(&Subject) -> bool| subjects.iter().position(test);
    position(&bound)
        .or_else(|| position(&|subject| named(subject) && holds(subject)))
        .or_else(|| position(&holds))
}

/// Whether `cap` lets its holder wait for messages or notifications.
pub(crate) fn receives(cap: &Cap) -> bool {
    matches!(cap.kind, Kind::Endpoint | Kind::Notification) && cap.rights.unwrap_or_default().read
}

fn sends(cap: &Cap) -> bool {
    matches!(cap.kind, Kind::Endpoint | Kind::Notification) && cap.rights.unwrap_or_default().write
}

/// All edges.
pub(crate) fn edges(spec: &Spec, subjects: &[Subject]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (from, subject) in subjects.iter().enumerate() {
        let held = subject.held.iter().filter(|held| held.invocable);
        let held = held.map(|held| (&held.cap, held.chain.clone(), false));
        let faults = subject.faults.iter().map(|(_, cap)| {
            let fault = format!("fault handler: {}", describe(spec, cap, true));
            (cap, vec![subject.name.clone(), fault], true)
        });
        for (cap, chain, is_fault) in held.chain(faults).filter(|(cap, ..)| sends(cap)) {
            let Some(through) = cap.object else { continue };
            let Some(to) = owner(spec, subjects, through).filter(|&to| to != from) else {
                continue;
            };
            let way = match cap.kind {
                Kind::Notification => Way::Notify,
                _ if is_fault || cap.badge & CALL_BADGE == 0 => Way::Fault,
                _ => Way::Call,
            };
            edges.push(Edge {
                from,
                to,
                way,
                badge: cap.badge,
                through,
                chain,
            });
        }
    }
    edges
}
