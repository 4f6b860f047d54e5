//! What went where, and what it costs at boot.

use core::fmt;

use memory_server::SplitRecord;
use memory_server::layout::{NODE_BITS, NODE_SLOTS};
use memory_server::manifest::{DomainIndex, Purpose};
use microkit_tool::sel4::Config;
use topology::{caps, pd};
use untyped_plan::{BootUntyped, Span, human};

use crate::build::{Checked, Request, WrittenImage};
use crate::layout::{Handed, Layout};
use crate::modules::Preload;
use crate::usage::Usage;

/// Bytes of a capability slot.
const SLOT: u64 = 32;
/// Instructions a byte, measured: zeroing by the kernel, copying by the loader in words.
const ZERO_PER_BYTE: f64 = 0.35;
const COPY_PER_BYTE: f64 = 0.63;

/// A report on an image, as text through `Display`.
pub struct Report {
    title: String,
    domains: Vec<String>,
    untypeds: Vec<Handed>,
    cnodes: Vec<Slots>,
    splits: u16,
    boot: Vec<(BootUntyped, bool)>,
    preloads: Vec<(String, u64, u64)>,
    usage: Vec<Usage>,
    objects: usize,
    used: u64,
    /// Bytes of normal memory that the kernel zeroes while the system starts.
    pub zeroed: u64,
    /// Bytes that the loader copies.
    pub copied: u64,
    image_bytes: u64,
    files: u64,
    owned: u64,
    initial_task: (u64, u64),
    held: usize,
}

/// A CNode made of nodes.
struct Slots {
    pd: String,
    what: &'static str,
    /// Of its slot 0, in that PD.
    cptr: u64,
    /// log2 of its slots.
    radix: u8,
    /// Nodes that are there.
    nodes: usize,
}

impl Slots {
    /// Memory of the directory and its nodes.
    fn bytes(&self) -> u64 {
        SLOT * ((1 << (self.radix - NODE_BITS)) + (self.nodes as u64) * u64::from(NODE_SLOTS))
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pd,
            what,
            cptr,
            radix,
            nodes,
        } = self;
        write!(
            f,
            "{pd:16} {what:14} {cptr:#018x}  2^{radix}  {nodes} * {NODE_SLOTS}"
        )
    }
}

impl Report {
    pub(crate) fn new(
        request: &Request<'_>,
        layout: &Layout,
        boot: &[BootUntyped],
        checked: &Checked,
        preloads: &[Preload],
        objects: usize,
        image: &WrittenImage,
    ) -> Self {
        let mut cnodes = vec![Slots {
            pd: pd::MEMORY_SERVER.to_owned(),
            what: "own CNode",
            cptr: caps::cptr(caps::MEM_OWN_ROOT, 0),
            radix: layout.own_radix,
            nodes: layout.own_nodes as usize,
        }];
        for domain in &layout.domains {
            let vmm = format!("{}{}", pd::VMM_PREFIX, domain.name);
            cnodes.push(Slots {
                pd: vmm,
                what: "grant CNode",
                cptr: caps::cptr(caps::VMM_GRANT_ROOT, 0),
                radix: domain.grant_radix,
                nodes: domain.grant_nodes.len(),
            });
        }
        Self {
            title: format!(
                "{} {}: {}",
                request.sdk.board,
                request.sdk.config_name,
                request.output.display()
            ),
            domains: layout
                .domains
                .iter()
                .map(|domain| domain.name.clone())
                .collect(),
            untypeds: layout.untypeds.clone(),
            cnodes,
            splits: layout.splits,
            boot: boot
                .iter()
                .copied()
                .zip(checked.simulation.touched.iter().copied())
                .collect(),
            preloads: preloads
                .iter()
                .map(|p| (p.region.clone(), p.paddr.0, p.contents().len() as u64))
                .collect(),
            usage: Vec::new(),
            objects,
            used: checked.used,
            zeroed: checked.simulation.zeroed(boot),
            copied: image.copied,
            image_bytes: image.bytes,
            files: image.files,
            owned: owned(&request.sdk.kernel),
            initial_task: image.initial_task,
            held: image.held,
        }
    }

    /// The same with what each protection domain takes.
    pub(crate) fn with_usage(self, usage: Vec<Usage>) -> Self {
        Self { usage, ..self }
    }

    /// Bytes of the kernel's memory that are handed to the memory server for `which`.
    fn handed(&self, which: impl Fn(Purpose) -> bool) -> u64 {
        let handed = self.untypeds.iter();
        let handed = handed.filter(|handed| !handed.device && which(handed.purpose));
        handed.map(|handed| handed.chunk.size()).sum()
    }

    /// What the hypervisor takes of the machine's RAM: what the kernel never hands over, and all
    /// objects but guests' static RAM. A heap counts as a whole.
    fn taken(&self) -> String {
        let tables = self.handed(|purpose| matches!(purpose, Purpose::Tables(_)));
        let heap = self.handed(|purpose| purpose == Purpose::Heap);
        let guests =
            self.handed(|purpose| matches!(purpose, Purpose::Static(_) | Purpose::Shared { .. }));
        let cnodes: u64 = self.cnodes.iter().map(Slots::bytes).sum();
        let objects = self.used - guests;
        let boot = self.boot.iter().filter(|(untyped, _)| !untyped.device);
        let left: u64 = boot.map(|(untyped, _)| untyped.chunk.size()).sum();
        let first = self.owned - left;
        let kib = |bytes: u64| bytes >> 10;
        format!(
            "RAM of the hypervisor: {} KiB (kernel and initial task with its CNode {}, the memory server's and the domains' CNodes {cnodes}, page tables {}, heap {}, other objects {})",
            kib(first + objects),
            kib(first),
            kib(tables),
            kib(heap),
            kib(objects - tables - heap - cnodes),
            cnodes = kib(cnodes),
        )
    }

    fn purpose(&self, purpose: Purpose) -> String {
        let name = |index: DomainIndex| {
            self.domains
                .get(usize::from(index.0))
                .map_or("?", String::as_str)
                .to_owned()
        };
        match purpose {
            Purpose::Static(index) => format!("static RAM of {}", name(index)),
            Purpose::Tables(index) => format!("page tables of {}", name(index)),
            Purpose::Heap => "heap".to_owned(),
            Purpose::Shared { region, .. } => format!("shared memory {region}"),
        }
    }

    /// One line on what the image is and what starting it costs.
    pub fn summary(&self) -> String {
        format!(
            "image {}; loader copies {}, kernel zeroes {} ({:.0} M instructions together)",
            human(self.image_bytes),
            human(self.copied),
            human(self.zeroed),
            self.instructions() / 1e6,
        )
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate in millions")]
    fn instructions(&self) -> f64 {
        self.copied as f64 * COPY_PER_BYTE + self.zeroed as f64 * ZERO_PER_BYTE
    }
}

/// Bytes of RAM that are the kernel's to hand out, or its own.
fn owned(config: &Config) -> u64 {
    let regions = config.normal_regions.iter().flatten();
    regions.map(|region| region.end - region.start).sum()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}", self.title, self.summary())?;
        writeln!(f, "{}", self.taken())?;
        writeln!(
            f,
            "image without the guests' files: {} bytes\n",
            self.image_bytes - self.files
        )?;
        let (base, size) = self.initial_task;
        writeln!(
            f,
            "initial task: {} at {base:#x}, {} objects",
            human(size),
            self.objects
        )?;
        writeln!(
            f,
            "traps at EL2: set on each core before the kernel; {} instructions taken from the kernel that would change them\n",
            self.held
        )?;

        writeln!(
            f,
            "memory of {} (slot of its own CNode, range, size)",
            pd::MEMORY_SERVER
        )?;
        for (slot, handed) in self.untypeds.iter().enumerate() {
            let kind = if handed.device {
                "not the kernel's"
            } else {
                "the kernel's"
            };
            let span = handed.chunk.span();
            let size = human(handed.chunk.size());
            writeln!(
                f,
                "  {slot:3}  {span}  {size:>9}  {kind:16}  {}",
                self.purpose(handed.purpose)
            )?;
        }
        let handed = self.untypeds.iter().filter(|handed| !handed.device);
        let handed: u64 = handed.map(|handed| handed.chunk.size()).sum();
        let boot = self.boot.iter().filter(|(untyped, _)| !untyped.device);
        let all: u64 = boot.map(|(untyped, _)| untyped.chunk.size()).sum();
        // What the other objects leave over is all that could be handed over.
        let left = all - (self.used - handed);
        let tenths = handed * 1000 / left.max(1);
        writeln!(
            f,
            "  of the kernel's memory: {} of the {} KiB that nothing else needs ({}.{} %)",
            handed >> 10,
            left >> 10,
            tenths / 10,
            tenths % 10
        )?;
        writeln!(
            f,
            "  blocks that can be split at once: {}; for that are kept, with what is needed anyway, {} KiB of records, {} KiB of slots and {} KiB of page tables\n",
            self.splits,
            (usize::from(self.splits) * size_of::<SplitRecord>()) >> 10,
            self.cnodes.iter().map(Slots::bytes).sum::<u64>() >> 10,
            self.handed(|purpose| matches!(purpose, Purpose::Tables(_))) >> 10,
        )?;

        writeln!(
            f,
            "CNodes (PD, what, CPtr of slot 0, slots, those that are there)"
        )?;
        for cnode in &self.cnodes {
            writeln!(f, "  {cnode}")?;
        }
        writeln!(
            f,
            "\nmemory of protection domains in KiB (program, tables and objects; regions of its own; shared regions and pages of the program)"
        )?;
        for usage in &self.usage {
            let Usage {
                name,
                own,
                regions,
                shared,
            } = usage;
            let [own, regions, shared] = [own, regions, shared].map(|bytes| bytes >> 10);
            writeln!(f, "  {name:24} {own:6} {regions:6} {shared:6}")?;
        }
        if !self.preloads.is_empty() {
            writeln!(
                f,
                "\nwhat the loader puts into RAM that is not the kernel's"
            )?;
            for (region, paddr, bytes) in &self.preloads {
                writeln!(f, "  {region:24} {paddr:#x}  {}", human(*bytes))?;
            }
        }
        writeln!(
            f,
            "\nmemory that the kernel hands over (* = used, and zeroed while the system starts)"
        )?;
        for (untyped, touched) in self.boot.iter().filter(|(untyped, _)| !untyped.device) {
            let span: Span = untyped.span();
            let mark = if *touched { '*' } else { ' ' };
            writeln!(f, "  {mark} {span}  {}", human(span.size()))?;
        }
        Ok(())
    }
}
