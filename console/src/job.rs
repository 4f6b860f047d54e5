//! What the monitor prints in several steps.

/// A report that takes several steps; each step prints one line.
#[derive(Debug)]
pub(crate) enum Job {
    None,
    Help { row: usize },
    Clients { row: usize },
    Domains { row: usize },
    Backlog(Replay),
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
