//! A hypercall operation is one row: number, name, what a guest gets, what it is for, and its
//! handler.
//!
//! `family` makes of a family's rows both the function that dispatches them and the list from
//! which SUPPORT.md and `zazen explain` take their words.

use xen_abi::Errno;

/// What a guest gets from an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It works as in Xen, or as the list of differences in SUPPORT.md says.
    Done,
    /// It works as far as the text says.
    Partly(&'static str),
    /// It is refused with this error, as Xen does.
    Error(Errno),
    /// Xen has it and this hypervisor will; until then it is refused with this error, and guests
    /// have a way around.
    Later(Errno),
}

impl Status {
    /// The answer of an operation without a handler.
    ///
    /// # Panics
    /// At compile time, for a row that says that it does something and has no handler.
    pub(super) const fn refusal(self) -> Errno {
        match self {
            Self::Error(errno) | Self::Later(errno) => errno,
            Self::Done | Self::Partly(_) => panic!("a row that does something has a handler"),
        }
    }
}

/// One operation, as far as words can tell.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Hypercall number (x16).
    pub number: u64,
    /// Name of the hypercall.
    pub name: &'static str,
    /// Sub-operation (x0, in vcpu_op and the like the `cmd`), where the hypercall has any.
    pub cmd: Option<u64>,
    /// Name of the sub-operation, empty where there is none.
    pub cmd_name: &'static str,
    /// What the guest gets.
    pub status: Status,
    /// What it is for, in one or two sentences.
    pub about: &'static str,
}

/// Defines a family of operations: its rows, `ROWS`, and the function that does one of them.
///
/// ```text
/// family! {
///     SCHED_OP "sched_op"
///     fn sched_op<H: VcpuHost>(host: &mut H, cmd: u64);
///     before { statements that all operations share }
///     match cmd, else the answer to an unknown operation;
///     sched::YIELD { "yield", Done, "Lets others run.", Outcome::Yield }
///     sched::PIN_OVERRIDE { "pin_override", Error(Eperm), "Pins a vCPU to a CPU." }
/// }
/// ```
///
/// A handler is anything that an [`Outcome`](super::outcome::Outcome) can be made of; without one
/// the answer is the status's error.
macro_rules! family {
    (
        $(#[$doc:meta])*
        $number:ident $family:literal
        fn $name:ident $(<$($g:ident: $bound:ident),+>)? ($($arg:ident: $type:ty),* $(,)?);
        $(before { $($before:tt)* })?
        match $cmd:expr, else $otherwise:expr;
        $($op:path { $op_name:literal, $status:expr, $about:literal $(, $handler:expr)? $(,)? })*
    ) => {
        /// The family's rows.
        pub(super) const ROWS: &[$crate::hypercall::row::Row] = &[$($crate::hypercall::row::Row {
            number: xen_abi::number::$number,
            name: $family,
            cmd: Some($op),
            cmd_name: $op_name,
            status: $status,
            about: $about,
        }),*];

        $(#[$doc])*
        pub(super) fn $name $(<$($g: $bound),+>)? ($($arg: $type),*) -> $crate::hypercall::outcome::Outcome {
            $($($before)*)?
            match $cmd {
                $($op => $crate::hypercall::row::family!(@answer $status $(, $handler)?),)*
                _ => $otherwise.into(),
            }
        }
    };
    (@answer $status:expr, $handler:expr) => {
        $crate::hypercall::outcome::Outcome::from($handler)
    };
    (@answer $status:expr) => {
        const { $status.refusal() }.into()
    };
}
pub(super) use family;
