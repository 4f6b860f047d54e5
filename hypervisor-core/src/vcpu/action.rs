//! What a host does with a vCPU next.

use crate::domain::shutdown::StopReason;

/// What the host does with the vCPU after an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VcpuAction {
    /// Let it run.
    Resume,
    /// Leave it stopped until a wake, an interrupt or console input.
    Wait,
    /// Stop it for good. (Of a [`Vm`](crate::vm::Vm), which does not outlive it; a
    /// [`Life`](crate::life::Life) may have another one for it.)
    Stop(StopReason),
}
