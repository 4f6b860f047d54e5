//! The distributor's registers as the guest reads and writes them.
//!
//! Registers that Xen's virtual GICv2 reads as zero and ignores on write are the same here:
//! `IGROUPR` and `NSACR` (no security extensions), reserved and implementation-defined ranges, and
//! every bit of an interrupt that does not exist. PPIs keep their configuration and SGIs stay
//! enabled, as on a GIC-400.

use dt_server_api::{DomainRecord, GuestLayout};
use hv_types::MAX_VCPUS;

use super::regs::{
    BITMAPS_END, CPENDSGIR, CTLR, END, ICACTIVER, ICENABLER, ICFGR, ICFGR_END, ICPENDR, ID,
    ID_FIRST, IIDR, IIDR_GIC400, IPRIORITYR, ISACTIVER, ISENABLER, ISPENDR, ITARGETSR, SGIR,
    SPENDSGIR, SPENDSGIR_END, TYPER,
};
use super::state::{PRIORITY_BITS, SGIS, from_icfgr, to_icfgr};
use super::{BOOT, VGic};
use crate::device::model::{Device, Region, Words, Written};
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;

/// Bytes of one kind of bitmap register.
const BITMAP: u32 = 0x80;
/// A bit for each CPU that exists.
const CPU_MASK: u8 = 0xff >> (8 - MAX_VCPUS);

/// Whether a register may be accessed by bytes (GICv2 spec section 4.1.4) or is none at all.
const fn is_narrow(offset: u32) -> bool {
    matches!(offset,
        0x00c..0x080 | IPRIORITYR..ICFGR | ICFGR_END..SGIR | 0xf04..ID_FIRST)
}

/// Whether an access lies in the distributor, is aligned and has a width that its register takes.
const fn is_allowed(offset: u32, size: u8) -> bool {
    offset < END
        && match size {
            4 => offset & 3 == 0,
            1 => is_narrow(offset),
            _ => false,
        }
}

impl VGic {
    /// Reads `size` bytes at `offset` from the start of the distributor.
    ///
    /// `None` where hardware would not answer either: words everywhere, bytes only in priority,
    /// target and SGI-pending registers, always aligned. The caller injects a data abort, as Xen
    /// does.
    pub fn mmio_read(&self, offset: u32, size: u8) -> Option<u32> {
        if !is_allowed(offset, size) {
            return None;
        }
        let value = self.read_word(offset & !3);
        Some(if size == 1 {
            (value >> (8 * (offset & 3))) & 0xff
        } else {
            value
        })
    }

    /// Writes the low `size` bytes of `value` at `offset`. `false` where [`VGic::mmio_read`] would
    /// answer `None`.
    ///
    /// The caller sets the levels of its sources anew and then flushes: an interrupt may have been
    /// enabled.
    pub fn mmio_write(&mut self, offset: u32, size: u8, value: u32) -> bool {
        if !is_allowed(offset, size) {
            return false;
        }
        match offset {
            IPRIORITYR..ITARGETSR => self.each_byte(offset, size, value, Self::write_priority),
            CPENDSGIR..SPENDSGIR => self.each_byte(offset, size, value, Self::clear_sgi),
            SPENDSGIR..SPENDSGIR_END => self.each_byte(offset, size, value, Self::set_sgi),
            // One CPU: every SPI targets it. An empty list is ignored (as on Xen), any other names
            // it alone.
            ITARGETSR..ICFGR => {}
            _ => self.write_word(offset, value),
        }
        true
    }

    fn read_word(&self, offset: u32) -> u32 {
        match offset {
            CTLR => u32::from(self.enabled),
            #[expect(clippy::cast_possible_truncation, reason = "1")]
            TYPER => u32::from(self.words - 1) | (MAX_VCPUS as u32 - 1) << 5,
            IIDR => IIDR_GIC400,
            ISENABLER..BITMAPS_END => self.read_bitmap(offset),
            IPRIORITYR..ITARGETSR => self.read_priorities(offset - IPRIORITYR),
            ITARGETSR..ICFGR => {
                let first = offset - ITARGETSR;
                if first < 32 * u32::from(self.words) {
                    0x0101_0101
                } else {
                    0
                }
            }
            ICFGR..ICFGR_END => {
                let (n, half) = ((offset - ICFGR) / 8, (offset / 4) & 1);
                let edge = self.word(n as usize).map_or(0, |word| word.edge) >> (16 * half);
                #[expect(clippy::cast_possible_truncation, reason = "one half of the word")]
                to_icfgr(edge as u16)
            }
            CPENDSGIR..SPENDSGIR_END => {
                let at = (offset & 0xf) as usize;
                let sources = self.cpus[BOOT].sgi_sources.get(at..at + 4);
                sources
                    .and_then(|bytes| bytes.try_into().ok())
                    .map_or(0, u32::from_le_bytes)
            }
            ID_FIRST..END => ID
                .get(((offset - ID_FIRST) / 4) as usize)
                .map_or(0, |byte| u32::from(*byte)),
            _ => 0,
        }
    }

    fn read_bitmap(&self, offset: u32) -> u32 {
        let Some(word) = self.word(((offset % BITMAP) / 4) as usize) else {
            return 0;
        };
        match offset & !(BITMAP - 1) {
            ISENABLER | ICENABLER => word.enabled,
            ISPENDR | ICPENDR => word.pending(),
            _ => word.held | word.active,
        }
    }

    fn read_priorities(&self, first: u32) -> u32 {
        let at = first as usize;
        let bytes = match at.checked_sub(32) {
            None => self.cpus[BOOT].priority.get(at..at + 4),
            Some(spi) => self.spi_priority.get(spi..spi + 4),
        };
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    }

    fn write_word(&mut self, offset: u32, value: u32) {
        match offset {
            CTLR => self.enabled = value & 1 != 0,
            ISENABLER..BITMAPS_END => self.write_bitmap(offset, value),
            ICFGR..ICFGR_END => self.write_configuration(offset - ICFGR, value),
            SGIR => self.send_sgi(value),
            _ => {}
        }
    }

    fn write_bitmap(&mut self, offset: u32, value: u32) {
        let n = ((offset % BITMAP) / 4) as usize;
        if n >= usize::from(self.words) {
            return;
        }
        // SGIs: enabled for good, and pending through SGIR and its kin only (GICv2 spec 4.3.7).
        let not_sgis = if n == 0 { value & !SGIS } else { value };
        let Some(word) = self.word_mut(n) else { return };
        match offset & !(BITMAP - 1) {
            ISENABLER => word.enabled |= value,
            ICENABLER => word.enabled &= !not_sgis,
            ISPENDR => word.latch |= not_sgis,
            ICPENDR => word.latch &= !not_sgis,
            ISACTIVER => word.active |= value & !word.held,
            ICACTIVER => word.active &= !value,
            _ => {}
        }
        self.update(n);
    }

    fn write_configuration(&mut self, offset: u32, value: u32) {
        let n = (offset / 8) as usize;
        // SGIs are edge-triggered by definition; whether PPIs can be changed is up to the GIC, and
        // Xen's cannot.
        if n == 0 || n >= usize::from(self.words) {
            return;
        }
        let half = 16 * ((offset / 4) & 1);
        let Some(word) = self.word_mut(n) else { return };
        word.edge = (word.edge & !(0xffff << half)) | u32::from(from_icfgr(value)) << half;
        self.update(n);
    }

    /// `GICD_SGIR` (GICv2 spec section 4.3.15), from CPU 0.
    fn send_sgi(&mut self, value: u32) {
        let targets = match (value >> 24) & 3 {
            0 => (value >> 16) & u32::from(CPU_MASK),
            1 => u32::from(CPU_MASK) & !(1 << BOOT),
            2 => 1 << BOOT,
            // Reserved.
            _ => 0,
        };
        if targets & (1 << BOOT) != 0 {
            self.pulse((value & 0xf) as u16);
        }
    }

    fn each_byte(&mut self, offset: u32, size: u8, value: u32, write: fn(&mut Self, u32, u8)) {
        for (at, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(usize::from(size))
            .enumerate()
        {
            #[expect(clippy::cast_possible_truncation, reason = "at most 3")]
            write(self, offset + at as u32, byte);
        }
    }

    fn write_priority(&mut self, offset: u32, value: u8) {
        let intid = (offset - IPRIORITYR) as usize;
        if intid >= 32 * usize::from(self.words) {
            return;
        }
        let place = match intid.checked_sub(32) {
            None => self.cpus[BOOT].priority.get_mut(intid),
            Some(spi) => self.spi_priority.get_mut(spi),
        };
        if let Some(place) = place {
            *place = value & PRIORITY_BITS;
            self.cpus[BOOT].stuck = false;
        }
    }

    fn set_sgi(&mut self, offset: u32, sources: u8) {
        self.change_sgi(offset - SPENDSGIR, |old| old | (sources & CPU_MASK));
    }

    fn clear_sgi(&mut self, offset: u32, sources: u8) {
        self.change_sgi(offset - CPENDSGIR, |old| old & !sources);
    }

    fn change_sgi(&mut self, sgi: u32, change: impl Fn(u8) -> u8) {
        let cpu = &mut self.cpus[BOOT];
        let Some(sources) = cpu.sgi_sources.get_mut(sgi as usize) else {
            return;
        };
        *sources = change(*sources);
        if *sources == 0 {
            cpu.private.latch &= !(1 << sgi);
        } else {
            cpu.private.latch |= 1 << sgi;
        }
        self.update(0);
    }
}

impl Device for VGic {
    const WORDS: Words = Words {
        name: "the GIC distributor (GICD)",
        refuses: "the GICv2 distributor has no such register of that size: use 32-bit accesses, 8-bit ones for priorities and targets alone",
        absent: (
            "the place of a GIC distributor (GICD)",
            "every guest has one",
        ),
    };

    fn new(record: &DomainRecord) -> Self {
        Self::new(record.nr_spis)
    }
    fn place(layout: &GuestLayout) -> Option<Region> {
        Some(Region {
            start: layout.gicd,
            size: END,
        })
    }
    #[inline(always)]
    fn read<H: VcpuHost>(&mut self, _: &mut H, offset: u32, size: u8) -> Option<u32> {
        self.mmio_read(offset, size)
    }
    #[inline(always)]
    fn write<H: VcpuHost>(&mut self, _: &mut H, offset: u32, size: u8, value: u32) -> Written {
        if self.mmio_write(offset, size, value) {
            Written::Done
        } else {
            Written::Refused
        }
    }
    fn reset<H: Host>(&mut self, _: &mut H) {
        *self = Self::new(u16::from(self.words - 1) * 32);
    }
}
