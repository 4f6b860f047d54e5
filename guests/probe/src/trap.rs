//! Exceptions: what a risky instruction did, and interrupts.
//!
//! A risky instruction is written with [`attempt!`]: it names where to go on, and the exception
//! handler goes there whatever ELR says. An exception that nobody expects ends the guest.

use core::cell::UnsafeCell;
use core::fmt;

use crate::{cpu, gic, println};

/// Exception class of `ESR_EL1` (Arm ARM, D17.2.37).
pub mod class {
    /// Unknown reason: what UNDEF gives.
    pub const UNDEFINED: u64 = 0x00;
    /// Instruction abort from this exception level.
    pub const FETCH_ABORT: u64 = 0x21;
    /// Data abort from this exception level.
    pub const DATA_ABORT: u64 = 0x25;
}

/// An exception that an instruction took.
#[derive(Clone, Copy)]
pub struct Fault {
    /// `ESR_EL1`.
    pub esr: u64,
    /// `FAR_EL1`.
    pub far: u64,
    /// `ELR_EL1` less the address of the instruction in bytes.
    pub past: i64,
}

impl Fault {
    /// Exception class.
    pub fn class(&self) -> u64 {
        self.esr >> 26
    }
}

/// What became of an instruction.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It was executed.
    Done,
    /// It took an exception.
    Took(Fault),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("executed"),
            Self::Took(fault) => write!(
                f,
                "esr {:#x} far {:#x} elr at +{}",
                fault.esr, fault.far, fault.past
            ),
        }
    }
}

/// What the handler and the code it interrupts share.
#[repr(C)]
pub struct State {
    /// Address at which to go on after an exception; 0: none is expected.
    resume: u64,
    /// Address of the instruction that may take it.
    at: u64,
    taken: bool,
    fault: Fault,
    /// Interrupts taken, and `CNTVCT_EL0` at the last one's vector.
    interrupts: u64,
    entered: u64,
}

/// A state for each vCPU that there may be.
struct Shared([UnsafeCell<State>; 8]);

// SAFETY: each vCPU uses its own, and every access is a single volatile read or write.
unsafe impl Sync for Shared {}

static STATE: Shared = Shared(
    [const {
        UnsafeCell::new(State {
            resume: 0,
            at: 0,
            taken: false,
            fault: Fault {
                esr: 0,
                far: 0,
                past: 0,
            },
            interrupts: 0,
            entered: 0,
        })
    }; 8],
);

/// That of the vCPU that asks.
fn state() -> *mut State {
    STATE.0[cpu::mpidr() as usize % 8].get()
}

/// Where `attempt!` puts the addresses: first of the resume point, then of the instruction.
pub fn prepare() -> *mut u64 {
    let state = state();
    // SAFETY: see `Shared`.
    unsafe {
        (&raw mut (*state).taken).write_volatile(false);
        &raw mut (*state).resume
    }
}

/// What happened since [`prepare`].
pub fn outcome() -> Outcome {
    let state = state();
    // SAFETY: see `Shared`.
    unsafe {
        (&raw mut (*state).resume).write_volatile(0);
        if (&raw const (*state).taken).read_volatile() {
            Outcome::Took((&raw const (*state).fault).read_volatile())
        } else {
            Outcome::Done
        }
    }
}

/// Number of interrupts taken so far; its address is for assembly that waits.
pub fn interrupts() -> *const u64 {
    // SAFETY: only the address is taken.
    unsafe { &raw const (*state()).interrupts }
}

/// `CNTVCT_EL0` at the last interrupt's vector.
pub fn entered() -> u64 {
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*state()).entered).read_volatile() }
}

/// Runs an instruction that may take an exception and yields its [`Outcome`]. Operands as in
/// `asm!`; x15 and x17 are taken.
#[macro_export]
macro_rules! attempt {
    ($instruction:literal $(, $($operand:tt)*)?) => {{
        let slots = $crate::trap::prepare();
        // SAFETY: the exception handler goes on behind the instruction, and everything it or the
        // instruction may change is declared clobbered. What the instruction does to memory is the
        // test's point.
        unsafe {
            core::arch::asm!(
                "adr x15, 78f",
                "str x15, [x17]",
                "adr x15, 77f",
                "str x15, [x17, #8]",
                "77:",
                $instruction,
                "78:",
                $($($operand)*,)?
                in("x17") slots,
                // Not `lateout`: no operand of the instruction may be given x15.
                out("x15") _,
                clobber_abi("C"),
            );
        }
        $crate::trap::outcome()
    }};
}

/// Called from the vectors: `vector` is its number, `now` was `CNTVCT_EL0` there.
#[unsafe(no_mangle)]
extern "C" fn probe_exception(vector: u64, now: u64) {
    let state = state();
    // SAFETY: see `Shared`; interrupts are masked in here.
    unsafe {
        if vector == 5 {
            (&raw mut (*state).entered).write_volatile(now);
            let count = (&raw const (*state).interrupts).read_volatile();
            (&raw mut (*state).interrupts).write_volatile(count + 1);
            gic::on_interrupt();
            return;
        }
        let resume = (&raw const (*state).resume).read_volatile();
        let (esr, far, elr) = (cpu::esr(), cpu::far(), cpu::elr());
        if vector != 4 || resume == 0 {
            println!(
                "probe: unexpected exception: vector {vector} esr {esr:#x} far {far:#x} elr {elr:#x}"
            );
            cpu::power_off();
        }
        let at = (&raw const (*state).at).read_volatile();
        (&raw mut (*state).fault).write_volatile(Fault {
            esr,
            far,
            past: elr.wrapping_sub(at) as i64,
        });
        (&raw mut (*state).taken).write_volatile(true);
        (&raw mut (*state).resume).write_volatile(0);
        cpu::set_elr(resume);
    }
}

/// 1 if a load from `address` takes an exception, else 0.
pub fn faults(address: u64) -> i64 {
    i64::from(matches!(
        attempt!("ldr x0, [{}]", in(reg) address),
        Outcome::Took(_)
    ))
}

/// The same of a store of zero.
pub fn store_faults(address: u64) -> i64 {
    i64::from(matches!(
        attempt!("str xzr, [{}]", in(reg) address),
        Outcome::Took(_)
    ))
}
