//! Transactions: what they see, when they fail, and the rule against a model of it.

mod common;

use std::collections::BTreeMap;

use common::{OK, Rig, assert_answer, nul};
use proptest::prelude::*;
use xen_abi::store::kind;

fn read_in(rig: &mut Rig, tx: u32, path: &str) -> Result<String, String> {
    rig.ask(0, kind::READ, tx, &nul(path))
}

#[test]
fn a_transaction_is_seen_when_it_is_committed_and_not_before() {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a", "old").unwrap();
    let tx = rig.start(0);
    assert_eq!(tx, 1);
    assert_answer(rig.write_in(0, tx, "data/a", "new"), OK);
    assert_answer(rig.write_in(0, tx, "data/b/c", "made"), OK);
    assert_answer(read_in(&mut rig, tx, "data/a"), Ok("new"));
    assert_answer(rig.ask(0, kind::DIRECTORY, tx, b"data\0"), Ok("a|b|"));
    assert_answer(rig.read(0, "data/a"), Ok("old"));
    assert_answer(rig.directory(0, "data"), Ok("a|"));
    assert_answer(rig.finish(0, tx, true), OK);
    assert_answer(rig.read(0, "data/a"), Ok("new"));
    assert_answer(rig.directory(0, "data"), Ok("a|b|"));
    assert_answer(rig.read(0, "data/b/c"), Ok("made"));
    // An abandoned one was never there.
    let tx = rig.start(0);
    assert_eq!(tx, 2);
    rig.ask(0, kind::RM, tx, b"data/b\0").unwrap();
    assert_answer(read_in(&mut rig, tx, "data/b/c"), Err("ENOENT"));
    assert_answer(rig.finish(0, tx, false), OK);
    assert_answer(rig.read(0, "data/b/c"), Ok("made"));
}

#[test]
fn numbers_and_arguments() {
    let mut rig = Rig::new(2);
    let tx = rig.start(0);
    assert_answer(rig.ask(0, kind::TRANSACTION_START, tx, b"\0"), Err("EBUSY"));
    for payload in [&b""[..], b"T", b"t\0", b"TT\0", b"T\0T\0"] {
        assert_answer(
            rig.ask(0, kind::TRANSACTION_END, tx, payload),
            Err("EINVAL"),
        );
    }
    assert_answer(rig.finish(0, 0, true), Err("ENOENT"));
    for kind in [
        kind::READ,
        kind::TRANSACTION_END,
        kind::TRANSACTION_START,
        kind::RESET_WATCHES,
    ] {
        assert_answer(rig.ask(0, kind, 77, b"T\0"), Err("ENOENT"));
        assert_answer(rig.ask(1, kind, tx, b"T\0"), Err("ENOENT"));
    }
    assert_answer(rig.finish(0, tx, true), OK);
    assert_answer(rig.finish(0, tx, true), Err("ENOENT"));
}

/// What another does between a transaction's look and its end.
fn conflict(looks: impl Fn(&mut Rig, u32), other: impl Fn(&mut Rig)) -> Result<String, String> {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a/x", "old").unwrap();
    rig.write(0, "data/b", "old").unwrap();
    let tx = rig.start(0);
    looks(&mut rig, tx);
    other(&mut rig);
    rig.finish(0, tx, true)
}

#[test]
fn what_was_looked_at_and_changed_meanwhile_is_a_conflict() {
    let write = |path: &'static str| {
        move |rig: &mut Rig| {
            rig.write(0, path, "other").unwrap();
        }
    };
    let rm = |path: &'static str| {
        move |rig: &mut Rig| {
            rig.rm(0, path).unwrap();
        }
    };
    let reads = |path: &'static str| {
        move |rig: &mut Rig, tx: u32| {
            let _ = rig.ask(0, kind::READ, tx, &nul(path));
        }
    };
    let writes = |path: &'static str| {
        move |rig: &mut Rig, tx: u32| {
            rig.write_in(0, tx, path, "mine").unwrap();
        }
    };
    let again = Err("EAGAIN");
    assert_answer(conflict(reads("data/a"), write("data/a")), again);
    assert_answer(conflict(reads("data/a"), write("data/b")), OK);
    assert_answer(conflict(reads("data/a"), write("data/a/x")), OK);
    // A child more or less changes its parent.
    assert_answer(conflict(reads("data/a"), write("data/a/new")), again);
    assert_answer(conflict(reads("data/a"), rm("data/a/x")), again);
    assert_answer(conflict(reads("data/a"), rm("data/a")), again);
    assert_answer(conflict(reads("data/new"), write("data/new")), again);
    // C xenstored reads what it writes, so that counts too.
    assert_answer(conflict(writes("data/a"), write("data/a")), again);
    assert_answer(conflict(writes("data/a/one"), write("data/a/two")), again);
    assert_answer(conflict(writes("data/a"), write("data/b")), OK);
    // What changes before the first look does not.
    let late = |rig: &mut Rig, tx: u32| {
        rig.write(0, "data/a", "other").unwrap();
        assert_answer(read_in(rig, tx, "data/a"), Ok("other"));
    };
    assert_answer(conflict(late, write("data/b")), OK);
}

#[test]
fn what_was_looked_at_stays_as_it_was() {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a", "old").unwrap();
    let tx = rig.start(0);
    assert_answer(read_in(&mut rig, tx, "data/a"), Ok("old"));
    assert_answer(read_in(&mut rig, tx, "data/none"), Err("ENOENT"));
    rig.write(0, "data/a", "new").unwrap();
    rig.write(0, "data/none", "new").unwrap();
    assert_answer(read_in(&mut rig, tx, "data/a"), Ok("old"));
    assert_answer(read_in(&mut rig, tx, "data/none"), Err("ENOENT"));
    assert_answer(rig.finish(0, tx, true), Err("EAGAIN"));
}

#[test]
fn one_of_two_that_interfere_fails() {
    let mut rig = Rig::new(1);
    rig.write(0, "data/a", "0").unwrap();
    let (one, two) = (rig.start(0), rig.start(0));
    for tx in [one, two] {
        assert_answer(read_in(&mut rig, tx, "data/a"), Ok("0"));
        rig.write_in(0, tx, "data/a", "1").unwrap();
    }
    assert_answer(rig.finish(0, two, true), OK);
    assert_answer(rig.finish(0, one, true), Err("EAGAIN"));
}

/// What the model says: the rule of C xenstored, over whole copies.
#[derive(Clone, Default)]
struct Model {
    nodes: BTreeMap<String, Node>,
    generation: u64,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Node {
    generation: u64,
    value: String,
    children: Vec<String>,
}

#[derive(Default)]
struct Open {
    /// The node at the first look, and what the transaction has made of it.
    seen: BTreeMap<String, (Option<Node>, Option<Node>, bool)>,
}

impl Model {
    fn look(&self, tx: &mut Option<&mut Open>, path: &str) -> Option<Node> {
        let now = self.nodes.get(path).cloned();
        match tx {
            None => now,
            Some(open) => {
                let seen = open.seen.entry(path.into());
                seen.or_insert((now.clone(), now, false)).1.clone()
            }
        }
    }

    fn set(&mut self, tx: &mut Option<&mut Open>, path: &str, node: Option<Node>) {
        self.generation += 1;
        let generation = self.generation;
        let node = node.map(|node| Node { generation, ..node });
        match tx {
            None => {
                self.nodes.remove(path);
                if let Some(node) = node {
                    self.nodes.insert(path.into(), node);
                }
            }
            Some(open) => {
                let seen = open.seen.get_mut(path).expect("looked at before");
                (seen.1, seen.2) = (node, true);
            }
        }
    }

    fn write(&mut self, mut tx: Option<&mut Open>, path: &str, value: Option<&str>) {
        let made = match self.look(&mut tx, path) {
            Some(node) => {
                if let Some(value) = value {
                    let value = value.into();
                    self.set(&mut tx, path, Some(Node { value, ..node }));
                }
                return;
            }
            None => Node {
                value: value.unwrap_or("").into(),
                ..Node::default()
            },
        };
        let (above, name) = path.rsplit_once('/').expect("a slash");
        if self.look(&mut tx, above).is_none() {
            self.write(tx.as_deref_mut(), above, Some(""));
        }
        self.set(&mut tx, path, Some(made));
        let mut parent = self.look(&mut tx, above).expect("it is there");
        parent.children.push(name.into());
        self.set(&mut tx, above, Some(parent));
    }

    /// Looks at what is above `path`, up to what there is: it decides who may hear of it.
    fn look_above(&self, tx: &mut Option<&mut Open>, path: &str) {
        let mut above = path;
        while let Some((parent, _)) = above.rsplit_once('/') {
            above = parent;
            if self.look(tx, above).is_some() {
                return;
            }
        }
    }

    fn rm(&mut self, mut tx: Option<&mut Open>, path: &str) -> Result<(), &'static str> {
        let (above, _) = path.rsplit_once('/').expect("a slash");
        if self.look(&mut tx, path).is_none() {
            self.look_above(&mut tx, path);
            return self.look(&mut tx, above).map(|_| ()).ok_or("ENOENT");
        }
        // What follows fails where a transaction has seen parents and children at different times.
        self.look(&mut tx, above).ok_or("EINVAL")?;
        self.rm_below(tx, path)
    }

    fn rm_below(&mut self, mut tx: Option<&mut Open>, path: &str) -> Result<(), &'static str> {
        let (above, name) = path.rsplit_once('/').expect("a slash");
        while let Some(child) = {
            let node = self.look(&mut tx, path).ok_or("EIO")?;
            node.children.first().cloned()
        } {
            self.rm_below(tx.as_deref_mut(), &format!("{path}/{child}"))?;
        }
        self.set(&mut tx, path, None);
        let mut parent = self.look(&mut tx, above).ok_or("EIO")?;
        let at = parent.children.iter().position(|child| child == name);
        parent.children.remove(at.ok_or("EIO")?);
        self.set(&mut tx, above, Some(parent));
        Ok(())
    }

    fn commit(&mut self, open: Open) -> Result<(), &'static str> {
        let changed = |(path, (first, ..)): (&String, &(Option<Node>, _, _))| {
            let generation = |node: Option<&Node>| node.map(|node| node.generation);
            generation(first.as_ref()) != generation(self.nodes.get(path))
        };
        if open.seen.iter().any(changed) {
            return Err("EAGAIN");
        }
        for (path, (_, node, modified)) in open.seen {
            if modified {
                self.set(&mut None, &path, node);
            }
        }
        Ok(())
    }
}

/// Paths of the model, in the first guest's `data`.
const PATHS: [&str; 7] = [
    "r/a", "r/b", "r/a/x", "r/a/y", "r/a/x/1", "r/b/z", "r/c/d/e",
];

fn ops() -> impl Strategy<Value = Vec<(u8, usize, usize, u8)>> {
    prop::collection::vec((0u8..9, 0usize..4, 0..PATHS.len(), any::<u8>()), 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Two guests write, remove and look in the same nodes, outside and inside of up to three
    /// transactions each; every answer is the model's.
    #[test]
    fn the_rule_is_that_of_the_model(ops in ops()) {
        let mut rig = Rig::new(2);
        let mut model = Model::default();
        let top = "/local/domain/1/data/r";
        rig.write(0, "data/r", "").unwrap();
        // Whoever makes a node owns it; everybody may do everything.
        rig.set_perms(0, "data/r", "b1").unwrap();
        model.nodes.insert("r".into(), Node::default());
        let full = |path: &str| format!("/local/domain/1/data/{path}");
        let mut open: BTreeMap<(usize, usize), (u32, Open)> = BTreeMap::new();
        for (op, slot, path, value) in ops {
            // Two guests, two slots each; an access outside a transaction is slot 2.
            let guest = usize::from(value & 1);
            let (path, place) = (PATHS[path], (guest, slot));
            let (tx, mut state) = match open.get_mut(&place) {
                Some((tx, state)) => (*tx, Some(state)),
                None => (0, None),
            };
            let wire = full(path);
            match op {
                0..=2 => {
                    let got = rig.write_in(guest, tx, &wire, &value.to_string());
                    assert_answer(got, OK);
                    model.write(state, path, Some(&value.to_string()));
                }
                3 => {
                    assert_answer(rig.ask(guest, kind::MKDIR, tx, &nul(&wire)), OK);
                    model.write(state, path, None);
                }
                4 => {
                    let got = rig.ask(guest, kind::RM, tx, &nul(&wire));
                    let wanted = model.rm(state, path);
                    assert_answer(got, wanted.map(|()| "OK|"));
                }
                5 | 6 => {
                    let got = rig.ask(guest, kind::READ, tx, &nul(&wire));
                    let mut node = model.look(&mut state, path);
                    if node.is_none() {
                        model.look_above(&mut state, path);
                    }
                    let wanted = node.take().map(|node| node.value);
                    assert_answer(got, wanted.as_deref().ok_or("ENOENT"));
                    let got = rig.ask(guest, kind::DIRECTORY, tx, &nul(&wire));
                    let node = model.look(&mut state, path);
                    let wanted = node.map(|node| node.children.iter().map(|c| format!("{c}|")).collect::<String>());
                    assert_answer(got, wanted.as_deref().ok_or("ENOENT"));
                }
                7 if tx == 0 && slot < 2 => {
                    open.insert(place, (rig.start(guest), Open::default()));
                }
                8 if tx != 0 => {
                    let (tx, state) = open.remove(&place).expect("it is open");
                    let commit = value & 6 != 0;
                    let wanted = if commit { model.commit(state) } else { Ok(()) };
                    assert_answer(rig.finish(guest, tx, commit), wanted.map(|()| "OK|"));
                }
                _ => {}
            }
            // Writers are held back while there are transactions.
            rig.advance(common::FREQUENCY);
        }
        for ((guest, _), (tx, _)) in open {
            assert_answer(rig.finish(guest, tx, false), OK);
        }
        for path in PATHS {
            let wanted = model.nodes.get(path).map(|node| node.value.clone());
            assert_answer(rig.read(0, &full(path)), wanted.as_deref().ok_or("ENOENT"));
        }
        // Nothing is left over, and everything goes with its owner.
        let _ = rig.rm(0, top);
        rig.end(1);
        rig.end(0);
        prop_assert_eq!((rig.server.used(0), rig.server.used(1)), (0, 0));
    }
}
