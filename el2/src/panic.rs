//! The end of the program: a line on the serial port, and power off.
//!
//! # Soundness
//! `el2_fault` is entered from the vectors alone, on a stack of its own, and never returns.
#![expect(unsafe_code, reason = "a symbol that the vectors know")]

use core::panic::PanicInfo;

use fault_server::Access;

use crate::machine::HostPlace;
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

/// An exception that the host itself caused: a defect, or an access to a window where nothing is
/// mapped.
// SAFETY: the name is used by the vectors alone.
#[unsafe(no_mangle)]
extern "C" fn el2_fault(vector: u64, esr: u64, elr: u64, far: u64) -> ! {
    let offset = elr.wrapping_sub(crate::boot::image_start());
    // Exception classes 0x20 and 0x24, and one more from the same level: instruction and data abort
    // (Arm ARM D24.2.40).
    #[expect(clippy::cast_possible_truncation, reason = "the ISS has 25 bits")]
    let iss = esr as u32 & 0x1ff_ffff;
    match esr >> 26 & 0x3f {
        class @ (0x20 | 0x21 | 0x24 | 0x25) => last_words(format_args!(
            "el2: the host faulted: {} address {far:#x} ({}); image offset of the pc {offset:#x}, syndrome {esr:#x}",
            Access::new(iss, class < 0x24).words(),
            HostPlace(far)
        )),
        _ => last_words(format_args!(
            "el2: the host took an exception that it does not expect: vector {vector}, syndrome {esr:#x}; \
             image offset of the pc {offset:#x}"
        )),
    }
    last_words(format_args!(
        "el2: all guests are lost; try: addr2line -fie zazen-el2 {offset:#x} names the source line; please report it"
    ));
    off()
}
