//! Byte rings whose peer writes any index.

use std::collections::VecDeque;

use ring::sync::{AtomicU8, AtomicU32, Ordering};
use ring::{Consumer, HEADER_WORDS, Header, Producer};

use crate::input::Input;

const SIZE: usize = 64;
/// Words of the header that mean something: `prod`, `cons`, `starved`.
const WORDS: [usize; 3] = [0, 16, 32];

/// Any operations of both ends of a ring, with words that change under them.
///
/// As long as nobody interferes the bytes come out as they went in; after that no call takes or
/// gives more than it may, and one end's own index is never what the other wrote.
pub fn byte_ring(data: &[u8]) {
    let mut input = Input::new(data);
    let words: Vec<AtomicU32> = (0..HEADER_WORDS).map(|_| AtomicU32::new(0)).collect();
    let bytes: Vec<AtomicU8> = (0..SIZE).map(|_| AtomicU8::new(0)).collect();
    // Both ends go on at the published indices, which need not be 0.
    let start = u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0);
    for index in &WORDS[..2] {
        words[*index].store(start, Ordering::Relaxed);
    }
    let header = Header::new(&words).expect("enough words");
    let mut producer = Producer::new(header, &bytes).expect("a power of two");
    let mut consumer = Consumer::new(header, &bytes).expect("a power of two");
    let mut honest = true;
    let mut model: VecDeque<u8> = VecDeque::new();
    let mut next = 0u8;
    while let Some(operation) = input.operation() {
        let count = usize::from(input.get::<u8>());
        match operation % 6 {
            0 => {
                let from: Vec<u8> = (0..count)
                    .map(|n| next.wrapping_add(n.to_le_bytes()[0]))
                    .collect();
                let room = producer.room();
                let taken = producer.write(&from);
                assert!(taken <= from.len() && taken <= SIZE);
                if honest {
                    assert_eq!(taken, room.min(count));
                    model.extend(&from[..taken]);
                }
                next = next.wrapping_add(taken.to_le_bytes()[0]);
            }
            1 => {
                let mut into = vec![0; count];
                let got = consumer.read(&mut into);
                assert!(got <= count && got <= SIZE);
                if honest {
                    assert!(into[..got].iter().copied().eq(model.drain(..got)));
                }
            }
            2 => {
                let mut into = vec![0; count];
                let seen = consumer.peek(&mut into);
                assert!(seen <= count);
                assert!(!honest || into[..seen].iter().eq(model.iter().take(seen)));
            }
            3 => {
                let before = consumer.len();
                consumer.advance(count);
                if honest {
                    model.drain(..count.min(before));
                }
            }
            4 => {
                producer.take_notify();
                consumer.take_starved();
            }
            _ => {
                honest = false;
                let value = u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0);
                words[WORDS[count % 3]].store(value, Ordering::Relaxed);
            }
        }
        assert!(producer.room() <= SIZE && consumer.len() <= SIZE);
        assert!(producer.check().is_ok_and(|used| used as usize <= SIZE) || producer.room() == 0);
        assert!(consumer.check().is_ok() || consumer.is_empty());
        if honest {
            assert_eq!(
                (consumer.len(), producer.room()),
                (model.len(), SIZE - model.len())
            );
        }
    }
}
