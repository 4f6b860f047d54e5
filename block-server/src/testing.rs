//! Disks for tests.

use std::vec::Vec;

use crate::gpt::{Piece, SECTOR};

/// A partition to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) name: &'static str,
}

/// A disk in memory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) bytes: Vec<u8>,
}

impl Disk {
    pub(crate) fn blank(sectors: usize) -> Self {
        let bytes = vec![0; sectors * SECTOR];
        Self { bytes }
    }

    /// A disk with a table of 128 entries, as `sgdisk` makes it.
    pub(crate) fn new(sectors: usize, entries: &[Entry]) -> Self {
        let mut disk = Self::blank(sectors);
        disk.bytes[446 + 4] = 0xee;
        disk.bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut array = vec![0; 32 * SECTOR];
        for (slot, entry) in array.chunks_exact_mut(128).zip(entries) {
            slot[..32].fill(7);
            slot[32..40].copy_from_slice(&entry.first.to_le_bytes());
            slot[40..48].copy_from_slice(&entry.last.to_le_bytes());
            for (to, unit) in slot[56..]
                .chunks_exact_mut(2)
                .zip(entry.name.encode_utf16())
            {
                to.copy_from_slice(&unit.to_le_bytes());
            }
        }
        let end = sectors as u64 - 1;
        for (here, other, place) in [(1, end, 2), (end, 1, end - 32)] {
            let mut header = vec![0; 92];
            header[..8].copy_from_slice(b"EFI PART");
            header[8..16].copy_from_slice(&[0, 0, 1, 0, 92, 0, 0, 0]);
            for (at, value) in [
                (24, here),
                (32, other),
                (40, 34),
                (48, end - 33),
                (72, place),
            ] {
                header[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            header[80..88].copy_from_slice(&[128, 0, 0, 0, 128, 0, 0, 0]);
            header[88..92].copy_from_slice(&crc32fast::hash(&array).to_le_bytes());
            disk.at(here, 92).copy_from_slice(&header);
            disk.at(place, array.len()).copy_from_slice(&array);
        }
        disk.patch_headers(92, &[]);
        disk
    }

    fn at(&mut self, sector: u64, length: usize) -> &mut [u8] {
        let start = usize::try_from(sector).unwrap() * SECTOR;
        &mut self.bytes[start..start + length]
    }

    pub(crate) fn sectors(&self) -> u64 {
        (self.bytes.len() / SECTOR) as u64
    }

    pub(crate) fn piece(&self, piece: Piece) -> Option<&[u8]> {
        let start = usize::try_from(piece.sector).ok()? * SECTOR;
        self.bytes.get(start..start + piece.count as usize * SECTOR)
    }

    /// Writes `bytes` at byte `at` of both headers, whose checksums are right afterwards.
    pub(crate) fn patch_headers(&mut self, at: usize, bytes: &[u8]) {
        let end = self.sectors() - 1;
        for sector in [1, end] {
            let header = self.at(sector, SECTOR);
            header[at..at + bytes.len()].copy_from_slice(bytes);
            header[16..20].fill(0);
            let size = u32::from_le_bytes(header[12..16].try_into().unwrap()) as usize;
            let sum = crc32fast::hash(&header[..size.min(SECTOR)]);
            header[16..20].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
