//! How long the vCPU ran and waited, and the guest area that it is published to.

use core::sync::atomic::{Ordering, fence};

use guest_mem::Window;
use hv_types::{Gpa, Gva, PAGE_SIZE};
use xen_abi::Errno;
use xen_abi::vcpu::{RUNSTATE_UPDATE, RunstateInfo, runstate as abi};
use zerocopy::IntoBytes;

use super::time::ticks_to_ns;
use super::walk::Regime;
use super::walk::fault::Access;
use crate::domain::assists::Assists;
use crate::host::on_vcpu::VcpuHost;
use crate::host::{Clock, Host};
use crate::memory::pages::Pages;

/// Bytes of the area.
const SIZE: u64 = size_of::<RunstateInfo>() as u64;
/// Offset of the word that is written first and last.
const ENTRY_TIME: u64 = core::mem::offset_of!(RunstateInfo, state_entry_time) as u64;

/// What a vCPU does, as far as its VMM knows (`RUNSTATE_*`, public/vcpu.h).
///
/// The host's scheduler is not visible from here, so time in which another thread had the CPU
/// counts as [`RunState::Running`] and nothing is ever [`RunState::Runnable`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(i32)]
pub enum RunState {
    /// Executes.
    #[default]
    Running = abi::RUNNING,
    /// Could execute but does not.
    Runnable = abi::RUNNABLE,
    /// Waits for an event or interrupt.
    Blocked = abi::BLOCKED,
    /// Is off.
    Offline = abi::OFFLINE,
}

/// Accounting of one vCPU.
#[derive(Debug, Default)]
pub struct Runstate {
    state: RunState,
    /// System time at which `state` was entered, ns; 0 before the first look at the clock.
    entered: u64,
    /// ns spent in each state, without the current stay.
    time: [u64; 4],
    area: Area,
}

impl Runstate {
    /// The accounting of a vCPU that is in `state` from the beginning.
    pub fn new(state: RunState) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    fn enter(&mut self, state: RunState, now: u64) {
        if self.entered != 0 {
            let stay = now.saturating_sub(self.entered);
            if let Some(total) = self.time.get_mut(self.state as usize) {
                *total = total.saturating_add(stay);
            }
        }
        self.state = state;
        self.entered = now;
    }
}

/// Where an area lies in guest physical memory: one piece, or two where it crosses a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Area {
    first: Option<(Gpa, u64)>,
    second: Option<(Gpa, u64)>,
}

impl Area {
    /// The area at guest virtual address `gva`, translated now and not again.
    ///
    /// Kernels keep it in memory that they never move. An address that does not translate is no
    /// error (Xen stores it unseen); the guest is then told nothing.
    pub fn virtually_at<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, gva: Gva) -> Self {
        if gva.raw() == 0 {
            return Self::default();
        }
        let len = (PAGE_SIZE - gva.page_offset()).min(SIZE);
        let mut regime = Regime::new();
        let mut piece = |gva: Option<Gva>, len: u64| {
            let gpa = regime.translate(host, pages, gva?, Access::Write).ok()?;
            Some((gpa, len))
        };
        let first = piece(Some(gva), len);
        if len == SIZE {
            return Self {
                first,
                second: None,
            };
        }
        match (first, piece(gva.checked_add(len), SIZE - len)) {
            (Some(first), Some(second)) => Self {
                first: Some(first),
                second: Some(second),
            },
            _ => Self::default(),
        }
    }

    /// The area at guest physical address `gpa`.
    ///
    /// # Errors
    /// [`Errno::Enxio`] where it crosses a page or is not 8-aligned; [`Errno::Einval`] where there
    /// is no RAM.
    pub fn physically_at<P: Pages>(pages: &P, gpa: Gpa) -> Result<Self, Errno> {
        if gpa.page_offset() + SIZE > PAGE_SIZE || !gpa.is_aligned(8) {
            return Err(Errno::Enxio);
        }
        pages.writable(gpa, SIZE).ok_or(Errno::Einval)?;
        Ok(Self {
            first: Some((gpa, SIZE)),
            second: None,
        })
    }

    /// Writes the whole area; a piece that is gone since is left out.
    fn write<H: Host, P: Pages>(&self, host: &mut H, pages: &P, bytes: &[u8]) {
        let mut rest = bytes;
        for (gpa, len) in [self.first, self.second].into_iter().flatten() {
            let Some((piece, behind)) = usize::try_from(len)
                .ok()
                .and_then(|len| rest.split_at_checked(len))
            else {
                return;
            };
            if let Some(at) = pages.writable_by(host, gpa, len) {
                host.window().write(at, piece);
            }
            rest = behind;
        }
    }

    /// The word that guards an update, where the area is aligned as a C structure is; an area that
    /// is not crosses pages at odd places and gets no mark.
    fn entry_time<H: Host, P: Pages>(
        &self,
        host: &mut H,
        pages: &P,
    ) -> Option<hv_types::WindowAddr> {
        let (gpa, len) = self.first?;
        if !gpa.is_aligned(8) {
            return None;
        }
        let word = if len > ENTRY_TIME {
            gpa.checked_add(ENTRY_TIME)?
        } else {
            self.second?.0.checked_add(ENTRY_TIME - len)?
        };
        pages.writable_by(host, word, 8)
    }
}

impl Runstate {
    /// From now on the guest is told at `area`, and at once.
    pub fn register<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        assists: Assists,
        area: Area,
    ) {
        self.area = area;
        self.publish(host, pages, assists);
    }

    /// The vCPU enters `state`: accounts for the time in the one before and tells the guest.
    ///
    /// Called where the vCPU begins to wait and where it resumes; costs two divisions and, with a
    /// registered area, a copy of 48 bytes.
    pub fn set<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        pages: &P,
        assists: Assists,
        state: RunState,
    ) {
        if self.state == state && self.entered != 0 {
            return;
        }
        let now = now(host);
        self.enter(state, now);
        self.publish(host, pages, assists);
    }

    /// Writes the accounting into the registered area, if there is one.
    ///
    /// With the assist on, [`RUNSTATE_UPDATE`] is set in the entry time before anything else
    /// changes and cleared after everything has (public/xen.h at
    /// `VMASST_TYPE_runstate_update_flag`).
    fn publish<H: Host, P: Pages>(&mut self, host: &mut H, pages: &P, assists: Assists) {
        if self.area == Area::default() {
            return;
        }
        if self.entered == 0 {
            self.entered = now(host);
        }
        let mut info = RunstateInfo {
            state: self.state as i32,
            pad: 0,
            state_entry_time: self.entered,
            time: self.time,
        };
        let mark = if assists.marks_runstate() {
            self.area.entry_time(host, pages)
        } else {
            None
        };
        let Some(mark) = mark else {
            self.area.write(host, pages, info.as_bytes());
            return;
        };
        info.state_entry_time |= RUNSTATE_UPDATE;
        host.window().store_u64(mark, info.state_entry_time);
        fence(Ordering::SeqCst);
        self.area.write(host, pages, info.as_bytes());
        fence(Ordering::SeqCst);
        host.window()
            .store_u64(mark, info.state_entry_time & !RUNSTATE_UPDATE);
    }
}

fn now<C: Clock>(clock: &C) -> u64 {
    ticks_to_ns(clock.now(), clock.frequency())
}
