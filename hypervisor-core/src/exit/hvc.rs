//! HVC and SMC: hypercalls, and calls of SMCCC.

use hv_types::Gva;

use super::disposition::Disposition;
use super::psci::{self, Conduit, Power, SmcccAction};
use crate::device::table::Set;
use crate::diag::fault::OtherCall;
use crate::host::on_vcpu::VcpuHost;
use crate::hypercall;
use crate::hypercall::outcome::{Outcome, Until};
use crate::vcpu::inject;
use crate::vcpu::wait::Wait;
use crate::vcpu::walk::stub;
use crate::vm::Vm;

/// Bytes of an A64 instruction.
pub(super) const INSTRUCTION: u64 = 4;
/// Immediate of a Xen hypercall (`XEN_HYPERCALL_TAG`, xen/include/public/arch-arm.h).
const XEN_TAG: u16 = 0xea1;

/// An HVC at the PC, whose number and immediate the host cannot see.
pub(super) fn unseen<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H) -> Disposition {
    let pc = host.pc();
    let stubs = &mut vm.vcpus[host.id().index()].stubs;
    match stub::fetch_hvc(host, &vm.domain.p2m, stubs) {
        Ok(site) if site.imm == XEN_TAG => {
            let nr = match site.nr {
                Some(nr) => nr,
                None => host.x(16),
            };
            hypercall(vm, host, nr, pc)
        }
        Ok(site) => other(vm, host, site.imm, pc),
        // The text is not readable or has changed since: what stands there now is no call of ours.
        Err(_) => {
            host.log(format_args!(
                "a call, pc {pc:#x}, that is not in the guest's memory any more: undefined for the guest"
            ));
            inject::undefined(host);
            Disposition::Run
        }
    }
}

/// An HVC at `at` with immediate `imm`.
pub(super) fn seen<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, imm: u16, at: Gva) -> Disposition {
    if imm == XEN_TAG {
        let nr = host.x(16);
        return hypercall(vm, host, nr, at);
    }
    other(vm, host, imm, at)
}

/// Executes a hypercall whose HVC is at `at`.
fn hypercall<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, nr: u64, at: Gva) -> Disposition {
    let args = [host.x(0), host.x(1), host.x(2), host.x(3), host.x(4)];
    let after = Gva::new(at.raw().wrapping_add(INSTRUCTION));
    match hypercall::dispatch(vm, host, nr, args) {
        Outcome::Return(value) => {
            host.set_x(0, value.cast_unsigned());
            host.set_pc(after);
            Disposition::Run
        }
        Outcome::Yield => {
            host.set_x(0, 0);
            host.set_pc(after);
            // A guest yields while a ring is full; what drains it must come first.
            vm.devices.notify(Set::CONSOLES);
            vm.yields(host.id())
        }
        Outcome::Block => {
            host.set_x(0, 0);
            host.set_pc(after);
            Disposition::Wait(Wait::Interrupt)
        }
        Outcome::Continue { args } => {
            again(host, at, args);
            Disposition::Run
        }
        Outcome::ContinueLater { args, until } => {
            again(host, at, args);
            match until {
                Until::OthersRan => Disposition::Yield,
                Until::PeerAnswers => Disposition::Wait(Wait::Peer),
            }
        }
        Outcome::Retry => {
            host.set_pc(at);
            Disposition::Wait(Wait::Retry)
        }
        Outcome::Stop(reason) => Disposition::Stop(reason),
    }
}

/// Has the HVC at `at` executed again, with `args` in x0..x4.
fn again<H: VcpuHost>(host: &mut H, at: Gva, args: [u64; 5]) {
    for (n, value) in (0_u8..).zip(args) {
        host.set_x(n, value);
    }
    host.set_pc(at);
}

/// An HVC that is no hypercall.
fn other<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, imm: u16, at: Gva) -> Disposition {
    host.set_pc(Gva::new(at.raw().wrapping_add(INSTRUCTION)));
    if imm == 0 {
        return smccc(vm, host, Conduit::Hvc);
    }
    // Xen answers another immediate with UNDEF, its ELR behind the instruction.
    host.log(format_args!("{}", OtherCall { imm, pc: at }));
    inject::undefined(host);
    Disposition::Run
}

/// A call of SMCCC; the PC is behind the instruction.
pub(super) fn smccc<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, conduit: Conduit) -> Disposition {
    let power = Power {
        all: vm.all(),
        on: vm.on(),
    };
    match psci::call(host, conduit, power) {
        SmcccAction::Resume => Disposition::Run,
        SmcccAction::Wait => Disposition::Wait(Wait::Interrupt),
        SmcccAction::Off => Disposition::Wait(Wait::Off),
        SmcccAction::TurnOn(vcpu) => {
            let start = psci::start(host);
            vm.turn_on(host, vcpu, start);
            Disposition::Others
        }
        // A code latched by SCHEDOP_shutdown_code counts, as in Xen.
        SmcccAction::Stop(reason) => Disposition::Stop(vm.domain.shutdown.shutdown(reason.code())),
    }
}
