//! VMMs, a server and a device in memory.

#![allow(dead_code, unreachable_pub, reason = "each test uses some of it")]

use std::collections::VecDeque;

use block_server::{Area, Command, Devices, Notice, Server, Turn};
use block_server_api::{
    Answer, Client, DATA_SIZE, DiskInfo, DiskPort, HEADER_SIZE, Op, Presence, Region, Request,
    Status, VolumeSpec,
};
use guest_mem::{VecWindow, Window};
use hv_types::WindowAddr;
use ring::sync::AtomicU32;

/// Sectors of the device.
pub const SECTORS: u64 = 8192;
const SECTOR: usize = 512;

pub fn window(bytes: u64) -> VecWindow {
    VecWindow::default().with(WindowAddr::new(0), bytes)
}

/// A request of disk `disk`, with its bytes at the start of the data area.
pub fn request(op: Op, disk: u8, sector: u64, count: u32) -> Request {
    Request {
        id: 0,
        disk,
        op,
        offset: 0,
        sector,
        count,
    }
}

/// The device.
pub struct Device {
    pub memory: VecWindow,
    pub queue: VecDeque<(u32, Command)>,
    pub own: VecWindow,
    pub areas: Vec<&'static VecWindow>,
    /// Commands so far.
    pub commands: usize,
    pub flushes: usize,
    pub discarded: Vec<(u64, u32)>,
    /// A sector that cannot be read or written.
    pub bad: Option<u64>,
    pub stuck: bool,
    pub gone: bool,
    pub last_tag: u32,
    pub forged: Vec<u32>,
    /// Most commands under way.
    pub room: usize,
    /// Bytes are counted, not moved.
    pub dry: bool,
    /// Bytes moved for each guest.
    pub moved: [u64; 8],
}

impl Device {
    fn new() -> Self {
        Self {
            memory: window(SECTORS * SECTOR as u64),
            queue: VecDeque::new(),
            own: window(8 * SECTOR as u64),
            areas: Vec::new(),
            commands: 0,
            flushes: 0,
            discarded: Vec::new(),
            bad: None,
            stuck: false,
            gone: false,
            last_tag: 0,
            forged: Vec::new(),
            room: 64,
            dry: false,
            moved: [0; 8],
        }
    }

    pub fn byte(&self, at: u64) -> u8 {
        self.memory.load_u8(WindowAddr::new(at))
    }

    pub fn under_way(&self) -> usize {
        self.queue.len()
    }

    fn execute(&mut self, command: &Command) -> Status {
        assert!(command.sector + u64::from(command.count) <= SECTORS);
        assert!(command.op == Op::Flush || command.count > 0);
        let sectors = command.sector..command.sector + u64::from(command.count);
        match command.op {
            Op::Flush => self.flushes += 1,
            Op::Discard => self.discarded.push((command.sector, command.count)),
            Op::Read | Op::Write => {
                if self.bad.is_some_and(|bad| sectors.contains(&bad)) {
                    return Status::Failed;
                }
            }
        }
        let data = match command.area {
            Area::Own => &self.own,
            Area::Guest(guest) => {
                self.moved[guest] += u64::from(command.bytes());
                self.areas[guest]
            }
        };
        if command.op == Op::Discard || self.dry {
            return Status::Done;
        }
        block_server::ram::run(&self.memory, data, command)
    }
}

impl Devices for Device {
    fn presence(&self, device: usize) -> Presence {
        match (device, self.gone) {
            (0, false) => Presence::Present,
            (0, true) => Presence::Gone,
            _ => Presence::Absent,
        }
    }
    fn info(&self, _: usize) -> Option<DiskInfo> {
        Some(DiskInfo {
            flush: true,
            discard: true,
            discard_granularity: 512,
            ..DiskInfo::plain(SECTORS)
        })
    }
    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool {
        assert_eq!(device, 0);
        if self.queue.len() == self.room {
            return false;
        }
        self.commands += 1;
        self.last_tag = tag;
        self.queue.push_back((tag, *command));
        true
    }
    fn kick(&mut self) {}
    fn take(&mut self) -> Option<(u32, Status)> {
        if let Some(tag) = self.forged.pop() {
            return Some((tag, Status::Done));
        }
        if self.stuck {
            return None;
        }
        let (tag, command) = self.queue.pop_front()?;
        Some((tag, self.execute(&command)))
    }
    fn has_ended(&self) -> bool {
        !self.forged.is_empty()
    }
    fn own(&self, into: &mut [u8]) {
        self.own.read(WindowAddr::new(0), into);
    }
}

/// Its bytes are looked at where the device has them.
type Port = Client<'static, VecWindow, fn()>;

/// All of it.
pub struct Rig {
    pub device: Device,
    pub server: Server<'static>,
    pub ports: Vec<Option<Port>>,
    pub notices: Vec<Notice>,
    ids: u32,
}

impl Rig {
    pub fn blank() -> Self {
        let mut device = Device::new();
        for _ in 0..8 {
            // Tests end before their memory matters.
            device
                .areas
                .push(Box::leak(Box::new(window(DATA_SIZE.into()))));
        }
        Self {
            device,
            server: Server::new(),
            ports: (0..8).map(|_| None).collect(),
            notices: Vec::new(),
            ids: 1000,
        }
    }

    /// A device with these partitions: first and last sector, and label.
    pub fn partitioned(partitions: &[(u64, u64, &str)]) -> Self {
        let rig = Self::blank();
        let table = table(partitions);
        rig.device.memory.write(WindowAddr::new(0), &table);
        rig
    }

    pub fn add(&mut self, guest: usize, disks: Vec<VolumeSpec>) {
        let words = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
        let words: &'static [AtomicU32] = Vec::leak(words.collect());
        let region = Region::new(words).unwrap();
        self.server.add(guest, region.server().unwrap(), disks);
        let notify: fn() = || {};
        self.ports[guest] = region.client(VecWindow::default(), notify);
    }

    pub fn port(&mut self, guest: usize) -> &mut Port {
        self.ports[guest].as_mut().unwrap()
    }

    pub fn turn(&mut self) -> Turn {
        let turn = self.server.turn(&mut self.device);
        while let Some(notice) = self.server.take_notice() {
            self.notices.push(notice);
        }
        turn
    }

    /// Turns until there is nothing to do.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            if !self.turn().more && (self.device.stuck || self.device.queue.is_empty()) {
                return;
            }
        }
        panic!("no end");
    }

    /// Submits a request under a new number, which it returns.
    pub fn submit(&mut self, guest: usize, request: Request) -> u32 {
        self.ids += 1;
        let id = self.ids;
        assert!(self.port(guest).submit(&Request { id, ..request }));
        self.port(guest).kick();
        id
    }

    pub fn answers(&mut self, guest: usize) -> Vec<Answer> {
        let port = self.port(guest);
        std::iter::from_fn(|| port.take()).collect()
    }

    /// One request, and what became of it.
    pub fn ask(&mut self, guest: usize, request: Request) -> Status {
        let id = self.submit(guest, request);
        self.run();
        let answers = self.answers(guest);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].id, id);
        answers[0].status
    }

    pub fn presence(&mut self, guest: usize, disk: u8) -> Presence {
        self.port(guest).presence(disk)
    }

    pub fn info(&mut self, guest: usize, disk: u8) -> DiskInfo {
        self.port(guest).info(disk).unwrap()
    }

    pub fn fill(&mut self, guest: usize, at: u64, bytes: usize, value: u8) {
        let area = self.device.areas[guest];
        area.write(WindowAddr::new(at), &vec![value; bytes]);
    }

    pub fn byte(&mut self, guest: usize, at: u64) -> u8 {
        self.device.areas[guest].load_u8(WindowAddr::new(at))
    }
}

/// The sectors in front of a disk with this table.
pub fn table(partitions: &[(u64, u64, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; 34 * SECTOR];
    bytes[446 + 4] = 0xee;
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let (front, array) = bytes.split_at_mut(2 * SECTOR);
    for (slot, (first, last, name)) in array.chunks_exact_mut(128).zip(partitions) {
        slot[..32].fill(7);
        slot[32..40].copy_from_slice(&first.to_le_bytes());
        slot[40..48].copy_from_slice(&last.to_le_bytes());
        for (to, unit) in slot[56..].chunks_exact_mut(2).zip(name.encode_utf16()) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let header = &mut front[SECTOR..];
    header[..8].copy_from_slice(b"EFI PART");
    header[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
    let end = SECTORS - 1;
    for (at, value) in [(24, 1), (32, end), (40, 34), (48, end - 33), (72, 2)] {
        header[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    header[80..88].copy_from_slice(&[128, 0, 0, 0, 128, 0, 0, 0]);
    header[88..92].copy_from_slice(&crc32fast::hash(array).to_le_bytes());
    let sum = crc32fast::hash(&header[..92]);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    bytes
}
