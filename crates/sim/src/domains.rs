//! Domains files in code: what a test says about its guests, and everything that follows from it.

use dt_server::{Config, FileInfo, Range, parse};
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use hv_types::{BLOCK_SIZE, DomId, PAGE_SIZE};
use memory_server::layout;
use memory_server::{DomainConfig, DomainIndex, Purpose, Untyped, manifest::TABLES_BITS};

use xenstore_server_api::{Devices, Disk, Nic};

use crate::memory::Memory;

/// RAM that the kernel does not own: static memory is taken from here upwards.
const STATIC_BASE: u64 = 0x4000_0000;
/// RAM that it owns: the heap, then page tables.
const HEAP_BASE: u64 = 0x8000_0000;
/// log2 of the heap's bytes.
const HEAP_BITS: u8 = 26;
const TABLES_BASE: u64 = 0xa000_0000;
/// Shared memory that has no place.
const SHARED_BASE: u64 = 0xc000_0000;
/// log2 of the slots of a grant CNode; more than any of these guests needs.
const GRANT_RADIX: u8 = 18;
/// Blocks that can be split at once.
const SPLITS: u16 = 24;
/// Bytes of memory that the kernel of [`kernel_image`] asks for, its bss included.
pub const KERNEL_SIZE: u64 = 0x1_0000;

/// One domain of a domains file.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Bytes of RAM.
    pub ram: u64,
    /// Most bytes of RAM that it may come to hold (`zazen,memory-max`); `None` leaves the property
    /// out.
    pub max_ram: Option<u64>,
    /// RAM comes from `xen,static-mem`; otherwise from the heap.
    pub is_static: bool,
    /// `direct-map`. The instructions of [`crate::Guest`] want RAM at [`crate::guest::RAM`], so
    /// only the first domain of a system can execute any.
    pub direct_map: bool,
    /// The value of `xen,enhanced`; `None` leaves the property out.
    pub enhanced: Option<&'static str>,
    /// It has a vpl011.
    pub vpl011: bool,
    /// The value of `trap-unmapped-accesses`; `None` leaves the property out.
    pub trap_unmapped: Option<u32>,
    /// `cpus`.
    pub cpus: u32,
    /// Names of domains before it with which it may have event channels.
    pub meets: Vec<String>,
    /// Domains with whom it may have event channels, and either may map what the other one grants.
    pub grants: Vec<String>,
    /// Static event channels: port, name of a domain before it, and port there.
    pub channels: Vec<(u32, String, u32)>,
    /// Static shared memory.
    pub shared: Vec<SharedMemory>,
    /// Command line.
    pub bootargs: String,
    /// Devices whose back ends are in its VMM.
    pub devices: Devices,
    /// What is on its disks, a multiple of 512 bytes each; the first is xvda.
    pub disks: Vec<Vec<u8>>,
    /// Its network interfaces.
    pub nics: Vec<net_server::PortSpec>,
    /// Its kernel file.
    pub kernel: Vec<u8>,
    /// Its RAM disk.
    pub ramdisk: Option<Vec<u8>>,
}

/// An arm64 Image whose text is the repeated `name`, so that tests know it again.
pub fn kernel_image(name: &str) -> Vec<u8> {
    let mut image: Vec<u8> = name.bytes().cycle().take(0x3000).collect();
    image[..64].fill(0);
    image[16..24].copy_from_slice(&KERNEL_SIZE.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

impl Domain {
    /// A PV guest with 16 MiB of static memory, a kernel and a RAM disk.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ram: 16 << 20,
            max_ram: None,
            is_static: true,
            direct_map: false,
            enhanced: Some("no-xenstore"),
            vpl011: false,
            trap_unmapped: None,
            cpus: 1,
            meets: Vec::new(),
            grants: Vec::new(),
            channels: Vec::new(),
            shared: Vec::new(),
            bootargs: format!("console=hvc0 hostname={name}"),
            devices: Devices::new(),
            disks: Vec::new(),
            nics: Vec::new(),
            kernel: kernel_image(name),
            ramdisk: Some(format!("files of {name}").repeat(300).into_bytes()),
        }
    }

    /// The same with so many vCPUs.
    #[must_use]
    pub fn with_cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The same, and it may have event channels with the domain `other`, which stands before it.
    #[must_use]
    pub fn meeting(mut self, other: &str) -> Self {
        self.meets.push(other.to_owned());
        self
    }

    /// The same, and it may have event channels with the domain `other`, which stands before it,
    /// and either may map what the other one grants to it.
    #[must_use]
    pub fn granting(mut self, other: &str) -> Self {
        self.grants.push(other.to_owned());
        self
    }

    /// The same with a static event channel from `port` to `other_port` of the domain `other`,
    /// which stands before it.
    #[must_use]
    pub fn with_channel(mut self, port: u32, other: &str, other_port: u32) -> Self {
        self.channels.push((port, other.to_owned(), other_port));
        self
    }

    /// The same with static shared memory.
    #[must_use]
    pub fn sharing(mut self, shared: SharedMemory) -> Self {
        self.shared.push(shared);
        self
    }

    /// The same with RAM from the heap.
    #[must_use]
    pub fn heap(mut self) -> Self {
        self.is_static = false;
        self
    }

    /// The same, direct-mapped.
    #[must_use]
    pub fn direct(mut self) -> Self {
        self.direct_map = true;
        self
    }

    /// The same with `ram` bytes of RAM from the heap, and at most `max`.
    #[must_use]
    pub fn growing(mut self, ram: u64, max: u64) -> Self {
        self.ram = ram;
        self.max_ram = Some(max);
        self.heap()
    }

    /// The same with `xen,enhanced` of this value.
    #[must_use]
    pub fn enhanced(mut self, value: &'static str) -> Self {
        self.enhanced = Some(value);
        self
    }

    /// The same with a disk.
    ///
    /// # Panics
    /// There are too many.
    #[must_use]
    pub fn disk(mut self, disk: &Disk<'_>) -> Self {
        self.devices.add_disk(disk).expect("a few disks fit");
        self
    }

    /// The same with a disk that holds these bytes.
    ///
    /// # Panics
    /// There are too many.
    #[must_use]
    pub fn with_disk(mut self, bytes: Vec<u8>) -> Self {
        let disk = Disk {
            number: u8::try_from(self.disks.len()).expect("a few disks"),
            params: "a RAM disk",
            is_read_only: false,
            can_discard: true,
        };
        self.disks.push(bytes);
        self.disk(&disk)
    }

    /// The same with an interface in network `network`, whose address is `mac`.
    ///
    /// # Panics
    /// There are too many.
    #[must_use]
    pub fn with_nic(mut self, network: u8, mac: hv_types::Mac) -> Self {
        let nic = Nic {
            number: u8::try_from(self.nics.len()).expect("a few interfaces"),
            mac: &mac.to_string(),
            network: "a network",
        };
        self.devices.add_nic(&nic).expect("a few interfaces fit");
        self.nics.push(net_server::PortSpec { network, mac });
        self
    }

    /// The same with a vpl011.
    #[must_use]
    pub fn with_vpl011(mut self) -> Self {
        self.vpl011 = true;
        self
    }

    fn node(&self, static_mem: u64) -> DeviceTreeNode {
        let mut node = node(&self.name);
        set(&mut node, "compatible", "xen,domain");
        set(&mut node, "memory", self.ram / 1024);
        set(&mut node, "cpus", self.cpus);
        if self.is_static {
            set(
                &mut node,
                "xen,static-mem",
                [static_mem, self.ram].map(u64::to_be_bytes).concat(),
            );
        }
        if self.direct_map {
            set(&mut node, "direct-map", [0u8; 0]);
        }
        if let Some(max) = self.max_ram {
            set(&mut node, "zazen,memory-max", max / 1024);
        }
        if let Some(enhanced) = self.enhanced {
            set(&mut node, "xen,enhanced", enhanced);
        }
        if self.vpl011 {
            set(&mut node, "vpl011", [0u8; 0]);
        }
        if let Some(trap) = self.trap_unmapped {
            set(&mut node, "trap-unmapped-accesses", trap);
        }
        for shared in &self.shared {
            node.add_child(shared.node());
        }
        let mut kernel = module(
            "kernel",
            "multiboot,kernel",
            &format!("{}.kernel", self.name),
        );
        set(&mut kernel, "bootargs", self.bootargs.as_str());
        node.add_child(kernel);
        if self.ramdisk.is_some() {
            node.add_child(module(
                "ramdisk",
                "multiboot,ramdisk",
                &format!("{}.ramdisk", self.name),
            ));
        }
        node
    }
}

/// Static shared memory of a domain (`xen,domain-shared-memory-v1`).
#[derive(Clone, Copy, Debug)]
pub struct SharedMemory {
    /// `xen,shm-id`.
    pub id: &'static str,
    /// Host address, if it has one.
    pub host: Option<u64>,
    /// Guest address.
    pub guest: u64,
    /// Bytes.
    pub size: u64,
    /// `role`.
    pub role: Option<&'static str>,
}

impl SharedMemory {
    fn node(&self) -> DeviceTreeNode {
        let mut shared = node(&format!("shared-{}", self.id));
        set(&mut shared, "compatible", "xen,domain-shared-memory-v1");
        set(&mut shared, "xen,shm-id", self.id);
        let cells = self.host.into_iter().chain([self.guest, self.size]);
        let cells: Vec<u8> = cells.flat_map(u64::to_be_bytes).collect();
        set(&mut shared, "xen,shared-mem", cells);
        if let Some(role) = self.role {
            set(&mut shared, "role", role);
        }
        shared
    }
}

fn node(name: &str) -> DeviceTreeNode {
    DeviceTreeNode::new_unchecked(name)
}

fn set<T: ToPropertyValue>(node: &mut DeviceTreeNode, property: &str, value: T) {
    node.add_property(DeviceTreeProperty::new_unchecked(property, value));
}

fn module(name: &str, kind: &str, file: &str) -> DeviceTreeNode {
    let mut module = node(name);
    set(
        &mut module,
        "compatible",
        [kind, "multiboot,module"].as_slice(),
    );
    set(&mut module, "zazen,file", file);
    module
}

/// The module files of one domain.
#[derive(Clone, Debug)]
struct Modules {
    domain: String,
    kernel: &'static [u8],
    ramdisk: Option<&'static [u8]>,
}

/// The module files of all domains, mapped for ever.
#[derive(Clone, Debug)]
pub(crate) struct Files(Vec<Modules>);

impl Files {
    fn new(domains: &[Domain]) -> Self {
        let leak = |bytes: &Vec<u8>| -> &'static [u8] { bytes.clone().leak() };
        let modules = domains.iter().map(|domain| Modules {
            domain: domain.name.clone(),
            kernel: leak(&domain.kernel),
            ramdisk: domain.ramdisk.as_ref().map(leak),
        });
        Self(modules.collect())
    }

    /// Kernel and RAM disk of a domain, by its number.
    pub(crate) fn of(&self, domid: u16) -> (&'static [u8], Option<&'static [u8]>) {
        let modules = &self.0[usize::from(domid) - 1];
        (modules.kernel, modules.ramdisk)
    }
}

impl dt_server::Files for Files {
    fn probe(&self, name: &str) -> Option<FileInfo> {
        let (domain, kind) = name.split_once('.')?;
        let modules = self.0.iter().find(|modules| modules.domain == domain)?;
        let bytes = if kind == "kernel" {
            Some(modules.kernel)
        } else {
            modules.ramdisk
        }?;
        let mut head = [0; 64];
        let count = bytes.len().min(64);
        head[..count].copy_from_slice(&bytes[..count]);
        Some(FileInfo {
            size: bytes.len() as u64,
            head: Some(head),
        })
    }
}

/// The boot device tree of these domains with `heap` as `xen,static-heap` if that is not empty,
/// their files and the configuration that the dt-server makes of it.
pub(crate) fn configure(domains: &[Domain], heap: &[Range]) -> Result<(Config, Files), String> {
    let mut tree = DeviceTree::new();
    set(&mut tree.root, "#address-cells", 2u32);
    set(&mut tree.root, "#size-cells", 2u32);
    let mut memory = node("memory@40000000");
    set(&mut memory, "device_type", "memory");
    set(
        &mut memory,
        "reg",
        [STATIC_BASE, 0x8000_0000].map(u64::to_be_bytes).concat(),
    );
    tree.root.add_child(memory);
    let mut chosen = node("chosen");
    if !heap.is_empty() {
        let cells: Vec<u8> = heap
            .iter()
            .flat_map(|range| [range.start, range.size])
            .flat_map(u64::to_be_bytes)
            .collect();
        set(&mut chosen, "xen,static-heap", cells);
    }
    let mut next = STATIC_BASE;
    let mut nodes = Vec::new();
    for domain in domains {
        nodes.push(domain.node(next));
        if domain.is_static {
            next += domain.ram.next_multiple_of(BLOCK_SIZE);
        }
    }
    link(domains, &mut nodes);
    for node in nodes {
        chosen.add_child(node);
    }
    for domain in domains {
        for other in &domain.grants {
            let mut pair = node(&format!("grants-{}-{other}", domain.name));
            set(&mut pair, "compatible", "zazen,pair");
            let names = format!("{}\0{other}\0", domain.name).into_bytes();
            set(&mut pair, "zazen,domains", names.clone());
            set(&mut pair, "zazen,events", [0u8; 0]);
            set(&mut pair, "zazen,grants", names);
            chosen.add_child(pair);
        }
        for other in &domain.meets {
            let mut pair = node(&format!("pair-{}-{other}", domain.name));
            set(&mut pair, "compatible", "zazen,pair");
            let names = format!("{}\0{other}\0", domain.name);
            set(&mut pair, "zazen,domains", names.into_bytes());
            set(&mut pair, "zazen,events", [0u8; 0]);
            chosen.add_child(pair);
        }
    }
    tree.root.add_child(chosen);
    let files = Files::new(domains);
    let mut config = parse(&tree.to_dtb(), &files).map_err(|errors| errors.to_string())?;
    for (config, domain) in config.domains.iter_mut().zip(domains) {
        *config.devices = domain.devices.clone();
    }
    Ok((config, files))
}

/// Adds the ends of static event channels to the nodes of their domains.
fn link(domains: &[Domain], nodes: &mut [DeviceTreeNode]) {
    let mut phandle = 1_u32;
    for (index, domain) in domains.iter().enumerate() {
        for (port, other, other_port) in &domain.channels {
            let other = domains.iter().position(|domain| domain.name == *other);
            let other = other.expect("the domain is there");
            for (at, own, ends) in [
                (other, phandle, [*other_port, phandle + 1]),
                (index, phandle + 1, [*port, phandle]),
            ] {
                let mut end = node(&format!("evtchn{own}"));
                set(&mut end, "compatible", "xen,evtchn-v1");
                set(&mut end, "phandle", own);
                set(&mut end, "xen,evtchn", ends.map(u32::to_be_bytes).concat());
                nodes[at].add_child(end);
            }
            phandle += 2;
        }
    }
}

/// Memory as the image builder hands it over for `config`.
pub(crate) fn memory(config: &Config) -> Memory {
    let general = [Range {
        start: HEAP_BASE,
        size: 1 << HEAP_BITS,
    }];
    let heap = match config.static_heap.as_slice() {
        [] => &general,
        bounded => bounded,
    };
    let mut untypeds: Vec<Untyped> = heap
        .iter()
        .flat_map(chunks)
        .map(|(paddr, size_bits)| Untyped {
            paddr,
            size_bits,
            device: false,
            purpose: Purpose::Heap,
        })
        .collect();
    let mut shared_at = SHARED_BASE;
    for (region, shared) in (0..).zip(&config.shared) {
        let range = shared.range().unwrap_or(Range {
            start: shared_at,
            size: shared.size,
        });
        if shared.host.is_none() {
            shared_at = range.end().next_multiple_of(BLOCK_SIZE);
        }
        let blocks = shared.blocks();
        untypeds.extend(chunks(&range).map(|(paddr, size_bits)| Untyped {
            paddr,
            size_bits,
            device: shared.host.is_some(),
            purpose: Purpose::Shared { region, blocks },
        }));
    }
    let mut domains = Vec::new();
    let mut tables_at = TABLES_BASE;
    let lends = config.lends();
    for (n, domain) in (0..).zip(&config.domains) {
        let index = DomainIndex(n);
        for range in &domain.static_mem {
            untypeds.extend(chunks(range).map(|(paddr, size_bits)| Untyped {
                paddr,
                size_bits,
                device: true,
                purpose: Purpose::Static(index),
            }));
        }
        let tables = domain.tables.next_power_of_two();
        let piece = tables.min(1 << TABLES_BITS);
        let size_bits = u8::try_from(piece.ilog2()).expect("a logarithm");
        tables_at = tables_at.next_multiple_of(piece);
        for _ in 0..tables / piece {
            untypeds.push(Untyped {
                paddr: tables_at,
                size_bits,
                device: false,
                purpose: Purpose::Tables(index),
            });
            tables_at += piece;
        }
        domains.push(DomainConfig {
            domid: DomId(domain.record.domid),
            name: DomainConfig::pad_name(&domain.record.name),
            max_pages: domain.max_ram() / PAGE_SIZE,
            is_static: domain.record.is_static,
            direct: domain.record.direct_map,
            table_quota: u32::try_from(tables / PAGE_SIZE).expect("a quota of tables"),
            grant_radix: GRANT_RADIX,
            lenders: lends.lenders(domains.len()),
            shares: layout::shares(untypeds.iter().copied(), config.shares(domains.len())),
        });
    }
    Memory::new(&domains, &untypeds, SPLITS)
}

/// A range as naturally aligned powers of two, ascending.
fn chunks(range: &Range) -> impl Iterator<Item = (u64, u8)> {
    let (mut at, end) = (range.start, range.start + range.size);
    std::iter::from_fn(move || {
        let most = (end - at).checked_ilog2()?;
        let bits = at.trailing_zeros().min(most);
        let start = at;
        at += 1 << bits;
        Some((start, u8::try_from(bits).ok()?))
    })
}
