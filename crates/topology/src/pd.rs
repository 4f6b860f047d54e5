//! Names of protection domains. A domain `<name>` has the PD `vmm_<name>` and the VM `<name>`.

use crate::table::PDS;

/// Owner of all guest memory.
pub const MEMORY_SERVER: &str = "memory_server";
/// Reader of the domains file.
pub const DT_SERVER: &str = "dt_server";
/// Deadlines of sleeping guests.
pub const TIMER_SERVER: &str = "timer_server";
/// Parent of all PDs except the console. It reports why one of them stopped, and has a stopped
/// VMM's memory taken back.
pub const FAULT_SERVER: &str = "fault_server";
/// Owner of the UART.
pub const CONSOLE: &str = "console";
/// The virtual machine of the timer server that reads the system counter, on boards where user
/// level cannot.
pub const CLOCK_VM: &str = "clock";
/// The store, and the toolstack of all guests in it.
pub const XENSTORE_SERVER: &str = "xenstore_server";
/// Where event channels between domains end, where domains meet.
pub const PEER_SERVER: &str = "peer_server";
/// Who has which part of which disk, and whose turn it is.
pub const BLOCK_SERVER: &str = "block_server";
/// The driver of the board's disk, for the block server alone.
pub const BLOCK_DRIVER: &str = "block_driver";
/// The switch between the guests' network interfaces.
pub const NET_SERVER: &str = "net_server";
/// The driver of the board's network device, for the net server alone.
pub const NET_DRIVER: &str = "net_driver";
/// What a VMM's name starts with.
pub const VMM_PREFIX: &str = "vmm_";
/// What the name of a VMM's gate starts with: `gate_<name>` passes the calls of `vmm_<name>` on to
/// the servers.
pub const GATE_PREFIX: &str = "gate_";
/// What the console's monitor is called: lines of its own begin with it, so no client of the
/// console may have this name.
pub const CONSOLE_MONITOR: &str = "zazen";
/// Wakes the timer server on boards where guests can disarm its timer.
pub const PULSE: &str = "pulse";
/// Has the kernel zero memory that was in use, where guests' RAM comes from the heap.
pub const WIPER: &str = "wiper";
/// Microkit's own monitor.
pub const MICROKIT_MONITOR: &str = "monitor";

/// Whether no domain may have this name: the server PDs and their virtual machines, the console's
/// monitor, and Microkit's own monitor.
pub fn is_reserved(name: &str) -> bool {
    let mut all = PDS.iter();
    name == CONSOLE_MONITOR
        || name == MICROKIT_MONITOR
        || all.any(|pd| {
            let vm = pd.vm.and_then(|vm| vm.name);
            (!pd.each && pd.name == name) || vm == Some(name)
        })
}

/// Scheduling priorities (0..=254) of the system description, where a protected call needs a
/// strictly higher target.
///
/// The image builder then gives everybody but the pulse, and a timer server that tells the time,
/// [`SHARED`](priority::SHARED): docs/design/calls.md.
pub mod priority {
    /// What VMMs, guests and the servers that they call run at. A time slice that ends inside a
    /// server then puts the server behind all others, with the client whose time it was; at a
    /// higher priority the next slice would go to the same client.
    pub const SHARED: u8 = VM;
    /// Guests.
    pub const VM: u8 = 100;
    /// VMMs: as guests. A fault switches to the VMM and a reply back at once all the same.
    pub const VMM: u8 = VM;
    /// The fault server: as VMMs and guests, so that it shares the processor with them by time
    /// slices while it has the memory of a domain taken back, which the memory server does on its
    /// time.
    pub const FAULT_SERVER: u8 = VMM;
    /// The xenstore server, which calls the timer server alone.
    pub const XENSTORE_SERVER: u8 = 210;
    /// The block server, which calls nobody.
    pub const BLOCK_SERVER: u8 = 210;
    /// The block driver, which calls nobody.
    pub const BLOCK_DRIVER: u8 = 210;
    /// The net server, which calls nobody.
    pub const NET_SERVER: u8 = 210;
    /// The net driver, which calls nobody.
    pub const NET_DRIVER: u8 = 210;
    /// The console.
    pub const CONSOLE: u8 = 220;
    /// The timer server's virtual machine: above everybody who needs the time, so that it has run
    /// before they do.
    pub const CLOCK_VM: u8 = 225;
    /// The timer server.
    pub const TIMER_SERVER: u8 = 230;
    /// The pulse, which runs for a moment in each of its periods and needs nobody.
    pub const PULSE: u8 = 231;
    /// The wiper, which calls nobody.
    pub const WIPER: u8 = 210;
    /// The gates.
    pub const GATE: u8 = 235;
    /// The peer server, which calls the memory server alone.
    pub const PEER_SERVER: u8 = 245;
    /// The dt-server.
    pub const DT_SERVER: u8 = 240;
    /// The memory server.
    pub const MEMORY_SERVER: u8 = 250;
}

/// Time slices, as budget and period in microseconds; where the two are equal a thread that has
/// used its slice waits for all others of its priority, and then has the next. The reasons are in
/// docs/design/calls.md.
pub mod time {
    /// A budget and its period.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Time {
        /// Microseconds of processor time within each period.
        pub budget: u64,
        /// Microseconds.
        pub period: u64,
    }

    impl Time {
        /// The part of one of `count` that share it: all of them together have no more.
        #[must_use]
        pub const fn shared_by(self, count: u8) -> Self {
            let count = if count == 0 { 1 } else { count as u64 };
            Self {
                budget: self.budget / count,
                period: self.period / count,
            }
        }

        /// Whether it bounds what is used: with budget and period alike a thread that has used its
        /// budget has the next after all others' turns, at once if nobody else wants to run.
        #[must_use]
        pub const fn is_bound(self) -> bool {
            self.budget < self.period
        }

        /// The part of a processor, in millionths, that it is a bound for; rounded down.
        #[must_use]
        pub const fn millionths(self) -> u64 {
            let period = if self.period == 0 { 1 } else { self.period };
            self.budget.saturating_mul(1_000_000) / period
        }
    }

    /// A time slice: budget and period alike.
    pub const fn slice(budget: u64) -> Time {
        let period = budget;
        Time { budget, period }
    }

    /// All vCPUs of a guest together, each of which has an equal part. Its VMM and the passive
    /// servers work on it too, whatever the guest asks for.
    pub const VCPU: Time = slice(500);
    /// What a VMM has for notifications that come while its guest runs, and to start from.
    pub const VMM: Time = slice(50);
    /// Servers that run on their callers' time: to start from, and what the monitor asks for.
    pub const PASSIVE: Time = slice(500);
    /// The console: output of a guest that floods it is worth a tenth of another guest's slice.
    pub const CONSOLE: Time = slice(50);
    /// The xenstore server: whoever asks it for much waits for it with all others.
    pub const XENSTORE_SERVER: Time = slice(50);
    /// The block server: as the xenstore server; it copies for RAM disks.
    pub const BLOCK_SERVER: Time = slice(50);
    /// The block driver: a request is some thousand instructions.
    pub const BLOCK_DRIVER: Time = slice(50);
    /// The net server, which copies every frame.
    pub const NET_SERVER: Time = slice(50);
    /// The net driver, which copies every frame that comes or leaves.
    pub const NET_DRIVER: Time = slice(50);
    /// The fault server, which has a crashed VMM's domain taken apart in a guest's place.
    pub const FAULT_SERVER: Time = slice(500);
    /// The timer server: what callers and interrupts together can make it take of a round.
    pub const TIMER_SERVER: Time = slice(50);
    /// The timer server of a board on which it tells the time, which it must before anybody asks:
    /// it runs above all others there, within a budget.
    pub const TIMER_SERVER_WITH_CLOCK: Time = Time {
        budget: 100,
        period: 1000,
    };
    /// The pulse: its period is the most by which a guest can delay a wake-up that is due.
    pub const PULSE: Time = Time {
        budget: 50,
        period: 1500,
    };
    /// The wiper: what it does at a time is a pause of the guest that waits for it.
    pub const WIPER: Time = slice(50);
    /// The timer server's virtual machine.
    pub const CLOCK_VM: Time = slice(1000);
}
