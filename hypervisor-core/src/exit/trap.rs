//! Instructions that trap: by their syndrome.

use hv_types::Gva;

use super::disposition::Disposition;
use super::hvc::{self, INSTRUCTION};
use super::psci::Conduit;
use super::syndrome::{self, Trap, WaitKind};
use super::sysreg;
use crate::diag::fault::{NoRegister, NotOffered};
use crate::host::on_vcpu::VcpuHost;
use crate::vcpu::inject;
use crate::vcpu::wait::Wait;
use crate::vm::Vm;

/// `PSTATE.nRW`: AArch32.
pub(super) const AARCH32: u64 = 1 << 4;

/// Handles a trap with syndrome `esr_el2`.
pub(super) fn on_trap<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, esr_el2: u32) -> Disposition {
    let pc = host.pc();
    let trap = syndrome::decode(esr_el2);
    if let Trap::Hvc { imm } = trap {
        // A kernel that reports HVC as a trap leaves the PC behind it.
        let at = Gva::new(pc.raw().wrapping_sub(INSTRUCTION));
        return hvc::seen(vm, host, imm, at);
    }
    let after = Gva::new(pc.raw().wrapping_add(length(host, esr_el2)));
    match trap {
        Trap::Smc { imm: 0 } => {
            host.set_pc(after);
            hvc::smccc(vm, host, Conduit::Smc)
        }
        Trap::Wait(WaitKind::Wfi) => {
            host.set_pc(after);
            Disposition::Wait(Wait::Interrupt)
        }
        // WFE and the variants with a timeout may end at any time. Nobody is told of what they wait
        // for (SEV, and the event of the exclusive monitor), so it is for another vCPU to have its
        // turn, and never to wait.
        Trap::Wait(_) => {
            host.set_pc(after);
            vm.yields(host.id())
        }
        Trap::SysReg(access) if sysreg::emulate(host, access) => {
            host.set_pc(after);
            Disposition::Run
        }
        Trap::SysReg(access) => {
            let vcpu = &mut vm.vcpus[host.id().index()];
            let done = vcpu.ptimer.emulate(host, &mut vm.devices.gic, access);
            if done {
                if !access.read && vm.vcpus[host.id().index()].ptimer.is_armed() {
                    host.wake_at(vm.next_deadline());
                }
                host.set_pc(after);
            } else {
                host.log(format_args!("{}", NoRegister { access, pc }));
                inject::undefined(host);
            }
            Disposition::Run
        }
        _ => refuse(host, esr_el2),
    }
}

/// Makes the instruction at the PC, which trapped with `esr`, undefined, and says so.
#[cold]
#[inline(never)]
fn refuse<H: VcpuHost>(host: &mut H, esr: u32) -> Disposition {
    let pc = host.pc();
    host.log(format_args!("{}", NotOffered { esr, pc }));
    inject::undefined(host);
    Disposition::Run
}

/// Bytes of the instruction that trapped: AArch32 user space has instructions of 16 bits, which the
/// IL bit of `ESR_EL2` tells.
fn length<H: VcpuHost>(host: &mut H, esr: u32) -> u64 {
    let short = esr >> 25 & 1 == 0 && host.pstate() & AARCH32 != 0;
    if short { 2 } else { INSTRUCTION }
}
