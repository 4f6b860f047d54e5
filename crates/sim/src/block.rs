//! The block server, with RAM disks.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;

use block_server::{Area, Command, Devices, Server, ram};
use block_server_api::{
    Client, DATA_SIZE, DiskInfo, HEADER_SIZE, Part, Presence, Region, SECTOR, Status, VolumeSpec,
};
use guest_mem::{VecWindow, Window as _};
use hv_types::{PAGE_SIZE, WindowAddr};

use crate::bus::{Bus, DISKS};
use crate::domains::Domain;

/// A VMM's end of its disks.
pub(crate) type Disks = Client<'static, &'static VecWindow, Box<dyn FnMut()>>;

/// Turns that may follow from one notification; more means that it never comes to rest.
const MOST_TURNS: usize = 10_000;

/// The server and its disks.
pub(crate) struct Blocks {
    server: Box<Server<'static>>,
    rams: Rams,
    guests: Vec<Option<Region<'static>>>,
    /// It has stopped.
    crashed: bool,
}

/// Disks that do what they are asked when they are told to go on.
#[derive(Default)]
struct Rams {
    disks: Vec<(VecWindow, u64)>,
    areas: Vec<Option<&'static VecWindow>>,
    begun: VecDeque<(usize, u32, Command)>,
    /// Nothing of it is done before that is taken back.
    held: bool,
    /// How everything ends that is not done.
    failure: Option<Status>,
}

impl Devices for Rams {
    fn presence(&self, device: usize) -> Presence {
        match self.disks.get(device) {
            Some(_) => Presence::Present,
            None => Presence::Absent,
        }
    }
    fn info(&self, device: usize) -> Option<DiskInfo> {
        let (_, sectors) = self.disks.get(device)?;
        Some(DiskInfo {
            flush: true,
            discard: true,
            discard_granularity: SECTOR,
            ..DiskInfo::plain(*sectors)
        })
    }
    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool {
        self.begun.push_back((device, tag, *command));
        true
    }
    fn kick(&mut self) {}
    fn take(&mut self) -> Option<(u32, Status)> {
        if self.held {
            return None;
        }
        let (device, tag, command) = self.begun.pop_front()?;
        let status = self.failure.unwrap_or_else(|| {
            let Area::Guest(guest) = command.area else {
                return Status::Failed;
            };
            let area = self.areas[guest].expect("the server knows its guests");
            ram::run(&self.disks[device].0, area, &command)
        });
        Some((tag, status))
    }
    fn has_ended(&self) -> bool {
        !self.held && !self.begun.is_empty()
    }
    fn own(&self, _: &mut [u8]) {}
}

impl Blocks {
    /// The server of these domains, and the ends of their VMMs.
    pub(crate) fn new(bus: &Rc<Bus>, domains: &[Domain]) -> (Self, Vec<Option<Disks>>) {
        let mut blocks = Self {
            server: Box::new(Server::new()),
            rams: Rams::default(),
            guests: Vec::new(),
            crashed: false,
        };
        let ends = domains.iter().enumerate();
        let ends = ends.map(|(guest, domain)| blocks.add(bus, guest, &domain.disks));
        let ends = ends.collect();
        blocks.notified(bus);
        (blocks, ends)
    }

    fn add(&mut self, bus: &Rc<Bus>, guest: usize, disks: &[Vec<u8>]) -> Option<Disks> {
        self.rams.areas.push(None);
        self.guests.push(None);
        if disks.is_empty() {
            return None;
        }
        let header: Vec<_> = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect();
        let region = Region::new(header.leak()).expect("the region has its size");
        let data = VecWindow::new().with(WindowAddr::new(0), DATA_SIZE.into());
        let data: &VecWindow = Box::leak(Box::new(data));
        self.rams.areas[guest] = Some(data);
        self.guests[guest] = Some(region);
        let specs = disks.iter().map(|bytes| {
            let size = (bytes.len() as u64).next_multiple_of(PAGE_SIZE);
            let memory = VecWindow::new().with(WindowAddr::new(0), size);
            memory.write(WindowAddr::new(0), bytes);
            let sectors = bytes.len() as u64 / u64::from(SECTOR);
            self.rams.disks.push((memory, sectors));
            VolumeSpec {
                device: self.rams.disks.len() - 1,
                part: Part::Whole,
                read_only: false,
            }
        });
        let specs: Vec<_> = specs.collect();
        self.server.add(guest, region.server()?, specs);
        let bus = bus.clone();
        region.client(data, Box::new(move || bus.notify_block()))
    }

    /// Notifications came, or disks have done something.
    pub(crate) fn notified(&mut self, bus: &Bus) {
        if self.crashed {
            return;
        }
        for _ in 0..MOST_TURNS {
            let turn = self.server.turn(&mut self.rams);
            let ended = !self.rams.held && !self.rams.begun.is_empty();
            (0..self.guests.len())
                .filter(|guest| turn.notify & 1 << guest != 0)
                .for_each(|guest| bus.notify_vmm(guest, DISKS));
            if !turn.more && !ended {
                return;
            }
        }
        panic!("the block server does not come to rest");
    }

    /// From now on, or no more, disks do nothing of what they were asked.
    pub(crate) fn hold(&mut self, held: bool) {
        self.rams.held = held;
    }

    /// From now on everything ends so.
    pub(crate) fn fail(&mut self, failure: Option<Status>) {
        self.rams.failure = failure;
    }

    /// It stops, and somebody says so.
    pub(crate) fn crash(&mut self, bus: &Bus) {
        self.crashed = true;
        for (guest, region) in self.guests.iter().enumerate() {
            if let Some(region) = region {
                region.mark_lost();
                bus.notify_vmm(guest, DISKS);
            }
        }
    }

    /// Bytes of disk `disk`, counted over all guests.
    pub(crate) fn bytes(&self, disk: usize, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rams.disks[disk]
            .0
            .read(WindowAddr::new(at), &mut bytes);
        bytes
    }
}
