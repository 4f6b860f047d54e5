//! Processor time that vCPUs have used, as the kernel counts it: for the fault server, which holds
//! their scheduling contexts.

use topology::caps;

/// Microseconds that vCPU `vcpu` of domain `domain` has used since this was called last; `None` if
/// the kernel refused.
pub fn since_last(domain: usize, vcpu: usize) -> Option<u64> {
    let time = caps::cptr(caps::VCPU_TIMES_ROOT, caps::vcpu_time(domain, vcpu));
    // 0 is seL4's word for "no error".
    sel4::with_ipc_buffer_mut(|buffer| {
        let answer = buffer.inner_mut().seL4_SchedContext_Consumed(time);
        (answer.error == 0).then_some(answer.consumed)
    })
}
