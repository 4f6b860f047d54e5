use proptest::prelude::*;

use super::*;
use crate::testing::{Disk, Entry};

fn read(disk: &Disk) -> Reader {
    let mut reader = Reader::new(disk.sectors());
    let mut pieces = 0;
    while let Some(piece) = reader.next() {
        assert!(piece.count >= 1 && piece.count <= PIECE);
        assert!(piece.sector + u64::from(piece.count) <= disk.sectors());
        reader.give(disk.piece(piece));
        pieces += 1;
        assert!(pieces < 3000, "no end");
    }
    reader
}

fn faults(disk: &Disk) -> Option<Fault> {
    read(disk).table().err()
}

const ROOT: Entry = Entry {
    first: 2048,
    last: 4095,
    name: "root",
};
const DATA: Entry = Entry {
    first: 4096,
    last: 6000,
    name: "data",
};

#[test]
fn partitions_are_found_by_number_and_label() {
    let disk = Disk::new(8192, &[ROOT, DATA]);
    let reader = read(&disk);
    let (table, fault) = reader.table().unwrap();
    assert_eq!(fault, None);
    assert_eq!(table.iter().count(), 2);
    let root = table.find(Lookup::Label("root")).unwrap();
    assert_eq!((root.number, root.first, root.sectors()), (1, 2048, 2048));
    assert_eq!(table.find(Lookup::Number(2)).unwrap().name, "data");
    assert_eq!(table.find(Lookup::Number(3)), None);
    assert_eq!(table.find(Lookup::Label("swap")), None);
}

#[test]
fn a_label_that_two_have_means_neither() {
    let twin = Entry {
        name: "root",
        ..DATA
    };
    let disk = Disk::new(8192, &[ROOT, twin]);
    let reader = read(&disk);
    let (table, _) = reader.table().unwrap();
    assert_eq!(table.find(Lookup::Label("root")), None);
    assert!(table.find(Lookup::Number(2)).is_some());
}

#[test]
fn the_last_copy_serves_where_the_first_is_damaged() {
    let mut disk = Disk::new(8192, &[ROOT]);
    disk.bytes[SECTOR + 60] ^= 1;
    let reader = read(&disk);
    let (table, fault) = reader.table().unwrap();
    assert_eq!(fault, Some(Fault::HeaderSum));
    assert!(table.find(Lookup::Label("root")).is_some());

    let mut disk = Disk::new(8192, &[ROOT]);
    disk.bytes[2 * SECTOR + 40] ^= 1;
    assert_eq!(read(&disk).table().unwrap().1, Some(Fault::EntriesSum));
    // Both copies: the first one's fault is told.
    let last = disk.bytes.len() - 1;
    disk.bytes[last - SECTOR + 1 + 57] ^= 1;
    assert_eq!(faults(&disk), Some(Fault::EntriesSum));
}

#[test]
fn sectors_that_cannot_be_read_are_no_table() {
    let disk = Disk::new(8192, &[ROOT]);
    let mut reader = Reader::new(disk.sectors());
    reader.give(None);
    assert_eq!(reader.next().unwrap().sector, 8191);
    while let Some(piece) = reader.next() {
        reader.give(disk.piece(piece));
    }
    assert_eq!(reader.table().unwrap().1, Some(Fault::Unreadable));
    let mut reader = Reader::new(disk.sectors());
    while reader.next().is_some() {
        reader.give(Some(&[0; 3]));
    }
    assert_eq!(reader.table(), Err(Fault::Unreadable));
    assert_eq!(Reader::new(5).table(), Err(Fault::Small));
}

#[test]
fn an_mbr_that_others_would_read_is_refused() {
    let mut disk = Disk::new(8192, &[ROOT]);
    disk.bytes[446 + 16 + 4] = 0x83;
    assert_eq!(faults(&disk), Some(Fault::NotProtective));
    let disk = Disk::blank(8192);
    assert_eq!(faults(&disk), Some(Fault::NotProtective));
}

#[test]
fn partitions_overlap_nothing() {
    let across = Entry {
        first: 4095,
        ..DATA
    };
    let disk = Disk::new(8192, &[ROOT, across]);
    let (number, other) = (2, 1);
    assert_eq!(faults(&disk), Some(Fault::Overlap { number, other }));
    for (first, last) in [(2, 40), (33, 40), (8158, 8159), (100, 99), (40, u64::MAX)] {
        let name = "x";
        let disk = Disk::new(8192, &[Entry { first, last, name }]);
        assert_eq!(faults(&disk), Some(Fault::Outside { number: 1 }), "{first}");
    }
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    // Where, how many bytes, and what is written there; the checksum is right.
    let wrong: [(usize, &[u8]); 12] = [
        (12, &[91, 0, 0, 0]),
        (12, &[0, 4, 0, 0]),
        (24, &[2, 0, 0, 0, 0, 0, 0, 0]),
        (32, &[0; 8]),
        (32, &[0xff; 8]),
        (40, &[33, 0, 0, 0, 0, 0, 0, 0]),
        (48, &[0xff, 0x1f, 0, 0, 0, 0, 0, 0]),
        (72, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (72, &[0xff; 8]),
        (80, &[0, 0, 0, 0]),
        (80, &[0xff, 0xff, 0xff, 0xff]),
        (84, &[100, 0, 0, 0]),
    ];
    for (at, bytes) in wrong {
        let mut disk = Disk::new(8192, &[ROOT]);
        disk.patch_headers(at, bytes);
        // Of the last copy not all of these are wrong.
        let reader = read(&disk);
        let fault = reader.table().map_or_else(Some, |(_, fault)| fault);
        assert!(
            matches!(fault, Some(Fault::Header | Fault::HeaderSum)),
            "{at} {bytes:?}: {fault:?}"
        );
    }
}

proptest! {
    /// Whatever is on the disk: the reader stays within it, ends, and what it finds is within the
    /// disk and apart.
    #[test]
    fn any_damage_is_survived(
        hits in prop::collection::vec((0usize..40 * SECTOR, any::<u8>()), 0..8),
        sums in any::<bool>(),
    ) {
        let mut disk = Disk::new(8192, &[ROOT, DATA]);
        for (at, byte) in hits {
            disk.bytes[at] = byte;
        }
        if sums {
            disk.patch_headers(88, &[]);
        }
        if let Ok((table, _)) = read(&disk).table() {
            let all: std::vec::Vec<_> = table.iter().collect();
            for partition in &all {
                prop_assert!(partition.first >= 3 && partition.last < 8191);
                let others = all.iter().filter(|o| o.number != partition.number);
                for other in others {
                    prop_assert!(other.last < partition.first || partition.last < other.first);
                }
            }
        }
    }
}
