//! What one message does of an end is bounded, however the grants that are in use were chosen.

use memory_server_api::{LENDS, LendError, Lending};
use peer_server::{Grants, Table, Wanted};
use peer_server_api::MOST_ENDS;
use topology::meets::Lends;
use xen_abi::grant::gtf;

/// Grants whose references differ by so many are in one list.
const APART: u32 = 2048;
/// The frame behind all entries, and its slot.
const FRAME: u32 = 0x4_0000;
const SLOT: u32 = 77;
/// How often a grant may be in use for reading, and for writing.
const PINS: u32 = 128;

/// The memory server, which refuses nothing; entries grant to domain `to`, counted from 0.
fn memory(to: u32) -> impl FnMut(Lending) -> Result<u64, LendError> {
    move |lending| match lending {
        Lending::Entry { .. } => {
            let low = u32::from(gtf::PERMIT_ACCESS) | (to + 1) << 16;
            Ok(u64::from(low) | u64::from(FRAME) << 32)
        }
        Lending::Lend { .. } | Lending::Unlend { .. } => Ok(0),
    }
}

/// Domain 1 and domain 2 have borrowed from domain 0 as many pages as they can, by references that
/// `gref` chooses from the number of the page. Domain 1 ends: the most that one message gave back,
/// and how many messages it took.
fn most_and_messages(gref: impl Fn(u32) -> u32) -> (usize, u32) {
    let may = Lends::NONE.with(0, 1).with(0, 2);
    let mut table = Box::new(Table::EMPTY);
    let mut grants = Grants::new(may, &mut table);
    grants.on_offer(0, FRAME, SLOT);
    for me in [1_u32, 2] {
        for lend in 0..LENDS {
            let wanted = Wanted {
                lend,
                domain: 0,
                gref: gref((me - 1) * LENDS + lend),
                writable: lend % 2 == 1,
            };
            let mapped = grants.map(me as usize, wanted, memory(me));
            assert_eq!(mapped, Ok(()), "{me} {wanted:?}");
        }
    }
    let (mut most, mut messages) = (0, 0);
    loop {
        let before = grants.borrowed(1);
        let more = grants.end(1, memory(1));
        messages += 1;
        most = most.max(before - grants.borrowed(1));
        if !more {
            break;
        }
        assert!(before > grants.borrowed(1), "a message without progress");
    }
    assert_eq!(grants.borrowed(1), 0);
    assert_eq!(grants.borrowed(2), LENDS as usize);
    (most, messages)
}

#[test]
fn an_end_is_64_pages_a_message_where_lists_are_short() {
    let (most, messages) = most_and_messages(|page| page);
    assert_eq!(most, 64);
    assert!(messages <= LENDS / 64 + 1, "{messages}");
}

/// A borrower and a lender that work together can have all their grants in one list, in which the
/// server looks for each page that goes back.
#[test]
fn grants_of_one_list_go_back_in_more_and_smaller_messages() {
    let (most, messages) = most_and_messages(|page| page / (2 * PINS) * APART);
    assert!(most <= 16, "{most} pages went back in a message");
    assert!(messages <= MOST_ENDS, "{messages}");
}
