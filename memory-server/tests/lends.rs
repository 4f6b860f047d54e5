//! Pages that one domain lends to another: what the peer server may have done, and what is left
//! whatever the kernel refuses.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, System};
use memory_server::DomainIndex;
use memory_server_api::{Batch, Error, Extra, LendError, Lending, NO_LEND, Reply, Request, Slot};

/// Domain 1 grants to domain 0: a grant frame, and a page in some slot, at frame 0x1234.
fn system() -> (System, Slot) {
    let mut s = System::usual();
    let kind = Extra::GrantFrame(0);
    s.ask(D1, Request::CreateExtra { kind }).unwrap();
    let mut gfns = Batch::EMPTY;
    gfns.push(0x1234);
    let Ok(Reply::Pages(pages)) = s.ask(D1, Request::PopulatePages { gfns }) else {
        panic!("a page")
    };
    let slot = pages.iter().next().unwrap();
    (s, slot)
}

fn lending(s: &mut System, lending: Lending) -> Result<u64, LendError> {
    s.server.on_lending(&mut s.kernel, lending)
}

fn lend(slot: Slot, lend: u32) -> Lending {
    Lending::Lend {
        domain: 1,
        gref: 9,
        was: 0,
        now: 0x18,
        gfn: 0x1234,
        slot: slot.0,
        like: NO_LEND,
        to: 0,
        lend,
        writable: true,
    }
}

fn unlend(lend: u32) -> Lending {
    Lending::Unlend {
        to: 0,
        lend,
        domain: 1,
        gref: 9,
        clear: 0x18,
    }
}

fn entry(s: &mut System) -> u64 {
    let entry = Lending::Entry { domain: 1, gref: 9 };
    lending(s, entry).unwrap()
}

/// Capabilities in slots of `d`.
fn held(s: &System, d: DomainIndex) -> usize {
    s.kernel.granted.keys().filter(|(of, _)| *of == d).count()
}

#[test]
fn a_page_is_lent_and_comes_back() {
    let (mut s, slot) = system();
    let before = held(&s, D0);
    assert_eq!(lending(&mut s, lend(slot, 3)), Ok(0));
    assert_eq!((held(&s, D0), entry(&mut s)), (before + 1, 0x18));
    assert_eq!(lending(&mut s, lend(slot, 4)), Err(LendError::Lost));
    let Ok(Reply::Alias(at)) = s.ask(D0, Request::Lent { lend: 3 }) else {
        panic!("a slot")
    };
    assert!(s.kernel.granted.contains_key(&(D0, at)));
    assert_eq!(lending(&mut s, unlend(3)), Ok(0));
    assert_eq!((held(&s, D0), entry(&mut s)), (before, 0));
    assert_eq!(lending(&mut s, unlend(3)), Ok(0), "again");
}

#[test]
fn what_is_not_the_lenders_is_not_lent() {
    let (mut s, slot) = system();
    let refused = |s: &mut System, change: fn(&mut [u64; 10]), want| {
        let mut words = [0; 10];
        lend(slot, 0).write(&mut words);
        change(&mut words);
        let message = memory_server_api::Message {
            label: 49,
            words: &words,
        };
        let asked = Lending::read(message).expect("it is one");
        assert_eq!(lending(s, asked), Err(want), "{asked:?}");
    };
    // Another frame, another slot, no grant frame, the other way round, oneself, nobody.
    refused(&mut s, |words| words[4] = 0x1235, LendError::NotThere);
    refused(&mut s, |words| words[5] += 1, LendError::NotThere);
    refused(
        &mut s,
        |words| words[5] = u32::MAX.into(),
        LendError::NotThere,
    );
    refused(&mut s, |words| words[1] = 512, LendError::NoEntry);
    refused(
        &mut s,
        |words| (words[0], words[7]) = (0, 1),
        LendError::Denied,
    );
    refused(&mut s, |words| words[0] = 0, LendError::Denied);
    refused(&mut s, |words| words[0] = 255, LendError::Denied);
    refused(&mut s, |words| words[7] = 7, LendError::Denied);
    // Like one that is not there.
    refused(&mut s, |words| words[6] = 5, LendError::NotThere);
    assert_eq!(entry(&mut s), 0, "nothing is marked");
    // A whole block is no page.
    let block = s.blocks(D1, 1).unwrap().first;
    assert_eq!(lending(&mut s, lend(block, 0)), Err(LendError::NotThere));
    assert_eq!(lending(&mut s, lend(slot, 0)), Ok(0));
    assert_eq!(lending(&mut s, lend(slot, 0)), Err(LendError::Taken));
}

/// Who gives a page up has it back, however often it is lent; its next user is alone with it.
#[test]
fn who_gives_a_page_up_ends_its_lends() {
    let (mut s, slot) = system();
    let before = held(&s, D0);
    for n in 0..5 {
        let mut words = [0; 10];
        lend(slot, n).write(&mut words);
        (words[2], words[3]) = (0, 0);
        let message = memory_server_api::Message {
            label: 49,
            words: &words,
        };
        assert_eq!(lending(&mut s, Lending::read(message).unwrap()), Ok(0));
    }
    assert_eq!(held(&s, D0), before + 5);
    assert_eq!(s.ask(D1, Request::Release { slot }), Ok(Reply::Done));
    assert_eq!(held(&s, D0), before);
    // An empty page of its own takes one's place, once it has one.
    let replace = Request::Replace { lend: 0 };
    assert_eq!(s.ask(D0, replace), Err(Error::NotYours));
    let kind = Extra::Scratch;
    s.ask(D0, Request::CreateExtra { kind }).unwrap();
    assert!(matches!(s.ask(D0, replace), Ok(Reply::Alias(_))));
    assert_eq!(s.ask(D0, replace), Err(Error::WrongState));
    assert_eq!(
        s.ask(D0, Request::DestroyExtra { kind }),
        Err(Error::WrongState),
        "what is in its place is known by it"
    );
    assert_eq!(lending(&mut s, unlend(0)), Ok(0));
}

#[test]
fn either_end_leaves_nothing_lent() {
    for (ends, other) in [(D0, D1), (D1, D0)] {
        let (mut s, slot) = system();
        let before = held(&s, D0);
        assert_eq!(lending(&mut s, lend(slot, 3)), Ok(0));
        let left = held(&s, other);
        let end = Request::Relinquish { again: false };
        while matches!(s.ask(ends, end), Ok(Reply::Relinquished { more: true, .. })) {}
        assert_eq!(held(&s, ends), 0, "{ends:?}");
        let want = if other == D0 { before } else { left };
        assert_eq!(held(&s, other), want);
        assert_eq!(lending(&mut s, lend(slot, 4)), Err(LendError::Denied));
        assert_eq!(lending(&mut s, unlend(3)), Ok(0));
    }
}

/// Each operation of the kernel is refused once: nothing is lent or marked, or all is.
#[test]
fn what_the_kernel_refuses_changes_nothing() {
    for fail in 0.. {
        let (mut s, slot) = system();
        let before = held(&s, D0);
        s.kernel.fail_in = Some(fail);
        let lent = lending(&mut s, lend(slot, 3));
        let hit = s.kernel.refused > 0;
        s.kernel.fail_in = None;
        match lent {
            Ok(_) => assert_eq!((held(&s, D0), entry(&mut s)), (before + 1, 0x18)),
            Err(error) => {
                assert_eq!(error, LendError::Kernel);
                assert_eq!((held(&s, D0), entry(&mut s)), (before, 0), "{fail}");
                assert_eq!(lending(&mut s, lend(slot, 3)), Ok(0));
            }
        }
        if !hit {
            break;
        }
    }
    for fail in 0.. {
        let (mut s, slot) = system();
        let before = held(&s, D0);
        assert_eq!(lending(&mut s, lend(slot, 3)), Ok(0));
        s.kernel.fail_in = Some(fail);
        let ended = lending(&mut s, unlend(3));
        let hit = s.kernel.refused > 0;
        s.kernel.fail_in = None;
        if ended.is_err() {
            // The mark is there as long as the page is, and may be there longer.
            assert_eq!(entry(&mut s), 0x18);
            assert_eq!(lending(&mut s, unlend(3)), Ok(0));
        }
        assert_eq!((held(&s, D0), entry(&mut s)), (before, 0), "{fail}");
        if !hit {
            break;
        }
    }
}
