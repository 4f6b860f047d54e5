//! From the first Rust instruction to a system with guests.
//!
//! # Soundness
//! `el2_main` is entered once, from `start.rs`. The image's bounds come from the linker; the
//! payload and the memory behind it are this program's by the packer's promise to load the image
//! where nothing else is (its header says how much).
#![expect(
    unsafe_code,
    reason = "makes objects of what the linker and the packer placed"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Write;

use arm_gic::gicv2::GicV2;
use console::Role;
use dt_server::{Config, DomainConfig, DtServer, Jitter, NoFiles, Range, Seeds};
use dt_server_api::{Client, DtServer as _};
use el2_boot::payload::{self, DOMAINS};
use el2_boot::plan::{GUARD, HEAP, STACK, Sizes, grant_directory};
use el2_boot::{Payload, Plan};
use hv_types::{VcpuId, Vcpus};
use hypervisor_core::life::Life;
use hypervisor_core::life::boot::Modules;
use hypervisor_core::life::driver::{Driven as _, Driver};
use linked_list_allocator::LockedHeap;
use memory_server::{
    BlockRecord, DomainIndex, Manifest, MemoryServer, Purpose, SplitRecord, Tables, UntypedRecord,
};
use soft_caps::{CNode, Caps, Chunk, Place};
use topology::cores::SERVERS;
use topology::pd::time::Time;
use topology::{console_client, pd, share};

use crate::block::Blocks;
use crate::board::{BOARD, DEVICES, GICC, GICD, GICV};
use crate::cores::Stacks;
use crate::cpu;
use crate::firmware;
use crate::guest::{Guest, GuestHost};
use crate::log::ServerLog;
use crate::machine::Machine;
use crate::net::Nets;
use crate::own::Own;
use crate::paging::{Kind, Level, Regime, Space};
use crate::peers::Pages;
use crate::serial::{Console, Direct, uart};
use crate::services::{DtClient, Services, Timers};
use crate::store::Store;
use crate::system::{Part, Shared, System};
use crate::vcpu::Vcpu;

#[global_allocator]
static ALLOCATOR: LockedHeap = LockedHeap::empty();

unsafe extern "C" {
    static _text: u8;
    static _rodata: u8;
    static _data: u8;
    static _image_end: u8;
}

/// The address of a symbol of the linker's.
macro_rules! symbol {
    ($name:ident) => {
        &raw const $name as u64
    };
}

/// Where the image was loaded.
pub(crate) fn image_start() -> u64 {
    symbol!(_text)
}

const BANNER: &str = "\n\
    Zazen EL2 host: one image without isolation between its servers.\n\
    It is for development, CI and comparison. The product is the Microkit system.\n";

/// The image in memory.
struct Image {
    payload: Payload<'static>,
    start: u64,
    /// First byte of the payload.
    files: u64,
    /// First byte of the host's own memory, and the one after its last, where the stack's guard
    /// page is.
    own: (u64, u64),
    /// First byte of the stack, and the one after its last.
    stack: (u64, u64),
}

impl Image {
    /// Finds the payload.
    fn find() -> Self {
        let files = symbol!(_image_end).next_multiple_of(payload::ALIGN as u64);
        // SAFETY: the packer puts a payload of at least a page here; a bare program is followed by
        // RAM.
        let head = unsafe { core::slice::from_raw_parts(files as *const u8, payload::ALIGN) };
        let header = Payload::header(head).unwrap_or_else(|error| panic!("{error}"));
        let size = usize::try_from(header.size).expect("an address has 64 bits");
        // SAFETY: the header, which has the right magic number, says how long the payload is.
        let bytes = unsafe { core::slice::from_raw_parts(files as *const u8, size) };
        let payload = Payload::read(bytes).unwrap_or_else(|error| panic!("{error}"));
        let own = files + payload.size();
        let end = own + payload.own();
        Self {
            payload,
            start: image_start(),
            files,
            own: (own, end - STACK - GUARD),
            stack: (end - STACK, end),
        }
    }

    /// All of it.
    fn range(&self) -> Range {
        Range::new(self.start, self.stack.1 - self.start).expect("an image has bytes")
    }
}

/// The first Rust function; never returns.
// SAFETY: the name is used by `start.rs` alone.
#[unsafe(no_mangle)]
extern "C" fn el2_main(tree: u64) -> ! {
    let mut uart = uart();
    let _ = Direct(&mut uart).write_str(BANNER);
    let image = Image::find();
    let mut entropy = firmware::entropy(tree, image.start);
    // SAFETY: behind the payload, where the packer left room; mapped by the boot tables.
    let mut own = unsafe { Own::new(image.own.0, image.own.1) };
    let heap = usize::try_from(HEAP).expect("an address has 64 bits");
    let at = own.raw(heap);
    // SAFETY: `heap` bytes of the host's own memory for nothing else, once.
    unsafe { ALLOCATOR.lock().init(at, heap) };
    cpu::set_traps();
    entropy.add(&Jitter::measure(cpu::now));

    let config = configuration(&image, &mut Direct(&mut uart));
    let plan = Plan::new(&config, image.range()).unwrap_or_else(|error| panic!("{error}"));
    let manifest = plan
        .manifest()
        .unwrap_or_else(|error| panic!("the memory server's manifest: {error}"));
    let stacks = Stacks::new(&mut own, config.cores);
    let host = host_tables(&image, &config, &mut own, &manifest, &stacks);
    let console = Console::new(&mut own, uart);
    let store = Store::new(&mut own, &config);
    let blocks = Blocks::new(&mut own, &config, &image.payload);
    let nets = Nets::new(&mut own, &config);
    let peers = Pages::new(&mut own, &config);
    let mut build = Build {
        image,
        own,
        config,
        plan_unused: plan.unused,
        console,
        store,
        blocks,
        nets,
        peers,
        seeds: Some(Seeds::new(entropy)),
    };
    let (services, spaces) = build.services(&manifest, host);
    let guests = build.guests(services, &spaces);
    let log = build.report(&manifest, services, &guests);
    let parts = (0..build.config.cores).map(|core| parts(&build.config, core));
    let shared = Shared {
        guests,
        services,
        console: build.console,
        store: build.store,
        blocks: build.blocks,
        nets: build.nets,
        log,
        // SAFETY: the board's GIC, mapped as device memory; made once.
        gic: unsafe { GicV2::new(GICD as *mut _, GICC as *mut _) },
        parts: parts.collect(),
    };
    let shared = Box::leak(Box::new(shared));
    stacks.start(&mut build.own, host.base());
    System::first(shared).run()
}

/// What core `core` has of each domain. All that is done for a guest there is taken from the time
/// of its vCPUs on that core together.
fn parts(config: &Config, core: u8) -> Vec<Part> {
    let part = |domain: &DomainConfig| {
        let vcpus = Vcpus::first(u8::MAX).into_iter().zip(&domain.vcpu_cores);
        let here = vcpus.filter(|(_, at)| **at == core).map(|(id, _)| id);
        let times: Vec<Time> = here
            .clone()
            .filter_map(|id| domain.vcpu_times.get(id.index()).copied())
            .collect();
        Part {
            vcpus: here.fold(Vcpus::NONE, |all, id| all.with(Vcpus::only(id))),
            time: (!times.is_empty()).then(|| share::domain(&times)),
        }
    };
    config.domains.iter().map(part).collect()
}

/// What the domains file says; the mistakes of an invalid one are the last that is heard.
fn configuration(image: &Image, out: &mut Direct<'_>) -> Config {
    let tree = image
        .payload
        .file(DOMAINS)
        .unwrap_or_else(|| panic!("the payload has no {DOMAINS}"));
    match dt_server::parse(tree, &NoFiles) {
        Ok(config) if config.board.name != BOARD.name => panic!(
            "the image is packed for board {}, the program is built for {}; pack it with the program for that board",
            config.board.name, BOARD.name
        ),
        Ok(config) => config,
        Err(diagnostics) => {
            for diagnostic in diagnostics.iter() {
                let _ = writeln!(out, "{diagnostic}");
            }
            panic!("the domains file has mistakes; correct it and pack the image again");
        }
    }
}

/// The host's final address space: its image by rights, its own memory and the memory for page
/// tables, the devices, and no memory of any guest.
fn host_tables(
    image: &Image,
    config: &Config,
    own: &mut Own,
    manifest: &Manifest<'_>,
    stacks: &Stacks,
) -> Space {
    // SAFETY: a fresh page.
    let space = unsafe { Space::new(own.pages(1), Regime::Host) };
    let text = symbol!(_text);
    for (start, end, kind) in [
        (text, symbol!(_rodata), Kind::Code),
        (symbol!(_rodata), symbol!(_data), Kind::Constant),
        (symbol!(_data), symbol!(_image_end), Kind::Memory),
        (image.stack.0, image.stack.1, Kind::Memory),
    ] {
        space.map_identity(own, start, end, kind);
    }
    let mut from = image.own.0;
    for guard in stacks.guards() {
        space.map_identity(own, from, guard, Kind::Memory);
        from = guard + GUARD;
    }
    space.map_identity(own, from, image.own.1, Kind::Memory);
    // Files are read only, but for those that are RAM disks.
    let mut disks: Vec<(u64, u64)> = config
        .ram_disks()
        .iter()
        .filter_map(|(name, _)| image.payload.file(name))
        .map(|file| {
            let start = file.as_ptr() as u64;
            (
                start,
                (start + file.len() as u64).next_multiple_of(payload::ALIGN as u64),
            )
        })
        .collect();
    disks.sort_unstable();
    let mut at = image.files;
    for (start, end) in disks {
        space.map_identity(own, at, start, Kind::Constant);
        space.map_identity(own, start, end, Kind::Memory);
        at = end;
    }
    space.map_identity(own, at, image.own.0, Kind::Constant);
    for untyped in manifest
        .untypeds()
        .filter(|untyped| matches!(untyped.purpose, Purpose::Tables(_)))
    {
        space.map_identity(
            own,
            untyped.paddr,
            untyped.paddr + (1 << untyped.size_bits),
            Kind::Memory,
        );
    }
    for device in DEVICES {
        space.map_identity(own, device, device + Level::Block.bytes(), Kind::Device);
    }
    // SAFETY: everything that the program uses is mapped as above.
    unsafe { cpu::set_host_tables(space.base()) };
    cpu::forget_all_guests();
    space
}

/// What is needed while everything is built.
struct Build {
    image: Image,
    own: Own,
    config: Config,
    plan_unused: u64,
    console: Console,
    store: Store,
    blocks: Option<Blocks>,
    nets: Option<Nets>,
    peers: Pages,
    /// The random numbers of guests, until the dt-server has them.
    seeds: Option<Seeds>,
}

impl Build {
    /// The servers, and the `VTTBR_EL2` of each domain.
    fn services(&mut self, manifest: &Manifest<'_>, host: Space) -> (&'static Services, Vec<u64>) {
        let sizes = Sizes::of(manifest);
        let own = &mut self.own;
        let tables = Tables {
            untypeds: own.slice(sizes.untypeds, || UntypedRecord::EMPTY),
            blocks: own.slice(sizes.blocks, || BlockRecord::EMPTY),
            splits: own.slice(sizes.splits, || SplitRecord::EMPTY),
            windows: own.zeroed(sizes.windows),
        };
        let memory = MemoryServer::new(manifest, tables).unwrap_or_else(|error| panic!("{error}"));
        let caps = capabilities(manifest, &sizes, own);
        let mut machine = Machine::new(caps, host, own);
        let layouts = self
            .config
            .domains
            .iter()
            .map(|domain| &domain.record.layout);
        let spaces = manifest
            .domains()
            .zip(layouts)
            .map(|((domain, _), layout)| machine.add_domain(domain, own, layout.gicc, GICV))
            .collect();
        let port = |console: &mut Console, own: &mut Own, client, name| {
            let port = console.add(own, client, name, Role::Server);
            ServerLog::new(port.unwrap_or_else(|error| panic!("console client {name}: {error}")))
        };
        // Guests come first, so that their order is that of the domains file.
        let guests = self.config.domains.len();
        debug_assert!(guests <= topology::MAX_DOMAINS);
        let memory_log = port(
            &mut self.console,
            own,
            console_client::MEMORY_SERVER,
            pd::MEMORY_SERVER,
        );
        let mut dt_log = port(
            &mut self.console,
            own,
            console_client::DT_SERVER,
            pd::DT_SERVER,
        );
        self.store.set_log(port(
            &mut self.console,
            own,
            console_client::XENSTORE_SERVER,
            pd::XENSTORE_SERVER,
        ));
        for warning in self.config.warnings.iter() {
            dt_log.line(format_args!("{warning}"));
        }
        let seeds = self.seeds.take().unwrap_or_else(Seeds::none);
        dt_log.line(format_args!("{seeds}"));
        let services = Services {
            memory: RefCell::new(memory),
            memory_log: RefCell::new(memory_log),
            memory_report: RefCell::default(),
            machine: RefCell::new(machine),
            dt: RefCell::new(DtServer::new(self.config.clone(), seeds)),
            peers: RefCell::new(self.peers.server(own, &self.config)),
            timer: RefCell::new(Timers::new()),
        };
        (Box::leak(Box::new(services)), spaces)
    }

    /// The guests, built and ready to run; those that could not be built say why.
    fn guests(&mut self, services: &'static Services, spaces: &[u64]) -> Vec<Box<Guest>> {
        let mut guests = Vec::new();
        for (index, vttbr) in (0_u8..).zip(spaces) {
            let domain = DomainIndex(index);
            let config = &self.config.domains[usize::from(index)];
            let name = config.record.name.clone();
            let port = self
                .console
                .add(&mut self.own, usize::from(index), &name, Role::Guest);
            let port = port.unwrap_or_else(|error| panic!("domain {name}: {error}"));
            let window = services.machine.borrow().window(domain);
            let several = config.record.vcpus > 1;
            let mut ids = Vcpus::first(u8::MAX).into_iter();
            let vcpus = core::array::from_fn(|number| {
                let core = config.vcpu_cores.get(number).copied();
                let id = ids.next().unwrap_or(VcpuId::BOOT);
                Vcpu::new(*vttbr, id, several, core.unwrap_or(SERVERS))
            });
            let store = self.store.add(&mut self.own, usize::from(index), config);
            let own = &mut self.own;
            let blocks = self.blocks.as_mut();
            let disks =
                blocks.and_then(|blocks| blocks.add(own, usize::from(index), &self.config, config));
            let nets = self.nets.as_mut();
            let nets = nets.and_then(|nets| nets.add(own, usize::from(index), &self.config));
            let peers = self.peers.side(services, usize::from(index));
            let ends = (port, store, disks, nets, peers);
            let mut host = GuestHost::new(services, domain, vcpus, window, ends);
            let life = self.life(services, &mut host, index);
            let driver = Driver::new(life);
            let mut guest = Box::new(Guest {
                host,
                driver,
                told: Vcpus::NONE,
                ticks: [0; hv_types::MAX_VCPUS],
            });
            guest.driver.start(&mut guest.host);
            guest.told = guest.driver.running();
            guests.push(guest);
        }
        guests
    }

    fn life(
        &mut self,
        services: &'static Services,
        host: &mut GuestHost,
        index: u8,
    ) -> Option<Life<'static, DtClient>> {
        let mut dt: DtClient = Client::new(Box::new(move |message: &_| {
            services.dt.borrow_mut().on_ppc(usize::from(index), message)
        }));
        let record = dt
            .record()
            .map_err(|error| host.say(format_args!("no domain record: {error}")))
            .ok()?;
        let config = &self.config.domains[usize::from(index)];
        let file = |name: &str| self.image.payload.file(name);
        let missing = |host: &mut GuestHost| {
            host.say(format_args!(
                "a file of the domain is missing in the payload"
            ));
        };
        let kernel = file(&config.kernel_file).or_else(|| {
            missing(host);
            None
        })?;
        let ramdisk = match &config.ramdisk_file {
            Some(name) => Some(file(name).or_else(|| {
                missing(host);
                None
            })?),
            None => None,
        };
        let words = topology::p2m_bytes(config.max_ram()) / 4;
        let table = self
            .own
            .zeroed(usize::try_from(words).expect("an address has 64 bits"));
        let modules = Modules { kernel, ramdisk };
        Some(Life::new(host, dt, record, table, modules))
    }

    /// Says what became of the machine's RAM, in the log of the host itself.
    fn report(
        &mut self,
        manifest: &Manifest<'_>,
        services: &'static Services,
        guests: &[Box<Guest>],
    ) -> Option<ServerLog> {
        let port = self.console.add(
            &mut self.own,
            console_client::TIMER_SERVER,
            "el2",
            Role::Server,
        );
        let mut log = ServerLog::new(port.ok()?);
        if let Some(blocks) = &mut self.blocks {
            // Nobody else here has the fault server's number.
            let client = console_client::FAULT_SERVER;
            let name = "block_server";
            if let Ok(port) = self.console.add(&mut self.own, client, name, Role::Server) {
                blocks.set_log(ServerLog::new(port));
            }
        }
        if let Some(nets) = &mut self.nets {
            let (client, name) = (console_client::NET_SERVER, "net_server");
            if let Ok(port) = self.console.add(&mut self.own, client, name, Role::Server) {
                nets.set_log(ServerLog::new(port));
            }
        }
        if self.config.cores > 1 {
            log.line(format_args!("{} cores, behind one lock", self.config.cores));
        }
        let started = guests.iter().filter(|guest| guest.is_ready()).count();
        let chunks = Sizes::of(manifest).chunks - services.machine.borrow().chunks_used();
        let own = self.own.all() + STACK + GUARD;
        let spare = (chunks * size_of::<Chunk>()) as u64 + self.own.all() - self.own.used();
        let of = |wanted: fn(Purpose) -> bool| -> u64 {
            let all = manifest
                .untypeds()
                .filter(|untyped| wanted(untyped.purpose));
            all.map(|untyped| 1_u64 << untyped.size_bits).sum()
        };
        let program = self.image.files - self.image.start;
        let tables = of(|purpose| matches!(purpose, Purpose::Tables(_)));
        log.line(format_args!(
            "RAM: hypervisor {} KiB (program {}, tables and records {}, guests' page tables {}); {} KiB more if all is split into pages",
            (program + own - spare + tables) >> 10,
            program >> 10,
            (own - spare) >> 10,
            tables >> 10,
            spare >> 10
        ));
        log.line(format_args!(
            "RAM: static {} MiB, heap {} MiB, files {} MiB, unused {} MiB; {started} of {} guests start",
            of(|purpose| matches!(purpose, Purpose::Static(_))) >> 20,
            of(|purpose| purpose == Purpose::Heap) >> 20,
            self.image.payload.size() >> 20,
            self.plan_unused >> 20,
            guests.len()
        ));
        Some(log)
    }
}

/// The capability table with the manifest's untypeds: CNode 0 is the memory server's, `d + 1` the
/// grants of domain `d`.
fn capabilities(manifest: &Manifest<'_>, sizes: &Sizes, own: &mut Own) -> Caps<'static> {
    let mut caps = Caps::new(own.slice(sizes.chunks, || Chunk::EMPTY));
    let directories = core::iter::once(sizes.own_directory).chain(
        manifest
            .domains()
            .map(|(_, domain)| grant_directory(domain.grant_radix)),
    );
    for length in directories {
        caps.add_cnode(own.zeroed(length))
            .unwrap_or_else(|error| panic!("a CNode: {error:?}"));
    }
    for (slot, untyped) in (0..).zip(manifest.untypeds()) {
        let place = Place {
            cnode: CNode(0),
            slot,
        };
        caps.insert_untyped(place, untyped.paddr, untyped.size_bits, untyped.device)
            .unwrap_or_else(|error| panic!("untyped {slot}: {error:?}"));
    }
    caps
}
