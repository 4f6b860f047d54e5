//! Exits of the vCPU.

use hv_types::{Gpa, Gva, VcpuId};
use hypervisor_core::exit::{Exit, Reason};
use hypervisor_core::host::{SysReg, Vcpu};
use hypervisor_core::vcpu::action::VcpuAction;

use crate::guest::{Guest, RAM, value, with_guest};
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
/// ISS of an abort: the syndrome is valid, translation fault of level 3.
const LOAD: u32 = 1 << 24 | 7;

/// A guest that stops for any reason with any registers and memory, in any order that a host can
/// report.
pub fn exits(data: &[u8]) {
    let mut input = Input::new(data);
    let flags: u8 = input.get();
    with_guest(flags & 1 != 0, flags & 2 != 0, |guest| {
        let mut waiting = false;
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
                0x50..0x60 => guest.vm.on_wake(&mut guest.host),
                0x60..0x70 => guest.vm.on_console(&mut guest.host),
                // The rest is what only a vCPU that runs can do.
                _ if waiting => continue,
                // A Xen hypercall as the stock kernel reports it.
                0x70..0x90 => {
                    guest.poke(RAM + 0x100, &HVC_XEN.to_le_bytes());
                    guest.host.pc = RAM + 0x100;
                    guest
                        .host
                        .set_x(16, u64::from(operation & 1) + u64::from(input.get::<u8>()));
                    handle(guest, Reason::Hvc)
                }
                0x90..0xa0 => {
                    guest.host.pc = value(&mut input);
                    handle(guest, Reason::Hvc)
                }
                0xa0..0xc0 => {
                    let esr = input.get();
                    handle(guest, Reason::Trap { esr })
                }
                0xc0..0xd0 => {
                    let gpa = Gpa::new(value(&mut input) & 0x0000_ffff_ffff_ffff);
                    let (iss, fetch) = (input.get(), operation & 1 != 0);
                    handle(guest, Reason::Abort { gpa, iss, fetch })
                }
                // A load or store of a device register.
                0xd0..0xf0 => {
                    let [size, write] = [u32::from(operation & 3), u32::from(operation >> 4 & 1)];
                    let device = DEVICES[usize::from(operation >> 2 & 3)];
                    let gpa = Gpa::new(device + u64::from(input.get::<u16>() & 0xfff));
                    let iss = LOAD | size << 22 | 4 << 16 | 1 << 15 | write << 6;
                    handle(
                        guest,
                        Reason::Abort {
                            gpa,
                            iss,
                            fetch: false,
                        },
                    )
                }
                0xf0..0xf8 => {
                    let lr = (operation < 0xf4).then_some(operation & 3);
                    handle(guest, Reason::Maintenance { lr })
                }
                0xf8..0xff => handle(guest, Reason::VirtualTimer),
                0xff => {
                    let pc = Gva::new(guest.host.pc);
                    handle(guest, Reason::Unknown { pc })
                }
            };
            match next {
                VcpuAction::Resume => waiting = false,
                VcpuAction::Wait => waiting = true,
                VcpuAction::Stop(reason) => {
                    assert!(!reason.to_string().is_empty());
                    return;
                }
            }
        }
    });
}

/// The guest's vCPU stops for `reason`.
fn handle(guest: &mut Guest<'_>, reason: Reason) -> VcpuAction {
    let exit = Exit {
        vcpu: VcpuId::BOOT,
        reason,
    };
    guest.vm.handle(&mut guest.host, exit)
}
