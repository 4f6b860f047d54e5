//! Xenstore as a guest sees it: every operation that it may use, errors, permissions, quotas,
//! watches and transactions of C xenstored in Xen 4.22 (tools/xenstored).
//!
//! Payloads and answers are written with `|` for a NUL and `%` for the guest's own domain id.

mod quotas;
mod transactions;
mod watches;
pub mod wire;

use wire::{ERROR, Store, Text};

use crate::report::Report;

/// Types of messages.
mod kind {
    pub const DIRECTORY: u32 = 1;
    pub const READ: u32 = 2;
    pub const GET_PERMS: u32 = 3;
    pub const WATCH: u32 = 4;
    pub const UNWATCH: u32 = 5;
    pub const START: u32 = 6;
    pub const END: u32 = 7;
    pub const DOMAIN_PATH: u32 = 10;
    pub const WRITE: u32 = 11;
    pub const MKDIR: u32 = 12;
    pub const RM: u32 = 13;
    pub const SET_PERMS: u32 = 14;
    pub const RESET_WATCHES: u32 = 21;
    pub const DIRECTORY_PART: u32 = 22;
    pub const GET_FEATURE: u32 = 23;
}
use kind::*;

/// The answer of what has nothing else to say.
const OK: &str = "OK|";

/// The checks and the connection.
struct Rules<'r> {
    report: &'r mut Report,
    store: Store,
    /// Our domain id, in digits.
    me: Text<8>,
}

impl Rules<'_> {
    /// `text` as it is on the wire.
    fn wire(&self, text: &str) -> Text<4096> {
        let mut bytes = Text::new();
        for byte in text.bytes() {
            match byte {
                b'|' => bytes.push(0),
                b'%' => bytes.extend(self.me.get()),
                byte => bytes.push(byte),
            }
        }
        bytes
    }

    /// A request within transaction `tx` must be answered so, an error by its name.
    fn within(&mut self, name: &str, tx: u32, kind: u32, payload: &str, want: &str) {
        let bytes = self.wire(payload);
        let answered = self.store.ask(kind, tx, bytes.get());
        let is_answer = answered || self.store.kind == ERROR;
        let wanted = self.wire(want);
        let pass = is_answer && self.store.answer.get() == wanted.get();
        let got = self.store.answer.shown();
        self.report
            .check("store", name, pass, format_args!("got {got} want {want}"));
    }

    /// The same outside any transaction.
    fn is(&mut self, name: &str, kind: u32, payload: &str, want: &str) {
        self.within(name, 0, kind, payload, want);
    }

    /// The same for each row.
    fn table(&mut self, rows: &[(&str, u32, &str, &str)]) {
        for (name, kind, payload, want) in rows {
            self.is(name, *kind, payload, want);
        }
    }

    /// These events must have come since the last time, and no others.
    fn events(&mut self, name: &str, want: &str) {
        // An answer comes behind all events before it.
        self.store.ask(READ, 0, b"domid\0");
        let wanted = self.wire(want);
        let pass = self.store.events.get() == wanted.get();
        let got = self.store.events.shown();
        self.report
            .check("store", name, pass, format_args!("got {got} want {want}"));
        self.store.events.clear();
    }

    /// Opens a transaction; 0 where that fails.
    fn start(&mut self) -> u32 {
        if !self.store.ask(START, 0, b"\0") {
            return 0;
        }
        let digits = self.store.answer.get().iter().take_while(|b| **b != 0);
        digits.fold(0, |id, digit| id * 10 + u32::from(*digit) - 48)
    }

    /// A check of something else.
    fn check(&mut self, name: &str, pass: bool, details: core::fmt::Arguments<'_>) {
        self.report.check("store", name, pass, details);
    }
}

/// Runs the set.
pub fn run(report: &mut Report) {
    let Some(mut store) = Store::connect() else {
        return report.check("store", "connect", false, format_args!("there is no store"));
    };
    let mut me = Text::new();
    if store.ask(READ, 0, b"domid\0") {
        me.extend(store.answer.get());
    }
    let mut rules = Rules { report, store, me };
    let digits = rules.me.get().iter().all(u8::is_ascii_digit) && !rules.me.get().is_empty();
    rules.check("own-id", digits, format_args!(""));
    operations(&mut rules);
    refusals(&mut rules);
    permissions(&mut rules);
    watches::run(&mut rules);
    transactions::run(&mut rules);
    quotas::run(&mut rules);
}

fn operations(c: &mut Rules<'_>) {
    c.table(&[
        ("read-name", READ, "name|", "store"),
        ("read-absolute", READ, "/local/domain/%/domid|", "%"),
        ("read-missing", READ, "data/none|", "ENOENT|"),
        ("read-missing-below", READ, "data/none/below|", "ENOENT|"),
        ("write-makes-parents", WRITE, "data/a/b|value", OK),
        ("read-written", READ, "data/a/b|", "value"),
        ("read-parent", READ, "data/a|", ""),
        ("write-again", WRITE, "data/a/b|x", OK),
        ("read-again", READ, "data/a/b|", "x"),
        ("write-nothing", WRITE, "data/a/b|", OK),
        ("read-nothing", READ, "data/a/b|", ""),
        ("write-nul", WRITE, "data/a/b|x|y|", OK),
        ("read-nul", READ, "data/a/b|", "x|y|"),
        ("directory", DIRECTORY, "data/a|", "b|"),
        ("directory-of-leaf", DIRECTORY, "data/a/b|", ""),
        ("directory-missing", DIRECTORY, "data/none|", "ENOENT|"),
        ("mkdir", MKDIR, "data/a/c|", OK),
        ("mkdir-again", MKDIR, "data/a/c|", OK),
        ("mkdir-keeps-value", MKDIR, "data/a/b|", OK),
        ("value-is-kept", READ, "data/a/b|", "x|y|"),
        ("mkdir-makes-parents", MKDIR, "data/a/d/e/f|", OK),
        ("children-in-order", DIRECTORY, "data/a|", "b|c|d|"),
        ("rm-with-children", RM, "data/a/d|", OK),
        ("children-go", READ, "data/a/d/e/f|", "ENOENT|"),
        ("name-goes", DIRECTORY, "data/a|", "b|c|"),
        ("rm-missing", RM, "data/a/d|", OK),
        ("rm-missing-parent", RM, "data/none/below|", "ENOENT|"),
        ("rm-root", RM, "/|", "EACCES|"),
        ("domain-path", DOMAIN_PATH, "7|", "/local/domain/7|"),
        ("features", GET_FEATURE, "", "15|"),
        ("reset-watches", RESET_WATCHES, "|", OK),
    ]);
    // The answer begins with the number of the node's last change.
    let part = c.wire("data/a|0|");
    let answered = c.store.ask(DIRECTORY_PART, 0, part.get());
    let end = c.store.answer.get().iter().position(|byte| *byte == 0);
    let rest = c.store.answer.get().get(end.map_or(0, |end| end + 1)..);
    let pass = answered && rest == Some(b"b\0c\0\0");
    let got = c.store.answer.shown();
    c.report
        .check("store", "directory-part", pass, format_args!("{got}"));
    c.is("rm", RM, "data/a|", OK);
}

fn refusals(c: &mut Rules<'_>) {
    for kind in [0, 8, 9, 17, 18, 19, 24, 25, 26] {
        c.is("privileged", kind, "1|", "EACCES|");
    }
    for kind in [15, 16, 20, 27, 99, u32::MAX] {
        c.is("unknown", kind, "data|", "ENOSYS|");
    }
    for path in [
        "data//x",
        "data/",
        "/",
        "//",
        "",
        "da ta",
        "data.x",
        "@releaseDomain",
        "data\\x",
    ] {
        let mut payload = Text::<32>::new();
        payload.extend(path.as_bytes());
        payload.push(b'|');
        let payload = core::str::from_utf8(payload.get()).unwrap_or_default();
        let want = if path == "/" { "EACCES|" } else { "EINVAL|" };
        for kind in [READ, DIRECTORY, WRITE, MKDIR, RM] {
            c.is("bad-path", kind, payload, want);
        }
    }
    for kind in [READ, DIRECTORY, GET_PERMS, MKDIR, RM, WRITE, WATCH, UNWATCH] {
        c.is("no-nul", kind, "data", "EINVAL|");
        c.is("no-payload", kind, "", "EINVAL|");
    }
    c.table(&[
        ("two-strings", READ, "data|data|", "EINVAL|"),
        ("watch-one-string", WATCH, "data|", "EINVAL|"),
        ("unwatch-one-string", UNWATCH, "data|", "EINVAL|"),
        ("feature-of-another", GET_FEATURE, "1|", "EACCES|"),
        ("unknown-unwatch", UNWATCH, "data|t|", "ENOENT|"),
    ]);
    for (n, kind) in [READ, WRITE, DIRECTORY, MKDIR, RM].into_iter().enumerate() {
        c.within(
            "unknown-transaction",
            99 + n as u32,
            kind,
            "data|",
            "ENOENT|",
        );
    }
}

fn permissions(c: &mut Rules<'_>) {
    c.table(&[
        ("perms-of-own", GET_PERMS, "data|", "n%|r0|"),
        (
            "perms-of-directory",
            GET_PERMS,
            "/local/domain/%|",
            "EACCES|",
        ),
        ("write", WRITE, "data/p|x", OK),
        ("perms-inherited", GET_PERMS, "data/p|", "n%|r0|"),
        ("set-perms", SET_PERMS, "data/p|n%|r1|w2|", OK),
        ("perms-set", GET_PERMS, "data/p|", "n%|r1|w2|"),
        ("child", WRITE, "data/p/child|x", OK),
        ("perms-of-child", GET_PERMS, "data/p/child|", "n%|r1|w2|"),
        ("set-perms-both", SET_PERMS, "data/p|b%|", OK),
        ("perms-both", GET_PERMS, "data/p|", "b%|"),
        ("owner-always-may", SET_PERMS, "data/p|n%|", OK),
        ("owner-reads", READ, "data/p|", "x"),
        ("give-away", SET_PERMS, "data/p|n1|", "EPERM|"),
        ("give-to-nobody", SET_PERMS, "data/p|n77|", "ENOENT|"),
        ("bad-letter", SET_PERMS, "data/p|x%|", "EINVAL|"),
        ("bad-number", SET_PERMS, "data/p|nx|", "EINVAL|"),
        ("no-perms", SET_PERMS, "data/p|", "EINVAL|"),
        ("perms-of-missing", GET_PERMS, "data/none|", "ENOENT|"),
        (
            "set-perms-of-missing",
            SET_PERMS,
            "data/none|n%|",
            "ENOENT|",
        ),
        ("perms-special", GET_PERMS, "@releaseDomain|", "n0|r32757|"),
        (
            "set-perms-special",
            SET_PERMS,
            "@releaseDomain|n%|",
            "EACCES|",
        ),
        // What is not ours.
        ("read-root", READ, "/|", "EACCES|"),
        ("read-tool", READ, "/tool/xenstored|", "EACCES|"),
        ("read-missing-hidden", READ, "/tool/none|", "EACCES|"),
        ("read-other", READ, "/local/domain/1/data|", "EACCES|"),
        ("read-nobody", READ, "/local/domain/77/data|", "EACCES|"),
        ("write-other", WRITE, "/local/domain/1/data/x|y", "EACCES|"),
        ("write-beside", WRITE, "mine|x", "EACCES|"),
        ("mkdir-beside", MKDIR, "mine|", "EACCES|"),
        ("rm-own-directory", RM, "/local/domain/%|", "EACCES|"),
        ("directory-own", DIRECTORY, "/local/domain/%|", "EACCES|"),
        ("rm-other", RM, "/local/domain/1/data|", "EACCES|"),
        ("set-perms-other", SET_PERMS, "/tool|n%|", "EACCES|"),
        ("rm", RM, "data/p|", OK),
    ]);
}
