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
mod runstate;
mod sched;
mod state;
pub mod table;
mod vcpu;
mod version;
mod watchdog;
mod words;

#[cfg(test)]
mod tests;

use hv_types::DomId;
use xen_abi::{Errno, number};

use crate::host::Host;
use crate::vm::{StopReason, Vm};

pub use runstate::{RunState, set_runstate};
pub use sched::poll_is_over;
pub use state::State;

/// What becomes of a hypercall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done: x0 is this, the PC goes behind the HVC.
    Return(i64),
    /// It is not done: x0..x4 are these and the HVC is executed again (Xen's continuation).
    Continue {
        /// x0..x4.
        args: [u64; 5],
    },
    /// It is done with 0; others may run first.
    Yield,
    /// It is done with 0; the vCPU waits until an event or interrupt is deliverable, or until [`poll_is_over`].
    Block,
    /// It cannot be done yet: the PC stays at the HVC and the vCPU waits until something happened.
    Retry,
    /// The guest stops.
    Stop(StopReason),
}

impl From<Result<i64, Errno>> for Outcome {
    fn from(result: Result<i64, Errno>) -> Self {
        Self::Return(match result {
            Ok(value) => value,
            Err(errno) => errno.as_i64(),
        })
    }
}

impl From<Errno> for Outcome {
    fn from(errno: Errno) -> Self {
        Self::Return(errno.as_i64())
    }
}

/// Does hypercall `nr` (x16) with `args` (x0..x4) for the guest's vCPU.
///
/// The number is compared as 64 bits and an unknown one is answered with `-ENOSYS`. Arguments that
/// are `int` in Xen's prototypes (xen/include/hypercall-defs.c) count with their low 32 bits: the
/// procedure call standard leaves the upper half of their registers undefined.
pub fn dispatch<H: Host>(vm: &mut Vm<'_>, host: &mut H, nr: u64, args: [u64; 5]) -> Outcome {
    // A vCPU that makes hypercalls no longer waits in one.
    if vm.hc.poll.is_some() {
        vm.hc.resumed();
    }
    if nr == number::MULTICALL {
        return multicall::multicall(vm, host, args);
    }
    single(vm, host, nr, args)
}

/// [`dispatch`] of anything but a multicall, which does not nest.
fn single<H: Host>(vm: &mut Vm<'_>, host: &mut H, nr: u64, args: [u64; 5]) -> Outcome {
    let [a0, a1, a2, a3, a4] = args;
    match nr {
        number::EVENT_CHANNEL_OP => {
            event::event_channel_op(vm, host, [int(a0), a1, a2, a3, a4]).into()
        }
        number::GRANT_TABLE_OP => grant::grant_table_op(vm, host, [int(a0), a1, int(a2), a3, a4]),
        number::SCHED_OP => sched::sched_op(vm, host, int(a0), a1),
        number::XEN_VERSION => version::xen_version(vm, host, int(a0), a1).into(),
        number::MEMORY_OP => memory::memory_op(vm, host, args),
        number::CONSOLE_IO => console::console_io(vm, host, [int(a0), int(a1), a2, a3, a4]),
        number::HVM_OP => hvm::hvm_op(vm, host, a0, a1).into(),
        number::VCPU_OP => vcpu::vcpu_op(vm, host, int(a0), int(a1), a2).into(),
        number::VM_ASSIST => assist::vm_assist(vm, int(a0), int(a1)).into(),
        number::MULTICALL => Errno::Einval.into(),
        number::PLATFORM_OP | number::SYSCTL | number::DOMCTL => {
            misc::toolstack(vm, host, nr, a0).into()
        }
        _ => misc::refused(nr).into(),
    }
}

/// The low 32 bits of a register that holds an `int`.
const fn int(register: u64) -> u64 {
    register & 0xffff_ffff
}

/// Accepts a domain id that names the caller.
///
/// # Errors
/// [`Errno::Eperm`] for another domain, [`Errno::Esrch`] where there is none of that id.
pub(crate) fn caller(vm: &Vm<'_>, domid: u16) -> Result<(), Errno> {
    vm.events.domains().own(DomId(domid))
}
