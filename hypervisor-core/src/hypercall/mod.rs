//! Hypercalls: from number and arguments to a result.
//!
//! [`dispatch`] matches the number, each family matches its command; the pointers among the
//! arguments are guest virtual addresses, which a family copies in once and never looks at again.
//! Each operation is one [`row`], from which come the dispatcher, the table of SUPPORT.md and the
//! words of `zazen explain`.

mod assist;
pub mod console;
pub mod event;
pub mod grant;
mod hvm;
pub mod memory;
mod multicall;
pub mod outcome;
mod privileged;
pub mod row;
mod sched;
mod vcpu;
mod version;

#[cfg(test)]
mod tests;

use xen_abi::number;

use crate::host::on_vcpu::VcpuHost;
use crate::vm::Vm;

use outcome::Outcome;
use row::Row;

/// The rows of each family.
const FAMILIES: [&[Row]; 10] = [
    privileged::ROWS,
    memory::ROWS,
    version::ROWS,
    console::ROWS,
    grant::ROWS,
    assist::ROWS,
    vcpu::ROWS,
    sched::ROWS,
    event::ROWS,
    hvm::ROWS,
];

/// Every hypercall and sub-operation of the Xen ABI on Arm, ascending by number and sub-operation.
pub const ROWS: &[Row] = &sorted::<{ count() }>();

const fn count() -> usize {
    let (mut n, mut family) = (0, 0);
    while family < FAMILIES.len() {
        n += FAMILIES[family].len();
        family += 1;
    }
    n
}

/// Puts the rows of all families in order.
const fn sorted<const N: usize>() -> [Row; N] {
    let mut rows = [FAMILIES[0][0]; N];
    let (mut n, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let new = FAMILIES[family][row];
            let mut at = n;
            while at > 0 && is_before(&new, &rows[at - 1]) {
                rows[at] = rows[at - 1];
                at -= 1;
            }
            rows[at] = new;
            n += 1;
            row += 1;
        }
        family += 1;
    }
    rows
}

const fn is_before(a: &Row, b: &Row) -> bool {
    if a.number != b.number {
        return a.number < b.number;
    }
    match (a.cmd, b.cmd) {
        (Some(a), Some(b)) => a < b,
        (a, b) => a.is_none() && b.is_some(),
    }
}

/// Does hypercall `nr` (x16) with `args` (x0..x4) for the guest's vCPU.
///
/// The number is compared as 64 bits and an unknown one is answered with `-ENOSYS`. Arguments that
/// are `int` in Xen's prototypes (xen/include/hypercall-defs.c) count with their low 32 bits: the
/// procedure call standard leaves the upper half of their registers undefined.
pub fn dispatch<H: VcpuHost>(vm: &mut Vm<'_>, host: &mut H, nr: u64, args: [u64; 5]) -> Outcome {
    // A vCPU that makes hypercalls no longer waits in one.
    vm.vcpu(host.id()).poll = None;
    if nr == number::MULTICALL {
        return multicall::multicall(vm, host, args, single);
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
        ..
    } = vm;
    match nr {
        number::EVENT_CHANNEL_OP => event::event_channel_op(domain, devices, host, int(a0), a1),
        number::GRANT_TABLE_OP => {
            grant::grant_table_op(domain, host, [int(a0), a1, int(a2), a3, a4])
        }
        number::SCHED_OP => sched::sched_op(domain, vcpus, &devices.gic, host, int(a0), a1),
        number::XEN_VERSION => {
            version::xen_version(host, &domain.p2m, domain.record.direct_map, int(a0), a1)
        }
        number::MEMORY_OP => memory::memory_op(domain, host, args),
        number::CONSOLE_IO => console::console_io(
            host,
            &domain.p2m,
            &mut devices.console_io.held,
            [int(a0), int(a1), a2, a3, a4],
        ),
        number::HVM_OP => hvm::hvm_op(domain, devices, host, a0, a1),
        number::VCPU_OP => vcpu::vcpu_op(
            domain,
            vcpus,
            &mut devices.gic,
            host,
            [int(a0), int(a1), a2],
        ),
        number::VM_ASSIST => assist::vm_assist(&mut domain.assists, int(a0), int(a1)),
        _ => privileged::whole(host, &domain.p2m, nr, a0),
    }
}

/// The low 32 bits of a register that holds an `int`.
const fn int(register: u64) -> u64 {
    register & 0xffff_ffff
}
