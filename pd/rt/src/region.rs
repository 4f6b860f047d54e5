//! Memory regions that system.xml maps at fixed addresses.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32};

use board::UartKind;
use console_api::{HEADER_SIZE, REGION_SIZE, Region};
use guest_mem::RawWindow;
use topology::vaddr;
use uart::{Cadence, Line, Mapped, Pl011, Serial, UniqueMmioPointer};

use crate::patched;

/// The last address of a protection domain.
pub const LAST_ADDRESS: u64 = sel4::sys::seL4_UserVSpaceTop;

/// The region shared between the console and client `client`; in a client its own is number 0.
pub fn console_region(client: usize) -> Region<'static> {
    let base = vaddr::console_client(client);
    // SAFETY: the generator maps REGION_SIZE bytes read-write at this page-aligned address in this
    // protection domain for as long as it lives, zeroed at first; both sides use atomics only.
    #[expect(unsafe_code, reason = "mapped region")]
    let (header, data) = unsafe {
        (
            core::slice::from_raw_parts(base as *const AtomicU32, HEADER_SIZE / 4),
            core::slice::from_raw_parts(
                (base as usize + HEADER_SIZE) as *const AtomicU8,
                REGION_SIZE - HEADER_SIZE,
            ),
        )
    };
    Region::new(header, data).expect("the lengths are the geometry's own")
}

/// The region shared between the xenstore server and the VMM of domain `domain`, from 0; in a VMM
/// its own is number 0.
pub fn store_region(domain: usize) -> xenstore_server_api::Region<'static> {
    use xenstore_server_api::{HEADER_SIZE, REGION_SIZE, Region};
    let base = vaddr::store_guest(domain);
    // SAFETY: as that of the console.
    #[expect(unsafe_code, reason = "mapped region")]
    let (header, data) = unsafe {
        (
            core::slice::from_raw_parts(base as *const AtomicU32, HEADER_SIZE / 4),
            core::slice::from_raw_parts(
                (base as usize + HEADER_SIZE) as *const AtomicU8,
                REGION_SIZE - HEADER_SIZE,
            ),
        )
    };
    Region::new(header, data).expect("the lengths are the geometry's own")
}

/// The window of a VMM onto its guest's memory.
pub fn guest_window() -> RawWindow {
    // SAFETY: the system description maps nothing in the range, and no Rust object is placed there;
    // what the core maps into it is guest memory. A fault in it stops this protection domain (the
    // Microkit monitor reports it).
    #[expect(unsafe_code, reason = "guest memory")]
    unsafe {
        RawWindow::new(vaddr::WINDOW as *mut u8, vaddr::WINDOW_END - vaddr::WINDOW)
    }
}

/// Module region `region` of a VMM; its first `len` bytes are the file's.
pub fn module(region: u8, len: u64) -> &'static [u8] {
    // SAFETY: the record's size is that of the file with which the builder filled the region,
    // mapped read-only.
    #[expect(unsafe_code, reason = "mapped region")]
    unsafe {
        image_bytes(vaddr::module(region), len as usize)
    }
}

/// Writes to the first byte of module region 0, which the kernel refuses: for the test's VMM that
/// wants to fault.
pub fn poke_module() {
    // SAFETY: the region is mapped read-only, so nothing is written; the access faults and this
    // protection domain stops.
    #[expect(unsafe_code, reason = "an access that must fault")]
    unsafe {
        (vaddr::module(0) as *mut u8).write_volatile(0);
    }
}

/// The table behind a VMM's p2m for `ram` bytes of guest RAM. To be taken once.
pub fn p2m_table(ram: u64) -> &'static mut [u32] {
    // SAFETY: the generator maps p2m_bytes(ram) zeroed bytes here for this protection domain alone;
    // the VMM calls this once, at start.
    #[expect(unsafe_code, reason = "mapped region")]
    unsafe {
        core::slice::from_raw_parts_mut(
            vaddr::P2M as *mut u32,
            topology::p2m_bytes(ram) as usize / 4,
        )
    }
}

/// A read-only region whose contents the image builder made and nothing changes.
///
/// # Safety
/// `len` bytes from `base` are mapped readable in this protection domain and written by nobody.
#[expect(unsafe_code, reason = "mapped region")]
unsafe fn image_bytes(base: u64, len: usize) -> &'static [u8] {
    // SAFETY: promised by the caller.
    unsafe { core::slice::from_raw_parts(base as *const u8, len) }
}

/// The boot device tree in the dt-server: as long as its header says, within the region's most.
pub fn boot_dtb() -> &'static [u8] {
    const HEADER: usize = 40;
    // SAFETY: the generator maps the file the builder wrote, a device tree of at least a header,
    // read-only.
    #[expect(unsafe_code, reason = "mapped region")]
    let header = unsafe { image_bytes(vaddr::BOOT_DTB, HEADER) };
    let total = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
    // SAFETY: the region is the whole file, whose length the builder has checked against the
    // header.
    #[expect(unsafe_code, reason = "mapped region")]
    unsafe {
        image_bytes(vaddr::BOOT_DTB, total.max(HEADER))
    }
}

/// A server's records, handed out piece by piece.
#[derive(Debug)]
pub struct Records {
    next: u64,
    end: u64,
}

impl Records {
    /// The memory server's region; the image builder states its size, `bytes`. Taken once.
    pub fn take(bytes: u64) -> Self {
        Self {
            next: vaddr::RECORDS,
            end: vaddr::RECORDS + bytes,
        }
    }

    /// The same of the xenstore server.
    pub fn of_store(bytes: u64) -> Self {
        Self {
            next: vaddr::STORE_MEMORY,
            end: vaddr::STORE_MEMORY + bytes,
        }
    }

    /// `count` values, each made by `value`; `None` where the region is used up.
    pub fn slice<T>(&mut self, count: usize, value: impl Fn() -> T) -> Option<&'static mut [T]> {
        let start = self.next.checked_next_multiple_of(align_of::<T>() as u64)?;
        let end = start.checked_add(u64::try_from(count.checked_mul(size_of::<T>())?).ok()?)?;
        if end > self.end {
            return None;
        }
        self.next = end;
        let first = start as *mut T;
        for i in 0..count {
            // SAFETY: within the region (checked), aligned, and handed out to nobody before.
            #[expect(unsafe_code, reason = "mapped region")]
            unsafe {
                first.add(i).write(value());
            }
        }
        // SAFETY: as above, and initialised.
        #[expect(unsafe_code, reason = "mapped region")]
        Some(unsafe { core::slice::from_raw_parts_mut(first, count) })
    }

    /// How many more values of `T` fit.
    pub fn room_for<T>(&self) -> usize {
        let bytes = self
            .end
            .saturating_sub(self.next)
            .saturating_sub(align_of::<T>() as u64);
        usize::try_from(bytes).unwrap_or(0) / size_of::<T>().max(1)
    }
}

/// The UART of the console, not started, and its line; taken once.
pub fn uart() -> (Serial<'static>, Line) {
    let base = NonNull::new(vaddr::UART as *mut u8).expect("the UART's address is not null");
    let [kind, clock_hz] = patched::uart();
    // SAFETY: the generator maps the registers of the board's UART here, uncached, in the console
    // alone; the builder says what kind it is; taken once.
    #[expect(unsafe_code, reason = "device registers")]
    let serial = unsafe {
        if kind == UartKind::Cadence as u64 {
            Serial::Cadence(Cadence::over(Mapped::over(UniqueMmioPointer::new(
                base.cast(),
            ))))
        } else {
            Serial::Pl011(Pl011::new(base))
        }
    };
    let line = Line {
        baud: 115_200,
        clock_hz: clock_hz as u32,
    };
    (serial, line)
}
