//! What the fault server tells the memory server: a VMM has stopped.

use ipc::Message;

use crate::message::{Reply, Request, Words};
use crate::types::{Error, Relinquished};

/// The VMM of a domain has stopped and will never run again: the memory server takes back whatever
/// the domain has, a bounded part for each message, and gives it nothing more (LU-7). Sent over the
/// fault server's own channel, on which nothing else is served; repeated until the answer says that
/// nothing is left. Answer: [`Reply::Relinquished`].
///
/// After [`Error::Kernel`] what was taken back stays so; repeating goes on where it stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// Number of the domain in the domains file, from 0.
    pub domain: u8,
}

ipc::requests! {
    /// What the fault server says; labels that none of [`Request`]'s has.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Said {
        /// See [`Crash`].
        32 Continues Crash {
            /// Number of the domain.
            domain: u8,
        },
    }
}

impl Crash {
    /// Writes it as a message.
    pub fn encode(self, into: &mut Words) -> Message<'_> {
        let Self { domain } = self;
        (Said::Crash { domain }).write(into)
    }

    /// Reads a message of the fault server.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another label, a wrong length, or a number above 255.
    pub fn decode(message: Message<'_>) -> Result<Self, Error> {
        let Said::Crash { domain } = Said::read(message).ok_or(Error::Malformed)?;
        Ok(Self { domain })
    }

    /// Reads the answer: whether something is left, and what was taken back so far.
    ///
    /// # Errors
    /// The server's refusal, or [`Error::Malformed`] if the answer is not one to this message.
    pub fn decode_reply(message: Message<'_>) -> Result<(bool, Relinquished), Error> {
        match (Request::Relinquish { again: false }).decode_reply(message)? {
            Reply::Relinquished { more, taken } => Ok((more, taken)),
            _ => Err(Error::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels_and_garbage_does_not() {
        let mut words = [0; crate::MAX_WORDS];
        for domain in [0, 7, u8::MAX] {
            let crash = Crash { domain };
            assert_eq!(Crash::decode(crash.encode(&mut words)), Ok(crash));
        }
        let wild: [(u64, &[u64]); 4] = [(32, &[]), (32, &[256]), (32, &[1, 2]), (0, &[1])];
        for (label, words) in wild {
            assert_eq!(
                Crash::decode(Message { label, words }),
                Err(Error::Malformed)
            );
        }
        // No VMM's request is taken for it, nor the other way round.
        let message = Crash { domain: 1 }.encode(&mut words);
        assert_eq!(Request::decode(message), Err(Error::Malformed));
    }

    #[test]
    fn the_answer_travels() {
        let taken = Relinquished {
            ram: 512,
            extra: 3,
            tables: 9,
        };
        let mut words = [0; crate::MAX_WORDS];
        for more in [false, true] {
            let reply = Reply::encode(&Ok(Reply::Relinquished { more, taken }), &mut words);
            assert_eq!(Crash::decode_reply(reply), Ok((more, taken)));
        }
        let reply = Reply::encode(&Err(Error::Kernel), &mut words);
        assert_eq!(Crash::decode_reply(reply), Err(Error::Kernel));
        let reply = Reply::encode(&Ok(Reply::Done), &mut words);
        assert_eq!(Crash::decode_reply(reply), Err(Error::Malformed));
    }
}
