//! Channel ids. Microkit allows 0..=61 for channels and interrupts of a PD together.

/// In a VMM and at its gate: protected calls to the memory server.
pub const MEMORY: usize = 0;
/// In a VMM and at its gate: protected calls to the dt-server.
pub const DT: usize = 1;
/// In a VMM: protected calls to the timer server, and its notifications.
pub const TIMER: usize = 2;
/// In a VMM: notifications to and from the console.
pub const CONSOLE: usize = 3;

/// In a VMM: notifications to and from the xenstore server, in which VMM `i` is channel `i`.
pub const STORE: usize = 4;

/// In the xenstore server: protected calls to the timer server, and its notifications.
pub const STORE_TIMER: usize = 16;
/// In `timer_server`: the xenstore server, as a client whose deadlines it keeps.
pub const TIMER_CLIENT_STORE: usize = 57;

/// In a gate: its own calls to the memory server.
pub const GATE_MEMORY: usize = 8;
/// In a gate: its own calls to the dt-server.
pub const GATE_DT: usize = 9;

/// In `memory_server`, `dt_server`, `timer_server` and the xenstore server: notifications to and
/// from the console. (VMM `i`, or its gate, is channel `i` there, and in the console client `c` is
/// channel `c`.)
pub const SERVER_CONSOLE: usize = 60;
/// In `memory_server`: the fault server's protected calls, which say that a VMM has stopped.
pub const MEMORY_FAULTS: usize = 59;
/// In the fault server, whose children have the numbers in [`crate::child`]: protected calls to the
/// memory server.
pub const FAULTS_MEMORY: usize = 59;
/// In the console: protected calls to the timer server, and its notifications.
pub const CONSOLE_TIMER: usize = 60;
/// In `timer_server`: the console, as a client whose deadlines it keeps.
pub const TIMER_CLIENT_CONSOLE: usize = 59;
/// In `timer_server`: notifications to and from the pulse.
pub const TIMER_PULSE: usize = 58;
/// In the pulse: notifications to and from the timer server.
pub const PULSE_TIMER: usize = 0;
/// In the console the UART's interrupt, in the timer server the timer's.
pub const IRQ: usize = 61;

/// The largest channel id that Microkit allows.
pub const MICROKIT_MAX: usize = 61;
