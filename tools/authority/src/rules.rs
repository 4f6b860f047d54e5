//! The rules of the system. Each says what it looked at, what it lets pass by name, and, if it is
//! broken, by which capabilities.

mod allowed;
mod by_name;
mod dma;
mod kernel_objects;
mod memory;
mod pages;
mod pairs;
mod talk;

use std::collections::BTreeMap;

use crate::cspace::Chain;
use crate::expect::{System, wanted};
use crate::{Authority, Role, Subject};

/// A rule that is broken in one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// What is wrong, in a sentence.
    pub message: String,
    /// The capabilities that make it so: one chain for each that is involved.
    pub chains: Vec<Chain>,
}

/// What became of one rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// The rule, in a sentence.
    pub rule: &'static str,
    /// How many things it looked at.
    pub looked_at: usize,
    /// What they are, in the plural.
    pub things: &'static str,
    /// What it lets pass because the rule names it.
    pub allowed: Vec<String>,
    /// Where it is broken.
    pub breaches: Vec<Breach>,
}

impl Check {
    fn new(name: &'static str, things: &'static str, rule: &'static str) -> Self {
        Self {
            name,
            rule,
            looked_at: 0,
            things,
            allowed: Vec::new(),
            breaches: Vec::new(),
        }
    }

    /// Whether the rule holds.
    pub fn holds(&self) -> bool {
        self.breaches.is_empty()
    }

    fn broken(&mut self, message: String, chains: Vec<Chain>) {
        self.breaches.push(Breach { message, chains });
    }

    /// Tells of no more than `most` places, and how many there are beside them.
    fn first(&mut self, most: usize) {
        let more = self.breaches.len().saturating_sub(most);
        self.breaches.truncate(most);
        if more > 0 {
            self.broken(format!("and in {more} more places"), Vec::new());
        }
    }

    /// A rule that found nothing to look at has shown nothing.
    fn needs_some(mut self) -> Self {
        if self.looked_at == 0 {
            let message = format!(
                "there are no {} in this specification, so the rule shows nothing",
                self.things
            );
            self.broken(message, Vec::new());
        }
        self
    }
}

/// Every rule applied to `authority` as an image of `system`, in the order in which docs/inspect.md
/// explains them.
pub(crate) fn check(authority: &Authority, system: &System) -> Vec<Check> {
    let wanted = wanted(system, &authority.spec);
    vec![
        memory::untyped(authority),
        memory::disjoint(authority),
        kernel_objects::grants(authority),
        memory::sharing(authority),
        kernel_objects::objects(authority),
        memory::devices(authority),
        dma::confined(authority, system),
        kernel_objects::interrupts(authority),
        kernel_objects::special(authority),
        kernel_objects::guests(authority),
        talk::apart(authority, system),
        pairs::pairs(authority, system),
        talk::callers(authority),
        talk::uphill(authority),
        talk::receive(authority),
        memory::write_or_execute(authority),
        allowed::expected(authority, &wanted),
        allowed::threads(authority, &wanted),
        allowed::time(authority, &wanted),
        pages::mappings(authority, &wanted),
        pages::board(authority, system, &wanted),
    ]
}

/// The subject with role `role`, if there is exactly one.
fn only(authority: &Authority, role: Role) -> Option<&Subject> {
    let mut all = authority.subjects.iter().filter(|s| s.role == role);
    all.next().filter(|_| all.next().is_none())
}

/// Counted lines, for things that are allowed by name.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, text: String) {
        *self.0.entry(text).or_default() += 1;
    }

    fn lines(self) -> Vec<String> {
        let lines = self.0.into_iter();
        lines
            .map(|(text, count)| match count {
                1 => text,
                _ => format!("{text} ({count} capabilities)"),
            })
            .collect()
    }
}

/// "a", "a and b", "a, b and c".
pub(crate) fn list(names: &[&str]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
