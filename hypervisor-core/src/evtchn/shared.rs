//! The part of event channels that the guest shares: pending, mask, selector, upcall.

use guest_mem::Window;
use hv_types::{Gfn, PAGE_SIZE, Port, VcpuId, WindowAddr};
use memory_server_api::Extra;
use xen_abi::Errno;
use xen_abi::shared::{shared_info, vcpu_info};

use super::Events;
use super::area::Area;
use super::ports::{Binding, Channel, Sent, Service};
use crate::memory::pages::Pages;

/// Byte `offset` of the shared_info page.
const fn shared(offset: u16) -> WindowAddr {
    WindowAddr::extra(Extra::SharedInfo.index(), offset)
}

/// The word of a bitmap of the shared_info page in which `port` lies, and its bit.
const fn word_and_bit(bitmap: u16, port: u16) -> (WindowAddr, u64) {
    (shared(bitmap + 8 * (port / 64)), 1 << (port % 64))
}

/// `at` plus an offset within the vcpu_info.
const fn field(at: WindowAddr, offset: u16) -> WindowAddr {
    // The whole structure is known to lie in one page.
    WindowAddr::new(at.raw() + offset as u64)
}

impl Events {
    /// Signals `port` from the hypervisor. Returns whose upcall was raised by it: the PPI 31 of
    /// that vCPU must go high.
    ///
    /// A port that is not bound is left alone.
    pub fn raise<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        port: Port,
    ) -> Option<VcpuId> {
        let port = self.table.index(port)?;
        let channel = self.table.get(port);
        if channel.binding == Binding::Free {
            return None;
        }
        self.set_pending(window, pages, port, channel)
    }

    /// Signals the port of `service`, as [`Events::raise`]; without one, nothing.
    pub fn raise_service<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        service: Service,
    ) -> Option<VcpuId> {
        self.raise(window, pages, Port(self.services[service as usize].into()))
    }

    /// Signals a port to which a back end is [bound](Events::bind_backend), as [`Events::raise`];
    /// one that the guest has closed is left alone.
    pub fn raise_backend<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        port: Port,
    ) -> Option<VcpuId> {
        let index = self.table.index(port)?;
        match self.table.get(index).binding {
            Binding::Backend(_) => self.raise(window, pages, port),
            _ => None,
        }
    }

    /// `EVTCHNOP_send`.
    ///
    /// # Errors
    /// `Einval`: no such port, or one that cannot send (free, VIRQ).
    pub fn send<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        port: Port,
    ) -> Result<Sent, Errno> {
        let port = self.table.index(port).ok_or(Errno::Einval)?;
        let channel = self.table.get(port);
        Ok(match channel.binding {
            Binding::Service(service) | Binding::Backend(service) => Sent::Service(service),
            Binding::Interdomain { port: peer, .. } => Sent::Port {
                upcall: self.set_pending(window, pages, peer, self.table.get(peer)),
            },
            Binding::Ipi => Sent::Port {
                upcall: self.set_pending(window, pages, port, channel),
            },
            Binding::Foreign => Sent::Foreign(port),
            Binding::Unbound { .. } => Sent::Nobody,
            Binding::Free | Binding::Virq(_) => return Err(Errno::Einval),
        })
    }

    /// `EVTCHNOP_unmask` (EV-2): clears the mask, and delivers what is pending. Returns whose
    /// upcall was raised.
    ///
    /// # Errors
    /// `Einval`: no room for such a port. (A free port and port 0 are left alone, as on Xen.)
    pub fn unmask<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        port: Port,
    ) -> Result<Option<VcpuId>, Errno> {
        if !self.table.has_room(port) {
            return Err(Errno::Einval);
        }
        let Some(port) = self.table.index(port) else {
            return Ok(None);
        };
        let channel = self.table.get(port);
        if !self.live || channel.binding == Binding::Free {
            return Ok(None);
        }
        let (mask, bit) = word_and_bit(shared_info::EVTCHN_MASK, port);
        if window.fetch_and_u64(mask, !bit) & bit == 0 {
            return Ok(None);
        }
        let (pending, bit) = word_and_bit(shared_info::EVTCHN_PENDING, port);
        if window.load_u64(pending) & bit == 0 {
            return Ok(None);
        }
        Ok(self.select(window, pages, port, channel))
    }

    /// Sets the pending bit and what follows from it, in the order that EV-1 asks for: the guest
    /// clears the upcall flag, then the selector, then looks at pending, so whichever it has passed
    /// when we come, it will look again.
    pub(super) fn set_pending<W: Window, P: Pages>(
        &self,
        window: &W,
        pages: &P,
        port: u16,
        channel: Channel,
    ) -> Option<VcpuId> {
        if !self.live {
            return None;
        }
        let (pending, bit) = word_and_bit(shared_info::EVTCHN_PENDING, port);
        if window.fetch_or_u64(pending, bit) & bit != 0 {
            return None;
        }
        let (mask, bit) = word_and_bit(shared_info::EVTCHN_MASK, port);
        if window.load_u64(mask) & bit != 0 {
            return None;
        }
        self.select(window, pages, port, channel)
    }

    /// Marks the word of `port` in the selector of the vCPU that it notifies, and raises the
    /// upcall; returns that vCPU where the flag was down.
    fn select<W: Window, P: Pages>(
        &self,
        window: &W,
        pages: &P,
        port: u16,
        channel: Channel,
    ) -> Option<VcpuId> {
        let info = self.vcpu_info(pages, channel.vcpu)?;
        let bit = 1 << (port / 64);
        let raised = window.fetch_or_u64(field(info, vcpu_info::PENDING_SEL), bit) & bit == 0
            && window.swap_u8(field(info, vcpu_info::UPCALL_PENDING), 1) == 0;
        raised.then_some(channel.vcpu)
    }

    /// The `vcpu_info` of vCPU `cpu`, if it has one in memory now.
    ///
    /// A registered one is looked up at each use: the guest may have given the page away since.
    /// Then nobody can be told of events; they stay pending in shared_info.
    fn vcpu_info<P: Pages>(&self, pages: &P, cpu: VcpuId) -> Option<WindowAddr> {
        match self.cpus[cpu.index()].area {
            Area::Nowhere => None,
            Area::Shared => Some(shared(shared_info::VCPU_INFO)),
            Area::Guest(gpa) => pages.writable(gpa, vcpu_info::SIZE.into()),
        }
    }

    /// Whether `cpu` has its upcall flag set: the level of its PPI 31.
    #[inline]
    pub fn upcall_pending<W: Window, P: Pages>(&self, window: &W, pages: &P, cpu: VcpuId) -> bool {
        self.live
            && self
                .vcpu_info(pages, cpu)
                .is_some_and(|info| window.load_u8(field(info, vcpu_info::UPCALL_PENDING)) != 0)
    }

    /// Whether `port` is pending; false for one that cannot exist (EV-4).
    pub fn is_pending<W: Window>(&self, window: &W, port: Port) -> bool {
        self.bit(window, shared_info::EVTCHN_PENDING, port)
            .unwrap_or(false)
    }

    /// Whether `port` is masked; true for one that cannot exist (EV-4).
    pub fn is_masked<W: Window>(&self, window: &W, port: Port) -> bool {
        self.bit(window, shared_info::EVTCHN_MASK, port)
            .unwrap_or(true)
    }

    fn bit<W: Window>(&self, window: &W, bitmap: u16, port: Port) -> Option<bool> {
        let port = self.table.index(port).filter(|_| self.live)?;
        let (word, bit) = word_and_bit(bitmap, port);
        Some(window.load_u64(word) & bit != 0)
    }

    /// Clears the pending bit of a port that is going away, so that its next user starts clean.
    pub(super) fn clear_pending<W: Window>(&self, window: &W, port: u16) {
        if self.live {
            let (word, bit) = word_and_bit(shared_info::EVTCHN_PENDING, port);
            window.fetch_and_u64(word, !bit);
        }
    }

    /// `VCPUOP_register_vcpu_info` for `cpu`: its `vcpu_info` is from now on at byte `offset` of
    /// frame `gfn`.
    ///
    /// The contents move there, where it had one; then every selector bit is set and the upcall
    /// raised, so that nothing is lost that happened meanwhile. The guest expects this spurious
    /// upcall: PPI 31 must go high.
    ///
    /// # Errors
    /// In this order: `Einval` where frame and offset do not name a place in that frame; `Ebusy`
    /// where one is registered; `Enxio` where it crosses the page or is not aligned to 8 bytes;
    /// `Einval` where the frame is not RAM of the guest.
    pub fn register_vcpu_info<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        cpu: VcpuId,
        (gfn, offset): (Gfn, u32),
    ) -> Result<(), Errno> {
        let offset = u64::from(offset);
        let base = gfn
            .gpa()
            .filter(|_| offset < PAGE_SIZE)
            .ok_or(Errno::Einval)?;
        if matches!(self.cpus[cpu.index()].area, Area::Guest(_)) {
            return Err(Errno::Ebusy);
        }
        if offset + u64::from(vcpu_info::SIZE) > PAGE_SIZE || offset % 8 != 0 {
            return Err(Errno::Enxio);
        }
        let gpa = base.checked_add(offset).ok_or(Errno::Einval)?;
        let new = pages
            .writable(gpa, vcpu_info::SIZE.into())
            .ok_or(Errno::Einval)?;
        if self.live {
            if let Some(old) = self.vcpu_info(pages, cpu) {
                let mut bytes = [0; vcpu_info::SIZE as usize];
                window.read(old, &mut bytes);
                window.write(new, &bytes);
            }
            window.store_u64(field(new, vcpu_info::PENDING_SEL), u64::MAX);
            window.swap_u8(field(new, vcpu_info::UPCALL_PENDING), 1);
        }
        self.cpus[cpu.index()].area = Area::Guest(gpa);
        Ok(())
    }
}
