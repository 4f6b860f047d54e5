//! The requirements on static memory (SM), extra pages (EX) and ballooning (BL), each as a VMM sees
//! it.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, MIB, System, domain, memory};
use hv_types::{FrameSize, Gfn, PAGES_PER_BLOCK};
use memory_server::layout::GrantLayout;
use memory_server::{DomainConfig, DomainIndex, Life, Purpose};
use memory_server_api::{
    Error, Extra, MAX_WORDS, Message, Reply, Request, Slot, SplitKind, WINDOW_SLOTS,
};

/// Populates all blocks of `d`, splits the first one in place and returns the first page's slot.
fn split_first(system: &mut System, d: memory_server::DomainIndex) -> Slot {
    let blocks = system.blocks(d, 64).unwrap();
    match system.ask(d, Request::split(blocks.slot(0))).unwrap() {
        Reply::Split {
            kind: SplitKind::InPlace,
            pages,
        } => {
            assert_eq!(pages.count, PAGES_PER_BLOCK);
            system.look_at(d, pages);
            pages.first
        }
        other => panic!("{other:?}"),
    }
}

/// SM-6, SM-12, SM-14, SM-25: boot memory is whole blocks of the reserve in the order of the
/// manifest, each zeroed: the kernel does not own it, so it holds what was there before the boot.
#[test]
fn boot_memory_of_a_static_domain_is_its_own_in_order_sm_6() {
    let mut s = System::usual();
    let run = s.blocks(D0, 64).unwrap();
    assert_eq!((run.count, run.size), (4, FrameSize::Block));
    for n in 0..4 {
        assert_eq!(run.slot(n), Slot(n * WINDOW_SLOTS));
        assert_eq!(
            s.paddr(D0, run.slot(n)),
            0x4000_0000 + u64::from(n) * 2 * MIB
        );
    }
    assert_eq!(s.kernel.of(0).len(), 8);
    let zeroed = (0..4).map(|n| (s.paddr(D0, run.slot(n)), FrameSize::Block));
    assert_eq!(s.kernel.scrubbed, zeroed.collect::<Vec<_>>());
    let u = s.usage(D0);
    assert_eq!((u.ram, u.max, u.reserve), (2048, 2048, 0));
}

/// SM-8, SM-26, BL-4: an empty reserve is the end; the heap is not touched.
#[test]
fn an_exhausted_reserve_never_takes_from_the_heap_sm_8_sm_26() {
    let mut s = System::new(
        &[domain(1, true, 64)],
        &[
            memory(0x4000_0000, 22, true, Purpose::Static(D0)),
            memory(0x8000_0000, 24, false, Purpose::Heap),
        ],
        4,
    );
    assert_eq!(s.blocks(D0, 64).unwrap().count, 2);
    assert_eq!(s.blocks(D0, 1), Err(Error::NoMemory));
    assert_eq!(s.page(D0), Err(Error::NoMemory));
    assert_eq!(s.server.totals().heap_free, 16 * MIB);
}

/// SM-5, SM-6: the page that was released is the next one, and comes back without an operation of
/// the kernel.
#[test]
fn release_one_populate_one_gives_that_frame_sm_5_sm_6() {
    let mut s = System::usual();
    let first = split_first(&mut s, D0);
    s.kernel.scrubbed.clear();
    let slot = first.nth(77);
    assert_eq!(
        s.paddr(D0, slot),
        0x4000_0000 + 77 * 4096,
        "split in place keeps addresses"
    );
    s.release(D0, slot).unwrap();
    let u = s.usage(D0);
    assert_eq!((u.ram, u.reserve, u.returned), (2047, 1, 1));
    // Nobody else can have a static page: its capabilities stay, and it comes back without an
    // operation.
    let (granted, operations) = (s.kernel.granted.clone(), s.kernel.operations);
    let again = s.page(D0).unwrap();
    assert_eq!(again, slot);
    assert_eq!(
        (&s.kernel.granted, s.kernel.operations),
        (&granted, operations)
    );
    assert_eq!(s.usage(D0).returned, 0);
    assert!(
        s.kernel.scrubbed.is_empty(),
        "same live domain: not zeroed (SM-14)"
    );
}

/// SM-6, SM-21: single pages, first in first out.
#[test]
fn the_reserve_is_first_in_first_out_sm_6() {
    let mut s = System::usual();
    let first = split_first(&mut s, D0);
    let order = [9, 3, 500, 4];
    let frames = order.map(|n| s.paddr(D0, first.nth(n)));
    for n in order {
        s.release(D0, first.nth(n)).unwrap();
    }
    let again = order.map(|_| s.page(D0).unwrap());
    assert_eq!(again.map(|slot| s.paddr(D0, slot)), frames);
    assert_eq!(s.page(D0), Err(Error::OverQuota));
}

/// SM-1, SM-3, SM-28: static memory that was released stays in its reserve.
#[test]
fn released_static_memory_never_reaches_another_domain_sm_1_sm_3_sm_28() {
    let mut s = System::usual();
    let run = s.blocks(D0, 64).unwrap();
    for n in 0..4 {
        s.release(D0, run.slot(n)).unwrap();
    }
    assert_eq!(s.usage(D0).reserve, 2048);
    s.blocks(D1, 4).unwrap();
    s.ask(
        D1,
        Request::CreateExtra {
            kind: Extra::SharedInfo,
        },
    )
    .unwrap();
    assert!(s.kernel.of(1).values().all(|paddr| *paddr >= 0x8000_0000));
    assert_eq!(s.server.totals().static_free, 8 * MIB);
}

/// SM-4, SM-11: what is not held cannot be released, and nothing changes.
#[test]
fn double_release_and_foreign_slots_are_refused_and_change_nothing_sm_4() {
    let mut s = System::usual();
    let first = split_first(&mut s, D0);
    s.blocks(D1, 1).unwrap();
    s.release(D0, first.nth(5)).unwrap();
    let (before, granted) = (s.server.totals(), s.kernel.granted.clone());
    let bad = [
        first.nth(5),            // released before
        Slot(10 * WINDOW_SLOTS), // never granted
        Slot(WINDOW_SLOTS + 2),  // inside a whole block
        Slot(u32::MAX),          // no slot at all
        Slot((1 << 16) - 100),   // copies
        Slot((1 << 16) - 8),     // page tables
    ];
    for slot in bad {
        assert_eq!(s.release(D0, slot), Err(Error::NotYours), "{slot:?}");
    }
    // The other domain holds slot 0 of its own CNode, but not the first domain's page 7.
    assert_eq!(s.release(D1, first.nth(7)), Err(Error::NotYours));
    assert_eq!(
        s.ask(D1, Request::split(Slot(3 * WINDOW_SLOTS))),
        Err(Error::NotYours)
    );
    assert_eq!((s.server.totals(), &s.kernel.granted), (before, &granted));
}

/// SM-4: another domain's pages of the same block cannot be released.
#[test]
fn pages_of_others_in_a_shared_block_cannot_be_released_sm_4() {
    let mut s = System::new(
        &[domain(1, false, 4), domain(2, false, 4)],
        &[memory(0x8000_0000, 21, false, Purpose::Heap)],
        1,
    );
    let first = s.page(D0).unwrap();
    let second = s.page(D1).unwrap();
    s.ask(
        D1,
        Request::CreateExtra {
            kind: Extra::Console,
        },
    )
    .unwrap();
    // Pages 0, 1 and 2 of one block: the first domain's, the second's, an extra page of the
    // second's.
    assert_eq!(
        (s.paddr(D0, first), s.paddr(D1, second)),
        (0x8000_0000, 0x8000_1000)
    );
    let granted = s.kernel.granted.clone();
    for (d, slot) in [
        (D0, first.nth(1)),
        (D0, first.nth(2)),
        (D1, Slot(0)),
        (D1, second.nth(1)),
    ] {
        assert_eq!(s.release(d, slot), Err(Error::NotYours), "{d:?} {slot:?}");
    }
    assert_eq!(s.kernel.granted, granted);
    s.release(D1, second).unwrap();
    s.release(D0, first).unwrap();
}

/// SM-4, SM-22: refusals are logged, less and less often.
#[test]
fn refusals_are_reported_less_and_less_often_sm_22() {
    let mut s = System::usual();
    for _ in 0..100 {
        assert_eq!(s.release(D0, Slot(0)), Err(Error::NotYours));
    }
    // The 1st, 2nd, 4th … 64th.
    assert_eq!(s.kernel.log.len(), 7);
    assert_eq!(
        s.kernel.log[0],
        "d1: memory request 5 refused: NotYours (refusal 1)"
    );
}

/// SM-7, SM-21: after boot a static domain gets single pages only.
#[test]
fn whole_blocks_are_over_for_a_static_domain_that_has_given_ram_back_sm_7() {
    let mut s = System::usual();
    let run = s.blocks(D0, 2).unwrap();
    s.release(D0, run.slot(0)).unwrap();
    assert_eq!(s.blocks(D0, 1), Err(Error::BadOrder));
    s.page(D0).unwrap();
}

/// SM-13, BL-6: the maximum holds for pages and for blocks.
#[test]
fn nobody_gets_more_than_the_maximum_sm_13_bl_6() {
    let mut s = System::usual();
    let run = s.blocks(D1, 64).unwrap();
    assert_eq!(run.count, 4);
    assert_eq!(s.blocks(D1, 1), Err(Error::OverQuota));
    assert_eq!(s.page(D1), Err(Error::OverQuota));
    s.release(D1, run.slot(1)).unwrap();
    s.page(D1).unwrap();
    // 511 pages of room are no room for a block.
    assert_eq!(s.blocks(D1, 1), Err(Error::OverQuota));
    assert_eq!(s.usage(D1).ram, 2048 - 511);
}

/// SM-14, BL-7: a block is zeroed for another domain and not for the same.
#[test]
fn a_heap_frame_is_zeroed_when_another_domain_takes_it_and_not_for_the_same_sm_14_bl_7() {
    let mut s = System::new(
        &[domain(1, false, 4), domain(2, false, 4)],
        &[memory(0x8000_0000, 21, true, Purpose::Heap)],
        1,
    );
    let run = s.blocks(D0, 1).unwrap();
    s.kernel.scrubbed.clear();
    s.release(D0, run.first).unwrap();
    s.blocks(D0, 1).unwrap();
    assert!(s.kernel.scrubbed.is_empty());
    s.release(D0, run.first).unwrap();
    s.blocks(D1, 1).unwrap();
    assert_eq!(s.kernel.scrubbed, [(0x8000_0000, FrameSize::Block)]);
}

/// SM-5, SM-14: a page is zeroed for another domain.
#[test]
fn a_heap_page_is_zeroed_when_another_domain_takes_it_sm_14() {
    let mut s = System::new(
        &[domain(1, false, 4), domain(2, false, 4)],
        &[memory(0x8000_0000, 21, false, Purpose::Heap)],
        1,
    );
    let slots: Vec<Slot> = (0..512).map(|_| s.page(D0).unwrap()).collect();
    assert_eq!(s.page(D1), Err(Error::NoMemory));
    let frame = s.paddr(D0, slots[40]);
    s.release(D0, slots[40]).unwrap();
    let other = s.page(D1).unwrap();
    assert_eq!(s.paddr(D1, other), frame);
    assert_eq!(s.kernel.scrubbed, [(frame, FrameSize::Page)]);
}

/// SM-16, EX-6: what one domain creates while another is dead does not keep the other's blocks from
/// becoming whole.
#[test]
fn extra_pages_keep_together_and_leave_the_blocks_of_others_alone() {
    // Two blocks of RAM, one of extra pages, one to split with.
    let mut s = System::new(
        &[domain(1, false, 4), domain(2, true, 2), domain(3, true, 2)],
        &[
            memory(0x8000_0000, 23, false, Purpose::Heap),
            memory(0x9000_0000, 21, true, Purpose::Static(D1)),
            memory(0x9020_0000, 21, true, Purpose::Static(D2)),
        ],
        5,
    );
    const D2: DomainIndex = DomainIndex(2);
    let extra = |kind| Request::CreateExtra { kind };
    let again = Request::Relinquish { again: true };
    for life in 0..20 {
        let ram = s.blocks(D0, 2).unwrap();
        assert_eq!(ram.count, 2, "life {life}");
        let split = s.ask(D0, Request::split(ram.first));
        assert!(
            matches!(
                split,
                Ok(Reply::Split {
                    kind: SplitKind::Copy,
                    ..
                })
            ),
            "life {life}: {split:?}"
        );
        s.ask(D0, Request::SplitDone { slot: ram.first }).unwrap();
        if life == 0 {
            // A third domain never restarts; its page keeps the block of extra pages from becoming
            // whole.
            s.granted(D2, extra(Extra::SharedInfo)).unwrap();
            s.granted(D1, extra(Extra::SharedInfo)).unwrap();
        }
        // The other domain restarts while this one dies: nothing of its is to lie where this one's
        // RAM was split.
        let more = |s: &mut System, d| {
            matches!(s.ask(d, again), Ok(Reply::Relinquished { more: true, .. }))
        };
        for _ in 0..life {
            more(&mut s, D0);
        }
        while more(&mut s, D1) {}
        s.granted(D1, extra(Extra::SharedInfo)).unwrap();
        while more(&mut s, D0) {}
    }
}

#[test]
fn split_pages_that_are_all_free_become_a_block_again_when_the_heap_needs_one() {
    let mut s = System::new(
        &[domain(1, false, 4)],
        &[memory(0x8000_0000, 21, true, Purpose::Heap)],
        1,
    );
    let page = s.page(D0).unwrap();
    assert_eq!(s.blocks(D0, 1), Err(Error::NoMemory));
    s.release(D0, page).unwrap();
    assert_eq!(s.blocks(D0, 1).unwrap().count, 1);
}

/// EX-1, EX-3, EX-4: an extra page is zeroed, and no RAM.
#[test]
fn extra_pages_are_zeroed_and_outside_the_ram_count_ex_3_ex_4() {
    let mut s = System::new(
        &[domain(1, true, 2)],
        &[
            memory(0x4000_0000, 21, true, Purpose::Static(D0)),
            memory(0x8000_0000, 21, true, Purpose::Heap),
        ],
        2,
    );
    s.blocks(D0, 1).unwrap();
    s.kernel.scrubbed.clear();
    let page = s
        .granted(
            D0,
            Request::CreateExtra {
                kind: Extra::SharedInfo,
            },
        )
        .unwrap();
    assert_eq!(
        s.kernel.scrubbed,
        [(s.paddr(D0, page.first), FrameSize::Page)]
    );
    let u = s.usage(D0);
    assert_eq!((u.ram, u.max, u.extra), (512, 512, 1));
    assert_eq!(s.server.totals().extra, 4096);
    // An extra page is not RAM: it cannot be released as such.
    assert_eq!(s.release(D0, page.first), Err(Error::NotYours));
}

/// EX-6: destroying twice does nothing.
#[test]
fn an_extra_page_exists_once_and_destroying_it_twice_is_harmless_ex_6() {
    let mut s = System::usual();
    let kind = Extra::GrantFrame(63);
    s.ask(D1, Request::CreateExtra { kind }).unwrap();
    assert_eq!(s.ask(D1, Request::CreateExtra { kind }), Err(Error::Exists));
    s.ask(D0, Request::CreateExtra { kind }).unwrap();
    s.ask(D1, Request::DestroyExtra { kind }).unwrap();
    let granted = s.kernel.granted.clone();
    assert_eq!(
        s.ask(D1, Request::DestroyExtra { kind }),
        Err(Error::NotYours)
    );
    assert_eq!(s.kernel.granted, granted);
    assert_eq!((s.usage(D0).extra, s.usage(D1).extra), (1, 0));
}

/// LU-1, EX-14, EX-15: each extra page by kind, and the sums.
#[test]
fn every_extra_page_is_listed_by_kind_and_all_memory_is_counted_ex_14() {
    let mut s = System::usual();
    s.blocks(D0, 1).unwrap();
    s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::SharedInfo,
        },
    )
    .unwrap();
    s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::GrantFrame(3),
        },
    )
    .unwrap();
    s.ask(D0, Request::Tables { count: 2 }).unwrap();
    assert_eq!(
        s.dump(),
        "d1 fixed (alive, static memory)\n\
         \x20 ram 512 static, 0 heap, of 2048 pages; reserve 1536, returned 0\n\
         \x20 page tables 2 of 8 pages\n\
         \x20 extra pages 2:\n\
         \x20   shared_info     mfn 0x80000\n\
         \x20   grant frame 3   mfn 0x80001\n\
         \x20   gfn 0x40000..0x401ff = mfn 0x40000..0x401ff (1 x 2 MiB)\n\
         d2 loose (alive, heap memory)\n\
         \x20 ram 0 static, 0 heap, of 2048 pages; reserve 0, returned 0\n\
         \x20 page tables 0 of 8 pages\n\
         \x20 extra pages 0\n\
         all memory by state\n\
         \x20 static held            2097152 bytes\n\
         \x20 static free            6291456 bytes\n\
         \x20 heap free             16769024 bytes\n\
         \x20 extra                     8192 bytes\n\
         \x20 tables used               8192 bytes\n\
         \x20 tables free              24576 bytes\n\
         \x20 unusable                    16 bytes\n\
         \x20 sum                   25198608 bytes = all memory\n"
    );
}

#[test]
fn page_tables_are_limited_by_quota_and_by_memory() {
    let mut s = System::usual();
    // 16 KiB hold 4 tables, the quota is 8.
    let Ok(Reply::Tables { first, count }) = s.ask(D0, Request::Tables { count: 16 }) else {
        panic!()
    };
    assert_eq!(count, 4);
    assert_eq!(
        s.kernel.of(0).keys().copied().collect::<Vec<_>>(),
        [0, 1, 2, 3].map(|n| Slot(first.0 + n))
    );
    assert_eq!(
        s.ask(D0, Request::Tables { count: 1 }),
        Err(Error::NoTables)
    );
    assert_eq!(s.usage(D0).tables, 4);
}

#[test]
fn kernel_memory_is_split_by_copy_to_other_pages() {
    let mut s = System::usual();
    let run = s.blocks(D1, 2).unwrap();
    let old = run.slot(1);
    let Ok(Reply::Split {
        kind: SplitKind::Copy,
        pages,
    }) = s.ask(D1, Request::split(old))
    else {
        panic!()
    };
    let frame = s.paddr(D1, old);
    s.look_at(D1, pages);
    assert_eq!(
        s.paddr(D1, pages.slot(511)),
        0x8000_0000 + 2 * 2 * MIB + 511 * 4096
    );
    assert_eq!(s.usage(D1).ram, 1024, "counted once");
    // One copy at a time, and the source cannot be given back except by the protocol.
    assert_eq!(
        s.ask(D1, Request::split(run.slot(0))),
        Err(Error::WrongState)
    );
    assert_eq!(s.release(D1, old), Err(Error::WrongState));
    assert_eq!(
        s.ask(D1, Request::SplitDone { slot: run.slot(0) }),
        Err(Error::WrongState)
    );
    assert_eq!(s.server.totals().copying, 2 * MIB);
    s.ask(D1, Request::SplitDone { slot: old }).unwrap();
    assert!(!s.kernel.of(1).values().any(|paddr| *paddr == frame));
    assert_eq!(s.usage(D1).ram, 1024);
    assert_eq!(
        s.ask(D1, Request::SplitDone { slot: old }),
        Err(Error::NotYours)
    );
}

#[test]
fn an_aborted_copy_leaves_the_block_and_takes_the_pages() {
    let mut s = System::usual();
    let old = s.blocks(D1, 1).unwrap().first;
    let granted = s.kernel.granted.clone();
    let Ok(Reply::Split { pages, .. }) = s.ask(D1, Request::split(old)) else {
        panic!()
    };
    s.release(D1, pages.slot(3)).unwrap();
    assert_eq!(
        s.ask(D1, Request::SplitAbort { slot: old }),
        Err(Error::WrongState),
        "a page is missing"
    );
    let refill = s.page(D1).unwrap();
    assert_eq!(refill, pages.slot(3));
    s.ask(D1, Request::SplitAbort { slot: old }).unwrap();
    assert_eq!(s.kernel.granted, granted);
    assert_eq!(s.usage(D1).ram, 512);
    s.release(D1, old).unwrap();
}

#[test]
fn untypeds_smaller_than_a_block_serve_single_pages_and_extra_pages() {
    let mut s = System::new(
        &[domain(1, true, 4)],
        &[
            memory(0x4000_0000, 14, true, Purpose::Static(D0)),
            memory(0x8000_0000, 13, false, Purpose::Heap),
        ],
        2,
    );
    assert_eq!(s.blocks(D0, 1), Err(Error::NoMemory));
    assert_eq!(s.usage(D0).reserve, 4);
    for n in 0..4 {
        let slot = s.page(D0).unwrap();
        assert_eq!(s.paddr(D0, slot), 0x4000_0000 + n * 4096);
    }
    assert_eq!(s.page(D0), Err(Error::NoMemory));
    s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::Console,
        },
    )
    .unwrap();
    s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::SharedInfo,
        },
    )
    .unwrap();
    let kind = Extra::Xenstore;
    assert_eq!(
        s.ask(D0, Request::CreateExtra { kind }),
        Err(Error::NoMemory)
    );
}

/// SM-15, EX-15: from the first step of its end on a domain gets nothing more; releases are served.
#[test]
fn a_dying_domain_gets_nothing_and_a_dead_one_has_nothing_sm_15() {
    let mut s = System::usual();
    let first = split_first(&mut s, D0);
    s.release(D0, first.nth(9)).unwrap();
    s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::SharedInfo,
        },
    )
    .unwrap();
    s.ask(D0, Request::Tables { count: 2 }).unwrap();
    // The kernel refuses in the middle: the domain is dying, releases are still served.
    s.kernel.fail_in = Some(20);
    assert_eq!(s.server.destroy(&mut s.kernel, D0), Err(Error::Kernel));
    assert_eq!(s.server.life(D0), Some(Life::Dying));
    assert_eq!(s.page(D0), Err(Error::Dying));
    assert_eq!(s.ask(D0, Request::Tables { count: 1 }), Err(Error::Dying));
    s.release(D0, first.nth(511)).unwrap();
    s.server.destroy(&mut s.kernel, D0).unwrap();
    assert_eq!(s.server.life(D0), Some(Life::Dead));
    assert_eq!(s.kernel.of(0).len(), 0);
    let u = s.usage(D0);
    assert_eq!((u.ram, u.extra, u.reserve, u.tables), (0, 0, 2048, 0));
    assert_eq!(s.release(D0, first), Err(Error::Dying));
}

/// SM-23, SM-14, SM-16, LU-7: the same frames in each life, zeroed between.
#[test]
fn destroy_and_recreate_keep_the_frames_and_show_nothing_of_before_sm_14_sm_16() {
    let mut s = System::usual();
    let mut sets = Vec::new();
    for _ in 0..3 {
        let first = split_first(&mut s, D0);
        let mut frames: Vec<u64> = s.kernel.of(0).into_values().collect();
        frames.sort_unstable();
        frames.dedup();
        sets.push(frames);
        s.release(D0, first.nth(100)).unwrap();
        s.server.destroy(&mut s.kernel, D0).unwrap();
        s.server.revive(D0).unwrap();
        s.kernel.scrubbed.clear();
    }
    assert_eq!(sets[0].len(), 512 + 3);
    assert!(sets.iter().all(|set| *set == sets[0]));
    s.blocks(D0, 64).unwrap();
    assert_eq!(
        s.kernel.scrubbed.len(),
        4,
        "all four blocks are zeroed before the new domain sees them"
    );
}

/// SM-4: messages that are none are refused.
#[test]
fn wild_messages_are_refused_and_change_nothing() {
    let mut s = System::usual();
    s.blocks(D0, 2).unwrap();
    let (before, granted) = (s.server.totals(), s.kernel.granted.clone());
    let wild: [(u64, &[u64]); 14] = [
        (0, &[]),
        (u64::MAX, &[u64::MAX; 6]),
        (3, &[0x40000, 65]),
        (3, &[0x40000, 0]),
        (3, &[0x40001, 1]),
        (5, &[1 << 32]),
        (5, &[1; 120]),
        (9, &[68]),
        // Batches: none, one more than there are, too many, a second half that is not counted, a
        // word too many.
        (4, &[0]),
        (4, &[3, 0]),
        (4, &[65; MAX_WORDS]),
        (4, &[u64::MAX, 0]),
        (13, &[1, 1 << 32]),
        (13, &[2, 0, 0]),
    ];
    let mut reply = [0; MAX_WORDS];
    let mut send = |d, (label, words)| {
        let message = Message { label, words };
        s.server.on_ppc(&mut s.kernel, d, message, &mut reply).label
    };
    for message in wild {
        assert_eq!(send(D0, message), Error::Malformed as u64, "{message:?}");
    }
    let stranger = memory_server::DomainIndex(5);
    assert_eq!(send(stranger, wild[3]), Error::Malformed as u64);
    assert_eq!(
        s.server.serve(&mut s.kernel, stranger, &Request::Usage),
        Err(Error::NotYours)
    );
    assert_eq!((s.server.totals(), &s.kernel.granted), (before, &granted));
}

#[test]
fn tables_that_are_too_small_are_told() {
    use memory_server::{BlockRecord, Manifest, MemoryServer, Tables, UntypedRecord, manifest};
    let domains = [domain(1, true, 8)];
    let untypeds = [memory(0x4000_0000, 23, true, Purpose::Static(D0))];
    let words = manifest::encode(&domains, &untypeds, 0).unwrap();
    let tables = Tables {
        untypeds: &mut [UntypedRecord::EMPTY; 1],
        blocks: &mut [BlockRecord::EMPTY; 3],
        splits: &mut [],
        windows: &mut [0; 63],
    };
    let error = MemoryServer::new(&Manifest::decode(&words).unwrap(), tables)
        .err()
        .unwrap();
    assert_eq!((error.table, error.need, error.have), ("block", 4, 3));
    assert!(
        error
            .to_string()
            .starts_with("the memory server has 3 block records and this image needs 4")
    );
}

#[test]
fn a_guest_frame_above_32_bits_is_no_error() {
    let mut s = System::usual();
    s.place(D1, u64::MAX).unwrap();
    s.granted(
        D1,
        Request::PopulateBlocks {
            gfn: Gfn::new(u64::MAX << 9),
            blocks: 2,
        },
    )
    .unwrap();
}

/// BL-1, SM-9: split records are as few as the image has room for; one whose pages are all free or
/// returned serves the next split, of the heap and of a domain's own memory.
#[test]
fn a_block_that_nobody_holds_gives_its_split_record_back() {
    for is_static in [false, true] {
        let ram = if is_static {
            memory(0x8000_0000, 23, true, Purpose::Static(D0))
        } else {
            memory(0x8000_0000, 23, false, Purpose::Heap)
        };
        let config = domain(1, is_static, 6);
        let mut s = System::new(&[config], &[ram], 2);
        let granted = s.blocks(D0, 3).unwrap();
        for n in [0, 1, 2, 0] {
            let slot = granted.slot(n % 3);
            let Ok(Reply::Split { kind, pages }) = s.ask(D0, Request::split(slot)) else {
                // The fourth is the first again: no block any more, and nothing was harmed.
                assert_eq!(n, 0);
                assert_eq!(s.usage(D0).ram, 512);
                break;
            };
            if kind == SplitKind::Copy {
                s.ask(D0, Request::SplitDone { slot }).unwrap();
            }
            // All pages of two blocks go back, of the third all but one.
            let left = u32::from(n == 2) * 512;
            for page in left..pages.count {
                s.release(D0, pages.slot(page)).unwrap();
            }
        }
        assert_eq!(s.usage(D0).ram, 512, "static {is_static}");
    }
}

/// BL-1: nobody grows into the last split record while another may need it.
#[test]
fn growth_leaves_a_split_record() {
    let mut s = System::new(
        &[domain(1, false, 8), domain(2, false, 8)],
        &[memory(0x8000_0000, 24, true, Purpose::Heap)],
        2,
    );
    let slot = s.blocks(D0, 1).unwrap().first;
    let got = (0..1024).take_while(|_| s.page(D1).is_ok()).count();
    assert_eq!(got, 512);
    assert!(matches!(
        s.ask(D0, Request::split(slot)),
        Ok(Reply::Split {
            kind: SplitKind::InPlace,
            ..
        })
    ));
}

/// BL-1: a guest's pages, however scattered, leave it the window where the copy of a block has to
/// be.
#[test]
fn scattered_pages_leave_a_window() {
    let many = DomainConfig {
        grant_radix: 18,
        ..domain(1, false, 200)
    };
    let few = DomainConfig {
        grant_radix: 15,
        ..domain(2, false, 60)
    };
    let windows = GrantLayout::of(&few).windows();
    let mut s = System::new(
        &[many, few],
        &[memory(0x8000_0000, 28, false, Purpose::Heap)],
        128,
    );
    let slot = s.blocks(D1, 1).unwrap().first;
    // The first has all pages of many blocks and gives one of each, which the second takes.
    let pages: Vec<Slot> = (0..512 * u32::from(windows))
        .map(|_| s.page(D0).unwrap())
        .collect();
    let mut taken = 0;
    for first in pages.iter().step_by(512) {
        s.release(D0, *first).unwrap();
        taken += u16::from(s.page(D1).is_ok());
    }
    assert_eq!(taken, windows - 2);
    assert!(matches!(
        s.ask(D1, Request::split(slot)),
        Ok(Reply::Split { .. })
    ));
    s.ask(D1, Request::SplitDone { slot }).unwrap();
    // Nothing is whole any more, so nothing is kept.
    s.page(D1).unwrap();
}

/// SM-9, BL-1: a run of returned blocks ends where one of them had to be revoked for the next
/// split: what is granted is where the answer says.
#[test]
fn a_run_of_returned_blocks_has_no_gap() {
    // The first block is split where it lies, the others by copying them, for which a free block is
    // kept.
    let mut s = System::new(
        &[domain(1, false, 8), domain(2, false, 8)],
        &[
            memory(0x4000_0000, 21, true, Purpose::Heap),
            memory(0x8000_0000, 23, false, Purpose::Heap),
        ],
        4,
    );
    let run = s.blocks(D0, 3).unwrap();
    assert_eq!(run.count, 3);
    assert_eq!(s.paddr(D0, run.slot(0)), 0x4000_0000);
    (0..3).for_each(|n| s.release(D0, run.slot(n)).unwrap());
    // The other takes the free blocks as pages; nothing is whole, so it may.
    (0..1024).for_each(|_| _ = s.page(D1).unwrap());
    let three = Request::PopulateBlocks {
        gfn: Gfn::new(0x40000),
        blocks: 3,
    };
    let again = s.granted(D0, three).unwrap();
    assert_eq!(again.first, run.first);
    assert_eq!(again.count, 1, "the second was revoked");
    assert_eq!(s.paddr(D0, again.slot(0)), 0x4000_0000);
    let third = s.granted(D0, three).unwrap();
    assert_eq!((third.first, third.count), (run.slot(2), 1));
    assert_eq!(s.usage(D0).ram, 1024);
    let slot = third.first;
    let split = s.ask(D0, Request::split(slot));
    assert!(matches!(split, Ok(Reply::Split { .. })), "{split:?}");
}

/// SM-9, BL-1: the first of them may be the one.
#[test]
fn the_first_returned_block_may_be_kept_for_the_next_split() {
    let mut s = System::new(
        &[domain(1, false, 8), domain(2, false, 8)],
        &[memory(0x8000_0000, 23, false, Purpose::Heap)],
        4,
    );
    let run = s.blocks(D0, 3).unwrap();
    assert_eq!(run.count, 3);
    (0..3).for_each(|n| s.release(D0, run.slot(n)).unwrap());
    (0..512).for_each(|_| _ = s.page(D1).unwrap());
    let again = s.blocks(D0, 3).unwrap();
    assert_eq!(again.count, 2);
    (0..2).for_each(|n| _ = s.paddr(D0, again.slot(n)));
    assert!(s.blocks(D0, 1).is_err(), "the last is kept");
}
