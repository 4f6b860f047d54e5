//! What Linux guests do with a disk for those who measure or test it.
//!
//! - `zazen-disk rows DEVICE [STORE]`: what one operation costs, in instructions under
//!   `-icount shift=0`: lines `bench: NAME N`.
//! - `zazen-disk seed`: gives the kernel's random numbers a seed, which has nothing random in it.
//! - `zazen-disk files DIRECTORY DEVICE COUNT`: writes files that must be there after power is lost
//!   ([`files`]).
//!
//! The program is a static executable for Linux on AArch64 without libc.
#![no_std]
#![no_main]

mod files;
mod line;
mod rows;
mod sys;

use core::ffi::CStr;

use line::say;

core::arch::global_asm!(".globl _start", "_start:", "mov x0, sp", "b main");

/// Words of the command line, behind the program's name.
#[derive(Clone, Copy)]
struct Words {
    at: *const *const u8,
    count: usize,
}

impl Words {
    fn get(self, number: usize) -> Option<&'static CStr> {
        (number < self.count).then(|| {
            // SAFETY: the kernel put so many pointers to words, which end with NUL, on the stack
            // that the program is started with, and nobody changes them.
            unsafe { CStr::from_ptr(self.at.add(number).read().cast()) }
        })
    }
}

/// Behind the entry point: `stack` is where the kernel put the number of words and the words.
#[unsafe(no_mangle)]
extern "C" fn main(stack: *const usize) -> ! {
    // SAFETY: see [`Words::get`]; the first word is the program's name.
    let words = unsafe {
        Words {
            at: stack.add(2).cast(),
            count: stack.read().saturating_sub(1),
        }
    };
    let word = |number| words.get(number);
    let done = match (word(0).map(CStr::to_bytes), word(1), word(2), word(3)) {
        (Some(b"rows"), Some(device), store, _) => rows::run(device, store),
        (Some(b"seed"), ..) => seed(),
        (Some(b"files"), Some(directory), Some(device), Some(count)) => {
            files::run(directory, device, count)
        }
        _ => Err("usage: zazen-disk rows DEVICE [STORE] | seed | files DIRECTORY DEVICE COUNT"),
    };
    match done {
        Ok(()) => sys::exit(0),
        Err(what) => {
            say(format_args!("zazen-disk: {what}\n"));
            sys::exit(1)
        }
    }
}

/// Without a seed each system call costs thousands of instructions more: Linux takes a random
/// number for the place of its stack. QEMU gives the bare machine one, and a guest of Xen's gets
/// none.
fn seed() -> Result<(), &'static str> {
    let random = sys::open(c"/dev/urandom", sys::BOTH);
    let done = u64::try_from(random).map(sys::add_entropy);
    if done == Ok(0) {
        Ok(())
    } else {
        Err("no seed is taken")
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(3)
}
