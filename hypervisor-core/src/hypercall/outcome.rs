//! What becomes of a hypercall.

use xen_abi::Errno;

use crate::domain::shutdown::StopReason;

/// What a hypercall that is not done waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Others have had a turn.
    OthersRan,
    /// Another domain's VMM has done something, or not in time
    /// ([`crate::domain::Domain::impatient_at`]).
    PeerAnswers,
}

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
    /// The same, once what it waits for may have happened.
    ContinueLater {
        /// x0..x4.
        args: [u64; 5],
        /// What that is.
        until: Until,
    },
    /// It is done with 0; others may run first.
    Yield,
    /// It is done with 0; the vCPU waits until an event or interrupt is deliverable, or until its
    /// poll [is over](crate::vcpu::poll::PollWait::is_over).
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

impl From<Result<Self, Errno>> for Outcome {
    fn from(result: Result<Self, Errno>) -> Self {
        result.unwrap_or_else(Self::from)
    }
}
