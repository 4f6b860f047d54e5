//! What one operation costs, in instructions: minimum of 3 runs of 1000, the guest's side included.
//!
//! Under `-icount shift=0` an instruction is 1 ns of virtual time, and a run of 1000 is measured
//! with the 62.5 MHz counter, so the figure is good to 0.02 instructions. Without icount the
//! figures are nanoseconds.

use core::arch::asm;

use crate::gic::{self, gicd};
use crate::page::{self, Use};
use crate::xen::{SELF, call_with, call2, call3, nr, version_by_stub};
use crate::{abi_events, abi_memory, cpu, println, trap};

const RUNS: u64 = 3;
const ROUNDS: u64 = 1000;
/// Ticks from programming the timer to its expiry: far beyond any cost.
const AHEAD: u64 = 4000;

/// Runs the set.
pub fn run() {
    operation("xen_version", || _ = version_by_stub());
    operation("xen_version_x16", || _ = call2(nr::VERSION, 0, 0));
    let mut features = [0u32; 2];
    operation("get_features", || {
        _ = call_with(nr::VERSION, 6, &mut features)
    });
    operation("unknown_hypercall", || _ = call2(48, 0, 0));
    operation("psci_version", || _ = cpu::smc(0x8400_0000, 0, 0, 0));
    operation("current_reservation", || {
        _ = call_with(nr::MEMORY, 3, &mut { SELF })
    });
    operation("gicd_typer_read", || _ = gic::read_distributor(gicd::TYPER));
    operation("gicd_priority_write", || {
        gic::write_distributor(gicd::IPRIORITYR + 4, 0xa0a0_a0a0)
    });
    operation("console_io_0", || _ = call3(nr::CONSOLE, 0, 0, 0));
    send();
    gic::start();
    latency("vtimer_spinning", Wait::Spin, timer);
    latency("vtimer_wfi", Wait::Idle, timer);
    latency("self_sgi", Wait::Spin, || {
        let start = cpu::counter();
        gic::write_distributor(gicd::SGIR, 2 << 24);
        start
    });
}

/// Nanoseconds, which are instructions, of `ticks`.
pub fn instructions(ticks: u64) -> u64 {
    ticks * (1_000_000_000 / 1000) / (cpu::frequency() / 1000)
}

fn operation(name: &str, mut once: impl FnMut()) {
    let mut least = u64::MAX;
    for _ in 0..RUNS {
        let start = cpu::counter();
        for _ in 0..ROUNDS {
            once();
        }
        least = least.min(cpu::counter() - start);
    }
    println!("bench: {name} {}", instructions(least) / ROUNDS);
}

/// `evtchn_send` to a masked port: a loopback of this domain, or an unbound port where ports cannot
/// be bound.
fn send() {
    if abi_memory::map_shared_info() == 0 {
        // All ports masked: words 0..64 of evtchn_mask.
        (0..64).for_each(|word| page::write(Use::SharedInfo, 560 + word * 8, u64::MAX));
    }
    let remote = abi_events::alloc_unbound();
    // evtchn_bind_interdomain: remote domain, remote port, local port.
    let mut bind = [u32::from(SELF), remote, 0];
    let bound = call_with(nr::EVTCHN, 0, &mut bind) == 0;
    let (name, mut port) = if bound {
        ("evtchn_send_masked", bind[2])
    } else {
        ("evtchn_send_unbound", remote)
    };
    operation(name, || _ = call_with(nr::EVTCHN, 4, &mut port));
}

#[derive(Clone, Copy)]
enum Wait {
    Spin,
    Idle,
}

/// Arms the timer; returns the tick at which it expires.
fn timer() -> u64 {
    let expiry = cpu::counter() + AHEAD;
    cpu::set_timer(expiry);
    cpu::set_timer_control(1);
    expiry
}

/// From the tick that `begin` returns to the interrupt's vector.
fn latency(name: &str, wait: Wait, mut begin: impl FnMut() -> u64) {
    let mut least = u64::MAX;
    for _ in 0..RUNS {
        let mut sum = 0;
        for _ in 0..ROUNDS {
            // SAFETY: only the address is used, and the count is read by volatile access.
            let seen = unsafe { trap::interrupts().read_volatile() };
            let start = begin();
            interrupt(seen, wait);
            sum += trap::entered().saturating_sub(start);
        }
        least = least.min(sum);
    }
    println!("bench: {name} {}", instructions(least) / ROUNDS);
}

/// Waits until an interrupt has been taken since the count was `seen`.
fn interrupt(seen: u64, wait: Wait) {
    let count = trap::interrupts();
    // SAFETY: interrupts are open only inside, where everything that the handler may change is
    // declared.
    unsafe {
        match wait {
            Wait::Spin => asm!(
                "msr daifclr, #2",
                "1: ldr x9, [x10]",
                "cmp x9, x11",
                "b.eq 1b",
                "msr daifset, #2",
                in("x10") count, in("x11") seen, clobber_abi("C"),
            ),
            // An interrupt that is pending ends WFI though it is masked, so none can be missed
            // between.
            Wait::Idle => asm!(
                "1: wfi",
                "msr daifclr, #2",
                "isb",
                "msr daifset, #2",
                "ldr x9, [x10]",
                "cmp x9, x11",
                "b.eq 1b",
                in("x10") count, in("x11") seen, clobber_abi("C"),
            ),
        }
    }
}
