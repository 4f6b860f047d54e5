//! What the peer server asks the memory server: a look at a grant table, and a page that one domain
//! lends to another.
//!
//! The peer server decides who may have which page, and holds neither memory nor a capability to
//! any. The memory server does what it says within the pairs of the domains file, and only with
//! pages that the lender has as RAM. It changes the entry of the grant table itself, in one atomic
//! step, and clears marks only when the capability is gone.

use hv_types::LENDS;
use ipc::Message;

use crate::message::Words;

/// No place for a page of others, in [`Lending::Lend`].
pub const NO_LEND: u32 = LENDS;

ipc::requests! {
    /// What the peer server says, over its own channel; labels that none of
    /// [`Request`](crate::Request)'s has. The reply has no words but that of
    /// [`Lending::Entry`]; its label is 0 or the number of a [`LendError`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Lending {
        /// An entry of the grant table of a domain, with a single load. Reply: the entry.
        48 Idempotent Entry {
            /// Number of the domain, from 0.
            domain: u8,
            /// The reference.
            gref: u32,
        },
        /// Lends a page: changes the low half of the entry from `was` to `now` in one step, unless
        /// they are the same, and puts a capability of the page into the borrower's slot `lend`.
        49 Once Lend {
            /// Whose page it is: number from 0.
            domain: u8,
            /// The reference.
            gref: u32,
            /// Flags, and the domain id above them.
            was: u32,
            /// The same as they shall be.
            now: u32,
            /// The lender's guest frame for which it has the page.
            gfn: u32,
            /// The page's guest-side slot in the lender's grant CNode.
            slot: u32,
            /// Not that page, but the one that the lender lends to the borrower in this place of
            /// its; [`NO_LEND`] for none.
            like: u32 where 0..=NO_LEND,
            /// Who borrows it: number from 0.
            to: u8,
            /// Which of its slots for pages of others.
            lend: u32 where 0..LENDS,
            /// Whether it may write there.
            writable: bool,
        },
        /// Ends that: deletes the capability, with its mapping, and then clears bits of the entry.
        50 Idempotent Unlend {
            /// Who borrowed it: number from 0.
            to: u8,
            /// Its slot.
            lend: u32 where 0..LENDS,
            /// Whose grant table: number from 0.
            domain: u8,
            /// The reference.
            gref: u32,
            /// The bits; 0 leaves the entry alone.
            clear: u16,
        },
    }
}

/// Why the server refused; nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum LendError {
    /// The message does not decode.
    Malformed = 1,
    /// The grant table has no such entry.
    NoEntry = 2,
    /// The entry was no longer as said.
    Lost = 3,
    /// The lender does not have that page in that slot for that frame, or not as a page by itself.
    NotThere = 4,
    /// The domains file does not let the two do that, or one of them is dying.
    Denied = 5,
    /// The borrower's slot is in use.
    Taken = 6,
    /// The kernel refused.
    Kernel = 7,
}

impl Lending {
    /// Writes the answer to one of these.
    pub fn answer(result: Result<u64, LendError>, into: &mut Words) -> Message<'_> {
        match result {
            Ok(word) => Message::put(into, 0, &[word]),
            Err(error) => Message::put(into, error as u64, &[]),
        }
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// The server's refusal, or [`LendError::Malformed`] for what is none.
    pub fn read_answer(message: Message<'_>) -> Result<u64, LendError> {
        Err(match message.label {
            0 => {
                let [word] = message.exactly().ok_or(LendError::Malformed)?;
                return Ok(word);
            }
            2 => LendError::NoEntry,
            3 => LendError::Lost,
            4 => LendError::NotThere,
            5 => LendError::Denied,
            6 => LendError::Taken,
            7 => LendError::Kernel,
            _ => LendError::Malformed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_WORDS, Request};

    #[test]
    fn they_travel_and_rubbish_does_not() {
        let mut words = [0; MAX_WORDS];
        for lending in [
            Lending::Entry { domain: 7, gref: 9 },
            Lending::Lend {
                domain: 1,
                gref: 32_767,
                was: u32::MAX,
                now: 1,
                gfn: u32::MAX,
                slot: 5,
                like: NO_LEND,
                to: 2,
                lend: LENDS - 1,
                writable: true,
            },
            Lending::Unlend {
                to: 2,
                lend: 0,
                domain: 1,
                gref: 8,
                clear: 24,
            },
        ] {
            assert_eq!(Lending::read(lending.write(&mut words)), Some(lending));
            let message = lending.write(&mut words);
            assert!(
                Request::decode(message).is_err(),
                "it is no request of a VMM"
            );
        }
        let long: &[u64] = &[2, LENDS.into(), 1, 8, 24];
        for (label, words) in [(48, &[1][..]), (50, long), (51, &[])] {
            assert_eq!(Lending::read(Message { label, words }), None);
        }
        for result in [
            Ok(u64::MAX),
            Err(LendError::Malformed),
            Err(LendError::NoEntry),
            Err(LendError::Lost),
            Err(LendError::NotThere),
            Err(LendError::Denied),
            Err(LendError::Taken),
            Err(LendError::Kernel),
        ] {
            let answer = Lending::answer(result, &mut words);
            assert_eq!(Lending::read_answer(answer), result);
        }
    }
}
