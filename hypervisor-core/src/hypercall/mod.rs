//! Hypercalls: from number and arguments to a result.
//!
//! [`dispatch`] matches the number, each family matches its command; the pointers among the
//! arguments are guest virtual addresses, which a family copies in once and never looks at again.
//! What exists and what does not is also a table ([`table`]), which the tests hold against the
//! dispatcher and which SUPPORT.md shows.

mod assist;
pub mod console;
pub mod event;
pub mod grant;
mod hvm;
pub mod memory;
mod misc;
mod multicall;
pub mod outcome;
mod sched;
pub mod table;
mod vcpu;
mod version;
mod words;

#[cfg(test)]
mod tests;

use xen_abi::{Errno, number};

use crate::host::on_vcpu::VcpuHost;
use crate::vm::Vm;

use outcome::Outcome;

/// Does hypercall `nr` (x16) with `args` (x0..x4) for the guest's vCPU.
///
/// The number is compared as 64 bits and an unknown one is answered with `-ENOSYS`. Arguments that
/// are `int` in Xen's prototypes (xen/include/hypercall-defs.c) count with their low 32 bits: the
/// procedure call standard leaves the upper half of their registers undefined.
pub fn dispatch<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, nr: u64, args: [u64; 5]) -> Outcome {
    // A vCPU that makes hypercalls no longer waits in one.
    vm.vcpu(host.id()).poll = None;
    if nr == number::MULTICALL {
        return multicall::multicall(vm, host, args);
    }
    single(vm, host, nr, args)
}

/// [`dispatch`] of anything but a multicall, which does not nest.
fn single<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, nr: u64, args: [u64; 5]) -> Outcome {
    let [a0, a1, a2, a3, a4] = args;
    let Vm {
        domain,
        vcpus,
        devices,
    } = vm;
    let vcpu = &mut vcpus[host.id().index()];
    match nr {
        number::EVENT_CHANNEL_OP => {
            event::event_channel_op(domain, devices, host, [int(a0), a1, a2, a3, a4]).into()
        }
        number::GRANT_TABLE_OP => {
            grant::grant_table_op(domain, host, [int(a0), a1, int(a2), a3, a4])
        }
        number::SCHED_OP => sched::sched_op(domain, vcpu, &devices.gic, host, int(a0), a1),
        number::XEN_VERSION => {
            version::xen_version(host, &domain.p2m, domain.record.direct_map, int(a0), a1).into()
        }
        number::MEMORY_OP => memory::memory_op(domain, host, args),
        number::CONSOLE_IO => console::console_io(
            host,
            &domain.p2m,
            &mut devices.console_io.held,
            [int(a0), int(a1), a2, a3, a4],
        ),
        number::HVM_OP => hvm::hvm_op(domain, devices, host, a0, a1).into(),
        number::VCPU_OP => {
            vcpu::vcpu_op(domain, vcpu, &mut devices.gic, host, [int(a0), int(a1), a2]).into()
        }
        number::VM_ASSIST => assist::vm_assist(&mut domain.assists, int(a0), int(a1)).into(),
        number::MULTICALL => Errno::Einval.into(),
        number::PLATFORM_OP | number::SYSCTL | number::DOMCTL => {
            misc::toolstack(host, &domain.p2m, nr, a0).into()
        }
        _ => misc::refused(nr).into(),
    }
}

/// The low 32 bits of a register that holds an `int`.
const fn int(register: u64) -> u64 {
    register & 0xffff_ffff
}
