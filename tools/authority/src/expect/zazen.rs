//! What the image builder adds to Microkit's specification (`pd/image/src/extend.rs`): untyped
//! memory and grant CNodes.

use topology::{caps, pd};

use super::wanted::{Thing, Want, Wanted};
use super::{Names, System, roles};
use crate::run_time::GRANT_PREFIX;
use crate::spec::{Kind, Rights};

/// The memory server's CNode for all it makes.
const OWN: &str = "cnode_zazen_own";
/// What the names of its untypeds start with; the slot's number in three digits follows.
pub(crate) const UNTYPED_PREFIX: &str = "untyped_zazen_";
/// Bits of a pointer that are left behind a root slot.
const REST: u8 = 58;

/// Adds everything that the image builder adds.
pub(super) fn add(system: &System, names: &Names<'_>, wanted: &mut Wanted) {
    let server = format!("cnode_{}", pd::MEMORY_SERVER);
    let why = "the memory server's CNode for what it makes";
    wanted.object(Kind::CNode, OWN, Thing::default());
    let own = Want::to(Kind::CNode, OWN, why);
    wanted.slot(&server, caps::MEM_OWN_LEAF, own.clone());
    wanted.slot(
        &format!("{server}_root"),
        caps::MEM_OWN_ROOT,
        own.guarded(0, rest(names, OWN)),
    );
    for untyped in names.of_kind(&Kind::Untyped) {
        let Some(slot) = number(&untyped.name) else {
            continue;
        };
        wanted.object(Kind::Untyped, &untyped.name, Thing::default());
        let want = Want::to(Kind::Untyped, &untyped.name, "the memory server's memory");
        wanted.slot(OWN, slot.into(), want);
    }
    for (index, domain) in (0..).zip(&system.domains) {
        let vmm = format!("cnode_{}{}", pd::VMM_PREFIX, domain.name);
        let grant = format!("{GRANT_PREFIX}{}", domain.name);
        wanted.object(Kind::CNode, &grant, Thing::default());
        let fills = format!("the memory server fills the grant CNode of {}", domain.name);
        let fills = Want::to(Kind::CNode, &grant, fills);
        wanted.slot(&server, caps::MEM_GRANT_LEAF + index, fills);
        let uses = format!("the VMM of {} uses what is granted to it", domain.name);
        let uses = Want::to(Kind::CNode, &grant, uses);
        wanted.slot(
            &format!("{vmm}_root"),
            caps::VMM_GRANT_ROOT,
            uses.guarded(0, rest(names, &grant)),
        );
        let maps = format!("the VMM of {} maps its guest's RAM", domain.name);
        let maps = Want::to(Kind::PageTable, format!("pud_{}", domain.name), maps);
        wanted.slot(&vmm, caps::VMM_GUEST_VSPACE, maps);
        for number in 1..=usize::from(domain.vcpus) {
            let reply = format!("reply_zazen_{}_{number}", domain.name);
            wanted.object(Kind::Reply, &reply, Thing::default());
            let why = format!("a further reply object of the VMM of {}", domain.name);
            let want = Want::to(Kind::Reply, reply, why);
            wanted.slot(&vmm, caps::vmm_reply(number), want);
        }
    }
    times(system, wanted);
}

/// What the fault server binds together for those who run on their callers' time: scheduling
/// context and notification.
fn times(system: &System, wanted: &mut Wanted) {
    let cnode = format!("cnode_{}", pd::FAULT_SERVER);
    for pd in roles::pds(system).iter().filter(|pd| pd.on_callers_time) {
        let Some((_, number)) = pd.parent else {
            continue;
        };
        let name = &pd.name;
        let why = |what: &str| format!("{what} of {name}, which runs on its callers' time");
        let time = Want::to(
            Kind::SchedContext,
            format!("sched_context_{name}"),
            why("the time"),
        );
        wanted.slot(&cnode, caps::child_time(number), time);
        let bound = Want::to(
            Kind::Notification,
            format!("ntfn_{name}"),
            why("the notification"),
        );
        // A notification to which a scheduling context is bound needs no right.
        let bound = bound.with(Rights::default(), 0);
        wanted.slot(&cnode, caps::child_notification(number), bound);
    }
}

/// Bits of the guard with which CNode `name` takes up all that is left of a pointer behind a root
/// slot.
fn rest(names: &Names<'_>, name: &str) -> u8 {
    let cnode = names.get(name);
    REST.saturating_sub(cnode.map_or(0, |cnode| cnode.size_bits))
}

/// The slot that an untyped of this name lies in.
fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(UNTYPED_PREFIX)?.get(..3)?;
    digits.parse().ok()
}
