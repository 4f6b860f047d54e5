//! Specifications that break isolation without breaking any rule about one kind of thing: what is
//! expected is compared slot by slot, so each of them is told by name. Each comes with siblings of
//! its kind.

mod common;

use authority::{Authority, Cap, Kind, Object, Rights, Time};
use common::{RW, System, described, with_field};
use untyped_plan::{Paddr, Span};

/// A free slot of every CNode, and of the page tables used here.
const FREE: u32 = 500;
const CALL: u64 = 1 << 63;
const FAULT: u64 = 1 << 62;
const SEND: Rights = Rights {
    read: false,
    write: true,
    grant: false,
    grant_reply: false,
};
const CALLER: Rights = Rights {
    grant_reply: true,
    ..SEND
};
/// Slots of a thread, by capDL's numbers.
const CSPACE: u32 = 0;
const VSPACE: u32 = 1;
const BUFFER: u32 = 4;
const HANDLER: u32 = 5;
const TIME: u32 = 6;
const TIMEOUT: u32 = 7;
const NOTIFICATION: u32 = 8;
const VCPU: u32 = 9;

/// Asserts that the rule called `rule` notices, and tells of `words`.
#[track_caller]
fn caught(rule: &str, words: &str, system: System) {
    let checks = Authority::of(system.spec).check_as(&described());
    let broken = checks.iter().filter(|check| !check.holds());
    let broken: Vec<&str> = broken.map(|check| check.name).collect();
    let check = checks.iter().find(|check| check.name == rule).unwrap();
    let told = check.breaches.iter().any(|b| b.message.contains(words));
    assert!(
        told,
        "'{rule}' says nothing of '{words}': {broken:?} {:#?}",
        check.breaches
    );
    println!("{words}: {}", broken.join(", "));
}

impl System {
    fn change(mut self, name: &str, change: impl FnOnce(&mut Object)) -> Self {
        let id = self.id(name);
        change(self.spec.edit(id).unwrap());
        self
    }

    fn send(self, holder: &str, slot: u32, object: &str, badge: u64, rights: Rights) -> Self {
        let mut cap = self.cap(object);
        cap.badge = badge;
        cap.rights = Some(rights);
        self.put(holder, slot, cap)
    }

    fn alter(self, holder: &str, slot: u32, change: impl FnOnce(&mut Cap)) -> Self {
        let mut cap = self.at(holder, slot);
        change(&mut cap);
        self.put(holder, slot, cap)
    }
}

fn of() -> System {
    System::new()
}

#[test]
fn a_thread_that_may_raise_priorities() {
    let raised = |name: &str, to| of().change(name, |tcb| tcb.max_priority = to);
    caught(
        "time",
        "tcb_linux1_0 has maximum controlled priority 254",
        raised("tcb_linux1_0", 254),
    );
    // Siblings: a VMM, a server, a guest by one.
    caught(
        "time",
        "tcb_vmm_linux2 has maximum",
        raised("tcb_vmm_linux2", 254),
    );
    caught(
        "time",
        "tcb_console has maximum",
        raised("tcb_console", 221),
    );
    caught(
        "time",
        "tcb_linux2_0 has maximum",
        raised("tcb_linux2_0", 101),
    );
}

#[test]
fn a_priority_that_nobody_expects() {
    for priority in [229, 249] {
        let both = of()
            .change("tcb_vmm_linux2", |tcb| tcb.priority = priority)
            .change("tcb_linux2_0", |tcb| tcb.priority = priority);
        caught(
            "time",
            &format!("tcb_vmm_linux2 has priority {priority}"),
            both,
        );
    }
    let at = |name: &str, to| of().change(name, |tcb| tcb.priority = to);
    caught(
        "time",
        "tcb_linux1_0 has priority 99",
        at("tcb_linux1_0", 99),
    );
    caught(
        "time",
        "tcb_fault_server has priority 101",
        at("tcb_fault_server", 101),
    );
    caught(
        "time",
        "tcb_memory_server has priority 254",
        at("tcb_memory_server", 254),
    );
    let other = of().change("tcb_vmm_linux1", |tcb| tcb.sched_domain = Some(1));
    caught("time", "tcb_vmm_linux1 is in a domain", other);
}

#[test]
fn a_call_under_the_number_of_another() {
    let numbered = |holder: &str, slot, number| {
        of().alter(holder, slot, |cap| cap.badge = cap.badge & !0x3f | number)
    };
    let of_vmm = "cnode_vmm_linux2";
    caught(
        "expected",
        "slot 75 of cnode_vmm_linux2",
        numbered(of_vmm, 75, 0),
    );
    caught(
        "expected",
        "slot 76 of cnode_vmm_linux2",
        numbered(of_vmm, 76, 0),
    );
    // Siblings: as the console, a server as a domain, the fault server as another.
    caught(
        "expected",
        "slot 76 of cnode_vmm_linux2",
        numbered(of_vmm, 76, 59),
    );
    caught(
        "expected",
        "slot 134 of cnode_console",
        numbered("cnode_console", 134, 1),
    );
    caught(
        "expected",
        "slot 133 of cnode_fault_server",
        numbered("cnode_fault_server", 133, 0),
    );
    // The right number for the wrong server.
    let server = of().send(of_vmm, 75, "ep_timer_server", CALL | 1, CALLER);
    caught("expected", "slot 75 of cnode_vmm_linux2", server);
}

#[test]
fn an_endpoint_that_nobody_expects() {
    for badge in [FAULT, 0, FAULT | 1] {
        for server in ["ep_memory_server", "ep_dt_server", "ep_timer_server"] {
            let system = of().send("cnode_vmm_linux2", FREE, server, badge, CALLER);
            let words = format!("slot 500 of cnode_vmm_linux2 is endpoint {server}");
            caught("expected", &words, system);
        }
    }
    // Siblings: the monitor as another, the fault server, its own again, in the place of one that
    // it has.
    for (object, badge) in [
        ("ep_fault_monitor", 2),
        ("ep_fault_server", FAULT),
        ("ep_vmm_linux2", 7),
    ] {
        let system = of().send("cnode_vmm_linux2", FREE, object, badge, CALLER);
        caught("expected", &format!("is endpoint {object}"), system);
    }
    let system = of().send("cnode_vmm_linux2", 2, "ep_memory_server", FAULT | 1, CALLER);
    caught("expected", "slot 2 of cnode_vmm_linux2", system);
}

#[test]
fn a_right_that_nobody_expects() {
    let grant = |cap: &mut Cap| {
        cap.rights = Some(Rights {
            grant: true,
            ..CALLER
        })
    };
    for slot in [74, 75, 76] {
        let words = format!("slot {slot} of cnode_vmm_linux2");
        caught(
            "expected",
            &words,
            of().alter("cnode_vmm_linux2", slot, grant),
        );
    }
    // Siblings: to receive, to be replied to, and fewer than it needs.
    let rights =
        |slot, rights| of().alter("cnode_vmm_linux1", slot, |cap| cap.rights = Some(rights));
    caught("expected", "slot 13 of cnode_vmm_linux1", rights(13, RW));
    caught(
        "expected",
        "slot 13 of cnode_vmm_linux1",
        rights(13, CALLER),
    );
    caught("expected", "slot 74 of cnode_vmm_linux1", rights(74, SEND));
}

#[test]
fn a_notification_under_the_number_of_another() {
    let told = |object: &str, badge| of().send("cnode_vmm_linux2", FREE, object, badge, SEND);
    for (object, badge) in [
        ("ntfn_console", 1 << 61),
        ("ntfn_console", 1),
        ("ntfn_timer_server", 1 << 61),
        ("ntfn_memory_server", 1 << 60),
        // Siblings: itself, a server without a number, a server as the console.
        ("ntfn_vmm_linux2", 1 << 2),
        ("ntfn_dt_server", 0),
        ("ntfn_fault_server", 1 << 60),
    ] {
        caught(
            "expected",
            &format!("is notification {object}"),
            told(object, badge),
        );
    }
    let all = of().alter("cnode_vmm_linux2", 13, |cap| cap.badge = u64::MAX);
    caught("expected", "slot 13 of cnode_vmm_linux2", all);
    let wakes = of().alter("irq_33_console", 0, |cap| cap.badge = 1);
    caught("expected", "slot 0 of irq_33_console", wakes);
}

#[test]
fn a_handler_that_nobody_expects() {
    let timeout = |tcb: &str, object, badge| of().send(tcb, TIMEOUT, object, badge, CALLER);
    let words = "the timeout handler of tcb_vmm_linux2 is endpoint ep_memory_server";
    caught(
        "threads",
        words,
        timeout("tcb_vmm_linux2", "ep_memory_server", CALL),
    );
    // Siblings: a guest's, a server's, one that looks like the fault handler.
    let words = "the timeout handler of tcb_linux1_0";
    caught(
        "threads",
        words,
        timeout("tcb_linux1_0", "ep_vmm_linux1", FAULT),
    );
    let words = "the timeout handler of tcb_console";
    caught(
        "threads",
        words,
        timeout("tcb_console", "ep_timer_server", CALL | 59),
    );
    let words = "the timeout handler of tcb_vmm_linux1";
    caught(
        "threads",
        words,
        timeout("tcb_vmm_linux1", "ep_fault_server", FAULT),
    );
    // And fault handlers.
    let fault = of().send("tcb_linux2_0", HANDLER, "ep_fault_server", FAULT, CALLER);
    caught("threads", "the fault handler of tcb_linux2_0", fault);
    let fault = of().alter("tcb_vmm_linux2", HANDLER, |cap| cap.badge = CALL | 1);
    caught("threads", "the fault handler of tcb_vmm_linux2", fault);
    let none = of().change("tcb_dt_server", |tcb| {
        tcb.slots.retain(|(slot, _)| *slot != HANDLER)
    });
    caught(
        "threads",
        "the fault handler of tcb_dt_server is empty",
        none,
    );
}

#[test]
fn a_device_at_the_address_of_another() {
    let at = |name: &str, to| of().change(name, |o| o.paddr = Some(Paddr(to)));
    caught(
        "board",
        "frame_mr_gicv_000000000 lies at 0x8000000",
        at("frame_mr_gicv_000000000", 0x800_0000),
    );
    caught(
        "board",
        "frame_mr_uart_000000000 lies at",
        at("frame_mr_uart_000000000", 0xa00_0000),
    );
    // Siblings: a page of a stack, a file, untyped memory, somebody's static memory, no place.
    caught(
        "board",
        "frame_console_stack_000000003",
        at("frame_console_stack_000000003", 0x900_0000),
    );
    caught(
        "board",
        "frame_mr_module_Image_000000003",
        at("frame_mr_module_Image_000000003", 0x900_0000),
    );
    let file = "frame_mr_module_initrd.cpio_000000000";
    caught(
        "board",
        "which is no RAM of the board",
        at(file, 0x800_0000),
    );
    caught(
        "board",
        "which is no RAM of the board",
        at("untyped_zazen_008_heap", 0x800_0000),
    );
    caught(
        "board",
        "which is no static memory of linux2",
        at("untyped_zazen_002_static_linux2", 0x6400_0000),
    );
    let nowhere = of().change("frame_mr_uart_000000000", |o| o.paddr = None);
    caught("board", "frame_mr_uart_000000000 lies anywhere", nowhere);
    let wide = of().change("untyped_zazen_002_static_linux2", |o| o.size_bits = 25);
    caught("board", "linux2 has 0xa000000 bytes of static memory", wide);
}

/// A piece of the heap that the specification calls shared memory, of these, against a domains file
/// that has `said`.
fn shared(name: &str, said: &[authority::Shared]) -> Vec<String> {
    let heap = "untyped_zazen_008_heap";
    let system = of().change(heap, |o| name.clone_into(&mut o.name));
    let described = authority::System {
        shared: Some(said.to_vec()),
        ..described()
    };
    let checks = Authority::of(system.spec).check_as(&described);
    let board = checks.iter().find(|check| check.name == "board").unwrap();
    let breaches = board.breaches.iter();
    breaches.map(|breach| breach.message.clone()).collect()
}

#[test]
fn shared_memory_that_the_domains_file_does_not_say() {
    let spec = of().spec;
    let heap = spec.find("untyped_zazen_008_heap");
    let heap = heap.and_then(|id| spec.get(id)).unwrap();
    let said = |id: &str, domains: &[&str]| authority::Shared {
        id: id.to_owned(),
        domains: domains.iter().map(|name| (*name).to_owned()).collect(),
        span: heap.span(),
        bytes: heap.bytes(),
    };
    let both = "untyped_zazen_008_shared_linux1/linux2:frames";
    let good = said("frames", &["linux1", "linux2"]);
    assert_eq!(shared(both, std::slice::from_ref(&good)), [""; 0]);
    // Nobody said it; somebody else is to have it; it is another one, elsewhere, or larger.
    let elsewhere = authority::Shared {
        span: Span::sized(Paddr(0x7000_0000), heap.bytes()),
        ..good.clone()
    };
    let larger = authority::Shared {
        bytes: 2 * heap.bytes(),
        ..good.clone()
    };
    for said in [
        vec![],
        vec![said("frames", &["linux1"])],
        vec![said("other", &["linux1", "linux2"])],
        vec![elsewhere],
        vec![larger],
    ] {
        let found = shared(both, &said).concat();
        assert!(
            found.contains("shared memory frames of linux1, linux2"),
            "{said:?}: {found}"
        );
    }
    let found = shared("untyped_zazen_008_heap", &[good]).concat();
    assert!(
        found.contains("there is no shared memory 'frames'"),
        "{found}"
    );
    // Of somebody who is no domain.
    let strange = "untyped_zazen_008_shared_linux1/linux3:frames";
    let found = shared(strange, &[said("frames", &["linux1", "linux3"])]).concat();
    assert!(found.contains("is for nobody"), "{found}");
}

#[test]
fn a_program_that_can_be_written_elsewhere() {
    let page = |system: System, table: &str, frame: &str, rights, executable| {
        let mut cap = system.cap(frame);
        cap.rights = Some(rights);
        cap.executable = executable;
        system.put(table, FREE, cap)
    };
    let console = "pt_console_vaddr_0x10000000";
    let text = "frame_elf_console_000000008";
    let words = "console can write and execute 'program of console'";
    caught(
        "write-or-execute",
        words,
        page(of(), console, text, RW, false),
    );
    // Siblings: the stack to execute, another's program, and one's own again without a right to
    // write.
    let stack = "frame_console_stack_000000001";
    let words = "console can write and execute 'stack of console'";
    let read = Rights { write: false, ..RW };
    caught(
        "write-or-execute",
        words,
        page(of(), console, stack, read, true),
    );
    let words = "console can write 'program of dt_server', which dt_server executes";
    let system = of();
    let table = system.spec.get(system.id("pt_dt_server_vaddr_0x200000"));
    let page_of = table.unwrap().slots.iter().find(|(_, cap)| cap.executable);
    let other = system
        .spec
        .name(page_of.unwrap().1.object.unwrap())
        .to_owned();
    caught(
        "write-or-execute",
        words,
        page(of(), console, &other, RW, false),
    );
    caught(
        "mappings",
        "pages of the program of console are mapped for it",
        page(of(), console, text, read, false),
    );
    // Another page of a program that can be written.
    let torn = of().alter("pt_console_vaddr_0x200000", 2, |cap| cap.rights = Some(RW));
    caught("mappings", "the program of console is torn", torn);
    let moved = of().alter("pt_console_vaddr_0x200000", 8, |cap| {
        cap.object = of().at("pt_console_vaddr_0x200000", 9).object;
    });
    caught(
        "mappings",
        "the program of console is torn at 0x208000",
        moved,
    );
}

#[test]
fn an_interrupt_of_another_number() {
    let irqs = |numbers: [u64; 2]| {
        let mut system = of();
        for (index, number) in (0..).zip(numbers) {
            system.spec.set_irq(index, number);
        }
        system
    };
    assert_eq!(
        of().spec.irqs().iter().map(|irq| irq.0).collect::<Vec<_>>(),
        [30, 33]
    );
    caught(
        "board",
        "irq_30_timer_server is interrupt 27; expected is 30",
        irqs([27, 27]),
    );
    // Siblings: swapped, the maintenance interrupt, another device's, one twice.
    caught("board", "irq_33_console is interrupt 30", irqs([33, 30]));
    caught(
        "board",
        "irq_30_timer_server is interrupt 25",
        irqs([25, 33]),
    );
    caught("board", "irq_33_console is interrupt 34", irqs([30, 34]));
    caught(
        "board",
        "interrupt 33 is given to irq_33_console beside another",
        irqs([33, 33]),
    );
    let edge = of().change("irq_33_console", |irq| irq.edge = true);
    caught("board", "irq_33_console is edge-triggered", edge);
}

#[test]
fn a_thread_that_is_bound_to_what_is_anothers() {
    let bound = |tcb: &str, slot, object: &str| of().put(tcb, slot, of().cap(object));
    let vmm = "tcb_vmm_linux2";
    caught(
        "threads",
        "the notification of tcb_vmm_linux2",
        bound(vmm, NOTIFICATION, "ntfn_vmm_linux1"),
    );
    caught(
        "threads",
        "the scheduling context of tcb_vmm_linux2",
        bound(vmm, TIME, "sched_context_timer_server"),
    );
    caught(
        "threads",
        "the vCPU of tcb_linux2_0",
        bound("tcb_linux2_0", VCPU, "vcpu_linux1_0"),
    );
    // Siblings of each.
    caught(
        "threads",
        "the notification of tcb_linux2_0",
        bound("tcb_linux2_0", NOTIFICATION, "ntfn_vmm_linux2"),
    );
    caught(
        "threads",
        "the notification of tcb_console",
        bound("tcb_console", NOTIFICATION, "ntfn_timer_server"),
    );
    caught(
        "threads",
        "the notification of tcb_monitor",
        bound("tcb_monitor", NOTIFICATION, "ntfn_console"),
    );
    caught(
        "threads",
        "the scheduling context of tcb_linux2_0",
        bound("tcb_linux2_0", TIME, "sched_context_vmm_linux2"),
    );
    caught(
        "threads",
        "the scheduling context of tcb_console",
        bound("tcb_console", TIME, "sched_context_monitor"),
    );
    let none = of().change(vmm, |tcb| tcb.slots.retain(|(slot, _)| *slot != TIME));
    caught(
        "threads",
        "the scheduling context of tcb_vmm_linux2 is empty",
        none,
    );
    caught(
        "threads",
        "the vCPU of tcb_vmm_linux2",
        bound(vmm, VCPU, "vcpu_linux2_0"),
    );
    caught(
        "threads",
        "the vCPU of tcb_linux1_0",
        bound("tcb_linux1_0", VCPU, "vcpu_linux2_0"),
    );
    let none = of().change("tcb_linux1_0", |tcb| {
        tcb.slots.retain(|(slot, _)| *slot != VCPU)
    });
    caught("threads", "the vCPU of tcb_linux1_0 is empty", none);
    // And the other things that a thread is bound to.
    caught(
        "threads",
        "the CSpace of tcb_vmm_linux2",
        bound(vmm, CSPACE, "cnode_vmm_linux1_root"),
    );
    caught(
        "threads",
        "the address space of tcb_vmm_linux2",
        bound(vmm, VSPACE, "pud_vmm_linux1"),
    );
    caught(
        "threads",
        "the IPC buffer of tcb_vmm_linux2",
        bound(vmm, BUFFER, "frame_ipcbuf_vmm_linux1"),
    );
    caught(
        "threads",
        "slot 11 of tcb_vmm_linux2",
        bound(vmm, 11, "cnode_vmm_linux2"),
    );
}

#[test]
fn a_scheduling_context_with_other_time() {
    let time = |name: &str, budget, period, badge| {
        of().change(name, |o| {
            o.time = Some(Time {
                budget,
                period,
                badge,
            })
        })
    };
    let guest = "sched_context_linux1_0";
    caught(
        "time",
        "sched_context_linux1_0 has 1000 us in each 2000 us",
        time(guest, 1000, 2000, 0x100),
    );
    caught(
        "time",
        "sched_context_linux1_0 has 100000 us",
        time(guest, 100_000, 100_000, 0x100),
    );
    caught(
        "time",
        "sched_context_timer_server has",
        time("sched_context_timer_server", 1000, 1000, 0x100),
    );
    let none = of().change("sched_context_console", |o| o.time = None);
    caught("time", "sched_context_console has no time", none);
    // The time of another in a CNode.
    let held = of().give("cnode_vmm_linux2", FREE, "sched_context_vmm_linux2");
    caught(
        "expected",
        "is sched context sched_context_vmm_linux2",
        held,
    );
    // That of a vCPU, which nobody but the fault server has, nor twice; it cannot change the CNode.
    let vcpu = "is sched context sched_context_linux1_0";
    for cnode in ["cnode_vmm_linux1", "cnode_fault_server"] {
        let held = of().give(cnode, FREE, "sched_context_linux1_0");
        caught("expected", vcpu, held);
    }
    let twice = of().give("cnode_zazen_times", 5, "sched_context_linux1_0");
    caught("expected", vcpu, twice);
    let times = of().give("cnode_fault_server", FREE, "cnode_zazen_times");
    caught("expected", "cnode_zazen_times", times);
}

/// The scheduling contexts are those of the domains file: one that says that `linux1` has a budget
/// in each period is not that of an image without, and an image of it passes.
#[test]
fn a_budget_of_the_domains_file_is_looked_for() {
    let mut bounded = described();
    bounded.domains[0].vcpu_times = vec![topology::pd::time::Time {
        budget: 500,
        period: 2500,
    }];
    let told = |system: System| -> Vec<String> {
        let checks = Authority::of(system.spec).check_as(&bounded);
        let breaches = checks.into_iter().flat_map(|check| check.breaches);
        breaches.map(|breach| breach.message).collect()
    };
    let text = told(of()).join("\n");
    for part in [
        "sched_context_linux1_0 has 500 us in each 500 us, badge 0x100; expected is 500 us in each 2500 us, badge 0x100",
        "sched_context_vmm_linux1 has 50 us in each 50 us, badge 0x107; expected is 50 us in each 2500 us, badge 0x107",
        "sched_context_gate_linux1 has 500 us in each 500 us, badge 0x106; expected is 1250 us in each 6250 us, badge 0x106",
        "cnode_fault_server is sched context sched_context_gate_linux1; nothing is expected",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert!(!text.contains("linux2"), "{text}");

    let time = |system: System, name: &str, budget, period| {
        system.change(name, |object| {
            let badge = object.time.map_or(0, |time| time.badge);
            object.time = Some(Time {
                budget,
                period,
                badge,
            });
        })
    };
    let gate = topology::child::GATE;
    let slots = [
        topology::caps::child_time(gate),
        topology::caps::child_notification(gate),
    ];
    let image = time(of(), "sched_context_linux1_0", 500, 2500);
    let image = time(image, "sched_context_vmm_linux1", 50, 2500);
    let image = time(image, "sched_context_gate_linux1", 1250, 6250);
    let image = image.change("cnode_fault_server", |cnode| {
        let gone = |slot: u32| slots.contains(&u64::from(slot));
        cnode.slots.retain(|(slot, _)| !gone(*slot));
    });
    assert_eq!(told(image), Vec::<String>::new());
}

/// Authority that nothing uses: over what is its own anyway.
#[test]
fn authority_that_nobody_uses() {
    for object in [
        "cnode_vmm_linux1",
        "cnode_vmm_linux1_root",
        "tcb_vmm_linux1",
        "sched_context_linux1_0",
        "pt_vmm_linux1_vaddr_0x200000",
        "frame_mr_p2m_linux1_000000000",
    ] {
        let held = of().give("cnode_vmm_linux1", FREE, object);
        caught("expected", object, held);
    }
    // In the place where Microkit's benchmark configuration has it.
    let own = of().give("cnode_vmm_linux1", 6, "tcb_vmm_linux1");
    caught("expected", "slot 6 of cnode_vmm_linux1 is TCB", own);
    let root = of().give("cnode_vmm_linux1_root", 2, "cnode_vmm_linux1");
    caught("expected", "slot 2 of cnode_vmm_linux1_root is CNode", root);
}

#[test]
fn a_guard_that_nobody_expects() {
    let guard = |holder: &str, slot, to| of().alter(holder, slot, |cap| cap.guard = to);
    caught(
        "threads",
        "the CSpace of tcb_linux1_0",
        guard("tcb_linux1_0", CSPACE, 1),
    );
    caught(
        "expected",
        "slot 1 of cnode_vmm_linux1_root",
        guard("cnode_vmm_linux1_root", 1, 1),
    );
    caught(
        "expected",
        "slot 458 of cnode_memory_server",
        guard("cnode_memory_server", 458, 7),
    );
    let bits = of().alter("cnode_vmm_linux1_root", 1, |cap| cap.guard_bits = 0);
    caught("expected", "slot 1 of cnode_vmm_linux1_root", bits);
    let large = of().change("cnode_zazen_grant_linux1", |cnode| cnode.size_bits = 18);
    caught("expected", "slot 1 of cnode_vmm_linux1_root", large);
    let large = of().change("cnode_vmm_linux1", |cnode| cnode.size_bits = 10);
    caught("expected", "CNode cnode_vmm_linux1 has size 2^10", large);
}

#[test]
fn page_tables_that_are_not_in_their_place() {
    let shared = of().give("pud_vmm_linux2", FREE, "pd_vmm_linux1_vaddr_0x1000000000");
    caught(
        "mappings",
        "vmm_linux2 has frame_mr_p2m_linux1_000000000",
        shared,
    );
    let twice = of().give("pud_vmm_linux2", FREE, "pd_vmm_linux2_vaddr_0x1000000000");
    caught(
        "mappings",
        "page table pd_vmm_linux2_vaddr_0x1000000000 is in 2 places",
        twice,
    );
    let large = of().give(
        "pt_vmm_linux2_vaddr_0x10000000",
        FREE,
        "frame_mr_module_Image_000000000",
    );
    caught("mappings", "the entry is one for 0x1000 bytes", large);
    let strange = of().give("pud_vmm_linux2", FREE, "ep_memory_server");
    caught("mappings", "which no page table holds", strange);
    let gone = of().change("pud_vmm_linux2", |table| {
        table.slots.retain(|(slot, _)| *slot != 64)
    });
    caught("mappings", "vmm_linux2 has nothing at 0x1000000000", gone);
}

#[test]
fn what_is_not_what_it_says() {
    let kind = of().alter("cnode_vmm_linux1", 3, |cap| cap.kind = Kind::Tcb);
    caught("expected", "the object is none of that kind", kind);
    let named = of().change("ep_vmm_linux1", |o| o.name = "ep_vmm_linux2".into());
    caught("expected", "there are two objects 'ep_vmm_linux2'", named);
    let more = of().change("reply_vmm_linux1", |o| o.name = "reply_other".into());
    caught(
        "expected",
        "reply 'reply_other' is no part of the system",
        more,
    );
    let twice = of().change("cnode_vmm_linux1", |cnode| {
        let first = cnode.slots.first().cloned();
        cnode.slots.extend(first);
    });
    caught("expected", "it is filled twice", twice);
}

/// Threads are on the cores that the domains file says.
#[test]
fn a_thread_on_another_core_is_caught() {
    let there = serde_json::json!({ "affinity": 1, "prio": 100 });
    let moved = with_field("tcb_vmm_linux2", "/Tcb/extra", there);
    let checks = moved.check_as(&described());
    let breaches = checks.into_iter().flat_map(|check| check.breaches);
    let told: Vec<String> = breaches.map(|breach| breach.message).collect();
    assert_eq!(told, ["tcb_vmm_linux2 is on CPU 1; expected is 0"]);
}
