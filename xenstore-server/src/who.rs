//! Domains as the store sees them.

use topology::MAX_DOMAINS;

/// A domain with a connection or nodes: 0 is the toolstack's, which is this server itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Who(u8);

/// How many there are at most.
pub(crate) const COUNT: usize = MAX_DOMAINS + 1;

impl Who {
    /// The toolstack, which may do everything.
    pub(crate) const TOOLS: Self = Self(0);

    /// The guest with this number, from 0.
    pub(crate) fn guest(number: usize) -> Option<Self> {
        let id = u8::try_from(number.checked_add(1)?).ok()?;
        (usize::from(id) < COUNT).then_some(Self(id))
    }

    /// The domain with this id, if there can be one.
    pub(crate) fn of(domid: u16) -> Option<Self> {
        let id = u8::try_from(domid).ok()?;
        (usize::from(id) < COUNT).then_some(Self(id))
    }

    /// All of them, by their ids.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..u8::MAX).map(Self).take(COUNT)
    }

    /// Its domain id.
    pub(crate) const fn domid(self) -> u16 {
        self.0 as u16
    }

    /// Its place in tables of [`COUNT`].
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether it is bound by permissions and quotas.
    pub(crate) const fn is_guest(self) -> bool {
        self.0 != 0
    }
}
