//! The net server and the driver of its uplink, called in place.
//!
//! # Soundness
//! Frames lie in memory that comes from [`Own`], which hands out each byte once; only windows reach
//! it, and they copy bytes. What a device reads and writes is such memory too, which the driver
//! alone has; it is mapped one to one, so that addresses are the device's.
#![expect(
    unsafe_code,
    reason = "memory that a VMM and the net server share, or a device and its driver"
)]

use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dt_server::Config;
use guest_mem::RawWindow;
use net_driver::Driver;
use net_server::{PortSpec, Report, Server, Turn, UPLINK};
use net_server_api::{Client, DATA_SIZE, HEADER_SIZE, NIC_DATA, Region, UPLINK_HEADER_SIZE};
use virtio_net::{BufferDirection, DMA_PAGES, Hal, Net, PAGE_SIZE, PhysAddr};

use crate::board::BOARD;
use crate::cpu;
use crate::log::ServerLog;
use crate::own::Own;
use crate::services::{ring_nets, take_net_bells};

/// A VMM's end of its network interfaces.
pub(crate) type NetEnd = Client<'static, RawWindow, fn()>;

/// Where descriptors, rings and buffers of the device are: set before it is started.
static DMA: AtomicU64 = AtomicU64::new(0);
static DMA_USED: AtomicU64 = AtomicU64::new(0);

/// Memory is mapped one to one.
pub(crate) struct Identity;

// SAFETY: pages are handed out once, from memory that is zeroed and aligned; the rest is addresses.
unsafe impl Hal for Identity {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let used = DMA_USED.load(Relaxed);
        let next = used + pages as u64;
        assert!(
            next <= DMA_PAGES as u64,
            "the net driver wants {next} pages"
        );
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

/// The server, where a domain has an interface.
pub(crate) struct Nets {
    server: &'static mut Server<'static, RawWindow>,
    /// A network leads outside.
    has_uplink: bool,
    /// The driver of the board's device, if there is one.
    driver: Option<Driver<NetEnd, Net<Identity>>>,
    log: Option<ServerLog>,
    names: Vec<dt_server_api::DomainName>,
    report: Report,
}

impl Nets {
    /// The server of these domains; `None` where none has an interface.
    pub(crate) fn new(own: &mut Own, config: &Config) -> Option<Self> {
        if config.domains.iter().all(|domain| domain.nics.is_empty()) {
            return None;
        }
        let server = own.value(Server::new);
        server.set_frequency(cpu::frequency());
        let network = config.uplink();
        let driver = network.and_then(|network| uplink(own, server, network));
        let domains = config.domains.iter();
        Some(Self {
            server,
            has_uplink: network.is_some(),
            driver,
            log: None,
            names: domains.map(|domain| domain.record.name.clone()).collect(),
            report: Report::default(),
        })
    }

    /// From now on it can be heard.
    pub(crate) fn set_log(&mut self, mut log: ServerLog) {
        if self.has_uplink && self.driver.is_none() {
            log.line(format_args!(
                "there is no network device where the board has one"
            ));
        }
        self.log = Some(log);
    }

    /// The console has something typed for it, or room.
    pub(crate) fn on_console(&mut self) {
        let names = &self.names;
        let name = |guest: usize| names.get(guest).map_or("uplink", |name| name.as_str());
        if let Some(log) = &mut self.log {
            self.report.on_console(self.server, &name, log.logger());
        }
    }

    /// Connects guest `guest` of `config`, if it has interfaces.
    pub(crate) fn add(&mut self, own: &mut Own, guest: usize, config: &Config) -> Option<NetEnd> {
        let domain = config.domains.get(guest)?;
        if domain.nics.is_empty() {
            return None;
        }
        let region = Region::new(own.zeroed(HEADER_SIZE / 4))?;
        let at = own.raw(DATA_SIZE as usize);
        // SAFETY: fresh memory; each of the two windows copies bytes.
        let (ours, theirs) = unsafe {
            (
                RawWindow::new(at, DATA_SIZE.into()),
                RawWindow::new(at, DATA_SIZE.into()),
            )
        };
        let nics = config.nics_of(domain);
        let nics = nics.map(|(network, mac)| PortSpec { network, mac });
        self.server.add(guest, region.server(ours)?, nics);
        region.client(theirs, ring_nets)
    }

    /// The interrupt of the uplink's device has come.
    pub(crate) fn on_interrupt(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.on_interrupt();
        }
    }

    /// Does a little of what there is to do; where there is more, it rings itself.
    pub(crate) fn turn(&mut self) -> Turn {
        take_net_bells();
        // What came in before the server, what leaves behind it.
        let mut come = false;
        if let Some(driver) = &mut self.driver {
            come = driver.turn().more;
        }
        let mut turn = self.server.turn(cpu::now());
        let vmms = turn.notify & !(1 << UPLINK);
        if turn.notify != vmms
            && let Some(driver) = &mut self.driver
        {
            come |= driver.turn().more;
        }
        turn.notify = vmms;
        turn.more |= come;
        while let Some(notice) = self.server.take_notice() {
            let names = &self.names;
            let name = |guest: usize| names.get(guest).map_or("uplink", |name| name.as_str());
            if let Some(log) = &mut self.log {
                log.line(format_args!("{}", notice.with(&name)));
            }
        }
        if turn.more {
            ring_nets();
        }
        turn
    }
}

/// The interrupt of the board's network device.
pub(crate) const IRQ: Option<u32> = match BOARD.nics {
    [nic, ..] => Some(nic.intid),
    [] => None,
};

/// Makes `network` lead outside; the driver of the board's device, if that is there.
fn uplink(
    own: &mut Own,
    server: &mut Server<'static, RawWindow>,
    network: u8,
) -> Option<Driver<NetEnd, Net<Identity>>> {
    let board = BOARD.nics.first()?;
    let region = Region::uplink(own.zeroed(UPLINK_HEADER_SIZE / 4))?;
    let at = own.raw(NIC_DATA as usize);
    // SAFETY: fresh memory; each of the two windows copies bytes.
    let (ours, theirs) = unsafe {
        (
            RawWindow::new(at, NIC_DATA.into()),
            RawWindow::new(at, NIC_DATA.into()),
        )
    };
    server.set_uplink(region.server(ours)?, network);
    let memory = own.raw(DMA_PAGES * PAGE_SIZE);
    // SAFETY: fresh memory of so many bytes.
    unsafe { memory.write_bytes(0, DMA_PAGES * PAGE_SIZE) };
    DMA.store(memory as u64, Relaxed);
    let registers = NonNull::new(board.registers.start as *mut u8)?;
    let size = usize::try_from(board.registers.size).ok()?;
    // SAFETY: the board's registers, mapped as device memory; made once.
    let device = unsafe { Net::new(registers, size) }.ok()?;
    Some(Driver::new(
        region.client(theirs, ring_nets as fn())?,
        device,
    ))
}
