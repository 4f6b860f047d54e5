//! Virtual GICv2: the distributor that the guest sees, and the list registers that carry its
//! interrupts to the virtual CPU interface (GICv2 spec IHI 0048B.b). It presents itself as a
//! GIC-400.
//!
//! Interrupts below 32 are *private*: each vCPU has its own (SGIs and PPIs), and so the first
//! registers of each kind show a vCPU its own bits. A *shared* interrupt (SPI) goes to one vCPU;
//! where a guest names several in `GICD_ITARGETSR` it is the lowest, and to name none that exists
//! changes nothing, as in Xen. An SGI goes to those of its targets that are on; sent by several
//! before it is taken it comes once, as in Xen, and the CPU that sent it is not told (`GICC_IAR`
//! bits 12:10 are 0).
//!
//! The distributor is emulated here; the guest's CPU interface is the hardware's own (`GICV`), so
//! acknowledging and ending an interrupt cost no exit but the maintenance interrupt at its end.
//!
//! # What the list registers hide
//!
//! A kernel may let us write a list register but neither read it back nor clear it. From the
//! injection to the end of interrupt we therefore know only that an interrupt is *held*: pending or
//! active. Five consequences differ from a GIC whose state is all visible:
//!
//! - `GICD_ISACTIVER` shows a held interrupt as active. Who polls it (Linux's `synchronize_irq`)
//!   waits for the end of interrupt, which comes in either case. `GICD_ISPENDR` shows a held
//!   interrupt only if it is pending *again*: its line is high or a new edge has come.
//! - A held interrupt that the guest disables or clears (`GICD_ICENABLER`, `GICD_ICPENDR`) cannot
//!   be recalled: it may be taken once more. It does not come again after that.
//! - `GICD_ICACTIVER` does not deactivate a held interrupt; ending it does.
//! - A shared interrupt that gets another target while it is held comes to the old one.
//! - An edge during the time an interrupt is held makes it pending again after its end, also where
//!   the guest had not taken the first one. An edge is never lost and never taken twice.
//!
//! # More interrupts than list registers
//!
//! The CPU interface signals the most urgent of what is in the list registers, so a more urgent
//! interrupt must get in. Where the host can take back what the guest has not acknowledged
//! ([`Interrupts::recall`]), the least urgent one makes way, as on
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
//! [`VGic::flush`] before the vCPU runs on, and for those for which others have done something
//! ([`VGic::take_kicked`]).

mod lr;
mod mmio;
mod regs;
mod state;
#[cfg(test)]
mod tests;

use hv_types::{MAX_VCPUS, VcpuId, Vcpus};

use crate::host::Interrupts;

use state::{Cpu, SPI_WORDS, Word};

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
    /// vCPUs that exist.
    all: Vcpus,
    /// Those that are on, to which SGIs go.
    online: Vcpus,
    /// See [`VGic::kicked`].
    kicked: Vcpus,
    cpus: [Cpu; MAX_VCPUS],
    spis: [Word; SPI_WORDS],
    spi_priority: [u8; MAX_SPIS as usize],
}

impl VGic {
    /// A distributor of `vcpus` CPUs after reset with `nr_spis` shared interrupts, rounded up to a
    /// multiple of 32; at most [`MAX_SPIS`]. The first CPU is on. About 4 KiB.
    pub const fn new(nr_spis: u16, vcpus: u8) -> Self {
        let nr_spis = if nr_spis > MAX_SPIS {
            MAX_SPIS
        } else {
            nr_spis
        };
        #[expect(clippy::cast_possible_truncation, reason = "at most 1 + 960 / 32")]
        let words = 1 + nr_spis.div_ceil(32) as u8;
        let mut cpus = [Cpu::RESET; MAX_VCPUS];
        cpus[0] = Cpu::BOOT_RESET;
        Self {
            enabled: false,
            words,
            all: Vcpus::first(vcpus),
            online: Vcpus::BOOT,
            kicked: Vcpus::NONE,
            cpus,
            spis: [Word::RESET; SPI_WORDS],
            spi_priority: [0; MAX_SPIS as usize],
        }
    }

    /// What is vCPU `cpu`'s own.
    #[inline(always)]
    fn cpu(&self, cpu: VcpuId) -> &Cpu {
        &self.cpus[cpu.index()]
    }

    #[inline(always)]
    fn cpu_mut(&mut self, cpu: VcpuId) -> &mut Cpu {
        &mut self.cpus[cpu.index()]
    }

    /// Sets the input line of PPI `intid` of `cpu`, or of SPI `intid`. A rising line latches an
    /// edge-triggered interrupt; a level-sensitive one is pending while the line is high.
    ///
    /// An `intid` that does not exist, or an SGI, which has no line, is ignored.
    #[inline]
    pub fn set_level(&mut self, cpu: VcpuId, intid: u16, high: bool) {
        if intid >= 16 && self.level(cpu, intid) != high {
            self.turn(cpu, intid, high);
        }
    }

    /// The line of `intid`, if that exists, changes to `high`.
    #[inline]
    fn turn(&mut self, cpu: VcpuId, intid: u16, high: bool) {
        let Some((n, bit)) = self.locate(intid) else {
            return;
        };
        let Some(word) = self.word_mut(cpu, n) else {
            return;
        };
        word.level ^= bit;
        if high {
            word.latch |= word.edge & bit;
        }
        self.update(cpu, n);
    }

    /// An edge on `intid`, for a private one that of `cpu`: pending once, whatever its
    /// configuration. An SGI comes from `cpu` itself.
    ///
    /// An `intid` that does not exist is ignored.
    pub fn pulse(&mut self, cpu: VcpuId, intid: u16) {
        self.pulse_from(cpu, intid, Vcpus::only(cpu).bits());
    }

    /// [`VGic::pulse`]; an SGI comes from the CPUs in `sources`.
    #[inline]
    fn pulse_from(&mut self, cpu: VcpuId, intid: u16, sources: u8) {
        let Some((n, bit)) = self.locate(intid) else {
            return;
        };
        if let Some(before) = self.cpu_mut(cpu).sgi_sources.get_mut(usize::from(intid)) {
            *before |= sources;
        }
        if let Some(word) = self.word_mut(cpu, n) {
            word.latch |= bit;
        }
        self.update(cpu, n);
    }

    /// The vCPUs that exist.
    #[inline]
    pub const fn all(&self) -> Vcpus {
        self.all
    }

    /// The vCPUs that are on.
    #[inline]
    pub const fn online(&self) -> Vcpus {
        self.online
    }

    /// vCPU `cpu` is turned on or off: whether SGIs go to it.
    pub fn set_online(&mut self, cpu: VcpuId, on: bool) {
        let cpu = Vcpus::only(cpu);
        self.online = self.online.without(cpu);
        if on {
            self.online = self.online.with(cpu);
        }
    }

    /// vCPU `cpu` is about to be turned on: what is pending for it alone is forgotten, as Xen does,
    /// but for what is in a list register that cannot be taken back.
    pub fn restart<I: Interrupts>(&mut self, cpu: VcpuId, interface: &mut I) {
        let mut used = self.cpu(cpu).used;
        while used != 0 && interface.can_recall() {
            #[expect(clippy::cast_possible_truncation, reason = "below 16")]
            let lr = used.trailing_zeros() as u8;
            used &= used - 1;
            if interface.recall(lr) {
                self.on_maintenance(cpu, Some(lr));
            }
        }
        let own = self.cpu_mut(cpu);
        own.sgi_sources = [0; 16];
        own.private.latch = 0;
        self.update(cpu, 0);
    }

    /// [`VGic::set_level`] of a PPI that every distributor has: `intid` is 16 to 31.
    #[inline(always)]
    pub fn set_private_level(&mut self, cpu: VcpuId, intid: u16, high: bool) {
        if (self.cpu(cpu).private.level >> (intid & 31) & 1 != 0) != high {
            self.turn(cpu, intid, high);
        }
    }

    /// `cpu`, which need not be the one that is looked after, is to take an upcall.
    pub fn raise_upcall(&mut self, cpu: VcpuId) {
        self.set_level(cpu, EVENT_UPCALL, true);
        self.kick(cpu);
    }

    /// Somebody else has done something for `cpu`.
    pub(crate) fn kick(&mut self, cpu: VcpuId) {
        self.kicked = self.kicked.with(Vcpus::only(cpu));
    }

    /// vCPUs for which an interrupt may have become ready by something that was not their own
    /// doing, since [`VGic::take_kicked`].
    #[inline]
    pub const fn kicked(&self) -> Vcpus {
        self.kicked
    }

    /// [`VGic::kicked`], which are then forgotten.
    pub const fn take_kicked(&mut self) -> Vcpus {
        core::mem::replace(&mut self.kicked, Vcpus::NONE)
    }

    /// State of the input line of `intid`.
    pub fn level(&self, cpu: VcpuId, intid: u16) -> bool {
        self.test(cpu, intid, |word| word.level)
    }

    /// Whether the distributor forwards `intid`: it and the distributor are enabled.
    pub fn is_enabled(&self, cpu: VcpuId, intid: u16) -> bool {
        self.enabled && self.test(cpu, intid, |word| word.enabled)
    }

    /// Whether `intid` is in a list register: injected and not ended.
    pub fn in_list_register(&self, cpu: VcpuId, intid: u16) -> bool {
        self.test(cpu, intid, |word| word.held)
    }

    /// Whether `cpu`, which waits for an interrupt, must run: one is in a list register and not
    /// ended, or could be put into one. (WFI completes whether or not PSTATE masks the interrupt.)
    pub fn deliverable(&self, cpu: VcpuId) -> bool {
        let cpu = self.cpu(cpu);
        cpu.used != 0 || (self.enabled && cpu.summary != 0)
    }

    /// Word and bit of `intid`, or `None` where this distributor does not have it.
    fn locate(&self, intid: u16) -> Option<(usize, u32)> {
        let n = usize::from(intid / 32);
        (n < usize::from(self.words)).then(|| (n, 1 << (intid % 32)))
    }

    fn test(&self, cpu: VcpuId, intid: u16, field: impl Fn(&Word) -> u32) -> bool {
        self.locate(intid)
            .is_some_and(|(n, bit)| self.word(cpu, n).is_some_and(|word| field(word) & bit != 0))
    }

    /// Word `n` as `cpu` sees it, also one beyond [`VGic::words`], which stays in its reset state.
    fn word(&self, cpu: VcpuId, n: usize) -> Option<&Word> {
        match n.checked_sub(1) {
            None => Some(&self.cpu(cpu).private),
            Some(spi) => self.spis.get(spi),
        }
    }

    fn word_mut(&mut self, cpu: VcpuId, n: usize) -> Option<&mut Word> {
        match n.checked_sub(1) {
            None => Some(&mut self.cpu_mut(cpu).private),
            Some(spi) => self.spis.get_mut(spi),
        }
    }

    /// What of word `n` could go into a list register of `cpu`.
    fn ready(&self, cpu: VcpuId, n: usize) -> u32 {
        let own = self.cpu(cpu);
        match n.checked_sub(1) {
            None => own.private.ready,
            Some(spi) => match (self.spis.get(spi), own.targets.get(spi)) {
                (Some(word), Some(targets)) => word.ready & targets,
                _ => 0,
            },
        }
    }

    /// Recomputes what is derived from word `n`, that of `cpu` where it is the private one.
    #[inline(always)]
    fn update(&mut self, cpu: VcpuId, n: usize) {
        if n == 0 {
            self.cpu_mut(cpu).private.refresh();
            self.summarise(cpu, 0);
        } else {
            self.update_shared(n);
        }
    }

    /// [`VGic::update`] of a word of shared interrupts.
    #[inline(never)]
    fn update_shared(&mut self, n: usize) {
        if let Some(word) = n.checked_sub(1).and_then(|spi| self.spis.get_mut(spi)) {
            word.refresh();
        }
        for cpu in self.all {
            if self.summarise(cpu, n) {
                self.kick(cpu);
            }
        }
    }

    /// Whether something of word `n` is ready for `cpu`.
    #[inline]
    fn summarise(&mut self, cpu: VcpuId, n: usize) -> bool {
        let ready = self.ready(cpu, n) != 0;
        let own = self.cpu_mut(cpu);
        own.summary = (own.summary & !(1 << n)) | (u32::from(ready) << n);
        own.stuck = false;
        ready
    }

    /// Priority of `intid`, lower is more urgent; 0 where it does not exist.
    fn priority(&self, cpu: VcpuId, intid: u16) -> u8 {
        let at = usize::from(intid);
        match at.checked_sub(32) {
            None => self.cpu(cpu).priority[at],
            Some(spi) => self.spi_priority.get(spi).copied().unwrap_or(0),
        }
    }
}
