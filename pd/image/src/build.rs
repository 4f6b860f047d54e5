//! From a system description to an image.
//!
//! Where things lie depends on how large the initial task is, which depends on how many objects
//! there are, which depends on where things lie. So the layout is chosen again until it no
//! longer changes; in practice the second or third round. Two layouts may follow from each other: a
//! piece more makes the initial task larger, which joins two pieces. Then one will do that can be
//! allocated, though another one would be chosen beside it. The initial task itself lies behind
//! what the layout needs, and after some rounds it only moves up: else it could go to and fro
//! between two places for ever.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use microkit_tool::MemoryRegion;
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::capdl::{CapDLSpecContainer, FrameFill};
use microkit_tool::elf::ElfFile;
use microkit_tool::loader::Loader;
use microkit_tool::sel4::{Config, emulate_kernel_boot};
use sel4_capdl_initializer_types::{Object, Spec};
use untyped_plan::{BootUntyped, Chunk, Paddr, Simulation, Span, human, simulate, subtract};

use crate::error::Error;
use crate::explain::explain;
use crate::inputs::{Inputs, fixed_regions, prepare, untyped};
use crate::layout::Layout;
use crate::loader::{LoaderImage, LoaderProgram, Region};
use crate::modules::Preload;
use crate::needs::{Heap, Needs};
use crate::report::Report;
use crate::sdk::{Sdk, read_elf};
use crate::{cnodes, extend, order, pack, patch, time, usage};

/// Rounds after which a layout that still changes is given up.
const ROUNDS: usize = 12;
/// Rounds after which one will do that can be allocated.
const SETTLED: usize = 6;
/// Rounds after which the room in front of the initial task no longer shrinks.
const MOVING: usize = 3;

/// What is to be built.
pub struct Request<'a> {
    /// SDK, board and configuration.
    pub sdk: &'a Sdk,
    /// The system description and the file it came from, for messages.
    pub system: (&'a Path, &'a str),
    /// Where ELF files, module files and `domains.dtb` are looked for.
    pub search: Vec<PathBuf>,
    /// What the domains file asks for.
    pub needs: &'a Needs,
    /// How much heap.
    pub heap: Heap,
    /// A kernel instead of the SDK's.
    pub kernel: Option<PathBuf>,
    /// Where the image goes.
    pub output: &'a Path,
    /// Where the image goes as an ELF file, if anywhere.
    pub elf: Option<PathBuf>,
    /// Where the specification goes as JSON, if anywhere.
    pub capdl_json: Option<PathBuf>,
}

/// One round: an initial task with everything in it, and what the kernel would make of it.
struct Attempt {
    container: CapDLSpecContainer,
    initialiser: CapDLInitialiser,
    boot: Vec<BootUntyped>,
    first_free_slot: u64,
    /// Bytes left in front of the initial task.
    room: u64,
}

/// Builds the image and writes it; nothing is written if it would not boot.
///
/// # Errors
/// What is wrong with the inputs, or what does not fit.
pub fn build(request: &Request<'_>) -> Result<Report, Error> {
    let mut inputs = prepare(request)?;
    let mut layout = Layout::empty(request.needs);
    let mut room = 0;
    for round in 0..ROUNDS {
        let mut attempt = inputs.attempt(&layout, room)?;
        if round >= MOVING {
            room = room.max(attempt.room);
        }
        let next = inputs.choose(&attempt, &layout)?;
        let is_last = next == layout;
        if !is_last && round < SETTLED {
            layout = next;
            continue;
        }
        let checked = match inputs.check(&attempt) {
            Err(_) if !is_last => {
                layout = next;
                continue;
            }
            checked => checked?,
        };
        let image = inputs.write(&attempt)?;
        if let Some(path) = &request.capdl_json {
            forget_contents(&mut attempt.container.spec);
            let json = serde_json::to_string_pretty(&attempt.container.spec).map_err(|error| {
                Error::new(format!("the specification cannot be encoded: {error}"))
            })?;
            write_file(path, json.as_bytes())?;
        }
        let (system, config) = (&inputs.system, inputs.config());
        let usage = usage::of_pds(system, &attempt.container, config, &inputs.common);
        return Ok(Report::new(
            request,
            &layout,
            &attempt.boot,
            &checked,
            &inputs.preloads,
            attempt.container.spec.objects.len(),
            &image,
        )
        .with_usage(usage));
    }
    Err(
        Error::new("the places of the memory server's untypeds do not settle")
            .advise("leave --heap all out, or move a range of the domains file by 2 MiB"),
    )
}

/// Removes the contents of frames. Readers of capabilities do not need them, and a RAM disk as a
/// JSON list takes thirty times its size.
fn forget_contents(spec: &mut Spec<FrameFill>) {
    for named in &mut spec.objects {
        if let Object::Frame(frame) = &mut named.object {
            frame.init.entries.clear();
        }
    }
}

fn span_of(region: &MemoryRegion) -> Option<Span> {
    Span::new(Paddr(region.base), Paddr(region.end))
}

impl Inputs<'_> {
    fn config(&self) -> &Config {
        &self.request.sdk.kernel
    }

    /// Microkit's specification with everything in `layout`, in the initialiser's order.
    fn specification(&self, layout: &Layout) -> Result<CapDLSpecContainer, Error> {
        let mut container = CapDLSpecContainer {
            spec: self.spec.spec.clone(),
            expected_allocations: HashMap::new(),
        };
        let several_cores = self.config().num_cores > 1;
        extend::extend(&mut container, layout)?;
        time::arrange(&mut container, layout, self.request.needs, several_cores)?;
        cnodes::shrink(&mut container);
        order::sort(&mut container, self.config());
        Ok(container)
    }

    /// The initial task with `layout` and at least `room` bytes in front of it, and the untypeds
    /// that the kernel will give it.
    fn attempt(&mut self, layout: &Layout, room: u64) -> Result<Attempt, Error> {
        let container = self.specification(layout)?;
        if !layout.untypeds.is_empty() {
            let words = layout.manifest(self.request.needs)?;
            patch::manifest(&mut self.elfs[self.memory_server], &words)?;
        }
        let mut initialiser = self.initialiser.clone();
        let config = self.config();
        pack::pack(
            config,
            &self.request.sdk.config_name,
            &container,
            &self.elfs,
            &mut initialiser,
        )?;

        let virt = initialiser.image_bound();
        let size = virt.end - virt.start;
        let room = self.needed(&container, layout).max(room);
        let base = self.place_initial_task(size, room)?;
        initialiser.set_phys_base(base);
        let info = emulate_kernel_boot(
            config,
            &self.kernel_elf,
            MemoryRegion::new(base, base + size),
            MemoryRegion::new(virt.start, virt.end),
        );
        if info.untyped_objects.len() as u64 > config.max_num_bootinfo_untypeds {
            return Err(Error::new(format!(
                "memory would be in {} pieces, the kernel hands over {} at most",
                info.untyped_objects.len(),
                config.max_num_bootinfo_untypeds
            )));
        }
        let boot = info
            .untyped_objects
            .iter()
            .map(|u| untyped(&u.region, u.is_device))
            .collect();
        Ok(Attempt {
            container,
            initialiser,
            boot,
            first_free_slot: info.first_available_cap,
            room,
        })
    }

    /// Bytes of the kernel's memory that the initialiser will take for what has no fixed place.
    fn needed(&self, container: &CapDLSpecContainer, layout: &Layout) -> u64 {
        let objects = order::planned(container, self.config());
        let objects = objects
            .iter()
            .filter(|object| object.paddr.is_none() && !object.embedded)
            .filter_map(|object| Some(1_u64 << object.bits?));
        let named = self.request.needs.named();
        let placed = layout.untypeds.iter().filter(|handed| {
            let span = handed.chunk.span();
            !handed.device && !named.iter().any(|named| named.contains(span))
        });
        objects
            .chain(placed.map(|handed| handed.chunk.span().size()))
            .sum()
    }

    /// A place for the initial task that no fixed range needs: above the kernel, with room for
    /// `needed` bytes in between if the loader leaves that, else the lowest.
    ///
    /// The kernel's memory is handed over in pieces whose sizes are powers of two, and zeroed piece
    /// by piece. Those in front of the initial task become smaller towards it, so that few bytes
    /// are zeroed that nobody needs.
    fn place_initial_task(&self, size: u64, needed: u64) -> Result<u64, Error> {
        let mut fixed = self.request.needs.named();
        fixed.extend(fixed_regions(&self.system).iter().map(|(_, span)| *span));
        let regions: Vec<Span> = self.available.regions.iter().filter_map(span_of).collect();
        let free = subtract(&regions, &fixed);
        let lowest = free
            .iter()
            .find(|span| span.start().0 >= self.kernel_end && span.size() >= size);
        let lowest = lowest.map(|span| span.start().0.next_multiple_of(0x1000));
        let behind = lowest.and_then(|lowest| {
            let start = lowest.checked_add(needed)?;
            Span::sized(Paddr(start.next_multiple_of(pack::GRANULE)), size)
        });
        let behind = behind.filter(|task| {
            task.end() <= self.loader && free.iter().any(|span| span.contains(*task))
        });
        behind.map(|task| task.start().0).or(lowest).ok_or_else(|| {
            Error::new(format!("no room above the kernel for the initial task, {} in one piece", human(size)))
                .advise("smaller module files, or fewer fixed ranges at the beginning of the kernel's memory")
        })
    }

    /// The layout that follows from where this attempt leaves room.
    fn choose(&self, attempt: &Attempt, layout: &Layout) -> Result<Layout, Error> {
        let named = Layout::named(self.request.needs, &attempt.boot)?;
        // Where everything lies that is not placed by us: simulate with the named ranges alone.
        let config = self.config();
        let container = self.specification(&Layout {
            untypeds: named.clone(),
            ..layout.clone()
        })?;
        let objects = order::planned(&container, config);
        let simulation = simulate(&objects, &attempt.boot)
            .map_err(|error| explain(&error, &container, &objects))?;
        let occupied: Vec<Span> = objects
            .iter()
            .zip(&simulation.placements)
            .filter_map(|(object, placement)| {
                let chunk = Chunk {
                    paddr: placement.as_ref()?.paddr,
                    bits: object.bits?,
                };
                Some(chunk.span())
            })
            .collect();
        let preloaded: Vec<Span> = self.preloads.iter().filter_map(Preload::span).collect();
        Layout::choose(
            self.request.needs,
            self.request.heap,
            named,
            &attempt.boot,
            &occupied,
            &preloaded,
        )
    }

    /// Runs the initialiser's allocation over the final specification.
    fn check(&self, attempt: &Attempt) -> Result<Checked, Error> {
        let config = self.config();
        let objects = order::planned(&attempt.container, config);
        let simulation = simulate(&objects, &attempt.boot)
            .map_err(|error| explain(&error, &attempt.container, &objects))?;
        // Each object has a slot, each mapped frame one more, and some are used on the way.
        const SPARE: u64 = 256;
        let mapped: usize = attempt
            .container
            .spec
            .objects
            .iter()
            .map(frames_mapped)
            .sum();
        let slots = attempt.first_free_slot + (objects.len() + mapped) as u64 + SPARE;
        let limit = 1u64 << config.init_cnode_bits;
        if slots > limit {
            return Err(Error::new(format!(
                "the system needs about {slots} capability slots while it starts; the initial task has {limit}"
            ))
            .advise("2 MiB pages for large memory regions"));
        }
        let made = objects.iter().zip(&simulation.placements);
        let used = made
            .filter_map(|(object, placement)| {
                let placement = placement.as_ref()?;
                let normal = attempt
                    .boot
                    .get(placement.untyped)
                    .is_some_and(|b| !b.device);
                normal.then_some(1u64 << object.bits?)
            })
            .sum();
        Ok(Checked { simulation, used })
    }

    /// What the loader's ELF file says, if it is one as Microkit makes them.
    fn about_loader(&self, elf: &ElfFile) -> Option<LoaderProgram> {
        let segments = elf.loadable_segments();
        let [program] = segments.as_slice() else {
            return None;
        };
        let symbol = |name| elf.find_symbol(name).ok().map(|(address, _)| address);
        Some(LoaderProgram {
            link: Paddr(program.virt_addr),
            size: program.data().len(),
            mapped: (symbol("_loader_start")?, symbol("_loader_end")?),
            kernel_entry: self.kernel_elf.entry,
        })
    }

    /// Writes the image; returns its regions for the report.
    fn write(&self, attempt: &Attempt) -> Result<WrittenImage, Error> {
        let initialiser = &attempt.initialiser;
        let Some(base) = initialiser.phys_base else {
            return Err(Error::new("the initial task has no place"));
        };
        let loader_path = self.request.sdk.elf_path("loader");
        let loader_elf = read_elf(&loader_path)?;
        let output = self.request.output;
        let bounds = initialiser.image_bound();
        let loader = Loader::new(
            self.config(),
            &loader_path,
            &self.kernel_elf,
            &initialiser.elf,
            base,
            &bounds,
        );
        // The library only writes files: write, read, and write again what it should be.
        let temporary = output.with_extension("loader-part");
        write_file(&temporary, &[])?;
        loader.write_image(&temporary);
        let written = fs::read(&temporary)
            .map_err(|error| Error::new(format!("cannot read {}: {error}", temporary.display())))?;
        // Best effort: the image is complete without it.
        drop(fs::remove_file(&temporary));

        let about = self.about_loader(&loader_elf).ok_or_else(|| {
            Error::new(format!(
                "{} is not the loader of Microkit 2.3.0",
                loader_path.display()
            ))
        })?;
        let mut image = LoaderImage::parse(&written, about)?;
        image.regions.extend(self.preloads.iter().map(|p| Region {
            paddr: p.paddr,
            bytes: p.contents(),
        }));
        let copied = image
            .regions
            .iter()
            .map(|region| region.bytes.len() as u64)
            .sum();
        if let Some(path) = &self.request.elf {
            write_file(path, &image.clone().executable()?)?;
        }
        let bytes = image.bytes()?;
        write_file(output, &bytes)?;
        Ok(WrittenImage {
            bytes: bytes.len() as u64,
            copied,
            files: self.preloads.iter().map(|p| p.bytes.len() as u64).sum(),
            initial_task: (base, bounds.end - bounds.start),
            held: self.held,
        })
    }
}

/// An allocation that works.
pub(crate) struct Checked {
    /// Where every object will be.
    pub simulation: Simulation,
    /// Bytes of the kernel's memory that objects take, the memory server's untypeds among them.
    pub used: u64,
}

/// Facts about an image that was written.
pub(crate) struct WrittenImage {
    /// Size of the file.
    pub bytes: u64,
    /// Bytes that the loader copies.
    pub copied: u64,
    /// Bytes of it that are guests' files.
    pub files: u64,
    /// Where the initial task lies, and its size.
    pub initial_task: (u64, u64),
    /// Instructions taken from the kernel that would have changed traps.
    pub held: usize,
}

fn frames_mapped<D>(named: &sel4_capdl_initializer_types::NamedObject<D>) -> usize {
    use sel4_capdl_initializer_types::{Cap, Object};
    match &named.object {
        Object::PageTable(table) => table
            .slots
            .iter()
            .filter(|entry| matches!(entry.cap, Cap::Frame(_)))
            .count(),
        _ => 0,
    }
}

/// Creates `path` with `bytes`.
///
/// # Errors
/// That it cannot.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    fs::write(path, bytes)
        .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))
}
