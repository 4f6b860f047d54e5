//! Lives of guests: how often they may begin.

mod common;

use common::{FREQUENCY, Rig, assert_answer};
use xenstore_server_api::{StorePort as _, Wish};

#[test]
fn a_vmm_that_begins_lives_in_a_loop_waits() {
    let mut rig = Rig::new(2);
    let mut begun = 0;
    for life in 0..100 {
        let (port, gfn) = (1, 1);
        rig.wish(
            0,
            Wish::Connect {
                life: life + 10,
                port,
                gfn,
            },
        );
        begun += u32::from(rig.guests[0].client.is_ready());
        assert_answer(rig.read(1, "domid"), Ok("2"));
    }
    assert_eq!(begun, 7, "eight at once, of which its first was one");
    assert!(rig.last.wake_at.is_some() || !rig.last.more);
    rig.advance(FREQUENCY / 10);
    assert!(rig.guests[0].client.is_ready(), "its turn comes");
    let mut begun = 0;
    for life in 0..1000 {
        let (port, gfn) = (1, 1);
        rig.wish(
            0,
            Wish::Connect {
                life: life + 1000,
                port,
                gfn,
            },
        );
        rig.advance(FREQUENCY / 1000);
        begun += u32::from(rig.guests[0].client.is_ready());
    }
    assert!((15..=25).contains(&begun), "{begun} in a second");
    assert_answer(rig.read(1, "domid"), Ok("2"));
}
