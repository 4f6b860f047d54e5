//! What a disk was told, in order, and what it may hold after its power is lost.
//!
//! QEMU's `blklogwrites` driver writes the log in the format of Linux's dm-log-writes
//! (Documentation/admin-guide/device-mapper/log-writes.rst): a superblock, then for each write,
//! flush or discard a sector with its head, and the bytes behind it.

use crate::machine::Failure;

/// Bytes of a sector, of the log too: the option `log-sector-size` says so.
const SECTOR: usize = 512;
/// First word of the superblock, and its version.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
/// Bits of an entry.
const FLUSH: u64 = 1 << 0;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;

/// One thing that the disk was told.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    /// Bytes from a byte of the disk on; whether they had to be on the medium at once.
    Write {
        at: usize,
        bytes: std::ops::Range<usize>,
        lasting: bool,
    },
    /// What was written before is on the medium.
    Flush,
}

/// The log of a disk.
#[derive(Debug)]
pub struct WriteLog {
    bytes: Vec<u8>,
    told: Vec<Told>,
}

/// A sequence of numbers that looks random (xorshift).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap_or(0)
    }
}

impl WriteLog {
    /// Reads a log.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Failure> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_le_bytes(word))
        };
        if word(0) != Some(MAGIC) || word(8) != Some(VERSION) {
            return Err(Failure("no log of writes".into()));
        }
        let count = word(16).unwrap_or(0);
        let mut told = Vec::new();
        let mut at = SECTOR;
        for number in 0..count {
            let head = || Some((word(at)?, word(at + 8)?, word(at + 16)?));
            let size = |sectors: u64| usize::try_from(sectors).ok()?.checked_mul(SECTOR);
            let entry = head()
                .and_then(|(sector, sectors, flags)| Some((size(sector)?, size(sectors)?, flags)));
            let Some((to, length, flags)) = entry else {
                return Err(Failure(format!("entry {number} of the log is cut")));
            };
            at += SECTOR;
            if flags & FLUSH != 0 {
                told.push(Told::Flush);
            }
            // What is discarded may be there or not.
            if length > 0 && flags & DISCARD == 0 {
                let bytes = at..at + length;
                at += length;
                told.push(Told::Write {
                    at: to,
                    bytes,
                    lasting: flags & FUA != 0,
                });
            }
        }
        if at > bytes.len() {
            return Err(Failure("the log is cut".into()));
        }
        Ok(Self { bytes, told })
    }

    /// The same disk if it had not been told to flush.
    #[must_use]
    pub fn without_flushes(mut self) -> Self {
        self.told.retain_mut(|told| match told {
            Told::Write { lasting, .. } => {
                *lasting = false;
                true
            }
            Told::Flush => false,
        });
        self
    }

    /// How much the disk was told.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether it was told nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// How often it was told to flush.
    #[must_use]
    pub fn flushes(&self) -> usize {
        self.told
            .iter()
            .filter(|told| **told == Told::Flush)
            .count()
    }

    /// What the disk, which held `before`, may hold if power goes when it was told the first
    /// `count` things: what was written before the last flush among them, and anything of the rest,
    /// which `random` chooses.
    #[must_use]
    pub fn after(&self, before: &[u8], count: usize, random: &mut Random) -> Vec<u8> {
        let told = self.told.get(..count).unwrap_or(&self.told);
        let last = told.iter().rposition(|told| *told == Told::Flush);
        let mut disk = before.to_vec();
        // How much of what was in the cache has gone to the medium: little, or most of it.
        let share = random.below(5);
        for (number, told) in told.iter().enumerate() {
            let Told::Write { at, bytes, lasting } = told else {
                continue;
            };
            let there = *lasting || last.is_some_and(|last| number < last);
            if (there || random.below(4) < share)
                && let Some(bytes) = self.bytes.get(bytes.clone())
                && let Some(place) = disk.get_mut(*at..*at + bytes.len())
            {
                place.copy_from_slice(bytes);
            }
        }
        disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of entries: sector, flags, and bytes of one sector.
    fn log(entries: &[(u64, u64, u8)]) -> Vec<u8> {
        let mut bytes = vec![0; SECTOR];
        let count = entries.len() as u64;
        for (at, word) in [(0, MAGIC), (8, VERSION), (16, count)] {
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        for (sector, flags, fill) in entries {
            let mut head = vec![0; SECTOR];
            let sectors = u64::from(*flags & FLUSH == 0);
            for (at, word) in [(0, *sector), (8, sectors), (16, *flags)] {
                head[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            bytes.extend(head);
            if sectors > 0 {
                bytes.extend([*fill; SECTOR]);
            }
        }
        bytes
    }

    #[test]
    fn what_was_flushed_is_there_and_anything_of_the_rest() {
        let log = WriteLog::read(log(&[
            (0, 0, 1),
            (1, 0, 2),
            (0, FLUSH, 0),
            (2, 0, 3),
            (3, FUA, 4),
        ]));
        let log = log.unwrap();
        assert_eq!((log.len(), log.flushes()), (5, 1));
        let mut random = Random::new(7);
        let mut thirds = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let disk = log.after(&[0; 4 * SECTOR], 5, &mut random);
            let firsts: Vec<u8> = disk.iter().copied().step_by(SECTOR).collect();
            assert_eq!((firsts[0], firsts[1], firsts[3]), (1, 2, 4));
            thirds.insert(firsts[2]);
        }
        assert_eq!(thirds, [0, 3].into(), "with it and without it");
        let log = log.without_flushes();
        assert_eq!(log.flushes(), 0);
        let lost = (0..100).any(|_| log.after(&[0; 4 * SECTOR], 4, &mut random)[0] == 0);
        assert!(lost, "nothing holds what is not flushed");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert!(WriteLog::read(vec![0; 1024]).is_err());
        let mut cut = log(&[(0, 0, 1), (1, 0, 2)]);
        cut.truncate(3 * SECTOR);
        assert!(WriteLog::read(cut).is_err());
    }
}
