//! State of interrupts: 32 at a time in words, and what each vCPU has of its own.

use super::MAX_SPIS;

/// Most list registers that a GICv2 virtual interface has in practice (GIC-400: 4; architecture:
/// 64).
pub(super) const MAX_LIST_REGISTERS: usize = 16;

/// The interrupt in a list register was pending by its latch, which it took with it.
pub(super) const LATCHED: u32 = 1 << 31;

/// SGIs (bits 15:0 of word 0).
pub(super) const SGIS: u32 = 0xffff;

/// Words of shared interrupts.
pub(super) const SPI_WORDS: usize = MAX_SPIS as usize / 32;

/// Bits of a priority that exist: as many as the virtual CPU interface compares (32 levels).
pub(super) const PRIORITY_BITS: u8 = 0xf8;

/// 32 interrupts, one bit each.
///
/// An interrupt is *pending* while its latch is set or, being level-sensitive, while its line is
/// high (GICv2 spec section 4.3.8, figure 4-10). It is *held* from the moment it is written to a
/// list register to its end of interrupt: pending or active, the hypervisor cannot tell which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    /// Forwarded when pending (`GICD_ISENABLER`).
    pub(super) enabled: u32,
    /// Input line is high.
    pub(super) level: u32,
    /// Pending latch: an edge came, or software set the interrupt pending. Cleared when the
    /// interrupt goes into a list register and by `GICD_ICPENDR`.
    pub(super) latch: u32,
    /// Configured as edge-triggered.
    pub(super) edge: u32,
    /// In a list register.
    pub(super) held: u32,
    /// Made active by `GICD_ISACTIVER` without being in a list register.
    pub(super) active: u32,
    /// Derived: enabled, pending, neither held nor active. See [`Word::refresh`].
    pub(super) ready: u32,
}

impl Word {
    /// Nothing enabled, nothing pending, level-sensitive.
    pub(super) const RESET: Self = Self {
        enabled: 0,
        level: 0,
        latch: 0,
        edge: 0,
        held: 0,
        active: 0,
        ready: 0,
    };

    /// Interrupts that are pending and not in a list register's account.
    pub(super) const fn pending(&self) -> u32 {
        self.latch | (self.level & !self.edge)
    }

    /// Computes `ready` anew; after every change of another field.
    pub(super) const fn refresh(&mut self) {
        self.ready = self.enabled & self.pending() & !(self.held | self.active);
    }
}

/// What one vCPU has of its own: banked interrupts and list registers.
#[derive(Clone, Debug)]
pub(super) struct Cpu {
    /// SGIs (bits 15:0) and PPIs (bits 31:16).
    pub(super) private: Word,
    /// Priorities of the 32.
    pub(super) priority: [u8; 32],
    /// Per SGI, the CPUs that have sent it and are not yet served, a bit each
    /// (`GICD_SPENDSGIR`). The SGI's latch is set exactly while this is not 0.
    pub(super) sgi_sources: [u8; 16],
    /// What is in each list register that is in use: its INTID in bits 15:0, the priority with
    /// which it went in above, and [`LATCHED`].
    pub(super) lr: [u32; MAX_LIST_REGISTERS],
    /// For an SGI in a list register, the CPUs that had sent it.
    pub(super) lr_sources: [u8; MAX_LIST_REGISTERS],
    /// List registers in use.
    pub(super) used: u16,
    /// Nothing has changed since a look found that no list register can be had for what waits.
    pub(super) stuck: bool,
    /// Words with a ready interrupt for this vCPU: bit 0 the private ones, bit `n` word `n`.
    pub(super) summary: u32,
    /// Shared interrupts that go to this vCPU, a bit each (`GICD_ITARGETSR`); each to one.
    pub(super) targets: [u32; SPI_WORDS],
}

impl Cpu {
    /// SGIs enabled and edge-triggered, which is fixed on a GIC-400 (TRM table 3-3 footnotes);
    /// PPIs level-sensitive.
    pub(super) const RESET: Self = Self {
        private: Word {
            enabled: SGIS,
            edge: SGIS,
            ..Word::RESET
        },
        priority: [0; 32],
        sgi_sources: [0; 16],
        lr: [0; MAX_LIST_REGISTERS],
        lr_sources: [0; MAX_LIST_REGISTERS],
        used: 0,
        stuck: false,
        summary: 0,
        targets: [0; SPI_WORDS],
    };

    /// That of the boot CPU, to which all shared interrupts go after reset (as in Xen).
    pub(super) const BOOT_RESET: Self = Self {
        targets: [u32::MAX; SPI_WORDS],
        ..Self::RESET
    };
}

/// Spreads bit `n` of `bits` to bit `2n + 1`: edge bits as `GICD_ICFGR` shows them.
pub(super) const fn to_icfgr(bits: u16) -> u32 {
    let mut x = bits as u32;
    x = (x | (x << 8)) & 0x00ff_00ff;
    x = (x | (x << 4)) & 0x0f0f_0f0f;
    x = (x | (x << 2)) & 0x3333_3333;
    x = (x | (x << 1)) & 0x5555_5555;
    x << 1
}

/// The inverse of [`to_icfgr`]; the even bits are ignored.
pub(super) const fn from_icfgr(value: u32) -> u16 {
    let mut x = (value >> 1) & 0x5555_5555;
    x = (x | (x >> 1)) & 0x3333_3333;
    x = (x | (x >> 2)) & 0x0f0f_0f0f;
    x = (x | (x >> 4)) & 0x00ff_00ff;
    x = (x | (x >> 8)) & 0xffff;
    #[expect(clippy::cast_possible_truncation, reason = "masked to 16 bits")]
    {
        x as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_bits_spread_and_gather() {
        assert_eq!(to_icfgr(0xffff), 0xaaaa_aaaa);
        assert_eq!(to_icfgr(0x8001), 0x8000_0002);
        for bits in 0..=u16::MAX {
            assert_eq!(from_icfgr(to_icfgr(bits)), bits);
            assert_eq!(from_icfgr(to_icfgr(bits) | 0x5555_5555), bits);
        }
    }

    #[test]
    fn a_line_makes_only_level_interrupts_pending() {
        let mut word = Word {
            enabled: 0b11,
            level: 0b11,
            edge: 0b10,
            ..Word::RESET
        };
        word.refresh();
        assert_eq!(word.pending(), 0b01);
        assert_eq!(word.ready, 0b01);
        word.held = 0b01;
        word.latch = 0b10;
        word.refresh();
        assert_eq!(word.pending(), 0b11);
        assert_eq!(word.ready, 0b10);
    }
}
