//! What Microkit's library makes of a system description (Microkit 2.3.0,
//! `tool/microkit/src/capdl/builder.rs`), with the rights that the image builder leaves
//! (`pd/image/src/narrow.rs`).

use std::collections::BTreeMap;

use topology::channel;
use topology::cores;
use topology::pd::time::Time as Slice;

use super::roles::{self, Map, Pd, Vcpu, Vm, Way};
use super::wanted::{Page, Place, Thing, Want, Wanted};
use super::{Names, System, zazen};
use crate::spec::{Kind, Object, Rights, Time};
use crate::subject::slot;

/// Name of Microkit's monitor, which starts all others and hears of the faults of those who have no
/// parent.
const MONITOR: &str = "monitor";
/// Its endpoint.
const MONITOR_ENDPOINT: &str = "ep_fault_monitor";
/// Its priority.
const MONITOR_PRIORITY: u8 = 255;
/// Bytes of its stack.
const MONITOR_STACK: u64 = 0x1000;

/// Its time.
const MONITOR_TIME: Slice = Slice {
    budget: 1000,
    period: 1000,
};

/// Slots of the monitor's CNode; those of protection domain, or vCPU, `i` are `i` further.
mod monitor {
    pub(super) const ENDPOINT: u64 = 1;
    pub(super) const REPLY: u64 = 2;
    pub(super) const TCB: u64 = 10;
    pub(super) const VM_TCB: u64 = TCB + 64;
}

/// Slots of a protection domain's CNode; those of channel, or vCPU, `i` are `i` further.
const INPUT: u64 = 1;
const FAULT: u64 = 2;
const VSPACE: u64 = 3;
pub(super) const REPLY: u32 = 4;
/// In the benchmark configuration.
pub(super) const OWN_TCB: u32 = 6;
const NOTIFY: u64 = 10;
const CALL: u64 = NOTIFY + 64;
const IRQ: u64 = CALL + 64;
const VM_TCB: u64 = IRQ + 128;
const VCPU: u64 = VM_TCB + 64;

/// log2 of the slots of a protection domain's CNode, before it is made smaller, and of its root
/// CNode.
pub(super) const CNODE_BITS: u8 = 9;
const ROOT_BITS: u8 = 6;
/// log2 of the bytes of a scheduling context.
const SCHED_CONTEXT_BITS: u8 = 8;
/// Bits of a capability pointer.
const WORD: u8 = 64;
const PAGE: u64 = 0x1000;
/// Top of a protection domain's address space, where its IPC buffer is, and the stack below it.
const TOP: u64 = 1 << 40;
/// Badge of the first protection domain's scheduling context, and of each virtual machine's.
const TIME_BADGE: u64 = 0x100;
/// Bits in badges: of a call, and of a fault.
const CALL_BADGE: u64 = 1 << 63;
const FAULT_BADGE: u64 = 1 << 62;
/// Guard of a vCPU's CSpace (`pd/image/src/extend.rs`): no pointer of a guest matches it.
const VCPU_GUARD: u64 = 0x2a_aaaa_aaaa_aaab;

const NONE: Rights = Rights {
    read: false,
    write: false,
    grant: false,
    grant_reply: false,
};
const RW: Rights = Rights {
    read: true,
    write: true,
    ..NONE
};
/// The owner of an endpoint.
const OWNER: Rights = Rights { grant: true, ..RW };
/// A caller, and a thread whose faults are reported.
const CALLER: Rights = Rights {
    write: true,
    grant_reply: true,
    ..NONE
};
const NOTIFIER: Rights = Rights {
    write: true,
    ..NONE
};

/// Adds everything that Microkit makes.
pub(super) fn add(system: &System, names: &Names<'_>, wanted: &mut Wanted) {
    let pds = roles::pds(system);
    let links = roles::links(system);
    monitor(names, wanted);
    let mut vms = 0;
    for (index, pd) in (0..).zip(&pds) {
        let called = links.iter().any(|l| l.way == Way::Call && l.to == pd.name);
        let parent = pds
            .iter()
            .any(|child| child.parent.is_some_and(|(name, _)| name == pd.name));
        let endpoint = called || parent || pd.vm.is_some();
        protection_domain(system, names, wanted, pd, index, endpoint);
        if let Some(vm) = &pd.vm {
            virtual_machine(names, wanted, &pd.name, vm, vms);
            vms += vm.vcpus.len() as u64;
        }
    }
    for link in &links {
        let (cnode, to) = (format!("cnode_{}", link.from), &link.to);
        let (channel, number) = (link.channel as u64, link.number as u64);
        match link.way {
            Way::Call => {
                let why = format!("{} calls {to} as number {number}", link.from);
                let want = Want::to(Kind::Endpoint, format!("ep_{to}"), why);
                wanted.slot(
                    &cnode,
                    CALL + channel,
                    want.with(CALLER, CALL_BADGE | number),
                );
            }
            Way::Notify => {
                let why = format!("{} notifies {to} as number {number}", link.from);
                let want = Want::to(Kind::Notification, format!("ntfn_{to}"), why);
                let badge = 1u64.checked_shl(u32::try_from(number).unwrap_or(u32::MAX));
                let badge = badge.unwrap_or(0);
                wanted.slot(&cnode, NOTIFY + channel, want.with(NOTIFIER, badge));
            }
        }
    }
    regions(system, names, wanted);
}

fn plain() -> Thing {
    Thing::default()
}

fn sized(bits: u8) -> Thing {
    Thing {
        bits: Some(bits),
        ..plain()
    }
}

/// A thread with what everybody has: address space, IPC buffer, scheduling context. `who` is its
/// protection domain or guest.
fn thread(
    wanted: &mut Wanted,
    who: &str,
    name: &str,
    (priority, core): (u8, u8),
    time: Slice,
    badge: u64,
) {
    let tcb = format!("tcb_{name}");
    let (priority, core) = (Some(priority), Some(core.into()));
    wanted.object(
        Kind::Tcb,
        &tcb,
        Thing {
            priority,
            core,
            ..plain()
        },
    );
    let why = |what: &str| format!("{what} of {name}");
    wanted.slot(
        &tcb,
        slot::VSPACE.into(),
        Want::to(
            Kind::PageTable,
            format!("pud_{who}"),
            why("the address space"),
        ),
    );
    let buffer = Want::to(
        Kind::Frame,
        format!("frame_ipcbuf_{name}"),
        why("the IPC buffer"),
    );
    wanted.slot(&tcb, slot::IPC_BUFFER.into(), buffer.with(RW, 0).cached());
    wanted
        .places
        .insert(format!("frame_ipcbuf_{name}"), Place::Anywhere);
    let context = format!("sched_context_{name}");
    let Slice { budget, period } = time;
    let time = Some(Time {
        budget,
        period,
        badge,
    });
    let bits = Some(SCHED_CONTEXT_BITS);
    wanted.object(
        Kind::SchedContext,
        &context,
        Thing {
            time,
            bits,
            ..plain()
        },
    );
    let want = Want::to(Kind::SchedContext, context, why("the time"));
    wanted.slot(&tcb, slot::SCHED_CONTEXT.into(), want);
}

/// IPC buffer, stack and program of a protection domain.
fn memory(names: &Names<'_>, wanted: &mut Wanted, name: &str, stack: u64) {
    let buffer = TOP - PAGE;
    page(wanted, name, buffer, format!("frame_ipcbuf_{name}"));
    // A page that is not mapped lies between the two.
    let bottom = buffer.saturating_sub(PAGE).saturating_sub(stack);
    for number in 0..stack / PAGE {
        let frame = match name {
            MONITOR => format!("frame_{name}_stack"),
            _ => format!("frame_{name}_stack_{number:09}"),
        };
        page(wanted, name, bottom.saturating_add(number * PAGE), frame);
    }
    let program = names.numbered(&format!("frame_elf_{name}")).into_iter();
    let program: BTreeMap<usize, String> = program
        .map(|(number, frame)| (number, frame.name.clone()))
        .collect();
    for frame in program.values() {
        wanted.places.insert(frame.clone(), Place::Anywhere);
    }
    wanted.programs.insert(name.to_owned(), program);
}

fn page(wanted: &mut Wanted, name: &str, vaddr: u64, frame: String) {
    wanted.places.insert(frame.clone(), Place::Anywhere);
    let page = Page {
        frame,
        rights: RW,
        executable: false,
        cached: true,
    };
    wanted.page(name, vaddr, page);
}

fn monitor(names: &Names<'_>, wanted: &mut Wanted) {
    let cnode = format!("cnode_{MONITOR}");
    wanted.object(Kind::CNode, &cnode, sized(CNODE_BITS));
    wanted.object(Kind::Endpoint, MONITOR_ENDPOINT, plain());
    wanted.object(Kind::Reply, format!("reply_{MONITOR}"), plain());
    let priority = (MONITOR_PRIORITY, cores::SERVERS);
    thread(wanted, MONITOR, MONITOR, priority, MONITOR_TIME, 0);
    let root = Want::to(Kind::CNode, &cnode, "the monitor's CSpace");
    let root = root.guarded(0, WORD - CNODE_BITS);
    wanted.slot(&format!("tcb_{MONITOR}"), slot::CSPACE.into(), root);
    let own = Want::to(
        Kind::Endpoint,
        MONITOR_ENDPOINT,
        "the monitor hears of faults",
    );
    wanted.slot(&cnode, monitor::ENDPOINT, own.with(OWNER, 0));
    let reply = Want::to(
        Kind::Reply,
        format!("reply_{MONITOR}"),
        "the monitor's replies",
    );
    wanted.slot(&cnode, monitor::REPLY, reply);
    memory(names, wanted, MONITOR, MONITOR_STACK);
}

fn protection_domain(
    system: &System,
    names: &Names<'_>,
    wanted: &mut Wanted,
    pd: &Pd,
    index: u64,
    endpoint: bool,
) {
    let name = &pd.name;
    let (cnode, root) = (format!("cnode_{name}"), format!("cnode_{name}_root"));
    let (tcb, reply) = (format!("tcb_{name}"), format!("reply_{name}"));
    let (ep, ntfn) = (format!("ep_{name}"), format!("ntfn_{name}"));
    let why = |what: &str| format!("{what} of {name}");
    let priority = (pd.priority, pd.core);
    thread(wanted, name, name, priority, pd.time, TIME_BADGE + index);
    memory(names, wanted, name, pd.stack);
    maps(names, wanted, name, &pd.maps);

    wanted.object(Kind::CNode, &cnode, sized(CNODE_BITS));
    wanted.object(Kind::CNode, &root, sized(ROOT_BITS));
    wanted.object(Kind::Notification, &ntfn, plain());
    wanted.object(Kind::Reply, &reply, plain());
    let want = Want::to(Kind::CNode, &root, why("the CSpace"));
    wanted.slot(&tcb, slot::CSPACE.into(), want);
    let leaf = Want::to(Kind::CNode, &cnode, why("the CNode"));
    wanted.slot(&root, 0, leaf.guarded(0, WORD - CNODE_BITS - ROOT_BITS));
    let bound = Want::to(Kind::Notification, &ntfn, why("the notification")).with(RW, 0);
    wanted.slot(&tcb, slot::NOTIFICATION.into(), bound.clone());
    let input = match endpoint {
        true => {
            wanted.object(Kind::Endpoint, &ep, plain());
            Want::to(Kind::Endpoint, &ep, why("the endpoint")).with(OWNER, 0)
        }
        false => bound.clone(),
    };
    wanted.slot(&cnode, INPUT, input);
    let vspace = Want::to(
        Kind::PageTable,
        format!("pud_{name}"),
        why("the address space"),
    );
    wanted.slot(&cnode, VSPACE, vspace);
    wanted.slot(
        &cnode,
        REPLY.into(),
        Want::to(Kind::Reply, reply, why("the replies")),
    );

    let fault = match pd.parent {
        Some((parent, number)) => Want::to(
            Kind::Endpoint,
            format!("ep_{parent}"),
            format!("faults of {name} are reported to {parent} as number {number}"),
        )
        .with(CALLER, FAULT_BADGE | number as u64),
        None => Want::to(
            Kind::Endpoint,
            MONITOR_ENDPOINT,
            format!("faults of {name} are reported to the monitor"),
        )
        .with(CALLER, index + 1),
    };
    wanted.slot(&cnode, FAULT, fault.clone());
    wanted.slot(&tcb, slot::FAULT.into(), fault);

    let monitor = format!("cnode_{MONITOR}");
    let thread = || Want::to(Kind::Tcb, &tcb, why("the thread"));
    wanted.slot(&monitor, monitor::TCB + index, thread());
    if system.benchmark {
        wanted.slot(&cnode, OWN_TCB.into(), thread());
    }
    if let Some(irq) = pd.irq {
        let object = format!("irq_{irq}_{name}");
        let irq = Some(irq.into());
        wanted.object(Kind::Irq, &object, Thing { irq, ..plain() });
        let channel = channel::IRQ as u64;
        let handler = Want::to(Kind::Irq, &object, why("the interrupt"));
        wanted.slot(&cnode, IRQ + channel, handler);
        let wakes = Want::to(
            Kind::Notification,
            &ntfn,
            format!("the interrupt wakes {name}"),
        );
        let badge = 1u64.checked_shl(u32::try_from(channel).unwrap_or(u32::MAX));
        wanted.slot(&object, 0, wakes.with(NOTIFIER, badge.unwrap_or(0)));
    }
}

/// The virtual machine of `keeper`; `index` counts the vCPUs of those before it.
fn virtual_machine(names: &Names<'_>, wanted: &mut Wanted, keeper: &str, vm: &Vm, index: u64) {
    maps(names, wanted, &vm.name, &vm.maps);
    for (place, vcpu) in (0..).zip(&vm.vcpus) {
        virtual_cpu(wanted, keeper, vm, vcpu, (place, index + place));
    }
}

/// A vCPU of a virtual machine: its `place`-th, and the system's `index`-th.
fn virtual_cpu(
    wanted: &mut Wanted,
    keeper: &str,
    vm: &Vm,
    vcpu: &Vcpu,
    (place, index): (u64, u64),
) {
    let Vcpu {
        number,
        core,
        time,
        unloads,
    } = *vcpu;
    let thread_name = format!("{}_{number}", vm.name);
    let (tcb, vcpu) = (format!("tcb_{thread_name}"), format!("vcpu_{thread_name}"));
    let cnode = format!("cnode_{thread_name}");
    let why = |what: &str| format!("{what} of guest {}", vm.name);
    thread(
        wanted,
        &vm.name,
        &thread_name,
        (vm.priority, core),
        time,
        TIME_BADGE + place,
    );
    wanted.object(Kind::CNode, &cnode, sized(CNODE_BITS));
    wanted.object(Kind::VCpu, &vcpu, plain());
    let cspace = Want::to(Kind::CNode, &cnode, why("the empty CSpace"));
    let cspace = cspace.guarded(VCPU_GUARD, WORD - CNODE_BITS);
    wanted.slot(&tcb, slot::CSPACE.into(), cspace);
    let cpu = Want::to(Kind::VCpu, &vcpu, why("the vCPU"));
    wanted.slot(&tcb, slot::VCPU.into(), cpu.clone());
    let faults = format!("faults of guest {} are reported to {keeper}", vm.name);
    // An unloader's are heard apart from others ([`super::zazen`]).
    let hears = match unloads {
        true => zazen::unloaded(&vm.name),
        false => format!("ep_{keeper}"),
    };
    let fault = Want::to(Kind::Endpoint, hears, faults);
    let fault = fault.with(CALLER, FAULT_BADGE | number);
    wanted.slot(&tcb, slot::FAULT.into(), fault);
    let thread = Want::to(Kind::Tcb, &tcb, why("the thread"));
    let leaf = format!("cnode_{keeper}");
    wanted.slot(&leaf, VM_TCB + number, thread.clone());
    wanted.slot(&leaf, VCPU + number, cpu);
    wanted.slot(&format!("cnode_{MONITOR}"), monitor::VM_TCB + index, thread);
}

fn maps(names: &Names<'_>, wanted: &mut Wanted, who: &str, maps: &[Map]) {
    for map in maps {
        let mut vaddr = map.vaddr;
        for frame in names.frames(&format!("frame_mr_{}", map.region)) {
            let page = Page {
                frame: frame.name.clone(),
                rights: map.rights,
                executable: map.executable,
                cached: map.cached,
            };
            wanted.page(who, vaddr, page);
            vaddr = vaddr.saturating_add(frame.bytes());
        }
    }
}

fn regions(system: &System, names: &Names<'_>, wanted: &mut Wanted) {
    for region in roles::regions(system) {
        let frames = names.frames(&format!("frame_mr_{}", region.name));
        let first = frames.first().and_then(|frame| frame.paddr);
        let mut behind: u64 = 0;
        for frame in &frames {
            let place = match region.device {
                Some(start) => Place::Device(start.saturating_add(behind)),
                None => Place::Ram { first, behind },
            };
            wanted.places.insert(frame.name.clone(), place);
            behind = behind.saturating_add(frame.bytes());
        }
        let same = |frame: &&Object| frame.size_bits != frames.first().map_or(0, |f| f.size_bits);
        let expected = match region.bytes {
            Some(bytes) if bytes != behind => format!("{bytes:#x} bytes"),
            None if behind == 0 => "at least one page".to_owned(),
            _ if frames.iter().any(same) => "pages of one size".to_owned(),
            _ => continue,
        };
        wanted.sizes.push((region.name, behind, expected));
    }
}
