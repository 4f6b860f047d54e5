//! Fairness: guests that always have requests get alike, whatever these look like.

mod common;

use block_server_api::{DiskPort, Op, Part, Request, VolumeSpec};
use common::{Rig, request};
use proptest::prelude::*;

/// Keeps `depth` requests of `count` sectors of each guest under way for `rounds` answers of the
/// device, and says how many bytes each got.
fn compete(loads: &[(usize, u32)], rounds: usize) -> Vec<u64> {
    let mut rig = Rig::blank();
    for guest in 0..loads.len() {
        let read_only = true;
        let (device, part) = (0, Part::Whole);
        rig.add(
            guest,
            vec![VolumeSpec {
                device,
                part,
                read_only,
            }],
        );
    }
    rig.run();
    rig.device.dry = true;
    let mut open = vec![0; loads.len()];
    for round in 0..rounds {
        for (guest, (depth, count)) in loads.iter().enumerate() {
            open[guest] -= rig.answers(guest).len();
            while open[guest] < *depth {
                let read = request(Op::Read, 0, 0, *count);
                let id = u32::try_from(round).unwrap();
                assert!(rig.port(guest).submit(&Request { id, ..read }));
                open[guest] += 1;
            }
        }
        // The device answers one at a time.
        let rest = rig.device.queue.split_off(rig.device.queue.len().min(1));
        rig.turn();
        for command in rest.into_iter().rev() {
            rig.device.queue.push_front(command);
        }
    }
    rig.device.moved[..loads.len()].to_vec()
}

#[test]
fn large_and_small_requests_share_alike() {
    let bytes = compete(&[(16, 128), (64, 8)], 3000);
    // A command costs 8 KiB whatever it moves: of each 12 KiB of cost the small ones move four.
    let cost = [bytes[0] * 9 / 8, bytes[1] * 3];
    assert!(
        cost[0] * 10 >= cost[1] * 9 && cost[1] * 10 >= cost[0] * 9,
        "{cost:?}"
    );
}

#[test]
fn a_flood_does_not_keep_a_guest_with_one_request_waiting() {
    let (flood, one) = ((128, 16), (1, 8));
    let bytes = compete(&[flood, one], 4000);
    // At most what is under way goes before: 32 of these, and one too many.
    assert!(bytes[1] / 4096 >= 4000 / 35, "{bytes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn who_always_waits_gets_a_fair_part(
        loads in prop::collection::vec((32usize..=100, 1u32..=64), 2..=8),
    ) {
        let bytes = compete(&loads, 3000);
        let costs: Vec<u64> = bytes
            .iter()
            .zip(&loads)
            .map(|(bytes, (_, count))| bytes + bytes / u64::from(count * 512) * 8192)
            .collect();
        let fair = costs.iter().sum::<u64>() / costs.len() as u64;
        for cost in &costs {
            prop_assert!(cost * 10 >= fair * 8, "{loads:?} {costs:?}");
        }
    }
}
