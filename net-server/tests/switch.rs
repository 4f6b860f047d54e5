//! The switch, as VMMs see it.
#![expect(clippy::cast_possible_truncation, reason = "few guests")]

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;

use guest_mem::{VecWindow, Window as _};
use hv_types::{Mac, WindowAddr};
use net_server::{Dropped, GROUP_BURST, Notice, PortSpec, Server};
use net_server_api::{
    Checksum, Client, DATA_SIZE, HEADER_SIZE, MAX_FRAME, MIN_FRAME, NetPort as _, Offload,
    QUEUE_LEN, Region,
};
use proptest::prelude::*;

const FREQUENCY: u64 = 62_500_000;

type Vmm = Client<'static, &'static VecWindow, fn()>;

struct Net {
    server: Server<'static, &'static VecWindow>,
    vmms: Vec<Vmm>,
    windows: Vec<&'static VecWindow>,
    now: u64,
}

fn mac(guest: u8, nic: u8) -> Mac {
    Mac([2, 0, 0, 0, guest, nic])
}

impl Net {
    /// Guests whose interfaces are in these networks.
    fn new(guests: &[&[u8]]) -> Self {
        let mut server = Server::new();
        server.set_frequency(FREQUENCY);
        let (mut vmms, mut windows) = (Vec::new(), Vec::new());
        for (guest, networks) in guests.iter().enumerate() {
            let words = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
            let header: &'static [AtomicU32] = Vec::leak(words.collect());
            let window = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
            let data: &'static VecWindow = Box::leak(Box::new(window));
            let region = Region::new(header).unwrap();
            let specs = networks.iter().enumerate().map(|(nic, network)| PortSpec {
                network: *network,
                mac: mac(guest as u8, nic as u8),
            });
            server.add(guest, region.server(data).unwrap(), specs);
            let mut vmm = region.client(data, (|| ()) as fn()).unwrap();
            (0..4).for_each(|nic| vmm.set_open(nic, true));
            vmms.push(vmm);
            windows.push(data);
        }
        let now = FREQUENCY;
        Self {
            server,
            vmms,
            windows,
            now,
        }
    }

    fn send(
        &mut self,
        guest: usize,
        nic: u8,
        to: Mac,
        from: Mac,
        len: u32,
        offload: Offload,
    ) -> bool {
        let Some(at) = self.vmms[guest].reserve(nic, len) else {
            return false;
        };
        let mut bytes = vec![guest as u8; len as usize];
        bytes[..6].copy_from_slice(&to.0);
        bytes[6..12].copy_from_slice(&from.0);
        self.windows[guest].write(WindowAddr::new(at.into()), &bytes);
        self.vmms[guest].send(nic, len, offload)
    }

    fn receive(&mut self, guest: usize, nic: u8) -> Option<(Vec<u8>, Offload)> {
        let frame = self.vmms[guest].peek(nic)?.unwrap();
        let mut bytes = vec![0; frame.len as usize];
        self.windows[guest].read(WindowAddr::new(frame.offset.into()), &mut bytes);
        self.vmms[guest].advance(nic);
        Some((bytes, frame.offload))
    }

    fn settle(&mut self) -> u32 {
        let mut notify = 0;
        for _ in 0..10_000 {
            let turn = self.server.turn(self.now);
            notify |= turn.notify;
            if !turn.more {
                return notify;
            }
        }
        panic!("it never comes to rest");
    }

    fn dropped(&self, guest: usize, why: Dropped) -> u64 {
        self.server.counters(guest, 0).unwrap().dropped(why)
    }
}

const PLAIN: Offload = Offload {
    checksum: Checksum::Unknown,
    gso: None,
};

#[test]
fn a_frame_goes_to_its_station_alone() {
    let mut net = Net::new(&[&[1], &[1], &[1]]);
    let offload = Offload {
        checksum: Checksum::Blank,
        ..PLAIN
    };
    assert!(net.send(0, 0, mac(1, 0), mac(0, 0), 500, offload));
    assert_eq!(net.settle(), 0b10, "the one that gets it is notified");
    let (bytes, with) = net.receive(1, 0).unwrap();
    assert_eq!((bytes.len(), with), (500, offload));
    assert!(bytes[12..].iter().all(|&byte| byte == 0));
    assert!(net.receive(2, 0).is_none() && net.receive(0, 0).is_none());
}

#[test]
fn groups_reach_all_of_the_network_but_the_sender() {
    let mut net = Net::new(&[&[1, 1], &[1], &[2], &[1]]);
    for to in [Mac::BROADCAST, Mac([0x33, 0x33, 0, 0, 0, 1])] {
        assert!(net.send(0, 0, to, mac(0, 0), 60, PLAIN));
        net.settle();
        assert!(net.receive(0, 0).is_none());
        assert!(net.receive(0, 1).is_some(), "its other interface hears it");
        assert!(net.receive(1, 0).is_some() && net.receive(3, 0).is_some());
        assert!(net.receive(2, 0).is_none(), "that is another network");
    }
    // Between bridges.
    assert!(net.send(0, 0, Mac([1, 0x80, 0xc2, 0, 0, 0]), mac(0, 0), 60, PLAIN));
    net.settle();
    assert!(net.receive(1, 0).is_none());
}

#[test]
fn frames_from_others_addresses_go_nowhere_and_are_counted() {
    let mut net = Net::new(&[&[1], &[1]]);
    for (number, source) in [mac(1, 0), mac(7, 7), Mac::BROADCAST]
        .into_iter()
        .enumerate()
    {
        assert!(net.send(0, 0, mac(1, 0), source, 60, PLAIN));
        net.settle();
        assert!(net.receive(1, 0).is_none());
        assert_eq!(net.dropped(0, Dropped::Forged), number as u64 + 1);
    }
    let count = 1;
    assert_eq!(
        net.server.take_notice(),
        Some(Notice::Forged {
            guest: 0,
            nic: 0,
            source: mac(1, 0),
            count
        })
    );
    assert!(matches!(
        net.server.take_notice(),
        Some(Notice::Forged { count: 2, .. })
    ));
    assert_eq!(net.server.take_notice(), None, "few lines about many");
}

#[test]
fn nobody_hears_what_is_for_nobody() {
    let mut net = Net::new(&[&[1], &[2]]);
    assert!(net.send(0, 0, mac(1, 0), mac(0, 0), 60, PLAIN));
    assert!(net.send(0, 0, mac(0, 0), mac(0, 0), 60, PLAIN));
    net.settle();
    assert!(net.receive(1, 0).is_none() && net.receive(0, 0).is_none());
    assert_eq!(net.dropped(0, Dropped::Unknown), 2);
}

#[test]
fn an_interface_that_is_not_used_gets_nothing() {
    let mut net = Net::new(&[&[1], &[1]]);
    net.vmms[1].set_open(0, false);
    assert!(net.send(0, 0, mac(1, 0), mac(0, 0), 60, PLAIN));
    assert_eq!(net.settle(), 0);
    assert!(net.receive(1, 0).is_none());
    assert_eq!(net.dropped(1, Dropped::Closed), 1);
}

#[test]
fn groups_are_bounded_for_each_port() {
    let mut net = Net::new(&[&[1], &[1], &[1]]);
    let mut heard = 0;
    for _ in 0..2 * GROUP_BURST {
        assert!(net.send(0, 0, Mac::BROADCAST, mac(0, 0), 60, PLAIN));
        net.settle();
        heard += u64::from(net.receive(1, 0).is_some());
        net.receive(2, 0);
    }
    assert_eq!(heard, GROUP_BURST);
    assert_eq!(net.dropped(0, Dropped::Group), GROUP_BURST);
    assert!(matches!(
        net.server.take_notice(),
        Some(Notice::Groups { count: 1, .. })
    ));
    // Another one still may, and so may this one to a station.
    assert!(net.send(1, 0, Mac::BROADCAST, mac(1, 0), 60, PLAIN));
    assert!(net.send(0, 0, mac(2, 0), mac(0, 0), 60, PLAIN));
    net.settle();
    assert!(net.receive(2, 0).is_some() && net.receive(2, 0).is_some());
    net.now += FREQUENCY;
    assert!(net.send(0, 0, Mac::BROADCAST, mac(0, 0), 60, PLAIN));
    net.settle();
    assert!(net.receive(1, 0).is_some());
}

/// One floods a receiver that fetches nothing; the others go on.
#[test]
fn a_flood_fills_nobody_elses_queue() {
    let mut net = Net::new(&[&[1], &[1], &[1], &[1]]);
    for round in 0..50 {
        while net.send(0, 0, mac(1, 0), mac(0, 0), MAX_FRAME, PLAIN) {}
        assert!(net.send(2, 0, mac(3, 0), mac(2, 0), 1500, PLAIN));
        net.settle();
        assert!(net.receive(3, 0).is_some(), "round {round}");
    }
    assert!(net.dropped(1, Dropped::Full) > 50);
    assert_eq!(net.dropped(3, Dropped::Full), 0);
}

/// In one bounded turn a port with little gets through beside ports that always have much.
#[test]
fn turns_are_fair_by_bytes() {
    let mut net = Net::new(&[&[1], &[1], &[1], &[1]]);
    let mut bytes = [0u64; 2];
    for _ in 0..500 {
        while net.send(0, 0, mac(3, 0), mac(0, 0), MAX_FRAME, PLAIN) {}
        while net.send(1, 0, mac(3, 0), mac(1, 0), 1514, PLAIN) {}
        net.server.turn(net.now);
        while let Some((frame, _)) = net.receive(3, 0) {
            bytes[usize::from(frame[20])] += frame.len() as u64;
        }
    }
    let (large, small) = (bytes[0] as f64, bytes[1] as f64);
    assert!(small / large > 0.5 && small / large < 1.5, "{bytes:?}");
}

#[test]
fn a_turn_is_bounded() {
    let mut net = Net::new(&[&[1], &[1]]);
    let mut sent = 0;
    while net.send(0, 0, mac(1, 0), mac(0, 0), 60, PLAIN) {
        sent += 1;
    }
    while net.send(1, 0, mac(0, 0), mac(1, 0), MAX_FRAME, PLAIN) {}
    assert_eq!(sent, QUEUE_LEN);
    assert!(net.server.turn(net.now).more);
    net.settle();
    let got = std::iter::from_fn(|| net.receive(1, 0)).count();
    assert_eq!(got, QUEUE_LEN);
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        guest: usize,
        nic: u8,
        to: u8,
        from: u8,
        len: u32,
    },
    Receive {
        guest: usize,
        nic: u8,
    },
    Turn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3usize, 0..2u8, 0..8u8, 0..4u8, MIN_FRAME..3000).prop_map(|(guest, nic, to, from, len)| {
            Step::Send { guest, nic, to, from, len }
        }),
        2 => (0..3usize, 0..2u8).prop_map(|(guest, nic)| Step::Receive { guest, nic }),
        1 => Just(Step::Turn),
    ]
}

proptest! {
    /// Whatever is sent: what arrives at an interface was sent to it or to a group, by another
    /// interface of its network from its own address, in order, and unchanged.
    #[test]
    fn against_a_model(steps in proptest::collection::vec(step(), 1..150)) {
        // Interfaces of three guests in networks 1 and 2.
        const NETWORKS: [[u8; 2]; 3] = [[1, 2], [1, 1], [2, 1]];
        let mut net = Net::new(&[&NETWORKS[0], &NETWORKS[1], &NETWORKS[2]]);
        let mut sent: [[VecDeque<(Mac, Mac, u32)>; 2]; 3] = Default::default();
        let mut expected: [[VecDeque<(Mac, Mac, u32)>; 2]; 3] = Default::default();
        for step in steps.into_iter().chain([Step::Turn]) {
            match step {
                Step::Send { guest, nic, to, from, len } => {
                    let to = match to {
                        0..6 => mac(to / 2, to % 2),
                        6 => Mac::BROADCAST,
                        _ => mac(9, 9),
                    };
                    let own = mac(guest as u8, nic);
                    let from = if from == 0 { mac(9, from) } else { own };
                    if net.send(guest, nic, to, from, len, PLAIN) {
                        sent[guest][usize::from(nic)].push_back((to, from, len));
                    }
                }
                Step::Turn => {
                    net.settle();
                    for (guest, nics) in sent.iter_mut().enumerate() {
                        for (nic, frames) in nics.iter_mut().enumerate() {
                            for (to, from, len) in frames.drain(..) {
                                if from != mac(guest as u8, nic as u8) {
                                    continue;
                                }
                                for (other, nics) in expected.iter_mut().enumerate() {
                                    for (its, queue) in nics.iter_mut().enumerate() {
                                        let same = (other, its) == (guest, nic);
                                        let hears = to.is_group() || to == mac(other as u8, its as u8);
                                        let network = NETWORKS[other][its] == NETWORKS[guest][nic];
                                        if !same && hears && network {
                                            queue.push_back((to, from, len));
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                Step::Receive { guest, nic } => {
                    let Some((bytes, _)) = net.receive(guest, nic) else { continue };
                    let got: [u8; 12] = bytes[..12].try_into().unwrap();
                    let queue = &mut expected[guest][usize::from(nic)];
                    let found = queue.iter().position(|(to, from, len)| {
                        to.0 == got[..6] && from.0 == got[6..] && *len as usize == bytes.len()
                    });
                    prop_assert!(found.is_some(), "nobody sent that: {got:?}");
                    queue.remove(found.unwrap());
                    let sender = bytes[10];
                    prop_assert!(bytes[12..].iter().all(|byte| *byte == sender));
                }
            }
        }
    }
}
