//! Memory regions that system.xml maps at fixed addresses.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU8, AtomicU32};

use board::UartKind;
use console_api::{HEADER_SIZE, REGION_SIZE, Region};
use guest_mem::RawWindow;
use peer_server_api::{ENDS_WORDS, Ends, PAIR_WORDS, PairPage};
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

/// Where ports of domain `domain` end, in the peer server; in a VMM its own is number 0.
pub fn ends(domain: usize) -> Ends<'static> {
    Ends::new(shared(vaddr::ends(domain), ENDS_WORDS)).expect("it has so many words")
}

/// The page that VMM `me` shares with VMM `other`.
pub fn pair_page(me: usize, other: usize) -> PairPage<'static> {
    let words = shared(vaddr::pair(other), PAIR_WORDS);
    PairPage::new(words, me < other).expect("it has so many words")
}

/// The `count` words of a page of events between domains at `base`.
fn shared(base: u64, count: usize) -> &'static [AtomicU32] {
    // SAFETY: the generator maps a page, zeroed at first, at this page-aligned address in those
    // protection domains that ask for it, for as long as they live; all sides use atomics only, and
    // who has it read-only only reads.
    #[expect(unsafe_code, reason = "mapped region")]
    unsafe {
        words(base, 4 * count)
    }
}

/// The `bytes` bytes at `base`, which is page-aligned, as words.
///
/// # Safety
/// A region of that length is mapped there for as long as the program runs, and everybody who has
/// it uses atomics only.
#[expect(unsafe_code, reason = "mapped region")]
unsafe fn words(base: u64, bytes: usize) -> &'static [AtomicU32] {
    // SAFETY: promised by the caller.
    unsafe { core::slice::from_raw_parts(base as *const AtomicU32, bytes / 4) }
}

/// The region with queues of disks at `base`.
fn disk_queues(base: u64) -> block_server_api::Region<'static> {
    const BYTES: usize = block_server_api::HEADER_SIZE;
    const { assert!(BYTES as u64 == topology::DISKS_REGION_SIZE) };
    // SAFETY: the generator maps so many bytes wherever it maps one of these regions, zeroed at
    // first; both sides use atomics only. Where it does not, the first access faults.
    #[expect(unsafe_code, reason = "mapped region")]
    let header = unsafe { words(base, BYTES) };
    block_server_api::Region::new(header).expect("the length is the geometry's own")
}

/// The queues between the block server and the VMM of domain `domain`, from 0; in a VMM its own is
/// number 0.
pub fn disks_region(domain: usize) -> block_server_api::Region<'static> {
    disk_queues(vaddr::disks_guest(domain))
}

/// The queues between the block server and its driver.
pub fn driver_region() -> block_server_api::Region<'static> {
    disk_queues(vaddr::DISK_QUEUE)
}

/// A window onto `len` bytes at `base`.
fn window(base: u64, len: u64) -> RawWindow {
    // SAFETY: the system description maps a region there, or nothing, and no Rust object is placed
    // there; callers name regions that only windows and devices use.
    #[expect(unsafe_code, reason = "mapped region")]
    unsafe {
        RawWindow::new(base as *mut u8, len)
    }
}

/// The data area between the block server and the VMM of domain `domain`, from 0; in a VMM its own
/// is number 0.
pub fn disk_data(domain: usize) -> RawWindow {
    const { assert!(block_server_api::DATA_SIZE as u64 <= topology::DISK_DATA_SIZE) };
    window(vaddr::disk_data(domain), block_server_api::DATA_SIZE.into())
}

/// The queues between the net server and the VMM of domain `domain`, from 0; in a VMM its own is
/// number 0.
pub fn nets_region(domain: usize) -> net_server_api::Region<'static> {
    const BYTES: usize = net_server_api::HEADER_SIZE;
    const { assert!(BYTES as u64 == topology::NETS_REGION_SIZE) };
    // SAFETY: as in `disk_queues`.
    #[expect(unsafe_code, reason = "mapped region")]
    let header = unsafe { words(vaddr::nets_guest(domain), BYTES) };
    net_server_api::Region::new(header).expect("the length is the geometry's own")
}

/// The frames between the net server and the VMM of domain `domain`, from 0; in a VMM its own are
/// number 0.
pub fn net_data(domain: usize) -> RawWindow {
    const { assert!(net_server_api::DATA_SIZE as u64 <= topology::NET_DATA_SIZE) };
    window(vaddr::net_data(domain), net_server_api::DATA_SIZE.into())
}

/// The queues between the net server and the driver of its uplink.
pub fn uplink_region() -> net_server_api::Region<'static> {
    const BYTES: usize = net_server_api::UPLINK_HEADER_SIZE;
    const { assert!(BYTES as u64 == topology::UPLINK_REGION_SIZE) };
    // SAFETY: as in `disk_queues`.
    #[expect(unsafe_code, reason = "mapped region")]
    let header = unsafe { words(vaddr::UPLINK_QUEUE, BYTES) };
    net_server_api::Region::uplink(header).expect("the length is the geometry's own")
}

/// The frames between the two.
pub fn uplink_data() -> RawWindow {
    const { assert!(net_server_api::NIC_DATA as u64 == topology::UPLINK_DATA_SIZE) };
    window(vaddr::UPLINK_DATA, net_server_api::NIC_DATA.into())
}

/// The block server's own buffer.
pub fn disk_buffer() -> RawWindow {
    window(vaddr::DISK_BUFFER, topology::DISK_BUFFER_SIZE)
}

/// RAM disk `disk`, of `len` bytes, in the block server.
pub fn ram_disk(disk: usize, len: u64) -> RawWindow {
    window(vaddr::ram_disk(disk), len)
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
