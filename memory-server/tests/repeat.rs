//! Which requests may be repeated, as their declaration says.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, System, memory};
use hv_types::Gfn;
use memory_server::{Purpose, layout};
use memory_server_api::{Batch, Crash, Extra, MAX_WORDS, Repeat, Request, Slot};

/// A region that the domain shares.
const SHARED: Purpose = Purpose::Shared {
    region: 0,
    blocks: true,
};

/// One of each request that is good in a system where `block` and `page` are granted.
fn each(block: Slot, page: Slot) -> Vec<Request> {
    let mut slots = Batch::EMPTY;
    slots.push(page.0);
    let mut gfns = Batch::EMPTY;
    gfns.push(0x4_0000);
    vec![
        Request::Version,
        Request::Usage,
        Request::PopulateBlocks {
            gfn: Gfn::new(0x4_1000),
            blocks: 1,
        },
        Request::PopulatePages { gfns },
        Request::Release { slot: page },
        Request::ReleasePages { slots },
        Request::split(block),
        Request::SplitDone { slot: block },
        Request::SplitAbort { slot: block },
        Request::Tables { count: 2 },
        Request::CreateExtra {
            kind: Extra::Console,
        },
        Request::DestroyExtra {
            kind: Extra::Console,
        },
        Request::Alias {
            slot: page,
            alias: 3,
        },
        Request::Unalias {
            slot: page,
            alias: 3,
        },
        Request::Chunk { slot: page },
        Request::Window {
            slot: page,
            sight: 3,
        },
        Request::Lent { lend: 3 },
        Request::Replace { lend: 3 },
        Request::Shared { frame: 0 },
        Request::Relinquish { again: false },
        Request::Vcpu {
            vcpu: hv_types::VcpuId::BOOT,
        },
    ]
}

fn system() -> (System, Slot, Slot) {
    let shared = memory(0x7000_0000, 16, false, SHARED);
    let shares = layout::shares([shared].into_iter(), 1);
    let mut s = System::usual_sharing(&[shared], shares);
    let block = s.blocks(D0, 1).unwrap().first;
    let page = s.page(D0).unwrap();
    (s, block, page)
}

#[test]
fn every_operation_is_tried() {
    let (_, block, page) = system();
    let mut labels: Vec<u64> = each(block, page).iter().map(Request::label).collect();
    let mut declared: Vec<u64> = Request::OPERATIONS.iter().map(|row| row.label).collect();
    labels.sort_unstable();
    declared.sort_unstable();
    assert_eq!(labels, declared);
    let mut words = [0; MAX_WORDS];
    let crash = Crash { domain: 0 }.encode(&mut words);
    assert!(!declared.contains(&crash.label), "one label, two meanings");
}

/// A second idempotent request has the answer of the first, and leaves everything as that left it.
#[test]
fn idempotent_requests_find_everything_as_the_first_left_it() {
    let all = each(Slot(0), Slot(0));
    let idempotent = |(_, request): &(usize, &Request)| request.repeat() == Repeat::Idempotent;
    let numbers: Vec<usize> = all
        .iter()
        .enumerate()
        .filter(idempotent)
        .map(|(i, _)| i)
        .collect();
    assert_eq!(numbers.len(), 8);
    for number in numbers {
        let (mut s, block, page) = system();
        let request = each(block, page)[number];
        let first = s.ask(D0, request);
        assert!(first.is_ok(), "{request:?}: {first:?}");
        let left = (s.dump(), s.kernel.of(D0.0));
        assert_eq!(s.ask(D0, request), first, "{request:?}");
        assert_eq!((s.dump(), s.kernel.of(D0.0)), left, "{request:?}");
    }
}

/// What is declared to be done once is not idempotent: the second has another answer, or leaves
/// something else.
#[test]
fn what_is_once_does_something_each_time() {
    for number in 0..each(Slot(0), Slot(0)).len() {
        let (mut s, block, page) = system();
        let request = each(block, page)[number];
        // Some need another before them.
        let before = match request {
            Request::DestroyExtra { kind } => Some(Request::CreateExtra { kind }),
            Request::SplitDone { slot } | Request::SplitAbort { slot } => {
                Some(Request::split(slot))
            }
            _ => None,
        };
        if let Some(before) = before {
            assert!(s.ask(D0, before).is_ok(), "{before:?}");
        }
        if request.repeat() != Repeat::Once {
            continue;
        }
        let first = s.ask(D0, request);
        let left = (s.dump(), s.kernel.of(D0.0));
        let second = s.ask(D0, request);
        let same = second == first && (s.dump(), s.kernel.of(D0.0)) == left;
        assert!(first.is_err() || !same, "{request:?} might be idempotent");
    }
}
