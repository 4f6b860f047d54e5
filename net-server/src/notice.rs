//! What a person should know.

use core::fmt;

use hv_types::Mac;

/// Something that a guest's interface did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Guest `guest` sent frames from an address that is not its interface's.
    Forged {
        /// The guest's number, from 0.
        guest: usize,
        /// Its interface.
        nic: usize,
        /// The address that the last one had.
        source: Mac,
        /// How many there were.
        count: u64,
    },
    /// Guest `guest` sends more frames to groups than it may.
    Groups {
        /// The guest's number, from 0.
        guest: usize,
        /// Its interface.
        nic: usize,
        /// How many went nowhere.
        count: u64,
    },
}

impl Notice {
    /// It in words; `name` names a guest.
    pub fn with<'a>(self, name: &'a dyn Fn(usize) -> &'a str) -> impl fmt::Display + 'a {
        Words { notice: self, name }
    }
}

struct Words<'a> {
    notice: Notice,
    name: &'a dyn Fn(usize) -> &'a str,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frames = |count| if count == 1 { "frame" } else { "frames" };
        match self.notice {
            Notice::Forged {
                guest,
                nic,
                source,
                count,
            } => write!(
                f,
                "{}, interface {nic}: {count} {} with a source that is not its own dropped, the last from {source}",
                (self.name)(guest),
                frames(count)
            ),
            Notice::Groups { guest, nic, count } => write!(
                f,
                "{}, interface {nic}: {count} {} to groups dropped: it sends too many",
                (self.name)(guest),
                frames(count)
            ),
        }
    }
}
