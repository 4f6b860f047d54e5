//! All devices of a system: those with drivers first, then RAM disks.

use block_server_api::{DiskInfo, Presence, SECTOR, Status};
use guest_mem::Window;
use heapless::{Deque, Vec};
use hv_types::WindowAddr;
use topology::MAX_DOMAINS;

use crate::devices::{Area, Command, Devices};
use crate::flight::FLIGHTS;
use crate::ram;

/// Most RAM disks.
pub const RAM_DISKS: usize = 8;

/// Devices that a driver moves sectors of, by their numbers from 0.
pub trait Hardware {
    /// How many numbers there are, whether or not there is something behind them.
    fn count(&self) -> usize;
    /// As [`Devices::presence`].
    fn presence(&self, device: usize) -> Presence;
    /// As [`Devices::info`].
    fn info(&self, device: usize) -> Option<DiskInfo>;
    /// As [`Devices::submit`].
    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool;
    /// As [`Devices::kick`].
    fn kick(&mut self);
    /// As [`Devices::take`].
    fn take(&mut self) -> Option<(u32, Status)>;
}

/// A RAM disk.
#[derive(Debug)]
struct Ram<W> {
    memory: W,
    sectors: u64,
}

/// All of them, and the memory that bytes are moved from and to.
#[derive(Debug)]
pub struct Drives<W, H> {
    hardware: H,
    ram: Vec<Ram<W>, RAM_DISKS>,
    areas: [Option<W>; MAX_DOMAINS],
    own: W,
    done: Deque<(u32, Status), FLIGHTS>,
}

impl<W: Window, H: Hardware> Drives<W, H> {
    /// The devices of `hardware`; `own` is the buffer of the server's own, a
    /// [piece](crate::gpt::PIECE) long.
    pub fn new(hardware: H, own: W) -> Self {
        Self {
            hardware,
            ram: Vec::new(),
            areas: [const { None }; MAX_DOMAINS],
            own,
            done: Deque::new(),
        }
    }

    /// The next RAM disk, of `sectors` sectors. `false` where there are too many.
    pub fn add_ram(&mut self, memory: W, sectors: u64) -> bool {
        self.ram.push(Ram { memory, sectors }).is_ok()
    }

    /// The data area of guest `guest`.
    pub fn set_area(&mut self, guest: usize, area: W) {
        if let Some(slot) = self.areas.get_mut(guest) {
            *slot = Some(area);
        }
    }

    /// The driver.
    pub fn hardware(&mut self) -> &mut H {
        &mut self.hardware
    }

    fn ram(&self, device: usize) -> Option<&Ram<W>> {
        self.ram.get(device.checked_sub(self.hardware.count())?)
    }

    fn run(&self, device: usize, command: &Command) -> Status {
        let area = match command.area {
            Area::Own => Some(&self.own),
            Area::Guest(guest) => self.areas.get(guest).and_then(Option::as_ref),
        };
        match self.ram(device).zip(area) {
            Some((ram, area)) => ram::run(&ram.memory, area, command),
            None => Status::Gone,
        }
    }
}

impl<W: Window, H: Hardware> Devices for Drives<W, H> {
    fn presence(&self, device: usize) -> Presence {
        if device < self.hardware.count() {
            return self.hardware.presence(device);
        }
        match self.ram(device) {
            Some(_) => Presence::Present,
            None => Presence::Absent,
        }
    }

    fn info(&self, device: usize) -> Option<DiskInfo> {
        if device < self.hardware.count() {
            return self.hardware.info(device);
        }
        Some(DiskInfo {
            discard: true,
            discard_granularity: SECTOR,
            ..DiskInfo::plain(self.ram(device)?.sectors)
        })
    }

    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool {
        if device < self.hardware.count() {
            return self.hardware.submit(device, tag, command);
        }
        // What is under way fits.
        !self.done.is_full() && {
            let status = self.run(device, command);
            self.done.push_back((tag, status)).is_ok()
        }
    }

    fn kick(&mut self) {
        self.hardware.kick();
    }

    fn take(&mut self) -> Option<(u32, Status)> {
        self.done.pop_front().or_else(|| self.hardware.take())
    }

    fn has_ended(&self) -> bool {
        !self.done.is_empty()
    }

    fn own(&self, into: &mut [u8]) {
        self.own.read(WindowAddr::new(0), into);
    }
}

/// Where there is no device with a driver.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoHardware;

impl Hardware for NoHardware {
    fn count(&self) -> usize {
        0
    }
    fn presence(&self, _: usize) -> Presence {
        Presence::Absent
    }
    fn info(&self, _: usize) -> Option<DiskInfo> {
        None
    }
    fn submit(&mut self, _: usize, _: u32, _: &Command) -> bool {
        false
    }
    fn kick(&mut self) {}
    fn take(&mut self) -> Option<(u32, Status)> {
        None
    }
}
