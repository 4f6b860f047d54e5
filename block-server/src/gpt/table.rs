//! Partitions.

use core::fmt::Write as _;

use heapless::{String, Vec};
use zerocopy::byteorder::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Fault, PARTITIONS};

/// Most bytes of a partition's name: 36 characters of UTF-16, each up to three bytes.
pub const NAME_MAX: usize = block_server_api::LABEL_MAX;

/// An entry (UEFI 2.10, 5.3.3).
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    kind: [u8; 16],
    guid: [u8; 16],
    first: U64,
    last: U64,
    attributes: U64,
    name: [U16; 36],
}

/// A partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    /// Its number, from 1, as in `/dev/sda1`.
    pub number: u32,
    /// Its first sector.
    pub first: u64,
    /// Its last one, not before the first.
    pub last: u64,
    /// Its label; what is no UTF-16 is replaced.
    pub name: String<NAME_MAX>,
}

impl Partition {
    /// How many sectors it has.
    #[must_use]
    pub fn sectors(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// Which partition a domains file means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup<'a> {
    /// That with this number.
    Number(u32),
    /// The only one with this label.
    Label(&'a str),
}

/// The partitions of a disk, all sound.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Table {
    partitions: Vec<Partition, PARTITIONS>,
    many: bool,
}

impl Table {
    /// The partitions by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.partitions.iter()
    }

    /// The partition that is meant; `None` where there is none, or more than one has the label.
    #[must_use]
    pub fn find(&self, which: Lookup<'_>) -> Option<&Partition> {
        let mut found = self.iter().filter(|partition| match which {
            Lookup::Number(number) => partition.number == number,
            Lookup::Label(label) => partition.name.as_str() == label,
        });
        let one = found.next()?;
        found.next().is_none().then_some(one)
    }

    /// Takes entry `number` if it is used; whether it is sound [`Table::check`] says.
    pub(super) fn note(&mut self, number: u32, entry: &[u8]) {
        let Ok((raw, _)) = Raw::ref_from_prefix(entry) else {
            return;
        };
        if raw.kind == [0; 16] {
            return;
        }
        let mut name = String::new();
        let units = raw.name.iter().map(|unit| unit.get());
        for unit in char::decode_utf16(units.take_while(|unit| *unit != 0)) {
            // 36 units of at most three bytes fit.
            let _ = name.write_char(unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let partition = Partition {
            number,
            first: raw.first.get(),
            last: raw.last.get(),
            name,
        };
        self.many |= self.partitions.push(partition).is_err();
    }

    /// Whether all partitions are within `first..=last` and apart.
    pub(super) fn check(&self, first: u64, last: u64) -> Result<(), Fault> {
        if self.many {
            return Err(Fault::Many);
        }
        for (index, partition) in self.partitions.iter().enumerate() {
            let number = partition.number;
            if partition.first < first || partition.last > last || partition.first > partition.last
            {
                return Err(Fault::Outside { number });
            }
            let mut before = self.partitions.iter().take(index);
            if let Some(other) =
                before.find(|o| partition.first <= o.last && o.first <= partition.last)
            {
                let other = other.number;
                return Err(Fault::Overlap { number, other });
            }
        }
        Ok(())
    }
}
