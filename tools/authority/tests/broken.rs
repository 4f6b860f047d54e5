//! Systems with one thing wrong: each rule can fail, and says why.

mod common;

use authority::report::breaches;
use authority::{Authority, Cap, Kind};
use common::{RW, System, assert_committed, described, described_servers, with_field, with_name};
use serde_json::json;

/// The rules that compare with what is expected; one of them notices everything that another rule
/// does.
const LISTED: [&str; 5] = ["expected", "threads", "time", "mappings", "board"];

/// Asserts that `rule` is broken, that nothing but `also` is broken beside it, and that the message
/// is the committed one. And that what is expected, which knows nothing of those rules, is not what
/// is there.
#[track_caller]
fn broken(name: &str, rule: &str, also: &[&str], authority: &Authority) {
    broken_as(&described(), name, rule, also, authority);
}

/// The same of a system with all servers.
#[track_caller]
fn broken_servers(name: &str, rule: &str, also: &[&str], authority: &Authority) {
    broken_as(&described_servers(), name, rule, also, authority);
}

#[track_caller]
fn broken_as(
    system: &authority::System,
    name: &str,
    rule: &str,
    also: &[&str],
    authority: &Authority,
) {
    let (listed, checks): (Vec<_>, Vec<_>) = authority
        .check_as(system)
        .into_iter()
        .partition(|check| LISTED.contains(&check.name));
    assert!(
        !listed.iter().all(authority::Check::holds),
        "{rule} is broken, but all is as expected"
    );
    let broken: Vec<&str> = checks
        .iter()
        .filter(|c| !c.holds())
        .map(|c| c.name)
        .collect();
    let text = breaches(&checks);
    assert!(
        broken.contains(&rule),
        "{rule} holds; broken: {broken:?}\n{text}"
    );
    let others = broken.iter().filter(|name| **name != rule);
    let others: Vec<&str> = others.copied().collect();
    assert_eq!(others, also, "{text}");
    assert_committed(
        &format!("tools/authority/tests/snapshots/{name}.txt"),
        &text,
    );
}

fn special(kind: Kind) -> Cap {
    Cap {
        kind,
        object: None,
        rights: None,
        badge: 0,
        guard: 0,
        guard_bits: 0,
        cached: false,
        executable: false,
    }
}

/// A free slot of a VMM's CNode.
const FREE: u32 = 500;
/// A free slot of the page tables used here.
const HIGH: u32 = 400;

#[test]
fn a_vmm_with_untyped_memory() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "untyped_zazen_008_heap");
    broken("untyped", "untyped", &[], &system.authority());
}

#[test]
fn a_vmm_that_operates_on_the_memory_servers_cnode_reaches_all_in_it() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "cnode_zazen_own");
    broken(
        "untyped-by-cnode",
        "untyped",
        &["objects"],
        &system.authority(),
    );
}

#[test]
fn an_untyped_that_overlaps_another() {
    let paddr = json!(0x4400_0000u64);
    let authority = with_field("untyped_zazen_001_static_linux1", "/Untyped/paddr", paddr);
    broken("disjoint", "disjoint", &[], &authority);
}

#[test]
fn a_frame_in_untyped_memory() {
    let paddr = json!(0x4000_1000u64);
    let authority = with_field("frame_mr_gicv_000000001", "/Frame/paddr", paddr);
    broken("disjoint-frame", "disjoint", &[], &authority);
}

#[test]
fn a_vmm_that_operates_on_its_own_grant_cnode() {
    let system = System::new().give("cnode_vmm_linux1", FREE, "cnode_zazen_grant_linux1");
    broken("grants-own", "grants", &[], &system.authority());
}

#[test]
fn a_vmm_that_operates_on_anothers_grant_cnode() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "cnode_zazen_grant_linux1");
    broken("grants-other", "grants", &["objects"], &system.authority());
}

#[test]
fn a_vmm_that_operates_on_a_part_of_a_grant_cnode() {
    for (vmm, also) in [
        ("cnode_vmm_linux1", &[][..]),
        ("cnode_vmm_linux2", &["objects"]),
    ] {
        let system = System::new().give(vmm, FREE, "cnode_zazen_node_000_grant_linux1");
        let name = format!("grants-part-{}", vmm.trim_start_matches("cnode_vmm_"));
        broken(&name, "grants", also, &system.authority());
    }
}

#[test]
fn a_vmm_that_looks_through_anothers_grant_cnode() {
    let system = System::new();
    let cap = system.at("cnode_vmm_linux1_root", 1);
    let system = system.put("cnode_vmm_linux2_root", 3, cap);
    broken("grants-look", "grants", &["objects"], &system.authority());
}

#[test]
fn a_page_of_one_vmm_mapped_by_another() {
    let table = "pt_vmm_linux2_vaddr_0x1000000000";
    let system = System::new().give(table, HIGH, "frame_mr_p2m_linux1_000000000");
    broken("sharing-private", "sharing", &[], &system.authority());
}

#[test]
fn a_frame_of_one_vmm_in_the_cspace_of_another() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "frame_vmm_linux1_stack_000000003");
    broken("sharing-cap", "sharing", &[], &system.authority());
}

#[test]
fn a_file_that_one_of_its_users_can_write() {
    let system = System::new();
    let mut cap = system.cap("frame_mr_module_Image_000000002");
    cap.rights = Some(RW);
    let system = system.put("pd_vmm_linux2_vaddr_0x2000000000", 2, cap);
    broken("sharing-write", "sharing", &[], &system.authority());
}

#[test]
fn a_text_ring_that_a_third_reaches() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::new().give(table, HIGH, "frame_mr_console_linux1_000000000");
    broken("sharing-ring", "sharing", &[], &system.authority());
}

#[test]
fn a_connection_to_the_store_that_a_third_reaches() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::new().give(table, HIGH, "frame_mr_store_linux1_000000000");
    broken("sharing-store", "sharing", &[], &system.authority());
}

#[test]
fn the_console_with_a_connection_to_the_store() {
    let table = "pt_console_vaddr_0x10000000";
    let system = System::new().give(table, HIGH, "frame_mr_store_linux1_000000000");
    broken("sharing-store-console", "sharing", &[], &system.authority());
}

#[test]
fn a_vmm_that_reaches_what_the_store_remembers() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::new().give(table, HIGH, "frame_mr_store_000000000");
    broken("sharing-store-memory", "sharing", &[], &system.authority());
}

#[test]
fn a_page_that_two_guests_have() {
    let ring = "frame_mr_p2m_linux1_000000001";
    let system = System::new()
        .give("pt_linux1_vaddr_0x3002000", HIGH, ring)
        .give("pt_linux2_vaddr_0x3002000", HIGH, ring);
    broken("sharing-guests", "sharing", &[], &system.authority());
}

#[test]
fn a_vmm_with_the_thread_of_another() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "tcb_vmm_linux1");
    broken("objects-tcb", "objects", &[], &system.authority());
}

/// What Microkit gives a parent and the image builder takes away.
#[test]
fn the_fault_server_with_the_thread_of_a_vmm() {
    let system = System::new().give("cnode_fault_server", 202, "tcb_vmm_linux1");
    broken("objects-parent", "objects", &[], &system.authority());
}

#[test]
fn a_vmm_with_the_address_space_of_anothers_guest() {
    let system = System::new().give("cnode_vmm_linux2", FREE, "pud_linux1");
    broken("objects-vspace", "objects", &[], &system.authority());
}

/// The fault server alone asks how much time a vCPU has used.
#[test]
fn a_server_with_the_time_of_a_guest() {
    let system = System::new().give("cnode_console", FREE, "sched_context_linux1_0");
    broken("objects-vcpu-time", "objects", &[], &system.authority());
}

#[test]
fn a_server_with_the_time_of_another() {
    let system = System::new().give("cnode_console", FREE, "sched_context_timer_server");
    broken("objects-time", "objects", &[], &system.authority());
}

#[test]
fn a_reply_object_that_two_have() {
    let system = System::new().give("cnode_vmm_linux1", FREE, "reply_memory_server");
    broken("objects-reply", "objects", &[], &system.authority());
}

#[test]
fn the_memory_server_with_a_vmms_cnode() {
    let system = System::new().give("cnode_memory_server", FREE, "cnode_vmm_linux1");
    broken(
        "objects-cnode",
        "objects",
        &["callers", "uphill", "receive"],
        &system.authority(),
    );
}

#[test]
fn a_vmm_that_maps_the_uart() {
    let table = "pt_vmm_linux1_vaddr_0x10000000";
    let system = System::new().give(table, HIGH, "frame_mr_uart_000000000");
    broken("devices-uart", "devices", &["sharing"], &system.authority());
}

#[test]
fn memory_mapped_as_a_device() {
    let system = System::new();
    let mut cap = system.at("pt_vmm_linux1_vaddr_0x1000000000", 0);
    cap.cached = false;
    let system = system.put("pt_vmm_linux1_vaddr_0x1000000000", 0, cap);
    broken("devices-uncached", "devices", &[], &system.authority());
}

#[test]
fn a_system_without_a_uart() {
    let other = json!("frame_mr_other_000000000");
    let text = common::sample().replace("\"frame_mr_uart_000000000\"", &other.to_string());
    let authority = Authority::read(&text).unwrap();
    broken("devices-none", "devices", &[], &authority);
}

#[test]
fn a_vmm_with_an_interrupt() {
    let system = System::new().give("cnode_vmm_linux1", FREE, "irq_30_timer_server");
    broken("interrupts-vmm", "interrupts", &[], &system.authority());
}

#[test]
fn the_console_with_the_timers_interrupt_too() {
    let system = System::new().give("cnode_console", FREE, "irq_30_timer_server");
    broken("interrupts-two", "interrupts", &[], &system.authority());
}

#[test]
fn an_interrupt_that_wakes_a_vmm() {
    let system = System::new();
    let mut cap = system.cap("ntfn_vmm_linux1");
    cap.badge = 1;
    let system = system.put("irq_30_timer_server", 0, cap);
    broken("interrupts-wake", "interrupts", &[], &system.authority());
}

#[test]
fn a_vmm_that_may_call_the_secure_monitor() {
    let system = System::new().put("cnode_vmm_linux1", FREE, special(Kind::Smc));
    broken("special-smc", "special", &[], &system.authority());
}

#[test]
fn a_capability_of_a_kind_that_nothing_uses() {
    let asid = special(Kind::Other("AsidPool".into()));
    let system = System::new().put("cnode_timer_server", FREE, asid);
    broken("special-other", "special", &[], &system.authority());
}

#[test]
fn a_guest_with_a_capability() {
    let system = System::new();
    let mut cap = system.cap("ep_memory_server");
    cap.badge = 1 << 63;
    let system = system.put("cnode_linux1_0", 7, cap);
    broken(
        "guests-cap",
        "guests",
        &["callers", "receive"],
        &system.authority(),
    );
}

#[test]
fn a_vcpu_without_a_guard() {
    let authority = {
        let system = System::new();
        let mut cap = system.at("tcb_linux2_0", 0);
        cap.guard = 0;
        system.put("tcb_linux2_0", 0, cap).authority()
    };
    broken("guests-guard", "guests", &[], &authority);
}

#[test]
fn a_vmm_that_notifies_another() {
    let system = System::new();
    let mut cap = system.cap("ntfn_vmm_linux1");
    cap.badge = 1 << 9;
    cap.rights = Some(authority::Rights { read: false, ..RW });
    let system = system.put("cnode_vmm_linux2", FREE, cap);
    broken("apart", "apart", &["pairs"], &system.authority());
}

#[test]
fn a_pair_without_anything_between_it() {
    let system = authority::System {
        meets: topology::meets::Meets::NONE.with(0, 1),
        heap: false,
        ..described()
    };
    let authority = System::new().authority();
    broken_as(&system, "pairs-missing", "pairs", &[], &authority);
}

#[test]
fn a_page_between_two_that_do_not_meet() {
    let name = "frame_mr_events_linux1:linux2_000000000";
    let authority = with_name("frame_mr_store_linux1_000000000", name);
    broken("pairs", "pairs", &["sharing"], &authority);
}

#[test]
fn a_call_to_a_lower_priority() {
    let authority = with_field("tcb_timer_server", "/Tcb/extra/prio", json!(99));
    broken("uphill", "uphill", &[], &authority);
}

#[test]
fn a_guest_above_its_vmm() {
    let authority = with_field("tcb_linux1_0", "/Tcb/extra/prio", json!(151));
    broken("uphill-guest", "uphill", &[], &authority);
}

#[test]
fn a_client_that_can_take_the_calls_of_others() {
    let system = System::new();
    let mut cap = system.at("cnode_vmm_linux1", 74);
    cap.rights = Some(RW);
    let system = system.put("cnode_vmm_linux1", 74, cap);
    broken("receive", "receive", &[], &system.authority());
}

/// A page of constants that VMMs have together.
const CONSTANTS: &str = "frame_zazen_vmms_000000000";

#[test]
fn a_vmm_that_can_write_what_all_vmms_have() {
    // As it is mapped already, and the right to write.
    let table = "pt_vmm_linux2_vaddr_0x200000";
    let system = System::new();
    let mut cap = system.at(table, 0);
    assert_eq!(cap.object, Some(system.id(CONSTANTS)));
    cap.rights = Some(RW);
    let system = system.put(table, 0, cap);
    broken(
        "sharing-program-written",
        "sharing",
        &[],
        &system.authority(),
    );
}

#[test]
fn a_server_with_a_page_that_all_vmms_have() {
    let system = System::new();
    let cap = system.at("pt_vmm_linux2_vaddr_0x200000", 0);
    let system = system.put("pt_console_vaddr_0x10000000", HIGH, cap);
    broken(
        "sharing-program-server",
        "sharing",
        &[],
        &system.authority(),
    );
}

#[test]
fn a_vmm_with_a_capability_to_a_page_that_all_vmms_have() {
    let system = System::new();
    let cap = system.at("pt_vmm_linux2_vaddr_0x200000", 0);
    let system = system.put("cnode_vmm_linux2", FREE, cap);
    broken("sharing-program-held", "sharing", &[], &system.authority());
}

#[test]
fn a_vmm_that_executes_constants_that_all_vmms_have() {
    let table = "pt_vmm_linux2_vaddr_0x200000";
    let system = System::new();
    let mut cap = system.at(table, 0);
    cap.executable = true;
    let system = system.put(table, 0, cap);
    broken(
        "sharing-program-executed",
        "sharing",
        &[],
        &system.authority(),
    );
}

#[test]
fn a_page_of_one_vmms_program_that_another_has_too() {
    let system = System::new();
    let own = system
        .spec
        .objects()
        .find(|(_, object)| object.name.starts_with("frame_elf_vmm_linux1_"));
    let own = own.expect("what it writes").1.name.clone();
    let system = system.give("pt_vmm_linux2_vaddr_0x200000", HIGH, &own);
    broken("sharing-program-own", "sharing", &[], &system.authority());
}

#[test]
fn a_page_to_write_and_execute() {
    let system = System::new();
    let mut cap = system.at("pt_console_vaddr_0x10000000", 0);
    cap.executable = true;
    let system = system.put("pt_console_vaddr_0x10000000", 0, cap);
    broken(
        "write-or-execute",
        "write-or-execute",
        &[],
        &system.authority(),
    );
}

/// A rule that had nothing to look at has shown nothing.
#[test]
fn an_empty_specification_passes_nothing() {
    let authority = Authority::read("{\"objects\": []}").unwrap();
    let broken: Vec<&str> = authority
        .check()
        .iter()
        .filter(|check| !check.holds())
        .map(|check| check.name)
        .collect();
    assert_eq!(broken.len(), authority.check().len(), "{broken:?}");
}

/// Whatever one capability a VMM gets in addition, a rule sees it.
#[test]
fn no_additional_capability_goes_unseen() {
    let system = System::new();
    let holder = system.id("cnode_vmm_linux1");
    let mut seen = 0;
    let later_page = |name: &str| {
        let number = name
            .rsplit_once('_')
            .and_then(|(_, n)| n.parse::<u32>().ok());
        name.starts_with("frame_") && number.is_some_and(|number| number > 1)
    };
    for (id, object) in system.spec.objects() {
        // The first two pages of a thing stand for the others.
        if later_page(&object.name) {
            continue;
        }
        let mut spec = system.spec.clone();
        spec.insert(holder, FREE, system.cap_to(id));
        let checks = Authority::of(spec).check();
        let holds = checks.iter().all(authority::Check::holds);
        assert!(!holds, "nobody minds vmm_linux1 having {}", object.name);
        seen += 1;
    }
    assert!(seen > 200, "{seen}");
}

/// The endpoint capability in slot `slot` of `holder` under another number.
fn numbered(system: &System, holder: &str, slot: u32, number: u64) -> Cap {
    let mut cap = system.at(holder, slot);
    cap.badge = cap.badge & !0x3f | number;
    cap
}

/// A gate's capability to call the memory server (Microkit: 74 plus the channel).
const GATE_MEMORY: u32 = 82;
#[test]
fn calls_that_go_in_a_circle() {
    let system = System::new();
    let mut cap = system.cap("ep_gate_linux1");
    cap.badge = 1 << 63 | 5;
    cap.rights = Some(authority::Rights { read: false, ..RW });
    let system = system.put("cnode_memory_server", FREE, cap);
    broken("uphill-circle", "uphill", &[], &system.authority());
}

/// A thread's fault handler, by capDL's numbers.
const FAULT: u32 = 5;

#[test]
fn a_vmm_that_calls_the_memory_server_as_another() {
    let system = System::new();
    let cap = numbered(&system, "cnode_gate_linux2", GATE_MEMORY, 0);
    let system = system.put("cnode_gate_linux2", GATE_MEMORY, cap);
    broken("callers-domain", "callers", &[], &system.authority());
}

#[test]
fn a_vmm_that_can_say_that_another_has_stopped() {
    let system = System::new();
    let cap = numbered(&system, "cnode_gate_linux2", GATE_MEMORY, 59);
    let system = system.put("cnode_vmm_linux2", FREE, cap);
    broken("callers-crash", "callers", &[], &system.authority());
}

#[test]
fn a_server_that_calls_the_memory_server() {
    let system = System::new();
    let cap = system.at("cnode_gate_linux2", GATE_MEMORY);
    let system = system.put("cnode_console", FREE, cap);
    broken("callers-server", "callers", &[], &system.authority());
}

#[test]
fn a_vmm_whose_faults_end_another_domain() {
    let system = System::new();
    let cap = numbered(&system, "tcb_vmm_linux2", FAULT, 0);
    let system = system.put("tcb_vmm_linux2", FAULT, cap);
    broken("callers-fault", "callers", &[], &system.authority());
}

#[test]
fn a_server_whose_faults_end_a_domain() {
    let system = System::new();
    let cap = numbered(&system, "tcb_dt_server", FAULT, 1);
    let system = system.put("tcb_dt_server", FAULT, cap);
    broken("callers-child", "callers", &[], &system.authority());
}

#[test]
fn a_system_with_servers_is_as_it_should_be() {
    let authority = System::with_servers().authority();
    for system in [described_servers(), authority.system()] {
        let checks = authority.check_as(&system);
        assert!(
            checks.iter().all(authority::Check::holds),
            "{}",
            breaches(&checks)
        );
    }
}

#[test]
fn what_a_guest_reads_and_writes_on_disks_that_a_third_reaches() {
    let table = "pd_vmm_linux2_vaddr_0x200000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_data_linux1_000000000");
    broken_servers("sharing-disk-data", "sharing", &[], &system.authority());
}

#[test]
fn requests_to_disks_that_a_third_reaches() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_disks_linux1_000000000");
    broken_servers("sharing-disks", "sharing", &[], &system.authority());
}

#[test]
fn a_ram_disk_that_a_vmm_reaches_past_the_block_server() {
    let table = "pd_vmm_linux2_vaddr_0x200000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_ramdisk_initrd.cpio_000000000");
    broken_servers("sharing-ram-disk", "sharing", &[], &system.authority());
}

/// It would name memory of its guest to the device, or any other.
#[test]
fn a_vmm_that_asks_the_driver_itself() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_disk_queue_000000000");
    broken_servers("sharing-disk-queue", "sharing", &[], &system.authority());
}

#[test]
fn the_block_server_with_the_registers_of_the_disk() {
    let table = "pt_block_server_vaddr_0x10000000";
    let system = System::with_servers();
    let mut cap = system.cap("frame_mr_disk_registers_000000000");
    cap.cached = false;
    let system = system.put(table, HIGH, cap);
    broken_servers(
        "dma-registers",
        "dma",
        &["sharing", "devices"],
        &system.authority(),
    );
}

#[test]
fn a_driver_that_reaches_what_a_guest_reads_and_writes() {
    let table = "pd_block_driver_vaddr_0x200000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_data_linux1_000000000");
    broken_servers("dma-data", "dma", &["sharing"], &system.authority());
}

#[test]
fn a_driver_that_wakes_a_vmm() {
    let system = System::with_servers();
    let cap = system.at("cnode_block_server", 10);
    let system = system.put("cnode_block_driver", FREE, cap);
    broken_servers("dma-talk", "dma", &[], &system.authority());
}

#[test]
fn the_block_server_with_the_disks_interrupt() {
    let system = System::with_servers().give("cnode_block_server", FREE, "irq_48_block_driver");
    broken_servers("interrupts-disk", "interrupts", &[], &system.authority());
}

/// It would send what no net server has looked at.
#[test]
fn a_vmm_that_sends_past_the_net_server() {
    let table = "pt_vmm_linux2_vaddr_0x11000000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_net_queue_000000000");
    broken_servers("sharing-net-queue", "sharing", &[], &system.authority());
}

#[test]
fn the_block_driver_with_the_registers_of_the_network_device() {
    let table = "pt_block_driver_vaddr_0x10160000";
    let system = System::with_servers();
    let mut cap = system.cap("frame_mr_net_registers_000000000");
    cap.cached = false;
    let system = system.put(table, HIGH, cap);
    broken_servers(
        "dma-net-registers",
        "dma",
        &["sharing", "devices"],
        &system.authority(),
    );
}

#[test]
fn a_net_driver_that_wakes_a_vmm() {
    let system = System::with_servers();
    let cap = system.at("cnode_net_server", 10);
    let system = system.put("cnode_net_driver", FREE, cap);
    broken_servers("dma-net-talk", "dma", &[], &system.authority());
}

#[test]
fn the_net_server_with_the_network_devices_interrupt() {
    let system = System::with_servers().give("cnode_net_server", FREE, "irq_56_net_driver");
    broken_servers("interrupts-net", "interrupts", &[], &system.authority());
}

#[test]
fn a_vmm_that_can_say_that_a_page_is_lent() {
    let system = System::new();
    let cap = numbered(
        &system,
        "cnode_gate_linux2",
        GATE_MEMORY,
        topology::channel::MEMORY_PEER as u64,
    );
    let system = system.put("cnode_vmm_linux2", FREE, cap);
    broken("callers-lend", "callers", &[], &system.authority());
}

#[test]
fn frames_of_a_network_that_a_third_reaches() {
    let table = "pd_vmm_linux2_vaddr_0x200000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_frames_linux1_000000000");
    broken_servers("sharing-frames", "sharing", &[], &system.authority());
}

#[test]
fn queues_of_a_network_that_a_third_reaches() {
    let table = "pt_vmm_linux2_vaddr_0x10000000";
    let system = System::with_servers().give(table, HIGH, "frame_mr_nets_linux1_000000000");
    broken_servers("sharing-nets", "sharing", &[], &system.authority());
}

/// It could take an untyped out of it.
#[test]
fn a_vmm_with_the_wipers_cnode() {
    let system = System::with_servers().give("cnode_vmm_linux2", FREE, "cnode_zazen_wiper");
    broken_servers("untyped-wiper", "objects", &[], &system.authority());
}

#[test]
fn the_wiper_with_untyped_memory_of_its_own() {
    let system = System::with_servers().give("cnode_wiper", FREE, "untyped_zazen_006_heap");
    broken_servers("untyped-kept", "untyped", &[], &system.authority());
}
