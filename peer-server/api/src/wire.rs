//! Requests and replies in message registers.

use ipc::Message;

use hv_types::LENDS;

use crate::MAX_PORT;

/// No slot has the page, because there is none.
pub const NO_SLOT: u32 = u32::MAX;

/// Ports of a guest.
const PORTS: core::ops::RangeInclusive<u16> = 1..=MAX_PORT;

ipc::requests! {
    /// What a VMM asks. The caller is known by its channel. The reply has no words; its label is 0
    /// or the number of an [`Error`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Request {
        /// Sets a free port aside for a domain to bind to.
        1 Once Alloc {
            /// The caller's port.
            port: u16 where PORTS,
            /// Who may bind to it: number from 0.
            domain: u8,
        },
        /// Connects a free port to one that another domain has set aside for the caller.
        2 Once Bind {
            /// The caller's port.
            port: u16 where PORTS,
            /// The other domain: number from 0.
            domain: u8,
            /// Its port; any number.
            remote: u32,
        },
        /// Frees a port. One that it was connected to waits for the caller to bind again.
        3 Once Close {
            /// The caller's port.
            port: u16 where PORTS,
        },
        /// Frees all ports.
        4 Idempotent Reset,
        /// A guest begins to live: its static channels are there, as far as the other ends are.
        5 Idempotent Start,
        /// Maps a page that another domain grants to the caller.
        6 Once Map {
            /// The caller's place for it.
            lend: u32 where 0..LENDS,
            /// Who grants it: number from 0.
            domain: u8,
            /// The reference; any number.
            gref: u32,
            /// Whether it is to be written.
            writable: bool,
        },
        /// Ends what [`Request::Map`] began: the page is gone from the place.
        7 Once Unmap {
            /// The caller's place.
            lend: u32 where 0..LENDS,
        },
        /// Says which slot of the caller's has the page of a guest frame.
        8 Idempotent Offer {
            /// The frame.
            gfn: u32,
            /// The slot, or [`NO_SLOT`].
            slot: u32,
        },
        /// A life of the guest begins or ends: all that it has mapped is unmapped, and what others
        /// have mapped of it is not counted any more. To be repeated while the answer is
        /// [`Error::Again`].
        9 Continues End,
    }
}

ipc::requests! {
    /// What the fault server says, over its own channel; a label that none of [`Request`]'s has.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Said {
        /// The VMM of a domain has stopped, and will never run again: its ports are freed.
        32 Idempotent Crash {
            /// Number of the domain, from 0.
            domain: u8,
        },
    }
}

/// Writes that the VMM of domain `domain`, from 0, has stopped.
pub fn crash(domain: u8, into: &mut [u64]) -> Message<'_> {
    (Said::Crash { domain }).write(into)
}

/// Reads a message of the fault server: which domain's VMM has stopped.
///
/// # Errors
/// [`Error::Malformed`] for anything else.
pub fn read_crash(message: Message<'_>) -> Result<u8, Error> {
    let Said::Crash { domain } = Said::read(message).ok_or(Error::Malformed)?;
    Ok(domain)
}

/// Why the server refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Error {
    /// The request does not decode, or the caller is nobody.
    Malformed = 1,
    /// The domains file does not let the two domains have event channels.
    Denied = 2,
    /// The other end is not there, or is not set aside for the caller; or the caller's own port is
    /// no channel to another domain.
    NotThere = 3,
    /// The caller's port or place is in use.
    Taken = 4,
    /// The grant table has no such entry.
    NoEntry = 5,
    /// The entry does not grant that to the caller, or the grant is in use by another, or too
    /// often.
    NotGranted = 6,
    /// The entry names a frame that is no page of RAM.
    BadPage = 7,
    /// The owner's VMM has yet to say where the page is ([`Request::Offer`]).
    NotReady = 8,
    /// The kernel refused.
    Kernel = 9,
    /// Something is left to do.
    Again = 10,
}

/// Label of the reply.
pub fn reply(result: Result<(), Error>) -> u64 {
    result.map_or_else(|error| error as u64, |()| 0)
}

/// Reads the label of a reply.
///
/// # Errors
/// The server's refusal, or [`Error::Malformed`] for a number that is none.
pub fn read_reply(label: u64) -> Result<(), Error> {
    Err(match label {
        0 => return Ok(()),
        2 => Error::Denied,
        3 => Error::NotThere,
        4 => Error::Taken,
        5 => Error::NoEntry,
        6 => Error::NotGranted,
        7 => Error::BadPage,
        8 => Error::NotReady,
        9 => Error::Kernel,
        10 => Error::Again,
        _ => Error::Malformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_travel_and_rubbish_does_not() {
        let mut words = [0; crate::MAX_WORDS];
        let domain = 7;
        for request in [
            Request::Alloc { port: 1, domain },
            Request::Bind {
                port: MAX_PORT,
                domain,
                remote: u32::MAX,
            },
            Request::Close { port: 9 },
            Request::Reset,
            Request::Start,
            Request::Map {
                lend: LENDS - 1,
                domain,
                gref: u32::MAX,
                writable: true,
            },
            Request::Unmap { lend: 0 },
            Request::Offer {
                gfn: 1,
                slot: NO_SLOT,
            },
            Request::End,
        ] {
            assert_eq!(Request::read(request.write(&mut words)), Some(request));
        }
        for (label, words) in [
            (1, &[0, 1][..]),
            (1, &[1024, 1]),
            (1, &[1]),
            (2, &[1, 256, 1]),
            (2, &[1, 1, 1 << 32]),
            (3, &[1, 1]),
            (4, &[0]),
            (6, &[u64::from(LENDS), 1, 1, 0]),
            (6, &[0, 1, 1, 2]),
            (7, &[]),
            (10, &[]),
            (32, &[1]),
        ] {
            assert_eq!(
                Request::read(Message { label, words }),
                None,
                "{label} {words:?}"
            );
        }
        for result in [
            Ok(()),
            Err(Error::Malformed),
            Err(Error::Denied),
            Err(Error::NotThere),
            Err(Error::Taken),
            Err(Error::NoEntry),
            Err(Error::NotGranted),
            Err(Error::BadPage),
            Err(Error::NotReady),
            Err(Error::Kernel),
            Err(Error::Again),
        ] {
            assert_eq!(read_reply(reply(result)), result);
        }
        assert_eq!(read_reply(99), Err(Error::Malformed));
        assert_eq!(read_crash(crash(7, &mut words)), Ok(7));
        let words = &[256];
        assert_eq!(
            read_crash(Message { label: 32, words }),
            Err(Error::Malformed)
        );
    }
}
