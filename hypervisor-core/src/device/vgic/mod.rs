//! Virtual GICv2: the distributor that the guest sees, and the list registers that carry its
//! interrupts to the virtual CPU interface (GICv2 spec IHI 0048B.b). It presents itself as a
//! GIC-400 with one CPU.
//!
//! The distributor is emulated here; the guest's CPU interface is the hardware's own (`GICV`), so
//! acknowledging and ending an interrupt cost no exit but the maintenance interrupt at its end.
//!
//! # What the list registers hide
//!
//! A kernel may let us write a list register but neither read it back nor clear it. From the
//! injection to the end of interrupt we therefore know only that an interrupt is *held*: pending or
//! active. Four consequences differ from a GIC whose state is all visible:
//!
//! - `GICD_ISACTIVER` shows a held interrupt as active. Who polls it (Linux's `synchronize_irq`)
//!   waits for the end of interrupt, which comes in either case. `GICD_ISPENDR` shows a held
//!   interrupt only if it is pending *again*: its line is high or a new edge has come.
//! - A held interrupt that the guest disables or clears (`GICD_ICENABLER`, `GICD_ICPENDR`) cannot
//!   be recalled: it may be taken once more. It does not come again after that.
//! - `GICD_ICACTIVER` does not deactivate a held interrupt; ending it does.
//! - An edge during the time an interrupt is held makes it pending again after its end, also where
//!   the guest had not taken the first one. An edge is never lost and never taken twice.
//!
//! # More interrupts than list registers
//!
//! The CPU interface signals the most urgent of what is in the list registers, so a more urgent
//! interrupt must get in. Where the host can take back what the guest has not acknowledged
//! ([`Interrupts::recall`](crate::host::Interrupts::recall)), the least urgent one makes way, as on
//! Xen. Where it cannot, the last free list register is kept for an interrupt that is more urgent
//! than all that were put in. So four that wait behind the guest's priority mask, or behind a
//! handler, keep no urgent one out. What is left: while the last one is taken too, by an urgent
//! interrupt that itself waits or whose handler runs, a still more urgent one waits until one of
//! the four ends.
//!
//! # Who calls what
//!
//! Devices use [`VGic::set_level`] and [`VGic::pulse`]; the exit loop uses
//! [`VGic::on_maintenance`], sets the levels of the interrupt that ended anew, and calls
//! [`VGic::flush`] before the guest runs on.

mod lr;
mod mmio;
mod regs;
mod state;
#[cfg(test)]
mod tests;

use hv_types::MAX_VCPUS;

use state::{Cpu, Word};

/// INTID of the virtual timer (PPI 11).
pub const VTIMER: u16 = 27;
/// INTID of the EL1 physical timer (PPI 14).
pub const PTIMER: u16 = 30;
/// INTID of the event-channel upcall on Xen (PPI 15).
pub const EVENT_UPCALL: u16 = 31;
/// Bytes of the CPU interface, which is the hardware's own.
pub const GICC_SIZE: u32 = 0x2000;
/// Most SPIs (INTIDs 32..=991; those from 1020 are special).
pub const MAX_SPIS: u16 = 960;

/// Whether the register at `offset` shows which private interrupts are pending (`GICD_ISPENDR0`,
/// `GICD_ICPENDR0`): the levels of their sources are to be set before it is read.
#[inline]
pub const fn shows_pending(offset: u32) -> bool {
    offset & !(regs::ISPENDR ^ regs::ICPENDR) == regs::ISPENDR
}

/// The vCPU that everything targets as long as there is one.
const BOOT: usize = 0;
/// Words of shared interrupts.
const SPI_WORDS: usize = MAX_SPIS as usize / 32;

/// One guest's interrupt controller.
///
/// All operations but [`VGic::flush`] take a fixed number of steps, whatever the guest has done;
/// `flush` looks at each deliverable interrupt once if there are any.
#[derive(Clone, Debug)]
pub struct VGic {
    /// `GICD_CTLR.Enable`.
    enabled: bool,
    /// Words that exist: the private one and those of the SPIs.
    words: u8,
    cpus: [Cpu; MAX_VCPUS],
    spis: [Word; SPI_WORDS],
    spi_priority: [u8; MAX_SPIS as usize],
}

impl VGic {
    /// A distributor after reset with `nr_spis` shared interrupts, rounded up to a multiple of 32;
    /// at most [`MAX_SPIS`]. About 2 KiB.
    pub const fn new(nr_spis: u16) -> Self {
        let nr_spis = if nr_spis > MAX_SPIS {
            MAX_SPIS
        } else {
            nr_spis
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 1 + 960 / 32")]
        let words = 1 + nr_spis.div_ceil(32) as u8;
        Self {
            enabled: false,
            words,
            cpus: [Cpu::RESET; MAX_VCPUS],
            spis: [Word::RESET; SPI_WORDS],
            spi_priority: [0; MAX_SPIS as usize],
        }
    }

    /// Sets the input line of PPI or SPI `intid`. A rising line latches an edge-triggered
    /// interrupt; a level-sensitive one is pending while the line is high.
    ///
    /// An `intid` that does not exist, or an SGI, which has no line, is ignored.
    #[inline]
    pub fn set_level(&mut self, intid: u16, high: bool) {
        if intid >= 16 && self.level(intid) != high {
            self.turn(intid, high);
        }
    }

    /// The line of `intid`, if that exists, changes to `high`.
    fn turn(&mut self, intid: u16, high: bool) {
        let Some((n, bit)) = self.locate(intid) else {
            return;
        };
        let Some(word) = self.word_mut(n) else { return };
        word.level ^= bit;
        if high {
            word.latch |= word.edge & bit;
        }
        self.update(n);
    }

    /// An edge on `intid`: pending once, whatever its configuration. An SGI comes from CPU 0.
    ///
    /// An `intid` that does not exist is ignored.
    pub fn pulse(&mut self, intid: u16) {
        let Some((n, bit)) = self.locate(intid) else {
            return;
        };
        if let Some(sources) = self.cpus[BOOT].sgi_sources.get_mut(usize::from(intid)) {
            *sources |= 1 << BOOT;
        }
        if let Some(word) = self.word_mut(n) {
            word.latch |= bit;
        }
        self.update(n);
    }

    /// State of the input line of `intid`.
    pub fn level(&self, intid: u16) -> bool {
        self.test(intid, |word| word.level)
    }

    /// Whether the distributor forwards `intid`: it and the distributor are enabled.
    pub fn is_enabled(&self, intid: u16) -> bool {
        self.enabled && self.test(intid, |word| word.enabled)
    }

    /// Whether `intid` is in a list register: injected and not ended.
    pub fn in_list_register(&self, intid: u16) -> bool {
        self.test(intid, |word| word.held)
    }

    /// Whether a vCPU that waits for an interrupt must run: one is in a list register and not
    /// ended, or could be put into one. (WFI completes whether or not PSTATE masks the interrupt.)
    pub fn deliverable(&self) -> bool {
        let cpu = &self.cpus[BOOT];
        cpu.used != 0 || (self.enabled && cpu.summary != 0)
    }

    /// Word and bit of `intid`, or `None` where this distributor does not have it.
    fn locate(&self, intid: u16) -> Option<(usize, u32)> {
        let n = usize::from(intid / 32);
        (n < usize::from(self.words)).then(|| (n, 1 << (intid % 32)))
    }

    fn test(&self, intid: u16, field: impl Fn(&Word) -> u32) -> bool {
        self.locate(intid)
            .is_some_and(|(n, bit)| self.word(n).is_some_and(|word| field(word) & bit != 0))
    }

    /// Word `n`, also one beyond [`VGic::words`], which stays in its reset state.
    fn word(&self, n: usize) -> Option<&Word> {
        match n.checked_sub(1) {
            None => Some(&self.cpus[BOOT].private),
            Some(spi) => self.spis.get(spi),
        }
    }

    fn word_mut(&mut self, n: usize) -> Option<&mut Word> {
        match n.checked_sub(1) {
            None => Some(&mut self.cpus[BOOT].private),
            Some(spi) => self.spis.get_mut(spi),
        }
    }

    /// Recomputes what is derived from word `n`.
    fn update(&mut self, n: usize) {
        let Some(word) = self.word_mut(n) else { return };
        word.refresh();
        let ready = word.ready != 0;
        let cpu = &mut self.cpus[BOOT];
        cpu.summary = (cpu.summary & !(1 << n)) | (u32::from(ready) << n);
        cpu.stuck = false;
    }

    /// Priority of `intid`, lower is more urgent; 0 where it does not exist.
    fn priority(&self, intid: u16) -> u8 {
        let at = usize::from(intid);
        match at.checked_sub(32) {
            None => self.cpus[BOOT].priority[at],
            Some(spi) => self.spi_priority.get(spi).copied().unwrap_or(0),
        }
    }
}
