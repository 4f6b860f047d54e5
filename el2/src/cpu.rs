//! System registers, barriers and maintenance instructions of the processor.
//!
//! # Soundness
//! Reading a system register changes nothing. The functions that write one are private to this
//! program and document what their callers rely on; those that could break Rust's own memory
//! (translation of EL2) are `unsafe`. The rest changes a guest's translation, timers and traps,
//! which no Rust object depends on.
#![expect(
    unsafe_code,
    reason = "this module's purpose is access to system registers"
)]

use core::arch::asm;

use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTHCTL_EL2, CNTHP_CTL_EL2, CNTPCT_EL0, CNTVOFF_EL2, ESR_EL2, FAR_EL2, HCR_EL2,
    HPFAR_EL2, MIDR_EL1, MPIDR_EL1, Readable, VTCR_EL2, Writeable,
};
use hypervisor_core::vcpu::idregs;

/// Reads a system register by name.
macro_rules! mrs {
    ($($name:tt)*) => {{
        let value: u64;
        // SAFETY: reading the registers that this program names has no effect.
        unsafe { asm!(concat!("mrs {}, ", $($name)*), out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }};
}

/// Writes a system register of the guest's (EL1 and EL0) by name.
macro_rules! msr {
    ($name:literal, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: registers of EL1 and EL0 have no effect on EL2.
        unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) value, options(nomem, nostack, preserves_flags)) };
    }};
}

/// System registers of a vCPU that change hands with it. The order is that of [`El1`].
macro_rules! el1_registers {
    ($($index:ident $name:literal,)*) => {
        /// Number of a register in [`El1`].
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[allow(missing_docs, reason = "named as in the Arm ARM")]
        pub(crate) enum Reg { $($index,)* }

        const EL1_REGISTERS: usize = [$(Reg::$index,)*].len();

        impl El1 {
            /// Takes all registers from the processor.
            pub(crate) fn save(&mut self) {
                $(self.0[Reg::$index as usize] = mrs!($name);)*
            }
            /// Puts all registers into the processor.
            pub(crate) fn load(&self) {
                $(msr!($name, self.0[Reg::$index as usize]);)*
            }
            /// Reads a register from the processor.
            #[inline(always)]
            pub(crate) fn read(reg: Reg) -> u64 {
                match reg { $(Reg::$index => mrs!($name),)* }
            }
            /// Writes a register to the processor.
            #[inline(always)]
            pub(crate) fn write(reg: Reg, value: u64) {
                match reg { $(Reg::$index => msr!($name, value),)* }
            }
        }
    };
}

/// The EL1 and EL0 registers of a vCPU that does not have the processor.
#[derive(Clone, Debug)]
pub(crate) struct El1([u64; EL1_REGISTERS]);

el1_registers! {
    Sctlr "sctlr_el1", Cpacr "cpacr_el1", Ttbr0 "ttbr0_el1", Ttbr1 "ttbr1_el1", Tcr "tcr_el1", Esr "esr_el1", Afsr0 "afsr0_el1",
    Afsr1 "afsr1_el1", Far "far_el1", Mair "mair_el1", Amair "amair_el1", Vbar "vbar_el1", Contextidr "contextidr_el1",
    Tpidr "tpidr_el1", Tpidr0 "tpidr_el0", Tpidrro "tpidrro_el0", Sp0 "sp_el0", Sp1 "sp_el1", Elr "elr_el1", Spsr "spsr_el1",
    Par "par_el1", Cntkctl "cntkctl_el1", Csselr "csselr_el1", CntvCval "cntv_cval_el0", CntvCtl "cntv_ctl_el0",
}

/// `SCTLR_EL1` of a vCPU that starts: MMU and caches off, as Xen leaves it.
const SCTLR_START: u64 = 0x00c5_0078;

impl El1 {
    /// The registers of a vCPU that starts.
    pub(crate) const fn new() -> Self {
        let mut registers = [0; EL1_REGISTERS];
        registers[Reg::Sctlr as usize] = SCTLR_START;
        Self(registers)
    }
    /// A register as it was saved.
    pub(crate) const fn get(&self, reg: Reg) -> u64 {
        self.0[reg as usize]
    }
    /// Changes a saved register.
    pub(crate) const fn set(&mut self, reg: Reg, value: u64) {
        self.0[reg as usize] = value;
    }
}

/// The vector registers, `FPSR` and `FPCR` of a vCPU that does not have the processor.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub(crate) struct Vectors {
    q: [u128; 32],
    status: [u64; 2],
}

unsafe extern "C" {
    fn el2_save_vectors(to: *mut Vectors);
    fn el2_load_vectors(from: *const Vectors);
}

impl Vectors {
    /// All zero.
    pub(crate) const fn new() -> Self {
        Self {
            q: [0; 32],
            status: [0; 2],
        }
    }
    /// Takes them from the processor.
    pub(crate) fn save(&mut self) {
        // SAFETY: writes the 528 bytes of the structure; this program is compiled without vector
        // registers.
        unsafe { el2_save_vectors(self) }
    }
    /// Puts them into the processor.
    pub(crate) fn load(&self) {
        // SAFETY: as above.
        unsafe { el2_load_vectors(self) }
    }
}

/// General registers, PC and PSTATE of a vCPU; `start.rs` knows the offsets.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Frame {
    /// x0..x30.
    pub(crate) x: [u64; 31],
    /// Program counter.
    pub(crate) pc: u64,
    /// PSTATE as in `SPSR_EL2`.
    pub(crate) pstate: u64,
}

const _: () =
    assert!(core::mem::offset_of!(Frame, pc) == 248 && core::mem::offset_of!(Frame, pstate) == 256);

unsafe extern "C" {
    fn el2_enter(frame: *mut Frame) -> u64;
}

/// What made the guest stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stopped {
    /// A synchronous exception; see [`syndrome`].
    Synchronous,
    /// A physical interrupt.
    Interrupt,
    /// A physical SError or FIQ.
    Other,
}

/// Runs the guest whose translation and registers are in the processor until it stops.
///
/// # Safety
/// The frame is the running vCPU's, and nobody else uses it until the call returns.
#[inline]
pub(crate) unsafe fn enter(frame: *mut Frame) -> Stopped {
    // SAFETY: the caller's promise. The guest reaches no memory but what its stage 2 maps, and of
    // that this program has no Rust objects.
    match unsafe { el2_enter(frame) } {
        0 => Stopped::Synchronous,
        1 => Stopped::Interrupt,
        _ => Stopped::Other,
    }
}

/// `ESR_EL2`.
#[inline]
pub(crate) fn syndrome() -> u32 {
    // The upper half is reserved on processors without the extensions that use it.
    (ESR_EL2.get() & 0xffff_ffff) as u32
}

/// Guest physical address of the stage-2 abort that the guest stopped with; `permission` tells that
/// it was a permission fault, for which the processor does not record it.
#[inline]
pub(crate) fn fault_address(permission: bool) -> u64 {
    let far = FAR_EL2.get();
    if permission && let Some(page) = translate(far) {
        return page | (far & 0xfff);
    }
    (HPFAR_EL2.get() & 0xfff_ffff_fff0) << 8 | (far & 0xfff)
}

/// The guest physical page of a guest virtual address by the guest's own tables.
fn translate(gva: u64) -> Option<u64> {
    let kept = mrs!("par_el1");
    // SAFETY: a translation by the guest's tables changes PAR_EL1 alone, which is put back.
    unsafe { asm!("at s1e1r, {}", "isb", in(reg) gva, options(nostack, preserves_flags)) };
    let par = mrs!("par_el1");
    msr!("par_el1", kept);
    (par & 1 == 0).then_some(par & 0xffff_ffff_f000)
}

/// Ticks of the system counter.
#[inline]
pub(crate) fn now() -> u64 {
    isb();
    CNTPCT_EL0.get()
}

/// Ticks per second.
pub(crate) fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Sets the EL2 physical timer to tick `at`, or switches it off.
pub(crate) fn set_timer(at: Option<u64>) {
    match at {
        Some(at) => {
            // SAFETY: the timer's registers have no effect on memory.
            unsafe {
                asm!("msr cnthp_cval_el2, {}", in(reg) at, options(nomem, nostack, preserves_flags))
            };
            CNTHP_CTL_EL2.set(1);
        }
        None => CNTHP_CTL_EL2.set(0),
    }
    isb();
}

/// Whether the virtual timer of the vCPU that has the processor asks for its interrupt:
/// `CNTV_CTL_EL0` has ENABLE and ISTATUS, and not IMASK (Arm ARM D19.12.23).
#[inline]
pub(crate) fn virtual_timer_fires() -> bool {
    El1::read(Reg::CntvCtl) & 0b111 == 0b101
}

/// Instruction barrier.
#[inline]
pub(crate) fn isb() {
    aarch64_cpu::asm::barrier::isb(aarch64_cpu::asm::barrier::SY);
}

/// Makes writes of translation table entries visible to walks.
#[inline]
pub(crate) fn publish_tables() {
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::ISHST);
    isb();
}

/// Makes what was written visible to other cores before what comes next.
#[inline]
pub(crate) fn publish() {
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::ISHST);
}

/// Lets others go on while this core waits for one of them.
#[inline]
pub(crate) fn relax() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nomem, nostack, preserves_flags)) };
}

/// The number of the core that this is executed on. On the boards of this program it is the lowest
/// affinity.
#[inline]
pub(crate) fn number() -> u8 {
    (MPIDR_EL1.get() & 7) as u8
}

/// The affinity of core `number` as PSCI has it, if this one's cluster has all.
pub(crate) fn affinity(number: u8) -> u64 {
    MPIDR_EL1.get() & 0xff_00ff_ff00 | u64::from(number)
}

/// Waits for an interrupt; they are masked, so none is taken.
pub(crate) fn wait_for_interrupt() {
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
    aarch64_cpu::asm::wfi();
}

/// HCR_EL2 while a guest runs. A guest of several vCPUs traps on WFE too, so that one that waits
/// for another makes way.
pub(crate) const fn guest_traps(wfe: bool) -> u64 {
    /// TID5, TERR, TLOR, RW, TACR, TIDCP, TSC, TID3, TWI, BSU inner shareable, FB, AMO, IMO, FMO,
    /// SWIO, VM. The first three are RES0 on processors without tags, RAS and limited ordering
    /// regions.
    const HYPERVISOR: u64 = 1 << 58
        | 1 << 36
        | 1 << 35
        | 1 << 31
        | 1 << 21
        | 1 << 20
        | 1 << 19
        | 1 << 18
        | 1 << 13
        | 1 << 10
        | 1 << 9
        | 0b11_1011;
    /// TWE.
    const WFE: u64 = 1 << 14;
    if wfe { HYPERVISOR | WFE } else { HYPERVISOR }
}

/// Which vCPU of its guest the processor is from now on, for the guest (`VMPIDR_EL2`), and what
/// traps.
pub(crate) fn identify(number: u8, wfe: bool) {
    // In a cluster without others, as Xen numbers vCPUs.
    let mpidr = 1_u64 << 31 | (MPIDR_EL1.get() & 1 << 24) | u64::from(number);
    // SAFETY: what EL1 reads.
    unsafe {
        asm!("msr vmpidr_el2, {}", in(reg) mpidr, options(nomem, nostack, preserves_flags));
    }
    HCR_EL2.set(guest_traps(wfe));
}

/// Forgets what this processor knows of the translations of the guest whose stage 2 is selected.
pub(crate) fn forget_translations() {
    // SAFETY: forgetting translations only costs time.
    unsafe {
        asm!(
            "dsb nshst",
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Traps of guests, once at boot.
///
/// As Xen: identification registers, WFI, SMC, implementation-defined registers, `ACTLR_EL1`, debug
/// and performance monitors trap and the core says what becomes of them; the EL1 physical timer
/// too, while the counter is open.
pub(crate) fn set_traps() {
    HCR_EL2.set(guest_traps(false));
    reset_extensions();
    CNTHCTL_EL2.write(CNTHCTL_EL2::EL1PCTEN::SET + CNTHCTL_EL2::EL1PCEN::CLEAR);
    CNTVOFF_EL2.set(0);
    // 40-bit guest physical addresses, walks from level 1 (1024 entries), 4 KiB.
    VTCR_EL2.set(1 << 31 | 2 << 16 | 3 << 12 | 1 << 10 | 1 << 8 | 1 << 6 | 24);
    /// CPTR_EL2: activity monitors, trace, SVE and SME trap, floating point does not; the rest is
    /// RES1.
    const COPROCESSORS: u64 = 0x33ff | 1 << 20 | 1 << 30;
    /// MDCR_EL2: TDRA, TDOSA, TDA, TPM, TPMCR; TPMS and TTRF, which are RES0 where there is neither
    /// profiling nor trace.
    const DEBUG: u64 = 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5 | 1 << 14 | 1 << 19;
    let counters = mrs!("pmcr_el0") >> 11 & 0x1f;
    // SAFETY: controls of what traps from EL1 and EL0; EL2 itself uses neither trace, debug, nor
    // vector registers.
    unsafe {
        asm!(
            "msr cptr_el2, {cptr}",
            "msr mdcr_el2, {mdcr}",
            "msr hstr_el2, xzr",
            "msr actlr_el2, xzr",
            "msr vpidr_el2, {midr}",
            cptr = in(reg) COPROCESSORS,
            mdcr = in(reg) DEBUG | counters,
            midr = in(reg) MIDR_EL1.get(),
            options(nomem, nostack, preserves_flags)
        );
    }
    isb();
}

/// Reads identification registers, (3, 0, 0, CRm, op2).
macro_rules! id_registers {
    ($name:expr, $($crm:literal: $($op2:literal)*;)*) => {
        match $name {
            $($(($crm, $op2) => mrs!(concat!("s3_0_c0_c", $crm, "_", $op2)),)*)*
            _ => 0,
        }
    };
}

/// An identification register by `CRm` and `op2`; those that the architecture has not defined yet
/// read as zero.
pub(crate) fn id_register(name: idregs::Name) -> u64 {
    id_registers! { name,
        1: 0 1 2 3 4 5 6 7; 2: 0 1 2 3 4 5 6 7; 3: 0 1 2 3 4 5 6 7; 4: 0 1 2 3 4 5 6 7;
        5: 0 1 2 3 4 5 6 7; 6: 0 1 2 3 4 5 6 7; 7: 0 1 2 3 4 5 6 7;
    }
}

/// The four bits of an identification register from `shift` on.
fn id_field(name: idregs::Name, shift: u32) -> u64 {
    id_register(name) >> shift & 0xf
}

/// A random number of the processor's (`RNDR`); `None` where it has none, or not now.
pub(crate) fn random() -> Option<u64> {
    // ID_AA64ISAR0_EL1.RNDR.
    if id_field((6, 0), 60) == 0 {
        return None;
    }
    // It may fail for a moment.
    (0..100).find_map(|_| {
        let (number, failed): (u64, u64);
        // SAFETY: reading it changes the condition flags alone.
        unsafe {
            asm!("mrs {}, s3_3_c2_c4_0", "cset {}, eq", out(reg) number, out(reg) failed, options(nomem, nostack));
        }
        (failed == 0).then_some(number)
    })
}

/// Whether the processor has the RAS extension, and whether it has SME.
pub(crate) fn has_ras_and_sme() -> (bool, bool) {
    (id_field((4, 0), 28) != 0, id_field((4, 1), 24) != 0)
}

/// Zeroes what a vCPU that had the processor may have left in registers that no guest is offered
/// and nothing traps: `VDISR_EL2`, which is a guest's `DISR_EL1`; `TPIDR2_EL0` and `SMPRI_EL1`.
pub(crate) fn forget_extensions((ras, sme): (bool, bool)) {
    // SAFETY: registers of EL1 and EL0, on processors that have them.
    unsafe {
        if ras {
            asm!(
                "msr s3_4_c12_c1_1, xzr",
                options(nomem, nostack, preserves_flags)
            );
        }
        if sme {
            asm!(
                "msr s3_3_c13_c0_5, xzr",
                "msr s3_0_c1_c2_4, xzr",
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Puts what extensions give EL2 to control into the state without them, whatever firmware left
/// there: guests are offered none of what they open, and what they could close is not needed.
fn reset_extensions() {
    // SAFETY: controls of EL1 and EL0, on processors that have them.
    unsafe {
        // ID_AA64MMFR1_EL1.HCX: HCRX_EL2.
        if id_field((7, 1), 40) != 0 {
            asm!(
                "msr s3_4_c1_c2_2, xzr",
                options(nomem, nostack, preserves_flags)
            );
        }
        // ID_AA64MMFR0_EL1.FGT: HFGRTR_EL2, HFGWTR_EL2, HFGITR_EL2, HDFGRTR_EL2, HDFGWTR_EL2.
        if id_field((7, 0), 56) != 0 {
            asm!(
                "msr s3_4_c1_c1_4, xzr",
                "msr s3_4_c1_c1_5, xzr",
                "msr s3_4_c1_c1_6, xzr",
                "msr s3_4_c3_c1_4, xzr",
                "msr s3_4_c3_c1_5, xzr",
                options(nomem, nostack, preserves_flags)
            );
        }
    }
}

/// Switches EL2 to the translation tables at `root`, with memory either writable or executable.
///
/// # Safety
/// The tables map everything that this program uses as it is mapped now or with the rights that it
/// needs.
pub(crate) unsafe fn set_host_tables(root: u64) {
    /// WXN.
    const WRITE_IMPLIES_NO_EXECUTE: u64 = 1 << 19;
    // SAFETY: the caller's promise.
    unsafe {
        asm!(
            "dsb sy",
            "msr ttbr0_el2, {root}",
            "isb",
            "tlbi alle2",
            "dsb sy",
            "isb",
            "mrs {t}, sctlr_el2",
            "orr {t}, {t}, {wxn}",
            "msr sctlr_el2, {t}",
            "isb",
            root = in(reg) root,
            wxn = in(reg) WRITE_IMPLIES_NO_EXECUTE,
            t = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Selects a guest's stage 2: table address and VMID as in `VTTBR_EL2`.
pub(crate) fn set_stage2(vttbr: u64) {
    // SAFETY: translation of EL1 and EL0 alone.
    unsafe { asm!("msr vttbr_el2, {}", "isb", in(reg) vttbr, options(nostack, preserves_flags)) };
}

/// Forgets what the processor knows of the page at guest physical address `at` of the guest with
/// `vttbr`.
pub(crate) fn forget_guest(vttbr: u64, at: u64) {
    let current = mrs!("vttbr_el2");
    if current != vttbr {
        set_stage2(vttbr);
    }
    // SAFETY: forgetting translations only costs time. Stage 1 entries may hold the combined
    // translation.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi ipas2e1is, {}",
            "dsb ish",
            "tlbi vmalle1is",
            "dsb ish",
            "isb",
            in(reg) at >> 12,
            options(nostack, preserves_flags)
        );
    }
    if current != vttbr {
        set_stage2(current);
    }
}

/// Forgets what the processor knows of EL2's page at `at`.
pub(crate) fn forget_host(at: u64) {
    // SAFETY: as above.
    unsafe {
        asm!("dsb ishst", "tlbi vae2is, {}", "dsb ish", "isb", in(reg) at >> 12, options(nostack, preserves_flags));
    }
}

/// Has all instruction caches forget what they hold. By address is not enough: where they are
/// indexed by virtual address (Arm ARM D7.5.3, VIPT), the guest's addresses are others than the
/// window's.
pub(crate) fn forget_instructions() {
    // SAFETY: forgetting what is in a cache of instructions only costs time.
    unsafe {
        asm!(
            "dsb ish",
            "ic ialluis",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        );
    }
}

/// Forgets everything about guests, once at boot.
pub(crate) fn forget_all_guests() {
    // SAFETY: as above.
    unsafe {
        asm!(
            "tlbi alle1",
            "dsb sy",
            "isb",
            options(nostack, preserves_flags)
        )
    };
}

/// Cleans the lines of `bytes` (at least one) from `start` to the point of coherency.
///
/// # Safety
/// The range is mapped as memory.
pub(crate) unsafe fn clean(start: u64, bytes: u64) {
    // The smallest line, whatever this processor's.
    const LINE: u64 = 16;
    let mut at = start & !(LINE - 1);
    while at < start + bytes {
        // SAFETY: cleaning a line changes no value.
        unsafe { asm!("dc cvac, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += LINE;
    }
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
}

/// Zeroes `bytes` from `start`, both multiples of 4096, and cleans them to the point of coherency.
///
/// # Safety
/// The range is mapped as memory and holds no Rust object.
pub(crate) unsafe fn zero_and_clean(start: u64, bytes: u64) {
    // `DCZID_EL0.BS` and `CTR_EL0.DminLine` are log2 of words.
    let (block, line) = (
        4 << (mrs!("dczid_el0") & 0xf),
        4 << (mrs!("ctr_el0") >> 16 & 0xf),
    );
    let mut at = start;
    if block == line && 4096 % (8 * line) == 0 {
        while at < start + bytes {
            // SAFETY: as below, eight times; a page has a multiple of eight lines.
            unsafe {
                asm!(
                    ".rept 8",
                    "dc zva, {at}",
                    "dc civac, {at}",
                    "add {at}, {at}, {line}",
                    ".endr",
                    at = inout(reg) at,
                    line = in(reg) line,
                    options(nostack, preserves_flags)
                );
            }
        }
        aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
        return;
    }
    while at < start + bytes {
        // SAFETY: within the caller's range.
        unsafe { asm!("dc zva, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += block;
    }
    at = start;
    while at < start + bytes {
        // SAFETY: cleaning a line changes no value.
        unsafe { asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags)) };
        at += line;
    }
    aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
}
