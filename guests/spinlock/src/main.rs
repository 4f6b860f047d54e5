//! Four threads add to one number under a spin lock: `spinlock: sum=N ticks=N`.
//!
//! Who waits for the lock does so in WFE, which is where a hypervisor learns of it. The sum is that
//! of all additions, or the lock did not hold; the ticks are those of the virtual counter. The
//! program ends 0 if the sum is right.
//!
//! The program is a static executable for Linux on AArch64 without libc.
#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Linux's numbers (include/uapi/asm-generic/unistd.h).
const SYS_WRITE: u64 = 64;
const SYS_EXIT_GROUP: u64 = 94;
/// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM`.
const CLONE_THREAD: u64 = 0x5_0f00;

const THREADS: usize = 4;
/// Of all threads together.
const ADDITIONS: u64 = 10_000_000;
/// Words of a thread's stack.
const STACK: usize = 512;

/// The threads' stacks; the first thread has the one that it was started with.
#[repr(align(16))]
struct Stacks(UnsafeCell<[[u64; STACK]; THREADS]>);

// SAFETY: each thread uses its own.
unsafe impl Sync for Stacks {}

static STACKS: Stacks = Stacks(UnsafeCell::new([[0; STACK]; THREADS]));
static LOCKED: AtomicBool = AtomicBool::new(false);
/// Changed under the lock only, by a load and a store.
static SUM: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

// `start_thread(flags, stack)`: clone; the new thread calls `thread` and ends.
global_asm!(
    ".globl start_thread",
    "start_thread:",
    "mov x8, #220",
    "mov x2, xzr",
    "mov x3, xzr",
    "mov x4, xzr",
    "svc #0",
    "cbz x0, 1f",
    "ret",
    "1:",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl thread",
    "mov x0, xzr",
    "mov x8, #93",
    "svc #0",
);

unsafe extern "C" {
    fn start_thread(flags: u64, stack: *mut u64) -> i64;
}

fn counter() -> u64 {
    let count;
    // SAFETY: readable at EL0 (CNTKCTL_EL1.EL0VCTEN, which Linux sets); reading changes nothing.
    unsafe {
        asm!("isb", "mrs {0}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags))
    };
    count
}

/// Waits for [`wake`] of another processor. An event since the last time is pending, so none is
/// missed.
fn wait() {
    // SAFETY: waiting changes nothing.
    unsafe { asm!("wfe", options(nomem, nostack, preserves_flags)) };
}

/// Ends the others' [`wait`], behind what was stored before.
fn wake() {
    // SAFETY: an event changes nothing.
    unsafe { asm!("dsb ish", "sev", options(nostack, preserves_flags)) };
}

/// A part of the additions.
#[unsafe(no_mangle)]
extern "C" fn thread() {
    for _ in 0..ADDITIONS / THREADS as u64 {
        while LOCKED
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            wait();
        }
        let sum = SUM.load(Ordering::Relaxed);
        SUM.store(sum + 1, Ordering::Relaxed);
        LOCKED.store(false, Ordering::Release);
        wake();
    }
    DONE.fetch_add(1, Ordering::AcqRel);
}

/// A line under construction; what does not fit is dropped.
struct Line {
    bytes: [u8; 96],
    len: usize,
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Entry point: the kernel jumps here with a stack.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let start = counter();
    for n in 1..THREADS {
        // SAFETY: the stack of that number is the new thread's, and nobody else's.
        let started = unsafe {
            let end = STACKS.0.get().cast::<u64>().add(STACK * (n + 1));
            start_thread(CLONE_THREAD, end)
        };
        if started < 0 {
            exit(2)
        }
    }
    thread();
    while DONE.load(Ordering::Acquire) != THREADS as u64 {
        core::hint::spin_loop();
    }
    let (sum, ticks) = (SUM.load(Ordering::Relaxed), counter() - start);
    let mut line = Line {
        bytes: [0; 96],
        len: 0,
    };
    // Writing to a line cannot fail; what is too long is cut.
    let _ = core::fmt::Write::write_fmt(
        &mut line,
        format_args!("spinlock: sum={sum} ticks={ticks}\n"),
    );
    // SAFETY: write(1, bytes, len) reads `len` initialised bytes of `line` and touches nothing
    // else.
    unsafe {
        asm!("svc #0", in("x8") SYS_WRITE, inout("x0") 1u64 => _, in("x1") line.bytes.as_ptr(), in("x2") line.len,
             options(nostack, readonly));
    }
    exit(u64::from(sum != ADDITIONS))
}

fn exit(code: u64) -> ! {
    // SAFETY: exit does not return and leaves nothing of this program behind.
    unsafe { asm!("svc #0", in("x8") SYS_EXIT_GROUP, in("x0") code, options(noreturn, nostack)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(3)
}
