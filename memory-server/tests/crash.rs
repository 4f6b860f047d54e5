//! VMMs that stop in the middle of whatever they do: their domains end with them.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, MIB, System, domain, memory};
use hv_types::{FrameSize, Gfn};
use memory_server::cost;
use memory_server::kernel::Object;
use memory_server::{DomainIndex, Life, Purpose};
use memory_server_api::{Crash, Error, Extra, MAX_WORDS, Relinquished, Reply, Request, Words};

const D2: DomainIndex = DomainIndex(2);

/// What one message may cost: a tenth of what others may, and one step more, which is a block made
/// whole or the page tables of an untyped.
const MOST: u32 = cost::MESSAGE / 10 + 2_000 + 512 * cost::DELETE_TABLE + 256 * cost::DELETE;

/// A static domain and two on the heap; the kernel owns 12 MiB of it.
fn three() -> System {
    System::new(
        &[domain(1, true, 8), domain(2, false, 8), domain(3, false, 8)],
        &[
            memory(0x4000_0000, 23, true, Purpose::Static(D0)),
            memory(0x8000_0000, 23, false, Purpose::Heap),
            memory(0x8080_0000, 22, false, Purpose::Heap),
            memory(0x6000_0000, 15, false, Purpose::Tables(D0)),
            memory(0x6000_8000, 15, false, Purpose::Tables(D1)),
            memory(0x6001_0000, 15, false, Purpose::Tables(D2)),
        ],
        8,
    )
}

/// One message of the fault server, by its channel.
fn crash(s: &mut System, d: DomainIndex) -> Result<(bool, Relinquished), Error> {
    let (mut words, mut reply): (Words, Words) = ([0; MAX_WORDS], [0; MAX_WORDS]);
    let message = Crash { domain: d.0 }.encode(&mut words);
    s.kernel.cost = 0;
    let refused = s.kernel.refused;
    let result = Crash::decode(message).and_then(|crash| s.server.on_crash(&mut s.kernel, crash));
    assert!(
        s.kernel.refused > refused || s.kernel.cost <= MOST,
        "{}",
        s.kernel.cost
    );
    let totals = s.server.totals();
    assert_eq!(totals.sum(), totals.all, "{totals:?}");
    assert!(s.server.counts_hold());
    Crash::decode_reply(Reply::encode(&result, &mut reply))
}

/// As the fault server does it: until nothing is left. Meanwhile `between` happens after each
/// message.
fn end(s: &mut System, d: DomainIndex, mut between: impl FnMut(&mut System)) -> Relinquished {
    for _ in 0..10_000 {
        let (more, taken) = crash(s, d).unwrap();
        assert!(s.server.has_crashed(d));
        between(s);
        if !more {
            return taken;
        }
    }
    panic!("no end");
}

/// Everything that a VMM can ask for.
fn requests() -> Vec<Request> {
    let slot = memory_server_api::Slot(1024);
    let kind = Extra::Console;
    vec![
        Request::PopulateBlocks {
            gfn: Gfn::new(0x40000),
            blocks: 1,
        },
        Request::populate_page(Gfn::new(0x40000)),
        Request::Release { slot },
        Request::split(slot),
        Request::SplitDone { slot },
        Request::SplitAbort { slot },
        Request::Tables { count: 1 },
        Request::Vcpu {
            vcpu: hv_types::VcpuId::BOOT,
        },
        Request::CreateExtra { kind },
        Request::DestroyExtra { kind },
        Request::Alias { slot, alias: 0 },
        Request::Unalias { slot, alias: 0 },
        Request::Relinquish { again: false },
        Request::Relinquish { again: true },
    ]
}

type Start = fn(&mut System, DomainIndex);

/// What a VMM was about when it stopped.
const STARTS: [(&str, Start); 8] = [
    ("nothing", |_, _| {}),
    ("a guest that has all its memory", |s, d| {
        s.blocks(d, 64).unwrap();
        for kind in [Extra::SharedInfo, Extra::Console, Extra::GrantFrame(3)] {
            s.ask(d, Request::CreateExtra { kind }).unwrap();
        }
        s.ask(d, Request::Tables { count: 6 }).unwrap();
        s.ask(
            d,
            Request::Vcpu {
                vcpu: hv_types::VcpuId::BOOT,
            },
        )
        .unwrap();
    }),
    ("a split, or a copy that is never finished", |s, d| {
        let slot = s.blocks(d, 2).unwrap().first;
        s.ask(d, Request::split(slot)).unwrap();
    }),
    ("a split with pages given back", |s, d| {
        let slot = s.blocks(d, 1).unwrap().first;
        let Ok(Reply::Split { pages, .. }) = s.ask(d, Request::split(slot)) else {
            panic!("not split")
        };
        for n in [0, 17, 511] {
            s.release(d, pages.slot(n)).unwrap();
        }
    }),
    ("a page that has aliases", |s, d| {
        let slot = s.page(d).unwrap();
        for alias in [0, 255] {
            s.ask(d, Request::Alias { slot, alias }).unwrap();
        }
    }),
    ("the end of its guest, half done", |s, d| {
        s.page(d).unwrap();
        s.blocks(d, 1).unwrap();
        s.kernel.fail_in = Some(1);
        let ended = s.ask(d, Request::Relinquish { again: true });
        assert_eq!(ended, Err(Error::Kernel));
        assert_eq!(s.server.life(d), Some(Life::Dying));
    }),
    ("a second life", |s, d| {
        s.blocks(d, 2).unwrap();
        s.server.destroy(&mut s.kernel, d).unwrap();
        s.server.revive(d).unwrap();
        s.blocks(d, 1).unwrap();
    }),
    ("a guest that was down", |s, d| {
        s.blocks(d, 2).unwrap();
        s.server.destroy(&mut s.kernel, d).unwrap();
    }),
];

/// LU-7, SM-3, SM-15, EX-6: whatever its VMM was about, a domain whose VMM stopped has nothing when
/// its end is over, gets nothing more, and does not live again.
#[test]
fn whatever_it_was_about_nothing_is_left() {
    for (what, start) in STARTS {
        for d in [D0, D1] {
            let mut s = three();
            start(&mut s, d);
            end(&mut s, d, |s| {
                for request in requests() {
                    assert_eq!(s.ask(d, request), Err(Error::Dying), "{what}: {request:?}");
                }
            });
            assert_eq!(s.server.life(d), Some(Life::Dead), "{what}");
            assert_eq!(s.server.revive(d), Err(Error::WrongState), "{what}");
            assert_eq!(s.kernel.of(d.0).len(), 0, "{what}");
            let usage = s.usage(d);
            let left = (usage.ram, usage.extra, usage.returned, usage.tables);
            assert_eq!(left, (0, 0, 0, 0), "{what}");
            assert_eq!(usage.reserve, if d == D0 { 2048 } else { 0 }, "{what}");
            let totals = s.server.totals();
            assert_eq!(
                (totals.copying, totals.lost, totals.extra),
                (0, 0, 0),
                "{what}"
            );
            assert_eq!(
                (totals.static_free, totals.heap_free),
                (8 * MIB, 12 * MIB),
                "{what}"
            );
            let told = format!(
                "d{} {} (crashed, ",
                d.0 + 1,
                ["fixed", "loose"][usize::from(d.0)]
            );
            assert!(s.dump().contains(&told), "{what}: {}", s.dump());
            // Nothing happens to it a second time.
            let operations = s.kernel.operations;
            assert!(!crash(&mut s, d).unwrap().0, "{what}");
            assert_eq!(s.kernel.operations, operations, "{what}");
        }
    }
}

/// LU-7, SM-14: what a crashed domain had of the heap serves others, zeroed; static memory stays in
/// its domain's reserve.
#[test]
fn others_get_its_heap_memory_and_nobody_its_static_memory() {
    let mut s = three();
    let had: Vec<u64> = {
        s.blocks(D1, 64).unwrap();
        s.kernel.of(D1.0).into_values().collect()
    };
    s.blocks(D0, 64).unwrap();
    let refused = s.blocks(D2, 64).map(drop);
    assert_eq!(refused, Err(Error::NoMemory), "what is left is for splits");
    let taken = end(&mut s, D1, |_| {});
    assert_eq!((taken.ram, taken.extra), (2048, 0));
    end(&mut s, D0, |_| {});
    s.kernel.scrubbed.clear();
    let run = s.blocks(D2, 64).unwrap();
    assert_eq!(run.count, 4, "its maximum");
    let gets: Vec<u64> = (0..run.count).map(|n| s.paddr(D2, run.slot(n))).collect();
    let old: Vec<u64> = gets
        .into_iter()
        .filter(|paddr| had.contains(paddr))
        .collect();
    assert_eq!(old.len(), 2, "behind the two that nobody had");
    for paddr in old {
        assert!(s.kernel.scrubbed.contains(&(paddr, FrameSize::Block)));
    }
    assert!(
        s.kernel
            .of(D2.0)
            .values()
            .all(|paddr| *paddr >= 0x8000_0000)
    );
    assert_eq!(s.server.totals().static_free, 8 * MIB);
}

/// LU-7, SM-10: while a crashed domain is taken apart, others are served between any two messages.
#[test]
fn others_are_served_meanwhile() {
    let mut s = three();
    for _ in 0..1024 {
        s.page(D1).unwrap();
    }
    let mut rounds = 0;
    end(&mut s, D1, |s| {
        rounds += 1;
        let page = s.page(D2).unwrap();
        s.release(D2, page).unwrap();
        let kind = Extra::SharedInfo;
        s.ask(D2, Request::CreateExtra { kind }).unwrap();
        s.ask(D2, Request::DestroyExtra { kind }).unwrap();
    });
    assert!(rounds > 5, "{rounds} messages");
    // What the other returned and what a block of it holds is its own.
    let usage = s.usage(D2);
    assert_eq!((usage.ram, usage.extra), (0, 0));
}

/// LU-7, SM-9: wherever the kernel refuses, the next message goes on, and nothing is lost.
#[test]
fn an_end_that_the_kernel_interrupts_goes_on() {
    for (what, start) in STARTS {
        for d in [D0, D1] {
            for step in (0..).step_by(3) {
                let mut s = three();
                start(&mut s, d);
                s.kernel.fail_in = Some(step);
                let mut refusals = 0;
                for _ in 0..10_000 {
                    match crash(&mut s, d) {
                        Ok((false, _)) => break,
                        Ok((true, _)) => {}
                        Err(error) => {
                            assert_eq!(error, Error::Kernel);
                            refusals += 1;
                        }
                    }
                }
                assert_eq!(s.server.life(d), Some(Life::Dead), "{what}, step {step}");
                assert_eq!(s.kernel.of(d.0).len(), 0, "{what}, step {step}");
                let totals = s.server.totals();
                assert_eq!(
                    totals.static_free + totals.heap_free + totals.lost,
                    20 * MIB
                );
                assert_eq!(totals.lost, 0, "{what}, step {step}");
                if refusals == 0 {
                    break;
                }
            }
        }
    }
}

/// A message about nobody changes nothing.
#[test]
fn messages_about_nobody_change_nothing() {
    let mut s = three();
    s.blocks(D1, 1).unwrap();
    let before = s.dump();
    for domain in [3, 7, 8, u8::MAX] {
        assert_eq!(crash(&mut s, DomainIndex(domain)), Err(Error::NotYours));
    }
    assert_eq!(s.dump(), before);
    assert!(!s.server.has_crashed(D1));
}

/// The log says it once, in whichever life it happens.
#[test]
fn the_log_says_what_came_back() {
    let mut s = three();
    for _ in 0..3 {
        s.server.destroy(&mut s.kernel, D1).unwrap();
        s.server.revive(D1).unwrap();
    }
    s.blocks(D1, 1).unwrap();
    s.kernel.log.clear();
    end(&mut s, D1, |_| {});
    assert_eq!(
        s.kernel.log,
        [
            "d2 crashed with its VMM after restart 3: 512 pages of RAM, 0 extra pages and 0 page tables taken back; \
             free now: reserve 0 pages, static 8192 KiB, heap 12288 KiB"
        ]
    );
    let made = s
        .kernel
        .own
        .values()
        .filter(|cap| cap.object == Object::Vcpu);
    assert_eq!(made.count(), 0);
}
