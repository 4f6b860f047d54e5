//! The block server and its driver, called in place.
//!
//! # Soundness
//! Memory that a device reads and writes comes from [`Own`], which hands out each byte once and is
//! mapped one to one, so that addresses are the device's too; data areas are such memory that only
//! windows and the device reach. A RAM disk is a file of the payload that the boot code maps
//! writable, and nothing else refers to it.
#![expect(unsafe_code, reason = "memory that is shared with a device")]

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use block_driver::virtio;
use block_server::gpt::{PIECE, SECTOR};
use block_server::{Area, Command, Drives, Hardware, Server, Turn};
use block_server_api::{Client, DATA_SIZE, DiskInfo, HEADER_SIZE, Presence, Region, Status};
use dt_server::{Config, DomainConfig};
use el2_boot::Payload;
use guest_mem::RawWindow;
use topology::MAX_DOMAINS;
use virtio_blk::{Blk, BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::board::BOARD;
use crate::log::ServerLog;
use crate::own::Own;
use crate::services::{BLOCK_RING, ring_blocks_itself, take_block_bells};

/// A VMM's end of its disks.
pub(crate) type DiskEnd = Client<'static, RawWindow, fn()>;

/// Pages for descriptors, rings and headers, and where they are: set before the driver starts.
static DMA: AtomicU64 = AtomicU64::new(0);
const DMA_PAGES: u64 = 16;
static DMA_USED: AtomicU64 = AtomicU64::new(0);

/// Memory is mapped one to one.
struct Identity;

// SAFETY: pages are handed out once, from memory that is zeroed and aligned; the rest is addresses.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let used = DMA_USED.load(Relaxed);
        let next = used + pages as u64;
        assert!(next <= DMA_PAGES, "the block driver wants {next} pages");
        DMA_USED.store(next, Relaxed);
        let at = DMA.load(Relaxed) + used * PAGE_SIZE as u64;
        (at, NonNull::new(at as *mut u8).expect("not at 0"))
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(paddr as *mut u8).expect("not at 0")
    }
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.as_ptr().cast::<u8>() as PhysAddr
    }
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// The board's disk.
struct Driver {
    disk: Option<Blk<Identity>>,
    /// First bytes of data areas, 0 where there is none, and of the server's own buffer.
    areas: [u64; MAX_DOMAINS],
    own: u64,
}

impl Driver {
    fn bytes(&self, command: &Command) -> Option<NonNull<[u8]>> {
        let (base, length) = match command.area {
            Area::Guest(guest) => (*self.areas.get(guest)?, DATA_SIZE as usize),
            Area::Own => (self.own, PIECE as usize * SECTOR),
        };
        let (offset, bytes) = (command.offset as usize, command.bytes() as usize);
        let fits = offset.checked_add(bytes)? <= length;
        let start = NonNull::new((base as *mut u8).wrapping_add(offset))?;
        (fits && base != 0).then(|| NonNull::slice_from_raw_parts(start, bytes))
    }
}

impl Hardware for Driver {
    fn count(&self) -> usize {
        BOARD.disks.len()
    }

    fn presence(&self, device: usize) -> Presence {
        match (device, &self.disk) {
            (0, Some(_)) => Presence::Present,
            _ => Presence::Absent,
        }
    }

    fn info(&self, _: usize) -> Option<DiskInfo> {
        Some(virtio::info(self.disk.as_ref()?.info()))
    }

    fn submit(&mut self, _: usize, tag: u32, command: &Command) -> bool {
        let op = virtio::op(command.op);
        let bytes = match command.op.moves_data() {
            true => match self.bytes(command) {
                Some(bytes) => Some(bytes),
                None => return false,
            },
            false => None,
        };
        let Some(disk) = &mut self.disk else {
            return false;
        };
        // SAFETY: within an area, which windows and the device alone reach.
        unsafe { disk.submit(tag, op, command.sector, command.count, bytes) }
    }

    fn kick(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.kick();
        }
    }

    fn take(&mut self) -> Option<(u32, Status)> {
        let (tag, outcome) = self.disk.as_mut()?.take()?;
        Some((tag, virtio::status(outcome)))
    }
}

/// The server, where a domain has a disk.
pub(crate) struct Blocks {
    server: &'static mut Server<'static>,
    drives: Drives<RawWindow, Driver>,
    /// How many files are RAM disks.
    files: usize,
    log: Option<ServerLog>,
    names: Vec<dt_server_api::DomainName>,
}

impl Blocks {
    /// The server of these domains; `None` where none has a disk.
    pub(crate) fn new(own: &mut Own, config: &Config, payload: &Payload<'static>) -> Option<Self> {
        if config.domains.iter().all(|domain| domain.disks.is_empty()) {
            return None;
        }
        let buffer = own.raw(PIECE as usize * SECTOR);
        // SAFETY: fresh memory.
        let own_window = unsafe { window(buffer as u64, (PIECE as usize * SECTOR) as u64) };
        let disk = config.has_device_disks().then(|| disk(own)).flatten();
        let driver = Driver {
            disk,
            areas: [0; MAX_DOMAINS],
            own: buffer as u64,
        };
        let mut drives = Drives::new(driver, own_window);
        let mut files = 0;
        for (name, size) in config.ram_disks() {
            // RAM disks are numbered by the domains file, so none may be left out.
            let bytes = payload.file(name);
            let bytes = bytes.unwrap_or_else(|| panic!("the payload has no {name}"));
            // SAFETY: see the module.
            let memory = unsafe { window(bytes.as_ptr() as u64, size) };
            if drives.add_ram(memory, size / SECTOR as u64) {
                files += 1;
            }
        }
        let domains = config.domains.iter();
        Some(Self {
            server: own.value(Server::new),
            drives,
            files,
            log: None,
            names: domains.map(|domain| domain.record.name.clone()).collect(),
        })
    }

    /// From now on it can be heard.
    pub(crate) fn set_log(&mut self, mut log: ServerLog) {
        if self.drives.hardware().disk.is_none() && self.files == 0 {
            log.line(format_args!("there is no disk at virtio-mmio slot 0"));
        }
        self.log = Some(log);
    }

    /// Connects guest `guest` of `config`, which `domain` describes, if it has disks.
    pub(crate) fn add(
        &mut self,
        own: &mut Own,
        guest: usize,
        config: &Config,
        domain: &DomainConfig,
    ) -> Option<DiskEnd> {
        if domain.disks.is_empty() {
            return None;
        }
        let region = Region::new(own.zeroed(HEADER_SIZE / 4))?;
        let at = own.raw(DATA_SIZE as usize) as u64;
        // SAFETY: fresh memory; of the two windows and the device each copies bytes or is given
        // addresses.
        let (ours, theirs) =
            unsafe { (window(at, DATA_SIZE.into()), window(at, DATA_SIZE.into())) };
        self.drives.set_area(guest, ours);
        *self.drives.hardware().areas.get_mut(guest)? = at;
        let specs = config.volumes(domain, BOARD.disks.len());
        self.server.add(guest, region.server()?, specs);
        region.client(theirs, BLOCK_RING[guest])
    }

    /// The disk's interrupt has come.
    pub(crate) fn on_interrupt(&mut self) {
        if let Some(disk) = &mut self.drives.hardware().disk {
            disk.acknowledge();
        }
    }

    /// Does a little of what there is to do; where there is more, it rings itself.
    pub(crate) fn turn(&mut self) -> Turn {
        let _ = take_block_bells();
        let turn = self.server.turn(&mut self.drives);
        while let Some(notice) = self.server.take_notice() {
            let names = &self.names;
            let name = |guest: usize| names.get(guest).map_or("?", |name| name.as_str());
            if let Some(log) = &mut self.log {
                log.line(format_args!("{}", notice.with(&name)));
            }
        }
        if turn.more {
            ring_blocks_itself();
        }
        turn
    }
}

/// The interrupt of the board's disk.
pub(crate) const IRQ: Option<u32> = match BOARD.disks {
    [disk, ..] => Some(disk.intid),
    [] => None,
};

/// Starts the board's disk, if there is one.
fn disk(own: &mut Own) -> Option<Blk<Identity>> {
    let board = BOARD.disks.first()?;
    DMA.store(own.pages(DMA_PAGES), Relaxed);
    let registers = NonNull::new(board.registers.start as *mut u8)?;
    let size = usize::try_from(board.registers.size).ok()?;
    // SAFETY: the board's registers, mapped as device memory; made once.
    unsafe { Blk::new(registers, size) }.ok()
}

/// # Safety
/// As [`RawWindow::new`].
unsafe fn window(at: u64, bytes: u64) -> RawWindow {
    // SAFETY: promised by the caller.
    unsafe { RawWindow::new(at as *mut u8, bytes) }
}
