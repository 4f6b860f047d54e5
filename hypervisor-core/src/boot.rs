//! Building a guest: memory, images, device tree, first instruction.

use core::fmt;

use dt_server_api::{DomainRecord, DtServer, PvFeatures};
use hv_types::{DomId, Gfn};
use memory_server_api::Extra;

use crate::console_ring::ConsoleRing;
use crate::domains::Domains;
use crate::events::{Events, Service};
use crate::host::Host;
use crate::loader::{self, DTB_MAX, Image, LoadError};
use crate::p2m::{self, P2m};
use crate::pages::write_clean;
use crate::vgic::VGic;
use crate::vm::{Vm, Wait};
use crate::vpl011::Vpl011;
use crate::vtimer::VTimer;
use crate::{hypercall, walk};

/// Highest event channel port of a dom0less guest (`max_evtchn_port`).
const MAX_PORT: u32 = 1023;

/// The guest's files, as the image carries them.
#[derive(Clone, Copy, Debug)]
pub struct Modules<'a> {
    /// Kernel image.
    pub kernel: &'a [u8],
    /// Initial RAM disk.
    pub ramdisk: Option<&'a [u8]>,
}

/// Why a guest was not started.
#[derive(Debug)]
pub enum BootError {
    /// More vCPUs than there can be.
    Vcpus(u8),
    /// The domain has no RAM.
    NoRam,
    /// The page table given for its p2m is too small.
    P2mTable,
    /// RAM could not be had or mapped.
    Ram(Gfn, p2m::Error),
    /// An extra page could not be had or mapped.
    Extra(Extra, p2m::Error),
    /// No event channel for the console.
    NoPort,
    /// Kernel, device tree or RAM disk.
    Load(LoadError<'static>),
    /// The dt-server refused.
    Dt(dt_server_api::Error),
    /// The device tree is larger than its place.
    TreeTooLarge(u32),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcpus(n) => write!(f, "{n} vCPUs asked for; SMP guests are not supported yet, set cpus = <1>"),
            Self::NoRam => f.write_str("the domain has no RAM; give it a `memory` property"),
            Self::P2mTable => f.write_str(
                "the p2m region is too small for the domain's RAM; build the image again with the matching zazen-image",
            ),
            Self::Ram(gfn, error) => write!(f, "RAM at gfn {gfn:#x}: {error}"),
            Self::Extra(kind, error) => write!(f, "page {kind:?}: {error}"),
            Self::NoPort => f.write_str("no event channel port is free for the console"),
            Self::Load(error) => error.fmt(f),
            Self::Dt(error) => write!(f, "device tree: {error}"),
            Self::TreeTooLarge(size) => {
                write!(f, "the guest's device tree has {size} bytes, more than the {DTB_MAX} it may have")
            }
        }
    }
}

impl<'m> Vm<'m> {
    /// Builds the guest that `record` describes and starts its vCPU.
    ///
    /// `table` is the zeroed memory behind its p2m, [`P2m::table_words`] of the record's `max_banks` long.
    ///
    /// # Errors
    /// [`BootError`]; the vCPU was not started.
    pub fn boot<H: Host>(
        host: &mut H,
        dt: &mut impl DtServer,
        record: DomainRecord,
        table: &'m mut [u32],
        modules: &Modules<'_>,
    ) -> Result<Self, BootError> {
        if record.vcpus != 1 {
            return Err(BootError::Vcpus(record.vcpus));
        }
        let bank0 = *record.banks.first().ok_or(BootError::NoRam)?;
        // What cannot be loaded is refused before memory is asked for.
        let image = Image::probe(modules.kernel).map_err(BootError::Load)?;
        let initrd = modules.ramdisk.map(|bytes| bytes.len() as u64);
        let plan = loader::plan((bank0.start(), bank0.size()), &image, DTB_MAX, initrd, &[])
            .map_err(BootError::Load)?;

        let mut p2m = P2m::new(&record.max_banks, table).map_err(|_| BootError::P2mTable)?;
        p2m.build(host, &record.banks)
            .map_err(|(gfn, error)| BootError::Ram(gfn, error))?;
        loader::load(host.window(), &p2m, &plan, modules.kernel, modules.ramdisk)
            .map_err(BootError::Load)?;
        put_tree(host, dt, &p2m, &plan)?;

        let mut vm = Self::new(record, p2m);
        vm.create_pages(host)?;
        host.log(format_args!("{}", Summary(&vm.record, &plan)));
        host.start(plan.entry, plan.dtb.raw());
        Ok(vm)
    }

    /// The guest before its extra pages exist.
    fn new(record: DomainRecord, p2m: P2m<'m>) -> Self {
        let vpl011 = record.vpl011.then(Vpl011::new);
        let events = Events::new(Domains::new(DomId(record.domid), record.domains), MAX_PORT);
        Self {
            layout: record.layout,
            p2m,
            gic: VGic::new(record.nr_spis),
            timer: VTimer::new(),
            events,
            console: None,
            vpl011,
            hc: hypercall::State::default(),
            walk: walk::Cache::new(),
            wait: Wait::None,
            record,
        }
    }

    /// Creates the pages of the ABI. shared_info exists for every guest, because hypercalls are not
    /// hidden from those without PV features (SM-24).
    fn create_pages<H: Host>(&mut self, host: &mut H) -> Result<(), BootError> {
        self.create(host, Extra::SharedInfo)?;
        self.create(host, Extra::GrantFrame(0))?;
        if self.record.pv == PvFeatures::None {
            return Ok(());
        }
        self.create(host, Extra::Console)?;
        let gfn = self.layout.magic.gfn();
        self.p2m
            .map_extra(host, Extra::Console, gfn)
            .map_err(|error| BootError::Extra(Extra::Console, error))?;
        let port = self
            .events
            .alloc_hypervisor_port(Service::Console)
            .map_err(|_| BootError::NoPort)?;
        let ring = ConsoleRing::new(port);
        ring.connect(host.window());
        self.console = Some(ring);
        self.hc.console_gfn = gfn.raw();
        self.hc.console_port = port.0;
        Ok(())
    }

    fn create<H: Host>(&mut self, host: &mut H, kind: Extra) -> Result<(), BootError> {
        self.p2m
            .create_extra(host, kind)
            .map_err(|error| BootError::Extra(kind, error))
    }
}

/// What is started, in a line.
struct Summary<'a>(&'a DomainRecord, &'a loader::Plan);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(record, plan) = self;
        let ram: u64 = record.banks.iter().map(dt_server_api::Bank::size).sum();
        let kind = match (record.is_static, record.direct_map) {
            (true, true) => "direct-mapped",
            (true, false) => "static",
            (false, _) => "heap",
        };
        write!(
            f,
            "domain {}: {} MiB of {kind} RAM, kernel at {:#x}, device tree at {:#x}",
            record.domid,
            ram >> 20,
            plan.kernel,
            plan.dtb
        )?;
        match plan.initrd {
            Some((start, end)) => write!(f, ", RAM disk {start:#x}..{end:#x}"),
            None => Ok(()),
        }
    }
}

/// Has the guest's device tree written and copies it to its place.
fn put_tree<H: Host>(
    host: &H,
    dt: &mut impl DtServer,
    p2m: &P2m<'_>,
    plan: &loader::Plan,
) -> Result<(), BootError> {
    let size = dt.write_tree(plan.initrd).map_err(BootError::Dt)?;
    if u64::from(size) > plan.dtb_max {
        return Err(BootError::TreeTooLarge(size));
    }
    let mut piece = [0; dt_server_api::RECORD_MAX];
    let mut offset = 0;
    while offset < size {
        let got = dt.read_tree(offset, &mut piece).map_err(BootError::Dt)?;
        let (Some(bytes), Ok(got)) = (piece.get(..got), u32::try_from(got)) else {
            return Err(BootError::Dt(dt_server_api::Error::Malformed));
        };
        let to = plan.dtb.checked_add(u64::from(offset));
        if got == 0 || got > size - offset {
            return Err(BootError::Dt(dt_server_api::Error::Malformed));
        }
        let not_ram = |at| {
            BootError::Load(LoadError::NotRam {
                name: "device tree",
                at,
            })
        };
        write_clean(
            host.window(),
            p2m,
            to.ok_or(BootError::TreeTooLarge(size))?,
            bytes,
        )
        .map_err(not_ram)?;
        offset += got;
    }
    Ok(())
}
