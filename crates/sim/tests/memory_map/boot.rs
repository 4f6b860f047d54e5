//! The guest's memory map at boot.

use super::*;

/// GM-4, GM-2: exactly the frames of the banks that the tree lists, and nothing under devices or
/// the hypervisor's pages.
#[test]
fn ram_is_what_the_banks_say() {
    let mut sys = System::new(&[
        Domain::new("linux1"),
        Domain {
            ram: 20 * MIB,
            ..Domain::new("linux2").heap()
        },
    ]);
    for index in 0..2 {
        let guest = sys.guest(index);
        let (ram, _) = map_of(&guest);
        let bytes: u64 = ram.iter().map(|(_, size)| size).sum();
        let domain = System::domain(index);
        let mapped = guest
            .sys
            .memory
            .machine()
            .look()
            .mapped(domain, Side::Guest);
        let in_ram = |at: u64| {
            ram.iter()
                .any(|(start, size)| (*start..start + size).contains(&at))
        };
        let inside: u64 = mapped
            .iter()
            .filter(|(at, ..)| in_ram(*at))
            .map(|(_, _, bytes)| bytes)
            .sum();
        assert_eq!(inside, bytes);
        // Besides RAM the console's page is all there is.
        let others: Vec<u64> = mapped
            .iter()
            .map(|(at, ..)| *at)
            .filter(|at| !in_ram(*at))
            .collect();
        assert_eq!(others, [CONSOLE_PAGE]);
        assert_eq!(guest.sys.memory.usage(domain).ram * 4096, bytes);
    }
}

/// GM-1, GM-17: there is no map to ask for and no p2m to be told of: the device tree is all.
#[test]
fn no_map_but_the_device_trees() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    // memory_map, machine_memory_map, machphys_mfn_list, machphys_mapping,
    // machphys_compat_mfn_list.
    for op in [9, 10, 5, 12, 25] {
        let answer = guest.hvc(MEMORY_OP, &[op, sim::guest::ARGS]);
        assert_eq!(answer, Errno::Enosys.as_i64(), "operation {op}");
    }
}

/// GM-19: no ACPI, no idle states; the idle of a guest is WFI.
#[test]
fn the_tree_has_neither_acpi_nor_idle_states() {
    let mut sys = System::two();
    let guest = sys.guest(0);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    assert!(fdt.find_node("/cpus/idle-states").is_none());
    let cpu = node(&fdt, "/cpus/cpu@0");
    for absent in ["cpu-idle-states", "operating-points-v2", "numa-node-id"] {
        assert!(cpu.property(absent).is_none(), "{absent}");
    }
    let chosen: Vec<String> = node(&fdt, "/chosen")
        .properties()
        .map(|property| property.name().to_owned())
        .collect();
    assert!(
        !chosen.iter().any(|name| name.contains("uefi")),
        "{chosen:?}"
    );
    assert_eq!(sys.guest(0).wfi(), Ran::Waiting);
}

/// GM-22: a guest can say why it stops before it has set anything up.
#[test]
fn the_first_instruction_can_print() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let at = sim::guest::ARGS;
    guest.put(at, b"conflict at 0x40000000\n");
    assert_eq!(guest.hvc(CONSOLE_IO, &[0, 23, at]), 0);
    assert!(sys.seen().contains("linux1: conflict at 0x40000000"));
}
