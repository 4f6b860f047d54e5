//! multicall (public/xen.h): a list of hypercalls.

use hv_types::Gva;
use xen_abi::Errno;
use xen_abi::multicall::MulticallEntry;

use super::outcome::Outcome;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::Copier;
use crate::vm::Vm;

/// Entries done before the guest may take an interrupt; each is bounded by itself.
const CHUNK: u64 = 16;
/// Bytes of an entry.
const ENTRY: u64 = size_of::<MulticallEntry>() as u64;
/// Where its result lies.
const RESULT: u64 = core::mem::offset_of!(MulticallEntry, result) as u64;

/// multicall(list, count): each entry in turn, its result stored in it.
///
/// A long list, and an entry that asks to be continued or tried again, make the guest execute the
/// HVC again with the rest of the list, so that nothing is done twice.
///
/// `single` does one hypercall.
pub(super) fn multicall<H: VcpuHost>(
    vm: &mut Vm<'_>,
    host: &mut H,
    args: [u64; 5],
    single: impl Fn(&mut Vm<'_>, &mut H, u64, [u64; 5]) -> Outcome,
) -> Outcome {
    let [list, count, a2, a3, a4] = args;
    let mut gva = Gva::new(list);
    let rest = |gva: Gva, done: u64| Outcome::Continue {
        args: [gva.raw(), count - done, a2, a3, a4],
    };
    let mut guest = Copier::new();
    let mut after = Outcome::Return(0);
    for done in 0..count {
        if done == CHUNK {
            return rest(gva, done);
        }
        let mut entry: MulticallEntry = match guest.copy_in(host, &vm.domain.p2m, gva) {
            Ok(entry) => entry,
            Err(errno) => return errno.into(),
        };
        let [x0, x1, x2, x3, x4, _] = entry.args;
        let outcome = single(vm, host, entry.op, [x0, x1, x2, x3, x4]);
        // The call may have taken the very page away that holds the list.
        guest.forget_pages();
        let result = match outcome {
            Outcome::Return(result) => result,
            Outcome::Continue { args } | Outcome::ContinueLater { args, .. } => {
                let [x0, x1, x2, x3, x4] = args;
                entry.args = [x0, x1, x2, x3, x4, entry.args[5]];
                let args = match rest(gva, done) {
                    Outcome::Continue { args } => args,
                    other => return other,
                };
                return match guest.copy_out(host, &vm.domain.p2m, gva, &entry) {
                    Ok(()) => match outcome {
                        Outcome::ContinueLater { until, .. } => {
                            Outcome::ContinueLater { args, until }
                        }
                        _ => Outcome::Continue { args },
                    },
                    Err(errno) => errno.into(),
                };
            }
            // What this entry waits for is waited for once it is the first of the list.
            Outcome::Retry if done == 0 => return Outcome::Retry,
            Outcome::Retry => return rest(gva, done),
            // The calls behind it are done first; a guest cannot tell.
            stop_running @ (Outcome::Yield | Outcome::Block) => {
                if after != Outcome::Block {
                    after = stop_running;
                }
                0
            }
            stop @ Outcome::Stop(_) => return stop,
        };
        // The result alone: the call may have written to its own entry.
        let written = gva
            .checked_add(RESULT)
            .ok_or(Errno::Efault)
            .and_then(|at| guest.copy_out(host, &vm.domain.p2m, at, &result));
        if let Err(errno) = written {
            return errno.into();
        }
        gva = match gva.checked_add(ENTRY) {
            Some(next) => next,
            None if done + 1 == count => break,
            None => return Errno::Efault.into(),
        };
    }
    after
}
