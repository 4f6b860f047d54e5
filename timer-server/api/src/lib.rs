//! Requests of the timer server.
//!
//! A vCPU that does not run has its virtual timer switched off by the kernel, so a VMM whose
//! guest sleeps asks here to be notified at a time of the system counter. The caller is known by
//! its channel; each client has one deadline, and a new one replaces the old.
#![no_std]
#![forbid(unsafe_code)]

mod page;

pub use page::{CLOCK_WORDS, ClockPage, Relation};

/// Label of the only request: word 0 is the deadline in ticks of the system counter
/// (`CNTPCT_EL0`), or [`NEVER`] to cancel. The reply is empty, label 0; any other request is
/// answered with label [`MALFORMED`].
pub const OP_ARM: u64 = 1;
/// Deadline that never comes.
pub const NEVER: u64 = u64::MAX;
/// Reply label for a request that is not understood.
pub const MALFORMED: u64 = 1;
