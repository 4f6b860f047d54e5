//! What a host does with a vCPU next.

use crate::domain::shutdown::StopReason;

/// What the host does with the vCPU after an exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VcpuAction {
    /// Let it run. Nothing has changed for the others.
    Resume,
    /// Let it run, and look [who else](crate::vm::Vm::running) does.
    Others,
    /// Let it run when others that would like to have had their turn.
    Yield,
    /// Leave it stopped until [`Vm::running`](crate::vm::Vm::running) has it.
    Wait,
    /// Stop it for good. (Of a [`Vm`](crate::vm::Vm), which does not outlive it; a
    /// [`Life`](crate::life::Life) may have another one for it.)
    Stop(StopReason),
}
