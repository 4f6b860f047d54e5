//! Taking a protection domain's own time away: what the fault server does for its children.
//!
//! A scheduling context that is bound to a notification goes back there when its thread waits next.
//! From then on the thread runs on it for notifications alone, and on the time of its caller, or of
//! the guest that faulted, for anything else. Microkit's monitor does the same for those that ask
//! it, at the highest priority of all and for anybody who holds a capability to it; so nobody asks
//! here, and nobody holds one.

use topology::caps;

/// Binds the scheduling context of child `child` to its notification; false if the kernel refused.
pub fn make_passive(child: usize) -> bool {
    let (time, notification) = (caps::child_time(child), caps::child_notification(child));
    // 0 is seL4's word for "no error".
    sel4::with_ipc_buffer_mut(|buffer| {
        buffer
            .inner_mut()
            .seL4_SchedContext_Bind(time, notification)
            == 0
    })
}
