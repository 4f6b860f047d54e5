//! Quotas: the first that reaches one is refused, and giving something back makes room.

use super::kind::*;
use super::wire::Text;
use super::{OK, Rules};

/// `count` letters behind `text`.
fn long(text: &str, count: usize) -> Text<4096> {
    let mut bytes = Text::new();
    bytes.extend(text.as_bytes());
    (0..count).for_each(|_| bytes.push(b'x'));
    bytes
}

/// `text` with two letters that tell `n`, and what follows.
fn numbered(text: &str, n: usize, rest: &str) -> Text<64> {
    let mut bytes = Text::new();
    bytes.extend(text.as_bytes());
    bytes.push(b'a' + (n / 26) as u8);
    bytes.push(b'a' + (n % 26) as u8);
    bytes.extend(rest.as_bytes());
    bytes
}

/// How many requests of `make` succeed, at most `most`; and the first that does not must say so.
fn until(
    c: &mut Rules<'_>,
    name: &str,
    most: usize,
    want: usize,
    mut make: impl FnMut(&mut Rules<'_>, usize) -> bool,
) {
    let count = (0..most).take_while(|n| make(c, *n)).count();
    let answer = c.store.answer.get() == b"ENOSPC\0";
    c.check(
        name,
        count == want && answer,
        format_args!("{count} succeed, {want} should"),
    );
}

pub(super) fn run(c: &mut Rules<'_>) {
    // A node: 16 bytes, 8 for each of two permissions, and the value; below 2048.
    for (name, len, want) in [("largest", 2015, OK), ("too-large", 2016, "ENOSPC|")] {
        let mut payload = Text::<4096>::new();
        payload.extend(b"data/n|");
        payload.extend(long("", len).get());
        let payload = core::str::from_utf8(payload.get()).unwrap_or_default();
        c.is(name, WRITE, payload, want);
    }
    c.is("clean", RM, "data/n|", OK);
    for (name, len, want) in [
        ("long-path", 2042, "ENOENT|"),
        ("longer-path", 2043, "EINVAL|"),
    ] {
        let mut payload = long("data/", len);
        payload.push(b'|');
        let payload = core::str::from_utf8(payload.get()).unwrap_or_default();
        c.is(name, READ, payload, want);
    }
    c.is("perms", WRITE, "data/p|", OK);
    c.is("four-perms", SET_PERMS, "data/p|n%|r1|r2|r0|", OK);
    c.is("five-perms", SET_PERMS, "data/p|n%|r1|r2|r0|w1|", "ENOSPC|");
    c.is("clean", RM, "data/p|", OK);
    until(c, "watches", 140, 127, |c, n| {
        let payload = numbered("data|", n, "\0");
        let payload = core::str::from_utf8(payload.get()).unwrap_or_default();
        let bytes = c.wire(payload);
        c.store.ask(WATCH, 0, bytes.get())
    });
    c.is("reset", RESET_WATCHES, "|", OK);
    c.store.events.clear();
    until(c, "transactions", 20, 9, |c, _| {
        c.store.ask(START, 0, b"\0")
    });
    c.is("reset", RESET_WATCHES, "|", OK);
    c.is("watch-again", WATCH, "data|t|", OK);
    c.is("reset", RESET_WATCHES, "|", OK);
    c.store.events.clear();
    nodes(c);
    outstanding(c);
}

/// 999 nodes, of which the guest had some when it began.
fn nodes(c: &mut Rules<'_>) {
    c.is("mkdir", MKDIR, "data/q|", OK);
    let mut made = 0;
    'all: for n in 0..40 {
        for m in 0..40 {
            let dir = numbered("data/q/", n, "/");
            let dir = core::str::from_utf8(dir.get()).unwrap_or_default();
            let path = numbered(dir, m, "\0");
            if !c.store.ask(MKDIR, 0, path.get()) {
                break 'all;
            }
            // The directory came with the first.
            made += 1 + usize::from(m == 0);
        }
    }
    let answer = c.store.answer.get() == b"ENOSPC\0";
    c.check(
        "nodes",
        answer && (900..999).contains(&made),
        format_args!("{made} nodes"),
    );
    c.is("write-to-one-there-is", WRITE, "data/q/aa/aa|x", OK);
    c.is("one-less", RM, "data/q/aa/ab|", OK);
    c.is("one-more", MKDIR, "data/q/aa/new|", OK);
    c.is("and-no-more", MKDIR, "data/q/aa/newer|", "ENOSPC|");
    c.is("all-go", RM, "data/q|", OK);
    c.is("room-again", MKDIR, "data/q/aa/newer|", OK);
    c.is("clean", RM, "data/q|", OK);
}

/// Many requests before the first answer is taken: all are answered, in order.
fn outstanding(c: &mut Rules<'_>) {
    const COUNT: u32 = 40;
    let first = c.store.send(READ, 0, b"domid\0".iter().copied());
    for _ in 1..COUNT {
        c.store.send(READ, 0, b"domid\0".iter().copied());
    }
    let order = (0..COUNT).all(|n| c.store.receive() == first + n);
    c.check("forty-at-once", order, format_args!(""));
}
