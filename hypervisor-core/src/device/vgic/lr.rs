//! List registers: which interrupt goes in, and what its end means.

use hv_types::VcpuId;

use super::VGic;
use super::state::{LATCHED, MAX_LIST_REGISTERS};
use crate::host::Interrupts;

/// The most urgent interrupts found so far: as keys, priority above INTID, ascending.
struct Candidates {
    keys: [u32; MAX_LIST_REGISTERS],
    len: usize,
    room: usize,
}

impl Candidates {
    fn new(room: u32) -> Self {
        let room = (room as usize).min(MAX_LIST_REGISTERS);
        Self {
            keys: [0; MAX_LIST_REGISTERS],
            len: 0,
            room,
        }
    }

    /// Keeps the interrupt if it is among the `room` most urgent; of equal priorities the lower
    /// INTID wins, as in a GIC-400.
    fn offer(&mut self, priority: u8, intid: u16) {
        let key = u32::from(priority) << 16 | u32::from(intid);
        if self.len == self.room {
            match self.keys[..self.len].last() {
                Some(worst) if *worst > key => self.len -= 1,
                _ => return,
            }
        }
        let mut at = self.len;
        while at > 0 && self.keys[at - 1] > key {
            self.keys[at] = self.keys[at - 1];
            at -= 1;
        }
        self.keys[at] = key;
        self.len += 1;
    }

    fn take(&self) -> impl Iterator<Item = (u8, u16)> + '_ {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the halves of a key as `offer` made it"
        )]
        self.keys[..self.len]
            .iter()
            .map(|key| ((key >> 16) as u8, *key as u16))
    }
}

impl VGic {
    /// `cpu` has ended the interrupt in its list register `lr`; the register is free. Returns the
    /// INTID, so that the caller can set the level of its source as it is now and acknowledge the
    /// timer.
    ///
    /// `None` as `lr`, or a register that holds nothing: a maintenance interrupt for nothing
    /// that we know of; ignored. (seL4 reports index 0 without the valid flag when it finds no
    /// ended register; the register, if any, is reported by the next maintenance interrupt.)
    #[inline]
    pub fn on_maintenance(&mut self, cpu: VcpuId, lr: Option<u8>) -> Option<u16> {
        let lr = usize::from(lr?);
        let own = self.cpu_mut(cpu);
        #[expect(clippy::cast_possible_truncation, reason = "the INTID's half")]
        let intid = *own.lr.get(lr)? as u16;
        if own.used & (1 << lr) == 0 {
            return None;
        }
        own.used &= !(1 << lr);
        let (n, bit) = self.locate(intid)?;
        self.word_mut(cpu, n)?.held &= !bit;
        self.update(cpu, n);
        Some(intid)
    }

    /// Puts what is deliverable to `cpu` into its free list registers, the most urgent first.
    #[inline(always)]
    pub fn flush<I: Interrupts>(&mut self, cpu: VcpuId, interface: &mut I) {
        if self.enabled && self.cpu(cpu).summary != 0 {
            self.fill(cpu, interface);
        }
    }

    fn fill<I: Interrupts>(&mut self, cpu: VcpuId, interface: &mut I) {
        let count = I::LIST_REGISTERS.min(MAX_LIST_REGISTERS);
        let exist = u32::MAX >> (32 - count.max(1));
        let free = !u32::from(self.cpu(cpu).used) & exist;
        if free & free.wrapping_sub(1) == 0 {
            if count != 0 && !self.cpu(cpu).stuck {
                self.squeeze(cpu, interface, free);
            }
            return;
        }
        // Mostly there is one, a private one, and nothing to choose.
        let own = self.cpu(cpu);
        if own.summary == 1 && own.private.ready.is_power_of_two() {
            #[expect(clippy::cast_possible_truncation, reason = "below 32, and below 16")]
            let (intid, lr) = (
                (own.private.ready.trailing_zeros() & 31) as u16,
                free.trailing_zeros() as u8,
            );
            let priority = self.priority(cpu, intid);
            self.put(cpu, interface, lr, intid, priority);
        } else {
            self.choose(cpu, interface, free);
        }
    }

    /// [`VGic::flush`] of several, or of a shared one, into the list registers `free`, at least
    /// two. The last is kept where nothing can be recalled.
    #[inline(never)]
    fn choose<I: Interrupts>(&mut self, cpu: VcpuId, interface: &mut I, mut free: u32) {
        let kept = u32::from(!interface.can_recall());
        for (priority, intid) in self.most_urgent(cpu, free.count_ones() - kept).take() {
            #[expect(clippy::cast_possible_truncation, reason = "below 16")]
            let lr = free.trailing_zeros() as u8;
            free &= free.wrapping_sub(1);
            self.put_one(cpu, interface, lr, intid, priority);
        }
        // One that is left may be more urgent than what went in long ago.
        if interface.can_recall() && self.cpu(cpu).summary != 0 {
            self.squeeze(cpu, interface, free);
        }
    }

    /// [`VGic::flush`] with at most one list register, `free`, left.
    #[cold]
    #[inline(never)]
    fn squeeze<I: Interrupts>(&mut self, cpu: VcpuId, interface: &mut I, mut free: u32) {
        // Each turn takes the free one or looks at another one that is in use.
        let mut seen = 0;
        while let Some((mut priority, mut intid)) = self.most_urgent(cpu, 1).take().next() {
            #[expect(clippy::cast_possible_truncation, reason = "below 16")]
            let lr = if free != 0 && (interface.can_recall() || self.is_above_all(cpu, priority)) {
                core::mem::take(&mut free).trailing_zeros() as u8
            } else if interface.can_recall()
                && let Some(lr) = self.least_urgent(cpu, priority, seen)
            {
                seen |= 1 << lr;
                if !interface.recall(lr) {
                    continue;
                }
                self.release(cpu, lr);
                // The guest may have made what was taken back more urgent meanwhile.
                if let Some(first) = self.most_urgent(cpu, 1).take().next() {
                    (priority, intid) = first;
                }
                lr
            } else {
                self.cpu_mut(cpu).stuck = true;
                return;
            };
            self.put_one(cpu, interface, lr, intid, priority);
        }
    }

    /// Whether `priority` is more urgent than everything that is in a list register.
    fn is_above_all(&self, cpu: VcpuId, priority: u8) -> bool {
        let own = self.cpu(cpu);
        let held = (0..).zip(&own.lr);
        let mut held = held.filter(|(lr, _)| own.used & 1 << lr != 0);
        held.all(|(_, key)| u32::from(priority) < (key & !LATCHED) >> 16)
    }

    /// The list register with the least urgent interrupt, if that is less urgent than `priority`;
    /// of those not in `seen`.
    fn least_urgent(&self, cpu: VcpuId, priority: u8, seen: u16) -> Option<u8> {
        let own = self.cpu(cpu);
        let held = (0..).zip(own.lr.iter().map(|key| key & !LATCHED));
        let held = held
            .filter(|(lr, key)| own.used & !seen & 1 << lr != 0 && key >> 16 > u32::from(priority));
        held.max_by_key(|(_, key)| *key).map(|(lr, _)| lr)
    }

    /// The `room` most urgent interrupts that are ready.
    fn most_urgent(&self, cpu: VcpuId, room: u32) -> Candidates {
        let mut candidates = Candidates::new(room);
        let mut words = self.cpu(cpu).summary;
        while words != 0 {
            let n = words.trailing_zeros();
            words &= words - 1;
            let mut ready = self.ready(cpu, n as usize);
            while ready != 0 {
                let bit = ready.trailing_zeros();
                ready &= ready - 1;
                #[expect(clippy::cast_possible_truncation, reason = "below 32 * 32")]
                let intid = (32 * n + bit) as u16;
                candidates.offer(self.priority(cpu, intid), intid);
            }
        }
        candidates
    }

    /// [`VGic::put`], out of line.
    #[inline(never)]
    fn put_one<I: Interrupts>(
        &mut self,
        cpu: VcpuId,
        interface: &mut I,
        lr: u8,
        intid: u16,
        priority: u8,
    ) {
        self.put(cpu, interface, lr, intid, priority);
    }

    /// Puts `intid` into list register `lr`, which is free. With every interrupt, so it is in line
    /// there.
    #[inline(always)]
    fn put<I: Interrupts>(
        &mut self,
        cpu: VcpuId,
        interface: &mut I,
        lr: u8,
        intid: u16,
        priority: u8,
    ) {
        self.hold(cpu, lr, intid, priority);
        // Where the machine refuses, the guest ends without this interrupt; the host says so.
        let _ = interface.inject(lr, intid, priority);
    }

    /// Accounts `intid` to list register `lr`.
    #[inline(always)]
    fn hold(&mut self, cpu: VcpuId, lr: u8, intid: u16, priority: u8) {
        let Some((n, bit)) = self.locate(intid) else {
            return;
        };
        let mut key = u32::from(priority) << 16 | u32::from(intid);
        if let Some(word) = self.word_mut(cpu, n) {
            if word.latch & bit != 0 {
                key |= LATCHED;
            }
            word.held |= bit;
            word.latch &= !bit;
        }
        let own = self.cpu_mut(cpu);
        // An SGI that several have sent is taken once.
        let sources = own.sgi_sources.get_mut(usize::from(intid));
        let sources = sources.map_or(0, core::mem::take);
        if let (Some(place), Some(sent)) = (
            own.lr.get_mut(usize::from(lr)),
            own.lr_sources.get_mut(usize::from(lr)),
        ) {
            (*place, *sent) = (key, sources);
            own.used |= 1 << lr;
        }
        self.update(cpu, n);
    }

    /// Undoes [`VGic::hold`]: the interrupt in list register `lr` was taken back, pending as it
    /// was. A level that has fallen meanwhile is pending no more.
    fn release(&mut self, cpu: VcpuId, lr: u8) {
        let own = self.cpu(cpu);
        let key = own.lr.get(usize::from(lr));
        let latched = key.is_some_and(|key| key & LATCHED != 0);
        let sources = own.lr_sources.get(usize::from(lr)).copied().unwrap_or(0);
        let Some(intid) = self.on_maintenance(cpu, Some(lr)) else {
            return;
        };
        if latched {
            self.pulse_from(cpu, intid, sources);
        }
    }
}
