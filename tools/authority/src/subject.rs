//! Who can do something: protection domains, guests, and Microkit's monitor.

use core::fmt;
use std::collections::BTreeMap;

use topology::pd;

use crate::cspace::{self, Held};
use crate::spec::{Cap, Id, Kind, Spec};
use crate::vspace::{self, Mapping, Run};

/// Slots of a TCB, by capDL's numbers.
pub(crate) mod slot {
    pub(crate) const CSPACE: u32 = 0;
    pub(crate) const VSPACE: u32 = 1;
    pub(crate) const IPC_BUFFER: u32 = 4;
    pub(crate) const FAULT: u32 = 5;
    pub(crate) const SCHED_CONTEXT: u32 = 6;
    pub(crate) const TIMEOUT: u32 = 7;
    pub(crate) const NOTIFICATION: u32 = 8;
    pub(crate) const VCPU: u32 = 9;
}

/// The role of a subject; the rules go by this.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// A virtual machine.
    Guest,
    /// A guest's virtual machine monitor.
    Vmm,
    /// A server without a role of its own here.
    Server,
    /// The owner of the UART.
    Console,
    /// The owner of the timer.
    TimerServer,
    /// The owner of disks.
    BlockServer,
    /// The driver of a disk, which reads and writes memory by itself.
    BlockDriver,
    /// The driver of an uplink, likewise.
    NetDriver,
    /// The owner of all untyped memory.
    MemoryServer,
    /// Microkit's monitor, which starts and watches all others.
    Monitor,
}

impl Role {
    fn of(name: &str, guest: bool) -> Self {
        match name {
            _ if guest => Self::Guest,
            pd::MEMORY_SERVER => Self::MemoryServer,
            pd::TIMER_SERVER => Self::TimerServer,
            pd::CONSOLE => Self::Console,
            pd::BLOCK_SERVER => Self::BlockServer,
            pd::BLOCK_DRIVER => Self::BlockDriver,
            pd::NET_DRIVER => Self::NetDriver,
            "monitor" => Self::Monitor,
            _ if name.starts_with(pd::VMM_PREFIX) => Self::Vmm,
            _ => Self::Server,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guest => "guest",
            Self::Vmm => "VMM",
            Self::Server | Self::Console | Self::TimerServer | Self::BlockServer => "server",
            Self::BlockDriver | Self::NetDriver => "driver",
            Self::MemoryServer => "memory server",
            Self::Monitor => "Microkit's monitor",
        })
    }
}

/// A subject: a thread with a CSpace and a VSpace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// Name of the PD or VM.
    pub name: String,
    /// Role.
    pub role: Role,
    /// Scheduling priority: of several vCPUs the highest.
    pub priority: u8,
    /// Threads, vCPUs of a guest.
    pub threads: Vec<Id>,
    /// vCPU objects.
    pub vcpus: Vec<Id>,
    /// Frames that hold its threads' messages, mapped or not.
    pub ipc_buffers: Vec<Id>,
    /// Scheduling contexts of its threads.
    pub sched_contexts: Vec<Id>,
    /// Roots of its address spaces; one, unless something is wrong.
    pub vspaces: Vec<Id>,
    /// Page tables of them.
    pub tables: Vec<Id>,
    /// Capabilities to the roots of its CSpaces.
    pub cspaces: Vec<Cap>,
    /// What its CSpaces lead to.
    pub held: Vec<Held>,
    /// What is mapped.
    pub mappings: Vec<Mapping>,
    /// The same, joined.
    pub runs: Vec<Run>,
    /// Endpoints that its threads' faults go to, with the thread.
    pub faults: Vec<(Id, Cap)>,
    /// Notifications bound to its threads.
    pub notifications: Vec<Id>,
}

impl Subject {
    /// Whether CNode `id` is part of its CSpace: a root, or one that is looked through.
    pub fn looks_through(&self, id: Id) -> bool {
        let root = self.cspaces.iter().any(|cap| cap.object == Some(id));
        root || self
            .held
            .iter()
            .any(|held| !held.invocable && held.cap.object == Some(id))
    }

    /// The domain that it is part of, for guests and VMMs.
    pub fn part_of(&self) -> Option<&str> {
        match self.role {
            Role::Guest => Some(&self.name),
            _ => self.domain(),
        }
    }

    /// The domain's name, of a VMM.
    pub fn domain(&self) -> Option<&str> {
        let vmm = self.role == Role::Vmm;
        vmm.then(|| self.name.strip_prefix(pd::VMM_PREFIX))?
    }
}

/// All subjects of `spec`, by descending priority and role.
pub(crate) fn subjects(spec: &Spec) -> Vec<Subject> {
    let mut by_name = BTreeMap::<(String, bool), Vec<Id>>::new();
    for (id, object) in spec.objects().filter(|(_, o)| o.kind == Kind::Tcb) {
        let guest = object.slot(slot::VCPU).is_some();
        let name = object.name.strip_prefix("tcb_").unwrap_or(&object.name);
        // Microkit names the thread of vCPU n of a VM tcb_<vm>_<n>.
        let name = match name.rsplit_once('_') {
            Some((vm, _)) if guest => vm,
            _ => name,
        };
        by_name
            .entry((name.to_owned(), guest))
            .or_default()
            .push(id);
    }
    let all = by_name.into_iter();
    let mut all: Vec<Subject> = all
        .map(|((name, guest), threads)| subject(spec, name, guest, threads))
        .collect();
    // A VMM before its guest, if they have the same priority.
    all.sort_by(|a, b| (b.priority, b.role, &a.name).cmp(&(a.priority, a.role, &b.name)));
    all
}

fn subject(spec: &Spec, name: String, guest: bool, threads: Vec<Id>) -> Subject {
    let slot_of = |thread: &Id, slot| spec.get(*thread).and_then(|object| object.slot(slot));
    let caps = |slot| {
        threads
            .iter()
            .filter_map(move |t| slot_of(t, slot).cloned())
    };
    let objects = |slot| -> Vec<Id> {
        let mut ids: Vec<Id> = caps(slot).filter_map(|cap| cap.object).collect();
        ids.sort();
        ids.dedup();
        ids
    };
    let vspaces = objects(slot::VSPACE);
    let each = || vspaces.iter();
    let mappings: Vec<Mapping> = each()
        .flat_map(|&root| vspace::mappings(spec, root))
        .collect();
    let mut held: Vec<Held> = Vec::new();
    for cap in caps(slot::CSPACE) {
        for found in cspace::walk(spec, &cap, std::slice::from_ref(&name)) {
            if !held.contains(&found) {
                held.push(found);
            }
        }
    }
    Subject {
        role: Role::of(&name, guest),
        priority: threads
            .iter()
            .filter_map(|&thread| Some(spec.get(thread)?.priority))
            .max()
            .unwrap_or(0),
        tables: each()
            .flat_map(|&root| vspace::tables(spec, root))
            .collect(),
        runs: vspace::runs(spec, &mappings),
        mappings,
        held,
        cspaces: caps(slot::CSPACE).collect(),
        vcpus: objects(slot::VCPU),
        ipc_buffers: objects(slot::IPC_BUFFER),
        sched_contexts: objects(slot::SCHED_CONTEXT),
        notifications: objects(slot::NOTIFICATION),
        faults: threads
            .iter()
            .filter_map(|thread| Some((*thread, slot_of(thread, slot::FAULT)?.clone())))
            .collect(),
        vspaces,
        name,
        threads,
    }
}
