//! Requests of the timer server.
//!
//! A vCPU that does not run has its virtual timer switched off by the kernel, so a VMM whose
//! guest sleeps asks here to be notified at a time of the system counter. The caller is known by
//! its channel; each client has one deadline, and a new one replaces the old.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod armed;
mod page;

pub use armed::Armed;
pub use ipc::Message;
pub use page::{CLOCK_WORDS, ClockPage, Relation};

ipc::requests! {
    /// What a client asks. The reply is empty, label 0; a message that is no request is answered
    /// with label [`MALFORMED`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Request {
        /// Notify me then; the deadline before this one is forgotten.
        1 Idempotent Arm {
            /// Ticks of the system counter (`CNTPCT_EL0`), or [`NEVER`] to cancel.
            deadline: u64,
        },
    }
}

/// Label of [`Request::Arm`].
pub const OP_ARM: u64 = Request::Arm { deadline: NEVER }.label();
/// Deadline that never comes.
pub const NEVER: u64 = u64::MAX;
/// Reply label for a request that is not understood.
pub const MALFORMED: u64 = 1;
