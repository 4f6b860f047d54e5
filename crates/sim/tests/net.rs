//! Networks from within guests: through the store, rings, VMMs and the net server.

#[path = "common/front.rs"]
mod front;
#[path = "common/store.rs"]
mod store;

use front::{Front, mac};
use hv_types::Mac;
use net_server::Dropped;
use sim::{Domain, System};
use store::events;
use xen_abi::netif::status;

fn system(networks: &[u8]) -> System {
    let domains = (0..).zip(networks).map(|(guest, network)| {
        let domain = Domain::new(["a", "b", "c"][usize::from(guest)]).heap();
        domain.enhanced("enabled").with_nic(*network, mac(guest))
    });
    System::new(&domains.collect::<Vec<_>>())
}

fn connect(sys: &mut System, guests: usize) -> Vec<Front> {
    (0..guests)
        .map(|guest| Front::connect(&mut sys.guest(guest)))
        .collect()
}

#[test]
fn a_frame_goes_from_guest_to_guest() {
    let mut sys = system(&[1, 1, 1]);
    let mut fronts = connect(&mut sys, 3);
    assert_eq!(fronts[0].back(&mut sys.guest(0), "state"), "4");
    assert_eq!(fronts[0].back(&mut sys.guest(0), "mac"), mac(0).to_string());
    events(&mut sys.guest(1));
    let sent = fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    assert_eq!(sent, Some(status::OKAY));
    let mut guest = sys.guest(1);
    let port = fronts[1].port;
    assert!(events(&mut guest).contains(&port));
    let frame = fronts[1].receive(&mut guest).unwrap();
    assert_eq!((frame.len(), &frame[6..12]), (100, &mac(0).0[..]));
    assert_eq!(frame[12..], [0x5a; 88]);
    assert_eq!(fronts[2].receive(&mut sys.guest(2)), None);
    fronts[2].send(&mut sys.guest(2), Mac::BROADCAST, mac(2));
    assert!(fronts[0].receive(&mut sys.guest(0)).is_some());
    assert!(fronts[1].receive(&mut sys.guest(1)).is_some());
}

#[test]
fn networks_never_meet_and_forged_frames_go_nowhere() {
    let mut sys = system(&[1, 2, 1]);
    let mut fronts = connect(&mut sys, 3);
    for to in [mac(1), Mac::BROADCAST] {
        fronts[0].send(&mut sys.guest(0), to, mac(0));
        assert_eq!(fronts[1].receive(&mut sys.guest(1)), None);
    }
    fronts[2].receive(&mut sys.guest(2)).expect("the broadcast");
    let sent = fronts[0].send(&mut sys.guest(0), mac(2), mac(1));
    assert_eq!(sent, Some(status::OKAY), "as on a wire");
    assert_eq!(fronts[2].receive(&mut sys.guest(2)), None);
    assert_eq!(sys.port(0, 0).dropped(Dropped::Forged), 1);
    assert_eq!(sys.port(0, 0).dropped(Dropped::Unknown), 1);
}

#[test]
fn an_idle_network_wakes_nobody() {
    let mut sys = system(&[1, 1]);
    let mut fronts = connect(&mut sys, 2);
    fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    let wakes = (sys.net_wakes(), sys.store_wakes());
    sys.advance(10 * sim::FREQUENCY);
    assert_eq!((sys.net_wakes(), sys.store_wakes()), wakes);
}

#[test]
fn who_receives_nothing_holds_nobody_up() {
    let mut sys = system(&[1, 1, 1]);
    let mut fronts = connect(&mut sys, 3);
    // More than are asked for, and more than wait in the queue.
    for _ in 0..400 {
        let sent = fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
        assert_eq!(sent, Some(status::OKAY));
    }
    assert!(sys.port(1, 0).dropped(Dropped::Full) > 100);
    fronts[0].send(&mut sys.guest(0), mac(2), mac(0));
    assert!(fronts[2].receive(&mut sys.guest(2)).is_some());
}

#[test]
fn a_server_that_crashes_closes_the_back_ends() {
    let mut sys = system(&[1, 1]);
    let mut fronts = connect(&mut sys, 2);
    sys.crash_nets();
    for (guest, front) in fronts.iter_mut().enumerate() {
        assert_eq!(front.back(&mut sys.guest(guest), "state"), "5");
        assert!(sys.is_alive(guest));
        let said = sys.vmm_log(guest).iter();
        let said = said.filter(|line| line.contains("the net server has stopped"));
        assert_eq!(said.count(), 1, "it is closed once");
    }
    let wakes = sys.store_wakes();
    sys.advance(sim::FREQUENCY);
    assert_eq!(sys.store_wakes(), wakes, "nobody goes on closing");
    fronts[0].send(&mut sys.guest(0), mac(1), mac(0));
    assert_eq!(fronts[1].receive(&mut sys.guest(1)), None);
}
