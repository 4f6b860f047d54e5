//! Having another core save the registers of a vCPU.
//!
//! The kernel leaves the system registers of a vCPU in its core when the vCPU's thread stops, until
//! another vCPU runs there, and `VCPU_ReadRegs` and `VCPU_WriteRegs` look at the core that they are
//! called on alone (seL4 16.0.0, `readVCPUReg`): called on another one they would read what was
//! saved before, and write what is never loaded. So a VMM has an *unloader* on each of the other
//! cores of its guest: a vCPU without a program, whose program counter is where no guest has
//! memory. It faults at once when it is started, and its vCPU object is loaded by then, so what was
//! loaded before has been saved.

use core::sync::atomic::{AtomicU8, Ordering};

use sel4::cap;
use topology::{caps, cores};

use crate::event::{Event, Missed, Signals};
use crate::invoke::{CONTEXT_LEN, CONTEXT_PC, CONTEXT_SPSR, write_registers};

const _: () = assert!(hv_types::MAX_VCPUS as u64 == cores::unloader(0));

/// Where unloaders fault: the last page of the intermediate physical addresses, far above all that
/// a guest may have (`topology::vaddr::WINDOW_END` less `WINDOW`).
const NOWHERE: u64 = (1 << 40) - 0x1000;

/// Unloaders that have been started, a bit for each core.
static STARTED: AtomicU8 = AtomicU8::new(0);

/// Notifications that came meanwhile.
static MISSED: Missed = Missed::none();

/// Notifications that came while a core was waited for, which are then forgotten.
#[inline]
pub fn take_missed() -> Signals {
    MISSED.take()
}

/// Has `core` save what it has loaded, and returns when it has. What is in the message registers is
/// lost.
pub(crate) fn unload(core: u8) {
    let input = cap::Endpoint::from_bits(caps::VMM_UNLOADED);
    let reply = cap::Reply::from_bits(caps::vmm_unload_reply(core));
    let started = STARTED.fetch_or(1 << core, Ordering::Relaxed) & 1 << core != 0;
    let mut received = if started {
        // A reply to its fault: it tries again.
        input.reply_recv(sel4::MessageInfo::new(0, 0, 0, 0), reply)
    } else {
        let mut regs = [0; CONTEXT_LEN];
        regs[CONTEXT_PC] = NOWHERE;
        // EL1h, all masked; the MMU of a new vCPU is off.
        regs[CONTEXT_SPSR] = 0x3c5;
        let tcb = caps::VMM_VCPU_TCB + cores::unloader(core);
        write_registers(tcb, &regs, CONTEXT_SPSR + 1, true);
        input.recv(reply)
    };
    loop {
        match Event::new(received) {
            Event::Fault(..) => return,
            Event::Signals(signals) => MISSED.add(signals),
        }
        received = input.recv(reply);
    }
}
