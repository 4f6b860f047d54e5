//! The state that a VMM publishes for its guest, and orders from the console.
//!
//! Each side has words of its own in the region's header page and reads the other's; neither waits.
//! A VMM that writes nonsense is shown as one that has said nothing; it can speak of no guest but
//! its own. The console never writes but what was typed at its monitor.

use ring::Words;
use ring::sync::AtomicU32;

use crate::VCPUS_MAX;

/// The console's: an order, and how many there have been.
const ORDER: usize = 0;
/// The VMM's: state and reason.
const STATE: usize = 1;
/// The VMM's: since when, the low and the high word of a tick.
const SINCE: [usize; 2] = [2, 3];
/// The VMM's: restarts.
const RESTARTS: usize = 4;
/// The fault server's: clients whose protection domain has stopped, a bit each.
const STOPPED: usize = 5;
/// The VMM's: its guest's vCPUs, a byte each.
const VCPUS: [usize; 2] = [6, 7];

/// Why a guest is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum End {
    /// It switched itself off.
    PowerOff = 1,
    /// All its lives were short.
    ShortLives,
    /// It suspended.
    Suspend,
    /// It reported a crash.
    Crash,
    /// Its watchdog expired.
    Watchdog,
    /// It asked for a restart that keeps its memory.
    SoftReset,
    /// Its VMM could not run it any further.
    Fatal,
    /// It could not be built.
    NotBuilt,
    /// It was stopped from the console.
    Stopped,
}

impl End {
    const ALL: [Self; 9] = [
        Self::PowerOff,
        Self::ShortLives,
        Self::Suspend,
        Self::Crash,
        Self::Watchdog,
        Self::SoftReset,
        Self::Fatal,
        Self::NotBuilt,
        Self::Stopped,
    ];

    /// The reason, as a word or a few.
    pub const fn words(self) -> &'static str {
        match self {
            Self::PowerOff => "switched itself off",
            Self::ShortLives => "restarted too often",
            Self::Suspend => "suspended",
            Self::Crash => "reported a crash",
            Self::Watchdog => "its watchdog expired",
            Self::SoftReset => "asked for a soft reset",
            Self::Fatal => "cannot run further",
            Self::NotBuilt => "could not be built",
            Self::Stopped => "stopped from the console",
        }
    }
}

/// What a guest does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its VMM has not said.
    Unknown,
    /// It is being built.
    Starts,
    /// It runs.
    Runs,
    /// It has stopped and starts again.
    Restarts,
    /// It is down.
    Down(End),
}

impl State {
    const fn encode(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Starts => 1,
            Self::Runs => 2,
            Self::Restarts => 3,
            Self::Down(end) => 4 | (end as u32) << 8,
        }
    }

    fn decode(word: u32) -> Self {
        match word {
            1 => Self::Starts,
            2 => Self::Runs,
            3 => Self::Restarts,
            // What else has the number of an end in its place is nonsense all the same.
            word => End::ALL
                .into_iter()
                .map(Self::Down)
                .find(|state| state.encode() == word)
                .unwrap_or(Self::Unknown),
        }
    }
}

/// What a vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum VcpuState {
    /// It runs, or would like to.
    Runs = 1,
    /// It waits for an interrupt or an event.
    Waits,
    /// It is off.
    Off,
}

impl VcpuState {
    const ALL: [Self; 3] = [Self::Runs, Self::Waits, Self::Off];
    /// Bits of a byte that hold it; the core is above.
    const BITS: u32 = 3;

    /// The state in a word.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Waits => "waits",
            Self::Off => "off",
        }
    }
}

/// A vCPU as its VMM shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuShown {
    /// What it does.
    pub state: VcpuState,
    /// The core that it is on, below 32.
    pub core: u8,
}

impl VcpuShown {
    const fn encode(self) -> u8 {
        self.state as u8 | self.core << VcpuState::BITS
    }

    fn decode(byte: u8) -> Option<Self> {
        let state = byte & ((1 << VcpuState::BITS) - 1);
        let mut all = VcpuState::ALL.into_iter();
        Some(Self {
            state: all.find(|known| *known as u8 == state)?,
            core: byte >> VcpuState::BITS,
        })
    }
}

/// A guest as its VMM shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// What it does.
    pub state: State,
    /// Since which tick of the system counter.
    pub since: u64,
    /// How often it has begun to live again.
    pub restarts: u32,
    /// Its vCPUs by number; none where it has none of that number, or does not live.
    pub vcpus: [Option<VcpuShown>; VCPUS_MAX],
}

impl Shown {
    /// A guest of which nothing is known.
    pub const UNKNOWN: Self = Self {
        state: State::Unknown,
        since: 0,
        restarts: 0,
        vcpus: [None; VCPUS_MAX],
    };
}

/// What the user wants of a guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// To start, where it is down.
    Start,
    /// To stop at once, as if its power was cut.
    Stop,
    /// To stop at once and start again.
    Restart,
}

impl Order {
    const ALL: [Self; 3] = [Self::Start, Self::Stop, Self::Restart];

    const fn number(self) -> u32 {
        match self {
            Self::Start => 0,
            Self::Stop => 1,
            Self::Restart => 2,
        }
    }
}

/// The block, for either side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control<'a>(Words<'a>);

impl<'a> Control<'a> {
    /// The block in a region's header page; `None` where that is too short.
    pub(crate) fn new(header: &'a [AtomicU32]) -> Option<Self> {
        Words::new(header).map(Self)
    }

    pub(crate) fn show(&self, shown: Shown) {
        self.0.store_u64(SINCE, shown.since);
        self.0.store(RESTARTS, shown.restarts);
        let bytes = shown.vcpus.map(|vcpu| vcpu.map_or(0, VcpuShown::encode));
        self.0.store_u64(VCPUS, u64::from_le_bytes(bytes));
        self.0.store(STATE, shown.state.encode());
    }

    /// The state alone.
    pub(crate) fn state(&self) -> State {
        State::decode(self.0.load(STATE))
    }

    pub(crate) fn shown(&self) -> Shown {
        let state = self.state();
        Shown {
            state,
            since: self.0.load_u64(SINCE),
            restarts: self.0.load(RESTARTS),
            vcpus: self.0.load_u64(VCPUS).to_le_bytes().map(VcpuShown::decode),
        }
    }

    /// Gives an order. One that was not taken yet is forgotten.
    pub(crate) fn order(&self, order: Order) {
        let count = (self.0.load(ORDER) >> 8).wrapping_add(1);
        self.0.store(ORDER, count << 8 | order.number());
    }

    /// The order that is not the one that `taken` remembers.
    pub(crate) fn take_order(&self, taken: &mut u32) -> Option<Order> {
        let word = self.0.load(ORDER);
        if core::mem::replace(taken, word) == word {
            return None;
        }
        let number = word & 0xff;
        Order::ALL
            .into_iter()
            .find(|order| order.number() == number)
    }

    pub(crate) fn add_stopped(&self, clients: u32) {
        self.0.store(STOPPED, self.0.load(STOPPED) | clients);
    }

    pub(crate) fn stopped(&self) -> u32 {
        self.0.load(STOPPED)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn words() -> Vec<AtomicU32> {
        (0..Words::FIRST + Words::COUNT)
            .map(|_| AtomicU32::new(0))
            .collect()
    }

    #[test]
    fn what_is_shown_is_seen_and_nonsense_is_unknown() {
        let words = words();
        let control = Control::new(&words).unwrap();
        assert_eq!(control.shown().state, State::Unknown);
        let states = [State::Unknown, State::Starts, State::Runs, State::Restarts];
        for state in states.into_iter().chain(End::ALL.map(State::Down)) {
            let shown = Shown {
                state,
                since: 0x1234_5678_9abc_def0,
                restarts: 7,
                vcpus: [None; VCPUS_MAX],
            };
            control.show(shown);
            assert_eq!(control.shown(), shown);
        }
        for nonsense in [5, 4, 0x0a04, 0x0104_0001, u32::MAX] {
            control.0.store(STATE, nonsense);
            assert_eq!(control.shown().state, State::Unknown, "{nonsense:#x}");
        }
        assert!(Control::new(&words[1..]).is_none());
    }

    #[test]
    fn vcpus_are_seen_and_nonsense_is_none() {
        let words = words();
        let control = Control::new(&words).unwrap();
        assert_eq!(control.shown().vcpus, [None; VCPUS_MAX]);
        let mut shown = Shown::UNKNOWN;
        let mut states = VcpuState::ALL.into_iter().cycle();
        for (core, vcpu) in [0, 1, 31, 7, 2, 3, 9].into_iter().zip(&mut shown.vcpus) {
            let state = states.next().unwrap();
            *vcpu = Some(VcpuShown { state, core });
        }
        control.show(shown);
        assert_eq!(control.shown(), shown);
        control.0.store_u64(VCPUS, u64::MAX);
        assert_eq!(control.shown().vcpus, [None; VCPUS_MAX], "no state is 7");
    }

    #[test]
    fn each_order_is_taken_once_and_the_last_counts() {
        let words = words();
        let control = Control::new(&words).unwrap();
        let mut taken = 0;
        assert_eq!(control.take_order(&mut taken), None);
        for _ in 0..300 {
            for order in Order::ALL {
                control.order(order);
                assert_eq!(control.take_order(&mut taken), Some(order));
                assert_eq!(control.take_order(&mut taken), None);
            }
        }
        control.order(Order::Start);
        control.order(Order::Stop);
        assert_eq!(control.take_order(&mut taken), Some(Order::Stop));
        control.0.store(ORDER, 0xffff_ffff);
        assert_eq!(
            control.take_order(&mut taken),
            None,
            "no order has that number"
        );
    }

    #[test]
    fn who_has_stopped_is_added_up() {
        let words = words();
        let control = Control::new(&words).unwrap();
        control.add_stopped(1);
        control.add_stopped(4);
        assert_eq!(control.stopped(), 5);
    }
}
