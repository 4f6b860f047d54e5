//! Offsets of the distributor's registers and constants of the GIC-400 (GICv2 spec IHI 0048B.b,
//! section 4.1.2 table 4-1; GIC-400 TRM DDI 0471B, section 3.3).

/// Distributor control.
pub(super) const CTLR: u32 = 0x000;
/// Interrupt controller type.
pub(super) const TYPER: u32 = 0x004;
/// Implementer identification.
pub(super) const IIDR: u32 = 0x008;
/// Set-enable, one bit per interrupt.
pub(super) const ISENABLER: u32 = 0x100;
/// Clear-enable.
pub(super) const ICENABLER: u32 = 0x180;
/// Set-pending.
pub(super) const ISPENDR: u32 = 0x200;
/// Clear-pending.
pub(super) const ICPENDR: u32 = 0x280;
/// Set-active.
pub(super) const ISACTIVER: u32 = 0x300;
/// Clear-active.
pub(super) const ICACTIVER: u32 = 0x380;
/// Priority, one byte per interrupt.
pub(super) const IPRIORITYR: u32 = 0x400;
/// Last byte of a bitmap register plus one: the priorities begin.
pub(super) const BITMAPS_END: u32 = IPRIORITYR;
/// Targets, one byte per interrupt.
pub(super) const ITARGETSR: u32 = 0x800;
/// Configuration, two bits per interrupt.
pub(super) const ICFGR: u32 = 0xc00;
/// End of the configuration registers; implementation defined ones follow.
pub(super) const ICFGR_END: u32 = 0xd00;
/// Software generated interrupts.
pub(super) const SGIR: u32 = 0xf00;
/// Clear pending SGIs, one byte of source CPUs each.
pub(super) const CPENDSGIR: u32 = 0xf10;
/// Set pending SGIs.
pub(super) const SPENDSGIR: u32 = 0xf20;
/// End of the SGI registers.
pub(super) const SPENDSGIR_END: u32 = 0xf30;
/// First identification register (`ICPIDR4`).
pub(super) const ID_FIRST: u32 = 0xfd0;
/// Bytes of the distributor.
pub(super) const END: u32 = 0x1000;

/// `GICD_IIDR` of a GIC-400 r0p1 (GIC-400 TRM table 3-2): product 2, revision 1, Arm.
pub(super) const IIDR_GIC400: u32 = 0x0200_143b;

/// Identification registers from [`ID_FIRST`], one byte in each word: `ICPIDR4..7`, `ICPIDR0..3`
/// (architecture revision 2 in bits 7:4 of `ICPIDR2`), `ICCIDR0..3`.
pub(super) const ID: [u8; 12] = [
    0x04, 0x00, 0x00, 0x00, 0x90, 0xb4, 0x2b, 0x00, 0x0d, 0xf0, 0x05, 0xb1,
];
