//! Disks: a table that anybody may have written, and a VMM that writes anything into the region
//! that it shares with the block server.

use block_server::gpt::{PIECE, Reader, SECTOR};
use block_server::{Area, Command, Devices, Server};
use block_server_api::{
    DATA_SIZE, DiskInfo, DiskPort as _, HEADER_SIZE, Op, Part, Presence, Region, Request, Status,
    VolumeSpec,
};
use guest_mem::VecWindow;
use ring::sync::{AtomicU32, Ordering};

use crate::input::Input;

/// Sectors of the disk of which the input has the first ones and the last ones.
const SECTORS: usize = 96;

/// A partition table. The input's first byte says whether checksums are put right, as somebody
/// would who means harm; then come sectors.
pub fn gpt(data: &[u8]) {
    let mut input = Input::new(data);
    let mends = input.get::<u8>() & 1 != 0;
    let mut disk = vec![0; SECTORS * SECTOR];
    let given = input.bytes(SECTORS * SECTOR);
    disk[..given.len()].copy_from_slice(given);
    if mends {
        for sector in [1, SECTORS - 1] {
            mend(&mut disk, sector);
        }
    }
    let sectors = SECTORS as u64;
    let mut reader = Reader::new(sectors);
    let mut pieces = 0;
    while let Some(piece) = reader.next() {
        assert!((1..=PIECE).contains(&piece.count), "{piece:?}");
        assert!(
            piece.sector + u64::from(piece.count) <= sectors,
            "{piece:?}"
        );
        let start = usize::try_from(piece.sector).expect("within the disk") * SECTOR;
        reader.give(disk.get(start..start + piece.count as usize * SECTOR));
        pieces += 1;
        assert!(pieces < 3000, "the table has no end");
    }
    let Ok((table, _)) = reader.table() else {
        return;
    };
    let all: Vec<_> = table.iter().collect();
    for (index, partition) in all.iter().enumerate() {
        assert!(partition.first >= 2 && partition.first <= partition.last);
        assert!(partition.last < sectors - 1);
        for other in all.iter().take(index) {
            assert!(other.last < partition.first || partition.last < other.first);
        }
    }
}

/// Puts the checksums of the header in `sector`, and of its entries, right.
fn mend(disk: &mut [u8], sector: usize) {
    let at = sector * SECTOR;
    let word = |disk: &[u8], at: usize| {
        let bytes = disk[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes) as usize
    };
    let (entries, count, size) = (
        word(disk, at + 72),
        word(disk, at + 80),
        word(disk, at + 84),
    );
    let start = entries.saturating_mul(SECTOR);
    let end = start.saturating_add(count.saturating_mul(size));
    if let Some(entries) = disk.get(start..end) {
        let sum = crc32fast::hash(entries);
        disk[at + 88..at + 92].copy_from_slice(&sum.to_le_bytes());
    }
    disk[at + 16..at + 20].fill(0);
    let covered = word(disk, at + 12).min(SECTOR);
    let sum = crc32fast::hash(&disk[at..at + covered]);
    disk[at + 16..at + 20].copy_from_slice(&sum.to_le_bytes());
}

/// A device that holds what it is asked to against its size.
#[derive(Default)]
struct Device {
    under_way: Vec<u32>,
}

const DEVICE_SECTORS: u64 = 1000;

impl Devices for Device {
    fn presence(&self, device: usize) -> Presence {
        match device {
            0 => Presence::Present,
            _ => Presence::Absent,
        }
    }
    fn info(&self, _: usize) -> Option<DiskInfo> {
        Some(DiskInfo {
            flush: true,
            ..DiskInfo::plain(DEVICE_SECTORS)
        })
    }
    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool {
        assert_eq!(device, 0);
        // Whoever may not write may flush: nothing of its own, but what others have written.
        let allowed = matches!(command.op, Op::Read | Op::Flush);
        assert!(allowed, "the disks are read-only: {command:?}");
        let end = command.sector.checked_add(command.count.into());
        assert!(end.is_some_and(|end| end <= DEVICE_SECTORS), "{command:?}");
        assert!(
            command
                .offset
                .checked_add(command.bytes())
                .is_some_and(|end| end <= DATA_SIZE)
        );
        assert!(matches!(command.area, Area::Guest(0 | 1)));
        self.under_way.push(tag);
        true
    }
    fn kick(&mut self) {}
    fn take(&mut self) -> Option<(u32, Status)> {
        Some((self.under_way.pop()?, Status::Done))
    }
    fn has_ended(&self) -> bool {
        false
    }
    fn own(&self, _: &mut [u8]) {}
}

/// Two VMMs, of whom one writes words anywhere into its region; the other one's requests are
/// answered all the same.
pub fn block_requests(data: &[u8]) {
    let memory: [Vec<AtomicU32>; 2] =
        [(); 2].map(|()| (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect());
    let region = |guest: usize| Region::new(&memory[guest]).expect("the region has its size");
    let mut server = Server::new();
    for guest in 0..2 {
        let (device, part, read_only) = (0, Part::Whole, true);
        let end = region(guest).server().expect("a server's end");
        server.add(
            guest,
            end,
            [VolumeSpec {
                device,
                part,
                read_only,
            }],
        );
    }
    let honest = region(1).client(VecWindow::default(), || {});
    let mut honest = honest.expect("a client's end");
    let mut device = Device::default();
    server.turn(&mut device);
    let mut input = Input::new(data);
    while let Some(operation) = input.operation() {
        match operation % 3 {
            0 => {
                let at = usize::from(input.get::<u16>()) % memory[0].len();
                let word = u32::try_from(input.number() & 0xffff_ffff).expect("a word");
                memory[0][at].store(word, Ordering::Relaxed);
            }
            1 => {
                server.turn(&mut device);
            }
            _ => {
                let (id, disk, op) = (7, 0, Op::Read);
                let (offset, sector, count) = (0, input.get::<u8>().into(), 1);
                let request = Request {
                    id,
                    disk,
                    op,
                    offset,
                    sector,
                    count,
                };
                assert!(honest.submit(&request));
                // Two turns: one begins it, the next one has its answer.
                let mut answer = None;
                for _ in 0..200 {
                    server.turn(&mut device);
                    answer = honest.take();
                    if answer.is_some() {
                        break;
                    }
                }
                let answer = answer.expect("an answer within 200 turns");
                assert_eq!((answer.id, answer.status), (7, Status::Done));
            }
        }
    }
}
