//! What the server knows from the domains file, in words that the image builder writes into its
//! program.

use peer_server_api::{CHANNELS_MAX, MAX_PORT, StaticChannel};
use topology::MAX_DOMAINS;
use topology::meets::{Lends, Meets};

/// How many words there are.
pub const FACTS_WORDS: usize = 3 + CHANNELS_MAX;

/// Bit of a word that holds a channel.
const THERE: u64 = 1 << 63;
/// Bits of an end: its domain above its port.
const END: u32 = 24;
const PORT: u32 = 16;

/// Facts about a system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Which domains have a page of ends.
    pub meets: Meets,
    /// Which may bind channels between them.
    pub events: Meets,
    /// Who may map whose grants.
    pub lends: Lends,
    channels: [StaticChannel; CHANNELS_MAX],
    count: usize,
}

impl Facts {
    /// These facts; of the channels the first [`CHANNELS_MAX`].
    pub fn new(meets: Meets, events: Meets, lends: Lends, channels: &[StaticChannel]) -> Self {
        let mut all = [StaticChannel::default(); CHANNELS_MAX];
        for (to, from) in all.iter_mut().zip(channels) {
            *to = *from;
        }
        Self {
            meets,
            events,
            lends,
            channels: all,
            count: channels.len().min(CHANNELS_MAX),
        }
    }

    /// Channels that there are from the start.
    pub fn channels(&self) -> &[StaticChannel] {
        self.channels.get(..self.count).unwrap_or(&[])
    }

    /// As words.
    pub fn words(&self) -> [u64; FACTS_WORDS] {
        let end = |(domain, port)| u64::from(domain) << PORT | u64::from(port);
        let mut words = [0; FACTS_WORDS];
        let channels = self.channels().iter().map(|channel| {
            let [first, second] = channel
                .ends
                .map(|(domain, port): (u8, u16)| end((domain, port)));
            THERE | first << END | second
        });
        let all = [self.meets, self.events].map(Meets::bits);
        let all = [all[0], all[1], self.lends.bits()];
        for (to, from) in words.iter_mut().zip(all.into_iter().chain(channels)) {
            *to = from;
        }
        words
    }

    /// From words; a channel that cannot be is none.
    pub fn of(words: &[u64; FACTS_WORDS]) -> Self {
        let [meets, events, lends, channels @ ..] = words;
        let mut all = [StaticChannel::default(); CHANNELS_MAX];
        let mut count = 0;
        for word in channels.iter().filter(|word| **word & THERE != 0) {
            let end = |bits: u64| {
                let domain = u8::try_from(bits >> PORT & 0xff).ok()?;
                let port = u16::try_from(bits & 0xffff).ok()?;
                let there = usize::from(domain) < MAX_DOMAINS && port <= MAX_PORT;
                there.then_some((domain, port))
            };
            let ends = end(word >> END).zip(end(word & ((1 << END) - 1)));
            if let (Some((first, second)), Some(to)) = (ends, all.get_mut(count)) {
                let ends = [first, second];
                *to = StaticChannel { ends };
                count += 1;
            }
        }
        Self {
            meets: Meets::from_bits(*meets),
            events: Meets::from_bits(*events),
            lends: Lends::from_bits(*lends),
            channels: all,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_travel() {
        let channels = [
            StaticChannel {
                ends: [(0, 10), (7, MAX_PORT)],
            },
            StaticChannel {
                ends: [(1, 1), (0, 11)],
            },
        ];
        let meets = Meets::NONE.with(0, 7).with(0, 1);
        let facts = Facts::new(
            meets,
            Meets::NONE.with(0, 1),
            Lends::NONE.with(7, 0),
            &channels,
        );
        assert_eq!(facts.channels(), channels);
        assert_eq!(Facts::of(&facts.words()), facts);
        assert_eq!(
            Facts::of(&[0; FACTS_WORDS]),
            Facts::new(Meets::NONE, Meets::NONE, Lends::NONE, &[])
        );
        assert_eq!(Facts::of(&[u64::MAX; FACTS_WORDS]).channels(), []);
    }
}
