//! Where the words are that a vCPU shares.

use hv_types::Gpa;

/// Where a vCPU's `vcpu_info` is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Area {
    /// In the shared_info page of this domain: no page is shared with others before registration
    /// (EX-9). Only vCPU 0 can be here (EX-10).
    Shared,
    /// It has none before it registers one: nobody can tell it of events, which stay pending in
    /// shared_info.
    Nowhere,
    /// Registered by the guest; lies within one page and is aligned to 8 bytes.
    Guest(Gpa),
}
