//! Rings as their two users see them.
#![allow(clippy::cast_possible_truncation, reason = "test data")]
#![allow(
    unexpected_cfgs,
    reason = "`loom` is set by hand for the model-checking test alone"
)]
#![cfg(not(loom))]

use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use proptest::prelude::*;
use ring::{Consumer, Corrupt, HEADER_WORDS, Header, Producer};

struct Shared {
    words: Vec<AtomicU32>,
    data: Vec<AtomicU8>,
}

impl Shared {
    fn new(size: usize) -> Self {
        Self {
            words: (0..HEADER_WORDS).map(|_| AtomicU32::new(0)).collect(),
            data: (0..size).map(|_| AtomicU8::new(0)).collect(),
        }
    }
    fn producer(&self) -> Producer<'_> {
        Producer::new(Header::new(&self.words).unwrap(), &self.data).unwrap()
    }
    fn consumer(&self) -> Consumer<'_> {
        Consumer::new(Header::new(&self.words).unwrap(), &self.data).unwrap()
    }
    fn prod(&self) -> &AtomicU32 {
        &self.words[0]
    }
    fn cons(&self) -> &AtomicU32 {
        &self.words[16]
    }
}

#[test]
fn bytes_come_out_in_order_across_the_end() {
    let shared = Shared::new(8);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    let mut got = [0; 8];
    assert_eq!(p.write(b"abcdef"), 6);
    assert_eq!(c.read(&mut got[..5]), 5);
    assert_eq!(&got[..5], b"abcde");
    assert_eq!(p.write(b"ghijklmnop"), 7);
    assert_eq!(p.room(), 0);
    assert_eq!(c.peek(&mut got), 8);
    assert_eq!(c.read(&mut got), 8);
    assert_eq!(&got, b"fghijklm");
    assert!(c.is_empty());
}

#[test]
fn indices_wrap_at_32_bits() {
    let shared = Shared::new(16);
    shared.prod().store(u32::MAX - 3, Ordering::Relaxed);
    shared.cons().store(u32::MAX - 3, Ordering::Relaxed);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    let mut got = [0; 16];
    assert_eq!(p.write(b"0123456789"), 10);
    assert_eq!(c.check(), Ok(10));
    assert_eq!(c.read(&mut got), 10);
    assert_eq!(&got[..10], b"0123456789");
    assert_eq!(shared.cons().load(Ordering::Relaxed), 6);
}

#[test]
fn a_size_that_is_no_power_of_two_is_refused() {
    let shared = Shared::new(12);
    assert!(Producer::new(Header::new(&shared.words).unwrap(), &shared.data).is_none());
    assert!(Header::new(&shared.words[1..]).is_none());
    assert!(Consumer::<AtomicU8>::new(Header::new(&shared.words).unwrap(), &[]).is_none());
}

#[test]
fn a_producer_that_lies_is_empty_until_it_mends() {
    let shared = Shared::new(8);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    p.write(b"abc");
    let mut got = [0; 8];
    shared.prod().store(9, Ordering::Relaxed);
    assert_eq!(
        c.check(),
        Err(Corrupt {
            distance: 9,
            size: 8
        })
    );
    assert_eq!((c.read(&mut got), c.peek(&mut got), c.len()), (0, 0, 0));
    shared.prod().store(u32::MAX, Ordering::Relaxed);
    assert_eq!(c.read(&mut got), 0);
    shared.prod().store(3, Ordering::Relaxed);
    assert_eq!(c.read(&mut got), 3);
    assert_eq!(&got[..3], b"abc");
}

#[test]
fn a_consumer_that_lies_makes_the_ring_full() {
    let shared = Shared::new(8);
    let mut p = shared.producer();
    shared.cons().store(1, Ordering::Relaxed);
    assert_eq!(p.check().unwrap_err().distance, u32::MAX);
    assert_eq!((p.write(b"x"), p.room()), (0, 0));
    assert_eq!(shared.prod().load(Ordering::Relaxed), 0);
    shared.cons().store(0, Ordering::Relaxed);
    assert_eq!(p.write(b"x"), 1);
}

#[test]
fn the_peer_cannot_move_our_index() {
    let shared = Shared::new(8);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    p.write(b"abcd");
    let mut got = [0; 8];
    assert_eq!(c.read(&mut got[..2]), 2);
    shared.cons().store(77, Ordering::Relaxed);
    assert_eq!(c.read(&mut got), 2);
    assert_eq!(&got[..2], b"cd");
}

#[test]
fn only_a_consumer_that_caught_up_needs_a_notification() {
    let shared = Shared::new(8);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    p.write(b"a");
    assert!(p.take_notify());
    p.write(b"b");
    assert!(!p.take_notify(), "the first notification still stands");
    c.read(&mut [0; 8]);
    p.write(b"c");
    assert!(p.take_notify());
    assert!(!p.take_notify());
}

#[test]
fn a_full_ring_is_reported_once() {
    let shared = Shared::new(4);
    let (mut p, mut c) = (shared.producer(), shared.consumer());
    p.write(b"abcd");
    assert!(!c.take_starved());
    assert_eq!(p.write(b"e"), 0);
    c.read(&mut [0; 1]);
    assert!(c.take_starved());
    assert!(!c.take_starved());
}

/// Both sides sleep unless told; a lost wake-up would hang the test.
#[test]
fn two_threads_move_everything_without_a_lost_wake_up() {
    use std::sync::mpsc::sync_channel;
    const TOTAL: usize = 200_000;
    let shared = Shared::new(64);
    // A channel of one place is a notification: sticky, and it merges.
    let (to_consumer, consumer_wakes) = sync_channel::<()>(1);
    let (to_producer, producer_wakes) = sync_channel::<()>(1);
    let patience = std::time::Duration::from_secs(20);
    let byte_at = |n: usize| (n % 251) as u8;
    std::thread::scope(|scope| {
        let shared = &shared;
        scope.spawn(move || {
            let mut p = shared.producer();
            let mut sent = 0;
            while sent < TOTAL {
                let chunk: Vec<u8> = (sent..TOTAL.min(sent + 23)).map(byte_at).collect();
                let n = p.write(&chunk);
                sent += n;
                if p.take_notify() {
                    let _ = to_consumer.try_send(());
                }
                if n < chunk.len() {
                    producer_wakes
                        .recv_timeout(patience)
                        .expect("a lost wake-up of the producer");
                }
            }
        });
        let mut c = shared.consumer();
        let mut seen = 0;
        let mut buf = [0; 17];
        while seen < TOTAL {
            let n = c.read(&mut buf);
            for &b in &buf[..n] {
                assert_eq!(b, byte_at(seen));
                seen += 1;
            }
            if c.take_starved() {
                let _ = to_producer.try_send(());
            }
            if n == 0 {
                consumer_wakes
                    .recv_timeout(patience)
                    .expect("a lost wake-up of the consumer");
            }
        }
    });
}

#[derive(Clone, Debug)]
enum Op {
    Write(Vec<u8>),
    Read(usize),
    Spoil(bool, u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Op::Write),
        4 => (0usize..40).prop_map(Op::Read),
        1 => (any::<bool>(), any::<u32>()).prop_map(|(p, v)| Op::Spoil(p, v)),
    ]
}

proptest! {
    /// Whatever the peers write over the indices, nothing panics; and once each side has published
    /// again, the bytes are those of a queue.
    #[test]
    fn behaves_as_a_bounded_queue(start in any::<u32>(), ops in prop::collection::vec(op(), 0..200)) {
        let shared = Shared::new(32);
        shared.prod().store(start, Ordering::Relaxed);
        shared.cons().store(start, Ordering::Relaxed);
        let (mut p, mut c) = (shared.producer(), shared.consumer());
        let mut model = std::collections::VecDeque::new();
        let (mut prod, mut cons) = (start, start);
        for op in ops {
            match op {
                Op::Write(bytes) => {
                    let n = p.write(&bytes);
                    prop_assert_eq!(n, bytes.len().min(32 - model.len()));
                    model.extend(&bytes[..n]);
                    prod = prod.wrapping_add(n as u32);
                }
                Op::Read(n) => {
                    let mut buf = vec![0; n];
                    let got = c.read(&mut buf);
                    let want: Vec<u8> = (0..n).map_while(|_| model.pop_front()).collect();
                    prop_assert_eq!(&buf[..got], &want[..]);
                    cons = cons.wrapping_add(got as u32);
                }
                Op::Spoil(true, value) => {
                    shared.prod().store(value, Ordering::Relaxed);
                    let got = c.peek(&mut [0; 64]);
                    prop_assert!(got <= 32);
                    shared.prod().store(prod, Ordering::Relaxed);
                }
                Op::Spoil(false, value) => {
                    shared.cons().store(value, Ordering::Relaxed);
                    prop_assert!(p.room() <= 32);
                    shared.cons().store(cons, Ordering::Relaxed);
                }
            }
        }
    }
}
