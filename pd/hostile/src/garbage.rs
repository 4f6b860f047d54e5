//! A million messages that no VMM sends.

use core::fmt::Write;

use hv_types::{Gfn, VcpuId};
use memory_server_api::{Error, Granted, MemoryServer, Reply, Request, SplitKind};
use topology::channel;
use zazen_rt::clients::MemoryClient;
use zazen_rt::invoke;

use crate::Log;
use crate::random::Random;

/// Messages to the memory server.
const MEMORY: u32 = 1_000_000;
/// Messages to the others, each.
const OTHERS: u32 = 50_000;
/// Messages that pretend to be faults.
const FAULTS: u32 = 10_000;
/// Most words of an seL4 message.
const WORDS: u64 = 120;

/// Where the garbage comes from.
pub(crate) struct Garbage {
    random: Random,
}

/// What a server made of it.
#[derive(Default)]
struct Tally {
    accepted: u32,
    refused: u32,
}

impl Garbage {
    /// The same garbage every time.
    pub(crate) const fn new() -> Self {
        Self {
            random: Random::new(0x5eed_0f5e_ed0f_5eed),
        }
    }

    /// Sends all of it and says what came of it; at last it begins a split and pretends, without
    /// end, to have faulted.
    pub(crate) fn run(&mut self, log: &mut Log) {
        for (name, channel, count) in [
            ("memory_server", channel::MEMORY, MEMORY),
            ("dt_server", channel::DT, OTHERS),
            ("timer_server", channel::TIMER, OTHERS),
        ] {
            let Tally { accepted, refused } = self.flood(channel, count);
            let _ = writeln!(
                log,
                "[hostile] {name}: {count} messages, {refused} refused, {accepted} accepted"
            );
        }
        let _ = writeln!(log, "[hostile] {} given back", give_back());
        let _ = writeln!(log, "[hostile] {}", begin_split());
        for _ in 0..FAULTS {
            let (label, words) = (self.random.below(16), self.random.below(WORDS + 1));
            self.fill(words);
            invoke::pretend_fault(label, words);
        }
        let _ = writeln!(log, "[hostile] {FAULTS} false faults sent");
        let _ = writeln!(log, "[hostile] taken for dead: {}", ask_again());
    }

    /// Fills the first `words` message registers.
    fn fill(&mut self, words: u64) {
        invoke::fill_message(words, |_| self.random.argument());
    }

    fn flood(&mut self, channel: usize, count: u32) -> Tally {
        let mut tally = Tally::default();
        for _ in 0..count {
            let random = &mut self.random;
            // Mostly labels that mean something, with about as many words as they take.
            let label = match random.below(8) {
                0 => random.word(),
                _ => random.below(24),
            };
            let words = match random.below(8) {
                0 => random.below(WORDS + 1),
                _ => random.below(7),
            };
            // A capability of ours comes along now and then: no server has a place for it.
            let cap = (random.below(16) == 0).then(|| random.below(512));
            self.fill(words);
            if invoke::call_with(channel, label, words, cap) == 0 {
                tally.accepted += 1;
            } else {
                tally.refused += 1;
            }
        }
        tally
    }
}

/// Most messages that giving everything back may take; each does a bounded part.
const ROUNDS: u32 = 1 << 16;

/// Gives back all that the garbage got, as a VMM does between two lives of its guest, in whatever
/// state the garbage left the domain; how many pages that were.
fn give_back() -> u64 {
    let mut server = MemoryClient::take();
    for _ in 0..ROUNDS {
        let reply = server.call(Request::Relinquish { again: true });
        if let Ok(Reply::Relinquished { more: false, taken }) = reply {
            return taken.ram + taken.extra + taken.tables;
        }
    }
    0
}

/// Asks for a life, and for memory, after it has said that it is dead; whether it gets any.
fn ask_again() -> &'static str {
    let mut server = MemoryClient::take();
    let requests = [
        Request::Relinquish { again: true },
        Request::populate_page(Gfn::new(0x40000)),
        Request::Tables { count: 1 },
        Request::Vcpu { vcpu: VcpuId::BOOT },
    ];
    let mut refused = requests
        .into_iter()
        .map(|request| server.call(request) == Err(Error::Dying));
    if refused.all(|dying| dying) {
        "every request is refused"
    } else {
        "a request is not refused"
    }
}

/// Asks for a block of RAM, has it split, and leaves it there.
fn begin_split() -> &'static str {
    let mut server = MemoryClient::take();
    let request = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 1,
    };
    let Ok(Reply::Granted(Granted { first, .. })) = server.call(request) else {
        return "no block is left";
    };
    match server.call(Request::split(first)) {
        Ok(Reply::Split {
            kind: SplitKind::Copy,
            ..
        }) => "in the middle of a split",
        Ok(_) => "behind a split",
        Err(_) => "the block is not split",
    }
}
