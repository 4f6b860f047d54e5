//! The driver, between the net server and a device.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;

use guest_mem::{VecWindow, Window as _};
use hv_types::WindowAddr;
use net_driver::{Device, Driver};
use net_server_api::{
    Checksum, Client, Frame, Gso, GsoKind, MIN_FRAME, NIC_DATA, Offload, QUEUE_LEN, Region,
    ServerEnd, UPLINK_FRAME, UPLINK_HEADER_SIZE,
};
use proptest::prelude::*;

/// A device with room for a few frames.
#[derive(Default)]
struct Card {
    come: VecDeque<(Vec<u8>, Checksum)>,
    gone: Vec<Vec<u8>>,
    room: usize,
    begun: usize,
    acknowledged: usize,
}

impl Device for &mut Card {
    fn receive(&mut self, take: impl FnOnce(&[u8], Checksum) -> bool) -> bool {
        let Some((frame, checksum)) = self.come.front() else {
            return false;
        };
        let taken = take(frame, *checksum);
        if taken {
            self.come.pop_front();
        }
        taken
    }
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.gone.len() == self.room {
            return false;
        }
        let mut frame = vec![0; len];
        fill(&mut frame);
        self.gone.push(frame);
        true
    }
    fn kick(&mut self) {
        self.begun = self.gone.len();
    }
    fn acknowledge(&mut self) {
        self.acknowledged += 1;
    }
}

type Window = &'static VecWindow;
type Port = Client<'static, Window, fn()>;

struct Setup {
    server: ServerEnd<'static, Window>,
    data: Window,
}

fn setup() -> (Setup, Port) {
    let words = (0..UPLINK_HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
    let header: &'static [AtomicU32] = Vec::leak(words.collect());
    let window = VecWindow::new().with(WindowAddr::new(0), NIC_DATA.into());
    let data: Window = Box::leak(Box::new(window));
    let region = Region::uplink(header).unwrap();
    let server = region.server(data).unwrap();
    let port = region.client(data, (|| ()) as fn()).unwrap();
    (Setup { server, data }, port)
}

impl Setup {
    /// The net server sends a frame; whether there was room.
    fn send(&mut self, frame: &[u8], offload: Offload) -> bool {
        let len = u32::try_from(frame.len()).unwrap();
        let (sender, data) = self.server.to(0).unwrap();
        let Some(at) = sender.reserve(len) else {
            return false;
        };
        data.write(WindowAddr::new(at.into()), frame);
        sender.send(len, offload)
    }

    fn take(&mut self) -> Option<(Vec<u8>, Offload)> {
        let receiver = self.server.sent(0).unwrap();
        let Frame {
            offset,
            len,
            offload,
        } = receiver.peek()?.unwrap();
        receiver.advance();
        let mut bytes = vec![0; len as usize];
        self.data.read(WindowAddr::new(offset.into()), &mut bytes);
        Some((bytes, offload))
    }
}

fn known(checksum: Checksum) -> Offload {
    Offload {
        checksum,
        gso: None,
    }
}

#[test]
fn frames_go_both_ways_in_order() {
    let (mut setup, port) = setup();
    let mut card = Card {
        room: 100,
        ..Card::default()
    };
    let frame = |at: usize| vec![u8::try_from(at).unwrap(); MIN_FRAME as usize + 10 * at];
    for at in 0..50 {
        let checksum = [Checksum::Unknown, Checksum::Valid, Checksum::Blank][at % 3];
        card.come.push_back((frame(at), checksum));
        assert!(setup.send(&frame(100 + at)[..200], known(Checksum::Valid)));
    }
    let mut driver = Driver::new(port, &mut card);
    assert!(setup.server.is_open(0));
    driver.on_interrupt();
    assert!(!driver.turn().more);
    assert_eq!(
        (driver.counters().received, driver.counters().sent),
        (50, 50)
    );
    for at in 0..50 {
        let checksum = [Checksum::Unknown, Checksum::Valid, Checksum::Blank][at % 3];
        assert_eq!(setup.take(), Some((frame(at), known(checksum))));
    }
    assert_eq!(setup.take(), None);
    assert_eq!(card.acknowledged, 1);
    assert_eq!(card.begun, 50);
    for at in 0..50 {
        assert_eq!(card.gone[at], frame(100 + at)[..200]);
    }
}

#[test]
fn a_device_without_room_is_waited_for_and_nothing_is_lost() {
    let (mut setup, port) = setup();
    for _ in 0..10 {
        assert!(setup.send(&[1; 60], known(Checksum::Unknown)));
    }
    let mut card = Card {
        room: 4,
        ..Card::default()
    };
    let mut driver = Driver::new(port, &mut card);
    assert!(!driver.turn().more);
    assert_eq!(driver.counters().sent, 4);
    drop(driver);
    assert_eq!(card.gone.len(), 4);
}

#[test]
fn a_server_that_takes_nothing_stops_what_comes_and_no_more() {
    let (mut setup, port) = setup();
    let mut card = Card {
        room: 1,
        ..Card::default()
    };
    let most = 2 * QUEUE_LEN;
    card.come = (0..most)
        .map(|_| (vec![9; 60], Checksum::Unknown))
        .collect();
    assert!(setup.send(&[1; 60], known(Checksum::Unknown)));
    let mut driver = Driver::new(port, &mut card);
    for _ in 0..10 {
        driver.turn();
    }
    let counters = driver.counters();
    assert_eq!((counters.received, counters.sent), (QUEUE_LEN as u64, 1));
    // Taken, they make room for those that stayed with the device.
    (0..QUEUE_LEN).for_each(|_| assert!(setup.take().is_some()));
    assert!(setup.server.take_notify());
    driver.turn();
    assert_eq!(driver.counters().received, most as u64);
}

#[test]
fn what_the_device_cannot_carry_never_reaches_it() {
    let (mut setup, port) = setup();
    let gso = Gso {
        kind: GsoKind::Tcp4,
        size: 1000,
    };
    let long = vec![0; UPLINK_FRAME as usize + 1];
    assert!(setup.send(&long, known(Checksum::Unknown)));
    assert!(setup.send(&[0; 60], known(Checksum::Blank)));
    let cut = Offload {
        checksum: Checksum::Valid,
        gso: Some(gso),
    };
    assert!(setup.send(&[0; 60], cut));
    assert!(setup.send(&[7; 60], known(Checksum::Valid)));
    let mut card = Card {
        room: 100,
        ..Card::default()
    };
    for len in [
        0,
        1,
        MIN_FRAME as usize - 1,
        UPLINK_FRAME as usize + 1,
        9000,
    ] {
        card.come.push_back((vec![0; len], Checksum::Unknown));
    }
    let mut driver = Driver::new(port, &mut card);
    driver.turn();
    let counters = driver.counters();
    assert_eq!((counters.malformed, counters.sent), (3, 1));
    assert_eq!((counters.refused, counters.received), (5, 0));
    assert_eq!(card.gone, [[7; 60]]);
    assert_eq!(setup.take(), None);
}

proptest! {
    /// Whatever words the net server writes into its queue, the device gets nothing but frames.
    #[test]
    fn words_of_the_server_that_make_no_sense(
        words in proptest::collection::vec(any::<[u32; 4]>(), 1..40),
    ) {
        let memory = (0..UPLINK_HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
        let header: &'static [AtomicU32] = Vec::leak(memory.collect());
        let window = VecWindow::new().with(WindowAddr::new(0), NIC_DATA.into());
        let data: Window = Box::leak(Box::new(window));
        let region = Region::uplink(header).unwrap();
        let port = region.client(data, (|| ()) as fn()).unwrap();
        // The queue to the driver: indices at word 64 of the first page, words on the third.
        let at = |word: usize| &header[2 * 1024 + word];
        for (index, word) in words.as_flattened().iter().enumerate() {
            at(index).store(*word, std::sync::atomic::Ordering::Relaxed);
        }
        let written = u32::try_from(4 * words.len()).unwrap();
        header[64].store(written, std::sync::atomic::Ordering::Relaxed);
        let mut card = Card { room: 100, ..Card::default() };
        let mut driver = Driver::new(port, &mut card);
        driver.turn();
        let counters = driver.counters();
        prop_assert_eq!(counters.malformed + counters.sent, words.len() as u64);
        prop_assert!(card.gone.iter().all(|frame| frame.len() <= UPLINK_FRAME as usize));
    }
}
