use std::collections::HashMap;

use super::*;

const ENTRY: u64 = 0x80_6000_0000;

/// A core that executes the instructions that [`code`] uses, on registers by their bits in `MRS`
/// and `MSR`.
#[derive(Default)]
struct Core {
    x: [u64; 32],
    system: HashMap<u32, u64>,
    /// Bits that are RES0 on this core.
    res0: HashMap<u32, u64>,
    written: Vec<u32>,
    equal: bool,
}

/// How a core came out of the code.
#[derive(PartialEq, Eq, Debug)]
enum End {
    Kernel(u64),
    Stopped,
}

fn key(register: SystemRegister) -> u32 {
    a64::mrs(0, register) & 0x000f_ffe0
}

impl Core {
    /// At EL2, with counters, six of them EL1's, and what firmware may leave.
    fn new() -> Self {
        let mut core = Self::default();
        core.set(CURRENT_EL, 8);
        core.set(ID_AA64DFR0_EL1, 0x1030_5106);
        core.set(MDCR_EL2, 0x3000 | 6);
        core.set(CPTR_EL2, 0xffff_ffff);
        core.set(MDSCR_EL1, 0xa000);
        core.x = std::array::from_fn(|n| 0x1000 + n as u64);
        core
    }
    fn set(&mut self, register: SystemRegister, value: u64) {
        self.system.insert(key(register), value);
    }
    fn get(&self, register: SystemRegister) -> Option<u64> {
        self.system.get(&key(register)).copied()
    }
    fn wrote(&self, register: SystemRegister) -> bool {
        self.written.contains(&key(register))
    }

    fn run(&mut self) -> End {
        let code = code(ENTRY);
        let mut pc = 0;
        for _ in 0..1000 {
            let word = u32::from_le_bytes(code[pc..pc + 4].try_into().unwrap());
            let field = |lsb: u32, width: u32| (word >> lsb & ((1 << width) - 1)) as usize;
            let (to, a, b) = (field(0, 5), field(5, 5), field(16, 5));
            let branch = pc + 4 * field(5, 19);
            let mut next = pc + 4;
            match word {
                w if w & 0xfff0_0000 == 0xd530_0000 => {
                    self.x[to] = self.system.get(&(w & 0xf_ffe0)).copied().unwrap_or(0);
                }
                w if w & 0xfff0_0000 == 0xd510_0000 => {
                    let value = if to == 31 { 0 } else { self.x[to] };
                    let res0 = self.res0.get(&(w & 0xf_ffe0)).copied().unwrap_or(0);
                    self.system.insert(w & 0xf_ffe0, value & !res0);
                    self.written.push(w & 0xf_ffe0);
                }
                w if w & 0xffe0_0000 == 0xd280_0000 => self.x[to] = field(5, 16) as u64,
                w if w & 0xffe0_0000 == 0xf2a0_0000 => {
                    self.x[to] = self.x[to] & !0xffff_0000 | (field(5, 16) as u64) << 16;
                }
                w if w & 0xffe0_fc00 == 0xaa00_0000 => self.x[to] = self.x[a] | self.x[b],
                w if w & 0xffe0_fc00 == 0x8a00_0000 => self.x[to] = self.x[a] & self.x[b],
                w if w & 0xffc0_0000 == 0xd340_0000 => {
                    let (lsb, last) = (field(16, 6), field(10, 6));
                    self.x[to] = self.x[a] >> lsb & ((1 << (last - lsb + 1)) - 1);
                }
                w if w & 0xffe0_fc1f == 0xeb00_001f => self.equal = self.x[a] == self.x[b],
                w if w & 0xffc0_001f == 0xf100_001f => {
                    self.equal = self.x[a] == field(10, 12) as u64;
                }
                w if w & 0xff00_001f == 0x5400_0000 && self.equal => next = branch,
                w if w & 0xff00_001f == 0x5400_0001 && !self.equal => next = branch,
                w if w & 0xff00_001e == 0x5400_0000 => {}
                w if w & 0xff00_0000 == 0x5800_0000 => {
                    self.x[to] = u64::from_le_bytes(code[branch..branch + 8].try_into().unwrap());
                    assert_eq!(branch % 8, 0, "the literal is aligned");
                }
                w if w & 0xffff_fc1f == 0xd61f_0000 => return End::Kernel(self.x[a]),
                a64::ISB => {}
                a64::WFE => return End::Stopped,
                _ => panic!("{word:#x} at {pc:#x} is not known"),
            }
            pc = next;
        }
        panic!("no end");
    }
}

#[test]
fn a_core_goes_to_the_kernel_with_the_traps_and_the_loaders_arguments() {
    let mut core = Core::new();
    let before = core.x;
    assert_eq!(core.run(), End::Kernel(ENTRY));
    assert_eq!(
        core.get(MDCR_EL2),
        Some(0x8_4e60 | 6),
        "HPMN is kept, nothing else is"
    );
    assert_eq!(core.get(CPTR_EL2), Some(0x4010_33ff));
    assert_eq!(core.get(HSTR_EL2), Some(0x8000));
    assert_eq!(core.get(ACTLR_EL2), Some(0));
    assert_eq!(core.get(MDSCR_EL1), Some(0), "nothing is armed");
    assert_eq!(core.get(PMUSERENR_EL0), Some(0));
    assert_eq!(core.get(PMCNTENCLR_EL0), Some(0xffff_ffff));
    for n in (0..9).chain(12..31) {
        assert_eq!(core.x[n], before[n], "x{n}");
    }
}

#[test]
fn a_core_without_counters_of_this_architecture_is_asked_for_none() {
    for version in [0x0, 0xf] {
        let mut core = Core::new();
        core.set(ID_AA64DFR0_EL1, 0x1030_5006 | version << 8);
        core.res0.insert(key(MDCR_EL2), 0x60);
        assert_eq!(core.run(), End::Kernel(ENTRY));
        for register in [PMCR_EL0, PMCNTENCLR_EL0, PMINTENCLR_EL1, PMUSERENR_EL0] {
            assert!(!core.wrote(register), "{register:?}");
        }
    }
}

#[test]
fn a_core_below_el2_or_that_does_not_keep_the_traps_stops() {
    for level in [4, 12] {
        let mut core = Core::new();
        core.set(CURRENT_EL, level);
        assert_eq!(core.run(), End::Stopped);
        assert!(core.written.is_empty());
    }
    for (register, res0) in [
        (MDCR_EL2, 0x200),
        (MDCR_EL2, 0x400),
        (MDCR_EL2, 0x800),
        (MDCR_EL2, 0x40),
        (CPTR_EL2, 0x100),
    ] {
        let mut core = Core::new();
        core.res0.insert(key(register), res0);
        assert_eq!(core.run(), End::Stopped, "{res0:#x} of {register:?}");
    }
    let mut plain = Core::new();
    // No profiling, trace filter, trace registers or activity monitors.
    plain.res0.insert(key(MDCR_EL2), 0x8_4000);
    plain.res0.insert(key(CPTR_EL2), 0x4010_0000);
    assert_eq!(plain.run(), End::Kernel(ENTRY));
}

#[test]
fn the_code_is_known_again_and_anything_else_is_not() {
    let mut bytes = code(ENTRY);
    assert_eq!(bytes.len(), size());
    assert_eq!(size() % 8, 0);
    assert_eq!(target(&bytes), Some(ENTRY));
    assert_eq!(target(&bytes[..bytes.len() - 1]), None);
    bytes[16] ^= 1;
    assert_eq!(target(&bytes), None);
}

#[test]
fn only_the_loaders_own_blocks_are_mapped() {
    let loader = (0x7000_0000, 0x7000_b010);
    assert!(is_mapped(Paddr(0x7000_b200), 256, loader));
    assert!(is_mapped(Paddr(0x701f_ff00), 256, loader));
    assert!(!is_mapped(Paddr(0x701f_ff08), 256, loader));
    assert!(!is_mapped(Paddr(0x6fff_ff00), 256, loader));
    assert!(!is_mapped(Paddr(u64::MAX), 256, loader));
}

#[test]
fn a_kernel_that_would_change_the_traps_is_held() {
    let words = [
        a64::mrs(0, MDCR_EL2),
        a64::msr(MDCR_EL2, 0),
        a64::msr(MDCR_EL2, 21),
        a64::msr(MDSCR_EL1, 0),
        a64::msr(CPTR_EL2, 1),
        a64::msr(HSTR_EL2, XZR),
    ];
    let bytes = |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|w| w.to_le_bytes()).collect() };
    let mut text = bytes(&words);
    // What is left of a word at the end is none.
    text.push(0);
    assert_eq!(hold_words(&mut text), 3);
    let nop = a64::NOP;
    let held = bytes(&[words[0], nop, nop, words[3], words[4], nop]);
    assert_eq!(text[..24], held[..]);
    assert_eq!(hold_words(&mut text), 0);
}
