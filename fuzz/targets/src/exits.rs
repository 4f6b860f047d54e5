//! Exits of the vCPU.

use hv_types::{Gpa, Gva, VcpuId, Vcpus};
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{SysReg, Vcpu};
use hypervisor_core::vcpu::action::VcpuAction;

use crate::guest::{Guest, RAM, value, with_smp_guest};
use crate::input::Input;

const SYSREGS: [SysReg; 11] = [
    SysReg::Sctlr,
    SysReg::Ttbr0,
    SysReg::Ttbr1,
    SysReg::Tcr,
    SysReg::Vbar,
    SysReg::Esr,
    SysReg::Far,
    SysReg::Elr,
    SysReg::Spsr,
    SysReg::CntvCtl,
    SysReg::CntvCval,
];
/// Devices: distributor, CPU interface, UART, and nothing.
const DEVICES: [u64; 4] = [0x0300_1000, 0x0300_2000, 0x2200_0000, 0x0a00_0000];
/// An instruction that makes a Xen hypercall.
const HVC_XEN: u32 = 0xd400_0002 | 0xea1 << 5;
/// The syndrome of `smc #0`.
const SMC: u32 = 0x17 << 26 | 1 << 25;
/// CPU_ON, CPU_OFF, AFFINITY_INFO, CPU_SUSPEND and SYSTEM_SUSPEND.
const POWER: [u64; 6] = [
    0xc400_0003,
    0x8400_0003,
    0x8400_0002,
    0xc400_0004,
    0x8400_0001,
    0xc400_000e,
];
/// ISS of an abort: the syndrome is valid, translation fault of level 3.
const LOAD: u32 = 1 << 24 | 7;

/// A guest of one to four vCPUs that stops for any reason with any registers and memory, in any
/// order that a host can report.
pub fn exits(data: &[u8]) {
    let mut input = Input::new(data);
    let flags: u8 = input.get();
    let vcpus = 1 + (flags >> 2 & 3);
    with_smp_guest(flags & 1 != 0, flags & 2 != 0, vcpus, |guest| {
        let mut last = VcpuId::BOOT;
        while let Some(operation) = input.operation() {
            let next = match operation {
                0..0x20 => {
                    let x = value(&mut input);
                    guest.host.set_x(operation & 31, x);
                    continue;
                }
                0x20..0x30 => {
                    let reg = SYSREGS[usize::from(operation & 15) % SYSREGS.len()];
                    let to = value(&mut input);
                    guest.host.set_sysreg(reg, to);
                    continue;
                }
                0x30..0x38 => {
                    guest.host.pstate = value(&mut input);
                    continue;
                }
                0x38..0x50 => {
                    let at = value(&mut input);
                    let word = value(&mut input).to_le_bytes();
                    guest.poke(at, &word[..usize::from(operation & 7) + 1]);
                    continue;
                }
                0x50..0x60 => match guest.vm.on_wake(&mut guest.host) {
                    Some(reason) => VcpuAction::Stop(reason),
                    None => continue,
                },
                0x60..0x70 => {
                    guest.vm.on_console(&mut guest.host);
                    continue;
                }
                // The rest is what only a vCPU that runs can do: the next one that does.
                _ => match next(guest.vm.running(), last) {
                    Some(id) => {
                        last = id;
                        exit(guest, &mut input, operation, id)
                    }
                    None => continue,
                },
            };
            assert!(guest.vm.running().count() <= vcpus);
            if let VcpuAction::Stop(reason) = next {
                assert!(!reason.to_string().is_empty());
                return;
            }
        }
    });
}

/// Of those that run the one behind `last`.
fn next(running: Vcpus, last: VcpuId) -> Option<VcpuId> {
    let behind = running.without(Vcpus::first(last.raw() + 1));
    behind.lowest().or(running.lowest())
}

/// vCPU `id` stops.
fn exit(guest: &mut Guest<'_>, input: &mut Input<'_>, operation: u8, id: VcpuId) -> VcpuAction {
    let reason = reason(guest, input, operation);
    let action = guest.vm.handle(&mut guest.host, Exit { vcpu: id, reason });
    if !matches!(action, VcpuAction::Stop(_)) {
        let runs = action != VcpuAction::Wait;
        assert_eq!(guest.vm.running().contains(id), runs);
    }
    action
}

/// Why it stops.
fn reason(guest: &mut Guest<'_>, input: &mut Input<'_>, operation: u8) -> Reason {
    match operation {
        // A Xen hypercall as the stock kernel reports it.
        0x70..0x90 => {
            guest.poke(RAM + 0x100, &HVC_XEN.to_le_bytes());
            guest.host.pc = RAM + 0x100;
            guest
                .host
                .set_x(16, u64::from(operation & 1) + u64::from(input.get::<u8>()));
            Reason::Hvc
        }
        0x90..0xa0 => {
            guest.host.pc = value(input);
            Reason::Hvc
        }
        // A call that turns vCPUs on and off, or asks about them.
        0xb0..0xc0 => {
            let function = POWER[usize::from(operation & 15) % POWER.len()];
            guest.host.set_x(0, function);
            guest.host.set_x(1, u64::from(input.get::<u8>() & 7));
            Reason::Trap { esr: SMC }
        }
        0xa0..0xb0 => {
            let esr = input.get();
            Reason::Trap { esr }
        }
        0xc0..0xd0 => {
            let gpa = Gpa::new(value(input) & 0x0000_ffff_ffff_ffff);
            let (iss, fetch) = (input.get(), operation & 1 != 0);
            Reason::Abort { gpa, iss, fetch }
        }
        // A load or store of a device register.
        0xd0..0xf0 => {
            let [size, write] = [u32::from(operation & 3), u32::from(operation >> 4 & 1)];
            let device = DEVICES[usize::from(operation >> 2 & 3)];
            let gpa = Gpa::new(device + u64::from(input.get::<u16>() & 0xfff));
            let iss = LOAD | size << 22 | 4 << 16 | 1 << 15 | write << 6;
            Reason::Abort {
                gpa,
                iss,
                fetch: false,
            }
        }
        0xf0..0xf8 => {
            let lr = (operation < 0xf4).then_some(operation & 3);
            Reason::Maintenance { lr }
        }
        0xf8..=0xfe => Reason::VirtualTimer,
        0xff | 0..0x70 => {
            let pc = Gva::new(guest.host.pc);
            Reason::Unknown { pc }
        }
    }
}
