//! What a trap was: `ESR_EL2` decoded (Arm ARM D19.2.37).

/// A trap from the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// EC 0x00: an unknown reason, such as an instruction that is not implemented.
    Unknown,
    /// EC 0x01: WFI, WFE, or one of them with a timeout.
    Wait(WaitKind),
    /// EC 0x07, 0x19, 0x1d: FP, SVE or SME registers that the guest may not use.
    FpAccess,
    /// EC 0x0e: illegal execution state.
    IllegalState,
    /// EC 0x15: SVC from AArch64.
    Svc {
        /// Immediate of the instruction.
        imm: u16,
    },
    /// EC 0x16: HVC from AArch64; the PC is past the instruction.
    Hvc {
        /// Immediate of the instruction.
        imm: u16,
    },
    /// EC 0x17: SMC from AArch64; the PC is at the instruction.
    Smc {
        /// Immediate of the instruction.
        imm: u16,
    },
    /// EC 0x18: MSR, MRS or a system instruction.
    SysReg(SysRegAccess),
    /// EC 0x20: instruction abort from a lower exception level.
    InstructionAbort(Abort),
    /// EC 0x24: data abort from a lower exception level.
    DataAbort(Abort),
    /// EC 0x2f: SError; what happened is not known to be the guest's doing.
    SError,
    /// Anything else, AArch32 traps included, by its class.
    Other {
        /// The exception class, 0..=0x3f.
        class: u8,
    },
}

/// Which wait instruction trapped (the TI field).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitKind {
    /// WFI: until an interrupt.
    Wfi,
    /// WFE: until an event; may return at once.
    Wfe,
    /// WFIT: WFI with a timeout.
    Wfit,
    /// WFET: WFE with a timeout.
    Wfet,
}

/// An access to a system register (ISS of EC 0x18).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysRegAccess {
    /// `op0`, 0..=3.
    pub op0: u8,
    /// `op1`, 0..=7.
    pub op1: u8,
    /// `CRn`, 0..=15.
    pub crn: u8,
    /// `CRm`, 0..=15.
    pub crm: u8,
    /// `op2`, 0..=7.
    pub op2: u8,
    /// General register, 0..=31; 31 is the zero register.
    pub rt: u8,
    /// MRS (register to guest) rather than MSR.
    pub read: bool,
}

impl SysRegAccess {
    /// The register's encoding, for matching: (op0, op1, CRn, CRm, op2).
    pub const fn encoding(&self) -> (u8, u8, u8, u8, u8) {
        (self.op0, self.op1, self.crn, self.crm, self.op2)
    }
}

/// The class of a fault status code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultStatus {
    /// Address size fault at a level.
    AddressSize,
    /// Nothing mapped.
    Translation,
    /// Access flag clear.
    AccessFlag,
    /// Mapped, but not for this access.
    Permission,
    /// External abort, ECC, alignment, exclusives to device memory and the rest.
    Other,
}

/// The ISS of an abort (data: Arm ARM D19.2.37 "ISS encoding for an exception from a Data Abort").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort {
    iss: u32,
}

impl Abort {
    /// The abort with `iss`; bits above 24 are ignored, so that a whole `ESR_EL2` will do.
    pub const fn new(iss: u32) -> Self {
        Self {
            iss: iss & 0x01ff_ffff,
        }
    }
    /// The ISS.
    pub const fn iss(self) -> u32 {
        self.iss
    }
    /// The syndrome describes the access (ISV); never for LDP, write-back, SIMD and cache
    /// maintenance.
    pub const fn has_syndrome(self) -> bool {
        self.iss >> 24 & 1 != 0
    }
    /// Bytes accessed: 1, 2, 4 or 8 (SAS).
    pub const fn size(self) -> u8 {
        1 << (self.iss >> 22 & 3)
    }
    /// The loaded value is to be sign-extended (SSE).
    pub const fn sign_extend(self) -> bool {
        self.iss >> 21 & 1 != 0
    }
    /// General register (SRT), 31 being the zero register.
    pub const fn register(self) -> u8 {
        (self.iss >> 16 & 31) as u8
    }
    /// The register is 64 bits wide (SF).
    pub const fn wide(self) -> bool {
        self.iss >> 15 & 1 != 0
    }
    /// Cache maintenance or address translation instruction (CM).
    pub const fn cache_maintenance(self) -> bool {
        self.iss >> 8 & 1 != 0
    }
    /// The guest's own table walk faulted (S1PTW): the address is that of a table.
    pub const fn table_walk(self) -> bool {
        self.iss >> 7 & 1 != 0
    }
    /// A write (WnR).
    pub const fn write(self) -> bool {
        self.iss >> 6 & 1 != 0
    }
    /// DFSC or IFSC, by class.
    pub const fn status(self) -> FaultStatus {
        match self.iss & 0x3f {
            0x00..=0x03 => FaultStatus::AddressSize,
            0x04..=0x07 => FaultStatus::Translation,
            0x08..=0x0b => FaultStatus::AccessFlag,
            0x0c..=0x0f => FaultStatus::Permission,
            _ => FaultStatus::Other,
        }
    }
}

/// Decodes `esr`; every value has an answer.
#[inline(always)]
pub const fn decode(esr: u32) -> Trap {
    let class = (esr >> 26) as u8;
    let imm = (esr & 0xffff) as u16;
    match class {
        0x00 => Trap::Unknown,
        0x01 => Trap::Wait(match esr & 3 {
            0 => WaitKind::Wfi,
            1 => WaitKind::Wfe,
            2 => WaitKind::Wfit,
            _ => WaitKind::Wfet,
        }),
        0x07 | 0x19 | 0x1d => Trap::FpAccess,
        0x0e => Trap::IllegalState,
        0x15 => Trap::Svc { imm },
        0x16 => Trap::Hvc { imm },
        0x17 => Trap::Smc { imm },
        0x18 => Trap::SysReg(SysRegAccess {
            op0: (esr >> 20 & 3) as u8,
            op2: (esr >> 17 & 7) as u8,
            op1: (esr >> 14 & 7) as u8,
            crn: (esr >> 10 & 15) as u8,
            rt: (esr >> 5 & 31) as u8,
            crm: (esr >> 1 & 15) as u8,
            read: esr & 1 != 0,
        }),
        0x20 => Trap::InstructionAbort(Abort::new(esr)),
        0x24 => Trap::DataAbort(Abort::new(esr)),
        0x2f => Trap::SError,
        _ => Trap::Other { class },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syndromes_seen_on_machines() {
        // A Xen hypercall and a PSCI call, as a kernel that reports VCPU faults gives them.
        assert_eq!(decode(0x5a00_0ea1), Trap::Hvc { imm: 0xea1 });
        assert_eq!(decode(0x5e00_0000), Trap::Smc { imm: 0 });
        assert_eq!(decode(0x0200_0000), Trap::Unknown);
        assert_eq!(decode(0x07e0_0000), Trap::Wait(WaitKind::Wfi));
        assert_eq!(decode(0x07e0_0001), Trap::Wait(WaitKind::Wfe));
        assert_eq!(decode(0x5600_1234), Trap::Svc { imm: 0x1234 });
        assert_eq!(decode(0x1fe0_0000), Trap::FpAccess);
        assert_eq!(decode(0xbe00_0000), Trap::SError);
        assert_eq!(decode(0xf200_0000), Trap::Other { class: 0x3c });
        // mrs x9, cntpct_el0 (3, 3, 14, 0, 1).
        let Trap::SysReg(access) = decode(0x6232_f921) else {
            panic!("EC 0x18")
        };
        assert_eq!(access.encoding(), (3, 3, 14, 0, 1));
        assert_eq!((access.rt, access.read), (9, true));
        // msr dbgbcr, xzr: op0 2, direction write, Rt 31.
        let Trap::SysReg(access) = decode(0x6220_03e0 | 5 << 17) else {
            panic!("EC 0x18")
        };
        assert_eq!(access.encoding(), (2, 0, 0, 0, 5));
        assert_eq!((access.rt, access.read), (31, false));
    }

    #[test]
    fn aborts() {
        // str w2, [x1] to nothing: ISV, word, register 2, write, translation fault level 2.
        let Trap::DataAbort(abort) = decode(0x9382_0046) else {
            panic!("EC 0x24")
        };
        assert!(abort.has_syndrome() && abort.write() && !abort.wide() && !abort.table_walk());
        assert_eq!((abort.size(), abort.register()), (4, 2));
        assert_eq!(abort.status(), FaultStatus::Translation);
        let Trap::InstructionAbort(abort) = decode(0x8200_000d) else {
            panic!("EC 0x20")
        };
        assert_eq!(abort.status(), FaultStatus::Permission);
        // The guest's own walk.
        assert!(Abort::new(0x0000_0085).table_walk());
    }

    #[test]
    fn every_value_decodes() {
        for class in 0..64 {
            for iss in [0, 0x01ff_ffff, 0x0155_5555] {
                let trap = decode(class << 26 | iss);
                if let Trap::DataAbort(abort) | Trap::InstructionAbort(abort) = trap {
                    assert_eq!(abort.iss(), iss);
                }
            }
        }
    }
}
