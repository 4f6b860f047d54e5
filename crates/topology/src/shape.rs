//! What a system has that not every one has: rows of the tables depend on it.

use crate::MAX_DOMAINS;
use crate::meets::Meets;

/// How protection domains of a board tell the time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Counter {
    /// They read the system counter, and the timer server programs a timer that guests can program
    /// too.
    #[default]
    Readable,
    /// The timer server tells it them; its timer is out of guests' reach.
    Told,
}

/// A set of domains, by their numbers from 0.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Domains(u8);

const _: () = assert!(MAX_DOMAINS <= u8::BITS as usize);

impl Domains {
    /// None.
    pub const NONE: Self = Self(0);
    /// All that there can be.
    pub const ALL: Self = Self(u8::MAX);

    /// Those of `numbers`; numbers from [`MAX_DOMAINS`] on are nobody's.
    #[must_use]
    pub fn of(numbers: impl IntoIterator<Item = usize>) -> Self {
        let known = numbers.into_iter().filter(|number| *number < MAX_DOMAINS);
        Self(known.fold(0, |set, number| set | 1 << number))
    }

    /// Whether it has domain `number`; of no number: whether it has any.
    #[must_use]
    pub const fn has(self, number: Option<usize>) -> bool {
        match number {
            None => self.0 != 0,
            Some(number) => number < MAX_DOMAINS && self.0 & 1 << number != 0,
        }
    }
}

/// A system, as far as the tables depend on it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Shape {
    /// How its protection domains tell the time.
    pub counter: Counter,
    /// How many domains it has.
    pub domains: usize,
    /// Those that have disks.
    pub disks: Domains,
    /// Those that have a disk that is a device of the board, or a part of one.
    pub disk_devices: Domains,
    /// Those that have network interfaces.
    pub nets: Domains,
    /// A network leads outside.
    pub uplink: bool,
    /// Which of them meet.
    pub meets: Meets,
    /// Those whose RAM comes from the heap, so that the kernel has to zero what they gave back.
    pub heap: Domains,
}

impl Shape {
    /// A system of `domains` domains with what all systems have.
    #[must_use]
    pub const fn plain(counter: Counter, domains: usize) -> Self {
        Self {
            counter,
            domains,
            disks: Domains::NONE,
            disk_devices: Domains::NONE,
            nets: Domains::NONE,
            uplink: false,
            meets: Meets::NONE,
            heap: Domains::NONE,
        }
    }

    /// A system of `domains` domains, each with everything that there can be.
    #[must_use]
    pub const fn full(counter: Counter, domains: usize) -> Self {
        Self {
            disks: Domains::ALL,
            disk_devices: Domains::ALL,
            nets: Domains::ALL,
            uplink: true,
            meets: Meets::ALL,
            heap: Domains::ALL,
            ..Self::plain(counter, domains)
        }
    }
}

/// In which systems there is a row. What belongs to a domain is there where that domain has it,
/// what is there for all where any domain does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// In all.
    Always,
    /// Where the counter is such.
    With(Counter),
    /// Where there are disks.
    Disks,
    /// Where disks are devices of the board.
    DiskDevices,
    /// Where there are network interfaces.
    Nets,
    /// Where a network leads outside.
    Uplink,
    /// Where domains meet.
    Met,
    /// Where RAM comes from the heap.
    Heap,
}

impl When {
    /// Whether it is there in a system of this shape, for all or for domain `domain`.
    #[must_use]
    pub fn holds(self, shape: Shape, domain: Option<usize>) -> bool {
        match self {
            Self::Always => true,
            Self::With(counter) => shape.counter == counter,
            Self::Disks => shape.disks.has(domain),
            Self::DiskDevices => shape.disk_devices.has(domain),
            Self::Nets => shape.nets.has(domain),
            Self::Uplink => shape.uplink,
            Self::Met => shape.meets.is_met(domain),
            Self::Heap => shape.heap.has(domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_all_is_there_where_one_domain_has_it() {
        let shape = Shape {
            disks: Domains::of([1, 3, 99]),
            ..Shape::plain(Counter::Readable, 4)
        };
        let holds = |domain| When::Disks.holds(shape, domain);
        assert_eq!(
            [0, 1, 2, 3].map(|d| holds(Some(d))),
            [false, true, false, true]
        );
        assert!(holds(None) && !holds(Some(99)));
        assert!(!When::DiskDevices.holds(shape, None));
        assert!(When::With(Counter::Readable).holds(shape, Some(0)));
        let full = Shape::full(Counter::Told, MAX_DOMAINS);
        assert!(When::Disks.holds(full, Some(MAX_DOMAINS - 1)));
        assert!(!When::With(Counter::Readable).holds(full, None));
    }
}
