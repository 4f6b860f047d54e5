//! The rules, one by one and against a model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use soft_caps::{
    CHUNK, CNode, Caps, Chunk, Error, Made, Mapping, Object, Place, Space, directory_len,
};

const OWN: CNode = CNode(0);
const GRANT: CNode = CNode(1);
const SLOTS: u32 = 2048;
/// [`CHUNK`] as a number of slots.
const CHUNK_SLOTS: u32 = 64;
const _: () = assert!(CHUNK == CHUNK_SLOTS as usize);
const BASE: u64 = 0x4000_0000;

fn own(slot: u32) -> Place {
    Place { cnode: OWN, slot }
}
fn grant(slot: u32) -> Place {
    Place { cnode: GRANT, slot }
}
fn table(chunks: usize) -> Caps<'static> {
    let mut caps = Caps::new(vec![Chunk::EMPTY; chunks].leak());
    for want in [OWN, GRANT] {
        let directory = vec![7_u16; directory_len(SLOTS as usize)].leak();
        assert_eq!(caps.add_cnode(directory), Ok(want));
    }
    caps.insert_untyped(own(0), BASE, 24, true)
        .expect("the slot is empty");
    caps
}
fn at(address: u64) -> Option<Mapping> {
    Some(Mapping {
        space: Space::Guest,
        at: address,
    })
}

#[test]
fn objects_follow_each_other_aligned_and_an_untyped_ends() {
    let mut caps = table(64);
    let page = caps.retype(own(0), Object::Page, own(1), 1);
    assert_eq!(
        page,
        Ok(Made {
            paddr: BASE,
            bytes: 0x1000,
            device: true
        })
    );
    let block = caps
        .retype(own(0), Object::Block, own(2), 2)
        .map(|made| (made.paddr, made.bytes));
    assert_eq!(block, Ok((BASE + 0x20_0000, 0x40_0000)));
    assert_eq!(caps.get(own(3)).map(|cap| cap.paddr), Ok(BASE + 0x40_0000));
    assert_eq!(
        caps.retype(own(0), Object::Block, own(4), 6),
        Err(Error::NoRoom)
    );
    assert_eq!(
        caps.get(own(4)),
        Err(Error::Empty),
        "a refused retype leaves nothing"
    );
    assert!(caps.retype(own(0), Object::Block, own(4), 5).is_ok());
    assert_eq!(
        caps.retype(own(0), Object::Page, own(9), 1),
        Err(Error::NoRoom)
    );
}

#[test]
fn what_was_revoked_can_be_neither_seen_nor_mapped_nor_copied() {
    let mut caps = table(64);
    caps.retype(own(0), Object::Untyped { size_bits: 21 }, own(1), 2)
        .unwrap();
    caps.retype(own(1), Object::Block, own(3), 1).unwrap();
    caps.mint(own(3), grant(0)).unwrap();
    caps.mint(own(3), grant(1)).unwrap();
    caps.set_mapping(grant(0), at(0x8000_0000)).unwrap();
    let mut gone = vec![];
    caps.revoke(own(1), |cnode, cap, mapping| {
        gone.push((cnode, cap.paddr, mapping.at))
    })
    .unwrap();
    assert_eq!(gone, [(GRANT, BASE, 0x8000_0000)]);
    for place in [own(3), grant(0), grant(1)] {
        assert_eq!(caps.get(place), Err(Error::Empty));
        assert_eq!(caps.set_mapping(place, at(0)), Err(Error::Empty));
    }
    assert_eq!(caps.mint(own(3), grant(2)), Err(Error::Empty));
    // The untyped itself and its sibling are still there, and it starts at its beginning again.
    assert_eq!(caps.get(own(2)).map(|cap| cap.paddr), Ok(BASE + 0x20_0000));
    assert_eq!(
        caps.retype(own(1), Object::Page, own(3), 256)
            .map(|made| made.paddr),
        Ok(BASE)
    );
    assert_eq!(
        caps.retype(own(1), Object::Page, own(259), 256)
            .map(|made| made.paddr),
        Ok(BASE + 0x10_0000)
    );
}

#[test]
fn objects_of_one_retype_may_lie_in_chunks_that_do_not_follow_each_other() {
    let mut caps = table(8);
    // The second chunk has memory before the first, with another CNode's between them.
    for place in [own(2 * CHUNK_SLOTS), grant(0), own(CHUNK_SLOTS)] {
        caps.retype(own(0), Object::Page, place, 1).unwrap();
    }
    let (first, count) = (CHUNK_SLOTS + 1, CHUNK_SLOTS + 9);
    assert_eq!(
        caps.retype(own(0), Object::Page, own(first), count),
        Err(Error::Occupied)
    );
    let (first, count) = (CHUNK_SLOTS + 1, CHUNK_SLOTS - 1);
    caps.retype(own(0), Object::Page, own(first), count)
        .unwrap();
    let (rest, more) = (2 * CHUNK_SLOTS + 1, CHUNK_SLOTS + 9);
    caps.retype(own(0), Object::Page, own(rest), more).unwrap();
    let mut made = (first..first + count).chain(rest..rest + more);
    assert!(
        (3..)
            .zip(&mut made)
            .all(|(n, slot)| { caps.get(own(slot)).map(|cap| cap.paddr) == Ok(BASE + n * 0x1000) })
    );
    assert_eq!(caps.get(grant(1)), Err(Error::Empty), "another CNode's");
    let (across, slots) = (4 * CHUNK_SLOTS - 3, 6);
    caps.retype(own(0), Object::Page, grant(5 * CHUNK_SLOTS), 1)
        .unwrap();
    caps.retype(own(0), Object::Page, own(across), slots)
        .unwrap();
    assert_eq!(caps.get(own(across + 5)).map(|cap| cap.mapping), Ok(None));
    assert_eq!(caps.get(grant(5 * CHUNK_SLOTS + 1)), Err(Error::Empty));
}

#[test]
fn copies_are_children_of_their_original_alone() {
    let mut caps = table(64);
    caps.retype(own(0), Object::Page, own(1), 2).unwrap();
    caps.mint(own(1), grant(0)).unwrap();
    caps.mint(own(2), grant(1)).unwrap();
    caps.revoke(own(1), |_, _, _| panic!("nothing is mapped"))
        .unwrap();
    assert_eq!(caps.get(grant(0)), Err(Error::Empty));
    assert!(caps.get(grant(1)).is_ok() && caps.get(own(1)).is_ok());
    assert_eq!(
        caps.mint(own(0), grant(0)),
        Err(Error::WrongKind),
        "an untyped"
    );
    caps.retype(own(0), Object::Table, grant(5), 1).unwrap();
    assert_eq!(
        caps.mint(grant(5), grant(6)),
        Err(Error::WrongKind),
        "a page table"
    );
}

#[test]
fn full_slots_missing_slots_and_used_up_memory_are_refused_without_a_trace() {
    let mut caps = table(4);
    caps.retype(own(0), Object::Page, grant(3), 1).unwrap();
    let before: Vec<_> = caps.iter().collect();
    assert_eq!(
        caps.retype(own(0), Object::Page, grant(1), 3),
        Err(Error::Occupied)
    );
    assert_eq!(
        caps.retype(own(0), Object::Page, grant(SLOTS - 1), 2),
        Err(Error::NoSlot)
    );
    assert_eq!(
        caps.retype(
            own(0),
            Object::Page,
            grant(CHUNK_SLOTS - 1),
            2 + CHUNK_SLOTS
        ),
        Err(Error::NoNodes)
    );
    assert_eq!(
        caps.get(Place {
            cnode: CNode(2),
            slot: 0
        }),
        Err(Error::NoSlot)
    );
    assert_eq!(caps.get(own(SLOTS)), Err(Error::NoSlot));
    assert_eq!(
        caps.insert_untyped(own(0), BASE, 12, false),
        Err(Error::Occupied)
    );
    assert_eq!(
        caps.insert_untyped(own(9), BASE + 0x1000, 13, false),
        Err(Error::Range)
    );
    assert_eq!(
        caps.insert_untyped(own(9), 1 << 40, 12, false),
        Err(Error::Range)
    );
    assert_eq!(caps.iter().collect::<Vec<_>>(), before);
    let next = caps
        .retype(own(0), Object::Page, grant(4), 1)
        .map(|made| made.paddr);
    assert_eq!(next, Ok(BASE + 0x1000), "refusals use nothing up");
}

/// The same rules over maps.
#[derive(Default)]
struct Model {
    caps: BTreeMap<Place, (Object, u64, Option<Place>)>,
    used: BTreeMap<Place, u64>,
    mapped: BTreeMap<Place, u64>,
}

impl Model {
    fn children(&self, of: Place) -> Vec<Place> {
        self.caps
            .iter()
            .filter(|(_, cap)| cap.2 == Some(of))
            .map(|(place, _)| *place)
            .collect()
    }
    fn retype(&mut self, from: Place, object: Object, into: Place, count: u32) -> bool {
        let Some(&(Object::Untyped { size_bits }, paddr, _)) = self.caps.get(&from) else {
            return false;
        };
        let used = if self.children(from).is_empty() {
            0
        } else {
            self.used[&from]
        };
        let size = 1_u64 << object.size_bits();
        let start = used.next_multiple_of(size);
        let end = start + size * u64::from(count);
        let places: Vec<_> = (0..count)
            .map(|n| Place {
                slot: into.slot + n,
                ..into
            })
            .collect();
        if end > 1 << size_bits || places.iter().any(|place| self.caps.contains_key(place)) {
            return false;
        }
        self.used.insert(from, end);
        for (place, n) in places.into_iter().zip(0..) {
            self.caps
                .insert(place, (object, paddr + start + n * size, Some(from)));
        }
        true
    }
    fn revoke(&mut self, place: Place) -> BTreeSet<u64> {
        let mut gone = BTreeSet::new();
        for child in self.children(place) {
            gone.extend(self.revoke(child));
            self.caps.remove(&child);
            gone.extend(self.mapped.remove(&child));
        }
        gone
    }
}

#[derive(Clone, Debug)]
enum Step {
    Retype(Place, Object, Place, u32),
    Mint(Place, Place),
    Revoke(Place),
    Map(Place),
}

fn place() -> impl Strategy<Value = Place> {
    (0..2_u8, 0..150_u32).prop_map(|(cnode, slot)| Place {
        cnode: CNode(cnode),
        slot,
    })
}
fn object() -> impl Strategy<Value = Object> {
    prop_oneof![
        (12..23_u8).prop_map(|size_bits| Object::Untyped { size_bits }),
        Just(Object::Page),
        Just(Object::Block),
        Just(Object::Table),
    ]
}
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (place(), object(), place(), 1..9_u32).prop_map(|(from, o, into, n)| Step::Retype(from, o, into, n)),
        1 => (object(), place(), 1..9_u32).prop_map(|(o, into, n)| Step::Retype(own(0), o, into, n)),
        3 => (place(), place()).prop_map(|(from, into)| Step::Mint(from, into)),
        1 => place().prop_map(Step::Revoke),
        2 => place().prop_map(Step::Map),
    ]
}

proptest! {
    #[test]
    fn behaves_as_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut caps = table(64);
        let mut model = Model::default();
        model.caps.insert(own(0), (Object::Untyped { size_bits: 24 }, BASE, None));
        let mut next = 0;
        for step in steps {
            match step {
                Step::Retype(from, object, into, count) => {
                    prop_assert_eq!(caps.retype(from, object, into, count).is_ok(), model.retype(from, object, into, count));
                }
                Step::Mint(from, into) => {
                    let original = model.caps.get(&from).copied().filter(|cap| cap.0.is_frame());
                    let expected = original.filter(|_| !model.caps.contains_key(&into));
                    prop_assert_eq!(caps.mint(from, into).is_ok(), expected.is_some());
                    if let Some((object, paddr, _)) = expected {
                        model.caps.insert(into, (object, paddr, Some(from)));
                    }
                }
                Step::Revoke(place) => {
                    let mut gone = BTreeSet::new();
                    let done = caps.revoke(place, |_, _, mapping| _ = gone.insert(mapping.at));
                    prop_assert_eq!(done.is_ok(), model.caps.contains_key(&place));
                    if done.is_ok() {
                        prop_assert_eq!(gone, model.revoke(place));
                    }
                }
                Step::Map(place) => {
                    let frame = model.caps.get(&place).is_some_and(|cap| !matches!(cap.0, Object::Untyped { .. }));
                    next += 0x1000;
                    prop_assert_eq!(caps.set_mapping(place, at(next)).is_ok(), frame);
                    if frame {
                        model.mapped.insert(place, next);
                    }
                }
            }
            let here: Vec<_> = caps.iter().map(|(place, cap)| (place, cap.object, cap.paddr)).collect();
            let there: Vec<_> = model.caps.iter().map(|(place, cap)| (*place, cap.0, cap.1)).collect();
            prop_assert_eq!(here, there);
        }
    }
}

#[test]
fn a_copy_is_deleted_alone() {
    let mut caps = table(64);
    caps.retype(own(0), Object::Page, own(1), 2).unwrap();
    for slot in 10..13 {
        caps.mint(own(1), grant(slot)).unwrap();
    }
    caps.mint(own(2), grant(20)).unwrap();
    // In the middle, at the end, again; a copy of something else is left alone.
    assert_eq!(caps.delete(own(1), grant(11)), Ok(()));
    assert_eq!(caps.get(grant(11)), Err(Error::Empty));
    assert_eq!(caps.delete(own(1), grant(11)), Ok(()));
    assert_eq!(caps.delete(own(1), grant(20)), Err(Error::WrongKind));
    assert_eq!(caps.delete(own(2), grant(10)), Err(Error::WrongKind));
    assert_eq!(
        caps.delete(own(0), own(1)),
        Err(Error::WrongKind),
        "it has copies"
    );
    assert_eq!(caps.delete(own(3), grant(10)), Err(Error::Empty));
    for slot in [10, 12] {
        assert!(caps.get(grant(slot)).is_ok());
        assert_eq!(caps.delete(own(1), grant(slot)), Ok(()));
    }
    assert_eq!(caps.delete(own(0), own(1)), Ok(()));
    // The list is whole: the other page is still found, and goes with the untyped's revocation.
    caps.mint(own(2), grant(21)).unwrap();
    let mut gone = 0;
    caps.revoke(own(0), |_, _, _| gone += 1).unwrap();
    assert_eq!(caps.get(grant(21)), Err(Error::Empty));
    assert_eq!((caps.get(own(2)), gone), (Err(Error::Empty), 0));
}
