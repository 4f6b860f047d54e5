//! The board's disk.
//!
//! # Soundness
//! The registers and the memory for descriptors are regions that the system description maps for
//! this protection domain alone; the image builder says where the memory lies, and it is zeroed
//! before the system starts. Bytes of requests lie in areas that are not mapped here: they are
//! named by pointers whose addresses are physical, which are turned into addresses again and never
//! followed. The two are told apart by where the memory is mapped: that no area has such an address
//! is checked when the device is taken.
#![expect(unsafe_code, reason = "memory that is shared with a device")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use block_driver::{Device, virtio};
use block_server_api::{DATA_SIZE, DiskInfo, Op, SECTOR, Status};
use topology::{DISK_DMA_SIZE, vaddr};
use virtio_blk::{Blk, BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// Physical address of the memory for descriptors, rings and headers.
static DMA: AtomicU64 = AtomicU64::new(0);
/// Bytes of it that are handed out.
static USED: AtomicU64 = AtomicU64::new(0);

/// That memory has one address for us and one for the device; others have the device's alone.
struct Addresses;

// SAFETY: pages are handed out once, from memory that is zeroed and aligned; the rest is addresses.
unsafe impl Hal for Addresses {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let used = USED.load(Relaxed);
        let next = used + (pages * PAGE_SIZE) as u64;
        assert!(next <= DISK_DMA_SIZE, "the driver wants {next} bytes");
        USED.store(next, Relaxed);
        let here = NonNull::new((vaddr::DISK_DMA + used) as *mut u8).expect("not at 0");
        (DMA.load(Relaxed) + used, here)
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(vaddr::DISK_REGISTERS as *mut u8).expect("not at 0")
    }
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let at = buffer.cast::<u8>().as_ptr() as u64;
        match at.checked_sub(vaddr::DISK_DMA) {
            Some(offset) if offset < DISK_DMA_SIZE => DMA.load(Relaxed) + offset,
            _ => at,
        }
    }
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// A virtio block device.
pub(crate) struct Virtio(Blk<Addresses>);

impl Virtio {
    /// The device, started, if there is one; `own` is the physical address of its driver's memory,
    /// `areas` are those of the areas. Taken once.
    pub(crate) fn take(own: u64, areas: &[u64]) -> Option<Self> {
        let end = |area: u64| area.saturating_add(DATA_SIZE.into());
        let apart =
            |area: &u64| end(*area) <= vaddr::DISK_DMA || *area >= vaddr::DISK_DMA + DISK_DMA_SIZE;
        assert!(areas.iter().all(apart), "{areas:x?}");
        DMA.store(own, Relaxed);
        let registers = NonNull::new(vaddr::DISK_REGISTERS as *mut u8)?;
        // SAFETY: the page with the registers of the board's first disk, which begin there; taken
        // once.
        unsafe { Blk::new(registers, REGISTERS) }.ok().map(Self)
    }
}

/// Bytes of a slot's registers (QEMU's `hw/arm/virt.c`).
const REGISTERS: usize = 0x200;

impl Device for Virtio {
    fn info(&self) -> DiskInfo {
        virtio::info(self.0.info())
    }

    fn submit(&mut self, tag: u32, op: Op, sector: u64, count: u32, bytes: Option<u64>) -> bool {
        let length = count as usize * SECTOR as usize;
        let bytes = bytes.map(|at| NonNull::new(at as *mut u8));
        let bytes = match bytes {
            Some(Some(start)) => Some(NonNull::slice_from_raw_parts(start, length)),
            Some(None) => return false,
            None => None,
        };
        // SAFETY: the driver has checked that the bytes lie in an area, at its physical address.
        unsafe { self.0.submit(tag, virtio::op(op), sector, count, bytes) }
    }

    fn kick(&mut self) {
        self.0.kick();
    }

    fn take(&mut self) -> Option<(u32, Status)> {
        let (tag, outcome) = self.0.take()?;
        Some((tag, virtio::status(outcome)))
    }

    fn acknowledge(&mut self) {
        self.0.acknowledge();
    }
}
