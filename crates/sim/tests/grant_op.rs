//! grant_table_op as a guest makes it.
#![allow(missing_docs, reason = "tests")]

mod memory_guest;

use guest_mem::Window;
use hv_types::WindowAddr;
use memory_server_api::Extra;
use sim::caps::Faults;
use xen_abi::grant::{
    self, CacheFlush, Copy, CopyPtr, EntryV1, QuerySize, SetupTable, SwapGrantRef, status,
};
use xen_abi::memory::space;
use xen_abi::{Errno, GuestHandle, number};

use memory_guest::*;

#[test]
fn the_grant_table_grows_by_mapping_and_is_told_by_query() {
    let mut g = Guest::new(Kind::Static);
    let query = |g: &mut Guest| {
        assert_eq!(
            g.grant_op(
                grant::QUERY_SIZE,
                &QuerySize {
                    dom: SELF,
                    ..QuerySize::default()
                },
                1
            ),
            0
        );
        let q: QuerySize = g.get(ARG);
        (q.nr_frames, q.max_nr_frames, q.status)
    };
    assert_eq!(query(&mut g), (1, 4, status::OKAY));
    assert_eq!(g.add(space::GRANT_TABLE, 0, 0x38000), 0);
    assert_eq!(g.add(space::GRANT_TABLE, 0, 0x38001), minus(Errno::Ebusy));
    assert_eq!(g.add(space::GRANT_TABLE, 2, 0x38002), 0);
    assert_eq!(query(&mut g), (3, 4, status::OKAY));
    g.write(0x38002, 7);
    assert_eq!(
        g.host
            .window
            .load_u8(WindowAddr::extra(Extra::GrantFrame(2).index(), 0)),
        7
    );
    assert_eq!(g.current(), 4096, "grant frames are not RAM (EX-4)");

    let setup = SetupTable {
        dom: SELF,
        nr_frames: 4,
        frame_list: GuestHandle::new(hv_types::Gva::new(LIST)),
        ..SetupTable::default()
    };
    assert_eq!(g.grant_op(grant::SETUP_TABLE, &setup, 1), 0);
    assert_eq!(g.get::<SetupTable>(ARG).status, status::OKAY);
    assert_eq!(
        g.get::<[u64; 4]>(LIST),
        [0x38000, u64::MAX, 0x38002, u64::MAX]
    );
    assert_eq!(query(&mut g), (4, 4, status::OKAY));
    assert_eq!(
        g.grant_op(
            grant::SETUP_TABLE,
            &SetupTable {
                nr_frames: 5,
                ..setup
            },
            1
        ),
        0
    );
    assert_eq!(g.get::<SetupTable>(ARG).status, status::GENERAL_ERROR);
    assert_eq!(
        g.grant_op(grant::SETUP_TABLE, &SetupTable { dom: 9, ..setup }, 1),
        0
    );
    assert_eq!(g.get::<SetupTable>(ARG).status, status::BAD_DOMAIN);
    let bad_list = SetupTable {
        frame_list: GuestHandle::new(hv_types::Gva::new(HOLE)),
        ..setup
    };
    assert_eq!(g.grant_op(grant::SETUP_TABLE, &bad_list, 1), 0);
    assert_eq!(g.get::<SetupTable>(ARG).status, status::BAD_VIRT_ADDR);
    assert_eq!(
        g.grant_op(grant::SETUP_TABLE, &SetupTable { dom: 1, ..setup }, 1),
        0
    );
    assert_eq!(g.get::<SetupTable>(ARG).status, status::PERMISSION_DENIED);
    for op in [
        grant::SETUP_TABLE,
        grant::QUERY_SIZE,
        grant::GET_STATUS_FRAMES,
    ] {
        for count in [0, 2] {
            assert_eq!(g.grant_op(op, &setup, count), minus(Errno::Einval));
        }
    }
    assert_eq!(g.memory.dump().matches("grant frame").count(), 4);
}

#[test]
fn growth_that_fails_leaves_the_table_as_it_was_ex_5() {
    let mut g = Guest::new(Kind::Static);
    let before = g.memory.usage(D0).extra;
    let operations = g.memory.machine().look().operations;
    // The first new frame works, a later one does not.
    g.memory.machine().change().faults = Faults {
        kernel: Some(4),
        mapping: None,
        ..Faults::default()
    };
    assert_eq!(g.add(space::GRANT_TABLE, 3, 0x38000), minus(Errno::Einval));
    assert!(g.memory.machine().look().operations > operations + 4);
    assert_eq!(g.memory.usage(D0).extra, before);
    assert_eq!(g.add(space::GRANT_TABLE, 3, 0x38000), 0);
    assert_eq!(g.memory.usage(D0).extra, before + 3);
}

#[test]
fn grant_versions_are_what_makes_linux_use_version_1() {
    let mut g = Guest::new(Kind::Heap);
    for (version, result) in [
        (1u32, 0),
        (2, minus(Errno::Enosys)),
        (0, minus(Errno::Einval)),
        (3, minus(Errno::Einval)),
    ] {
        assert_eq!(g.grant_op(grant::SET_VERSION, &version, 1), result);
        assert_eq!(g.get::<u32>(ARG), 1, "the version in use is written back");
    }
    let ask = grant::GetVersion {
        dom: SELF,
        pad: 0,
        version: 9,
    };
    assert_eq!(g.grant_op(grant::GET_VERSION, &ask, 1), 0);
    assert_eq!(g.get::<grant::GetVersion>(ARG).version, 1);
    assert_eq!(
        g.grant_op(grant::GET_VERSION, &grant::GetVersion { dom: 4, ..ask }, 1),
        minus(Errno::Esrch)
    );
    let frames = grant::GetStatusFrames {
        nr_frames: 1,
        dom: SELF,
        ..grant::GetStatusFrames::default()
    };
    assert_eq!(g.grant_op(grant::GET_STATUS_FRAMES, &frames, 1), 0);
    assert_eq!(
        g.get::<grant::GetStatusFrames>(ARG).status,
        status::GENERAL_ERROR
    );
}

#[test]
fn grant_commands_are_checked_before_their_arrays() {
    let mut g = Guest::new(Kind::Heap);
    let op = |g: &mut Guest, cmd, count| {
        g.call(number::GRANT_TABLE_OP, [cmd, HOLE, count, 0, 0])
            .unwrap()
    };
    assert_eq!(op(&mut g, grant::DUMP_TABLE, 1), minus(Errno::Enosys));
    assert_eq!(op(&mut g, grant::TRANSFER, 1), minus(Errno::Eopnotsupp));
    assert_eq!(op(&mut g, 13, 1), minus(Errno::Enosys));
    assert_eq!(op(&mut g, 0xfff, 1), minus(Errno::Enosys));
    assert_eq!(
        op(&mut g, grant::QUERY_SIZE | 1 << 12, 1),
        minus(Errno::Einval)
    );
    for cmd in [0, 1, 5, 7, 11, 12] {
        assert_eq!(
            op(&mut g, cmd, 0x8000_0000),
            minus(Errno::Einval),
            "a negative count"
        );
        assert_eq!(op(&mut g, cmd, 0), 0);
        assert_eq!(op(&mut g, cmd, 1), minus(Errno::Efault));
        assert_eq!(op(&mut g, cmd, 0x7fff_ffff), minus(Errno::Efault));
    }
}

#[test]
fn grants_of_domains_that_do_not_exist_are_answered_in_the_status() {
    let mut g = Guest::new(Kind::Heap);
    let map = grant::MapGrantRef {
        flags: grant::map_flags::HOST_MAP,
        dom: 9,
        host_addr: HOLE,
        ..grant::MapGrantRef::default()
    };
    let cases = [
        (map, status::BAD_DOMAIN),
        (grant::MapGrantRef { flags: 0, ..map }, status::BAD_GNTREF),
        (
            grant::MapGrantRef {
                flags: grant::map_flags::HOST_MAP | grant::map_flags::CONTAINS_PTE,
                ..map
            },
            status::GENERAL_ERROR,
        ),
        (
            grant::MapGrantRef { dom: DOMID, ..map },
            status::GENERAL_ERROR,
        ),
    ];
    for (op, expected) in cases {
        assert_eq!(g.grant_op(grant::MAP_GRANT_REF, &op, 1), 0);
        assert_eq!(g.get::<grant::MapGrantRef>(ARG).status, expected);
    }
    // A hundred at once, in parts.
    for n in 0..100 {
        g.put(LIST + 24 * n, &grant::UnmapGrantRef::default());
    }
    assert_eq!(
        g.call(
            number::GRANT_TABLE_OP,
            [grant::UNMAP_GRANT_REF, LIST, 100, 0, 0]
        ),
        Ok(0)
    );
    assert_eq!(g.rounds, 4);
    assert!(
        (0..100).all(|n| g.get::<grant::UnmapGrantRef>(LIST + 24 * n).status == status::BAD_HANDLE)
    );
}

#[test]
fn copies_between_own_frames_work_and_others_are_refused() {
    let mut g = Guest::new(Kind::Heap);
    let ptr = |gfn, offset| CopyPtr {
        gref_or_gfn: gfn,
        domid: SELF,
        offset,
        pad: 0,
    };
    let copy = |source, dest, len| Copy {
        source,
        dest,
        len,
        ..Copy::default()
    };
    g.put(FREE << 12, &[1u8, 2, 3, 4, 5, 6, 7, 8]);
    let cases = [
        (copy(ptr(FREE, 0), ptr(FREE + 1, 16), 8), status::OKAY),
        (copy(ptr(FREE, 0), ptr(FREE, 2), 6), status::OKAY),
        (
            copy(ptr(FREE, 4090), ptr(FREE + 1, 0), 8),
            status::BAD_COPY_ARG,
        ),
        (copy(ptr(HOLE >> 12, 0), ptr(FREE, 0), 8), status::BAD_PAGE),
        (copy(ptr(FREE, 0), ptr(u64::MAX, 0), 8), status::BAD_PAGE),
        (
            copy(
                ptr(FREE, 0),
                CopyPtr {
                    domid: 9,
                    ..ptr(FREE, 0)
                },
                8,
            ),
            status::PERMISSION_DENIED,
        ),
        (
            Copy {
                flags: grant::copy_flags::SOURCE_GREF,
                ..copy(
                    CopyPtr {
                        domid: 9,
                        ..ptr(8, 0)
                    },
                    ptr(FREE, 0),
                    8,
                )
            },
            status::BAD_DOMAIN,
        ),
        (
            Copy {
                flags: grant::copy_flags::DEST_GREF,
                ..copy(ptr(FREE, 0), ptr(8, 0), 8)
            },
            status::GENERAL_ERROR,
        ),
        (
            Copy {
                flags: grant::copy_flags::SOURCE_GREF,
                ..copy(ptr(512, 0), ptr(FREE, 0), 8)
            },
            status::BAD_GNTREF,
        ),
    ];
    for (op, expected) in cases {
        assert_eq!(g.grant_op(grant::COPY, &op, 1), 0);
        assert_eq!(g.get::<Copy>(ARG).status, expected, "{op:?}");
    }
    assert_eq!(
        g.get::<[u8; 8]>(((FREE + 1) << 12) + 16),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(
        g.get::<[u8; 8]>(FREE << 12),
        [1, 2, 1, 2, 3, 4, 5, 6],
        "overlapping ranges move as one"
    );
}

#[test]
fn grant_entries_swap_places() {
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.add(space::GRANT_TABLE, 0, 0x38000), 0);
    let entry = |n: u16| EntryV1 {
        flags: n,
        domid: n + 1,
        frame: u32::from(n) + 2,
    };
    let frame = |gref: u16| WindowAddr::extra(Extra::GrantFrame(0).index(), gref * 8);
    g.host.window.write_obj(frame(8), &entry(1));
    g.host.window.write_obj(frame(511), &entry(100));
    let swap = SwapGrantRef {
        ref_a: 8,
        ref_b: 511,
        ..SwapGrantRef::default()
    };
    assert_eq!(g.grant_op(grant::SWAP_GRANT_REF, &swap, 1), 0);
    assert_eq!(g.get::<SwapGrantRef>(ARG).status, status::OKAY);
    assert_eq!(g.host.window.read_obj::<EntryV1>(frame(8)), entry(100));
    assert_eq!(g.host.window.read_obj::<EntryV1>(frame(511)), entry(1));
    for ref_b in [512, u32::MAX] {
        assert_eq!(
            g.grant_op(grant::SWAP_GRANT_REF, &SwapGrantRef { ref_b, ..swap }, 1),
            0
        );
        assert_eq!(g.get::<SwapGrantRef>(ARG).status, status::BAD_GNTREF);
    }
}

#[test]
fn cache_flush_is_found_by_linux_and_does_what_a_direct_mapped_guest_needs() {
    let mut g = Guest::new(Kind::Heap);
    let clean = CacheFlush {
        dev_bus_addr: FREE << 12,
        offset: 0,
        length: 64,
        op: 1,
    };
    assert_eq!(
        g.grant_op(grant::CACHE_FLUSH, &CacheFlush { op: 0, ..clean }, 1),
        0
    );
    assert_eq!(
        g.grant_op(grant::CACHE_FLUSH, &CacheFlush { length: 0, ..clean }, 1),
        0
    );
    assert_eq!(
        g.grant_op(
            grant::CACHE_FLUSH,
            &CacheFlush {
                offset: 4096,
                ..clean
            },
            1
        ),
        minus(Errno::Einval)
    );
    assert_eq!(
        g.grant_op(grant::CACHE_FLUSH, &CacheFlush { op: 4, ..clean }, 1),
        minus(Errno::Einval)
    );
    assert_eq!(
        g.grant_op(
            grant::CACHE_FLUSH,
            &CacheFlush {
                op: 1 << 31 | 1,
                ..clean
            },
            1
        ),
        minus(Errno::Einval)
    );
    assert_eq!(
        g.grant_op(grant::CACHE_FLUSH, &clean, 1),
        minus(Errno::Eperm)
    );
    let mut g = Guest::new(Kind::DirectMap);
    let before = g.host.window.cleaned();
    assert_eq!(g.grant_op(grant::CACHE_FLUSH, &clean, 1), 0);
    assert_eq!(g.host.window.cleaned(), before + 64);
    assert_eq!(
        g.grant_op(
            grant::CACHE_FLUSH,
            &CacheFlush {
                dev_bus_addr: HOLE,
                ..clean
            },
            1
        ),
        minus(Errno::Eperm)
    );
}
