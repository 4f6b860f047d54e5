//! Aliases: further capabilities of pages that a domain has.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, System};
use memory_server_api::{ALIASES, Error, Extra, Reply, Request, Slot};

fn alias(s: &mut System, slot: Slot, alias: u32) -> Result<Slot, Error> {
    match s.ask(D0, Request::Alias { slot, alias })? {
        Reply::Alias(slot) => Ok(slot),
        other => panic!("{other:?}"),
    }
}

fn unalias(s: &mut System, slot: Slot, alias: u32) -> Result<Reply, Error> {
    s.ask(D0, Request::Unalias { slot, alias })
}

/// A domain of whole blocks with its first one split; the slot of its first page.
fn split(s: &mut System) -> Slot {
    let blocks = s.blocks(D0, 64).unwrap();
    match s.ask(D0, Request::split(blocks.first)) {
        Ok(Reply::Split { pages, .. }) => {
            s.look_at(D0, pages);
            pages.first
        }
        other => panic!("{other:?}"),
    }
}

/// EX-1, SM-22: an alias is of a page that the caller has, RAM by itself or an extra page, and of
/// nothing else.
#[test]
fn only_pages_that_the_caller_has_get_aliases() {
    let mut s = System::usual();
    let page = split(&mut s);
    let block = Slot(page.0 + memory_server_api::WINDOW_SLOTS);
    let other = s.page(D1).unwrap();
    let before = s.kernel.of(0).len();
    for slot in [block, block.window_cap(), Slot(u32::MAX), Slot(!1)] {
        assert_eq!(alias(&mut s, slot, 0), Err(Error::NotYours), "{slot:?}");
    }
    // A slot of another domain's is a slot of one's own, or nothing.
    let own = s.kernel.of(0).contains_key(&other);
    assert_eq!(alias(&mut s, other, 9).is_ok(), own);
    assert_eq!(unalias(&mut s, other, 9).is_ok(), own);
    assert_eq!(s.kernel.of(0).len(), before);
    let first = alias(&mut s, page, 0).unwrap();
    let last = alias(&mut s, page.nth(1), ALIASES - 1).unwrap();
    assert_eq!(last.0 - first.0, ALIASES - 1);
    assert_eq!(s.kernel.of(0)[&first], s.paddr(D0, page));
    assert_eq!(s.kernel.of(0)[&last], s.paddr(D0, page.nth(1)));
    assert_eq!(
        alias(&mut s, page, 0),
        Ok(first),
        "what was there makes way"
    );
    let extra = match s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::SharedInfo,
        },
    ) {
        Ok(Reply::Granted(extra)) => extra.first,
        other => panic!("{other:?}"),
    };
    let third = alias(&mut s, extra, 1).unwrap();
    assert_eq!(s.kernel.of(0)[&third], s.paddr(D0, extra));
    for (slot, n) in [(page, 0), (extra, 1), (page.nth(1), ALIASES - 1), (page, 7)] {
        assert_eq!(unalias(&mut s, slot, n), Ok(Reply::Done));
    }
    assert_eq!(s.kernel.of(0).len(), before + 2);
}

/// SM-5, EX-6: what revokes a page takes its aliases away too.
#[test]
fn aliases_go_with_their_page() {
    let mut s = System::usual();
    let page = split(&mut s);
    let extra = match s.ask(
        D0,
        Request::CreateExtra {
            kind: Extra::Console,
        },
    ) {
        Ok(Reply::Granted(extra)) => extra.first,
        other => panic!("{other:?}"),
    };
    let of_extra = alias(&mut s, extra, 0).unwrap();
    let of_page = alias(&mut s, page, 1).unwrap();
    s.ask(
        D0,
        Request::DestroyExtra {
            kind: Extra::Console,
        },
    )
    .unwrap();
    assert!(!s.kernel.of(0).contains_key(&of_extra));
    s.release(D0, page).unwrap();
    assert_eq!(alias(&mut s, page, 2), Err(Error::NotYours), "given back");
    while s.server.destroy(&mut s.kernel, D0).is_err() {}
    assert!(!s.kernel.of(0).contains_key(&of_page));
}

#[test]
fn a_refused_mint_or_deletion_changes_nothing() {
    let mut s = System::usual();
    let page = split(&mut s);
    let before = s.kernel.of(0);
    s.kernel.fail_in = Some(0);
    assert_eq!(alias(&mut s, page, 0), Err(Error::Kernel));
    assert_eq!(s.kernel.of(0), before);
    alias(&mut s, page, 0).unwrap();
    s.kernel.fail_in = Some(0);
    assert_eq!(unalias(&mut s, page, 0), Err(Error::Kernel));
    assert_eq!(s.kernel.of(0).len(), before.len() + 1);
    assert_eq!(unalias(&mut s, page, 0), Ok(Reply::Done));
    assert_eq!(s.kernel.of(0), before);
}
