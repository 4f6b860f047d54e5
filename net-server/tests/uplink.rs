//! A network that leads outside, as its guests and the uplink's driver see it.

use std::sync::atomic::AtomicU32;

use guest_mem::{VecWindow, Window as _};
use hv_types::{Mac, WindowAddr};
use net_server::{Dropped, Notice, PortSpec, Server, UPLINK};
use net_server_api::{
    Checksum, Client, DATA_SIZE, Gso, GsoKind, HEADER_SIZE, NIC_DATA, NetPort as _, Offload,
    QUEUE_LEN, Region, UPLINK_FRAME, UPLINK_HEADER_SIZE,
};

type End = Client<'static, &'static VecWindow, fn()>;

/// Where guests are, and the driver behind them.
const DRIVER: usize = 3;
const OUTSIDE: Mac = Mac([0x52, 0x55, 10, 0, 2, 2]);
const PLAIN: Offload = Offload {
    checksum: Checksum::Unknown,
    gso: None,
};

struct Net {
    server: Server<'static, &'static VecWindow>,
    ends: Vec<End>,
    windows: Vec<&'static VecWindow>,
}

fn mac(guest: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, u8::try_from(guest).unwrap()])
}

fn memory(header: usize, data: u32) -> (&'static [AtomicU32], &'static VecWindow) {
    let words = (0..header / 4).map(|_| AtomicU32::new(0));
    let window = VecWindow::new().with(WindowAddr::new(0), data.into());
    (Vec::leak(words.collect()), Box::leak(Box::new(window)))
}

impl Net {
    /// Guests 0 and 1 in the network with the uplink, guest 2 in another one.
    fn new() -> Self {
        let mut server = Server::new();
        server.set_frequency(62_500_000);
        let (mut ends, mut windows) = (Vec::new(), Vec::new());
        for (guest, network) in [4, 4, 5].into_iter().enumerate() {
            let (header, data) = memory(HEADER_SIZE, DATA_SIZE);
            let region = Region::new(header).unwrap();
            let mac = mac(guest);
            server.add(
                guest,
                region.server(data).unwrap(),
                [PortSpec { network, mac }],
            );
            ends.push(region.client(data, (|| ()) as fn()).unwrap());
            windows.push(data);
        }
        let (header, data) = memory(UPLINK_HEADER_SIZE, NIC_DATA);
        let region = Region::uplink(header).unwrap();
        server.set_uplink(region.server(data).unwrap(), 4);
        ends.push(region.client(data, (|| ()) as fn()).unwrap());
        windows.push(data);
        ends.iter_mut().for_each(|end| end.set_open(0, true));
        Self {
            server,
            ends,
            windows,
        }
    }

    fn send(&mut self, who: usize, frame: &[u8], offload: Offload) {
        let len = u32::try_from(frame.len()).unwrap();
        let at = self.ends[who].reserve(0, len).unwrap();
        self.windows[who].write(WindowAddr::new(at.into()), frame);
        assert!(self.ends[who].send(0, len, offload));
    }

    fn receive(&mut self, who: usize) -> Option<(Vec<u8>, Offload)> {
        let frame = self.ends[who].peek(0)?.unwrap();
        let mut bytes = vec![0; frame.len as usize];
        self.windows[who].read(WindowAddr::new(frame.offset.into()), &mut bytes);
        self.ends[who].advance(0);
        Some((bytes, frame.offload))
    }

    fn settle(&mut self) -> u32 {
        let mut notify = 0;
        for _ in 0..10_000 {
            let turn = self.server.turn(1 << 30);
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

    fn hears_nothing(&mut self, who: &[usize]) {
        for who in who {
            assert_eq!(self.receive(*who), None, "{who}");
        }
    }
}

fn frame(to: Mac, from: Mac, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x5a; len];
    bytes[..6].copy_from_slice(&to.0);
    bytes[6..12].copy_from_slice(&from.0);
    bytes
}

/// A piece of a TCP stream over IPv4 with `data` bytes.
fn piece(data: usize) -> Vec<u8> {
    let mut bytes = frame(OUTSIDE, mac(0), 14 + 20 + 20 + data);
    bytes[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
    let total = u16::try_from(40 + data).unwrap();
    bytes[16..18].copy_from_slice(&total.to_be_bytes());
    bytes[20..24].copy_from_slice(&[0x40, 0, 64, 6]);
    bytes[46] = 0x50;
    bytes
}

fn cut(size: u16) -> Offload {
    Offload {
        checksum: Checksum::Blank,
        gso: Some(Gso {
            kind: GsoKind::Tcp4,
            size,
        }),
    }
}

#[test]
fn what_is_for_nobody_here_leaves_and_the_answer_comes_back() {
    let mut net = Net::new();
    let out = frame(OUTSIDE, mac(0), 100);
    net.send(0, &out, PLAIN);
    assert_eq!(net.settle() & 1 << UPLINK, 1 << UPLINK);
    assert_eq!(net.receive(DRIVER), Some((out, PLAIN)));
    net.hears_nothing(&[0, 1, 2, DRIVER]);

    let back = frame(mac(0), OUTSIDE, 60);
    for checksum in [Checksum::Unknown, Checksum::Valid, Checksum::Blank] {
        let offload = Offload {
            checksum,
            gso: None,
        };
        net.send(DRIVER, &back, offload);
        net.settle();
        assert_eq!(net.receive(0), Some((back.clone(), offload)));
    }
    net.hears_nothing(&[0, 1, 2, DRIVER]);
}

#[test]
fn guests_of_one_network_talk_without_the_uplink() {
    let mut net = Net::new();
    net.send(0, &frame(mac(1), mac(0), 100), PLAIN);
    net.settle();
    assert!(net.receive(1).is_some());
    net.hears_nothing(&[DRIVER]);
    // To all: the others and outside.
    net.send(1, &frame(Mac::BROADCAST, mac(1), 60), PLAIN);
    net.settle();
    assert!(net.receive(0).is_some() && net.receive(DRIVER).is_some());
    net.hears_nothing(&[0, 1, 2, DRIVER]);
    // From outside to all.
    net.send(DRIVER, &frame(Mac::BROADCAST, OUTSIDE, 60), PLAIN);
    net.settle();
    assert!(net.receive(0).is_some() && net.receive(1).is_some());
    net.hears_nothing(&[2, DRIVER]);
}

#[test]
fn another_network_has_no_way_out_nor_in() {
    let mut net = Net::new();
    net.send(2, &frame(OUTSIDE, mac(2), 60), PLAIN);
    net.send(2, &frame(Mac::BROADCAST, mac(2), 60), PLAIN);
    net.send(DRIVER, &frame(mac(2), OUTSIDE, 60), PLAIN);
    net.settle();
    net.hears_nothing(&[0, 1, 2, DRIVER]);
    assert_eq!(net.dropped(2, Dropped::Unknown), 1);
    assert_eq!(net.dropped(UPLINK, Dropped::Unknown), 1);
}

#[test]
fn nobody_outside_is_a_guest() {
    let mut net = Net::new();
    for source in [mac(1), mac(0), Mac::BROADCAST, Mac::default()] {
        net.send(DRIVER, &frame(mac(0), source, 60), PLAIN);
    }
    // The address of a guest in another network is free here.
    net.send(DRIVER, &frame(mac(0), mac(2), 60), PLAIN);
    net.settle();
    assert!(net.receive(0).is_some());
    net.hears_nothing(&[0, 1, 2, DRIVER]);
    assert_eq!(net.dropped(UPLINK, Dropped::Forged), 4);
    let notice = net.server.take_notice().unwrap();
    assert!(matches!(
        notice,
        Notice::Forged {
            guest: UPLINK,
            count: 1,
            ..
        }
    ));
    let words = notice.with(&|_| "linux1").to_string();
    assert_eq!(
        words,
        "uplink: 1 frame with a source that is not its own dropped, the last from 02:00:00:00:00:01"
    );
    // Nor does a frame come back by the port that it came from, or go to nobody.
    for to in [OUTSIDE, Mac::default()] {
        net.send(DRIVER, &frame(to, OUTSIDE, 60), PLAIN);
        net.send(0, &frame(Mac::default(), mac(0), 60), PLAIN);
    }
    net.settle();
    net.hears_nothing(&[0, 1, 2, DRIVER]);
}

#[test]
fn a_piece_of_a_stream_leaves_in_segments() {
    let mut net = Net::new();
    net.send(0, &piece(10_000), cut(1460));
    net.settle();
    let mut data = 0;
    while let Some((segment, offload)) = net.receive(DRIVER) {
        assert!(segment.len() <= 1514);
        assert_eq!(offload.gso, None);
        assert_eq!(offload.checksum, Checksum::Valid);
        data += segment.len() - 54;
    }
    assert_eq!(data, 10_000);
    // A neighbour still gets it whole.
    let mut whole = piece(10_000);
    whole[..6].copy_from_slice(&mac(1).0);
    net.send(0, &whole, cut(1460));
    net.settle();
    assert_eq!(net.receive(1), Some((whole, cut(1460))));
}

#[test]
fn what_cannot_leave_is_counted_where_it_came_from() {
    let mut net = Net::new();
    net.send(0, &piece(10_000), cut(1480));
    net.send(0, &frame(OUTSIDE, mac(0), UPLINK_FRAME as usize + 1), PLAIN);
    net.send(0, &piece(1400), cut(1));
    net.send(0, &frame(OUTSIDE, mac(0), 200), cut(1000));
    net.settle();
    assert_eq!(net.dropped(0, Dropped::Long), 2);
    assert_eq!(net.dropped(0, Dropped::Headers), 1);
    // Segments of a byte each fill the queue, and no more is done.
    assert_eq!(net.dropped(UPLINK, Dropped::Full), 1);
    let mut segments = 0;
    while net.receive(DRIVER).is_some() {
        segments += 1;
    }
    assert_eq!(segments, QUEUE_LEN);
}

#[test]
fn segments_are_paid_for() {
    let mut net = Net::new();
    // Pieces that fill the driver's queue, which nobody empties, and a neighbour's small frames.
    for _ in 0..100 {
        net.send(0, &piece(1400), cut(1));
        net.send(1, &frame(mac(0), mac(1), 60), PLAIN);
    }
    let mut turns = 0;
    while net.server.counters(1, 0).unwrap().sent < 100 {
        net.server.turn(1 << 30);
        turns += 1;
    }
    // Full queues end each piece soon, so all is over in a few turns.
    assert!(turns <= 3, "{turns}");
}

#[test]
fn without_a_driver_the_network_goes_on() {
    let mut net = Net::new();
    assert!(net.server.has_uplink());
    net.ends[DRIVER].set_open(0, false);
    assert!(!net.server.has_uplink());
    net.send(0, &frame(OUTSIDE, mac(0), 60), PLAIN);
    net.settle();
    assert_eq!(net.dropped(UPLINK, Dropped::Closed), 1);

    net.ends[DRIVER].set_open(0, true);
    net.send(DRIVER, &frame(mac(0), OUTSIDE, 60), PLAIN);
    net.server.lose_uplink();
    net.send(0, &frame(OUTSIDE, mac(0), 60), PLAIN);
    net.send(0, &frame(mac(1), mac(0), 60), PLAIN);
    net.settle();
    assert_eq!(net.dropped(UPLINK, Dropped::Closed), 2);
    assert!(net.receive(1).is_some());
    // What it had sent before is gone with it.
    net.hears_nothing(&[0, 2]);
    assert!(!net.server.has_uplink());
}

#[test]
fn a_guest_that_is_the_uplink_is_none() {
    let mut net = Net::new();
    let (header, data) = memory(HEADER_SIZE, DATA_SIZE);
    let end = Region::new(header).unwrap().server(data).unwrap();
    let spec = PortSpec {
        network: 4,
        mac: mac(9),
    };
    net.server.add(UPLINK, end, [spec]);
    net.send(0, &frame(OUTSIDE, mac(0), 60), PLAIN);
    net.settle();
    assert!(net.receive(DRIVER).is_some());
}
