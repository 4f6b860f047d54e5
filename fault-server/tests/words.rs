//! What is said of faults.

use fault_server::{Access, Fault, NAME_BYTES, Names, Place, Server, Who};
use memory_server_api::{Error, Relinquished};
use topology::{console_client, vaddr};

/// seL4's `seL4_UserVSpaceTop` with a stage 2 of 40 bits.
const TOP: u64 = 0xff_ffff_ffff;

fn names() -> Names {
    let mut names = Names::default();
    for (client, name) in [(0, "linux1"), (1, "sixteen-bytes-xy")] {
        names[client][..name.len()].copy_from_slice(name.as_bytes());
    }
    names
}

/// What the memory server takes back at once from anybody.
const ALL: Relinquished = Relinquished {
    ram: 4096,
    extra: 5,
    tables: 13,
};

fn said(server: &mut Server<'_>, child: usize, fault: Fault) -> Vec<String> {
    let mut lines = Vec::new();
    server.on_fault(
        child,
        fault,
        |line| lines.push(line.to_string()),
        |_| Ok((false, ALL)),
    );
    lines
}

/// The lines about child `child`, a VMM, and how often each domain was reported to the memory
/// server, which answers with `answer`.
fn crashed(
    server: &mut Server<'_>,
    child: usize,
    mut answer: impl FnMut(u32) -> Result<(bool, Relinquished), Error>,
) -> (Vec<String>, Vec<u8>) {
    let (mut lines, mut told) = (Vec::new(), Vec::new());
    server.on_fault(
        child,
        Fault::GaveUp,
        |line| lines.push(line.to_string()),
        |domain| {
            told.push(domain);
            answer(u32::try_from(told.len()).unwrap())
        },
    );
    (lines, told)
}

fn first(child: usize, fault: Fault) -> String {
    let names = names();
    said(&mut Server::new(&names, TOP), child, fault).remove(0)
}

fn place(child: usize, address: u64) -> Place {
    let names = names();
    Place::of(&Who::new(child, &names), address, TOP)
}

#[test]
fn a_vmm_that_looks_at_memory_taken_from_its_guest() {
    let names = names();
    let fault = Fault::memory(0x21_0abc, vaddr::WINDOW + 0x4100_0008, 0b00_0110, false);
    let lines = said(&mut Server::new(&names, TOP), 0, fault);
    assert_eq!(
        lines,
        [
            "vmm_linux1 (VMM of domain 1, linux1) stopped: read of address 0x4041000008 (its window onto guest memory, \
             guest address 0x41000008), where nothing is mapped (taken back, or never granted); pc 0x210abc",
            "  its guest has ended with it and its memory goes back; the other guests go on",
            "  try: addr2line -fie vmm.elf 0x210abc names the source line; please report it with the lines above",
            "vmm_linux1 (VMM of domain 1, linux1): 4096 pages of RAM, 5 extra pages and 13 page tables are back",
        ]
    );
}

#[test]
fn each_kind_of_fault_has_its_words() {
    let write = Fault::memory(0x21_0000, vaddr::module(0) + 8, 0x40 | 0b00_1111, false);
    assert_eq!(
        first(1, write),
        "vmm_sixteen-bytes-xy (VMM of domain 2, sixteen-bytes-xy) stopped: write to address 0x2000000008 \
         (the file of the guest's kernel), which it may not; pc 0x210000"
    );
    let jump = Fault::memory(0, 0, 0b00_0101, true);
    assert_eq!(
        first(console_client::DT_SERVER, jump),
        "dt_server stopped: jump to address 0x0 (no address at all), where nothing is mapped; pc 0x0"
    );
    assert_eq!(
        first(console_client::MEMORY_SERVER, Fault::trap(0xf200_0001)),
        "memory_server stopped: it gave up (a panic); its own last lines say why"
    );
    assert!(first(0, Fault::trap(0x6232_f901)).contains("instruction that it may not"));
    assert!(
        first(
            0,
            Fault::Instruction {
                pc: Some(0x20_0004)
            }
        )
        .ends_with("pc 0x200004")
    );
    assert!(
        first(console_client::TIMER_SERVER, Fault::Capability { pc: 4 }).contains("capability")
    );
    assert!(first(0, Fault::SystemCall).contains("system call"));
    assert!(first(0, Fault::Other { label: 77 }).contains("77"));
    assert!(first(63, Fault::SystemCall).starts_with("child 63, which no protection domain is,"));
    assert_eq!(Access::new(0x40, true), Access::Fetch);
}

#[test]
fn every_place_of_a_vmm_and_of_servers() {
    let memory = console_client::MEMORY_SERVER;
    let stack_top = 0xff_ffff_e000;
    for (child, address, expected) in [
        (0, 0xfff, Place::Null),
        (0, 0x20_0000, Place::Program),
        (0, vaddr::CONSOLE_REGION, Place::ConsoleRing),
        (0, vaddr::CONSOLE_REGION + 0x4000, Place::Unmapped),
        (0, vaddr::P2M + 0x1234_5678, Place::P2m),
        (0, vaddr::module(1), Place::Module(1)),
        (0, vaddr::WINDOW, Place::GuestRam(0)),
        (0, vaddr::WINDOW + 0x50_0000_3000, Place::Extra(3)),
        (0, vaddr::WINDOW_END, Place::Unmapped),
        (0, stack_top - 1, Place::Stack),
        (0, stack_top - topology::stack::VMM, Place::Stack),
        (0, stack_top - topology::stack::VMM - 1, Place::BelowStack),
        (0, u64::MAX, Place::Unmapped),
        (0, vaddr::DISKS_REGION, Place::Disks),
        (0, vaddr::NETS_REGION, Place::Nets),
        (0, vaddr::NET_DATA + 0x1f_ffff, Place::Nets),
        (0, vaddr::DISK_DATA + 0x1f_ffff, Place::Disks),
        (0, vaddr::disk_data(1), Place::Unmapped),
        (
            topology::child::BLOCK_SERVER,
            vaddr::disk_data(1),
            Place::Disks,
        ),
        (
            topology::child::BLOCK_SERVER,
            vaddr::ram_disk(7),
            Place::RamDisk,
        ),
        (memory, vaddr::RECORDS, Place::Records),
        (memory, vaddr::SCRUB_PAGE, Place::Scrub),
        (memory, vaddr::SCRUB_BLOCK + 0x1f_ffff, Place::Scrub),
        (memory, vaddr::WINDOW, Place::Unmapped),
        (
            console_client::DT_SERVER,
            vaddr::BOOT_DTB,
            Place::DeviceTree,
        ),
        (
            console_client::DT_SERVER,
            stack_top - 0x8001,
            Place::BelowStack,
        ),
        (console_client::TIMER_SERVER, vaddr::P2M, Place::Unmapped),
    ] {
        assert_eq!(place(child, address), expected, "{child} {address:#x}");
        assert!(!expected.to_string().is_empty());
    }
}

#[test]
fn somebody_who_sends_messages_for_ever_gets_few_lines() {
    let names = names();
    let mut server = Server::new(&names, TOP);
    let mut lines = Vec::new();
    for _ in 0..1_000_000 {
        lines.extend(said(&mut server, 0, Fault::SystemCall));
    }
    // Four lines for the first, then one each time the number has doubled: 2^1 to 2^19.
    assert_eq!(lines.len(), 4 + 19);
    assert!(lines[4].contains("2 fault messages"), "{}", lines[4]);
    assert_eq!(
        said(&mut server, 1, Fault::SystemCall).len(),
        4,
        "another PD's counter"
    );
    for child in 60..64 {
        let lines = said(&mut server, child, Fault::SystemCall);
        assert!(lines.iter().all(|line| line.len() <= 200), "{lines:?}");
    }
}

#[test]
fn lines_fit_the_log() {
    let mut names = names();
    names[7] = [b'x'; NAME_BYTES];
    for address in [
        vaddr::WINDOW_END - 1,
        vaddr::WINDOW + 0x4f_ffff_ffff,
        u64::MAX,
        0,
    ] {
        let fault = Fault::memory(0xff_ffff_ffff, address, 0x46, false);
        let all = said(&mut Server::new(&names, TOP), 7, fault);
        assert!(all.iter().all(|line| line.len() <= 240), "{all:?}");
    }
}

/// LU-7: the memory server is told of a VMM that stopped, by its domain, until nothing is left, and
/// once only.
#[test]
fn the_memory_server_is_told_until_nothing_is_left() {
    let names = names();
    let mut server = Server::new(&names, TOP);
    let (lines, told) = crashed(&mut server, 1, |n| Ok((n < 700, ALL)));
    assert_eq!(told, [1; 700]);
    assert!(lines[3].ends_with("13 page tables are back"), "{lines:?}");
    let (_, told) = crashed(&mut server, 1, |_| Ok((false, ALL)));
    assert!(told.is_empty(), "it cannot stop twice");
    let (_, told) = crashed(&mut server, 7, |_| Ok((false, ALL)));
    assert_eq!(told, [7]);
    for child in [
        console_client::MEMORY_SERVER,
        console_client::DT_SERVER,
        console_client::TIMER_SERVER,
        console_client::FAULT_SERVER,
        63,
    ] {
        let (_, told) = crashed(&mut server, child, |_| Ok((false, ALL)));
        assert!(told.is_empty(), "child {child} is no VMM");
    }
}

#[test]
fn a_memory_server_that_refuses_is_asked_again_and_then_told_of() {
    let names = names();
    let mut server = Server::new(&names, TOP);
    // Two refusals in a row, twice: it comes to an end all the same.
    let (lines, told) = crashed(&mut server, 0, |n| match n {
        1 | 2 | 4 | 5 => Err(Error::Kernel),
        3 => Ok((true, ALL)),
        _ => Ok((false, ALL)),
    });
    assert_eq!(told.len(), 6);
    assert!(lines[3].ends_with("are back"), "{lines:?}");
    let (lines, told) = crashed(&mut server, 1, |_| Err(Error::Kernel));
    assert_eq!(told.len(), 3);
    assert_eq!(
        lines[3],
        "vmm_sixteen-bytes-xy (VMM of domain 2, sixteen-bytes-xy): part of its memory stays with it: \
         the kernel refused; the memory server's lines say what"
    );
}

#[test]
fn a_memory_server_without_end_or_without_life_holds_nobody_up() {
    let names = names();
    let mut server = Server::new(&names, TOP);
    let (lines, told) = crashed(&mut server, 0, |_| Ok((true, ALL)));
    assert_eq!(told.len(), 1 << 20);
    assert!(
        lines[3].ends_with("memory_server came to no end"),
        "{lines:?}"
    );
    said(&mut server, console_client::MEMORY_SERVER, Fault::GaveUp);
    let (lines, told) = crashed(&mut server, 1, |_| Ok((false, ALL)));
    assert!(told.is_empty(), "a call would wait for ever");
    assert!(
        lines[3].ends_with("because memory_server has stopped"),
        "{lines:?}"
    );
}

#[test]
fn whoever_waits_for_disks_or_networks_hears_that_they_stopped() {
    use fault_server::{Users, waiting};
    use topology::{channel, child};
    let users = Users {
        disks: 0b101,
        nets: 0b110,
    };
    let told = |child| waiting(child, users).collect::<Vec<_>>();
    let nets = [1, 2].map(|domain| channel::FAULTS_NETS + domain);
    assert_eq!(told(child::NET_SERVER), nets);
    let vmms = [0, 2].map(|domain| channel::FAULTS_DISKS + domain);
    assert_eq!(told(child::BLOCK_SERVER), vmms);
    assert_eq!(told(child::BLOCK_DRIVER), [channel::FAULTS_BLOCK]);
    assert_eq!(told(child::NET_DRIVER), [channel::FAULTS_NET]);
    let others = (0..child::BLOCK_SERVER).filter(|child| *child != child::NET_DRIVER);
    for other in others {
        assert!(told(other).is_empty(), "{other}");
    }
}
