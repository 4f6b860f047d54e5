//! What is expected, slot by slot.

use std::collections::{BTreeMap, HashMap};

use untyped_plan::Paddr;

use crate::spec::{Cap, Kind, Rights, Spec};

/// A capability that is expected; the object by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Want {
    kind: Kind,
    object: String,
    rights: Option<Rights>,
    badge: u64,
    guard: u64,
    guard_bits: u8,
    cached: bool,
    /// What it is for, in words.
    pub(crate) why: String,
}

impl Want {
    /// A capability of a kind without rights.
    pub(crate) fn to(kind: Kind, object: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            kind,
            object: object.into(),
            rights: None,
            badge: 0,
            guard: 0,
            guard_bits: 0,
            cached: false,
            why: why.into(),
        }
    }

    pub(crate) fn with(self, rights: Rights, badge: u64) -> Self {
        Self {
            rights: Some(rights),
            badge,
            ..self
        }
    }

    pub(crate) fn guarded(self, guard: u64, guard_bits: u8) -> Self {
        Self {
            guard,
            guard_bits,
            ..self
        }
    }

    /// Makes the guard longer by as many zero bits as `smaller` says for the object.
    pub(crate) fn guard_more(&mut self, smaller: &BTreeMap<String, u8>) {
        if self.kind == Kind::CNode {
            self.guard_bits += smaller.get(&self.object).copied().unwrap_or(0);
        }
    }

    pub(crate) fn cached(self) -> Self {
        Self {
            cached: true,
            ..self
        }
    }

    /// Whether `cap` is it.
    pub(crate) fn is(&self, spec: &Spec, cap: &Cap) -> bool {
        let name = cap.object.map(|id| spec.name(id));
        self.kind == cap.kind
            && name == Some(self.object.as_str())
            && self.rights == cap.rights
            && (self.badge, self.guard, self.guard_bits) == (cap.badge, cap.guard, cap.guard_bits)
            && self.cached == cap.cached
            && !cap.executable
    }

    /// In words, as [`full`] tells a capability that is there.
    pub(crate) fn text(&self) -> String {
        let cap = Cap {
            kind: self.kind.clone(),
            object: None,
            rights: self.rights,
            badge: self.badge,
            guard: self.guard,
            guard_bits: self.guard_bits,
            cached: self.cached,
            executable: false,
        };
        words(&cap, &self.object)
    }
}

/// `cap` in words with everything that a rule compares.
pub(crate) fn full(spec: &Spec, cap: &Cap) -> String {
    words(cap, cap.object.map_or("", |id| spec.name(id)))
}

fn words(cap: &Cap, name: &str) -> String {
    let mut text = format!("{} {name}", cap.kind.name()).trim_end().to_owned();
    let mut notes = Vec::new();
    if let Some(rights) = cap.rights {
        notes.push(rights.to_string());
    }
    if matches!(cap.kind, Kind::Endpoint | Kind::Notification) || cap.badge != 0 {
        notes.push(match cap.badge {
            0 => "no badge".to_owned(),
            badge => format!("badge {badge:#x}"),
        });
    }
    if cap.guard_bits != 0 || cap.guard != 0 {
        notes.push(format!("guard {:#x} of {} bits", cap.guard, cap.guard_bits));
    }
    if cap.executable {
        notes.push("executable".to_owned());
    }
    if cap.kind == Kind::Frame && !cap.cached {
        notes.push("uncached".to_owned());
    }
    if !notes.is_empty() {
        text.push_str(&format!(" ({})", notes.join(", ")));
    }
    text
}

/// What is expected of an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Thing {
    /// log2 of its slots or bytes, where that is known.
    pub(crate) bits: Option<u8>,
    /// Priority of a thread.
    pub(crate) priority: Option<u8>,
    /// Core of a thread.
    pub(crate) core: Option<u64>,
    /// Budget, period and badge of a scheduling context.
    pub(crate) time: Option<crate::spec::Time>,
    /// GIC INTID.
    pub(crate) irq: Option<u64>,
}

/// A page that is expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    /// Name of the frame.
    pub(crate) frame: String,
    pub(crate) rights: Rights,
    pub(crate) executable: bool,
    pub(crate) cached: bool,
}

/// Where physical memory must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Exactly there.
    Device(u64),
    /// In RAM of the board as far as the region's first frame has a fixed place, and so many bytes
    /// behind that one.
    Ram { first: Option<Paddr>, behind: u64 },
    /// Wherever the initialiser puts it.
    Anywhere,
}

/// Everything that is expected.
#[derive(Default)]
pub(crate) struct Wanted {
    /// Objects by kind and name.
    pub(crate) objects: BTreeMap<String, (Kind, Thing)>,
    /// Capabilities by the name of the CNode, thread or interrupt and the slot.
    pub(crate) slots: BTreeMap<(String, u32), Want>,
    /// Pages by protection domain or guest, and address.
    pub(crate) pages: BTreeMap<String, BTreeMap<u64, Page>>,
    /// Frames of the programs of protection domains, by the pages' numbers: how many there are, and
    /// their rights, is the program's affair.
    pub(crate) programs: BTreeMap<String, BTreeMap<usize, String>>,
    /// Those that VMMs have together.
    pub(crate) vmm_program: BTreeMap<usize, String>,
    /// Where frames must be, by their names.
    pub(crate) places: HashMap<String, Place>,
    /// Memory regions that have not the size that they should have: name, bytes, and what is
    /// expected.
    pub(crate) sizes: Vec<(String, u64, String)>,
}

impl Wanted {
    pub(crate) fn object(&mut self, kind: Kind, name: impl Into<String>, thing: Thing) {
        self.objects.insert(name.into(), (kind, thing));
    }

    pub(crate) fn page(&mut self, who: &str, vaddr: u64, page: Page) {
        match self.pages.get_mut(who) {
            Some(pages) => pages.insert(vaddr, page),
            None => self
                .pages
                .entry(who.to_owned())
                .or_default()
                .insert(vaddr, page),
        };
    }

    pub(crate) fn slot(&mut self, holder: &str, slot: u64, want: Want) {
        // A slot that no CNode has is never found there.
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.slots.insert((holder.to_owned(), slot), want);
    }
}
