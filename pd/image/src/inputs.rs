//! Everything that an image is made of, read and checked.

use memory_server::manifest::MANIFEST_WORDS;
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::capdl::{CapDLSpecContainer, build_capdl_spec};
use microkit_tool::elf::ElfFile;
use microkit_tool::sdf::{self, SysMemoryRegionPaddr, SystemDescription};
use microkit_tool::sel4::{Config, PageSize, emulate_kernel_boot_partial};
use microkit_tool::symbols::patch_symbols;
use microkit_tool::util::get_full_path;
use microkit_tool::{DisjointMemoryRegion, MemoryRegion};
use topology::pd;
use untyped_plan::{BootUntyped, Paddr, Span};

use crate::build::Request;
use crate::common::{self, Common};
use crate::el2_traps;
use crate::error::Error;
use crate::layout::check_disjoint;
use crate::modules::{Preload, free_ram, place_for_devices, preload};
use crate::narrow::narrow;
use crate::needs::Heap;
use crate::patch;
use crate::sdk::read_elf;

/// Everything that stays the same from round to round.
pub(crate) struct Inputs<'a> {
    /// What was asked for.
    pub request: &'a Request<'a>,
    /// The system description; files that the loader places are taken out.
    pub system: SystemDescription,
    /// The protection domains' programs in its order, then Microkit's monitor.
    pub elfs: Vec<ElfFile>,
    /// Which of them is the memory server.
    pub memory_server: usize,
    /// Microkit's specification, without what we add.
    pub spec: CapDLSpecContainer,
    /// Who has how much of its program together with others.
    pub common: Common,
    /// The initial task without a specification.
    pub initialiser: CapDLInitialiser,
    /// The kernel.
    pub kernel_elf: ElfFile,
    /// Instructions taken from it that would have changed traps.
    pub held: usize,
    /// The kernel's memory without its image.
    pub available: DisjointMemoryRegion,
    /// End of the part of the image that the kernel needs only while it starts.
    pub kernel_end: u64,
    /// Where the loader's own image begins.
    pub loader: Paddr,
    /// Files that the loader places.
    pub preloads: Vec<Preload>,
}

/// Reads and checks all inputs.
///
/// # Errors
/// What is missing or wrong.
pub(crate) fn prepare<'a>(request: &'a Request<'a>) -> Result<Inputs<'a>, Error> {
    let config = &request.sdk.kernel;
    let (path, xml) = request.system;
    let mut system = sdf::parse(path, xml, config, &request.search).map_err(Error::new)?;
    for region in &system.memory_regions {
        if matches!(region.phys_addr, SysMemoryRegionPaddr::ToolAllocated(_)) {
            return Err(Error::new(format!(
                "memory region '{}' of {} asks for its own physical address (setvar region_paddr), which is not supported",
                region.name,
                path.display()
            ))
            .advise("give the region a phys_addr"));
        }
    }
    let kernel_path = request
        .kernel
        .clone()
        .unwrap_or_else(|| request.sdk.elf_path("sel4"));
    let mut kernel_elf = read_elf(&kernel_path)?;
    check_kernel(&kernel_elf, config)?;
    let held = el2_traps::hold(&mut kernel_elf);
    let (available, kernel_boot) = emulate_kernel_boot_partial(config, &kernel_elf);

    let mut elfs = Vec::new();
    for pd in &system.protection_domains {
        let found = get_full_path(&pd.program_image, &request.search).ok_or_else(|| {
            Error::new(format!(
                "{}, the program of '{}', is not there",
                pd.program_image.display(),
                pd.name
            ))
            .advise("build the protection domains and give their directory with --elfs")
        })?;
        elfs.push(read_elf(&found)?);
    }
    elfs.push(request.sdk.elf("monitor")?);
    let memory_server = patch::position(&system, pd::MEMORY_SERVER)?;
    patch::check(&elfs[memory_server], patch::MANIFEST, MANIFEST_WORDS * 8)?;
    patch::names(&system, &mut elfs, request.needs)?;
    let several_cores = config.num_cores > 1;
    patch::gates(&system, &mut elfs, request.needs, several_cores)?;
    if several_cores {
        patch::cores(&system, &mut elfs, request.needs)?;
    }
    if request.heap == Heap::All {
        let kernel = available.regions.iter().map(MemoryRegion::size);
        let others = free_ram(&request.needs.ram, &device_untypeds(config), &[]);
        let all: u64 = kernel.chain(others.iter().map(|span| span.size())).sum();
        enlarge_records(&mut system, topology::records_bytes(all));
    }

    // Before the files are taken out of their regions: it may patch sizes of regions and files.
    patch_symbols(config, &mut elfs, &system).map_err(Error::new)?;
    let named = request.needs.named();
    check_disjoint(&named, &fixed_regions(&system))?;
    let device = device_untypeds(config);
    let needs = request.needs;
    let areas = needs.device_regions();
    let mut preloads = place_for_devices(&mut system, &needs.ram, &device, &named, &areas)?;
    patch::device_areas(&system, &mut elfs, needs, &preloads)?;
    preloads.extend(preload(&mut system, &needs.ram, &device, &named));
    let mut spec = build_capdl_spec(config, &mut elfs, &system).map_err(Error::new)?;
    narrow(&mut spec);
    // Nothing is written into VMMs' programs any more.
    let common = common::join(&mut spec, &system, &elfs, needs);
    let loader = request.sdk.elf("loader")?;
    let loader = loader.loadable_segments();
    let loader = loader.iter().map(|segment| segment.virt_addr).min();
    let initialiser = CapDLInitialiser::new(request.sdk.elf("initialiser")?);
    Ok(Inputs {
        request,
        system,
        elfs,
        memory_server,
        spec,
        common,
        initialiser,
        kernel_elf,
        held,
        available,
        kernel_end: kernel_boot.end,
        loader: Paddr(loader.unwrap_or(0)),
        preloads,
    })
}

/// Refuses a kernel of another board, which Microkit's library would stumble over.
fn check_kernel(kernel: &ElfFile, config: &Config) -> Result<(), Error> {
    let memory: Vec<Span> = config
        .normal_regions
        .iter()
        .flatten()
        .filter_map(|region| Span::new(Paddr(region.start), Paddr(region.end)))
        .collect();
    for segment in kernel.loadable_segments() {
        let Some(span) = Span::sized(Paddr(segment.phys_addr), segment.mem_size()) else {
            continue;
        };
        if !memory.iter().any(|region| region.contains(span)) {
            return Err(Error::new(format!(
                "kernel {} loads to {span}, which is not this board's memory",
                kernel.path.display()
            ))
            .advise("a kernel that was built for this board with the SDK's configuration"));
        }
    }
    match kernel.find_symbol("ki_boot_end") {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(format!(
            "{} is no seL4 kernel: {error}",
            kernel.path.display()
        ))),
    }
}

/// Name of the region with the memory server's records.
const RECORDS: &str = "records";

/// Makes the memory server's records large enough for all memory that `--heap all` can give it,
/// in 2 MiB pages if they can be mapped so.
fn enlarge_records(system: &mut SystemDescription, bytes: u64) {
    let maps = system.protection_domains.iter().flat_map(|pd| &pd.maps);
    let aligned = maps
        .filter(|map| map.mr == RECORDS)
        .all(|map| map.vaddr.is_multiple_of(PageSize::Large as u64));
    let records = system
        .memory_regions
        .iter_mut()
        .find(|region| region.name == RECORDS);
    let Some(region) = records else { return };
    if region.size >= bytes || !matches!(region.phys_addr, SysMemoryRegionPaddr::Unspecified) {
        return;
    }
    if aligned && bytes >= PageSize::Large as u64 {
        region.page_size = PageSize::Large;
    }
    region.page_count = bytes.div_ceil(region.page_size_bytes());
    region.size = region.page_count * region.page_size_bytes();
}

/// Regions of the system description with a physical address.
pub(crate) fn fixed_regions(system: &SystemDescription) -> Vec<(String, Span)> {
    let regions = system.memory_regions.iter();
    regions
        .filter_map(|region| {
            Some((
                region.name.clone(),
                Span::sized(Paddr(region.paddr()?), region.size)?,
            ))
        })
        .collect()
}

/// A boot untyped as the library describes it.
pub(crate) fn untyped(region: &MemoryRegion, device: bool) -> BootUntyped {
    let bits = u8::try_from(region.size().trailing_zeros()).unwrap_or(u8::MAX);
    BootUntyped::new(Paddr(region.base), bits, device)
}

/// The untypeds outside the kernel's memory, as the kernel cuts them.
fn device_untypeds(config: &Config) -> Vec<BootUntyped> {
    const MAX_BITS: u64 = 47;
    let mut regions = DisjointMemoryRegion::default();
    for region in config.device_regions.iter().flatten() {
        regions.insert_region(region.start, region.end);
    }
    let cut = regions.aligned_power_of_two_regions(config, MAX_BITS);
    cut.iter().map(|region| untyped(region, true)).collect()
}
