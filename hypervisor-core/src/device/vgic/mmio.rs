//! The distributor's registers as the guest reads and writes them.
//!
//! Registers that Xen's virtual GICv2 reads as zero and ignores on write are the same here:
//! `IGROUPR` and `NSACR` (no security extensions), reserved and implementation-defined ranges, and
//! every bit of an interrupt that does not exist. PPIs keep their configuration and SGIs stay
//! enabled, as on a GIC-400.

use dt_server_api::{DomainRecord, GuestLayout};
use hv_types::{VcpuId, Vcpus};

use super::VGic;
use super::regs::{
    BITMAPS_END, CPENDSGIR, CTLR, END, ICACTIVER, ICENABLER, ICFGR, ICFGR_END, ICPENDR, ID,
    ID_FIRST, IIDR, IIDR_GIC400, IPRIORITYR, ISACTIVER, ISENABLER, ISPENDR, ITARGETSR, SGIR,
    SPENDSGIR, SPENDSGIR_END, TYPER,
};
use super::state::{PRIORITY_BITS, SGIS, from_icfgr, to_icfgr};
use crate::device::model::{Device, Region, Words, Written};
use crate::host::Host;
use crate::host::on_vcpu::VcpuHost;

/// Bytes of one kind of bitmap register.
const BITMAP: u32 = 0x80;

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
    /// `cpu` reads `size` bytes at `offset` from the start of the distributor.
    ///
    /// `None` where hardware would not answer either: words everywhere, bytes only in priority,
    /// target and SGI-pending registers, always aligned. The caller injects a data abort, as Xen
    /// does.
    #[inline(always)]
    pub fn mmio_read(&self, cpu: VcpuId, offset: u32, size: u8) -> Option<u32> {
        if !is_allowed(offset, size) {
            return None;
        }
        let value = self.read_word(cpu, offset & !3);
        Some(if size == 1 {
            (value >> (8 * (offset & 3))) & 0xff
        } else {
            value
        })
    }

    /// `cpu` writes the low `size` bytes of `value` at `offset`. `false` where [`VGic::mmio_read`]
    /// would answer `None`.
    ///
    /// The caller sets the levels of its sources anew and then flushes: an interrupt may have been
    /// enabled.
    #[inline(always)]
    pub fn mmio_write(&mut self, cpu: VcpuId, offset: u32, size: u8, value: u32) -> bool {
        if !is_allowed(offset, size) {
            return false;
        }
        match offset {
            IPRIORITYR..ITARGETSR => self.each_byte(cpu, offset, size, value, Self::write_priority),
            CPENDSGIR..SPENDSGIR => self.each_byte(cpu, offset, size, value, Self::clear_sgi),
            SPENDSGIR..SPENDSGIR_END => self.each_byte(cpu, offset, size, value, Self::set_sgi),
            ITARGETSR..ICFGR => self.each_byte(cpu, offset, size, value, Self::write_target),
            _ => self.write_word(cpu, offset, value),
        }
        true
    }

    #[inline(always)]
    fn read_word(&self, cpu: VcpuId, offset: u32) -> u32 {
        match offset {
            CTLR => u32::from(self.enabled),
            TYPER => {
                let last = u32::from(self.all.count().saturating_sub(1));
                u32::from(self.words - 1) | last << 5
            }
            IIDR => IIDR_GIC400,
            ISENABLER..BITMAPS_END => self.read_bitmap(cpu, offset),
            IPRIORITYR..ITARGETSR => self.read_priorities(cpu, offset - IPRIORITYR),
            ITARGETSR..ICFGR => self.read_targets(cpu, offset - ITARGETSR),
            ICFGR..ICFGR_END => {
                let (n, half) = ((offset - ICFGR) / 8, (offset / 4) & 1);
                let edge = self.word(cpu, n as usize).map_or(0, |word| word.edge) >> (16 * half);
                #[expect(clippy::cast_possible_truncation, reason = "one half of the word")]
                to_icfgr(edge as u16)
            }
            CPENDSGIR..SPENDSGIR_END => {
                let at = (offset & 0xf) as usize;
                let sources = self.cpu(cpu).sgi_sources.get(at..at + 4);
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

    fn read_bitmap(&self, cpu: VcpuId, offset: u32) -> u32 {
        let Some(word) = self.word(cpu, ((offset % BITMAP) / 4) as usize) else {
            return 0;
        };
        match offset & !(BITMAP - 1) {
            ISENABLER | ICENABLER => word.enabled,
            ISPENDR | ICPENDR => word.pending(),
            _ => word.held | word.active,
        }
    }

    fn read_priorities(&self, cpu: VcpuId, first: u32) -> u32 {
        let at = first as usize;
        let bytes = match at.checked_sub(32) {
            None => self.cpu(cpu).priority.get(at..at + 4),
            Some(spi) => self.spi_priority.get(spi..spi + 4),
        };
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    }

    /// Targets of the four interrupts from `first` on; a private one has that who looks.
    fn read_targets(&self, cpu: VcpuId, first: u32) -> u32 {
        let mut bytes = [0; 4];
        for (intid, byte) in (first..).zip(&mut bytes) {
            let (n, bit) = ((intid / 32) as usize, 1 << (intid % 32));
            if n >= usize::from(self.words) {
                continue;
            }
            let Some(spi) = n.checked_sub(1) else {
                *byte = Vcpus::only(cpu).bits();
                continue;
            };
            for target in self.all {
                let targets = self.cpu(target).targets.get(spi);
                if targets.is_some_and(|targets| targets & bit != 0) {
                    *byte |= Vcpus::only(target).bits();
                }
            }
        }
        u32::from_le_bytes(bytes)
    }

    #[inline(always)]
    fn write_word(&mut self, cpu: VcpuId, offset: u32, value: u32) {
        match offset {
            CTLR => {
                self.enabled = value & 1 != 0;
                // What has been ready may go to anybody now.
                self.kicked = self.all;
            }
            ISENABLER..BITMAPS_END => self.write_bitmap(cpu, offset, value),
            ICFGR..ICFGR_END => self.write_configuration(cpu, offset - ICFGR, value),
            SGIR => self.send_sgi(cpu, value),
            _ => {}
        }
    }

    fn write_bitmap(&mut self, cpu: VcpuId, offset: u32, value: u32) {
        let n = ((offset % BITMAP) / 4) as usize;
        if n >= usize::from(self.words) {
            return;
        }
        // SGIs: enabled for good, and pending through SGIR and its kin only (GICv2 spec 4.3.7).
        let not_sgis = if n == 0 { value & !SGIS } else { value };
        let Some(word) = self.word_mut(cpu, n) else {
            return;
        };
        match offset & !(BITMAP - 1) {
            ISENABLER => word.enabled |= value,
            ICENABLER => word.enabled &= !not_sgis,
            ISPENDR => word.latch |= not_sgis,
            ICPENDR => word.latch &= !not_sgis,
            ISACTIVER => word.active |= value & !word.held,
            ICACTIVER => word.active &= !value,
            _ => {}
        }
        self.update(cpu, n);
    }

    fn write_configuration(&mut self, cpu: VcpuId, offset: u32, value: u32) {
        let n = (offset / 8) as usize;
        // SGIs are edge-triggered by definition; whether PPIs can be changed is up to the GIC, and
        // Xen's cannot.
        if n == 0 || n >= usize::from(self.words) {
            return;
        }
        let half = 16 * ((offset / 4) & 1);
        let Some(word) = self.word_mut(cpu, n) else {
            return;
        };
        word.edge = (word.edge & !(0xffff << half)) | u32::from(from_icfgr(value)) << half;
        self.update(cpu, n);
    }

    /// `GICD_SGIR` (GICv2 spec section 4.3.15) written by `cpu`. Targets that are off are left out.
    #[inline(always)]
    fn send_sgi(&mut self, cpu: VcpuId, value: u32) {
        let own = Vcpus::only(cpu);
        let [_, _, list, _] = value.to_le_bytes();
        let targets = match (value >> 24) & 3 {
            0 => Vcpus::from_bits(list),
            1 => self.all.without(own),
            2 => own,
            // Reserved.
            _ => Vcpus::NONE,
        };
        let (targets, intid) = (targets.and(self.online), (value & 0xf) as u16);
        if targets.contains(cpu) {
            self.pulse_from(cpu, intid, own.bits());
        }
        let others = targets.without(own);
        if !others.is_empty() {
            self.send_to(others, intid, own);
        }
    }

    /// SGI `intid` from `own` comes to these others.
    #[inline(never)]
    fn send_to(&mut self, others: Vcpus, intid: u16, own: Vcpus) {
        for target in others {
            self.pulse_from(target, intid, own.bits());
            self.kick(target);
        }
    }

    #[inline(always)]
    fn each_byte(
        &mut self,
        cpu: VcpuId,
        offset: u32,
        size: u8,
        value: u32,
        write: fn(&mut Self, VcpuId, u32, u8),
    ) {
        for (at, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(usize::from(size))
            .enumerate()
        {
            #[expect(clippy::cast_possible_truncation, reason = "at most 3")]
            write(self, cpu, offset + at as u32, byte);
        }
    }

    #[inline]
    fn write_priority(&mut self, cpu: VcpuId, offset: u32, value: u8) {
        let intid = (offset - IPRIORITYR) as usize;
        if intid >= 32 * usize::from(self.words) {
            return;
        }
        let place = match intid.checked_sub(32) {
            None => self.cpu_mut(cpu).priority.get_mut(intid),
            Some(spi) => self.spi_priority.get_mut(spi),
        };
        if let Some(place) = place {
            *place = value & PRIORITY_BITS;
            self.cpu_mut(cpu).stuck = false;
        }
    }

    /// The lowest of the CPUs named gets the interrupt; where none exists nothing changes (as on
    /// Xen).
    fn write_target(&mut self, cpu: VcpuId, offset: u32, value: u8) {
        let intid = offset - ITARGETSR;
        let (n, bit) = ((intid / 32) as usize, 1 << (intid % 32));
        let (Some(spi), Some(target)) = (
            n.checked_sub(1),
            Vcpus::from_bits(value).and(self.all).lowest(),
        ) else {
            return;
        };
        if n >= usize::from(self.words) {
            return;
        }
        for each in self.all {
            if let Some(targets) = self.cpu_mut(each).targets.get_mut(spi) {
                *targets &= !bit;
                if each == target {
                    *targets |= bit;
                }
            }
        }
        self.update(cpu, n);
    }

    fn set_sgi(&mut self, cpu: VcpuId, offset: u32, sources: u8) {
        let sources = sources & self.all.bits();
        self.change_sgi(cpu, offset - SPENDSGIR, |old| old | sources);
    }

    fn clear_sgi(&mut self, cpu: VcpuId, offset: u32, sources: u8) {
        self.change_sgi(cpu, offset - CPENDSGIR, |old| old & !sources);
    }

    fn change_sgi(&mut self, cpu: VcpuId, sgi: u32, change: impl Fn(u8) -> u8) {
        let own = self.cpu_mut(cpu);
        let Some(sources) = own.sgi_sources.get_mut(sgi as usize) else {
            return;
        };
        *sources = change(*sources);
        if *sources == 0 {
            own.private.latch &= !(1 << sgi);
        } else {
            own.private.latch |= 1 << sgi;
        }
        self.update(cpu, 0);
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
        Self::new(record.nr_spis, record.vcpus)
    }
    fn place(layout: &GuestLayout) -> Option<Region> {
        Some(Region {
            start: layout.gicd,
            size: END,
        })
    }
    #[inline(always)]
    fn read<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8) -> Option<u32> {
        self.mmio_read(host.id(), offset, size)
    }
    #[inline(always)]
    fn write<H: VcpuHost>(&mut self, host: &mut H, offset: u32, size: u8, value: u32) -> Written {
        if self.mmio_write(host.id(), offset, size, value) {
            Written::Done
        } else {
            Written::Refused
        }
    }
    fn reset<H: Host>(&mut self, _: &mut H) {
        *self = Self::new(u16::from(self.words - 1) * 32, self.all.count());
    }
}
