//! Prints the virtual counter: `zazen-boot: cntvct=N cntfrq=N`.
//!
//! `/init` of the Linux guests runs it first, so that N is the time from the guest's zero of
//! `CNTVCT_EL0` to user space. Where no offset is applied (seL4 applies none) that is the time
//! since power-on, and under `-icount shift=0` each tick of the 62.5 MHz counter is 16
//! instructions: a figure that repeats exactly.
//!
//! The program is a static executable for Linux on AArch64 without libc: two system calls.
#![no_std]
#![no_main]

use core::arch::asm;

/// Linux's number of `write` on AArch64 (include/uapi/asm-generic/unistd.h).
const SYS_WRITE: u64 = 64;
/// Linux's number of `exit`.
const SYS_EXIT: u64 = 93;

/// A line under construction; what does not fit is dropped.
struct Line {
    bytes: [u8; 96],
    len: usize,
}

impl Line {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn text(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.push(byte));
    }

    fn decimal(&mut self, mut value: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        digits[at..].iter().for_each(|&digit| self.push(digit));
    }
}

/// Entry point: the kernel jumps here with a stack.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let (count, frequency): (u64, u64);
    // SAFETY: both registers are readable at EL0 (CNTKCTL_EL1.EL0VCTEN, which Linux sets); reading
    // changes nothing.
    unsafe {
        asm!("isb", "mrs {0}, cntvct_el0", "mrs {1}, cntfrq_el0", out(reg) count, out(reg) frequency,
             options(nomem, nostack, preserves_flags));
    }
    let mut line = Line {
        bytes: [0; 96],
        len: 0,
    };
    line.text("zazen-boot: cntvct=");
    line.decimal(count);
    line.text(" cntfrq=");
    line.decimal(frequency);
    line.text("\n");
    // SAFETY: write(1, bytes, len) reads `len` initialised bytes of `line` and touches nothing
    // else.
    unsafe {
        asm!("svc #0", in("x8") SYS_WRITE, inout("x0") 1u64 => _, in("x1") line.bytes.as_ptr(), in("x2") line.len,
             options(nostack, readonly));
    }
    exit(0)
}

fn exit(code: u64) -> ! {
    // SAFETY: exit does not return and leaves nothing of this program behind.
    unsafe { asm!("svc #0", in("x8") SYS_EXIT, in("x0") code, options(noreturn, nostack)) }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
