//! Event channels, run states and polls of several vCPUs.

use hv_types::Gva;
use sim::guest::{ARGS, FREE, SHARED_INFO, TEXT, UPCALL};
use sim::{FREQUENCY, Guest, Ran};
use xen_abi::GuestHandle;
use xen_abi::event::{BIND_IPI, BIND_VCPU, BIND_VIRQ, BindIpi, BindVcpu, BindVirq, STATUS, Status};
use xen_abi::number::{EVENT_CHANNEL_OP, SCHED_OP, VCPU_OP};
use xen_abi::sched::{BLOCK, POLL, Poll};
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_VCPU_INFO, RegisterRunstate, RegisterVcpuInfo,
    RunstateInfo,
};

use super::common::{EBUSY, EINVAL, ENOENT};
use super::{all_on, smp};

/// Where vCPU `n` has its vcpu_info.
const fn info(n: u8) -> u64 {
    FREE + 64 * n as u64
}

fn register_info(guest: &mut Guest<'_>, n: u8) -> i64 {
    let place = RegisterVcpuInfo {
        gfn: FREE >> 12,
        offset: 64 * u32::from(n),
        rsvd: 0,
    };
    guest.put(ARGS, &place);
    guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, n.into(), ARGS])
}

/// All vCPUs are on, have registered and take upcalls.
fn ready(guest: &mut Guest<'_>) {
    all_on(guest);
    guest.map_shared_info();
    for n in 0..4 {
        let mut cpu = guest.on(n);
        cpu.enable_gic();
        cpu.enable_interrupt(UPCALL);
        assert_eq!(register_info(&mut cpu, n), 0);
        // The upcall that registering brings.
        assert_eq!(cpu.acknowledge(), UPCALL);
        assert_eq!(cpu.take_events(info(n)), []);
        cpu.end(UPCALL);
    }
}

fn bind_vcpu(guest: &mut Guest<'_>, port: u32, vcpu: u32) -> i64 {
    guest.op_in(EVENT_CHANNEL_OP, BIND_VCPU, BindVcpu { port, vcpu })
}

#[test]
fn an_event_goes_to_the_vcpu_its_port_is_bound_to() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let (port, peer) = guest.loopback();
    guest.take_events(info(0));
    assert_eq!(
        guest.take_interrupts(),
        [UPCALL],
        "a new channel is pending"
    );
    for n in [2, 0, 3] {
        assert_eq!(bind_vcpu(&mut guest, port, n.into()), 0);
        if n != 0 {
            assert_eq!(guest.on(n).wfi(), Ran::Waiting);
        }
        assert_eq!(guest.send(peer), 0);
        for other in (0..4).filter(|other| *other != n) {
            assert!(!guest.on(other).irq(), "{n} {other}");
        }
        let mut cpu = guest.on(n);
        assert_eq!(cpu.acknowledge(), UPCALL);
        assert_eq!(cpu.take_events(info(n)), [port]);
        cpu.end(UPCALL);
        assert!(!cpu.irq());
    }
    assert_eq!(bind_vcpu(&mut guest, port, 4), ENOENT);
    let mut status = Status {
        dom: 0x7ff0,
        port,
        ..Default::default()
    };
    assert_eq!(guest.op(EVENT_CHANNEL_OP, STATUS, &mut status), 0);
    assert_eq!(status.vcpu, 3);
}

#[test]
fn ipis_and_virqs_belong_to_a_vcpu() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let mut ipi = BindIpi { vcpu: 3, port: 0 };
    assert_eq!(guest.op(EVENT_CHANNEL_OP, BIND_IPI, &mut ipi), 0);
    assert_eq!(bind_vcpu(&mut guest, ipi.port, 1), EINVAL, "it is tied");
    assert_eq!(guest.send(ipi.port), 0);
    assert_eq!(guest.on(3).take_events(info(3)), [ipi.port]);
    ipi.vcpu = 4;
    assert_eq!(guest.op(EVENT_CHANNEL_OP, BIND_IPI, &mut ipi), ENOENT);
    let mut virq = BindVirq {
        virq: 0,
        vcpu: 2,
        port: 0,
    };
    assert_eq!(guest.op(EVENT_CHANNEL_OP, BIND_VIRQ, &mut virq), 0);
    assert_eq!(bind_vcpu(&mut guest, virq.port, 1), EINVAL);
}

#[test]
fn a_vcpu_without_vcpu_info_is_told_when_it_registers() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    all_on(&mut guest);
    guest.map_shared_info();
    let (port, peer) = guest.loopback();
    guest.take_events(SHARED_INFO);
    assert_eq!(bind_vcpu(&mut guest, port, 1), 0);
    let mut second = guest.on(1);
    second.enable_gic();
    second.enable_interrupt(UPCALL);
    assert_eq!(guest.send(peer), 0);
    assert!(guest.is_pending(port));
    assert!(!guest.on(1).irq());
    // Any vCPU may register another one.
    assert_eq!(register_info(&mut guest, 1), 0);
    let mut second = guest.on(1);
    assert_eq!(second.acknowledge(), UPCALL);
    assert_eq!(second.take_events(info(1)), [port]);
    second.end(UPCALL);
    assert_eq!(register_info(&mut guest, 1), EBUSY);
    guest.put(ARGS, &[0u64; 2]);
    assert_eq!(guest.hvc(VCPU_OP, &[REGISTER_VCPU_INFO, 4, ARGS]), ENOENT);
}

#[test]
fn a_vcpu_that_is_off_hears_of_events_when_it_is_on() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let (port, peer) = guest.loopback();
    assert_eq!(bind_vcpu(&mut guest, port, 2), 0);
    assert_eq!(guest.on(2).smc(&[0x8400_0002]), Ran::Waiting);
    guest.take_events(info(0));
    assert_eq!(guest.send(peer), 0);
    assert!(!guest.on(2).runs(), "an event turns nobody on");
    assert_eq!(guest.cpu_on(2, TEXT, 0), 0);
    let mut cpu = guest.on(2);
    assert_eq!(cpu.acknowledge(), UPCALL);
    assert_eq!(cpu.take_events(info(2)), [port]);
}

/// A poll of one port.
fn poll(guest: &mut Guest<'_>, port: u32, timeout: u64) -> Ran {
    let at = ARGS + 0x2000;
    guest.put(at + 64, &port);
    guest.put(
        at,
        &Poll {
            ports: GuestHandle::new(Gva::new(at + 64)),
            nr_ports: 1,
            pad: 0,
            timeout,
        },
    );
    guest.try_hvc(SCHED_OP, &[POLL, at])
}

#[test]
fn one_polls_and_another_sends() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    ready(&mut guest);
    let (port, peer) = guest.loopback();
    guest.take_events(info(0));
    guest.take_interrupts();
    // Masked, and bound to another vCPU than the one that polls.
    guest.set_mask(port, true);
    assert_eq!(bind_vcpu(&mut guest, port, 3), 0);
    assert_eq!(poll(&mut guest.on(2), port, 0), Ran::Waiting);
    assert_eq!(guest.on(1).try_hvc(SCHED_OP, &[BLOCK]), Ran::Waiting);
    assert_eq!(guest.send(peer), 0);
    assert!(guest.on(2).runs(), "its port is pending");
    assert!(!guest.on(1).runs(), "it is nothing to the other");
    // A timeout is each one's own.
    guest.take_events(info(0));
    let second = 1_000_000_000 * (guest.sys.now() / FREQUENCY + 1);
    let (quiet, _) = guest.loopback();
    guest.take_events(info(0));
    guest.take_interrupts();
    assert_eq!(poll(&mut guest.on(2), quiet, second), Ran::Waiting);
    assert_eq!(poll(&mut guest.on(3), quiet, 2 * second), Ran::Waiting);
    guest.sys.advance(FREQUENCY + FREQUENCY / 10);
    assert!(guest.on(2).runs() && !guest.on(3).runs());
    guest.sys.advance(FREQUENCY);
    assert!(guest.on(3).runs());
}

#[test]
fn run_states_are_told_to_each() {
    let mut sys = smp();
    let mut guest = sys.guest(0);
    let area = |n: u64| FREE + 0x2000 + 64 * n;
    for n in 0..4 {
        let place = RegisterRunstate {
            addr: GuestHandle::new(Gva::new(area(n))),
        };
        guest.put(ARGS, &place);
        let ran = guest.hvc(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, n, ARGS]);
        assert_eq!(ran, 0);
    }
    let state = |guest: &Guest<'_>, n| guest.get::<RunstateInfo>(area(n)).state;
    assert_eq!([0, 1, 2, 3].map(|n| state(&guest, n)), [0, 3, 3, 3], "off");
    all_on(&mut guest);
    guest.sys.advance(1000);
    assert_eq!(guest.on(1).wfi(), Ran::Waiting);
    assert_eq!(guest.on(3).smc(&[0x8400_0002]), Ran::Waiting);
    assert_eq!([0, 1, 2, 3].map(|n| state(&guest, n)), [0, 2, 0, 3]);
}
