//! Loads and stores that the syndrome does not describe (ISV = 0), from the instruction itself.
//!
//! Compilers make `ldr w0, [x1], #4` of ordinary loops over registers, so a device has to
//! understand it. Xen decodes the post-index LDR and STR of general registers that do not extend a
//! sign (xen/arch/arm/decode.c); here also the pre-index ones and those that do. Pairs, vector
//! registers, exclusives, atomics, LDRAA and DC ZVA are decoded by neither.

use hv_types::{Gpa, Gva};

use super::{Mmio, is_of_a_mapping};
use crate::exit::syndrome::Abort;
use crate::host::{SysReg, Vcpu};

/// Number of the zero register as a value and of the stack pointer as a base.
const ZERO_OR_STACK: u8 = 31;

/// A load or store of one general register that moves its base (Arm ARM C4.1.94, "Load/store
/// register (immediate post-indexed)" and "(immediate pre-indexed)").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WriteBack {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// A store.
    pub write: bool,
    /// General register, 0..=31; 31 reads as zero and discards.
    pub reg: u8,
    /// The loaded value is sign-extended to the register's width.
    pub sign_extend: bool,
    /// The register is 64 bits wide.
    pub wide: bool,
    /// Base register, 0..=31; 31 is the stack pointer.
    pub base: u8,
    /// What is added to the base, -256..=255.
    pub offset: i16,
    /// The offset is added before the access rather than after it.
    pub pre: bool,
}

impl WriteBack {
    /// Decodes `word`; `None` for every other instruction, and where base and value are the same
    /// register, of which the architecture does not say what comes out.
    pub const fn decode(word: u32) -> Option<Self> {
        // size 111 V=0 00 opc 0 imm9 x1 Rn Rt.
        if word & 0x3f20_0400 != 0x3800_0400 {
            return None;
        }
        let (reg, base) = ((word & 31) as u8, (word >> 5 & 31) as u8);
        if reg == base && reg != ZERO_OR_STACK {
            return None;
        }
        let log2 = word >> 30;
        let (write, sign_extend, wide) = match (word >> 22 & 3, log2) {
            (0, _) => (true, false, log2 == 3),
            (1, _) => (false, false, log2 == 3),
            (2, 0..=2) => (false, true, true),
            (3, 0..=1) => (false, true, false),
            _ => return None,
        };
        Some(Self {
            size: 1 << log2,
            write,
            reg,
            sign_extend,
            wide,
            base,
            // imm9 at 20:12, its sign in the word's own after a shift by 11.
            offset: ((word << 11).cast_signed() >> 23) as i16,
            pre: word & 1 << 11 != 0,
        })
    }

    /// The access of this instruction, which aborted at `gpa`, with `base` in its base register.
    /// `None` where it cannot have been: another vCPU has put it there since, or the access began
    /// on the page before.
    pub fn access(&self, gpa: Gpa, abort: Abort, base: Gva) -> Option<Mmio> {
        let at = if self.pre { self.moved(base) } else { base };
        if !is_of_a_mapping(abort)
            || self.write != abort.write()
            || at.page_offset() != gpa.page_offset()
        {
            return None;
        }
        Some(Mmio {
            gpa,
            size: self.size,
            write: self.write,
            reg: self.reg,
            sign_extend: self.sign_extend,
            wide: self.wide,
        })
    }

    /// What the base register holds afterwards.
    pub fn moved(&self, base: Gva) -> Gva {
        Gva::new(base.raw().wrapping_add_signed(self.offset.into()))
    }
}

/// The stack pointer that the vCPU uses (`PSTATE.M`, Arm ARM D1.2.2).
fn stack_pointer(pstate: u64) -> SysReg {
    /// EL1h.
    const OWN: u64 = 5;
    if pstate & 0b1_1111 == OWN {
        SysReg::Sp1
    } else {
        SysReg::Sp0
    }
}

/// Register `n` as the base of an access: 31 is the stack pointer.
pub fn base<V: Vcpu>(vcpu: &mut V, n: u8) -> Gva {
    Gva::new(if n == ZERO_OR_STACK {
        let pointer = stack_pointer(vcpu.pstate());
        vcpu.sysreg(pointer)
    } else {
        vcpu.x(n)
    })
}

/// Sets register `n` as a base.
pub fn set_base<V: Vcpu>(vcpu: &mut V, n: u8, value: Gva) {
    if n == ZERO_OR_STACK {
        let pointer = stack_pointer(vcpu.pstate());
        vcpu.set_sysreg(pointer, value.raw());
    } else {
        vcpu.set_x(n, value.raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    /// Words as GNU as writes them.
    const FORMS: [(u32, WriteBack); 16] = [
        // str w1, [x0], #4
        (0xb800_4401, form(4, true, 1, (false, false), 0, 4, false)),
        // ldr w1, [x0], #4
        (0xb840_4401, form(4, false, 1, (false, false), 0, 4, false)),
        // ldrb w1, [x0], #1
        (0x3840_1401, form(1, false, 1, (false, false), 0, 1, false)),
        // strb w1, [x0], #-1
        (0x381f_f401, form(1, true, 1, (false, false), 0, -1, false)),
        // ldrh w1, [x0], #2
        (0x7840_2401, form(2, false, 1, (false, false), 0, 2, false)),
        // strh wzr, [x30], #-256
        (
            0x7810_07df,
            form(2, true, 31, (false, false), 30, -256, false),
        ),
        // ldr x1, [x0], #8
        (0xf840_8401, form(8, false, 1, (false, true), 0, 8, false)),
        // str x1, [sp], #255
        (0xf80f_f7e1, form(8, true, 1, (false, true), 31, 255, false)),
        // ldr xzr, [sp], #16
        (
            0xf841_07ff,
            form(8, false, 31, (false, true), 31, 16, false),
        ),
        // ldrsb x2, [x3], #1
        (0x3880_1462, form(1, false, 2, (true, true), 3, 1, false)),
        // ldrsb w2, [x3], #1
        (0x38c0_1462, form(1, false, 2, (true, false), 3, 1, false)),
        // ldrsh x2, [x3], #2
        (0x7880_2462, form(2, false, 2, (true, true), 3, 2, false)),
        // ldrsw x2, [x3], #4
        (0xb880_4462, form(4, false, 2, (true, true), 3, 4, false)),
        // str w1, [x0, #4]!
        (0xb800_4c01, form(4, true, 1, (false, false), 0, 4, true)),
        // ldr x1, [x0, #-8]!
        (0xf85f_8c01, form(8, false, 1, (false, true), 0, -8, true)),
        // ldrsh w2, [x3, #2]!
        (0x78c0_2c62, form(2, false, 2, (true, false), 3, 2, true)),
    ];

    const fn form(
        size: u8,
        write: bool,
        reg: u8,
        (sign_extend, wide): (bool, bool),
        base: u8,
        offset: i16,
        pre: bool,
    ) -> WriteBack {
        WriteBack {
            size,
            write,
            reg,
            sign_extend,
            wide,
            base,
            offset,
            pre,
        }
    }

    #[test]
    fn every_form() {
        for (word, want) in FORMS {
            assert_eq!(WriteBack::decode(word), Some(want), "{word:#x}");
        }
    }

    #[test]
    fn everything_else_is_left_to_an_abort() {
        for (word, what) in [
            (0xb840_4400, "ldr w0, [x0], #4: base and value"),
            (0xb840_4c00, "ldr w0, [x0, #4]!: base and value"),
            (0x3cc1_0400, "ldr q0, [x0], #16"),
            (0xbc40_4400, "ldr s0, [x0], #4"),
            (0xbc00_4c01, "str s1, [x0, #4]!"),
            (0xf880_8401, "size 3 has no sign to extend"),
            (0xb8c0_4401, "nor has size 2 in 32 bits"),
            (0xb940_0401, "ldr w1, [x0, #4]: no write-back"),
            (0xb840_4001, "ldur w1, [x0, #4]"),
            (0xb840_4801, "ldtr w1, [x0, #4]"),
            (0xb862_6801, "ldr w1, [x0, x2]"),
            (0xb821_0001, "ldadd w1, w1, [x0]"),
            (0xf820_0401, "ldraa x1, [x0]"),
            (0x28c1_0801, "ldp w1, w2, [x0], #8"),
            (0xa9bf_0be1, "stp x1, x2, [sp, #-16]!"),
            (0x885f_7c01, "ldxr w1, [x0]"),
            (0x88df_fc01, "ldar w1, [x0]"),
            (0xd50b_7421, "dc zva, x1"),
            (0, "udf"),
            (u32::MAX, "nothing"),
        ] {
            assert_eq!(WriteBack::decode(word), None, "{what}");
        }
    }

    const GPA: Gpa = Gpa::new(0x0300_1404);
    /// A translation fault of level 3, of a load.
    const LOAD: Abort = Abort::new(7);

    #[test]
    fn an_instruction_that_cannot_have_aborted_so_is_not_believed() {
        let post = WriteBack::decode(0xb840_4401).expect("ldr w1, [x0], #4");
        let base = Gva::new(0xffff_8000_0900_0404);
        let access = post.access(GPA, LOAD, base).expect("the offsets agree");
        assert_eq!(
            (access.gpa, access.size, access.reg, access.write),
            (GPA, 4, 1, false)
        );
        assert_eq!(post.moved(base).raw(), base.raw() + 4);
        assert_eq!(post.access(GPA, LOAD, Gva::new(0x400)), None, "elsewhere");
        assert_eq!(
            post.access(GPA, Abort::new(7 | 1 << 6), base),
            None,
            "a store"
        );
        assert_eq!(post.access(GPA, Abort::new(0x21), base), None, "alignment");
        assert_eq!(
            post.access(GPA, Abort::new(7 | 1 << 7), base),
            None,
            "the guest's own walk"
        );
        let pre = WriteBack::decode(0xb840_4c01).expect("ldr w1, [x0, #4]!");
        assert_eq!(pre.access(GPA, LOAD, base), None);
        assert!(pre.access(GPA, LOAD, Gva::new(0x400)).is_some());
        assert_eq!(
            pre.moved(Gva::new(u64::MAX)).raw(),
            3,
            "addresses are modulo 2^64"
        );
    }

    #[test]
    fn register_31_is_the_stack_pointer_in_use() {
        for (pstate, own) in [(0x3c5, true), (0x3c4, false), (0, false)] {
            let mut host = FakeHost::new(0x1000);
            host.pstate = pstate;
            host.set(SysReg::Sp0, 0x1000);
            host.set(SysReg::Sp1, 0x2000);
            let want = if own { 0x2000 } else { 0x1000 };
            assert_eq!(base(&mut host, 31).raw(), want);
            set_base(&mut host, 31, Gva::new(0x3000));
            assert_eq!(base(&mut host, 31).raw(), 0x3000);
            let other = if own { SysReg::Sp0 } else { SysReg::Sp1 };
            assert_ne!(host.get(other), 0x3000);
        }
        let mut host = FakeHost::new(0x1000);
        set_base(&mut host, 30, Gva::new(7));
        assert_eq!((host.x[30], base(&mut host, 30).raw()), (7, 7));
    }
}
