//! The memory server: its manifest, and requests of VMMs that ask for anything.

use std::collections::HashMap;

use hv_types::PAGE_SIZE;
use memory_server::layout::{self, GrantLayout};
use memory_server::manifest::{self, MAGIC, MANIFEST_WORDS, VERSION};
use memory_server::{
    BlockRecord, DomainConfig, DomainIndex, Manifest, MemoryServer, Purpose, SplitRecord, Tables,
    Totals, Untyped, UntypedRecord,
};
use memory_server_api::{Error, MAX_WORDS, MOST_MESSAGES, Message, Reply, Request, Slot, Usage};
use sim::caps::{CNode, Faults, Machine, Place, Shared};
use sim::memory::domain_config;

use crate::input::Input;

/// Blocks for which a server is built at most.
const MOST_BLOCKS: u32 = 4096;
const DOMAINS: [DomainIndex; 2] = [DomainIndex(0), DomainIndex(1)];

/// A server of `manifest` with its tables, for as long as `f` runs.
fn with_server(manifest: &Manifest<'_>, f: impl FnOnce(MemoryServer<'_>)) {
    let windows = manifest
        .domains()
        .map(|(_, d)| GrantLayout::of(&d).words())
        .sum();
    let splits = usize::from(manifest.splits()).min(8);
    let tables = Tables {
        untypeds: &mut vec![UntypedRecord::EMPTY; manifest.untypeds().count()],
        blocks: &mut vec![BlockRecord::EMPTY; layout::blocks(manifest) as usize],
        splits: &mut vec![SplitRecord::EMPTY; splits],
        windows: &mut vec![0; windows],
    };
    let server = MemoryServer::new(manifest, tables);
    f(server.unwrap_or_else(|error| panic!("tables of the size asked for: {error}")));
}

/// Any words: what is accepted comes through another encoding unchanged and makes a server that
/// accounts for all of it.
pub fn manifest(data: &[u8]) {
    let mut words = [0; MANIFEST_WORDS];
    let mut input = Input::new(data);
    // A fuzzer need not find the magic number.
    if input.get::<u8>() & 1 == 0 {
        (words[0], words[1]) = (MAGIC, VERSION);
    }
    let mut at = 2usize;
    while let Some(operation) = input.operation() {
        // A jump, or the next word.
        if operation == 0 {
            at = usize::from(input.get::<u16>()) % MANIFEST_WORDS;
            continue;
        }
        words[at] = input.number();
        at = (at + 1) % MANIFEST_WORDS;
    }
    let manifest = match Manifest::decode(&words) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let domains: Vec<DomainConfig> = manifest.domains().map(|(_, config)| config).collect();
    let untypeds: Vec<Untyped> = manifest.untypeds().collect();
    check_untypeds(&domains, &untypeds);
    let again = manifest::encode(&domains, &untypeds, manifest.splits());
    let again = again.unwrap_or_else(|error| panic!("a manifest that was accepted: {error}"));
    let again = Manifest::decode(&again).expect("what was encoded decodes");
    assert!(again.domains().map(|(_, config)| config).eq(domains));
    assert!(again.untypeds().eq(untypeds.iter().copied()));
    if layout::blocks(&manifest) > MOST_BLOCKS {
        return;
    }
    with_server(&manifest, |server| {
        let totals = server.totals();
        let bytes = untypeds
            .iter()
            .fold(0, |sum, u| sum + (1u64 << u.size_bits));
        assert_eq!((totals.sum(), totals.all), (bytes, bytes));
    });
}

/// What the server relies on: aligned, disjoint, and static memory at home in a static domain.
fn check_untypeds(domains: &[DomainConfig], untypeds: &[Untyped]) {
    let mut ranges = Vec::new();
    for u in untypeds {
        assert_eq!(u.paddr % (1 << u.size_bits), 0, "{u:?}");
        ranges.push((u.paddr, (1u64 << u.size_bits) - 1));
        match u.purpose {
            Purpose::Heap | Purpose::Shared { .. } => {}
            Purpose::Static(d) => assert!(domains[usize::from(d.0)].is_static, "{u:?}"),
            Purpose::Tables(d) => assert!(usize::from(d.0) < domains.len() && !u.device, "{u:?}"),
        }
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        assert!(
            pair[1].0 - pair[0].0 > pair[0].1,
            "untypeds overlap: {pair:x?}"
        );
    }
}

/// What both domains together can see of the server.
#[derive(PartialEq, Debug)]
struct Seen {
    totals: Totals,
    usage: [Usage; 2],
    granted: Vec<(Place, u64, u64)>,
}

struct World<'s> {
    server: MemoryServer<'s>,
    machine: Shared,
    /// Slots that each domain was ever given.
    slots: [Vec<Slot>; 2],
}

/// A domain with 4 MiB of static memory and one of as much of 6 MiB of heap, and a piece of each
/// that is no block.
fn usual() -> [u64; MANIFEST_WORDS] {
    let untyped = |paddr, size_bits, device, purpose| Untyped {
        paddr,
        size_bits,
        device,
        purpose,
    };
    let tables = |d: DomainIndex, paddr| untyped(paddr, 14, false, Purpose::Tables(d));
    let domains = [
        domain_config(1, true, 1024 + 4, 6),
        domain_config(2, false, 1024, 6),
    ];
    let untypeds = [
        untyped(0x4000_0000, 22, true, Purpose::Static(DOMAINS[0])),
        untyped(0x4040_0000, 14, true, Purpose::Static(DOMAINS[0])),
        untyped(0x8000_0000, 22, false, Purpose::Heap),
        untyped(0x9000_0000, 21, true, Purpose::Heap),
        untyped(0xa000_0000, 14, false, Purpose::Heap),
        tables(DOMAINS[0], 0xb000_0000),
        tables(DOMAINS[1], 0xb000_4000),
    ];
    manifest::encode(&domains, &untypeds, 3).expect("a valid manifest")
}

/// Two VMMs that send anything, and a kernel that now and then refuses: totals are conserved, a
/// refusal changes nothing (but that returned memory may be revoked by then), and no frame has two
/// owners.
pub fn memory_request(data: &[u8]) {
    let words = usual();
    let manifest = Manifest::decode(&words).expect("a valid manifest");
    with_server(&manifest, |server| {
        let mut world = World {
            server,
            machine: Machine::shared(&manifest),
            slots: [const { Vec::new() }; 2],
        };
        let mut input = Input::new(data);
        while let Some(operation) = input.operation() {
            let who = usize::from(operation & 1);
            match operation >> 1 {
                0x7f => world.destroy(who),
                0x70..0x78 => {
                    let after = u32::from(input.get::<u8>());
                    world.machine.change().faults.kernel = Some(after);
                    let (label, words) = world.message(who, &mut input);
                    world.send(who, label, &words, true);
                    world.machine.change().faults = Faults::default();
                }
                _ => {
                    let (label, words) = world.message(who, &mut input);
                    world.send(who, label, &words, false);
                }
            }
            world.check();
        }
    });
}

impl World<'_> {
    /// A message of any label and words; a word may be a slot that the sender was given.
    fn message(&self, who: usize, input: &mut Input<'_>) -> (u64, Vec<u64>) {
        let label = input.number();
        let count = usize::from(input.get::<u8>()) % (MAX_WORDS + 2);
        let words: Vec<u64> = (0..count)
            .map(|_| match input.get::<u8>() {
                n @ ..0x80 => u64::from(n),
                n @ ..0xf0 => {
                    let slots = &self.slots[who];
                    let nth = usize::from(n - 0x80);
                    slots
                        .get(nth % slots.len().max(1))
                        .map_or(0, |slot| u64::from(slot.0))
                }
                _ => input.number(),
            })
            .collect();
        (label, words)
    }

    fn usage(&mut self, domain: DomainIndex) -> Usage {
        let usage = self
            .server
            .serve(&mut self.machine, domain, &Request::Usage);
        match usage {
            Ok(Reply::Usage(usage)) => usage,
            other => panic!("usage of {domain:?}: {other:?}"),
        }
    }

    fn look(&mut self) -> Seen {
        let all = self.machine.look().capabilities();
        Seen {
            totals: self.server.totals().settled(),
            usage: DOMAINS.map(|d| Usage {
                returned: 0,
                ..self.usage(d)
            }),
            granted: all
                .into_iter()
                .filter(|(place, ..)| match place.cnode {
                    CNode::Own => false,
                    CNode::Grant(domain) => !self.server.is_returned(domain, Slot(place.slot)),
                })
                .collect(),
        }
    }

    fn send(&mut self, who: usize, label: u64, words: &[u64], fault: bool) {
        let message = Message { label, words };
        let mut again = [0; MAX_WORDS];
        let before = self.look();
        let domain = DOMAINS[who];
        // As a client does: between two messages a split has pages without capabilities.
        let mut messages = 0;
        let answer = loop {
            let mut reply = [0; MAX_WORDS];
            let answer = self
                .server
                .on_ppc(&mut self.machine, domain, message, &mut reply);
            messages += 1;
            assert!(messages < MOST_MESSAGES, "{message:?} is never answered");
            if answer.label != Error::Again as u64 {
                break (answer.label, answer.words.len(), reply);
            }
        };
        let (label, len, reply) = answer;
        let answer = Message {
            label,
            words: &reply[..len],
        };
        let result = match Request::decode(message) {
            Ok(request) => {
                assert_eq!(
                    request.encode(&mut again),
                    message,
                    "one encoding for each request"
                );
                request.decode_reply(answer)
            }
            Err(error) => {
                assert_eq!(answer, Reply::encode(&Err(Error::Malformed), &mut again));
                Err(error)
            }
        };
        match result {
            Ok(Reply::Granted(run) | Reply::Split { pages: run, .. }) => {
                self.slots[who].extend((0..run.count).map(|n| run.slot(n)));
                self.slots[who].sort_unstable();
                self.slots[who].dedup();
            }
            Ok(Reply::Pages(pages)) => {
                self.slots[who].extend(pages.iter());
                self.slots[who].sort_unstable();
                self.slots[who].dedup();
                let error = pages.error;
                assert!(error != Some(Error::Kernel) || fault);
            }
            Ok(_) => {}
            Err(error) => {
                assert!(
                    error != Error::Kernel || fault,
                    "the kernel refused by itself"
                );
                assert_eq!(
                    self.look(),
                    before,
                    "{message:?}: {error:?} changed something"
                );
            }
        }
    }

    /// The domain is destroyed and made again.
    fn destroy(&mut self, who: usize) {
        let domain = DOMAINS[who];
        let done = self.server.destroy(&mut self.machine, domain);
        done.unwrap_or_else(|error| panic!("nothing stands in the way: {error:?}"));
        let usage = self.usage(domain);
        assert_eq!((usage.ram, usage.extra, usage.tables), (0, 0, 0));
        let answer = self
            .server
            .serve(&mut self.machine, domain, &Request::Tables { count: 1 });
        assert_eq!(answer, Err(Error::Dying));
        let done = self.server.revive(domain);
        done.unwrap_or_else(|error| panic!("a dead domain lives again: {error:?}"));
        self.slots[who].clear();
    }

    fn check(&mut self) {
        let totals = self.server.totals();
        assert_eq!(totals.sum(), totals.all, "{totals:?}");
        assert_eq!(totals.lost, 0);
        for domain in DOMAINS {
            let usage = self.usage(domain);
            assert!(usage.ram <= usage.max && usage.tables <= usage.tables_max);
        }
        let machine = self.machine.look();
        let mut owners: HashMap<u64, (DomainIndex, u32)> = HashMap::new();
        for frame in machine.held_frames() {
            assert!(
                frame.domain != DOMAINS[0] || frame.paddr >> 28 == 4 || self.is_in_tail(frame.slot),
                "{frame:?}: RAM of a static domain is static"
            );
            assert!(
                frame.domain == DOMAINS[0] || frame.paddr >> 28 != 4,
                "static memory left home"
            );
            for page in (frame.paddr..frame.paddr + frame.bytes).step_by(4096) {
                let (owner, caps) = owners.entry(page).or_insert((frame.domain, 0));
                *caps += 1;
                // One for the guest, and as many as it has asked for itself.
                assert_eq!(*owner, frame.domain, "{page:#x} is held twice");
            }
        }
        // Pages of a split block that nobody has looked at have no capability yet. Static memory
        // that is free may have one, of its domain.
        let held = totals.static_held
            + totals.static_free
            + totals.static_returned
            + totals.heap_held
            + totals.heap_returned
            + totals.extra
            + totals.copying;
        assert!(
            owners.len() as u64 * PAGE_SIZE <= held,
            "{} pages with capabilities, {totals:?}",
            owners.len()
        );
    }

    /// Whether `slot` of the static domain's grant CNode is one of an extra page, or of a copy.
    fn is_in_tail(&self, slot: Slot) -> bool {
        slot.0 >= u32::from(GrantLayout::new(18, 6, 0).windows()) * memory_server_api::WINDOW_SLOTS
    }
}
