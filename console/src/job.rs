//! What the monitor prints in several steps.

/// A report that takes several steps; each step prints one line.
#[derive(Debug)]
pub(crate) enum Job {
    None,
    Help { row: usize },
    Clients { row: usize },
    Domains { row: usize },
    Vcpus(VcpuRow),
    Backlog(Replay),
}

/// Where the list of vCPUs is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VcpuRow {
    /// Its first line.
    Head,
    /// Of the guest and the vCPU of these numbers.
    Of(usize, usize),
}

/// Where a replay of a backlog is.
#[derive(Debug)]
pub(crate) struct Replay {
    pub(crate) client: usize,
    /// Next byte; `None` before the first line.
    pub(crate) at: Option<u64>,
    /// Where it stops: what comes later is not backlog.
    pub(crate) end: u64,
}
