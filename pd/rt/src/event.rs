//! What a protection domain receives, for those with a loop of their own.

use core::sync::atomic::{AtomicU64, Ordering};

use sel4_microkit::{Channel, MessageInfo};

/// Bit of a badge that marks a protected call (libmicrokit, `BADGE_ENDPOINT_BIT`).
const CALL: u64 = 1 << 63;
/// Bit of a badge that marks a fault (libmicrokit, `BADGE_FAULT_BIT`).
const FAULT: u64 = 1 << 62;
/// Bits of a fault's badge with the number of the vCPU.
const VCPU: u64 = 0x3f;
/// Bits of a badge with the channel of a call (libmicrokit, `CHANNEL_MASK`).
const CHANNEL: u64 = 0x3f;

/// Channels whose notifications came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signals(u64);

impl Signals {
    /// None.
    pub const NONE: Self = Self(0);

    /// Whether that of channel `id` came.
    pub const fn contains(self, id: usize) -> bool {
        self.0 & (1 << id) != 0
    }

    /// Whether that of one of the `count` channels from `first` on came.
    pub const fn among(self, first: usize, count: usize) -> bool {
        self.0 & (((1 << count) - 1) << first) != 0
    }

    /// Whether none came.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their channels.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |id| self.contains(*id))
    }

    /// These and `more`.
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }
}

/// Notifications that came while something else was waited for, for the loop to take.
#[derive(Debug)]
pub(crate) struct Missed(AtomicU64);

impl Missed {
    pub(crate) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }
    pub(crate) fn add(&self, signals: Signals) {
        self.0.fetch_or(signals.0, Ordering::Relaxed);
    }
    /// They are forgotten then.
    #[inline]
    pub(crate) fn take(&self) -> Signals {
        match self.0.load(Ordering::Relaxed) {
            0 => Signals::NONE,
            _ => Signals(self.0.swap(0, Ordering::Relaxed)),
        }
    }
}

/// Notifies the channels of these bits.
pub fn notify_each(mut channels: u64) {
    while channels != 0 {
        Channel::new(channels.trailing_zeros() as usize).notify();
        channels &= channels - 1;
    }
}

/// Notifications that have come since the last look, without waiting; for a protection domain that
/// nobody calls and that has no virtual machine, so that it receives on its notification.
pub fn poll() -> Signals {
    let (_, badge) = sel4::cap::Notification::from_bits(topology::caps::INPUT).poll();
    Signals(badge)
}

/// What was received.
#[derive(Clone, Debug)]
pub enum Event {
    /// Notifications.
    Signals(Signals),
    /// A fault of a vCPU of the protection domain's virtual machine, with its number and the
    /// message's tag.
    Fault(u64, MessageInfo),
}

impl Event {
    /// The event behind a received tag and badge, for a receiver that nobody calls.
    pub(crate) fn new((info, badge): (sel4::MessageInfo, sel4::Badge)) -> Self {
        if badge & FAULT != 0 {
            Self::Fault(badge & VCPU, MessageInfo::from_inner(info))
        } else {
            Self::Signals(Signals(badge & !CALL))
        }
    }

    /// Channel of the call that has this badge, if it is one.
    pub(crate) fn call(badge: sel4::Badge) -> Option<usize> {
        (badge & CALL != 0).then_some((badge & CHANNEL) as usize)
    }
}
