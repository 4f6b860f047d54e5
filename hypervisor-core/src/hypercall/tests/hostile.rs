//! Any registers whatever: an answer, never a panic, and no endless continuation.

use proptest::prelude::*;

use super::{BUF, Guest, HOLE, LAST_PAGE, RAM};
use crate::hypercall::ROWS;
use crate::hypercall::outcome::Outcome;

/// Most continuations that one call of these tests may need: lists here are short.
const PATIENCE: u32 = 100_000;

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..ROWS.len()).prop_map(|i| ROWS[i].number),
        1 => 0..64u64,
        1 => any::<u64>(),
    ]
}

fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..32u64,
        4 => (0..0x1000u64).prop_map(|offset| BUF + offset),
        1 => Just(HOLE),
        1 => (0..64u64).prop_map(|back| LAST_PAGE + 0x1000 - back),
        1 => Just(RAM - 1),
        1 => (0..64u64).prop_map(|back| u64::MAX - back),
        1 => any::<u64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_call_ends(
        memory in proptest::collection::vec(any::<u8>(), 512),
        calls in proptest::collection::vec((number(), proptest::array::uniform5(register())), 1..24),
    ) {
        let mut guest = Guest::new();
        guest.put_bytes(BUF, &memory);
        for (nr, mut args) in calls {
            let mut rounds = 0;
            while let Outcome::Continue { args: next } = guest.call(nr, &args) {
                rounds += 1;
                prop_assert!(rounds < PATIENCE, "hypercall {nr} {args:x?} goes on and on");
                args = next;
            }
        }
    }
}
