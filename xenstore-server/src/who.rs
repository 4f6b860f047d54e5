//! Those who use the store, as it sees them.

use topology::MAX_DOMAINS;

/// Somebody with a connection or nodes: the toolstack, which is this server itself, a guest, or the
/// back ends of a guest. To guests the first and the last are domain 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Who(u8);

#[expect(clippy::cast_possible_truncation, reason = "there are few")]
const GUESTS: u8 = MAX_DOMAINS as u8;

/// How many there are at most.
pub(crate) const COUNT: usize = 2 * MAX_DOMAINS + 1;

impl Who {
    /// The toolstack, which may do everything.
    pub(crate) const TOOLS: Self = Self(0);
    /// In permissions, what is added to the id of a guest for its back ends.
    const BACK: u16 = 0x8000;

    /// The guest with this number, from 0.
    pub(crate) fn guest(number: usize) -> Option<Self> {
        let id = u8::try_from(number.checked_add(1)?).ok()?;
        (id <= GUESTS).then_some(Self(id))
    }

    /// The back ends of a guest.
    pub(crate) fn back_of(guest: Self) -> Option<Self> {
        guest.is_guest().then_some(Self(guest.0 + GUESTS))
    }

    /// The guest whose back ends these are.
    pub(crate) fn front_of(self) -> Option<Self> {
        let guest = self.0.checked_sub(GUESTS).filter(|guest| *guest > 0);
        guest.map(Self)
    }

    /// The one that permissions call so, if there can be one.
    pub(crate) fn of(id: u16) -> Option<Self> {
        match id.checked_sub(Self::BACK) {
            Some(guest) => Self::back_of(Self::of(guest)?),
            None => u8::try_from(id).ok().filter(|id| *id <= GUESTS).map(Self),
        }
    }

    /// What permissions call it. No message says a back end's: [`crate::perms`].
    pub(crate) const fn id(self) -> u16 {
        if self.0 > GUESTS {
            Self::BACK | (self.0 - GUESTS) as u16
        } else {
            self.0 as u16
        }
    }

    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..u8::MAX).map(Self).take(COUNT)
    }

    /// The id of the domain that it is to guests.
    pub(crate) const fn domid(self) -> u16 {
        if self.0 > GUESTS { 0 } else { self.0 as u16 }
    }

    /// Its place in tables of [`COUNT`].
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether it is bound by permissions.
    pub(crate) const fn is_guest(self) -> bool {
        self.0 != 0 && self.0 <= GUESTS
    }

    /// Whether it is bound by quotas.
    pub(crate) const fn is_bounded(self) -> bool {
        self.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name() {
        for who in Who::all() {
            assert_eq!(Who::of(who.id()), Some(who));
            assert_eq!(who.is_guest(), who.domid() != 0);
            assert_eq!(Who::back_of(who).is_some(), who.is_guest());
            if let Some(guest) = who.front_of() {
                assert_eq!(Who::back_of(guest), Some(who));
            }
        }
        assert_eq!(Who::all().count(), COUNT);
        assert_eq!(Who::of(u16::from(GUESTS) + 1), None);
        assert_eq!(Who::of(Who::BACK), None);
    }
}
