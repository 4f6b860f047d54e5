//! Memory that is zeroed aside: who waits for it, who does not, and what happens when the wiper
//! comes late, never, or at the wrong moment.

mod common;

use common::{D0, System, domain, memory};
use memory_server::Purpose;
use memory_server::cost;
use memory_server_api::{Error, Granted, Reply, Request, Slot, SplitKind};

/// One domain with three blocks of a heap of four.
fn system() -> (System, Granted) {
    let mut s = System::new(
        &[domain(1, false, 6)],
        &[memory(0x8000_0000, 23, false, Purpose::Heap)],
        4,
    );
    s.kernel.has_wiper = true;
    let blocks = s.blocks(D0, 3).unwrap();
    (s, blocks)
}

fn split(s: &mut System, slot: Slot, patient: bool) -> Result<Granted, Error> {
    match s.send(D0, Request::Split { slot, patient })? {
        Reply::Split { kind, pages } => {
            assert_eq!(kind, SplitKind::Copy);
            Ok(pages)
        }
        other => panic!("{other:?}"),
    }
}

/// Splits a block and has its contents copied.
fn split_and_copy(s: &mut System, slot: Slot) {
    split(s, slot, true).unwrap();
    s.ask(D0, Request::SplitDone { slot }).unwrap();
}

fn wiper_is_done(s: &mut System) {
    s.kernel.is_wiped = true;
    s.server.on_wiped(&mut s.kernel);
}

/// What zeroing a block costs at the least.
const DEAR: u32 = 512 * cost::RESET_PAGE;

/// The block that a copy leaves is handed over at once; who comes before it is zeroed asks again,
/// and nobody pays for it in a message.
#[test]
fn a_second_split_costs_no_zeroing() {
    let (mut s, blocks) = system();
    split_and_copy(&mut s, blocks.slot(0));
    assert!(s.kernel.with_wiper.is_some());
    for _ in 0..10 {
        assert_eq!(split(&mut s, blocks.slot(1), true), Err(Error::Again));
    }
    wiper_is_done(&mut s);
    assert!(s.kernel.with_wiper.is_none());
    s.dearest = 0;
    let pages = split(&mut s, blocks.slot(1), true).unwrap();
    s.look_at(D0, pages);
    assert!(s.dearest < DEAR / 4, "{}", s.dearest);
}

/// Who cannot wait takes the block from the wiper, and has it zeroed at once.
#[test]
fn who_has_no_patience_takes_the_block_back() {
    let (mut s, blocks) = system();
    split_and_copy(&mut s, blocks.slot(0));
    s.dearest = 0;
    split(&mut s, blocks.slot(1), false).unwrap();
    assert!(s.dearest >= DEAR, "{}", s.dearest);
    assert!(s.kernel.with_wiper.is_none());
    // What the wiper says of it now is of nothing, or of another block.
    s.server.on_wiped(&mut s.kernel);
    let slot = blocks.slot(1);
    s.ask(D0, Request::SplitDone { slot }).unwrap();
    assert!(s.kernel.with_wiper.is_some());
    s.server.on_wiped(&mut s.kernel);
    split(&mut s, blocks.slot(2), true).unwrap();
}

/// A wiper that never gets ready stops nobody: a guest can always give up a page (BL-1).
#[test]
fn a_wiper_that_stopped_stops_nobody() {
    let (mut s, blocks) = system();
    split_and_copy(&mut s, blocks.slot(0));
    for n in 1..3 {
        let slot = blocks.slot(n);
        let asked = (1..).find(|_| split(&mut s, slot, true).is_ok()).unwrap();
        assert!((2..200).contains(&asked), "{asked}");
        s.ask(D0, Request::SplitDone { slot }).unwrap();
    }
}

/// The kernel may refuse each step: the block is zeroed aside, by the split, or at the next try,
/// and no memory is lost.
#[test]
fn each_step_may_be_refused() {
    for at in 0..12 {
        let (mut s, blocks) = system();
        split(&mut s, blocks.slot(0), true).unwrap();
        s.kernel.fail_in = Some(at);
        let slot = blocks.slot(0);
        let done = s.ask(D0, Request::SplitDone { slot });
        s.server.on_wiped(&mut s.kernel);
        let _ = split(&mut s, blocks.slot(1), true);
        s.kernel.fail_in = None;
        if done.is_err() {
            s.ask(D0, Request::SplitDone { slot }).unwrap();
        }
        wiper_is_done(&mut s);
        for n in 1..3 {
            let slot = blocks.slot(n);
            while split(&mut s, slot, true) == Err(Error::Again) {
                wiper_is_done(&mut s);
            }
            let _ = s.ask(D0, Request::SplitDone { slot });
        }
        let totals = s.server.totals();
        assert_eq!((totals.sum(), s.usage(D0).ram), (totals.all, 3 * 512));
    }
}

/// Without a wiper a patient caller is answered at once.
#[test]
fn without_a_wiper_nobody_waits() {
    let (mut s, blocks) = system();
    s.kernel.has_wiper = false;
    for n in 0..3 {
        split_and_copy(&mut s, blocks.slot(n));
    }
}
