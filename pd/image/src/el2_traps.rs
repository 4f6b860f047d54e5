//! Code that each core executes between Microkit's loader and the kernel. It sets traps at EL2.
//!
//! The stock kernel neither traps nor switches debug, performance-monitor, profiling, trace, SVE,
//! SME and activity-monitor registers. What one guest leaves there every other guest and every
//! protection domain would have. The kernel never writes `MDCR_EL2`, `HSTR_EL2` and `ACTLR_EL2`,
//! and of `CPTR_EL2` it changes only the bit for vector registers, so what is set before it starts
//! stays in force. A kernel with the hardware debug API, as the SDK's debug kernels of
//! qemu_virt_aarch64 are, does write `MDCR_EL2`: it opens the debug registers to every vCPU, and
//! does not switch them either. Its instructions that do so become NOPs (`hold`); its own use of
//! the debug registers for threads needs none of them, because exceptions of EL0 go to EL2 while
//! `HCR_EL2.TGE` is set. docs/registers.md says register by register what all this closes and what
//! it does not.
//!
//! All cores reach the kernel through one word of the loader's header, the kernel's entry. The
//! builder puts the address of this code there, and the kernel's entry into the code.

use microkit_tool::elf::ElfFile;
use untyped_plan::Paddr;

use crate::a64::{self, SystemRegister, XZR};

const CURRENT_EL: SystemRegister = SystemRegister(3, 0, 4, 2, 2);
const MDCR_EL2: SystemRegister = SystemRegister(3, 4, 1, 1, 1);
const CPTR_EL2: SystemRegister = SystemRegister(3, 4, 1, 1, 2);
const HSTR_EL2: SystemRegister = SystemRegister(3, 4, 1, 1, 3);
const ACTLR_EL2: SystemRegister = SystemRegister(3, 4, 1, 0, 1);
const MDSCR_EL1: SystemRegister = SystemRegister(2, 0, 0, 2, 2);
const ID_AA64DFR0_EL1: SystemRegister = SystemRegister(3, 0, 0, 5, 0);
const PMCR_EL0: SystemRegister = SystemRegister(3, 3, 9, 12, 0);
const PMCNTENCLR_EL0: SystemRegister = SystemRegister(3, 3, 9, 12, 2);
const PMINTENCLR_EL1: SystemRegister = SystemRegister(3, 0, 9, 14, 2);
const PMUSERENR_EL0: SystemRegister = SystemRegister(3, 3, 9, 14, 0);

/// `CurrentEL` at EL2.
const EL2: u32 = 2 << 2;

/// `MDCR_EL2`: TDRA, TDOSA and TDA trap debug registers. TPM and TPMCR trap performance monitors,
/// TPMS statistical profiling, TTRF the trace filter; the last two are RES0 where the core has
/// neither. E2PB and E2TB stay 0, so the profiling and trace buffers are EL2's. HPMN keeps its
/// value; everything else becomes 0.
const MDCR_TRAPS: u32 = DEBUG_TRAPS | COUNTER_TRAPS | 1 << 14 | 1 << 19;
/// TDRA, TDOSA, TDA: every core has them.
const DEBUG_TRAPS: u32 = 1 << 11 | 1 << 10 | 1 << 9;
/// TPM, TPMCR: RES0 on a core without performance monitors.
const COUNTER_TRAPS: u32 = 1 << 6 | 1 << 5;
/// HPMN, the number of counters below EL2: the first bits of `MDCR_EL2`.
const HPMN_BITS: u32 = 5;

/// `CPTR_EL2`: TAM traps activity monitors, TTA trace registers, TZ SVE, TSM SME. What is RES1
/// without these is 1.
const CPTR_TRAPS: u32 = 1 << 30 | 1 << 20 | 0x33ff;
/// The bits of it that every core has: RES1, and TZ and TSM, which are RES1 where they do nothing.
const CPTR_FIXED: u32 = 0x33ff;

/// `HSTR_EL2`: implementation-defined registers in CRn 15 trap from AArch32 user space.
const HSTR_TRAPS: u32 = 1 << 15;

/// `ID_AA64DFR0_EL1.PMUVer`: where, and what says that there are counters of another architecture.
const PMU_VERSION: (u32, u32) = (8, 4);
const NO_COUNTERS: u32 = 0;
const OTHER_COUNTERS: u32 = 15;

/// Words of a jump to the kernel's entry: `ldr`, `br`, and the address.
const JUMP: usize = 4;

/// The code, to lie at a multiple of 8; it goes on at `kernel_entry`.
///
/// The loader's arguments (x0..x5, `TPIDR_EL1`), stack pointer and link register are left alone;
/// x9..x11 are used. A core that is not at EL2, or that does not keep the traps, stops here: the
/// kernel waits for all cores.
pub(crate) fn code(kernel_entry: u64) -> Vec<u8> {
    let mut code = Code::default();
    code.stop_unless_el2();
    code.set_traps();
    code.disarm();
    code.check();
    code.finish(kernel_entry)
}

/// Bytes of [`code`].
pub(crate) fn size() -> usize {
    code(0).len()
}

/// What the words of [`code`] at `at` go on to, if that is what they are.
pub(crate) fn target(at: &[u8]) -> Option<u64> {
    let bytes = at.get(..size())?;
    let entry = u64::from_le_bytes(*bytes.last_chunk()?);
    (bytes == code(entry)).then_some(entry)
}

/// Replaces the kernel's instructions that would undo what [`code`] has set; returns how many there
/// were.
pub(crate) fn hold(kernel: &mut ElfFile) -> usize {
    kernel
        .segments
        .iter_mut()
        .filter(|segment| segment.loadable && segment.is_executable())
        .map(|segment| hold_words(segment.data_mut()))
        .sum()
}

fn hold_words(text: &mut [u8]) -> usize {
    let mut count = 0;
    for word in text.as_chunks_mut().0 {
        // Whatever the general register.
        let instruction = u32::from_le_bytes(*word) & !0x1f;
        let held = [MDCR_EL2, HSTR_EL2, ACTLR_EL2].map(|register| a64::msr(register, 0));
        if held.contains(&instruction) {
            *word = a64::NOP.to_le_bytes();
            count += 1;
        }
    }
    count
}

/// Whether all of `size` bytes at `at` are where the loader maps itself: its pages are blocks of 2
/// MiB.
pub(crate) fn is_mapped(at: Paddr, size: usize, loader: (u64, u64)) -> bool {
    const BLOCK: u64 = 1 << 21;
    let (start, end) = (loader.0 / BLOCK * BLOCK, (loader.1 / BLOCK + 1) * BLOCK);
    at.0.checked_add(size as u64)
        .is_some_and(|last| start <= at.0 && last <= end)
}

/// Instructions, and those among them that branch to the end.
#[derive(Default)]
struct Code {
    words: Vec<u32>,
    stops: Vec<usize>,
}

impl Code {
    fn push(&mut self, words: impl IntoIterator<Item = u32>) {
        self.words.extend(words);
    }

    fn stop_if_not_equal(&mut self) {
        self.stops.push(self.words.len());
        self.push([0]);
    }

    fn stop_unless_el2(&mut self) {
        self.push([a64::mrs(9, CURRENT_EL), a64::cmp_value(9, EL2)]);
        self.stop_if_not_equal();
    }

    fn set_traps(&mut self) {
        self.push([a64::mrs(9, MDCR_EL2), a64::ubfx(9, 9, 0, HPMN_BITS)]);
        self.push(a64::mov(10, MDCR_TRAPS));
        self.push([a64::orr(9, 9, 10), a64::msr(MDCR_EL2, 9)]);
        self.push(a64::mov(10, CPTR_TRAPS));
        self.push([a64::msr(CPTR_EL2, 10)]);
        self.push(a64::mov(10, HSTR_TRAPS));
        self.push([a64::msr(HSTR_EL2, 10)]);
        // No implementation-defined register can be written below EL2.
        self.push([a64::msr(ACTLR_EL2, XZR)]);
    }

    /// What firmware left armed: nobody below EL2 can disarm it any more. Leaves the traps that the
    /// core must have in x11.
    fn disarm(&mut self) {
        self.push([a64::msr(MDSCR_EL1, XZR)]);
        self.push(a64::mov(11, DEBUG_TRAPS));
        let counters = [
            // P and C: all counters to 0; E, which lets them count, to 0.
            a64::mov(10, 0b110).to_vec(),
            vec![a64::msr(PMCR_EL0, 10)],
            a64::mov(10, u32::MAX).to_vec(),
            vec![
                a64::msr(PMCNTENCLR_EL0, 10),
                a64::msr(PMINTENCLR_EL1, 10),
                a64::msr(PMUSERENR_EL0, XZR),
            ],
            a64::mov(11, DEBUG_TRAPS | COUNTER_TRAPS).to_vec(),
        ]
        .concat();
        let over = u32::try_from(counters.len()).unwrap_or(0) + 1;
        let (lsb, width) = PMU_VERSION;
        self.push([
            a64::mrs(9, ID_AA64DFR0_EL1),
            a64::ubfx(9, 9, lsb, width),
            a64::cmp_value(9, NO_COUNTERS),
            a64::b_eq(over + 2),
            a64::cmp_value(9, OTHER_COUNTERS),
            a64::b_eq(over),
        ]);
        self.push(counters);
    }

    /// Reads back what was set.
    fn check(&mut self) {
        self.push([
            a64::ISB,
            a64::mrs(9, MDCR_EL2),
            a64::and(9, 9, 11),
            a64::cmp(9, 11),
        ]);
        self.stop_if_not_equal();
        self.push(a64::mov(11, CPTR_FIXED));
        self.push([a64::mrs(9, CPTR_EL2), a64::and(9, 9, 11), a64::cmp(9, 11)]);
        self.stop_if_not_equal();
    }

    /// The jump, where the branches of those that stop go, and the literal at a multiple of 8.
    fn finish(mut self, kernel_entry: u64) -> Vec<u8> {
        let jump = self.words.len();
        let stop = jump + 2;
        for &from in &self.stops {
            self.words[from] = a64::b_ne(u32::try_from(stop - from).unwrap_or(0));
        }
        let literal = (jump + JUMP).next_multiple_of(2);
        let ahead = u32::try_from(literal - jump).unwrap_or(0);
        self.push([a64::ldr_literal(9, ahead), a64::br(9)]);
        self.push([a64::WFE, a64::B_BACK]);
        self.words.resize(literal, 0);
        let mut bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        bytes.extend(kernel_entry.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests;
