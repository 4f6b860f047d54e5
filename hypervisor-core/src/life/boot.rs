//! Building a guest: memory, images, device tree, first instruction. For each of its lives the
//! same.

use core::fmt;

use block_server_api::DiskPort as _;
use dt_server_api::{DomainRecord, DtServer, PvFeatures};
use hv_types::{Gfn, MAX_VCPUS, PAGE_SIZE, Port, VcpuId};
use memory_server_api::{Extra, Request};
use net_server_api::NetPort as _;

mod error;

pub use error::BootError;

use crate::device::table;
use crate::device::xenstore::Xenstore;
use crate::evtchn::Service;
use crate::host::Host;
use crate::life::loader::{self, DTB_MAX, LoadError};
use crate::life::teardown::Remains;
use crate::memory::p2m::{P2m, SharedSoFar};
use crate::memory::pages::{Pages as _, write_clean};
use crate::vm::Vm;

/// The guest's files, as the image carries them.
#[derive(Clone, Copy, Debug)]
pub struct Modules<'a> {
    /// Kernel image.
    pub kernel: &'a [u8],
    /// Initial RAM disk.
    pub ramdisk: Option<&'a [u8]>,
}

/// Bytes of the guest's files that one step copies.
const PIECE: u64 = 256 << 10;
/// RAM blocks that one step asks for where frames have been used before: the memory server zeroes
/// each.
const USED_BLOCKS: u32 = 2;

/// What is done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// RAM from this frame on; `None` at the very beginning.
    Ram(Option<Gfn>),
    /// Static shared memory, which has nothing of this life's.
    Shared(SharedSoFar),
    /// The vCPUs from this one on, where they have run before. They come before the files, because
    /// the host may need a page that is empty.
    Vcpu(VcpuId),
    /// The guest's files from this byte on.
    Files(u64),
    /// The device tree.
    Tree,
    /// Nothing but [`Boot::finish`].
    Ready,
}

/// A guest that is being built, a step at a time, so that a VMM whose guest restarts can let others
/// run in between.
pub struct Boot<'m> {
    record: DomainRecord,
    p2m: P2m<'m>,
    plan: loader::Plan,
    /// Most RAM blocks that one step asks for.
    blocks: u32,
    /// The vCPUs have run before.
    again: bool,
    stage: Stage,
}

impl<'m> Boot<'m> {
    /// Begins to build the guest that `record` describes. `memory` is that behind its p2m,
    /// [`P2m::table_words`] of the record's `max_banks` long.
    ///
    /// # Errors
    /// [`BootError`]: what cannot be loaded is refused before memory is asked for.
    pub fn new(
        record: DomainRecord,
        memory: &'m mut [u32],
        modules: &Modules<'_>,
    ) -> Result<Self, BootError> {
        let plan = plan(&record, modules)?;
        let p2m = P2m::new(&record.max_banks, memory).map_err(|_| BootError::P2mTable)?;
        Ok(Self {
            record,
            p2m,
            plan,
            blocks: Request::MAX_BLOCKS,
            again: false,
            stage: Stage::Ram(None),
        })
    }

    /// Begins to build the guest of which `remains` are left anew.
    ///
    /// # Errors
    /// As [`Boot::new`].
    pub fn again(remains: Remains<'m>, modules: &Modules<'_>) -> Result<Self, BootError> {
        let Remains { record, p2m } = remains;
        Ok(Self {
            plan: plan(&record, modules)?,
            record,
            p2m,
            blocks: USED_BLOCKS,
            again: true,
            stage: Stage::Ram(None),
        })
    }

    /// Stops building. The guest is not used any more, so its memory may be taken back.
    pub fn abandon(self) -> Remains<'m> {
        Remains {
            record: self.record,
            p2m: self.p2m.emptied(),
        }
    }

    /// Does the next step; whether that was the last and [`Boot::finish`] follows.
    ///
    /// # Errors
    /// [`BootError`]; the guest cannot be built.
    pub fn step<H: Host>(
        &mut self,
        host: &mut H,
        dt: &mut impl DtServer,
        modules: &Modules<'_>,
    ) -> Result<bool, BootError> {
        self.stage = match self.stage {
            Stage::Ram(from) => self
                .p2m
                .build_some(host, &self.record.banks, from, self.blocks)
                .map_err(|(gfn, error)| BootError::Ram(gfn, error))?
                .map_or(Stage::Shared(SharedSoFar::default()), |next| {
                    Stage::Ram(Some(next))
                }),
            Stage::Shared(so_far) => self
                .p2m
                .share_some(host, &self.record.shared, so_far)
                .map_err(|(gfn, error)| BootError::Shared(gfn, error))?
                .map_or(Stage::Vcpu(VcpuId::BOOT), Stage::Shared),
            Stage::Vcpu(_) if !self.again => Stage::Files(0),
            Stage::Vcpu(id) => {
                self.renew_vcpu(host, id)?;
                let next = VcpuId::new(u64::from(id.raw()) + 1);
                match next.filter(|next| next.raw() < self.record.vcpus) {
                    Some(next) => Stage::Vcpu(next),
                    None => Stage::Files(0),
                }
            }
            Stage::Files(from) => loader::load_some(
                host,
                &self.p2m,
                &self.plan,
                (modules.kernel, modules.ramdisk),
                from,
                PIECE,
            )
            .map_err(BootError::Load)?
            .map_or(Stage::Tree, Stage::Files),
            Stage::Tree => {
                put_tree(host, dt, &self.p2m, &self.plan)?;
                Stage::Ready
            }
            Stage::Ready => Stage::Ready,
        };
        Ok(self.stage == Stage::Ready)
    }

    /// Brings vCPU `id` back to its reset state.
    fn renew_vcpu<H: Host>(&self, host: &mut H, id: VcpuId) -> Result<(), BootError> {
        let page = self.plan.kernel.page_base();
        let there = self.p2m.writable_by(host, page, PAGE_SIZE).ok_or({
            BootError::Load(LoadError::NotRam {
                name: "kernel",
                at: page,
            })
        })?;
        host.renew_vcpu(id, page, there).map_err(BootError::Vcpu)
    }

    /// Creates the pages of the ABI and starts the boot vCPU, in its reset state. The guest is
    /// built where it stays, in `vm`.
    ///
    /// # Errors
    /// [`BootError`]; the vCPU was not started, and `vm` is `None`.
    pub fn finish<H: Host>(self, host: &mut H, vm: &mut Option<Vm<'m>>) -> Result<(), BootError> {
        let bus = table::bus(&self.record).map_err(BootError::Devices)?;
        let new = vm.insert(Vm::new(self.record, self.p2m, bus));
        let pages = new.create_pages(host);
        if pages.is_err() {
            *vm = None;
            return pages;
        }
        new.devices.reset(host);
        // What was executed there before may have been anything.
        host.sync_instructions(self.plan.kernel, self.plan.kernel_size);
        host.log(format_args!("{}", Summary(&new.domain.record, &self.plan)));
        host.start(VcpuId::BOOT, self.plan.entry, self.plan.dtb.raw());
        Ok(())
    }
}

/// Where the guest's files go; refuses what cannot be.
fn plan(record: &DomainRecord, modules: &Modules<'_>) -> Result<loader::Plan, BootError> {
    if record.vcpus == 0 || usize::from(record.vcpus) > MAX_VCPUS {
        return Err(BootError::Vcpus(record.vcpus));
    }
    table::bus(record).map_err(BootError::Devices)?;
    let bank0 = *record.banks.first().ok_or(BootError::NoRam)?;
    let image = loader::probe(modules.kernel).map_err(BootError::Load)?;
    let initrd = modules.ramdisk.map(|bytes| bytes.len() as u64);
    loader::plan((bank0.start(), bank0.size()), &image, DTB_MAX, initrd, &[])
        .map_err(BootError::Load)
}

impl<'m> Vm<'m> {
    /// Builds the guest that `record` describes and starts its vCPU, all at once.
    ///
    /// `table` is the zeroed memory behind its p2m, [`P2m::table_words`] of the record's
    /// `max_banks` long.
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
        let mut boot = Boot::new(record, table, modules)?;
        while !boot.step(host, dt, modules)? {}
        let mut vm = None;
        boot.finish(host, &mut vm)?;
        vm.ok_or(BootError::NoRam)
    }

    /// Creates the pages of the ABI. shared_info exists for every guest, because hypercalls are not
    /// hidden from those without PV features (SM-24).
    fn create_pages<H: Host>(&mut self, host: &mut H) -> Result<(), BootError> {
        self.create(host, Extra::SharedInfo)?;
        self.create(host, Extra::GrantFrame(0))?;
        if host.disks().data().is_some() || host.nets().data().is_some() {
            self.domain.events.allow_backends();
        }
        if self.domain.record.pv == PvFeatures::None {
            return Ok(());
        }
        // The store's port is the first, as on Xen.
        if let Some(gfn) = self.devices.xenstore.as_ref().map(Xenstore::gfn) {
            let port = self.create_ring(host, Extra::Xenstore, gfn, Service::Store)?;
            if let Some(store) = &mut self.devices.xenstore {
                store.bind(port);
            }
        }
        let gfn = self.domain.record.layout.magic.gfn();
        let port = self.create_ring(host, Extra::Console, gfn, Service::Console)?;
        if let Some(console) = &mut self.devices.pv_console {
            console.bind(port);
        }
        Ok(())
    }

    /// Creates the page of a ring, shows it to the guest at `gfn`, and gives it a port.
    fn create_ring<H: Host>(
        &mut self,
        host: &mut H,
        kind: Extra,
        gfn: Gfn,
        service: Service,
    ) -> Result<Port, BootError> {
        self.create(host, kind)?;
        self.domain
            .p2m
            .map_extra(host, kind, gfn)
            .map_err(|error| BootError::Extra(kind, error))?;
        self.domain
            .events
            .alloc_hypervisor_port(service)
            .map_err(|_| BootError::NoPort)
    }

    fn create<H: Host>(&mut self, host: &mut H, kind: Extra) -> Result<(), BootError> {
        self.domain
            .p2m
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
    host: &mut H,
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
        write_clean(host, p2m, to.ok_or(BootError::TreeTooLarge(size))?, bytes).map_err(not_ram)?;
        offset += got;
    }
    Ok(())
}
