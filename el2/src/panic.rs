//! The end of the program: a line on the serial port, and power off.
//!
//! # Soundness
//! `el2_fault` is entered from the vectors alone, on a stack of its own, and never returns.
#![expect(unsafe_code, reason = "a symbol that the vectors know")]

use core::panic::PanicInfo;

use crate::serial::last_words;

/// Switches the machine off where firmware can, and else stops.
fn off() -> ! {
    let _refused = smccc::psci::system_off::<smccc::Smc>();
    loop {
        aarch64_cpu::asm::wfe();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    last_words(format_args!("el2: {info}"));
    off()
}

/// An exception that the host itself caused: a defect, or an access to a window where nothing is mapped.
// SAFETY: the name is used by the vectors alone.
#[unsafe(no_mangle)]
extern "C" fn el2_fault(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    last_words(format_args!(
        "el2: the host faulted: vector {vector}, esr {esr:#x}, pc {elr:#x} (image offset {:#x}), address {far:#x}",
        elr.wrapping_sub(crate::boot::image_start())
    ));
    off()
}
