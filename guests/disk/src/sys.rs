//! Linux's system calls (include/uapi/asm-generic/unistd.h).

use core::arch::asm;

const IO_SETUP: u64 = 0;
const IO_SUBMIT: u64 = 2;
const IO_GETEVENTS: u64 = 4;
const IOCTL: u64 = 29;
const UNLINKAT: u64 = 35;
const OPENAT: u64 = 56;
const CLOSE: u64 = 57;
const READ: u64 = 63;
const WRITE: u64 = 64;
const PREAD: u64 = 67;
const PWRITE: u64 = 68;
const FSYNC: u64 = 82;
const EXIT_GROUP: u64 = 94;

/// `AT_FDCWD`: names are looked up from the working directory on.
const HERE: i64 = -100;

/// How a file is opened (include/uapi/asm-generic/fcntl.h, and arm64's own `O_DIRECT`).
pub const WRITES: u64 = 1;
pub const BOTH: u64 = 2;
pub const CREATE: u64 = 0o100;
pub const DIRECT: u64 = 0o200_000;

/// A request of Linux's asynchronous I/O (include/uapi/linux/aio_abi.h).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Iocb {
    pub data: u64,
    pub key: u32,
    pub flags: u32,
    pub opcode: u16,
    pub priority: i16,
    pub file: u32,
    pub buffer: u64,
    pub bytes: u64,
    pub offset: i64,
    pub reserved: u64,
    pub more_flags: u32,
    pub eventfd: u32,
}

/// Operations of an [`Iocb`].
pub const AIO_READ: u16 = 0;
pub const AIO_WRITE: u16 = 1;

/// What became of one.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Event {
    pub data: u64,
    pub iocb: u64,
    pub result: i64,
    pub more: i64,
}

/// # Safety
/// The call must be sound: pointers among the arguments are valid for what it does with them.
unsafe fn call(number: u64, arguments: [u64; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    let result;
    // SAFETY: promised by the caller.
    unsafe {
        asm!("svc #0", in("x8") number, inout("x0") a => result, in("x1") b, in("x2") c, in("x3") d, in("x4") e,
             options(nostack));
    }
    result
}

/// Opens `path`, which ends with NUL; negative where that fails.
pub fn open(path: &core::ffi::CStr, flags: u64) -> i64 {
    // SAFETY: the path is read to its NUL.
    unsafe { call(OPENAT, [HERE as u64, path.as_ptr() as u64, flags, 0o600, 0]) }
}

pub fn unlink(path: &core::ffi::CStr) -> i64 {
    // SAFETY: the path is read to its NUL.
    unsafe { call(UNLINKAT, [HERE as u64, path.as_ptr() as u64, 0, 0, 0]) }
}

pub fn close(file: u64) {
    // SAFETY: no memory is touched.
    unsafe { call(CLOSE, [file, 0, 0, 0, 0]) };
}

pub fn fsync(file: u64) -> i64 {
    // SAFETY: no memory is touched.
    unsafe { call(FSYNC, [file, 0, 0, 0, 0]) }
}

pub fn write(file: u64, bytes: &[u8]) -> i64 {
    // SAFETY: so many bytes are read.
    unsafe {
        call(
            WRITE,
            [file, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0],
        )
    }
}

pub fn read(file: u64, bytes: &mut [u8]) -> i64 {
    // SAFETY: so many bytes are written.
    unsafe {
        call(
            READ,
            [file, bytes.as_mut_ptr() as u64, bytes.len() as u64, 0, 0],
        )
    }
}

pub fn read_at(file: u64, bytes: &mut [u8], offset: u64) -> i64 {
    let length = bytes.len() as u64;
    // SAFETY: so many bytes are written.
    unsafe { call(PREAD, [file, bytes.as_mut_ptr() as u64, length, offset, 0]) }
}

pub fn write_at(file: u64, bytes: &[u8], offset: u64) -> i64 {
    let length = bytes.len() as u64;
    // SAFETY: so many bytes are read.
    unsafe { call(PWRITE, [file, bytes.as_ptr() as u64, length, offset, 0]) }
}

/// `RNDADDENTROPY` (include/uapi/linux/random.h): `file` is given 32 bytes that count as random.
pub fn add_entropy(file: u64) -> i64 {
    const ADD: u64 = 0x4008_5203;
    // Bits that it is worth, bytes that follow, and they.
    let seed: [i32; 10] = [256, 32, 1, 2, 3, 4, 5, 6, 7, 8];
    // SAFETY: the seed is read.
    unsafe { call(IOCTL, [file, ADD, seed.as_ptr() as u64, 0, 0]) }
}

/// A context for `depth` requests at once; `None` where that fails.
pub fn io_setup(depth: u64) -> Option<u64> {
    let mut context = 0u64;
    // SAFETY: the context's number is written.
    let result = unsafe { call(IO_SETUP, [depth, (&raw mut context) as u64, 0, 0, 0]) };
    (result == 0).then_some(context)
}

/// # Safety
/// `iocbs` point to requests whose buffers are the kernel's until their events have come.
pub unsafe fn io_submit(context: u64, iocbs: &[*const Iocb]) -> i64 {
    let (at, count) = (iocbs.as_ptr() as u64, iocbs.len() as u64);
    // SAFETY: promised by the caller.
    unsafe { call(IO_SUBMIT, [context, count, at, 0, 0]) }
}

/// Waits for one event at least.
pub fn io_getevents(context: u64, events: &mut [Event]) -> i64 {
    let (at, most) = (events.as_mut_ptr() as u64, events.len() as u64);
    // SAFETY: at most so many events are written; there is no limit of time.
    unsafe { call(IO_GETEVENTS, [context, 1, most, at, 0]) }
}

pub fn exit(code: u64) -> ! {
    // SAFETY: exit does not return and leaves nothing of this program behind.
    unsafe { asm!("svc #0", in("x8") EXIT_GROUP, in("x0") code, options(noreturn, nostack)) }
}

/// The virtual counter.
pub fn counter() -> u64 {
    let count;
    // SAFETY: readable at EL0 (CNTKCTL_EL1.EL0VCTEN, which Linux sets); reading changes nothing.
    unsafe {
        asm!("isb", "mrs {0}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags))
    };
    count
}
