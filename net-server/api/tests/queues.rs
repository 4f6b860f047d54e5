//! Both ends over one region.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};

use guest_mem::{VecWindow, Window};
use hv_types::WindowAddr;
use net_server_api::{
    Checksum, Client, DATA_SIZE, Frame, Gso, GsoKind, HEADER_SIZE, MAX_FRAME, MAX_NICS, MIN_FRAME,
    NIC_DATA, NetPort, Offload, QUEUE_LEN, Region, ServerEnd, TO_SERVER, TO_VMM,
};
use proptest::prelude::*;

fn header() -> Vec<AtomicU32> {
    (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect()
}

fn area() -> VecWindow {
    VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into())
}

type End<'a> = ServerEnd<'a, &'a VecWindow>;

fn ends<'a>(
    header: &'a [AtomicU32],
    data: &'a VecWindow,
    kicks: &'a Cell<u32>,
) -> (Client<'a, &'a VecWindow, impl FnMut() + 'a>, End<'a>) {
    let region = Region::new(header).unwrap();
    let client = region.client(data, || kicks.set(kicks.get() + 1));
    (client.unwrap(), region.server(data).unwrap())
}

#[test]
fn a_frame_arrives_with_what_is_left_to_do() {
    let (header, data, kicks) = (header(), area(), Cell::new(0));
    let (mut vmm, mut server) = ends(&header, &data, &kicks);
    let gso = Some(Gso {
        kind: GsoKind::Tcp6,
        size: 1428,
    });
    let checksum = Checksum::Blank;
    let offload = Offload { checksum, gso };
    for nic in 0..4 {
        let at = vmm.reserve(nic, 1000).unwrap();
        data.write(WindowAddr::new(at.into()), &[nic; 1000]);
        assert!(vmm.send(nic, 1000, offload));
        let frame = server.sent(nic.into()).unwrap().peek().unwrap().unwrap();
        let (len, offset) = (1000, at);
        assert_eq!(
            frame,
            Frame {
                offset,
                len,
                offload
            }
        );
        assert!((u32::from(nic) * NIC_DATA..u32::from(nic + 1) * NIC_DATA).contains(&at));
    }
    vmm.kick();
    assert_eq!(kicks.get(), 1, "one for all of them");
    vmm.kick();
    assert_eq!(kicks.get(), 1);
}

#[test]
fn presence_opening_and_the_end_are_seen() {
    let (header, data, kicks) = (header(), area(), Cell::new(0));
    let (mut vmm, mut server) = ends(&header, &data, &kicks);
    assert!(!vmm.is_present(1) && !server.is_open(1));
    server.set_present(1);
    vmm.set_open(1, true);
    assert!(vmm.is_present(1) && !vmm.is_present(0) && server.is_open(1) && !server.is_open(0));
    let (sender, _) = server.to(1).unwrap();
    assert!(sender.reserve(60).is_some() && sender.send(60, Offload::default()));
    assert!(vmm.peek(1).is_some());
    server.leave();
    assert!(vmm.is_lost() && vmm.is_present(1) && vmm.peek(1).is_none());
    assert!(!vmm.is_present(200) && vmm.reserve(200, 60).is_none() && vmm.peek(200).is_none());
}

#[test]
fn what_one_interface_does_not_fetch_takes_no_room_from_another() {
    let (header, data, kicks) = (header(), area(), Cell::new(0));
    let (vmm, mut server) = ends(&header, &data, &kicks);
    let fill = |server: &mut End<'_>, nic, len| {
        let (sender, _) = server.to(nic).unwrap();
        (0..)
            .take_while(|_| sender.reserve(len).is_some() && sender.send(len, Offload::default()))
            .count()
    };
    assert_eq!(
        fill(&mut server, 0, MAX_FRAME),
        (TO_VMM / MAX_FRAME.next_multiple_of(64)) as usize
    );
    assert_eq!(fill(&mut server, 0, 60), 0);
    assert_eq!(fill(&mut server, 1, 60), QUEUE_LEN);
    assert!(vmm.peek(2).is_none());
    assert_eq!(fill(&mut server, 2, 60), QUEUE_LEN);
}

#[test]
fn who_waits_for_room_is_told() {
    let (header, data, kicks) = (header(), area(), Cell::new(0));
    let (mut vmm, mut server) = ends(&header, &data, &kicks);
    while vmm.reserve(0, MAX_FRAME).is_some() {
        assert!(vmm.send(0, MAX_FRAME, Offload::default()));
    }
    assert!(!server.take_notify(), "nothing was taken");
    server.sent(0).unwrap().advance();
    assert!(server.take_notify());
    assert!(vmm.reserve(0, MAX_FRAME).is_some());
}

#[test]
fn a_reservation_holds_though_all_is_taken_meanwhile() {
    let (header, data, kicks) = (header(), area(), Cell::new(0));
    let (mut vmm, mut server) = ends(&header, &data, &kicks);
    vmm.reserve(0, 5000).unwrap();
    assert!(vmm.send(0, 5000, Offload::default()));
    let at = vmm.reserve(0, 100).unwrap();
    server.sent(0).unwrap().advance();
    assert!(vmm.send(0, 60, Offload::default()));
    let frame = server.sent(0).unwrap().peek().unwrap().unwrap();
    assert_eq!((frame.offset, frame.len), (at, 60));
    assert!(!vmm.send(0, 60, Offload::default()), "it was not reserved");
}

proptest! {
    /// Whatever words a sender writes, a receiver gets frames within the part.
    #[test]
    fn frames_lie_in_their_part(words in any::<[u32; 4]>(), near in any::<bool>()) {
        let (header, data, kicks) = (header(), area(), Cell::new(0));
        let (_, mut server) = ends(&header, &data, &kicks);
        let mut words = words;
        if near {
            words = [words[0] % TO_SERVER, words[1] % 0x1_2000, words[2] & 0x303, words[3] & 0xffff];
        }
        for (at, word) in words.iter().enumerate() {
            header[1024 + at].store(*word, Ordering::Relaxed);
        }
        header[0].store(4, Ordering::Relaxed);
        match server.sent(0).unwrap().peek() {
            Some(Ok(frame)) => {
                prop_assert!((MIN_FRAME..=MAX_FRAME).contains(&frame.len));
                prop_assert!(frame.offset + frame.len <= TO_SERVER);
                prop_assert!(frame.offload.gso.is_none_or(|gso| gso.size != 0));
            }
            Some(Err(_)) => {}
            None => prop_assert!(false),
        }
    }

    /// A queue is a queue: what is sent is received, in order, with its bytes, whatever the index
    /// of the other side says meanwhile and then takes back.
    #[test]
    fn frames_come_in_order_and_whole(
        steps in proptest::collection::vec((0..4u8, MIN_FRAME..=MAX_FRAME, any::<u32>()), 1..200),
    ) {
        let (header, data, kicks) = (header(), area(), Cell::new(0));
        let (mut vmm, mut server) = ends(&header, &data, &kicks);
        let mut waiting = VecDeque::new();
        let mut count = 0u8;
        for (step, len, noise) in steps {
            match step {
                0 | 1 => {
                    let len = if step == 0 { len } else { MIN_FRAME + len % 1500 };
                    if let Some(at) = vmm.reserve(3, len) {
                        count = count.wrapping_add(1);
                        data.write(WindowAddr::new(at.into()), &vec![count; len as usize]);
                        prop_assert!(vmm.send(3, len, Offload::default()));
                        waiting.push_back((len, count));
                    } else {
                        prop_assert!(!waiting.is_empty());
                    }
                }
                2 => {
                    let received = server.sent(3).unwrap();
                    match (received.peek(), waiting.pop_front()) {
                        (Some(Ok(frame)), Some((len, count))) => {
                            prop_assert_eq!(frame.len, len);
                            let mut bytes = vec![0; len as usize];
                            data.read(WindowAddr::new(frame.offset.into()), &mut bytes);
                            prop_assert!(bytes.iter().all(|byte| *byte == count));
                            received.advance();
                        }
                        (got, expected) => prop_assert!(got.is_none() && expected.is_none()),
                    }
                }
                _ => {
                    // The consumer's index of interface 3's queue to the server.
                    let word = &header[3 * 3 * 1024 + 16];
                    let true_one = word.swap(noise | 0x8000_0000, Ordering::Relaxed);
                    prop_assert!(vmm.reserve(3, len).is_none());
                    word.store(true_one, Ordering::Relaxed);
                }
            }
        }
    }
}

#[test]
fn interfaces_are_four() {
    let header = header();
    assert!(Region::new(&header[1..]).is_none());
    assert_eq!(MAX_NICS, 4);
}
