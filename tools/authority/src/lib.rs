//! Who holds which capability in a system image, who reaches which memory, who may call whom,
//! and whether that is as it should be.
//!
//! The image builder writes the capDL specification of an image as JSON: every kernel object, and
//! every capability that exists when the system has started. [`Authority::read`] turns it into a
//! model of [`Subject`]s (protection domains and guests), [`Memory`] and [`Edge`]s;
//! [`Authority::check`] applies the rules of the system to it, and [`report`] shows it as a table,
//! JSON, DOT or a picture.
//!
//! What can change at run time follows from the same capabilities: see [`RunTime`].
//!
//! Host code; nothing here runs on the target.
#![forbid(unsafe_code)]

mod cspace;
mod expect;
mod memory;
pub mod report;
mod rules;
mod run_time;
mod spec;
mod subject;
mod talk;
mod vspace;

pub use cspace::{Chain, Held};
pub use expect::{Disks, Domain, Shared, System};
pub use memory::{Memory, What};
pub use rules::{Breach, Check};
pub use run_time::{Grant, RunTime};
pub use spec::{Cap, Id, Kind, Object, Rights, Spec, SpecError, Time};
pub use subject::{Role, Subject};
pub use talk::{Edge, Way};
pub use vspace::{Mapping, Run};

/// A specification and what follows from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authority {
    /// The specification.
    pub spec: Spec,
    /// Everybody, by descending priority.
    pub subjects: Vec<Subject>,
    /// All memory with a name, untyped memory first.
    pub memory: Vec<Memory>,
    /// Who may call, notify or report faults to whom.
    pub edges: Vec<Edge>,
}

/// How a subject reaches a piece of memory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum How {
    /// It is mapped.
    Mapped,
    /// A capability to it lies in the CSpace.
    Held,
    /// The kernel puts messages of its thread there.
    IpcBuffer,
}

/// A subject that reaches a piece of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Position in [`Authority::subjects`].
    pub subject: usize,
    /// How.
    pub how: How,
    /// Rights: all there are together.
    pub rights: Rights,
    /// Whether it may be executed.
    pub executable: bool,
    /// A way there, one that may write if any does.
    pub chain: Chain,
}

impl Authority {
    /// Reads a capDL specification in JSON.
    ///
    /// # Errors
    /// [`SpecError`]: what is wrong with it.
    pub fn read(text: &str) -> Result<Self, SpecError> {
        Spec::parse(text).map(Self::of)
    }

    /// What follows from `spec`.
    pub fn of(spec: Spec) -> Self {
        let subjects = subject::subjects(&spec);
        let edges = talk::edges(&spec, &subjects);
        Self {
            memory: memory::memories(&spec),
            subjects,
            edges,
            spec,
        }
    }

    /// Applies every rule, to what the specification seems to be of: see [`Self::system`].
    pub fn check(&self) -> Vec<Check> {
        self.check_as(&self.system())
    }

    /// Applies every rule to the specification as one of `system`.
    pub fn check_as(&self, system: &System) -> Vec<Check> {
        rules::check(self, system)
    }

    /// The system that the specification seems to be of. Sizes and static memory stay open.
    pub fn system(&self) -> System {
        System::of(&self.spec, &self.subjects)
    }

    /// What can change at run time.
    pub fn run_time(&self) -> RunTime {
        run_time::run_time(self)
    }

    /// Name of subject `index`.
    pub fn who(&self, index: usize) -> &str {
        self.subjects.get(index).map_or("?", |s| &s.name)
    }

    /// The VMM of guest `guest`: the one that its faults go to.
    pub fn keeper(&self, guest: usize) -> Option<usize> {
        let faults = |edge: &&Edge| edge.from == guest && edge.way == Way::Fault;
        self.edges.iter().find(faults).map(|edge| edge.to)
    }

    /// Everybody who reaches `memory` by what is mapped for them or lies in their CSpace.
    pub fn reach(&self, memory: &Memory) -> Vec<Reach> {
        let mut found: Vec<Reach> = Vec::new();
        // Objects of one thing lie close together, so position separates most of the others.
        let (first, last) = (memory.objects.first(), memory.objects.last());
        let has = |id: Id| {
            let near =
                first.is_some_and(|&first| first <= id) && last.is_some_and(|&last| id <= last);
            near && memory.objects.binary_search(&id).is_ok()
        };
        for (subject, who) in self.subjects.iter().enumerate() {
            let mut add = |how, rights: Rights, executable, chain: &dyn Fn() -> Chain| {
                let same = |reach: &&mut Reach| reach.subject == subject && reach.how == how;
                match found.iter_mut().find(same) {
                    Some(reach) => {
                        // The way that allows most is the one to tell.
                        if rights.write && !reach.rights.write {
                            reach.chain = chain();
                        }
                        reach.rights = reach.rights.or(rights);
                        reach.executable |= executable;
                    }
                    None => found.push(Reach {
                        subject,
                        how,
                        rights,
                        executable,
                        chain: chain(),
                    }),
                }
            };
            for mapping in &who.mappings {
                if has(mapping.frame) {
                    let chain = || self.mapping_chain(who, mapping);
                    add(How::Mapped, mapping.rights, mapping.executable, &chain);
                }
            }
            for &buffer in &who.ipc_buffers {
                if has(buffer) {
                    let frame = || format!("frame {}", self.spec.name(buffer));
                    let what = || "its thread's IPC buffer".to_owned();
                    let chain = || vec![who.name.clone(), what(), frame()];
                    add(How::IpcBuffer, Rights::default(), false, &chain);
                }
            }
            for held in &who.held {
                if held.cap.object.is_some_and(has) {
                    let rights = held.cap.rights.unwrap_or_default();
                    let chain = || held.chain.clone();
                    add(How::Held, rights, held.cap.executable, &chain);
                }
            }
        }
        found
    }

    fn mapping_chain(&self, who: &Subject, mapping: &Mapping) -> Chain {
        let (table, slot) = mapping.place;
        vec![
            who.name.clone(),
            format!("its VSpace at {:#x}", mapping.vaddr),
            format!("slot {slot} of {}", self.spec.name(table)),
            format!(
                "frame {} ({})",
                self.spec.name(mapping.frame),
                mapping.rights
            ),
        ]
    }
}

impl Rights {
    fn or(self, other: Self) -> Self {
        Self {
            read: self.read || other.read,
            write: self.write || other.write,
            grant: self.grant || other.grant,
            grant_reply: self.grant_reply || other.grant_reply,
        }
    }
}
