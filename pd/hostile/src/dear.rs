//! The dearest messages that one domain can send to the memory server, timed one by one.

use core::fmt::Write;

use hv_types::Gfn;
use memory_server_api::{
    ALIASES, Batch, Error, Extra, MAX_BATCH, MemoryServer as _, Reply, Request, Slot,
};
use zazen_rt::clients::MemoryClient;
use zazen_rt::clock;

use crate::Log;

/// Most rounds of anything; the domain has 16 MiB.
const ROUNDS: u32 = 1 << 14;
const GFN: u64 = 0x40000;

/// Times messages by their labels.
struct Timed {
    server: MemoryClient,
    /// Messages, and ticks of the dearest.
    by_label: [(u32, u64); 32],
}

impl Timed {
    fn ask(&mut self, request: Request) -> Result<Reply, Error> {
        for _ in 0..ROUNDS {
            let start = clock::now();
            let answer = self.server.send(request);
            let ticks = clock::now().wrapping_sub(start);
            let place = usize::try_from(request.label()).unwrap_or(usize::MAX);
            if let Some((messages, dearest)) = self.by_label.get_mut(place) {
                *messages += 1;
                *dearest = ticks.max(*dearest);
            }
            if answer != Err(Error::Again) {
                return answer;
            }
        }
        Err(Error::Again)
    }

    /// All pages that can be had, one alias after the other on the first of them, and all of them
    /// back again.
    fn pages(&mut self) -> u32 {
        let (mut first, mut pages) = (None, 0);
        for _ in 0..ROUNDS {
            let mut gfns = Batch::EMPTY;
            (0..MAX_BATCH).for_each(|_| _ = gfns.push(0x40000 + pages));
            let Ok(Reply::Pages(got)) = self.ask(Request::PopulatePages { gfns }) else {
                break;
            };
            first = first.or(got.iter().next());
            pages += u32::try_from(got.len()).unwrap_or(0);
        }
        let Some(slot) = first else { return 0 };
        (0..ALIASES).for_each(|alias| _ = self.ask(Request::Alias { slot, alias }));
        // Windows were free when the first came, so the others follow it.
        let mut back = 0;
        for n in (0..).take(2 * 512 * 9) {
            let slot = Slot(slot.0 - slot.0 % 1024 + 2 * n);
            back += u32::from(self.ask(Request::Release { slot }).is_ok());
        }
        back
    }

    fn blocks(&mut self) -> Option<Slot> {
        let mut last = None;
        for n in 0..u64::from(ROUNDS) {
            let request = Request::PopulateBlocks {
                gfn: Gfn::new(GFN + 512 * n),
                blocks: 64,
            };
            match self.ask(request) {
                Ok(Reply::Granted(run)) => last = Some(run.slot(run.count - 1)),
                _ => break,
            }
        }
        last
    }

    fn end(&mut self) {
        for _ in 0..ROUNDS {
            let reply = self.ask(Request::Relinquish { again: true });
            if !matches!(reply, Ok(Reply::Relinquished { more: true, .. })) {
                break;
            }
        }
    }

    fn tables(&mut self) {
        while let Ok(Reply::Tables { .. }) = self.ask(Request::Tables { count: 16 }) {}
    }
}

/// Sends them and says for each request how many messages there were and how many ticks the dearest
/// took.
pub(crate) fn run(log: &mut Log) {
    let mut timed = Timed {
        server: MemoryClient::take(),
        by_label: [(0, 0); 32],
    };
    for _ in 0..2 {
        let back = timed.pages();
        let slot = timed.blocks();
        let _ = writeln!(log, "[hostile] {back} pages went back, then blocks");
        if let Some(slot) = slot {
            let _ = timed.ask(Request::split(slot));
            let _ = timed.ask(Request::SplitAbort { slot });
            let _ = timed.ask(Request::split(slot));
            let _ = timed.ask(Request::SplitDone { slot });
        }
        let kind = Extra::Console;
        let _ = timed.ask(Request::CreateExtra { kind });
        let _ = timed.ask(Request::DestroyExtra { kind });
        timed.tables();
        timed.end();
    }
    for (label, (messages, dearest)) in timed.by_label.iter().enumerate() {
        if *messages > 0 {
            let _ = writeln!(
                log,
                "[hostile] request {label}: {messages} messages, the dearest {dearest} ticks of {} Hz",
                clock::frequency()
            );
        }
    }
    let _ = writeln!(log, "[hostile] dearest messages: done");
}
