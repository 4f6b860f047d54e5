//! What the image builder adds to Microkit's specification (`pd/image/src/extend.rs`): untyped
//! memory and grant CNodes.

use std::collections::BTreeMap;

use topology::caps::{NODE_BITS, VCPU_TIMES_BITS};
use topology::{caps, cores, pd};

use super::wanted::{Place, Thing, Want, Wanted};
use super::{Domain, Names, System, roles};
use crate::run_time::{GRANT_PREFIX, node};
use crate::spec::{Kind, Rights};

/// The memory server's CNode for all it makes.
const OWN: &str = "cnode_zazen_own";
/// Its first node, in which its memory lies.
const OWN_FIRST: &str = "cnode_zazen_node_000_own";
/// The CNode with the scheduling contexts of vCPUs.
const TIMES: &str = "cnode_zazen_times";
/// What the names of its untypeds start with; the slot's number in three digits follows.
pub(crate) const UNTYPED_PREFIX: &str = "untyped_zazen_";
/// The wiper's CNode for what the memory server gives it.
pub(crate) const WIPER_CNODE: &str = "cnode_zazen_wiper";
/// What the names of pages start with that VMMs have together (`pd/image/src/common.rs`).
const VMM_PROGRAM: &str = "frame_zazen_vmms";
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
        wanted.slot(OWN_FIRST, slot.into(), want);
    }
    for cnode in names.of_kind(&Kind::CNode) {
        let Some((number, of)) = node(&cnode.name) else {
            continue;
        };
        let sized = Thing {
            bits: Some(NODE_BITS),
            ..Thing::default()
        };
        wanted.object(Kind::CNode, &cnode.name, sized);
        let want = Want::to(Kind::CNode, &cnode.name, format!("a part of {of}"));
        wanted.slot(&of, number.into(), want);
    }
    if system.heap {
        wiper(&server, wanted);
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
        if system.cores > 1 {
            unloaders(domain, &vmm, wanted);
        }
    }
    times(system, wanted);
    vcpu_times(system, wanted);
    for (number, frame) in names.numbered(VMM_PROGRAM) {
        wanted.places.insert(frame.name.clone(), Place::Anywhere);
        wanted.vmm_program.insert(number, frame.name.clone());
    }
}

/// CNodes that Microkit makes are as small as the last capability that is expected in them allows.
/// Each is a thread's CSpace, or in slot 0 of one.
pub(super) fn shrink(wanted: &mut Wanted) {
    let mut last: BTreeMap<&str, u32> = BTreeMap::new();
    for (holder, slot) in wanted.slots.keys() {
        let last = last.entry(holder).or_default();
        *last = (*last).max(*slot);
    }
    let mut smaller: BTreeMap<String, u8> = BTreeMap::new();
    for (name, (kind, thing)) in &mut wanted.objects {
        if (&*kind, thing.bits) != (&Kind::CNode, Some(super::microkit::CNODE_BITS)) {
            continue;
        }
        let last = last.get(name.as_str()).copied().unwrap_or(0);
        let bits = (1..super::microkit::CNODE_BITS).find(|bits| last >> bits == 0);
        if let Some(bits) = bits {
            thing.bits = Some(bits);
            smaller.insert(name.clone(), super::microkit::CNODE_BITS - bits);
        }
    }
    for want in wanted.slots.values_mut() {
        want.guard_more(&smaller);
    }
}

/// The CNode through which the memory server, whose own is `server`, hands the wiper an untyped.
fn wiper(server: &str, wanted: &mut Wanted) {
    let sized = Thing {
        bits: Some(caps::WIPER_RADIX),
        ..Thing::default()
    };
    wanted.object(Kind::CNode, WIPER_CNODE, sized);
    let why = "the memory server gives the wiper what is to be zeroed, and takes it back";
    let gives = Want::to(Kind::CNode, WIPER_CNODE, why);
    wanted.slot(server, caps::MEM_WIPER_LEAF, gives);
    let why = "the wiper has the kernel zero what it is given";
    let uses = Want::to(Kind::CNode, WIPER_CNODE, why);
    let wiper = format!("cnode_{}", pd::WIPER);
    wanted.slot(&wiper, caps::WIPER_LEAF, uses.clone());
    wanted.slot(
        &format!("{wiper}_root"),
        caps::WIPER_ROOT,
        uses.guarded(0, REST - caps::WIPER_RADIX),
    );
}

/// The endpoint on which a VMM hears from its unloaders.
pub(super) fn unloaded(domain: &str) -> String {
    format!("ep_zazen_unload_{domain}")
}

/// What a VMM, whose CNode is `vmm`, starts the unloaders of `domain` with and hears from them by.
fn unloaders(domain: &Domain, vmm: &str, wanted: &mut Wanted) {
    let mut cores = cores::with_unloader(domain.vmm_core(), &domain.vcpu_cores).peekable();
    if cores.peek().is_none() {
        return;
    }
    let name = &domain.name;
    wanted.object(Kind::Endpoint, unloaded(name), Thing::default());
    let why = format!("the VMM of {name} hears from its unloaders");
    let read = Rights {
        read: true,
        ..Rights::default()
    };
    let hears = Want::to(Kind::Endpoint, unloaded(name), why).with(read, 0);
    wanted.slot(vmm, caps::VMM_UNLOADED, hears);
    for core in cores {
        let reply = format!("reply_zazen_{name}_{}", cores::unloader(core));
        wanted.object(Kind::Reply, &reply, Thing::default());
        let why = format!("the VMM of {name} answers its unloader on CPU {core}");
        let want = Want::to(Kind::Reply, reply, why);
        wanted.slot(vmm, caps::vmm_unload_reply(core), want);
    }
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

/// The scheduling contexts of vCPUs, in a CNode that the fault server can look through and not
/// change.
fn vcpu_times(system: &System, wanted: &mut Wanted) {
    let sized = Thing {
        bits: Some(VCPU_TIMES_BITS),
        ..Thing::default()
    };
    wanted.object(Kind::CNode, TIMES, sized);
    let looks = Want::to(Kind::CNode, TIMES, "the times of vCPUs");
    wanted.slot(
        &format!("cnode_{}_root", pd::FAULT_SERVER),
        caps::VCPU_TIMES_ROOT,
        looks.guarded(0, REST - VCPU_TIMES_BITS),
    );
    for (index, domain) in system.domains.iter().enumerate() {
        for vcpu in 0..usize::from(domain.vcpus) {
            let why = format!("the time that vCPU {vcpu} of {} has used", domain.name);
            let context = format!("sched_context_{}_{vcpu}", domain.name);
            let want = Want::to(Kind::SchedContext, context, why);
            wanted.slot(TIMES, caps::vcpu_time(index, vcpu).into(), want);
        }
    }
}

/// Bits of the guard with which CNode `name`, with its nodes, takes up all that is left of a
/// pointer behind a root slot.
fn rest(names: &Names<'_>, name: &str) -> u8 {
    let cnode = names.get(name);
    REST.saturating_sub(cnode.map_or(0, |cnode| cnode.size_bits + NODE_BITS))
}

/// The slot that an untyped of this name lies in.
fn number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(UNTYPED_PREFIX)?.get(..3)?;
    digits.parse().ok()
}
