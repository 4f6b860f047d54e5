//! Permissions of a node.

use core::fmt::{self, Write as _};

use heapless::String;
use xen_abi::Errno;
use xenstore_server_api::quota;

use crate::text::integer;
use crate::who::Who;

/// Most entries that a node can have.
const MOST: usize = quota::PERMISSIONS - 1;
/// Domain id that stands for all.
const ANY: u16 = 0x7ff5;

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rights(u8);

impl Rights {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    /// To change permissions.
    pub(crate) const OWNER: Self = Self(8);
    const ALL: Self = Self(1 | 2 | 8);
    /// Of an entry: it counts for nobody, because its domain does not exist.
    const IGNORED: Self = Self(16);

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `wanted` are among them.
    pub(crate) const fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether one of `wanted` is among them.
    pub(crate) const fn has_one_of(self, wanted: Self) -> bool {
        self.0 & wanted.0 != 0
    }

    const fn letter(self) -> char {
        match self.0 & 3 {
            0 => 'n',
            1 => 'r',
            2 => 'w',
            _ => 'b',
        }
    }
}

/// Whose a node is, what everybody may, and who may something else.
///
/// The owner is called by [`Who::id`], so that nodes of back ends are charged to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Perms {
    count: u8,
    rights: [Rights; MOST],
    domids: [u16; MOST],
}

impl Perms {
    /// `owner`'s, and nobody else's.
    pub(crate) const fn private(owner: Who) -> Self {
        Self {
            count: 1,
            rights: [Rights::NONE; MOST],
            domids: [owner.id(), 0, 0, 0],
        }
    }

    /// The same, and `other` has `rights`.
    pub(crate) const fn shared(owner: Who, other: Who, rights: Rights) -> Self {
        Self {
            count: 2,
            rights: [Rights::NONE, rights, Rights::NONE, Rights::NONE],
            domids: [owner.id(), other.id(), 0, 0],
        }
    }

    /// The same, and every domain has `rights`.
    pub(crate) const fn for_all(owner: Who, rights: Rights) -> Self {
        let mut perms = Self::shared(owner, owner, rights);
        perms.domids[1] = ANY;
        perms
    }

    /// Entries of strings like `n1`, separated by NULs, of which there are `count`.
    ///
    /// # Errors
    /// `Einval`: an entry is none; `Enospc`: there are too many; `Enoent`: the owner does not
    /// exist. A domain that does not exist counts for nothing.
    pub(crate) fn parse(
        text: &[u8],
        count: usize,
        exists: impl Fn(u16) -> bool,
    ) -> Result<Self, Errno> {
        if count > MOST {
            return Err(Errno::Enospc);
        }
        let mut perms = Self {
            count: 0,
            rights: [Rights::NONE; MOST],
            domids: [0; MOST],
        };
        let entries = text.split(|&byte| byte == 0).take(count);
        let slots = perms.rights.iter_mut().zip(&mut perms.domids);
        for (entry, (rights, domid)) in entries.zip(slots) {
            let (letter, number) = entry.split_first().ok_or(Errno::Einval)?;
            *rights = match letter {
                b'n' => Rights::NONE,
                b'r' => Rights::READ,
                b'w' => Rights::WRITE,
                b'b' => Rights::READ.and(Rights::WRITE),
                _ => return Err(Errno::Einval),
            };
            let number = integer(number).ok_or(Errno::Einval)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "what does not fit exists not"
            )]
            let low = number as u16;
            *domid = low;
            if i64::from(low) != number || (low != ANY && !exists(low)) {
                *rights = rights.and(Rights::IGNORED);
            }
            perms.count += 1;
        }
        match perms.rights.first() {
            Some(owner) if !owner.has(Rights::IGNORED) => Ok(perms),
            _ => Err(Errno::Enoent),
        }
    }

    /// How many entries there are.
    pub(crate) const fn count(&self) -> usize {
        self.count as usize
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> Who {
        Who::of(self.domids[0]).unwrap_or(Who::TOOLS)
    }

    pub(crate) const fn set_owner(&mut self, owner: Who) {
        self.domids[0] = owner.id();
    }

    fn entries(&self) -> impl Iterator<Item = (u16, Rights)> {
        let all = self.domids.iter().zip(&self.rights);
        all.take(self.count()).map(|(id, rights)| (*id, *rights))
    }

    /// What `who` may.
    pub(crate) fn of(&self, who: Who) -> Rights {
        let named = |domid| domid == who.id() || domid == ANY;
        let mut entries = self.entries();
        let Some((owner, default)) = entries.next() else {
            return Rights::NONE;
        };
        if !who.is_guest() || named(owner) {
            return Rights::ALL;
        }
        entries
            .find(|(domid, rights)| named(*domid) && !rights.has(Rights::IGNORED))
            .map_or(default, |(_, rights)| rights)
    }

    /// Takes out what is said of `who`, which is not the owner; returns whether there was
    /// something.
    pub(crate) fn forget(&mut self, who: Who) -> bool {
        let before = *self;
        self.count = 1;
        for (domid, rights) in before.entries().skip(1) {
            let to = self.count();
            if domid != who.id()
                && let (Some(id), Some(slot)) = (self.domids.get_mut(to), self.rights.get_mut(to))
            {
                (*id, *slot) = (domid, rights);
                self.count += 1;
            }
        }
        self.count != before.count
    }
}

/// The strings of [`Perms::parse`], each with a NUL.
impl fmt::Display for Perms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owner = core::iter::once(self.owner().domid());
        let others = self.entries().skip(1).map(|(domid, _)| domid);
        let domids = owner.chain(others);
        domids
            .zip(self.entries())
            .try_for_each(|(domid, (_, rights))| {
                let mut entry: String<8> = String::new();
                write!(entry, "{}{domid}", rights.letter())?;
                write!(f, "{entry}\0")
            })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    fn parse(text: &[u8]) -> Result<Perms, Errno> {
        let count = text.iter().filter(|&&byte| byte == 0).count();
        Perms::parse(text, count, |domid| domid <= 2)
    }

    #[test]
    fn entries_are_read_and_told() {
        let perms = parse(b"n1\0r0\0b2\0w0x2\0").unwrap();
        assert_eq!(perms.to_string(), "n1\0r0\0b2\0w2\0");
        assert_eq!(perms.owner().domid(), 1);
        for (text, error) in [
            (&b"x1\0"[..], Errno::Einval),
            (b"r\0", Errno::Einval),
            (b"\0", Errno::Einval),
            (b"r1x\0", Errno::Einval),
            (b"n3\0", Errno::Enoent),
            (b"n65537\0", Errno::Enoent),
            (b"n-1\0", Errno::Enoent),
            (b"n1\0r0\0r0\0r0\0r0\0", Errno::Enospc),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_first_entry_that_fits_counts() {
        let guest = |n| Who::guest(n).unwrap();
        let perms = parse(b"w1\0r2\0n2\0").unwrap();
        assert_eq!(perms.of(guest(0)), Rights::ALL);
        assert_eq!(perms.of(guest(1)), Rights::READ);
        assert_eq!(perms.of(guest(2)), Rights::WRITE, "the default");
        assert_eq!(perms.of(Who::TOOLS), Rights::ALL);
        // One that does not exist is passed over.
        let all = parse(b"n1\0r32757\0").unwrap();
        assert_eq!(all.of(guest(5)), Rights::READ);
        assert_eq!(parse(b"n1\0r7\0").unwrap().of(guest(6)), Rights::NONE);
    }

    #[test]
    fn what_is_said_of_a_domain_can_be_forgotten() {
        let guest = |n| Who::guest(n).unwrap();
        let mut perms = parse(b"n1\0r2\0r0\0w2\0").unwrap();
        assert!(perms.forget(guest(1)));
        assert_eq!(perms.to_string(), "n1\0r0\0");
        assert!(!perms.forget(guest(0)), "the owner stays");
    }
}
