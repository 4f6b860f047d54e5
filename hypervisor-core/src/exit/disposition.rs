//! What the handler of an exit decided.

use crate::domain::shutdown::StopReason;
use crate::vcpu::wait::Wait;

/// What an exit's handler decided, before the interrupts are settled.
pub(super) enum Disposition {
    /// The vCPU goes on.
    Run,
    /// It goes on, and has turned another one on.
    Others,
    /// It goes on when others have had their turn.
    Yield,
    /// It waits.
    Wait(Wait),
    /// The guest stops.
    Stop(StopReason),
}
