//! Every request with the kernel refusing at every step: a failure changes nothing (SM-9, EX-5).
#![allow(missing_docs, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{D0, D1, System, domain, memory};
use hv_types::Gfn;
use memory_server::{DomainIndex, Purpose, Totals};
use memory_server_api::{Error, Extra, Reply, Request, Slot, Usage};

/// What a caller, or somebody who looks at the capabilities, can see. Returned memory may be
/// revoked at any time, so it counts as free, and its capabilities do not count.
#[derive(PartialEq, Debug)]
struct Seen {
    totals: Totals,
    usage: [Usage; 2],
    granted: Vec<((DomainIndex, Slot), u64)>,
}

fn look(s: &mut System) -> Seen {
    s.kernel.fail_in = None;
    let usage = [D0, D1].map(|d| Usage {
        returned: 0,
        ..s.usage(d)
    });
    let granted = s.kernel.granted.iter();
    Seen {
        totals: s.server.totals().settled(),
        usage,
        granted: granted
            .filter(|((d, slot), _)| !s.server.is_returned(*d, *slot))
            .map(|(k, c)| (*k, c.paddr))
            .collect(),
    }
}

/// Both domains have blocks and pages; the heap domain's second block is not split.
fn busy() -> System {
    let mut s = System::usual();
    let run = s.blocks(D0, 2).unwrap();
    let Ok(Reply::Split { pages, .. }) = s.ask(D0, Request::split(run.slot(0))) else {
        panic!("no split");
    };
    s.look_at(D0, pages);
    s.release(D0, run.slot(0).nth(7)).unwrap();
    s.blocks(D1, 2).unwrap();
    s.page(D1).unwrap();
    s.ask(
        D1,
        Request::CreateExtra {
            kind: Extra::Console,
        },
    )
    .unwrap();
    // Memory that the other domain had, so that scrubbing is among the steps.
    let kind = Extra::Xenstore;
    s.ask(D0, Request::CreateExtra { kind }).unwrap();
    s.ask(D0, Request::DestroyExtra { kind }).unwrap();
    s
}

/// Sends `request` with a refusal at each step (of a long request: the first and last ones and a
/// sample between); returns how many steps it has.
fn fail_each_step(build: fn() -> System, d: DomainIndex, request: Request) -> usize {
    let mut s = build();
    let before = s.kernel.operations;
    s.ask(d, request).unwrap();
    let steps = s.kernel.operations - before;
    for step in (0..steps).filter(|n| *n < 8 || *n + 3 >= steps || n % 127 == 0) {
        let mut s = build();
        let before = look(&mut s);
        s.kernel.fail_in = Some(step);
        assert_eq!(
            s.ask(d, request),
            Err(Error::Kernel),
            "{request:?} at step {step}"
        );
        assert_eq!(look(&mut s), before, "{request:?} at step {step}");
        assert_eq!(before.totals.lost, 0);
        let again = s.ask(d, request);
        assert!(
            again.is_ok(),
            "{request:?} after a failure at step {step}: {again:?}"
        );
    }
    steps
}

/// SM-9: a refusal at any step of a page.
#[test]
fn populate_a_page() {
    let request = Request::populate_page(Gfn::new(0x40000));
    // The page that it returned itself: nothing to do.
    assert_eq!(fail_each_step(busy, D0, request), 0);
    // A page of a chunk that exists: mint.
    assert_eq!(fail_each_step(busy, D1, request), 1);
    // Carve, retype twice, mint.
    assert_eq!(fail_each_step(System::usual, D1, request), 4);
    // All of its chunk is the domain's, and zeroed: what was there before the boot is nobody's
    // business.
    assert_eq!(fail_each_step(System::usual, D0, request), 3 + 16);
}

/// SM-9: a refusal at any step of a block.
#[test]
fn populate_a_block() {
    let request = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 1,
    };
    // Carve, retype, mint twice; the device memory of the first is zeroed.
    assert_eq!(fail_each_step(System::usual, D0, request), 5);
    assert_eq!(fail_each_step(System::usual, D1, request), 4);
}

/// SM-5, SM-9: another domain gets a returned page after it was revoked and zeroed, or not at all.
#[test]
fn populate_a_page_that_another_domain_returned() {
    fn all_pages_taken() -> System {
        let mut s = System::new(
            &[domain(1, false, 4), domain(2, false, 4)],
            &[memory(0x8000_0000, 21, false, Purpose::Heap)],
            1,
        );
        let slots: Vec<Slot> = (0..512).map(|_| s.page(D0).unwrap()).collect();
        s.release(D0, slots[3]).unwrap();
        s.release(D0, slots[4]).unwrap();
        s
    }
    let request = Request::populate_page(Gfn::new(0x40000));
    // Revoke, zero, mint; and for an extra page mint once more.
    assert_eq!(fail_each_step(all_pages_taken, D1, request), 3);
    let kind = Extra::Console;
    assert_eq!(
        fail_each_step(all_pages_taken, D1, Request::CreateExtra { kind }),
        4
    );
    // Refused at the revocation, the page is still the first domain's to take.
    let mut s = all_pages_taken();
    s.kernel.fail_in = Some(0);
    assert_eq!(s.ask(D1, request), Err(Error::Kernel));
    assert_eq!(s.usage(D0).returned, 2);
    let operations = s.kernel.operations;
    s.page(D0).unwrap();
    s.page(D0).unwrap();
    assert_eq!(s.kernel.operations, operations);
}

/// SM-5, SM-9: the same for a whole block that another domain returned.
#[test]
fn populate_a_block_that_another_domain_returned() {
    fn returned() -> System {
        let mut s = System::new(
            &[domain(1, false, 4), domain(2, false, 4)],
            &[memory(0x8000_0000, 21, true, Purpose::Heap)],
            1,
        );
        let slot = s.blocks(D0, 1).unwrap().first;
        s.release(D0, slot).unwrap();
        s
    }
    let request = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 1,
    };
    assert_eq!(fail_each_step(returned, D1, request), 4);
    assert_eq!(fail_each_step(returned, D0, request), 0);
    // As pages: revoke, what is left of the frame, retype twice, zero, mint.
    let pages = Request::populate_page(Gfn::new(0x40000));
    assert_eq!(fail_each_step(returned, D1, pages), 6);
}

/// SM-9: the kernel zeroes memory that was in use before anything is made of it, in operations that
/// it can refuse too. However often it does, nothing is lost.
#[test]
fn memory_that_was_in_use_is_made_anew() {
    fn was_in_use(size_bits: u8) -> System {
        let heap = [
            memory(0x8000_0000, size_bits, false, Purpose::Heap),
            // Kept for a split.
            memory(0x9000_0000, 21, false, Purpose::Heap),
        ];
        let mut s = System::new(&[domain(1, false, 4), domain(2, false, 4)], &heap, 1);
        // After retyping, in two operations for 512 pages, the mint is refused, and the block is
        // made whole again.
        s.kernel.fail_in = Some(if size_bits == 21 { 2 } else { 1 });
        assert_eq!(s.page(D0), Err(Error::Kernel));
        assert_eq!(s.kernel.fail_in, None);
        s
    }
    fn block() -> System {
        was_in_use(21)
    }
    fn short() -> System {
        was_in_use(15)
    }
    let blocks = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 1,
    };
    let page = Request::populate_page(Gfn::new(0x40000));
    let kind = Extra::Console;
    let extra = Request::CreateExtra { kind };
    // The reset: revoke what an earlier one left, make a page and revoke it. Then retype, and mint
    // once or twice.
    for (build, request, steps) in [
        (block as fn() -> System, blocks, 6),
        (block, page, 6),
        (block, extra, 7),
        (short, page, 5),
        (short, extra, 6),
    ] {
        assert_eq!(fail_each_step(build, D1, request), steps, "{request:?}");
        let mut s = build();
        for step in [2, 1, 0, 2, 2] {
            s.kernel.fail_in = Some(step);
            s.kernel.fail_for_ever = true;
            assert_eq!(s.ask(D1, request), Err(Error::Kernel));
            s.kernel.fail_in = None;
            let t = s.server.totals();
            assert_eq!((t.heap_free, t.lost), (t.all, 0), "{request:?}: {step}");
        }
        s.ask(D1, request).unwrap();
    }
}

/// SM-8, SM-9: a run that is refused in its middle is as long as it got.
#[test]
fn a_run_of_blocks_ends_where_the_kernel_refuses() {
    let mut s = System::usual();
    // Carve, then frame and two copies for each block: the third block's second copy fails.
    s.kernel.fail_in = Some(1 + 3 * 2 + 2);
    let four = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 4,
    };
    assert_eq!(s.granted(D1, four).unwrap().count, 2);
    assert_eq!(s.kernel.of(1).len(), 4);
    assert_eq!(s.usage(D1).ram, 1024);
    assert_eq!(s.granted(D1, four).unwrap().count, 2);
}

/// SM-5, SM-9: what is refused is not released.
#[test]
fn release() {
    // A page of a split block, and a whole block of the heap: what the domain returns is revoked
    // when others need it.
    for (d, slot) in [(D0, 1), (D1, 512)] {
        let slot = Slot(slot);
        assert_eq!(fail_each_step(busy, d, Request::Release { slot }), 0);
    }
    // A whole static block is revoked at once.
    let slot = Slot(512);
    assert_eq!(fail_each_step(busy, D0, Request::Release { slot }), 1);
}

/// SM-9: a split in place that fails leaves the block whole.
#[test]
fn split_in_place() {
    fn whole() -> System {
        let mut s = System::usual();
        s.blocks(D0, 1).unwrap();
        s
    }
    // Revoke.
    assert_eq!(fail_each_step(whole, D0, Request::split(Slot(0))), 1);
    // A page that never had a capability: retype twice.
    fn returned() -> System {
        let mut s = whole();
        s.ask(D0, Request::split(Slot(0))).unwrap();
        s.release(D0, Slot(0).nth(7)).unwrap();
        s
    }
    let request = Request::populate_page(Gfn::new(0x40000));
    assert_eq!(fail_each_step(returned, D0, request), 2);
    // As an alias it is made too; then: mint.
    fn touched() -> System {
        let mut s = returned();
        let slot = Slot(0).nth(9);
        assert!(s.ask(D0, Request::Alias { slot, alias: 2 }).is_ok());
        s
    }
    let request = Request::Alias {
        slot: Slot(0).nth(9),
        alias: 3,
    };
    assert_eq!(fail_each_step(touched, D0, request), 1);
}

/// SM-9: a chunk that is refused at any step comes when it is asked for again: all of its pages,
/// once.
#[test]
fn chunks_and_windows() {
    for d in [D0, D1] {
        let split = || {
            let mut s = System::usual();
            let slot = s.blocks(d, 1).unwrap().first;
            let Ok(Reply::Split { pages, .. }) = s.ask(d, Request::split(slot)) else {
                panic!("no split");
            };
            s.release(d, pages.slot(21)).unwrap();
            (s, pages)
        };
        let (mut s, pages) = split();
        let chunk = Request::Chunk {
            slot: pages.slot(20),
        };
        let window = Request::Window {
            slot: pages.slot(20),
            sight: 511,
        };
        let before = s.kernel.operations;
        s.ask(d, chunk).unwrap();
        let steps = s.kernel.operations - before;
        // Retype twice. Pages of the heap are minted, 15 times.
        assert_eq!(steps, 2 + 15 * usize::from(d == D1));
        s.ask(d, window).unwrap();
        let (granted, totals) = (s.kernel.of(d.0), s.server.totals());
        for step in 0..=steps {
            let (mut s, _) = split();
            s.kernel.fail_in = Some(step);
            let chunk_first = s.ask(d, chunk);
            let window_first = s.ask(d, window);
            assert_eq!(chunk_first.is_err(), step < steps);
            assert_eq!(window_first.is_err(), step >= steps);
            assert_eq!(s.server.totals(), totals);
            s.kernel.fail_in = None;
            s.ask(d, chunk).unwrap();
            s.ask(d, window).unwrap();
            assert_eq!(s.kernel.of(d.0), granted, "step {step}");
        }
    }
}

/// SM-9: a copy that cannot be made or finished leaves the block.
#[test]
fn split_by_copy() {
    fn whole() -> System {
        let mut s = System::usual();
        s.blocks(D1, 1).unwrap();
        s
    }
    assert_eq!(fail_each_step(whole, D1, Request::split(Slot(0))), 0);
    fn copying() -> System {
        let mut s = whole();
        assert!(matches!(
            s.ask(D1, Request::split(Slot(0))),
            Ok(Reply::Split { .. })
        ));
        s
    }
    assert_eq!(
        fail_each_step(copying, D1, Request::SplitDone { slot: Slot(0) }),
        1
    );
    assert_eq!(
        fail_each_step(copying, D1, Request::SplitAbort { slot: Slot(0) }),
        1
    );
}

/// SM-9, EX-5: a refusal at any step of an extra page.
#[test]
fn extra_pages_and_tables() {
    let create = Request::CreateExtra {
        kind: Extra::SharedInfo,
    };
    assert!(fail_each_step(busy, D1, create) >= 2);
    assert_eq!(fail_each_step(System::usual, D1, create), 5);
    assert_eq!(
        fail_each_step(
            busy,
            D1,
            Request::DestroyExtra {
                kind: Extra::Console
            }
        ),
        1
    );
    assert_eq!(fail_each_step(busy, D0, Request::Tables { count: 3 }), 1);
}

/// SM-9, SM-20: memory that cannot be taken back is withdrawn.
#[test]
fn what_cannot_be_undone_is_withdrawn_and_counted() {
    for step in 0..6 {
        let mut s = busy();
        s.kernel.fail_in = Some(step);
        s.kernel.fail_for_ever = true;
        let result = s.ask(D1, Request::populate_page(Gfn::new(0)));
        s.kernel.fail_in = None;
        let lost = s.server.totals().lost;
        let page = if result.is_err() && lost == 0 {
            s.page(D1)
        } else {
            s.page(D1).inspect(|_| assert!(lost <= 4096))
        };
        let slot = page.unwrap();
        // Nobody else holds the frame that the domain got.
        let frame = s.paddr(D1, slot);
        let holders = s
            .kernel
            .granted
            .iter()
            .filter(|(_, c)| c.paddr == frame)
            .count();
        assert_eq!(holders, 1, "step {step}");
    }
}

/// SM-9, SM-14: static memory that cannot be zeroed, nor taken away again, is taken away before
/// anything else is done with it, and then zeroed.
#[test]
fn a_chunk_that_is_refused_half_way_is_made_anew() {
    // Of the 19 steps the last 16 zero.
    for step in 3..19 {
        let mut s = System::usual();
        s.page(D0).unwrap();
        s.kernel.scrubbed.clear();
        s.kernel.fail_in = Some(step - 2);
        s.kernel.fail_for_ever = true;
        let gfns = (0..15).map(|n| s.place(D0, 0x50000 + n));
        assert!(gfns.collect::<Vec<_>>().iter().all(Result::is_ok));
        assert_eq!(s.page(D0), Err(Error::Kernel));
        s.kernel.fail_in = None;
        let lost = s.server.totals().lost;
        let slot = s.page(D0).unwrap();
        assert_eq!(s.paddr(D0, slot), 0x4001_0000);
        let zeroed: BTreeSet<u64> = s.kernel.scrubbed.iter().map(|(at, _)| *at).collect();
        let chunk = (0..16).map(|n| 0x4001_0000 + n * 4096);
        assert_eq!(zeroed, chunk.collect());
        assert_eq!((lost, s.server.totals().lost), (0, 0));
    }
}
