//! The board's network device.
//!
//! # Soundness
//! The registers and the memory for descriptors, rings and buffers are regions that the system
//! description maps for this protection domain alone; the image builder says where the memory lies,
//! and it is zeroed before the system starts. Nothing else is named to the device.
#![expect(unsafe_code, reason = "memory that is shared with a device")]

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use topology::{NET_DMA_SIZE, vaddr};
use virtio_net::{BufferDirection, DMA_PAGES, Hal, Net, PAGE_SIZE, PhysAddr};

/// Physical address of the memory.
static DMA: AtomicU64 = AtomicU64::new(0);
/// Bytes of it that are handed out.
static USED: AtomicU64 = AtomicU64::new(0);

const _: () = assert!((DMA_PAGES * PAGE_SIZE) as u64 <= NET_DMA_SIZE);

/// That memory has one address for us and one for the device.
pub(crate) struct Addresses;

// SAFETY: pages are handed out once, from memory that is zeroed and aligned, and lie as far apart
// for the device as for us.
unsafe impl Hal for Addresses {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let used = USED.load(Relaxed);
        let next = used + (pages * PAGE_SIZE) as u64;
        assert!(next <= NET_DMA_SIZE, "the driver wants {next} bytes");
        USED.store(next, Relaxed);
        let here = NonNull::new((vaddr::NET_DMA + used) as *mut u8).expect("not at 0");
        (DMA.load(Relaxed) + used, here)
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        NonNull::new(vaddr::NET_REGISTERS as *mut u8).expect("not at 0")
    }
    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let at = buffer.cast::<u8>().as_ptr() as u64;
        let offset = at.checked_sub(vaddr::NET_DMA);
        let offset = offset.filter(|offset| offset + buffer.len() as u64 <= NET_DMA_SIZE);
        DMA.load(Relaxed) + offset.expect("buffers lie in the memory that was handed out")
    }
    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

/// Bytes of a slot's registers (QEMU's `hw/arm/virt.c`).
const REGISTERS: usize = 0x200;

/// The device, started, if there is one; `own` is the physical address of its driver's memory.
/// Taken once.
pub(crate) fn take(own: u64) -> Option<Net<Addresses>> {
    DMA.store(own, Relaxed);
    let registers = NonNull::new(vaddr::NET_REGISTERS as *mut u8)?;
    // SAFETY: the page with the registers of the board's first network device, which begin there;
    // taken once.
    unsafe { Net::new(registers, REGISTERS) }.ok()
}
