//! What a specification is expected to be: a description of the system, and what follows from it.
//!
//! [`System`] says which domains there are and on which board. [`roles`] is everybody's part, from
//! the table of protection domains (`topology::table`): who calls whom under which number, what is
//! mapped where, who has how much time. [`microkit`] turns that into the slots that Microkit's
//! library fills, [`zazen`] adds what the image builder adds. The rules compare the specification
//! with it, slot by slot.
//!
//! The generator of system descriptions reads the same table. What the two share is that table
//! alone: how Microkit and the image builder turn it into capabilities is written here again, so
//! what they do by mistake is not expected. A mistake in the table itself is what the other rules
//! are for, which know roles and no table.

mod microkit;
pub(crate) mod roles;
mod wanted;
mod zazen;

use std::collections::{BTreeMap, HashMap};

use board::Board;
use topology::meets::{Meets, PageName};
use topology::pd::time::Time;
use topology::{MAX_MODULES, caps, pd, vaddr};
use untyped_plan::Span;

use crate::memory::What;
use crate::run_time::GRANT_PREFIX;
use crate::spec::{Kind, Object, Spec};
use crate::subject::Subject;

pub(crate) use wanted::{Page, Place, Want, Wanted, full};
pub(crate) use zazen::WIPER_CNODE;

/// Where Xen's guests have the GIC's CPU interface (`GUEST_GICC_BASE` of Xen's `arch-arm.h`).
const GUEST_GICC: u64 = 0x0300_2000;

/// A system: everything that the expectation depends on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct System {
    /// The board that the image is for.
    pub board: &'static Board,
    /// The domains in the order of their numbers.
    pub domains: Vec<Domain>,
    /// Which of them meet, by their numbers.
    pub meets: Meets,
    /// Whether a network leads outside.
    pub uplink: bool,
    /// Whether RAM of any of them comes from the heap.
    pub heap: bool,
    /// Memory regions of RAM disks, by their numbers.
    pub ram_disks: Vec<String>,
    /// Cores that the kernel uses.
    pub cores: u8,
    /// Whether each protection domain has a capability to its own thread, as Microkit's benchmark
    /// configuration gives it.
    pub benchmark: bool,
    /// Static shared memory; `None` if that is not known.
    pub shared: Option<Vec<Shared>>,
}

/// A domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// How many vCPUs it has.
    pub vcpus: u8,
    /// Guest physical address of the GIC's virtual CPU interface.
    pub gicc: u64,
    /// Its files: number of the module and name of the memory region.
    pub modules: Vec<(u8, String)>,
    /// Bytes of the table behind its p2m; `None` if that is not known.
    pub p2m: Option<u64>,
    /// Its static memory; `None` if that is not known.
    pub static_mem: Option<Vec<Span>>,
    /// Processor time of its vCPUs, by their numbers.
    pub vcpu_times: Vec<Time>,
    /// Its disks.
    pub disks: Disks,
    /// It has network interfaces.
    pub nets: bool,
    /// Cores of its vCPUs, by their numbers; its VMM is on the first one's.
    pub vcpu_cores: Vec<u8>,
}

/// A region of static shared memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shared {
    /// Its name.
    pub id: String,
    /// Who has it, in the order of the domains.
    pub domains: Vec<String>,
    /// Where it lies, if the domains file says so.
    pub span: Option<Span>,
    /// Bytes.
    pub bytes: u64,
}

/// What kind of disks a domain has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Disks {
    /// None.
    #[default]
    None,
    /// RAM disks alone.
    Files,
    /// A device of the board, or a part of one, among them.
    Devices,
}

impl Domain {
    /// The core of its VMM.
    pub(crate) fn vmm_core(&self) -> u8 {
        self.vcpu_cores.first().copied().unwrap_or_default()
    }
}

impl System {
    /// The system that `spec` seems to be of, where no domains file tells. What cannot be seen from
    /// it stays open: sizes, and where static memory lies. `subjects` are those of `spec`.
    pub(crate) fn of(spec: &Spec, subjects: &[Subject]) -> Self {
        let board = board(spec);
        let domains = names(spec, subjects);
        let vcpus = |name: &str| {
            let name = name.to_owned();
            let thread = move |vcpu| spec.get(spec.find(&format!("tcb_{name}_{vcpu}"))?);
            // Unloaders have higher numbers, and no domain has so many vCPUs.
            (0..topology::cores::unloader(0)).map_while(thread)
        };
        let domain = |name: String| {
            let vmm = find(subjects, &format!("{}{name}", pd::VMM_PREFIX));
            let first = |at: u64| {
                let mut mappings = vmm.into_iter().flat_map(|vmm| &vmm.mappings);
                mappings.find(|mapping| mapping.vaddr == at)
            };
            let modules = (0..u8::try_from(MAX_MODULES).unwrap_or(u8::MAX)).filter_map(|number| {
                let mapping = first(vaddr::module(number))?;
                let what = spec.get(mapping.frame).and_then(What::of)?;
                let region = what.region().filter(|name| name.starts_with("module_"))?;
                Some((number, region.to_owned()))
            });
            let direct = board.gic.cpu.start;
            let guest = find(subjects, &name);
            let at_direct = guest.is_some_and(|g| g.mappings.iter().any(|m| m.vaddr == direct));
            Domain {
                vcpus: u8::try_from(vcpus(&name).count().max(1)).unwrap_or(1),
                vcpu_cores: vcpus(&name)
                    .map(|vcpu| u8::try_from(vcpu.core).unwrap_or(0))
                    .collect(),
                gicc: if at_direct { direct } else { GUEST_GICC },
                modules: modules.collect(),
                p2m: None,
                static_mem: None,
                vcpu_times: vcpu_times(spec, &name),
                disks: disks(spec, &name),
                nets: spec
                    .find(&format!("frame_mr_frames_{name}_000000000"))
                    .is_some(),
                name,
            }
        };
        Self {
            board,
            meets: meets(spec, &domains),
            uplink: find(subjects, pd::NET_DRIVER).is_some(),
            heap: find(subjects, pd::WIPER).is_some(),
            domains: domains.into_iter().map(domain).collect(),
            ram_disks: ram_disks(spec, subjects),
            cores: cores(spec),
            benchmark: benchmark(spec),
            shared: None,
        }
    }
}

/// Which domains have a page between their VMMs.
fn meets(spec: &Spec, domains: &[String]) -> Meets {
    let pairs = Meets::ALL.pairs().filter(|(a, b)| {
        let (Some(a), Some(b)) = (domains.get(*a), domains.get(*b)) else {
            return false;
        };
        let frame = format!("frame_mr_{}_000000000", PageName(a, b));
        spec.find(&frame).is_some()
    });
    pairs.fold(Meets::NONE, |meets, (a, b)| meets.with(a, b))
}

/// Cores that the kernel uses, as far as can be seen: on a multicore kernel somebody is not on the
/// first one.
fn cores(spec: &Spec) -> u8 {
    let last = spec.objects().map(|(_, object)| object.core).max();
    u8::try_from(last.unwrap_or(0)).map_or(1, |last| last.saturating_add(1))
}

/// The time that the vCPUs of domain `name` have.
fn vcpu_times(spec: &Spec, name: &str) -> Vec<Time> {
    let time = |vcpu: u64| {
        let context = spec.find(&format!("sched_context_{name}_{vcpu}"))?;
        let time = spec.get(context)?.time?;
        Some(Time {
            budget: time.budget,
            period: time.period,
        })
    };
    (0..topology::cores::unloader(0)).map_while(time).collect()
}

/// What kind of disks domain `name` has: a device reaches data at fixed places alone.
fn disks(spec: &Spec, name: &str) -> Disks {
    let data = spec.find(&format!("frame_mr_data_{name}_000000000"));
    match data.and_then(|id| spec.get(id)) {
        None => Disks::None,
        Some(data) if data.paddr.is_none() => Disks::Files,
        Some(_) => Disks::Devices,
    }
}

/// The regions that the block server has where RAM disks are.
fn ram_disks(spec: &Spec, subjects: &[Subject]) -> Vec<String> {
    let Some(server) = find(subjects, pd::BLOCK_SERVER) else {
        return Vec::new();
    };
    let region = |number| {
        let mut mappings = server.mappings.iter();
        let first = mappings.find(|mapping| mapping.vaddr == vaddr::ram_disk(number))?;
        Some(
            spec.get(first.frame)
                .and_then(What::of)?
                .region()?
                .to_owned(),
        )
    };
    (0..topology::RAM_DISKS).map_while(region).collect()
}

fn find<'a>(subjects: &'a [Subject], name: &str) -> Option<&'a Subject> {
    subjects.iter().find(|subject| subject.name == name)
}

/// The domains' names: the memory server has the grant CNode of domain `i` in slot `i` of those set
/// aside for them.
fn names(spec: &Spec, subjects: &[Subject]) -> Vec<String> {
    let server = spec.find(&format!("cnode_{}", pd::MEMORY_SERVER));
    let mut found: Vec<(u32, &str)> = server
        .and_then(|id| spec.get(id))
        .into_iter()
        .flat_map(|server| &server.slots)
        .filter(|(slot, _)| u64::from(*slot) >= caps::MEM_GRANT_LEAF)
        .filter_map(|(slot, cap)| Some((*slot, spec.name(cap.object?).strip_prefix(GRANT_PREFIX)?)))
        .collect();
    found.sort_unstable();
    let mut names: Vec<String> = Vec::new();
    let vmms = subjects.iter().filter_map(Subject::domain);
    for name in found.into_iter().map(|(_, name)| name).chain(vmms) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The board that most of the devices and interrupts of `spec` are of; the default one if none.
fn board(spec: &Spec) -> &'static Board {
    let frame = |name: &str| {
        let id = spec.find(&format!("frame_mr_{name}_000000000"))?;
        Some(spec.get(id)?.paddr?.0)
    };
    let (uart, gicv) = (frame("uart"), frame("gicv"));
    let hits = |board: &Board| {
        let irqs = [board.uart.intid, board.timer.intid()];
        let irq = |&&(irq, _): &&(u64, _)| irqs.iter().any(|&has| u64::from(has) == irq);
        usize::from(uart == Some(board.uart.registers.start))
            + usize::from(gicv == Some(board.gic.virtual_cpu.start))
            + spec.irqs().iter().filter(irq).count()
    };
    let best = board::BOARDS
        .iter()
        .copied()
        .rev()
        .max_by_key(|board| hits(board));
    best.filter(|board| hits(board) > 0)
        .unwrap_or(board::DEFAULT)
}

/// Whether most CNodes of protection domains hold a thread where the benchmark configuration puts
/// it.
fn benchmark(spec: &Spec) -> bool {
    let cnodes = spec
        .objects()
        .filter(|(_, object)| object.kind == Kind::CNode && object.slot(microkit::REPLY).is_some());
    let (mut with, mut without) = (0, 0);
    for (_, cnode) in cnodes {
        match cnode.slot(microkit::OWN_TCB) {
            Some(_) => with += 1,
            None => without += 1,
        }
    }
    with > without
}

/// Everything that is expected of `spec` if it is of `system`.
pub(crate) fn wanted(system: &System, spec: &Spec) -> Wanted {
    let names = Names::of(spec);
    let mut wanted = Wanted::default();
    microkit::add(system, &names, &mut wanted);
    zazen::add(system, &names, &mut wanted);
    zazen::shrink(&mut wanted);
    wanted
}

/// Objects by name; of several with one name the first.
struct Names<'a>(HashMap<&'a str, &'a Object>);

impl<'a> Names<'a> {
    fn of(spec: &'a Spec) -> Self {
        let mut names = HashMap::new();
        for (_, object) in spec.objects() {
            names.entry(object.name.as_str()).or_insert(object);
        }
        Self(names)
    }

    fn get(&self, name: &str) -> Option<&'a Object> {
        self.0.get(name).copied()
    }

    fn of_kind(&self, kind: &Kind) -> impl Iterator<Item = &'a Object> {
        let all = self.0.values().copied();
        all.filter(move |object| object.kind == *kind)
    }

    /// Frames of a series by their numbers, of which any may be missing.
    fn numbered(&self, prefix: &str) -> BTreeMap<usize, &'a Object> {
        let frames = self.of_kind(&Kind::Frame).filter_map(|frame| {
            let digits = frame.name.strip_prefix(prefix)?.strip_prefix('_')?;
            let is_number = digits.len() == 9 && digits.bytes().all(|b| b.is_ascii_digit());
            Some((digits.parse().ok().filter(|_| is_number)?, frame))
        });
        frames.collect()
    }

    /// Frames whose names start with `prefix`, in the order of their numbers.
    fn frames(&self, prefix: &str) -> Vec<&'a Object> {
        let mut frames = Vec::new();
        // Microkit numbers the frames of a region with nine digits, from 0.
        while let Some(frame) = self.get(&format!("{prefix}_{:09}", frames.len())) {
            frames.push(frame);
        }
        frames
    }
}
