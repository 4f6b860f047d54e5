//! What a vCPU waits for.

/// What a vCPU that does not run waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Wait {
    /// It does not wait.
    #[default]
    None,
    /// An interrupt, an event or its timer (WFI, SCHEDOP_block, SCHEDOP_poll).
    Interrupt,
    /// Room on the console: its hypercall is then executed again.
    Retry,
    /// What another domain's VMM is to do, for a time: the hypercall goes on then.
    Peer,
    /// Nothing: it is off.
    Off,
}
