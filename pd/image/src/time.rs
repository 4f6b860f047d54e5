//! Priorities and scheduling contexts that Microkit's system description cannot express.
//!
//! The reasons are in docs/design/calls.md.

use microkit_tool::capdl::CapDLSpecContainer;
use sel4_capdl_initializer_types::{
    Cap, CapSlot, CapTableEntry, Object, ObjectId, Rights, Word, cap, object,
};
use topology::pd::priority;
use topology::pd::time::Time;
use topology::shape::{Counter, Shape};
use topology::table;
use topology::{caps, cores, pd};

use crate::Error;
use crate::extend::{add, find, insert_leaf, insert_root};
use crate::layout::Layout;
use crate::needs::Needs;

/// No right at all: a notification to which a scheduling context is bound needs none.
const NONE: Rights = Rights {
    read: false,
    write: false,
    grant: false,
    grant_reply: false,
};

/// Sets priorities and the time of vCPUs, and gives VMMs, gates and passive servers to the fault
/// server to be made passive.
///
/// # Errors
/// An object that Microkit's specification should have and has not.
pub(crate) fn arrange(
    container: &mut CapDLSpecContainer,
    layout: &Layout,
    needs: &Needs,
    several_cores: bool,
) -> Result<(), Error> {
    share_priority(container);
    for domain in &needs.domains {
        for (vcpu, time) in domain.vcpu_times.iter().enumerate() {
            set_time(container, &format!("{}_{vcpu}", domain.name), *time)?;
        }
    }
    for domain in &layout.domains {
        let vmm = format!("{}{}", pd::VMM_PREFIX, domain.name);
        let leaf = find(container, &format!("cnode_{vmm}"))?;
        // One for each vCPU that waits, and Microkit's to listen with.
        for number in 1..=vcpus(container, &domain.name)? {
            let name = format!("reply_zazen_{}_{number}", domain.name);
            let reply = add(container, name, Object::Reply);
            let reply = Cap::Reply(cap::Reply { object: reply });
            insert_leaf(container, leaf, caps::vmm_reply(number), reply)?;
        }
        unloaders(container, leaf, &domain.name)?;
    }
    watch(container, needs)?;
    let members = table::members(Shape {
        counter: counter(container),
        domains: layout.domains.len(),
        ..needs.shape
    });
    for member in members {
        let needs = member.domain.and_then(|index| needs.domains.get(index));
        let times = needs.map_or(&[][..], |domain| &domain.vcpu_times);
        if !member.on_callers_time(times, several_cores) {
            continue;
        }
        let domain = member.domain.and_then(|index| layout.domains.get(index));
        let name = member.name(domain.map_or("", |domain| &domain.name));
        if let Some(number) = member.child() {
            entrust(container, number, &name.to_string())?;
        }
    }
    Ok(())
}

/// How many vCPUs the virtual machine `name` has.
fn vcpus(container: &CapDLSpecContainer, name: &str) -> Result<usize, Error> {
    find(container, &format!("tcb_{name}_0"))?;
    let there = |number: &usize| find(container, &format!("tcb_{name}_{number}")).is_ok();
    Ok((0..hv_types::MAX_VCPUS).take_while(there).count())
}

/// Has the VMM whose CNode is `leaf` hear from the unloaders of `domain` ([`topology::cores`]) on
/// an endpoint of their own, so that it can wait for one of them without taking another fault.
fn unloaders(
    container: &mut CapDLSpecContainer,
    leaf: ObjectId,
    domain: &str,
) -> Result<(), Error> {
    let mut endpoint = None;
    for core in 0..cores::MAX {
        let name = format!("{domain}_{}", cores::unloader(core));
        let Ok(thread) = find(container, &format!("tcb_{name}")) else {
            continue;
        };
        let object = match endpoint {
            Some(object) => object,
            None => {
                let name = format!("ep_zazen_unload_{domain}");
                let object = add(container, name, Object::Endpoint);
                let hears = Cap::Endpoint(cap::Endpoint {
                    object,
                    badge: Word(0),
                    rights: Rights { read: true, ..NONE },
                });
                insert_leaf(container, leaf, caps::VMM_UNLOADED, hears)?;
                *endpoint.insert(object)
            }
        };
        if let Object::Tcb(tcb) = &mut container.spec.objects[usize::from(thread)].object {
            for entry in &mut tcb.slots {
                if let Cap::Endpoint(handler) = &mut entry.cap {
                    handler.object = object;
                }
            }
        }
        let reply = add(container, format!("reply_zazen_{name}"), Object::Reply);
        let reply = Cap::Reply(cap::Reply { object: reply });
        insert_leaf(container, leaf, caps::vmm_unload_reply(core), reply)?;
        set_time(container, &name, topology::share::UNLOADER)?;
    }
    Ok(())
}

/// Gives the scheduling context of thread `name` this time: Microkit's system description has one
/// for all vCPUs of a virtual machine.
fn set_time(container: &mut CapDLSpecContainer, name: &str, time: Time) -> Result<(), Error> {
    let id = find(container, &format!("sched_context_{name}"))?;
    if let Object::SchedContext(context) = &mut container.spec.objects[usize::from(id)].object {
        context.extra.budget = time.budget;
        context.extra.period = time.period;
    }
    Ok(())
}

/// Gives the fault server the scheduling contexts of all vCPUs, which it asks for the time that
/// they have used. They are many, so they have a CNode of their own.
fn watch(container: &mut CapDLSpecContainer, needs: &Needs) -> Result<(), Error> {
    let root = find(container, &format!("cnode_{}_root", pd::FAULT_SERVER))?;
    let mut slots = Vec::new();
    for (index, domain) in needs.domains.iter().enumerate() {
        for vcpu in 0..domain.vcpu_times.len() {
            let object = find(container, &format!("sched_context_{}_{vcpu}", domain.name))?;
            slots.push(CapTableEntry {
                slot: CapSlot(caps::vcpu_time(index, vcpu)),
                cap: Cap::SchedContext(cap::SchedContext { object }),
            });
        }
    }
    let bits = caps::VCPU_TIMES_BITS;
    let times = Object::CNode(object::CNode {
        size_bits: bits,
        slots,
    });
    let times = add(container, "cnode_zazen_times".into(), times);
    insert_root(container, root, caps::VCPU_TIMES_ROOT, times, bits)
}

/// How the system's protection domains tell the time.
fn counter(container: &CapDLSpecContainer) -> Counter {
    match find(container, &format!("tcb_{}_0", pd::CLOCK_VM)) {
        Ok(_) => Counter::Told,
        Err(_) => Counter::Readable,
    }
}

/// Gives the fault server what it binds together for child `number`: its scheduling context and its
/// notification.
fn entrust(container: &mut CapDLSpecContainer, number: usize, name: &str) -> Result<(), Error> {
    let holder = find(container, &format!("cnode_{}", pd::FAULT_SERVER))?;
    let time = find(container, &format!("sched_context_{name}"))?;
    let time = Cap::SchedContext(cap::SchedContext { object: time });
    insert_leaf(container, holder, caps::child_time(number), time)?;
    let notification = Cap::Notification(cap::Notification {
        object: find(container, &format!("ntfn_{name}"))?,
        badge: Word(0),
        rights: NONE,
    });
    insert_leaf(
        container,
        holder,
        caps::child_notification(number),
        notification,
    )
}

/// Gives all PDs except the pulse and Microkit's monitor the same priority, and takes every right
/// to set priorities away. Where the timer server tells the time by a virtual machine, both have to
/// run before anybody asks for it.
///
/// With a maximum controlled priority above 0 a VMM could set its guest's priority to what it is,
/// for which the kernel puts the thread before all others of that priority.
fn share_priority(container: &mut CapDLSpecContainer) {
    let mut above = vec![format!("tcb_{}", pd::MICROKIT_MONITOR)];
    for member in table::members(Shape::full(counter(container), 0)) {
        if member.pd.in_image != priority::SHARED {
            above.push(format!("tcb_{}", member.pd.name));
        }
        let vm = member.pd.vm.filter(|vm| vm.priority != priority::SHARED);
        above.extend(vm.and_then(|vm| Some(format!("tcb_{}_0", vm.name?))));
    }
    for named in &mut container.spec.objects {
        let Object::Tcb(object::Tcb { extra, .. }) = &mut named.object else {
            continue;
        };
        extra.max_prio = 0;
        if !named.name.as_ref().is_some_and(|name| above.contains(name)) {
            extra.prio = extra.prio.min(priority::SHARED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::DomainLayout;
    use crate::needs::DomainNeeds;
    use topology::pd::time::VCPU;
    use topology::{child, console_client};

    fn thread(prio: u8) -> Object<microkit_tool::capdl::FrameFill> {
        Object::Tcb(object::Tcb {
            slots: vec![],
            extra: Box::new(object::TcbExtraInfo {
                ipc_buffer_addr: 0.into(),
                affinity: Word(0),
                prio,
                max_prio: prio,
                resume: true,
                fpu_disabled: false,
                ip: 0.into(),
                sp: 0.into(),
                gprs: Vec::new(),
                master_fault_ep: None,
                domain: None,
            }),
        })
    }

    fn system(pds: &[(&str, u8)]) -> CapDLSpecContainer {
        let mut container = CapDLSpecContainer::new();
        for (pd, prio) in pds {
            add(&mut container, format!("tcb_{pd}"), thread(*prio));
            let time = object::SchedContext {
                size_bits: 8,
                extra: object::SchedContextExtraInfo {
                    period: 500,
                    budget: 500,
                    badge: Word(0),
                },
            };
            let time = Object::SchedContext(time);
            add(&mut container, format!("sched_context_{pd}"), time);
            add(&mut container, format!("ntfn_{pd}"), Object::Notification);
            let cnode = object::CNode {
                size_bits: 9,
                slots: Vec::new(),
            };
            add(&mut container, format!("cnode_{pd}"), Object::CNode(cnode));
            let root = object::CNode {
                size_bits: 6,
                slots: Vec::new(),
            };
            let name = format!("cnode_{pd}_root");
            add(&mut container, name, Object::CNode(root));
        }
        container
    }

    fn whole() -> CapDLSpecContainer {
        system(&[
            ("fault_server", 100),
            ("memory_server", 250),
            ("dt_server", 240),
            ("timer_server", 230),
            ("console", 220),
            ("gate_a", 235),
            ("vmm_a", 100),
            ("a_0", 100),
        ])
    }

    fn layout() -> Layout {
        Layout {
            domains: vec![DomainLayout {
                name: "a".into(),
                grant_radix: 18,
                grant_nodes: vec![0],
            }],
            untypeds: Vec::new(),
            own_radix: 17,
            own_nodes: 1,
            splits: 0,
            shared: Vec::new(),
            has_wiper: false,
        }
    }

    fn needs(vcpu_times: &[Time]) -> Needs {
        let domain = DomainNeeds {
            name: "a".into(),
            vcpu_times: vcpu_times.to_vec(),
            ..DomainNeeds::default()
        };
        Needs {
            domains: vec![domain],
            ..Needs::default()
        }
    }

    fn priorities(container: &CapDLSpecContainer) -> Vec<(&str, u8, u8)> {
        let threads = container.spec.objects.iter().filter_map(|named| {
            let Object::Tcb(tcb) = &named.object else {
                return None;
            };
            let name = named.name.as_deref()?.strip_prefix("tcb_")?;
            Some((name, tcb.extra.prio, tcb.extra.max_prio))
        });
        threads.collect()
    }

    #[test]
    fn all_share_one_priority_and_nobody_sets_any() {
        let mut container = whole();
        arrange(&mut container, &layout(), &needs(&[VCPU]), false).unwrap();
        for (name, prio, max_prio) in priorities(&container) {
            assert_eq!((prio, max_prio), (100, 0), "{name}");
        }
    }

    #[test]
    fn who_tells_the_time_runs_before_all_others() {
        let mut container = whole();
        add(&mut container, "tcb_clock_0".into(), thread(225));
        arrange(&mut container, &layout(), &needs(&[VCPU]), false).unwrap();
        for (name, prio, max_prio) in priorities(&container) {
            let expected = match name {
                "timer_server" => 230,
                "clock_0" => 225,
                _ => 100,
            };
            assert_eq!((prio, max_prio), (expected, 0), "{name}");
        }
    }

    #[test]
    fn the_fault_server_alone_holds_the_time_of_passive_children() {
        let mut container = whole();
        arrange(&mut container, &layout(), &needs(&[VCPU]), false).unwrap();
        let objects = &container.spec.objects;
        let name = |id: usize| objects[id].name.clone().unwrap();
        let (mut held, mut vcpus) = (Vec::new(), Vec::new());
        for named in objects {
            for entry in named.object.slots().into_iter().flatten() {
                let what = match &entry.cap {
                    Cap::SchedContext(cap) => name(cap.object.into()),
                    Cap::Notification(cap) => {
                        assert_eq!(cap.rights, NONE);
                        name(cap.object.into())
                    }
                    _ => continue,
                };
                if named.name.as_deref() == Some("cnode_zazen_times") {
                    vcpus.push((entry.slot, what));
                    continue;
                }
                assert_eq!(named.name.as_deref(), Some("cnode_fault_server"));
                held.push((entry.slot, what));
            }
        }
        let expected = [
            (0, "vmm_a"),
            (child::GATE, "gate_a"),
            (console_client::MEMORY_SERVER, "memory_server"),
            (console_client::DT_SERVER, "dt_server"),
        ];
        let slot = |slot: u64| CapSlot(u32::try_from(slot).unwrap());
        let mut expected: Vec<_> = expected
            .into_iter()
            .flat_map(|(child, pd)| {
                [
                    (slot(caps::child_time(child)), format!("sched_context_{pd}")),
                    (slot(caps::child_notification(child)), format!("ntfn_{pd}")),
                ]
            })
            .collect();
        expected.sort_by_key(|(slot, _)| slot.0);
        held.sort_by_key(|(slot, _)| slot.0);
        assert_eq!(held, expected);
        // Its times it looks through, and cannot change.
        let first = CapSlot(caps::vcpu_time(0, 0));
        assert_eq!(vcpus, [(first, "sched_context_a_0".to_owned())]);
        let times = find(&container, "cnode_zazen_times").unwrap();
        let holders = objects.iter().filter(|named| {
            let slots = named.object.slots().unwrap_or_default();
            slots.iter().any(|entry| entry.cap.obj() == times)
        });
        let holders: Vec<_> = holders.map(|named| named.name.as_deref()).collect();
        assert_eq!(holders, [Some("cnode_fault_server_root")]);
    }

    #[test]
    fn a_vmm_has_a_reply_object_more_than_its_guest_vcpus() {
        let mut container = whole();
        add(&mut container, "tcb_a_1".into(), thread(100));
        add(&mut container, "tcb_a_2".into(), thread(100));
        arrange(&mut container, &layout(), &needs(&[VCPU]), false).unwrap();
        let leaf = find(&container, "cnode_vmm_a").unwrap();
        let slots = container.spec.objects[usize::from(leaf)].object.slots();
        let slots = slots.unwrap();
        let found = slots.iter().map(|entry| u64::from(entry.slot.0));
        assert!(found.eq([1, 2, 3].map(caps::vmm_reply)));
        let reply = |entry: &_| matches!(entry, Cap::Reply(_));
        assert!(slots.iter().all(|entry| reply(&entry.cap)));
    }

    #[test]
    fn each_vcpu_has_its_own_time_and_a_bounded_domains_gate_keeps_its() {
        let mut container = whole();
        let time = object::SchedContext {
            size_bits: 8,
            extra: object::SchedContextExtraInfo {
                period: 500,
                budget: 500,
                badge: Word(0),
            },
        };
        let second = Object::SchedContext(time);
        add(&mut container, "sched_context_a_1".into(), second);
        let times = [(500, 2500), (300, 3000)].map(|(budget, period)| Time { budget, period });
        arrange(&mut container, &layout(), &needs(&times), false).unwrap();
        for (vcpu, time) in times.iter().enumerate() {
            let id = find(&container, &format!("sched_context_a_{vcpu}")).unwrap();
            let Object::SchedContext(found) = &container.spec.objects[usize::from(id)].object
            else {
                panic!("a scheduling context");
            };
            let found = (found.extra.budget, found.extra.period);
            assert_eq!(found, (time.budget, time.period));
        }
        let holder = find(&container, "cnode_fault_server").unwrap();
        let slots = container.spec.objects[usize::from(holder)].object.slots();
        let slot = |slot: u64| CapSlot(u32::try_from(slot).unwrap());
        let has = |child| {
            let mut all = slots.unwrap().iter();
            all.any(|entry| entry.slot == slot(caps::child_time(child)))
        };
        assert!(has(0) && !has(child::GATE));
    }

    #[test]
    fn on_several_cores_unloaders_are_heard_apart_and_vmms_keep_their_time() {
        let mut container = system(&[
            ("fault_server", 100),
            ("memory_server", 250),
            ("dt_server", 240),
            ("gate_a", 235),
            ("vmm_a", 100),
            ("a_0", 100),
            ("a_10", 100),
        ]);
        let input = add(&mut container, "ep_vmm_a".into(), Object::Endpoint);
        for name in ["tcb_a_0", "tcb_a_10"] {
            let id = find(&container, name).unwrap();
            if let Object::Tcb(tcb) = &mut container.spec.objects[usize::from(id)].object {
                let handler = cap::Endpoint {
                    object: input,
                    badge: Word(7),
                    rights: NONE,
                };
                let slot = CapSlot(5);
                let cap = Cap::Endpoint(handler);
                tcb.slots.push(CapTableEntry { slot, cap });
            }
        }
        arrange(&mut container, &layout(), &needs(&[VCPU]), true).unwrap();
        let apart = find(&container, "ep_zazen_unload_a").unwrap();
        let slots = |name: &str| {
            let id = find(&container, name).unwrap();
            let all = container.spec.objects[usize::from(id)].object.slots();
            all.unwrap_or_default()
        };
        let handler = |name: &str| slots(name).iter().map(|entry| entry.cap.obj()).last();
        assert_eq!(handler("tcb_a_0"), Some(input));
        assert_eq!(handler("tcb_a_10"), Some(apart));
        let has = |name: &str, slot: u64| {
            let slot = CapSlot(u32::try_from(slot).unwrap());
            slots(name).iter().any(|entry| entry.slot == slot)
        };
        assert!(has("cnode_vmm_a", caps::VMM_UNLOADED));
        assert!(has("cnode_vmm_a", caps::vmm_unload_reply(2)));
        assert!(!has("cnode_vmm_a", caps::vmm_unload_reply(1)));
        let passive = |child| has("cnode_fault_server", caps::child_time(child));
        assert!(!passive(0) && !passive(child::GATE));
        assert!(passive(console_client::MEMORY_SERVER) && passive(console_client::DT_SERVER));
    }

    #[test]
    fn a_system_without_gates_is_refused() {
        let mut container = system(&[
            ("fault_server", 100),
            ("memory_server", 250),
            ("dt_server", 240),
            ("vmm_a", 100),
            ("a_0", 100),
        ]);
        let error = arrange(&mut container, &layout(), &needs(&[VCPU]), false).unwrap_err();
        assert!(error.to_string().contains("gate_a"), "{error}");
    }
}
