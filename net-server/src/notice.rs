//! What a person should know.

use core::fmt;

use hv_types::Mac;

use crate::server::UPLINK;

/// Something that a guest's interface, or what is outside behind the uplink, did. The uplink is
/// guest [`UPLINK`].
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
        let who = |f: &mut fmt::Formatter<'_>, guest, nic| match guest {
            UPLINK => f.write_str("uplink"),
            _ => write!(f, "{}, interface {nic}", (self.name)(guest)),
        };
        match self.notice {
            Notice::Forged {
                guest,
                nic,
                source,
                count,
            } => {
                who(f, guest, nic)?;
                write!(
                    f,
                    ": {count} {} with a source that is not its own dropped, the last from {source}",
                    frames(count)
                )
            }
            Notice::Groups { guest, nic, count } => {
                who(f, guest, nic)?;
                write!(
                    f,
                    ": {count} {} to groups dropped: it sends too many",
                    frames(count)
                )
            }
        }
    }
}
