//! Grants that a guest maps itself: grant_table_op 0, 1, 5, 7 and 11 within one domain.

use std::collections::BTreeMap;

use proptest::prelude::*;
use xen_abi::grant::{Copy, CopyPtr, MapGrantRef, SwapGrantRef, UnmapAndReplace, UnmapGrantRef};

use super::*;

/// Where the table lies, and where mappings go: nothing else is there.
const TABLE: u64 = SHARED_INFO + 0x10_0000;
const AT: u64 = SHARED_INFO + 0x20_0000;
/// Flags of a mapping: for the CPU; not to be written.
const HOST: u32 = 2;
const READ: u32 = 4;

struct Grants<'a, 's>(&'a mut sim::Guest<'s>);

impl Grants<'_, '_> {
    fn new<'a, 's>(guest: &'a mut sim::Guest<'s>) -> Grants<'a, 's> {
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, TABLE >> 12), 0);
        Grants(guest)
    }
    fn publish(&mut self, gref: u32, flags: u16, domid: u16, frame: u64) {
        let entry = u64::from(flags) | u64::from(domid) << 16 | frame << 32;
        self.0.put(TABLE + 8 * u64::from(gref), &entry);
    }
    fn own(&mut self, gref: u32, flags: u16, frame: u64) {
        self.publish(gref, flags, self.0.domid(), frame);
    }
    fn flags(&self, gref: u32) -> u16 {
        self.0.get(TABLE + 8 * u64::from(gref))
    }
    fn element<T: zerocopy::IntoBytes + zerocopy::FromBytes + zerocopy::Immutable>(
        &mut self,
        op: u64,
        element: &T,
    ) -> T {
        self.0.put(ARGS, element);
        let at = self.0.ptr(ARGS);
        assert_eq!(self.0.hvc(GRANT_TABLE_OP, &[op, at, 1]), 0);
        self.0.get(ARGS)
    }
    fn map_of(&mut self, dom: u16, gref: u32, at: u64, flags: u32) -> Result<u32, i16> {
        let op = MapGrantRef {
            host_addr: at,
            flags,
            gref,
            dom,
            status: 99,
            handle: 0x5555,
            ..MapGrantRef::default()
        };
        let op = self.element(grant::MAP_GRANT_REF, &op);
        if op.status == status::OKAY {
            return Ok(op.handle);
        }
        assert_eq!(op.handle, 0x5555);
        Err(op.status)
    }
    fn map(&mut self, gref: u32, at: u64, flags: u32) -> Result<u32, i16> {
        self.map_of(self.0.domid(), gref, at, flags)
    }
    fn unmap(&mut self, at: u64, handle: u32) -> i16 {
        let op = UnmapGrantRef {
            host_addr: at,
            handle,
            status: 99,
            ..UnmapGrantRef::default()
        };
        self.element(grant::UNMAP_GRANT_REF, &op).status
    }
    fn replace(&mut self, at: u64, new: u64, handle: u32) -> i16 {
        let op = UnmapAndReplace {
            host_addr: at,
            new_addr: new,
            handle,
            status: 99,
            ..UnmapAndReplace::default()
        };
        self.element(grant::UNMAP_AND_REPLACE, &op).status
    }
    fn swap(&mut self, a: u32, b: u32) -> i16 {
        let op = SwapGrantRef {
            ref_a: a,
            ref_b: b,
            ..SwapGrantRef::default()
        };
        self.element(grant::SWAP_GRANT_REF, &op).status
    }
}

/// UP-7: a mapping of a grant in an extended region shows the page there; what is not mapped
/// faults, before and after.
#[test]
fn a_grant_to_oneself_is_mapped_and_unmapped() {
    in_every_way(|guest| {
        let before = reservation(guest);
        let mut g = Grants::new(guest);
        g.own(20, 1, FREE >> 12);
        g.0.put(FREE, &0x1234u64);
        assert!(!g.0.is_mapped(AT));
        let handle = g.map(20, AT, HOST).unwrap();
        assert_eq!(g.0.get::<u64>(AT), 0x1234);
        g.0.put(AT + 8, &0x4321u64);
        assert_eq!(g.0.get::<u64>(FREE + 8), 0x4321);
        assert_eq!(g.flags(20), 1 | 8 | 16, "in use, to be written");
        assert_eq!(g.swap(20, 21), status::EAGAIN);
        assert_eq!(g.swap(20, 20), status::OKAY);
        assert_eq!(reservation(g.0), before);
        assert_eq!(
            g.unmap(0, handle),
            status::OKAY,
            "at no address: nothing is done"
        );
        assert_eq!(g.unmap(FREE + 0x1000, handle), status::GENERAL_ERROR);
        assert_eq!(g.unmap(1 << 40, handle), status::GENERAL_ERROR);
        assert_eq!(g.replace(AT, 8, handle), status::GENERAL_ERROR);
        assert_eq!(g.unmap(AT, handle + 1), status::BAD_HANDLE);
        assert_eq!(g.0.get::<u64>(AT), 0x1234);
        assert_eq!(g.unmap(AT + 8, handle), status::OKAY);
        assert!(!g.0.is_mapped(AT));
        assert_eq!(g.flags(20), 1);
        assert_eq!(g.unmap(AT, handle), status::BAD_HANDLE);
        assert_eq!(g.0.get::<u64>(FREE + 8), 0x4321);
    });
}

#[test]
fn what_may_not_be_mapped_is_refused_and_marks_nothing() {
    in_every_way(|guest| {
        let (me, other) = (guest.domid(), 3 - guest.domid());
        let mut g = Grants::new(guest);
        for (gref, flags) in [
            (20, 1),
            (21, 1 | 4),
            (22, 0),
            (23, 2),
            (24, 3),
            (25, 1 | 1 << 8),
        ] {
            g.own(gref, flags, FREE >> 12);
        }
        g.publish(26, 1, 77, FREE >> 12);
        g.own(27, 1, 0x100);
        for (flags, want) in [
            (0, -3),
            (4, -3),
            (8, -3),
            (1, -1),
            (3, -1),
            (10, -1),
            (18, -1),
        ] {
            assert_eq!(g.map_of(77, 9999, AT, flags), Err(want), "{flags}");
        }
        for (dom, want) in [(77, -2), (SELF, -2), (0, -2), (other, -8)] {
            assert_eq!(g.map_of(dom, 9999, AT, HOST), Err(want), "{dom}");
        }
        for (gref, want) in [
            (512, -3),
            (u32::MAX, -3),
            (22, -1),
            (23, -1),
            (24, -1),
            (25, -1),
            (26, -1),
            (27, -9),
            (21, -1),
        ] {
            assert_eq!(g.map_of(me, gref, AT, HOST), Err(want), "{gref}");
        }
        assert_eq!(g.map(20, AT, HOST | 1 << 16), Err(-1));
        for at in [1 << 40, 1 << 52, u64::MAX] {
            assert_eq!(g.map(20, at, HOST), Err(-1));
        }
        for (gref, flags) in [(20, 1), (21, 5), (22, 0), (25, 0x101), (26, 1), (27, 1)] {
            assert_eq!(g.flags(gref), flags, "{gref}");
        }
        assert!(!g.0.is_mapped(AT));
    });
}

#[test]
fn a_mapping_for_reading_cannot_be_written() {
    in_every_way(|guest| {
        let mut g = Grants::new(guest);
        g.own(20, 1, FREE >> 12);
        g.own(21, 1 | 4, (FREE >> 12) + 1);
        g.0.put(FREE + 0x1000, &u64::from(SELF));
        let handle = g.map(21, AT, HOST | READ).unwrap();
        assert_eq!(g.flags(21), 1 | 4 | 8);
        assert_eq!(g.0.get::<u64>(AT), u64::from(SELF));
        assert!(!g.0.try_write(AT, &[1]), "a permission fault");
        if !g.0.mmu_is_on() {
            let args = [memory::CURRENT_RESERVATION, AT];
            assert_eq!(
                g.0.hvc(MEMORY_OP, &args),
                reservation(g.0),
                "read from there"
            );
            assert_eq!(g.0.hvc(XEN_VERSION, &[version::EXTRAVERSION, AT]), EFAULT);
        }
        assert_eq!(g.replace(AT, 0, handle), status::OKAY);
        assert_eq!(g.flags(21), 1 | 4);
        // One grant for reading, then for writing too, and back.
        let one = g.map(20, AT, HOST | READ).unwrap();
        assert_eq!(g.flags(20), 1 | 8);
        let two = g.map(20, AT + 0x1000, HOST).unwrap();
        assert_ne!(one, two);
        assert_eq!(g.flags(20), 1 | 8 | 16);
        assert_eq!(g.unmap(AT + 0x1000, two), status::OKAY);
        assert_eq!(g.flags(20), 1 | 8);
        assert_eq!(g.unmap(AT, one), status::OKAY);
        assert_eq!(g.flags(20), 1);
    });
}

/// BL-8: RAM that a mapping covers stays the domain's and comes back when its place is populated.
#[test]
fn mappings_over_ram_over_each_other_and_gone_from_the_physmap() {
    in_every_way(|guest| {
        let before = reservation(guest);
        let mut g = Grants::new(guest);
        let (a, b, c) = (FREE, FREE + 0x1000, FREE + 0x2000);
        for (n, page) in (0u32..).zip([a, b, c]) {
            g.own(20 + n, 1, page >> 12);
            g.0.put(page, &(0xa0 + u64::from(n)));
        }
        let one = g.map(20, c, HOST).unwrap();
        assert_eq!(g.0.get::<u64>(c), 0xa0, "over RAM");
        let two = g.map(21, c, HOST).unwrap();
        assert_eq!(g.0.get::<u64>(c), 0xa1, "over a mapping");
        assert_eq!(
            g.unmap(c, one),
            status::GENERAL_ERROR,
            "something else is there"
        );
        assert_eq!(populate(g.0, &[c >> 12]), 0);
        assert_eq!(g.unmap(c, two), status::OKAY);
        assert!(!g.0.is_mapped(c));
        assert_eq!(g.unmap(c, one), status::OKAY, "at a hole");
        assert_eq!((g.flags(20), g.flags(21)), (1, 1));
        assert_eq!(populate(g.0, &[c >> 12]), 1);
        assert_eq!(g.0.get::<u64>(c), 0xa2);
        // Removed from the physmap it is still in use.
        let three = g.map(20, AT, HOST).unwrap();
        assert_eq!(remove(g.0, AT >> 12), 0);
        assert_eq!(g.flags(20), 1 | 8 | 16);
        assert_eq!(g.unmap(AT, three), status::OKAY);
        // A grant of a mapping, and of the table itself.
        let four = g.map(20, AT, HOST).unwrap();
        g.own(30, 1, AT >> 12);
        let five = g.map(30, AT + 0x1000, HOST).unwrap();
        assert_eq!(g.0.get::<u64>(AT + 0x1000), 0xa0);
        assert_eq!(g.unmap(AT, four), status::OKAY);
        assert_eq!(
            g.0.get::<u64>(AT + 0x1000),
            0xa0,
            "the page is what was granted"
        );
        assert_eq!(g.unmap(AT + 0x1000, five), status::OKAY);
        g.own(31, 1, TABLE >> 12);
        let six = g.map(31, AT, HOST | READ).unwrap();
        assert_eq!(g.0.get::<u64>(AT + 8 * 31), g.0.get::<u64>(TABLE + 8 * 31));
        assert_eq!(g.unmap(AT, six), status::OKAY);
        assert_eq!(reservation(g.0), before);
    });
}

/// SM-5, SM-22: RAM that is given up while a grant of it is mapped stays the domain's, and counted,
/// until it is not.
#[test]
fn ram_that_is_mapped_leaves_with_its_last_mapping() {
    in_every_way(|guest| {
        let before = reservation(guest);
        let mut g = Grants::new(guest);
        let gfn = FREE >> 12;
        g.own(20, 1, gfn);
        g.0.put(FREE, &0x77u64);
        let one = g.map(20, AT, HOST).unwrap();
        let two = g.map(20, AT + 0x1000, HOST | READ).unwrap();
        assert_eq!(decrease(g.0, &[gfn + 1, gfn, gfn + 2]), 3);
        assert!(!g.0.is_mapped(FREE));
        assert_eq!(decrease(g.0, &[gfn]), 0, "once");
        assert_eq!(g.0.get::<u64>(AT), 0x77);
        assert_eq!(reservation(g.0), before - 2, "one stays");
        assert_eq!(g.unmap(AT, one), status::OKAY);
        assert_eq!(reservation(g.0), before - 2);
        assert_eq!(g.unmap(AT + 0x1000, two), status::OKAY);
        assert_eq!(reservation(g.0), before - 3);
        assert_eq!(populate(g.0, &[gfn, gfn + 1, gfn + 2]), 3);
        assert_eq!(reservation(g.0), before);
        // Taken back before that, it is as if it had not been given up.
        g.0.put(FREE, &0x88u64);
        let three = g.map(20, AT, HOST).unwrap();
        assert_eq!(
            reserve(g.0, DECREASE_RESERVATION, 2, &[gfn]),
            1,
            "in a larger extent"
        );
        assert_eq!(populate(g.0, &[gfn]), 1);
        assert_eq!(g.0.get::<u64>(FREE), 0x88);
        assert_eq!(g.unmap(AT, three), status::OKAY);
        assert_eq!(reservation(g.0), before - 3);
        assert_eq!(g.0.get::<u64>(FREE), 0x88);
        assert_eq!(populate(g.0, &[gfn + 1, gfn + 2, gfn + 3]), 3);
    });
}

#[test]
fn copies_by_reference_follow_the_entries() {
    in_every_way(|guest| {
        let me = guest.domid();
        let mut g = Grants::new(guest);
        let gfn = FREE >> 12;
        g.own(20, 1, gfn);
        g.own(21, 1 | 4, gfn + 1);
        g.own(22, 0, gfn);
        g.own(23, 1, 0x100);
        g.own(24, 1 | 1 << 8, gfn + 1);
        let copy = |g: &mut Grants<'_, '_>, from: u64, to: u64, flags: u16, offset: u16| {
            let ptr = |what, domid| CopyPtr {
                gref_or_gfn: what,
                domid,
                offset: 0,
                pad: 0,
            };
            let op = Copy {
                source: CopyPtr {
                    offset,
                    ..ptr(from, if flags & 1 != 0 { me } else { SELF })
                },
                dest: ptr(to, if flags & 2 != 0 { me } else { SELF }),
                len: 8,
                flags,
                status: 99,
                pad: 0,
            };
            g.element(grant::COPY, &op).status
        };
        g.0.put(FREE, &0x99u64);
        assert_eq!(copy(&mut g, 20, 24, 3, 0), status::OKAY);
        assert_eq!(g.0.get::<u64>(FREE + 0x1000), 0x99);
        assert_eq!(copy(&mut g, 21, gfn, 1, 0), status::OKAY);
        for (from, to, flags, offset, want) in [
            (gfn, 21, 2, 0, -1),
            (22, gfn, 1, 0, -1),
            (23, gfn, 1, 0, -9),
            (512, 23, 3, 0, -3),
            (20, 23, 3, 0, -9),
            (20, gfn, 1, 4090, -10),
            (22, gfn, 1, 4090, -1),
            (1 << 32 | 20, gfn, 1, 0, 0),
        ] {
            assert_eq!(copy(&mut g, from, to, flags, offset), want, "{from} {to}");
        }
        // Marks that the guest has set itself go with the use that would have set them.
        for (flags, frame, to, status, after) in [
            (1 | 8 | 16, gfn, false, 0, 1 | 16),
            (1 | 8 | 16, gfn, true, 0, 1),
            (1 | 4 | 8 | 16, gfn, true, -1, 1 | 4 | 8 | 16),
            (8 | 16, gfn, false, -1, 8 | 16),
            (1 | 8 | 16, 0x100, false, -9, 1 | 16),
            (1 | 8 | 16, 0x100, true, -9, 1),
        ] {
            g.own(25, flags, frame);
            let got = if to {
                copy(&mut g, gfn + 3, 25, 2, 0)
            } else {
                copy(&mut g, 25, gfn + 3, 1, 0)
            };
            assert_eq!((got, g.flags(25)), (status, after), "{flags:#x} {to}");
        }
        // In use, a grant is the page it was mapped as, whatever its entry says meanwhile.
        let handle = g.map(20, AT, HOST | READ).unwrap();
        g.own(20, 0, gfn + 5);
        g.0.put(FREE, &0xabu64);
        assert_eq!(copy(&mut g, 20, gfn + 2, 1, 0), status::OKAY);
        assert_eq!(g.0.get::<u64>(FREE + 0x2000), 0xab);
        assert_eq!(
            copy(&mut g, gfn, 20, 2, 0),
            status::GENERAL_ERROR,
            "another page now"
        );
        assert_eq!(g.unmap(AT, handle), status::OKAY);
        assert_eq!(copy(&mut g, 20, gfn + 2, 1, 0), status::GENERAL_ERROR);
    });
}

#[test]
fn handles_run_out_and_come_back() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let mut g = Grants::new(&mut guest);
    g.own(20, 1, FREE >> 12);
    let most = memory_server_api::ALIASES;
    let handles: Vec<u32> = (0..most)
        .map(|n| g.map(20, AT + 0x1000 * u64::from(n), HOST).unwrap())
        .collect();
    assert_eq!(g.map(20, AT - 0x1000, HOST), Err(status::NO_SPACE));
    for (n, handle) in (0..).zip(handles) {
        assert_eq!(g.unmap(AT + 0x1000 * n, handle), status::OKAY);
    }
    assert_eq!(g.flags(20), 1);
    assert!(g.map(20, AT, HOST).is_ok());
    sys.assert_consistent();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Map { from: u64, at: u64, write: bool },
    Unmap(usize),
    Decrease(u64),
    Populate(u64),
    Remove(u64),
    Info(u64),
}

/// Places that steps are about: a few pages of RAM, and a few of nothing.
fn place() -> impl Strategy<Value = u64> {
    prop_oneof![3 => (0u64..6).prop_map(|n| (FREE >> 12) + n), 2 => (0u64..4).prop_map(|n| (AT >> 12) + n)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (place(), place(), any::<bool>()).prop_map(|(from, at, write)| Step::Map { from, at, write }),
        3 => (0usize..8).prop_map(Step::Unmap),
        2 => place().prop_map(Step::Decrease),
        2 => place().prop_map(Step::Populate),
        1 => place().prop_map(Step::Remove),
        1 => place().prop_map(Step::Info),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// SM-5, BL-8: whatever a guest does with grants of its own pages, its maps and the server's
    /// records agree, no page is lost, and each mapping shows the page it was made of.
    #[test]
    fn mappings_and_ballooning_in_any_order(heap in any::<bool>(), steps in proptest::collection::vec(step(), 1..60)) {
        let mut sys = System::two();
        let index = usize::from(heap);
        let mut live: Vec<(u32, u64)> = Vec::new();
        let mut shown: BTreeMap<u32, u64> = BTreeMap::new();
        {
            let mut guest = sys.guest(index);
            for n in 0..6 {
                guest.put(FREE + 0x1000 * n, &(0x1000 + n));
            }
            Grants::new(&mut guest);
        }
        for step in steps {
            let mut guest = sys.guest(index);
            let mut g = Grants(&mut guest);
            match step {
                Step::Map { from, at, write } => {
                    let gref = 20 + (from & 0xf) as u32 + if from >= AT >> 12 { 16 } else { 0 };
                    if g.flags(gref) & 8 == 0 {
                        g.own(gref, 1, from);
                    }
                    let seen = g.0.is_mapped(from << 12).then(|| g.0.get::<u64>(from << 12));
                    let flags = if write { HOST } else { HOST | READ };
                    let in_use = g.flags(gref) & 8 != 0;
                    match g.map(gref, at << 12, flags) {
                        Ok(handle) => {
                            live.push((handle, at));
                            let value = g.0.get::<u64>(at << 12);
                            if !in_use {
                                prop_assert_eq!(Some(value), seen);
                            }
                            shown.insert(handle, value);
                        }
                        Err(status) => prop_assert!(status == -9 && seen.is_none() || in_use || seen.is_none(), "{status}"),
                    }
                }
                Step::Unmap(n) if !live.is_empty() => {
                    let n = n % live.len();
                    let (handle, at) = live[n];
                    let seen = g.0.is_mapped(at << 12).then(|| g.0.get::<u64>(at << 12));
                    match g.unmap(at << 12, handle) {
                        0 => {
                            prop_assert!(seen.is_none() || seen == shown.get(&handle).copied() || at >= AT >> 12);
                            live.remove(n);
                            shown.remove(&handle);
                        }
                        other => prop_assert_eq!(other, -1, "something else is there"),
                    }
                }
                Step::Unmap(_) => {}
                Step::Decrease(gfn) => {
                    decrease(g.0, &[gfn]);
                }
                Step::Populate(gfn) => {
                    if populate(g.0, &[gfn]) == 1 {
                        let value = g.0.get::<u64>(gfn << 12);
                        if value == 0 {
                            g.0.put(gfn << 12, &(0x2000 + gfn));
                        }
                    }
                }
                Step::Remove(gfn) => {
                    remove(g.0, gfn);
                }
                Step::Info(gfn) => {
                    g.0.add_to_physmap(space::SHARED_INFO, 0, gfn);
                }
            }
            sys.assert_consistent();
        }
        // In the end everything can be had back.
        let mut guest = sys.guest(index);
        let mut g = Grants(&mut guest);
        for (handle, _) in live {
            prop_assert_eq!(g.unmap(AT + 0x80_0000, handle), 0);
        }
        for n in 0..6 {
            let gfn = (FREE >> 12) + n;
            remove(g.0, gfn);
            prop_assert_eq!(populate(g.0, &[gfn]), 1);
        }
        prop_assert_eq!(reservation(g.0), 4096);
        sys.assert_consistent();
    }
}
