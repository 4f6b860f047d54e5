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

/// In a VMM: notifications to and from the block server, in which VMM `i` is channel `i`.
pub const DISKS: usize = 5;
/// In a VMM: the fault server's notification that the block server has stopped.
pub const DISKS_LOST: usize = 6;

/// In a VMM: notifications to and from the net server, in which VMM `i` is channel `i`.
pub const NETS: usize = 8;
/// In a VMM: the fault server's notification that the net server has stopped.
pub const NETS_LOST: usize = 9;

/// In the block server: notifications to and from its driver.
pub const BLOCK_DRIVER: usize = 16;
/// In the block server: the fault server's notification that the driver has stopped.
pub const BLOCK_DRIVER_LOST: usize = 17;
/// In the block driver: notifications to and from the block server.
pub const DRIVER_BLOCK: usize = 0;

/// In the net server: notifications to and from the driver of the uplink.
pub const NET_DRIVER: usize = 16;
/// In the net server: the fault server's notification that the driver has stopped.
pub const NET_DRIVER_LOST: usize = 17;
/// In the net driver: notifications to and from the net server.
pub const DRIVER_NET: usize = 0;

/// In the xenstore server: protected calls to the timer server, and its notifications.
pub const STORE_TIMER: usize = 16;
/// In `timer_server`: the xenstore server, as a client whose deadlines it keeps.
pub const TIMER_CLIENT_STORE: usize = 57;

/// In a VMM and at its gate: protected calls to the peer server, if its domain meets another one.
pub const PEER: usize = 7;
/// In a VMM: notifications to and from the VMM of domain `i`, whom its domain meets, is this plus
/// `i`.
pub const PAIR: usize = 16;

/// In a gate: its own calls to the memory server.
pub const GATE_MEMORY: usize = 8;
/// In a gate: its own calls to the dt-server.
pub const GATE_DT: usize = 9;
/// In a gate: its own calls to the peer server.
pub const GATE_PEER: usize = 10;

/// In `memory_server`, `dt_server`, `timer_server` and the xenstore server: notifications to and
/// from the console. (VMM `i`, or its gate, is channel `i` there, and in the console client `c` is
/// channel `c`.)
pub const SERVER_CONSOLE: usize = 60;
/// In the fault server: notifications to the xenstore server that the VMM of domain `i` has stopped
/// are this plus `i`.
pub const FAULTS_STORE: usize = 32;
/// In the xenstore server: the same.
pub const STORE_FAULTS: usize = 32;
/// In the fault server: notifications to the VMM of domain `i` that the block server has stopped
/// are this plus `i`.
pub const FAULTS_DISKS: usize = 40;
/// In the fault server: the notification to the block server that its driver has stopped.
pub const FAULTS_BLOCK: usize = 48;
/// In the fault server: notifications to the VMM of domain `i` that the net server has stopped are
/// this plus `i`.
pub const FAULTS_NETS: usize = 49;
/// In the fault server: the notification to the net server that its driver has stopped.
pub const FAULTS_NET: usize = 57;
/// In `memory_server`: the fault server's protected calls, which say that a VMM has stopped.
pub const MEMORY_FAULTS: usize = 59;
/// In `memory_server`: notifications to and from the wiper.
pub const MEMORY_WIPER: usize = 58;
/// In the wiper: notifications to and from the memory server.
pub const WIPER_MEMORY: usize = 0;
/// In the fault server, whose children have the numbers in [`crate::child`]: protected calls to the
/// memory server.
pub const FAULTS_MEMORY: usize = 59;
/// In the fault server: protected calls to the peer server.
pub const FAULTS_PEER: usize = 58;
/// In `peer_server`: the fault server's protected calls, which say that a VMM has stopped. (The
/// gate of domain `i` is channel `i`.)
pub const PEER_FAULTS: usize = 59;
/// In `peer_server`: protected calls to the memory server.
pub const PEER_MEMORY: usize = 16;
/// In `memory_server`: the peer server's protected calls.
pub const MEMORY_PEER: usize = 57;
/// In the console: protected calls to the timer server, and its notifications.
pub const CONSOLE_TIMER: usize = 60;
/// In `timer_server`: the console, as a client whose deadlines it keeps.
pub const TIMER_CLIENT_CONSOLE: usize = 59;
/// In `timer_server`: notifications to and from the pulse.
pub const TIMER_PULSE: usize = 58;
/// In the pulse: notifications to and from the timer server.
pub const PULSE_TIMER: usize = 0;
/// In the console the UART's interrupt, in the timer server the timer's, in the drivers of a
/// disk and of an uplink the device's.
pub const IRQ: usize = 61;

/// The largest channel id that Microkit allows.
pub const MICROKIT_MAX: usize = 61;
