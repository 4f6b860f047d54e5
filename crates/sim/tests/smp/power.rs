//! Turning vCPUs on and off.

use hypervisor_core::domain::shutdown::StopReason;
use hypervisor_core::host::SysReg;
use sim::guest::{ARGS, RAM, TEXT};
use sim::{Ran, System};
use xen_abi::number::SCHED_OP;
use xen_abi::sched::{SHUTDOWN, Shutdown};

use super::{all_on, smp};

const CPU_OFF: u64 = 0x8400_0002;
const AFFINITY_INFO: u64 = 0xc400_0004;
const SYSTEM_OFF: u64 = 0x8400_0008;
const SYSTEM_SUSPEND: u64 = 0xc400_000e;

#[test]
fn a_guest_begins_with_one_vcpu_and_the_tree_has_all() {
    let mut sys = smp();
    for (index, cpus) in [(0, 4), (1, 2)] {
        let mut guest = sys.guest(index);
        assert!(guest.runs());
        assert!((1..8).all(|n| !guest.on(n).runs()), "the others are off");
        let at = guest.x(0);
        let tree = super::common::tree(&guest, at);
        let tree = dtoolkit::fdt::Fdt::new(&tree).expect("a device tree");
        let nodes = super::common::node(&tree, "/cpus");
        let nodes = dtoolkit::Node::children(&nodes).count();
        assert_eq!(nodes, cpus);
    }
}

#[test]
fn cpu_on_starts_a_vcpu_with_nothing_but_its_context() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    assert_eq!(guest.cpu_on(2, TEXT + 4, 77), 0);
    assert!(guest.runs(), "the caller goes on");
    let mut second = guest.on(2);
    assert!(second.runs());
    assert_eq!((second.pc(), second.x(0)), (TEXT + 4, 77));
    assert!((1..31).all(|n| second.x(n) == 0));
    assert_eq!(second.pstate(), 0x3c5);
    assert_eq!(second.sysreg(SysReg::Sctlr), 0x00c5_0078);
    // It leaves with its MMU on and comes back with it off.
    second.set_sysreg(SysReg::Sctlr, 1);
    second.set_sysreg(SysReg::Ttbr0, 0x1234_5000);
    second.set_sysreg(SysReg::Sctlr, 0x00c5_0078);
    assert_eq!(second.smc(&[CPU_OFF]), Ran::Waiting);
    second.set_sysreg(SysReg::Ttbr1, 0x1234_6000);
    assert_eq!(guest.cpu_on(2, TEXT, 78), 0);
    let second = guest.on(2);
    assert_eq!((second.x(0), second.sysreg(SysReg::Ttbr0)), (78, 0));
    assert_eq!(second.sysreg(SysReg::Ttbr1), 0);
}

#[test]
fn on_and_off_as_often_as_one_likes() {
    let mut sys = smp();
    for n in 0..1000 {
        let mut guest = sys.guest(0);
        let number = 1 + n % 3;
        assert_eq!(guest.cpu_on(number, TEXT, n), 0);
        assert_eq!(guest.cpu_on(number, TEXT, n), -4, "it is on");
        assert_eq!(guest.smc(&[AFFINITY_INFO, number, 0]), Ran::Done);
        assert_eq!(guest.x(0), 0);
        let mut other = guest.on(u8::try_from(number).expect("a number"));
        assert_eq!(other.x(0), n);
        assert_eq!(other.smc(&[CPU_OFF]), Ran::Waiting);
        assert!(!other.runs());
        let mut guest = sys.guest(0);
        assert_eq!(guest.smc(&[AFFINITY_INFO, number, 0]), Ran::Done);
        assert_eq!(guest.x(0), 1);
    }
    sys.assert_consistent();
}

#[test]
fn the_boot_cpu_may_go_and_come_back() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
    assert_eq!(guest.smc(&[CPU_OFF]), Ran::Waiting);
    let mut second = guest.on(1);
    assert!(second.runs());
    assert_eq!(second.cpu_on(0, RAM + 0x1000, 5), 0);
    assert_eq!((guest.pc(), guest.x(0)), (RAM + 0x1000, 5));
    assert!(guest.runs());
}

#[test]
fn who_does_not_exist_is_not_turned_on() {
    let mut sys = smp();
    let mut guest = sys.guest(1);
    for number in [2, 3, 7, 8, 0x100, 1 << 24] {
        let expected = if number == 1 << 24 { -4 } else { -2 };
        assert_eq!(guest.cpu_on(number, TEXT, 0), expected, "{number:#x}");
    }
    assert_eq!(guest.cpu_on(1, TEXT | 1, 0), -9);
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
}

#[test]
fn any_of_them_ends_the_guest_for_all() {
    for psci in [false, true] {
        let mut sys = smp();
        let mut guest = sys.guest(0);
        all_on(&mut guest);
        assert_eq!(guest.on(1).wfi(), Ran::Waiting);
        let mut third = guest.on(3);
        let ran = if psci {
            third.smc(&[SYSTEM_OFF])
        } else {
            third.put(ARGS, &Shutdown { reason: 0 });
            third.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS])
        };
        assert_eq!(ran, Ran::Stopped(StopReason::PowerOff));
        let mut guest = sys.guest(0);
        assert!((0..8).all(|n| !guest.on(n).runs()), "none goes on");
        assert!(sys.is_alive(1), "the neighbour lives");
        sys.advance(10_000_000);
        sys.assert_consistent();
    }
}

#[test]
fn the_system_suspends_when_one_is_left() {
    let mut sys = smp();
    let mut guest = sys.guest(1);
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
    assert_eq!(guest.smc(&[SYSTEM_SUSPEND, TEXT, 0]), Ran::Done);
    assert_eq!(guest.x(0).cast_signed(), -3, "denied");
    assert_eq!(guest.on(1).smc(&[CPU_OFF]), Ran::Waiting);
    let ran = guest.smc(&[SYSTEM_SUSPEND, TEXT, 0]);
    assert_eq!(ran, Ran::Stopped(StopReason::Suspend));
}

/// On Microkit a vCPU may look for a page while the VMM splits the block that it is in.
#[test]
fn what_was_away_for_a_moment_is_looked_for_again() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    let pc = guest.ptr(RAM + 0x2000);
    let ran = guest.fetch_fault_at(pc);
    assert!(matches!(ran, Ran::Exception(_)), "alone it has no excuse");
    assert_eq!(guest.cpu_on(1, TEXT, 0), 0);
    assert_eq!(guest.on(1).fetch_fault_at(pc), Ran::Again);
    assert_eq!(guest.fetch_fault_at(pc), Ran::Again);
    let hole = guest.fetch_fault_at(0x3000_0000);
    assert!(matches!(hole, Ran::Exception(_)));
}

#[test]
fn a_guest_of_eight() {
    let mut sys = System::new(&[sim::Domain::new("linux1").with_cpus(8)]);
    let mut guest = sys.guest(0);
    for n in 1..8 {
        assert_eq!(guest.cpu_on(n, TEXT, n), 0);
    }
    for n in 0..8 {
        assert!(guest.on(n).runs());
        assert_eq!(guest.on(n).hvc(17, &[0, 0]), 4 << 16 | 22);
    }
    assert_eq!(guest.cpu_on(8, TEXT, 0), -2);
}
