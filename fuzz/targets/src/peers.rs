//! The peer server and the memory server behind it: requests of three VMMs that ask for anything
//! about pages that their guests grant each other.

use memory_server::{DomainConfig, DomainIndex, Purpose, Untyped};
use memory_server_api::{Batch, Extra, Reply, Request as MemoryRequest, Slot};
use peer_server::{Grants, PeerServer, Server, Table};
use peer_server_api::{ENDS_WORDS, Ends, Error, Message, Request};
use sim::memory::{Memory, domain_config};
use std::sync::atomic::AtomicU32;
use topology::MAX_DOMAINS;
use topology::meets::{Lends, Meets};

use crate::input::Input;

const DOMAINS: usize = 3;
/// Pages of each, the first of them for this frame.
const PAGES: u32 = 8;
const FIRST: u32 = 0x100;
/// References and places that are tried.
const GREFS: u32 = 6;
const PLACES: u32 = 6;

/// The first borrows from both others, the second from the first, the third from nobody.
fn lends() -> Lends {
    Lends::NONE.with(1, 0).with(2, 0).with(0, 1)
}

struct World<'t> {
    memory: Memory,
    peers: PeerServer<'t>,
    /// Slots of grant tables, and of pages.
    tables: [Slot; DOMAINS],
    slots: [Vec<Slot>; DOMAINS],
}

fn index(domain: usize) -> DomainIndex {
    DomainIndex(u8::try_from(domain).expect("few"))
}

fn memory() -> Memory {
    let untyped = |paddr, size_bits, device, purpose| Untyped {
        paddr,
        size_bits,
        device,
        purpose,
    };
    let domains: Vec<DomainConfig> = (0..DOMAINS)
        .map(|n| DomainConfig {
            lenders: lends().lenders(n),
            shares: memory_server::Shares::NONE,
            ..domain_config(u16::from(index(n).0) + 1, n == 0, 1024, 6)
        })
        .collect();
    let untypeds = [
        untyped(0x4000_0000, 22, true, Purpose::Static(index(0))),
        untyped(0x8000_0000, 23, false, Purpose::Heap),
        untyped(0xb000_0000, 14, false, Purpose::Tables(index(0))),
        untyped(0xb000_4000, 14, false, Purpose::Tables(index(1))),
        untyped(0xb000_8000, 14, false, Purpose::Tables(index(2))),
    ];
    Memory::new(&domains, &untypeds, 4)
}

/// Requests of any kind, entries that guests write, pages that they give back, lives that end, and
/// a kernel that now and then refuses. No domain has a page that is not of one who may lend to it,
/// or one more than the peer server knows of; at the end nobody has any.
pub fn peer_request(data: &[u8]) {
    run(data);
}

/// The same; how many pages were lent at most at once.
fn run(data: &[u8]) -> usize {
    let mut most = 0;
    let mut table = Box::new(Table::EMPTY);
    let words: Vec<Vec<AtomicU32>> = (0..DOMAINS)
        .map(|_| (0..ENDS_WORDS).map(|_| AtomicU32::new(0)).collect())
        .collect();
    let ends: [Option<Ends<'_>>; MAX_DOMAINS] =
        std::array::from_fn(|n| words.get(n).and_then(|words| Ends::new(words)));
    let channels = Server::new(ends, Meets::NONE.with(0, 1), &[]);
    let mut world = World {
        memory: memory(),
        peers: PeerServer::new(channels, Grants::new(lends(), &mut table)),
        tables: [Slot(0); DOMAINS],
        slots: [const { Vec::new() }; DOMAINS],
    };
    for domain in 0..DOMAINS {
        world.live(domain);
    }
    let mut input = Input::new(data);
    while let Some(operation) = input.operation() {
        let who = usize::from(operation & 3) % DOMAINS;
        if operation & 0x40 != 0 {
            let after = u32::from(input.get::<u8>() & 7);
            world.memory.machine().change().faults.kernel = Some(after);
        }
        world.step(who, operation >> 2 & 15, &mut input);
        world.memory.machine().change().faults.kernel = None;
        most = most.max(world.check());
    }
    for domain in 0..DOMAINS {
        while world.ask(domain, Request::End) == Err(Error::Again) {}
    }
    let machine = world.memory.machine().look();
    assert_eq!(machine.lent_frames().count(), 0, "something is still lent");
    most
}

impl World<'_> {
    /// A life begins: a grant table and some pages.
    fn live(&mut self, domain: usize) {
        let kind = Extra::GrantFrame(0);
        let create = MemoryRequest::CreateExtra { kind };
        match self.memory.call(index(domain), create) {
            Ok(Reply::Granted(page)) => self.tables[domain] = page.first,
            other => panic!("a page: {other:?}"),
        }
        for n in 0..PAGES {
            self.populate(domain, FIRST + n);
        }
    }

    fn populate(&mut self, domain: usize, gfn: u32) {
        let mut gfns = Batch::EMPTY;
        gfns.push(gfn);
        let request = MemoryRequest::PopulatePages { gfns };
        if let Ok(Reply::Pages(pages)) = self.memory.call(index(domain), request) {
            self.slots[domain].extend(pages.iter());
        }
    }

    fn ask(&mut self, who: usize, request: Request) -> Result<(), Error> {
        let memory = &self.memory;
        self.peers
            .answer(who, request, |lending| memory.lending(lending))
    }

    fn slot(&self, who: usize, n: u8) -> Slot {
        let slots = &self.slots[who];
        let n = usize::from(n) % slots.len().max(1);
        slots.get(n).copied().unwrap_or(Slot(0))
    }

    fn step(&mut self, who: usize, what: u8, input: &mut Input<'_>) {
        let mut below = |most: u32| u32::from(input.get::<u8>()) % most;
        match what {
            0..4 => {
                let writable = what & 1 != 0;
                let (lend, gref) = (below(PLACES), below(GREFS));
                let domain = u8::try_from(below(4)).unwrap_or(0);
                let _ = self.ask(
                    who,
                    Request::Map {
                        lend,
                        domain,
                        gref,
                        writable,
                    },
                );
            }
            4 | 5 => {
                let lend = below(PLACES);
                let _ = self.ask(who, Request::Unmap { lend });
            }
            6 | 7 => {
                let n = below(PAGES + 2);
                // Mostly that of the frame, as long as none was given back.
                let which = match below(8) {
                    0 => input.get(),
                    _ => u8::try_from(n).unwrap_or(0),
                };
                let (gfn, slot) = (FIRST + n, self.slot(who, which).0);
                let _ = self.ask(who, Request::Offer { gfn, slot });
            }
            8 | 9 => {
                const FLAGS: [u32; 8] = [1, 1, 1, 5, 0, 9, 25, 3];
                let (gref, flags) = (below(GREFS), FLAGS[below(8) as usize]);
                let (domid, gfn) = (below(5), FIRST + below(PAGES + 2));
                self.publish(
                    who,
                    gref,
                    u64::from(flags | domid << 16) | u64::from(gfn) << 32,
                );
            }
            10 => {
                let slot = self.slot(who, input.get());
                let release = MemoryRequest::Release { slot };
                let _ = self.memory.call(index(who), release);
            }
            11 => {
                let gfn = FIRST + below(PAGES);
                self.populate(who, gfn);
            }
            // Ends are rare, or nothing lasts.
            12 | 13 if below(64) != 0 => {}
            12 => {
                let _ = self.ask(who, Request::End);
            }
            13 => {
                // In either order.
                self.memory.machine().change().faults.kernel = None;
                if below(2) == 0 {
                    while self.ask(who, Request::End) == Err(Error::Again) {}
                }
                self.memory.destroy(index(who)).expect("nothing is refused");
                self.memory.revive(index(who)).expect("it is dead");
                self.slots[who].clear();
                self.live(who);
                while self.ask(who, Request::End) == Err(Error::Again) {}
            }
            _ => {
                let label = input.number();
                let count = usize::from(input.get::<u8>() % 6);
                let words: Vec<u64> = (0..count).map(|_| input.number()).collect();
                let (memory, words) = (&self.memory, &words[..]);
                let message = Message { label, words };
                let _ = self
                    .peers
                    .on_message(who, message, |lending| memory.lending(lending));
            }
        }
    }

    /// The guest writes an entry of its table.
    fn publish(&self, who: usize, gref: u32, entry: u64) {
        let mut machine = self.memory.machine().change();
        if let Some(frame) = machine.held_frame(index(who), self.tables[who]) {
            machine.store(frame.paddr + u64::from(gref) * 8, &entry.to_le_bytes());
        }
    }

    /// Checks what is lent; how many pages that are.
    fn check(&self) -> usize {
        let machine = self.memory.machine().look();
        for domain in 0..DOMAINS {
            let lent: Vec<_> = machine
                .lent_frames()
                .filter(|frame| frame.domain == index(domain))
                .collect();
            let known = self.peers.grants().borrowed(domain);
            assert!(lent.len() <= known, "{} of {known}", lent.len());
            for frame in lent {
                let mut owners = machine
                    .held_frames()
                    .filter(|held| held.paddr == frame.paddr);
                assert!(
                    owners.all(|held| lends().contains(held.domain.0.into(), domain)),
                    "{frame:?}"
                );
            }
        }
        machine.lent_frames().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    #[test]
    fn seeds_get_as_far_as_pages() {
        for (name, bytes) in seeds::of("peer_request") {
            assert_eq!(run(&bytes), 1, "{name}");
        }
    }

    /// Random requests, each life of this world some thousands long; `ZAZEN_STEPS` for more of
    /// them.
    #[test]
    fn a_storm() {
        let steps = std::env::var("ZAZEN_STEPS").ok();
        let steps: usize = steps.and_then(|n| n.parse().ok()).unwrap_or(20_000);
        let mut state = 7_u64;
        let (mut done, mut most) = (0, 0);
        while done < steps {
            let bytes: Vec<u8> = (0..12_000)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // Most numbers are small.
                    let byte = (state >> 56) as u8;
                    if state >> 40 & 3 == 0 {
                        byte
                    } else {
                        byte & 0x3f
                    }
                })
                .collect();
            most = most.max(run(&bytes));
            done += bytes.len() / 3;
        }
        assert!(most > 2, "{most} pages were lent at once");
    }
}
