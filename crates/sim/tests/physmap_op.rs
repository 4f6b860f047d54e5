//! add_to_physmap and its relatives, and what a guest can do to the VMM with them.
#![allow(missing_docs, reason = "tests")]

mod memory_guest;

use guest_mem::Window;
use hv_types::{Gpa, WindowAddr};
use hypervisor_core::hypercall::dispatch;
use hypervisor_core::hypercall::outcome::Outcome;
use memory_server_api::Extra;
use xen_abi::memory::{self, AddToPhysmap, AddToPhysmapBatch, space};
use xen_abi::multicall::MulticallEntry;
use xen_abi::{Errno, GuestHandle, number};

use memory_guest::*;

/// BL-8, EX-16: as U-Boot does it.
#[test]
fn u_boot_maps_shared_info_over_ram_removes_it_and_refills_the_hole_bl_8() {
    let mut g = Guest::new(Kind::Heap);
    g.write(FREE, 0x42);
    assert_eq!(g.add(space::SHARED_INFO, 0, FREE), 0);
    assert_eq!(g.read(FREE), Some(0), "shared_info is zeroed");
    assert_eq!(g.current(), 4096);
    assert_eq!(
        g.add(space::SHARED_INFO, 0, FREE + 1),
        minus(Errno::Ebusy),
        "EX-16"
    );
    assert_eq!(g.remove(FREE), 0);
    assert_eq!(g.read(FREE), None);
    assert_eq!(g.remove(FREE), minus(Errno::Enoent));
    assert_eq!(g.populate(0, &[FREE]), 1);
    assert_eq!((g.read(FREE), g.current()), (Some(0x42), 4096));
    assert_eq!(g.add(space::SHARED_INFO, 0, HOLE >> 12), 0);
}

/// EX-2: the VMM's mapping stays while the guest has none, and what was written meanwhile is there
/// in the next.
#[test]
fn shared_info_keeps_its_contents_while_it_is_mapped_nowhere() {
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.add(space::SHARED_INFO, 0, FREE), 0);
    assert_eq!(g.remove(FREE), 0);
    let word = WindowAddr::extra(Extra::SharedInfo.index(), 48);
    g.host.window.store_u64(word, 0x20);
    assert_eq!(g.add(space::SHARED_INFO, 0, HOLE >> 12), 0);
    assert_eq!(g.read((HOLE >> 12) + 1), None);
    assert_eq!(g.host.window.load_u64(word), 0x20);
}

#[test]
fn add_to_physmap_refuses_what_xen_refuses() {
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.add(space::SHARED_INFO, 1, FREE), minus(Errno::Einval));
    assert_eq!(g.add(space::SHARED_INFO, 0, u64::MAX), minus(Errno::Einval));
    assert_eq!(
        g.add(space::SHARED_INFO, 0, 1 << 28),
        minus(Errno::Einval),
        "no such address"
    );
    assert_eq!(
        g.add(space::GRANT_TABLE, 4, FREE),
        minus(Errno::Einval),
        "four frames at most"
    );
    assert_eq!(
        g.add(space::GRANT_TABLE, 1 << 31, FREE),
        minus(Errno::Einval),
        "no status frames"
    );
    assert_eq!(
        g.add(space::GRANT_TABLE, u64::MAX, FREE),
        minus(Errno::Einval)
    );
    for (space, errno) in [
        (2, Errno::Enosys),
        (4, Errno::Enosys),
        (5, Errno::Eacces),
        (6, Errno::Enosys),
        (u32::MAX, Errno::Enosys),
    ] {
        assert_eq!(g.add(space, 0, FREE), minus(errno), "space {space}");
    }
    let range = |size| AddToPhysmap {
        domid: SELF,
        size,
        space: space::GMFN_RANGE,
        idx: 0,
        gpfn: FREE,
    };
    assert_eq!(
        g.memory_op(memory::ADD_TO_PHYSMAP, &range(2)),
        minus(Errno::Enosys)
    );
    assert_eq!(g.memory_op(memory::ADD_TO_PHYSMAP, &range(0)), 0);
    assert_eq!(
        g.memory_op(memory::ADD_TO_PHYSMAP | 3 << 6, &range(2)),
        minus(Errno::Eilseq)
    );
    let other = AddToPhysmap {
        domid: 9,
        size: 0,
        space: 0,
        idx: 0,
        gpfn: FREE,
    };
    assert_eq!(
        g.memory_op(memory::ADD_TO_PHYSMAP, &other),
        minus(Errno::Esrch)
    );
    assert_eq!(
        g.memory_op(memory::ADD_TO_PHYSMAP | 1 << 22, &other),
        minus(Errno::Edom)
    );
    assert_eq!(
        g.call(number::MEMORY_OP, [memory::ADD_TO_PHYSMAP, HOLE, 0, 0, 0]),
        Ok(minus(Errno::Efault))
    );
    assert_eq!(
        g.call(
            number::MEMORY_OP,
            [memory::REMOVE_FROM_PHYSMAP, HOLE, 0, 0, 0]
        ),
        Ok(minus(Errno::Efault))
    );
    assert_eq!(g.remove(u64::MAX), minus(Errno::Enoent));
    assert_eq!(g.remove(0), minus(Errno::Enoent));
    assert_eq!(g.current(), 4096);
}

#[test]
fn a_batch_maps_each_entry_and_tells_each_result() {
    let mut g = Guest::new(Kind::Heap);
    let handle = |at| GuestHandle::new(hv_types::Gva::new(at));
    let batch = AddToPhysmapBatch {
        domid: SELF,
        space: 1,
        size: 5,
        foreign_domid: 0,
        idxs: handle(LIST),
        gpfns: handle(LIST2),
        errs: handle(ERRS),
    };
    g.put_list(LIST, [0, 1, 9, 2, 0]);
    g.put_list(LIST2, [0x38000, 0x38001, 0x38002, 1 << 28, 0x38003]);
    let op = memory::ADD_TO_PHYSMAP_BATCH;
    assert_eq!(g.memory_op(op, &batch), 0);
    assert_eq!(g.get::<[i32; 5]>(ERRS), [0, 0, -22, -22, -16]);
    // A frame number of all ones ends the call, at the entry that has it.
    g.put(ERRS, &[7i32; 5]);
    g.put_list(LIST2, [0x38000, 0x38001, u64::MAX, 0x38002, 0x38003]);
    assert_eq!(g.memory_op(op, &batch), minus(Errno::Einval));
    assert_eq!(g.get::<[i32; 5]>(ERRS), [-16, -16, 7, 7, 7]);
    g.put_list(LIST2, [0x38000, 0x38001, 0x38002, 1 << 28, 0x38003]);
    assert_eq!(
        g.memory_op(op, &AddToPhysmapBatch { space: 3, ..batch }),
        minus(Errno::Eopnotsupp)
    );
    assert_eq!(g.memory_op(op, &AddToPhysmapBatch { size: 0, ..batch }), 0);
    assert_eq!(g.memory_op(op | 5 << 6, &batch), minus(Errno::Eilseq));
    assert_eq!(g.memory_op(op | 6 << 6, &batch), minus(Errno::Eilseq));
    assert_eq!(g.memory_op(op | 1 << 22, &batch), minus(Errno::Edom));
    assert_eq!(
        g.memory_op(op, &AddToPhysmapBatch { domid: 2, ..batch }),
        minus(Errno::Esrch)
    );
    assert_eq!(
        g.memory_op(
            op,
            &AddToPhysmapBatch {
                errs: handle(HOLE),
                ..batch
            }
        ),
        minus(Errno::Efault)
    );
    assert_eq!(
        g.memory_op(
            op,
            &AddToPhysmapBatch {
                space: 4,
                foreign_domid: 3,
                ..batch
            }
        ),
        0
    );
    assert_eq!(g.get::<[i32; 5]>(ERRS), [-3; 5]);
    assert_eq!(
        g.memory_op(
            op,
            &AddToPhysmapBatch {
                space: 4,
                foreign_domid: DOMID,
                ..batch
            }
        ),
        0
    );
    assert_eq!(g.get::<[i32; 5]>(ERRS), [-1; 5]);
    // A long one is done in parts.
    g.put_list(LIST, (0..1000).map(|_| 77));
    g.put_list(LIST2, (0..1000).map(|_| 0x38000));
    assert_eq!(
        g.memory_op(
            op,
            &AddToPhysmapBatch {
                size: 1000,
                ..batch
            }
        ),
        0
    );
    assert!(g.rounds > 20 && g.get::<i32>(ERRS + 4 * 999) == -22);
}

/// A guest gives away the very pages its arguments lie in; the VMM must not touch them afterwards.
#[test]
fn arguments_in_memory_that_the_call_gives_away_do_not_stop_the_vmm() {
    let mut g = Guest::new(Kind::Heap);
    let (arg_gfn, list_gfn) = (ARG >> 12, LIST >> 12);
    // Splitting their block ends the first round; in the second the list is gone.
    assert_eq!(g.decrease(0, &[list_gfn, arg_gfn]), 1);
    assert_eq!((g.read(list_gfn), g.read(arg_gfn).is_some()), (None, true));
    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.decrease(0, &[GFN + 100]), 1);
    // Nor is it there in one round, as on Xen; the structure has been read before.
    assert_eq!(g.decrease(0, &[arg_gfn, list_gfn, GFN + 101]), 2);
    assert_eq!((g.read(list_gfn), g.read(arg_gfn)), (None, None));
    assert!(g.read(GFN + 101).is_some());

    let mut g = Guest::new(Kind::Heap);
    // 100 extents, the list itself being the first: the rest of it is gone when the call goes on.
    let gfns: Vec<u64> = std::iter::once(list_gfn)
        .chain((0..99).map(|n| FREE + n))
        .collect();
    let done = g.decrease(0, &gfns);
    assert!((1..100).contains(&done), "{done}");

    let mut g = Guest::new(Kind::Heap);
    assert_eq!(g.add(space::SHARED_INFO, 0, arg_gfn), 0);
    assert_eq!(
        g.call(
            number::MEMORY_OP,
            [memory::CURRENT_RESERVATION, ARG, 0, 0, 0]
        ),
        Ok(minus(Errno::Esrch)),
        "reads shared_info"
    );
    let handle = |at| GuestHandle::new(hv_types::Gva::new(at));
    let batch = AddToPhysmapBatch {
        domid: SELF,
        space: 1,
        size: 2,
        foreign_domid: 0,
        idxs: handle(LIST),
        gpfns: handle(LIST2),
        errs: handle(ERRS),
    };
    g.put(RAM + 0x3000, &batch);
    g.put_list(LIST, [0, 1]);
    g.put_list(LIST2, [ERRS >> 12, 0x38001]);
    // The first entry covers the list of errors with a frame of the grant table: they are written
    // there.
    let args = [memory::ADD_TO_PHYSMAP_BATCH, RAM + 0x3000, 0, 0, 0];
    assert_eq!(g.call(number::MEMORY_OP, args), Ok(0));
    g.put_list(LIST2, [1 << 28, 1 << 28]);
    assert_eq!(g.call(number::MEMORY_OP, args), Ok(0));
    let grant = WindowAddr::extra(Extra::GrantFrame(0).index(), 0);
    assert_eq!(g.host.window.read_obj::<[i32; 2]>(grant), [-16, -16]);
}

/// The same in a multicall, whose list is written after each entry.
#[test]
fn a_multicall_that_gives_its_own_list_away_does_not_stop_the_vmm() {
    let mut g = Guest::new(Kind::Heap);
    let calls = RAM + 0x6000;
    g.put(ARG, &reservation(1, 0));
    g.put_list(LIST, [calls >> 12]);
    let entry = MulticallEntry {
        op: number::MEMORY_OP,
        args: [memory::DECREASE_RESERVATION, ARG, 0, 0, 0, 0],
        ..MulticallEntry::default()
    };
    g.put(calls, &entry);
    g.put(calls + 64, &entry);
    assert_eq!(
        g.call(number::MULTICALL, [calls, 2, 0, 0, 0]),
        Ok(minus(Errno::Efault))
    );
    assert_eq!(g.current(), 4095);
}

/// vcpu_info, the runstate area and the console write into guest memory later on: gone pages are
/// skipped.
#[test]
fn registered_pages_that_are_given_away_do_not_stop_the_vmm() {
    let mut g = Guest::new(Kind::Static);
    let info = xen_abi::vcpu::RegisterVcpuInfo {
        gfn: FREE,
        ..xen_abi::vcpu::RegisterVcpuInfo::default()
    };
    g.put(ARG, &info);
    assert_eq!(g.call(number::VCPU_OP, [10, 0, ARG, 0, 0]), Ok(0));
    g.put(ARG, &((FREE + 1) << 12));
    assert_eq!(g.call(number::VCPU_OP, [5, 0, ARG, 0, 0]), Ok(0));
    assert_eq!(g.decrease(0, &[FREE, FREE + 1]), 2);
    // An event to oneself, and a change of the runstate.
    g.put(ARG, &[SELF, SELF, 0, 0]);
    assert_eq!(g.call(number::EVENT_CHANNEL_OP, [6, ARG, 0, 0, 0]), Ok(0));
    let port: u32 = g.get(ARG + 4);
    g.put(
        ARG,
        &xen_abi::event::BindInterdomain {
            remote_dom: SELF,
            remote_port: port,
            ..xen_abi::event::BindInterdomain::default()
        },
    );
    assert_eq!(g.call(number::EVENT_CHANNEL_OP, [0, ARG, 0, 0, 0]), Ok(0));
    g.put(ARG, &port);
    assert_eq!(g.call(number::EVENT_CHANNEL_OP, [4, ARG, 0, 0, 0]), Ok(0));
    let domain = &g.vm.domain;
    g.vm.vcpus[0].runstate.set(
        &mut g.host,
        &domain.p2m,
        domain.assists,
        hypervisor_core::vcpu::runstate::RunState::Blocked,
    );
    assert_eq!(g.read(FREE), None);
}

/// Any arguments at all: an answer, and no VMM that fell over.
#[test]
fn wild_arguments_get_answers() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let word = prop_oneof![
        Just(0u64),
        Just(1),
        Just(u64::MAX),
        Just(SELF.into()),
        Just(FREE),
        Just(LIST),
        Just(ARG),
        Just(HOLE),
        GFN..GFN + 4200,
        0u64..64,
        any::<u64>(),
    ];
    let call = (
        prop_oneof![Just(number::MEMORY_OP), Just(number::GRANT_TABLE_OP)],
        prop_oneof![0u64..32, any::<u64>()],
        prop::collection::vec(word.clone(), 4),
        prop_oneof![0u64..4, Just(100), word],
    );
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = prop::collection::vec(call, 40);
    runner
        .run(&strategy, |calls| {
            let mut g = Guest::new(Kind::Static);
            for (nr, cmd, argument, count) in calls {
                for (at, word) in [ARG, LIST, LIST2]
                    .into_iter()
                    .flat_map(|at| (0..).zip(&argument).map(move |(n, w)| (at + 8 * n, *w)))
                {
                    // The guest may have given this page away, or covered it.
                    if hypervisor_core::memory::pages::Pages::writable(
                        &g.vm.domain.p2m,
                        Gpa::new(at),
                        8,
                    )
                    .is_some()
                    {
                        g.put(at, &word);
                    }
                }
                let mut args = [cmd, ARG, count, 0, 0];
                for _ in 0..50 {
                    match dispatch(&mut g.vm, &mut g.host, nr, args) {
                        Outcome::Return(_) => break,
                        Outcome::Continue { args: next }
                        | Outcome::ContinueLater { args: next, .. } => args = next,
                        other => panic!("{other:?}"),
                    }
                }
                g.check();
            }
            Ok(())
        })
        .unwrap();
}
