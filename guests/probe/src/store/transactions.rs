//! Transactions: what is seen when, and which of them fail.

use super::kind::*;
use super::{OK, Rules};

pub(super) fn run(c: &mut Rules<'_>) {
    c.is("write", WRITE, "data/t|old", OK);
    // What is written inside is seen inside.
    let tx = c.start();
    c.check("start", tx != 0, format_args!("{tx}"));
    c.within("nested", tx, START, "|", "EBUSY|");
    c.within("write-inside", tx, WRITE, "data/t|new", OK);
    c.within("read-inside", tx, READ, "data/t|", "new");
    c.is("read-outside", READ, "data/t|", "old");
    c.within("make-inside", tx, WRITE, "data/t/a/b|x", OK);
    c.is("made-inside", READ, "data/t/a/b|", "ENOENT|");
    c.within("abandon", tx, END, "F|", OK);
    c.is("after-abandon", READ, "data/t|", "old");
    c.within("over", tx, READ, "data/t|", "ENOENT|");
    // What is committed is there, and told once.
    c.is("watch", WATCH, "data/t|t|", OK);
    c.events("first-event", "data/t|t|;");
    let tx = c.start();
    c.within("write-1", tx, WRITE, "data/t/a|1", OK);
    c.within("write-2", tx, WRITE, "data/t/a|2", OK);
    c.within("write-other", tx, WRITE, "data/t/b|3", OK);
    c.events("not-yet", "");
    c.within("commit", tx, END, "T|", OK);
    c.events("once-each", "data/t/a|t|;data/t/b|t|;");
    c.is("committed", READ, "data/t/a|", "2");
    c.is("unwatch", UNWATCH, "data/t|t|", OK);
    // Nothing is a transaction as well.
    let tx = c.start();
    c.within("empty", tx, END, "T|", OK);
    // What was read, written or missed and then changed.
    for (name, inside, payload, outside, change) in [
        ("read", READ, "data/t/a|", WRITE, "data/t/a|other"),
        ("directory", DIRECTORY, "data/t|", WRITE, "data/t/new|x"),
        ("written", WRITE, "data/t/a|mine", WRITE, "data/t/a|theirs"),
        ("gone", READ, "data/t/b|", RM, "data/t/b|"),
        ("come", READ, "data/t/b|", WRITE, "data/t/b|x"),
        ("perms", READ, "data/t/b|", SET_PERMS, "data/t/b|n%|"),
    ] {
        let tx = c.start();
        c.store.ask(inside, tx, c.wire(payload).get());
        c.is(name, outside, change, OK);
        c.within(name, tx, END, "T|", "EAGAIN|");
        c.within(name, tx, END, "T|", "ENOENT|");
    }
    c.is("theirs-stay", READ, "data/t/a|", "theirs");
    // What has nothing to do with it.
    let tx = c.start();
    c.within("apart", tx, WRITE, "data/t/a|mine", OK);
    c.is("apart", WRITE, "data/t/b|theirs", OK);
    c.within("apart", tx, END, "T|", OK);
    c.is("apart", READ, "data/t/a|", "mine");
    // Two against each other: the first to end wins.
    let (first, second) = (c.start(), c.start());
    c.within("first", first, WRITE, "data/t/a|first", OK);
    c.within("second", second, WRITE, "data/t/a|second", OK);
    c.within("second-ends", second, END, "T|", OK);
    c.within("first-ends", first, END, "T|", "EAGAIN|");
    c.is("second-stays", READ, "data/t/a|", "second");
    // Taking away.
    let tx = c.start();
    c.within("rm-inside", tx, RM, "data/t|", OK);
    c.within("gone-inside", tx, READ, "data/t/a|", "ENOENT|");
    c.is("there-outside", READ, "data/t/a|", "second");
    c.within("rm-commits", tx, END, "T|", OK);
    c.is("gone-outside", READ, "data/t/a|", "ENOENT|");
    // What is no end.
    let tx = c.start();
    for bad in ["X|", "", "T", "TF|", "T|T|"] {
        c.within("bad-end", tx, END, bad, "EINVAL|");
    }
    c.within("reset", tx, RESET_WATCHES, "|", OK);
    c.within("reset-ends-it", tx, READ, "data|", "ENOENT|");
    c.is("no-transaction", END, "T|", "ENOENT|");
}
