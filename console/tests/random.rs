//! Random interleavings of writers and a slow UART.

mod common;
use common::{MS, Rig};
use console::Role;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// A client writes the next bytes of its text.
    Write(usize, usize),
    /// The UART sends bytes and interrupts.
    Drain(usize),
    /// Time passes, in ms.
    Wait(u64),
    /// The user types.
    Type(u8),
    /// The user moves the focus.
    Switch,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0usize..3, 1usize..200).prop_map(|(i, n)| Op::Write(i, n)),
        6 => (1usize..100).prop_map(Op::Drain),
        3 => (0u64..50).prop_map(Op::Wait),
        1 => any::<u8>().prop_map(Op::Type),
        1 => Just(Op::Switch),
    ]
}

const NAMES: [(&str, Role); 3] = [
    ("g1", Role::Guest),
    ("g2", Role::Guest),
    ("srv", Role::Server),
];

/// A client's text: numbered lines that end in ';', as long as `lengths` say.
fn text(lengths: &[usize]) -> (Vec<String>, Vec<u8>) {
    let lines: Vec<String> = lengths
        .iter()
        .enumerate()
        .map(|(n, &len)| format!("{n}:{};", "x".repeat(len)))
        .collect();
    let bytes = lines
        .iter()
        .flat_map(|l| format!("{l}\n").into_bytes())
        .collect();
    (lines, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Every client's output arrives complete and in order, every line carries its owner's name,
    /// and neither depends on the pace of the UART.
    #[test]
    fn complete_in_order_and_named(
        lengths in prop::collection::vec(prop::collection::vec(0usize..120, 0..150), 3),
        fifo in 1usize..64,
        ops in prop::collection::vec(op(), 0..300),
    ) {
        let mut rig = Rig::new(&NAMES, fifo);
        let texts: Vec<(Vec<String>, Vec<u8>)> = lengths.iter().map(|l| text(l)).collect();
        let mut sent = [0usize; 3];
        let mut wire = Vec::new();
        let finish = (0..3).map(|i| Op::Write(i, usize::MAX)).cycle();
        let mut drains = 0;
        for op in ops.into_iter().chain(finish.flat_map(|w| [w, Op::Drain(usize::MAX), Op::Wait(1)])) {
            match op {
                Op::Write(i, n) => {
                    let end = sent[i].saturating_add(n).min(texts[i].1.len());
                    sent[i] += rig.write(i, &texts[i].1[sent[i]..end]);
                }
                Op::Drain(n) => {
                    rig.uart.drain(n);
                    rig.pump();
                    drains += 1;
                }
                Op::Wait(ms) => rig.wait(ms * MS),
                // No key that the monitor or the focus would answer.
                Op::Type(key) => if rig.mux.focus().is_some() && key != 1 {
                    rig.type_in(&[key]);
                },
                Op::Switch => rig.type_in(b"\x01\x01\x01"),
            }
            let done = (0..3).all(|i| sent[i] == texts[i].1.len());
            if done && !rig.uart.tx_irq() && rig.wake_at.is_none() {
                break;
            }
            prop_assert!(drains < 50_000, "stuck at {:?}", sent);
            if rig.uart.wire().len() > 60_000 {
                rig.uart.drain(usize::MAX);
                wire.extend_from_slice(rig.uart.wire());
                rig.uart.clear();
            }
        }
        wire.extend_from_slice(rig.uart.wire());
        prop_assert_eq!(rig.mux.lost(), 0);
        let wire = String::from_utf8(wire).unwrap();
        let mut got: [Vec<&str>; 3] = Default::default();
        // A line that was taken off the screen is one that was interrupted, as one that ended
        // there.
        for line in wire.split("\r\n").flat_map(|l| l.split("\r\x1b[K")).filter(|l| !l.is_empty()) {
            prop_assert!(!line.contains(['\r', '\n']));
            if line.starts_with("*** Input goes to ") {
                continue;
            }
            let owner = NAMES.iter().position(|(name, _)| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "))
            });
            let owner = owner.ok_or_else(|| TestCaseError::fail(format!("nobody's line {line:?}")))?;
            let body = &line[NAMES[owner].0.len() + 2..];
            if body.ends_with(';') {
                // An unfinished line that had come to its last character may come twice.
                if got[owner].last() != Some(&body) {
                    got[owner].push(body);
                }
            } else {
                // An unfinished line that was interrupted: the start of the next whole one.
                let next = texts[owner].0.get(got[owner].len());
                prop_assert!(next.is_some_and(|n| n.starts_with(body)), "{body:?} before {next:?}");
            }
        }
        for (i, (lines, _)) in texts.iter().enumerate() {
            prop_assert_eq!(&got[i], lines);
        }
    }

    /// Arbitrary bytes from everybody: nothing panics, nothing is lost inside the console, and for
    /// clients that never have the focus every line on the terminal starts with a true name.
    #[test]
    fn hostile_bytes_stay_in_their_lines(
        writes in prop::collection::vec((1usize..3, prop::collection::vec(
            prop_oneof![3 => any::<u8>(), 2 => Just(0x1b), 2 => Just(b'['), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(8)],
            0..200)), 0..60),
        fifo in 1usize..200,
    ) {
        let mut rig = Rig::new(&NAMES, fifo);
        for (i, bytes) in &writes {
            rig.write(*i, bytes);
            rig.uart.drain(bytes.len() * 3);
            rig.pump();
        }
        let mut rounds = 0;
        while rig.uart.tx_irq() {
            rig.uart.drain(usize::MAX);
            rig.pump();
            rounds += 1;
            prop_assert!(rounds < 50_000);
        }
        prop_assert_eq!(rig.mux.lost(), 0);
        let wire = rig.uart.wire();
        prop_assert!(wire.is_empty() || wire.ends_with(b"\r\n"));
        for line in wire.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
            let line = line.strip_suffix(b"\r").expect("every LF has its CR");
            if line.starts_with(b"*** Input") {
                continue;
            }
            // Each stretch between CRs starts with the same true name.
            for part in line.split(|&b| b == b'\r') {
                let text = [&b"g2: "[..], b"srv: "].iter().find_map(|name| part.strip_prefix(*name));
                let text = text.ok_or_else(|| TestCaseError::fail(format!("nobody's {part:?}")))?;
                let mut column = 0;
                let mut rest = text.iter();
                while let Some(&b) = rest.next() {
                    match b {
                        8 => { prop_assert!(column > 0); column -= 1; }
                        0x1b => {
                            let sgr: Vec<u8> = rest.by_ref().copied().take_while(|&b| b != b'm').collect();
                            prop_assert!(sgr.starts_with(b"[") && sgr[1..].iter().all(|b| b"0123456789;:".contains(b)));
                        }
                        b'\t' | 0x80.. => {}
                        0x20..=0x7e => column += 1,
                        _ => prop_assert!(false, "control {b:#x} got through"),
                    }
                }
            }
        }
    }
}
