//! 10,000 random changes of the default system's specification: each is noticed by a rule, or is
//! harmless for a reason that has a name. The counts by kind are in `snapshots/mutations.txt`.

#[path = "mutations/change.rs"]
mod change;
mod common;
#[path = "mutations/harmless.rs"]
mod harmless;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::thread;

use authority::{Authority, Id, Spec, System as Description};
use common::{System, assert_committed, described};

use change::{KINDS, Random};
use harmless::harmless;

/// How many changes.
const CHANGES: u64 = 10_000;
/// The first seed; change `i` has the `i`th after it.
const SEED: u64 = 0x5eed_0000;

/// What became of the changes of one kind.
#[derive(Default)]
struct Row {
    changes: usize,
    caught: usize,
    /// By rule; one change may break several.
    rules: BTreeMap<&'static str, usize>,
    harmless: BTreeMap<&'static str, usize>,
    escaped: Vec<String>,
}

impl Row {
    fn join(&mut self, other: Self) {
        self.changes += other.changes;
        self.caught += other.caught;
        self.escaped.extend(other.escaped);
        for (sum, more) in [
            (&mut self.rules, other.rules),
            (&mut self.harmless, other.harmless),
        ] {
            for (name, count) in more {
                *sum.entry(name).or_default() += count;
            }
        }
    }
}

/// Change number `number`: its kind, what it does, and the specification with it.
fn changed(sample: &Spec, number: u64) -> (&'static str, String, Spec) {
    let mut random = Random::new(SEED + number);
    loop {
        let (kind, change) = KINDS[random.below(KINDS.len())];
        let mut spec = sample.clone();
        let what = change(&mut spec, &mut random);
        // Not every kind of change can be made of everything, and the order of slots means nothing.
        sort(&mut spec);
        if let Some(what) = what
            && spec != *sample
        {
            return (kind, what, spec);
        }
    }
}

fn sort(spec: &mut Spec) {
    let all: Vec<Id> = spec.objects().map(|(id, _)| id).collect();
    for id in all {
        if let Some(object) = spec.edit(id) {
            object.slots.sort_by_key(|(slot, _)| *slot);
        }
    }
}

/// The committed specification with the slots in order.
fn sorted() -> Spec {
    let mut spec = System::new().spec;
    sort(&mut spec);
    spec
}

fn row(sample: &Spec, system: &Description, number: u64) -> (&'static str, Row) {
    let (kind, what, spec) = changed(sample, number);
    let mut row = Row {
        changes: 1,
        ..Row::default()
    };
    let reason = harmless(sample, &spec);
    let checks = Authority::of(spec).check_as(system);
    for check in checks.iter().filter(|check| !check.holds()) {
        row.rules.insert(check.name, 1);
    }
    if !row.rules.is_empty() {
        row.caught = 1;
    } else if let Some(name) = reason {
        row.harmless.insert(name, 1);
    } else {
        row.escaped.push(format!("{number}: {kind}: {what}"));
    }
    (kind, row)
}

fn rows(sample: &Spec, system: &Description) -> BTreeMap<&'static str, Row> {
    let workers = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    thread::scope(|scope| {
        let part = |worker| {
            scope.spawn(move || {
                let numbers = (0..CHANGES).filter(move |number| number % workers == worker);
                let mut rows = BTreeMap::<_, Row>::new();
                for (kind, row) in numbers.map(|number| row(sample, system, number)) {
                    rows.entry(kind).or_default().join(row);
                }
                rows
            })
        };
        let parts: Vec<_> = (0..workers).map(part).collect();
        let mut all = BTreeMap::<_, Row>::new();
        for part in parts {
            for (kind, row) in part.join().expect("a worker ends") {
                all.entry(kind).or_default().join(row);
            }
        }
        all
    })
}

fn table(rows: &BTreeMap<&'static str, Row>) -> String {
    let list = |counts: &BTreeMap<&str, usize>| {
        let counts = counts.iter().map(|(name, count)| format!("{name} {count}"));
        counts.collect::<Vec<_>>().join(", ")
    };
    let mut text =
        String::from("| change | number | noticed | harmless | by rule |\n|---|---|---|---|---|\n");
    let mut sum = Row::default();
    for (kind, row) in rows {
        writeln!(
            text,
            "| {kind} | {} | {} | {} | {} |",
            row.changes,
            row.caught,
            list(&row.harmless),
            list(&row.rules)
        )
        .expect("a string takes all");
        sum.changes += row.changes;
        sum.caught += row.caught;
        for (counts, more) in [
            (&mut sum.harmless, &row.harmless),
            (&mut sum.rules, &row.rules),
        ] {
            for (name, count) in more {
                *counts.entry(name).or_default() += count;
            }
        }
    }
    writeln!(
        text,
        "| all | {} | {} | {} | {} |",
        sum.changes,
        sum.caught,
        list(&sum.harmless),
        list(&sum.rules)
    )
    .expect("a string takes all");
    text
}

#[test]
fn ten_thousand_changes_are_noticed_or_harmless() {
    let sample = sorted();
    let system = described();
    let rows = rows(&sample, &system);
    let text = table(&rows);
    println!("{text}");
    let escaped: Vec<&str> = rows
        .values()
        .flat_map(|row| row.escaped.iter().map(String::as_str))
        .collect();
    assert!(
        escaped.is_empty(),
        "{} changes that nobody notices:\n{}",
        escaped.len(),
        escaped.join("\n")
    );
    assert_eq!(rows.len(), KINDS.len(), "every kind of change was made");
    assert_committed("tools/authority/tests/snapshots/mutations.txt", &text);
}

/// The test above shows nothing if a change were called harmless that is not.
#[test]
fn what_breaks_isolation_is_not_harmless() {
    let sample = sorted();
    let mut tried = 0;
    for number in 0..500 {
        let (kind, what, spec) = changed(&sample, number);
        if let Some(name) = harmless(&sample, &spec) {
            assert!(
                harmless::REASONS.contains(&(kind, name)),
                "{kind}: {what} is called {name}"
            );
        }
        tried += 1;
    }
    assert_eq!(tried, 500);
}
