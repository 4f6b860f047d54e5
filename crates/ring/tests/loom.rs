//! Every interleaving of a producer and a consumer that sleep unless told, under the C11 memory
//! model: `RUSTFLAGS="--cfg loom" cargo test -p ring --test loom`.
#![allow(
    unexpected_cfgs,
    reason = "`loom` is set by hand for the model-checking test alone"
)]
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU8, AtomicU32};
use ring::{Consumer, HEADER_WORDS, Header, Producer};

struct Shared {
    words: Vec<AtomicU32>,
    data: Vec<AtomicU8>,
}

fn shared(size: usize) -> Arc<Shared> {
    Arc::new(Shared {
        words: (0..HEADER_WORDS).map(|_| AtomicU32::new(0)).collect(),
        data: (0..size).map(|_| AtomicU8::new(0)).collect(),
    })
}

/// A sticky notification, as seL4's.
#[derive(Default)]
struct Signal {
    set: loom::sync::Mutex<bool>,
    wake: loom::sync::Condvar,
}

impl Signal {
    fn notify(&self) {
        *self.set.lock().unwrap() = true;
        self.wake.notify_one();
    }
    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.wake.wait(set).unwrap();
        }
        *set = false;
    }
}

fn run(size: usize, text: &'static [u8], chunk: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let (ring, data, room) = (
            shared(size),
            Arc::new(Signal::default()),
            Arc::new(Signal::default()),
        );
        let writer = {
            let (ring, data, room) = (ring.clone(), data.clone(), room.clone());
            loom::thread::spawn(move || {
                let mut p = Producer::new(Header::new(&ring.words).unwrap(), &ring.data).unwrap();
                let mut rest = text;
                while !rest.is_empty() {
                    let want = rest.len().min(chunk);
                    let n = p.write(&rest[..want]);
                    rest = &rest[n..];
                    if p.take_notify() {
                        data.notify();
                    }
                    if n < want {
                        room.wait();
                    }
                }
            })
        };
        let mut c = Consumer::new(Header::new(&ring.words).unwrap(), &ring.data).unwrap();
        let mut seen = Vec::new();
        let mut buf = [0; 1];
        while seen.len() < text.len() {
            let n = c.read(&mut buf);
            seen.extend_from_slice(&buf[..n]);
            if c.take_starved() {
                room.notify();
            }
            if n == 0 {
                data.wait();
            }
        }
        writer.join().unwrap();
        assert_eq!(seen, text);
    });
}

/// loom reports a deadlock if either side sleeps for ever.
#[test]
fn no_wake_up_is_lost_when_the_ring_is_full() {
    run(1, b"abc", 2);
}

#[test]
fn no_wake_up_is_lost_when_the_ring_is_empty() {
    run(4, b"abc", 1);
}
