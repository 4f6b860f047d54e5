//! What a guest finds when its first instruction runs.

mod common;

use common::{node, tree};
use dt_server_api::{XEN_BANKS, XEN_LAYOUT};
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use hypervisor_core::host::SysReg;
use sim::domains::kernel_image;
use sim::guest::RAM;
use sim::{Domain, System};

fn bytes(node: FdtNode<'_>, name: &str) -> Vec<u8> {
    node.property(name)
        .unwrap_or_else(|| panic!("no property {name}"))
        .value()
        .to_vec()
}

fn text(node: FdtNode<'_>, name: &str) -> String {
    String::from_utf8_lossy(&bytes(node, name))
        .trim_end_matches('\0')
        .replace('\0', " ")
}

fn words(node: FdtNode<'_>, name: &str) -> Vec<u64> {
    bytes(node, name)
        .chunks(8)
        .map(|word| u64::from_be_bytes(word.try_into().unwrap()))
        .collect()
}

fn cells(node: FdtNode<'_>, name: &str) -> Vec<u32> {
    bytes(node, name)
        .chunks(4)
        .map(|cell| u32::from_be_bytes(cell.try_into().unwrap()))
        .collect()
}

#[test]
fn registers_are_those_of_the_boot_protocol() {
    let mut sys = System::two();
    for index in 0..2 {
        let mut guest = sys.guest(index);
        assert!(guest.is_running());
        assert_eq!(guest.pc(), RAM, "text_offset 0");
        assert_eq!(guest.pstate(), 0x3c5, "EL1h, DAIF masked");
        assert!((1..31).all(|n| guest.x(n) == 0));
        assert_eq!(
            guest.sysreg(SysReg::Sctlr) & 0x1005,
            0,
            "MMU and caches off"
        );
        assert_eq!(
            guest.bytes(guest.x(0), 4),
            [0xd0, 0x0d, 0xfe, 0xed],
            "x0 is the device tree"
        );
    }
}

#[test]
fn the_kernel_lies_at_its_place() {
    let mut sys = System::two();
    for (index, name) in [(0, "linux1"), (1, "linux2")] {
        let guest = sys.guest(index);
        let image = kernel_image(name);
        assert_eq!(guest.bytes(RAM, image.len()), image);
    }
}

#[test]
fn all_of_the_ram_is_there_and_nothing_around_it() {
    let mut sys = System::two();
    for index in 0..2 {
        let guest = sys.guest(index);
        let end = RAM + (16 << 20);
        assert!((RAM..end).step_by(4096).all(|at| guest.is_mapped(at)));
        assert!(!guest.is_mapped(RAM - 1) && !guest.is_mapped(end));
        let layout = XEN_LAYOUT;
        for hole in [
            0,
            layout.gicd.raw(),
            layout.vpl011.raw(),
            layout.grant_region.raw(),
            XEN_BANKS[1].0.raw(),
        ] {
            assert!(!guest.is_mapped(hole), "{hole:#x}");
        }
        assert!(guest.is_mapped(layout.magic.raw()), "the console ring");
        assert!(
            !guest.is_mapped(layout.magic.raw() + 0x1000),
            "no xenstore ring"
        );
    }
}

#[test]
fn memory_of_two_guests_is_different_memory() {
    let mut sys = System::two();
    let at = RAM + 0x12_3456;
    sys.guest(0).put(at, &0x1111_u64);
    sys.guest(1).put(at, &0x2222_u64);
    assert_eq!(sys.guest(0).get::<u64>(at), 0x1111);
    assert_eq!(sys.guest(1).get::<u64>(at), 0x2222);
}

#[test]
fn the_ram_disk_is_where_the_tree_says_to_the_byte() {
    let mut sys = System::two();
    for (index, name) in [(0, "linux1"), (1, "linux2")] {
        let guest = sys.guest(index);
        let blob = tree(&guest, guest.x(0));
        let fdt = Fdt::new(&blob).unwrap();
        let chosen = node(&fdt, "/chosen");
        let (start, end) = (
            words(chosen, "linux,initrd-start")[0],
            words(chosen, "linux,initrd-end")[0],
        );
        let file = format!("files of {name}").repeat(300);
        assert_eq!(end - start, file.len() as u64);
        assert_eq!(guest.bytes(start, file.len()), file.as_bytes());
        assert!(start >= guest.x(0) + blob.len() as u64, "behind the tree");
    }
}

#[test]
fn the_device_tree_describes_the_machine() {
    let mut sys = System::new(&[
        Domain::new("linux1"),
        Domain::new("linux2").heap().with_vpl011(),
    ]);
    let guest = sys.guest(0);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    assert_eq!(
        words(node(&fdt, "/memory@40000000"), "reg"),
        [RAM, 16 << 20]
    );
    assert_eq!(
        text(node(&fdt, "/chosen"), "bootargs"),
        "console=hvc0 hostname=linux1"
    );
    assert_eq!(text(node(&fdt, "/psci"), "method"), "smc");
    assert_eq!(text(node(&fdt, "/cpus/cpu@0"), "enable-method"), "psci");
    assert_eq!(
        cells(node(&fdt, "/timer"), "interrupts")[7],
        11,
        "virtual timer PPI 27"
    );
    let gic = node(&fdt, "/interrupt-controller@3001000");
    assert_eq!(words(gic, "reg"), [0x300_1000, 0x1000, 0x300_2000, 0x2000]);
    let hypervisor = node(&fdt, "/hypervisor");
    assert_eq!(text(hypervisor, "compatible"), "xen,xen-4.22 xen,xen");
    assert_eq!(cells(hypervisor, "interrupts"), [1, 15, 0xf08]);
    let regions = words(hypervisor, "reg");
    assert_eq!(regions[..2], [0x3800_0000, 0x100_0000], "the grant region");
    assert_eq!(
        regions[2],
        RAM + (16 << 20),
        "extended regions begin behind the RAM"
    );
    assert!(fdt.find_node("/sbsa-uart@22000000").is_none());

    let guest = sys.guest(1);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    assert_eq!(
        cells(node(&fdt, "/sbsa-uart@22000000"), "interrupts"),
        [0, 0, 4]
    );
    assert_eq!(
        text(node(&fdt, "/chosen"), "bootargs"),
        "console=hvc0 hostname=linux2"
    );
}

#[test]
fn a_guest_without_pv_features_has_no_hypervisor_node_and_no_console_ring() {
    let mut sys = System::new(&[Domain {
        enhanced: None,
        ..Domain::new("plain")
    }]);
    let mut guest = sys.guest(0);
    let blob = tree(&guest, guest.x(0));
    assert!(Fdt::new(&blob).unwrap().find_node("/hypervisor").is_none());
    assert!(!guest.is_mapped(XEN_LAYOUT.magic.raw()));
    // Hypercalls are not hidden (SM-24).
    assert_eq!(guest.hvc(17, &[0, 0]), 4 << 16 | 22);
}

#[test]
fn without_a_ram_disk_there_is_none() {
    let mut sys = System::new(&[Domain {
        ramdisk: None,
        ..Domain::new("plain")
    }]);
    let guest = sys.guest(0);
    let blob = tree(&guest, guest.x(0));
    let fdt = Fdt::new(&blob).unwrap();
    assert!(
        node(&fdt, "/chosen")
            .property("linux,initrd-start")
            .is_none()
    );
}

#[test]
fn a_guest_that_cannot_be_built_is_told_of_and_leaves_the_others_alone() {
    // More RAM than there is heap, which the image builder would have refused.
    let big = |name| {
        Domain {
            ram: 48 << 20,
            ..Domain::new(name)
        }
        .heap()
    };
    let mut sys = System::new(&[big("first"), Domain::new("second"), big("third")]);
    assert!(sys.is_alive(0) && sys.is_alive(1) && !sys.is_alive(2));
    let log = sys.vmm_log(2).join("\n");
    assert!(
        log.contains("the guest is not started") && log.contains("no free frame is left"),
        "{log}"
    );
    assert!(sys.seen().contains("third: [vmm] the guest is not started"));
    for index in [0, 1] {
        assert_eq!(sys.guest(index).hvc(17, &[0, 0]), 4 << 16 | 22);
    }
}

#[test]
fn ram_that_is_no_multiple_of_2_mib_is_whole() {
    let ram = (16 << 20) - 0x3000;
    let mut sys = System::new(&[
        Domain {
            ram,
            ..Domain::new("ragged")
        },
        Domain {
            ram,
            ..Domain::new("heap")
        }
        .heap(),
    ]);
    for index in 0..2 {
        assert!(sys.is_alive(index), "{:?}", sys.vmm_log(index));
        let guest = sys.guest(index);
        assert!((RAM..RAM + ram).step_by(4096).all(|at| guest.is_mapped(at)));
        assert!(!guest.is_mapped(RAM + ram));
        let usage = sys.memory.usage(System::domain(index));
        assert_eq!((usage.ram, usage.max), (ram / 4096, ram / 4096));
    }
}

#[test]
fn the_boot_leaves_nothing_of_the_machine_in_ram() {
    // Static memory holds the boot loader's leavings; whatever a guest reads it must have been its
    // own.
    let mut sys = System::two();
    let guest = sys.guest(0);
    let image = guest.bytes(RAM + 0x20_0000, 0x1000);
    assert!(
        image.iter().all(|byte| *byte == image[0]),
        "one pattern: nothing of another guest"
    );
    assert_eq!(
        sys.guest(1).bytes(RAM + 0x20_0000, 0x1000),
        [0; 0x1000],
        "kernel memory is zero"
    );
}

#[test]
fn the_console_says_what_each_guest_is_started_with() {
    let mut sys = System::two();
    let seen = sys.seen();
    for line in [
        "linux1: [vmm] domain 1: 16 MiB of static RAM, kernel at 0x40000000",
        "linux2: [vmm] domain 2: 16 MiB of heap RAM, kernel at 0x40000000",
    ] {
        assert!(seen.contains(line), "{seen}");
    }
}

#[test]
fn what_the_servers_have_to_say_is_on_the_console() {
    let mut sys = System::new(&[Domain {
        ram: (16 << 20) - 0x3000,
        ..Domain::new("ragged")
    }]);
    let seen = sys.seen();
    assert!(
        seen.contains("\r\ndt_server: ") && seen.contains("is no multiple of 2 MiB"),
        "{seen}"
    );
}

#[test]
fn text_offset_moves_the_kernel() {
    let mut kernel = kernel_image("moved");
    kernel[8..16].copy_from_slice(&0x8_0000_u64.to_le_bytes());
    let mut sys = System::new(&[Domain {
        kernel: kernel.clone(),
        ..Domain::new("moved")
    }]);
    let guest = sys.guest(0);
    assert_eq!(guest.pc(), RAM + 0x8_0000);
    assert_eq!(guest.bytes(RAM + 0x8_0000, kernel.len()), kernel);
}

#[test]
fn two_guests_and_two_lives_have_different_seeds() {
    const RESET: u64 = 0x8400_0009;
    let mut sys = System::two();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for life in 0..3 {
        for index in 0..2 {
            let mut guest = sys.guest(index);
            let at = guest.x(0);
            let dtb = tree(&guest, at);
            let parsed = Fdt::new(&dtb).unwrap();
            let chosen = node(&parsed, "/chosen");
            for (name, len) in [("kaslr-seed", 8), ("rng-seed", 32)] {
                let seed = bytes(chosen, name);
                assert_eq!(seed.len(), len, "{name}");
                assert!(
                    !seen.contains(&seed),
                    "{name} of guest {index} in life {life}"
                );
                seen.push(seed);
            }
            guest.smc(&[RESET]);
            while sys.guest(index).x(0) == 0 {
                sys.advance(1000);
            }
        }
    }
}
