//! Commands under way.

use crate::devices::Command;
use crate::share::cost;

/// Most commands under way at all devices together.
pub const FLIGHTS: usize = 256;
/// Most commands under way at one device: what may wait there at once holds no more.
pub const FLIGHTS_OF_DEVICE: usize = (crate::share::WINDOW / cost(0)) as usize;

/// Whose a command is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A guest's request with its number.
    Guest { guest: usize, id: u32 },
    /// The server's, which reads a table.
    Table,
}

/// A command under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Flight {
    pub(crate) owner: Owner,
    pub(crate) device: usize,
    pub(crate) cost: u32,
}

/// All of them. A tag names a place and how often it has been used, so that an answer that comes
/// twice ends nothing else.
#[derive(Debug)]
pub(crate) struct Flights {
    places: [(u32, Option<Flight>); FLIGHTS],
}

impl Flights {
    pub(crate) const fn new() -> Self {
        Self {
            places: [(0, None); FLIGHTS],
        }
    }

    /// The tag that the next one would have.
    pub(crate) fn free(&self) -> Option<u32> {
        let index = self
            .places
            .iter()
            .position(|(_, flight)| flight.is_none())?;
        self.tag(index)
    }

    fn tag(&self, index: usize) -> Option<u32> {
        let (uses, _) = self.places.get(index)?;
        #[expect(clippy::cast_possible_truncation, reason = "below FLIGHTS")]
        Some(uses.wrapping_mul(FLIGHTS as u32) | index as u32)
    }

    /// `command` is under way with the tag that was free.
    pub(crate) fn start(&mut self, tag: u32, owner: Owner, device: usize, command: &Command) {
        if let Some((_, place)) = self.places.get_mut(tag as usize % FLIGHTS) {
            let cost = cost(command.bytes());
            *place = Some(Flight {
                owner,
                device,
                cost,
            });
        }
    }

    /// The one with this tag has ended; `None` where there is none.
    pub(crate) fn end(&mut self, tag: u32) -> Option<Flight> {
        let index = tag as usize % FLIGHTS;
        if self.tag(index) != Some(tag) {
            return None;
        }
        let (uses, place) = self.places.get_mut(index)?;
        let flight = place.take()?;
        *uses = uses.wrapping_add(1);
        Some(flight)
    }

    /// The tag of one at `device`.
    pub(crate) fn one_at(&self, device: usize) -> Option<u32> {
        self.at(device).next()
    }

    /// Tags of all at `device`.
    pub(crate) fn at(&self, device: usize) -> impl Iterator<Item = u32> {
        (0..FLIGHTS).filter_map(move |index| {
            let (_, flight) = self.places.get(index)?;
            flight.filter(|flight| flight.device == device)?;
            self.tag(index)
        })
    }
}
