//! What a port has and counts.

use hv_types::Mac;

/// Frames to groups that a port may send in a second.
pub const GROUP_RATE: u64 = 4000;
/// Frames to groups that a port may send at once, after it has sent none for a while.
pub const GROUP_BURST: u64 = 500;
/// What a port may send in a turn of its own, as [`cost`] counts.
pub(crate) const QUANTUM: i64 = 32 << 10;

/// As much as some hundred bytes for each look at a frame.
pub(crate) const LOOK: i64 = 512;

/// What a frame of `len` bytes costs to deliver to `receivers` interfaces: its bytes, and [`LOOK`]
/// for each look at it.
pub(crate) fn cost(len: u32, receivers: u32) -> i64 {
    LOOK + i64::from(receivers) * (LOOK + i64::from(len))
}

/// An interface and its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortSpec {
    /// The network's number: interfaces with the same one hear each other.
    pub network: u8,
    /// The interface's address.
    pub mac: Mac,
}

/// Why a frame went nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Dropped {
    /// Its description makes no sense.
    Malformed = 0,
    /// Its source is not the port's address; of an uplink: it is the address of an interface in the
    /// network, or no station's.
    Forged = 1,
    /// The network has no interface with that address.
    Unknown = 2,
    /// It is for a group, and the port has sent too many such.
    Group = 3,
    /// The interface that it is for does not fetch its frames fast enough; counted there.
    Full = 4,
    /// The guest does not use the interface that it is for; counted there.
    Closed = 5,
    /// It would leave by the uplink and is longer than that carries, or a segment of it is.
    Long = 6,
    /// It would leave by the uplink, has no checksum or is to be cut, and its headers do not say
    /// how.
    Headers = 7,
}

impl Dropped {
    /// How many reasons there are.
    pub const COUNT: usize = 8;
    /// All of them.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed,
        Self::Forged,
        Self::Unknown,
        Self::Group,
        Self::Full,
        Self::Closed,
        Self::Long,
        Self::Headers,
    ];

    /// What became of the frame, behind a number of them.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Unknown => "to nobody",
            Self::Group => "to groups too often",
            Self::Full => "not fetched",
            Self::Closed => "to it while closed",
            Self::Long => "too long to leave",
            Self::Headers => "not to be cut or summed",
        }
    }
}

/// What a port has counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames that its interface sent, those that went nowhere too.
    pub sent: u64,
    /// Their bytes, but for those of frames whose description makes no sense.
    pub sent_bytes: u64,
    /// Frames brought to its interface.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    dropped: [u64; Dropped::COUNT],
}

impl Counters {
    /// How many frames went nowhere for that reason.
    #[must_use]
    pub const fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize]
    }

    /// Counts a frame of `len` bytes that the interface sent.
    pub(crate) const fn send(&mut self, len: u32) {
        self.sent = self.sent.saturating_add(1);
        self.sent_bytes = self.sent_bytes.saturating_add(len as u64);
    }

    /// Counts a frame of `len` bytes that was brought to the interface.
    pub(crate) const fn receive(&mut self, len: u32) {
        self.received = self.received.saturating_add(1);
        self.received_bytes = self.received_bytes.saturating_add(len as u64);
    }

    /// Counts one; how many there are.
    pub(crate) fn drop(&mut self, why: Dropped) -> u64 {
        let count = &mut self.dropped[why as usize];
        *count = count.saturating_add(1);
        *count
    }
}

/// A port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    pub(crate) guest: usize,
    pub(crate) nic: usize,
    pub(crate) spec: PortSpec,
    pub(crate) counters: Counters,
    /// What it may still send in this turn; less than nothing is paid in turns to come.
    pub(crate) credit: i64,
    /// It has got its part of this turn.
    pub(crate) visited: bool,
    pub(crate) groups: Groups,
}

impl Port {
    /// One that has counted nothing.
    pub(crate) fn new(guest: usize, nic: usize, spec: PortSpec) -> Self {
        Self {
            guest,
            nic,
            spec,
            counters: Counters::default(),
            credit: 0,
            visited: false,
            groups: Groups::default(),
        }
    }
}

/// Bounds the frames to groups.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Groups {
    /// The tick at which all that was sent would have been, at the rate.
    due: u64,
}

impl Groups {
    /// Whether one more may be sent at tick `now` of `frequency` in a second.
    pub(crate) fn may_send(&mut self, now: u64, frequency: u64) -> bool {
        let interval = (frequency / GROUP_RATE).max(1);
        let ahead = self.due.saturating_sub(now);
        if ahead >= interval.saturating_mul(GROUP_BURST) {
            return false;
        }
        self.due = self.due.max(now).saturating_add(interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_by_rate_and_burst() {
        const FREQUENCY: u64 = 62_500_000;
        let mut groups = Groups::default();
        let mut now = 5 * FREQUENCY;
        let burst = (0..10_000)
            .filter(|_| groups.may_send(now, FREQUENCY))
            .count();
        assert_eq!(burst as u64, GROUP_BURST);
        let mut sent = 0;
        for _ in 0..1000 {
            now += FREQUENCY / 1000;
            sent += (0..100).filter(|_| groups.may_send(now, FREQUENCY)).count() as u64;
        }
        assert!((GROUP_RATE - 2..=GROUP_RATE + 2).contains(&sent), "{sent}");
    }

    #[test]
    fn a_clock_that_stands_or_is_odd_breaks_nothing() {
        for frequency in [0, 1, u64::MAX] {
            let mut groups = Groups::default();
            for now in [u64::MAX, 0, 1, u64::MAX - 1] {
                let sent = (0..2000)
                    .filter(|_| groups.may_send(now, frequency))
                    .count();
                assert!(sent <= 2000);
            }
        }
    }
}
