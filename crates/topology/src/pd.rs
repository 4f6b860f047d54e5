//! Names of protection domains. A domain `<name>` has the PD `vmm_<name>` and the VM `<name>`.

/// Owner of all guest memory.
pub const MEMORY_SERVER: &str = "memory_server";
/// Reader of the domains file.
pub const DT_SERVER: &str = "dt_server";
/// Deadlines of sleeping guests.
pub const TIMER_SERVER: &str = "timer_server";
/// Parent of everybody but the console: who says why one of them stopped, and has the memory of a VMM taken back.
pub const FAULT_SERVER: &str = "fault_server";
/// Owner of the UART.
pub const CONSOLE: &str = "console";
/// The virtual machine of the timer server that reads the system counter, on boards where user level cannot.
pub const CLOCK_VM: &str = "clock";
/// What a VMM's name starts with.
pub const VMM_PREFIX: &str = "vmm_";
/// Names that no domain may have: the server PDs and the timer server's virtual machine, and Microkit's own monitor.
pub const RESERVED: [&str; 7] = [
    MEMORY_SERVER,
    DT_SERVER,
    TIMER_SERVER,
    FAULT_SERVER,
    CONSOLE,
    CLOCK_VM,
    "monitor",
];

/// Scheduling priorities (0..=254). A protected call needs a strictly higher target.
pub mod priority {
    /// Guests.
    pub const VM: u8 = 100;
    /// VMMs: as guests, so that they share the processor with them by time slices and one that never stops takes no more
    /// than its part. A fault switches to the VMM and a reply back at once all the same.
    pub const VMM: u8 = VM;
    /// The fault server: as VMMs and guests, so that it shares the processor with them by time slices while it has the
    /// memory of a domain taken back, which the memory server does on its time.
    pub const FAULT_SERVER: u8 = VMM;
    /// The console.
    pub const CONSOLE: u8 = 220;
    /// The timer server's virtual machine: above everybody who needs the time, so that it has run before they do.
    pub const CLOCK_VM: u8 = 225;
    /// The timer server.
    pub const TIMER_SERVER: u8 = 230;
    /// The dt-server.
    pub const DT_SERVER: u8 = 240;
    /// The memory server.
    pub const MEMORY_SERVER: u8 = 250;
}
