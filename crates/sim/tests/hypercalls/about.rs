//! xen_version, vm_assist, and what is unknown.

use super::*;

#[test]
fn xen_version() {
    in_every_way(|guest| {
        assert_eq!(
            guest.hvc(XEN_VERSION, &[version::VERSION, 0xdead_beef]),
            VERSION,
            "the argument is ignored"
        );
        let at = guest.ptr(ARGS);
        guest.put(ARGS, &[0xff_u8; 2048]);
        assert_eq!(guest.hvc(XEN_VERSION, &[version::EXTRAVERSION, at]), 0);
        let extra = guest.bytes(ARGS, 17);
        assert!(
            extra[..16].contains(&0) && extra[16] == 0xff,
            "16 bytes, padded: {extra:?}"
        );
        assert_eq!(guest.hvc(XEN_VERSION, &[version::CAPABILITIES, at]), 0);
        let capabilities = guest.bytes(ARGS, 1025);
        assert!(capabilities.starts_with(b"xen-3.0-aarch64 \0"));
        assert_eq!((capabilities[1023], capabilities[1024]), (0, 0xff));
        assert_eq!(guest.hvc(XEN_VERSION, &[version::PAGESIZE, 0]), 4096);
        assert_eq!(guest.hvc(XEN_VERSION, &[version::PAGESIZE, at]), EINVAL);
        let mut features = FeatureInfo {
            submap_idx: 0,
            submap: 0,
        };
        assert_eq!(
            guest.op(XEN_VERSION, version::GET_FEATURES, &mut features),
            0
        );
        assert_eq!(features.submap, 0x0005_6005);
        features.submap_idx = 1;
        assert_eq!(
            guest.op(XEN_VERSION, version::GET_FEATURES, &mut features),
            EINVAL
        );
        assert_eq!(guest.hvc(XEN_VERSION, &[99, at]), ENOSYS);
        // An int: what the upper half of x0 holds does not matter.
        assert_eq!(guest.hvc(XEN_VERSION, &[0xffff_0000_0000_0000, 0]), VERSION);
    });
}

#[test]
fn xen_version_writes_across_pages_that_are_not_neighbours() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.mmu_on();
    let at = SCRAMBLED + 0x1000 - 100;
    assert_eq!(guest.hvc(XEN_VERSION, &[version::CAPABILITIES, at]), 0);
    let mut expected = [0; 1024];
    expected[..16].copy_from_slice(b"xen-3.0-aarch64 ");
    assert_eq!(guest.bytes_at(at, 1024), expected);
    assert_eq!(
        guest.hvc(
            XEN_VERSION,
            &[version::CAPABILITIES, SCRAMBLED + 0x1_0000 - 1023]
        ),
        EFAULT,
        "runs out"
    );
}

#[test]
fn unknown_hypercalls_and_operations() {
    in_every_way(|guest| {
        for nr in [
            0,
            1,
            5,
            6,
            8,
            14,
            15,
            16,
            19,
            22,
            27,
            30,
            37,
            39,
            41,
            43,
            63,
            64,
            1000,
            u64::MAX,
            1 << 32 | 17,
        ] {
            assert_eq!(guest.hvc(nr, &[0, 0]), ENOSYS, "{nr}");
        }
        for nr in [PLATFORM_OP, SYSCTL, DOMCTL] {
            assert_eq!(guest.hvc(nr, &[8, 0]), EFAULT, "{nr}");
            guest.put(ARGS, &[0u8; 144]);
            assert_eq!(guest.hvc(nr, &[guest.ptr(ARGS), 0]), EACCES, "{nr}");
        }
        assert_eq!(guest.hvc(42, &[0, 0]), EPERM, "hypfs_op");
        let at = guest.ptr(ARGS);
        for nr in [
            EVENT_CHANNEL_OP,
            HVM_OP,
            SCHED_OP,
            GRANT_TABLE_OP,
            CONSOLE_IO,
            MEMORY_OP,
        ] {
            assert_eq!(guest.hvc(nr, &[0x3e, at, 0]), ENOSYS, "{nr}");
        }
        assert_eq!(guest.hvc(PHYSDEV_OP, &[25, at]), ENOSYS);
        assert_eq!(
            guest.hvc(VCPU_OP, &[0x3e, 0, at]),
            EINVAL,
            "as on Xen, not -ENOSYS"
        );
        assert_eq!(guest.hvc(VM_ASSIST, &[2, 5]), ENOSYS);
    });
}

#[test]
fn vm_assist() {
    in_every_way(|guest| {
        assert_eq!(guest.hvc(VM_ASSIST, &[0, 5]), 0);
        assert_eq!(guest.hvc(VM_ASSIST, &[1, 5]), 0);
        for kind in [0, 1, 2, 3, 4, 6, 32, u64::MAX] {
            assert_eq!(guest.hvc(VM_ASSIST, &[0, kind]), EINVAL, "{kind}");
        }
    });
}

#[test]
fn multicall_does_each_entry() {
    in_every_way(|guest| {
        let entry = |op: u64, a: u64, b: u64| [op, 0x5555, a, b, 0, 0, 0, 0];
        let list = [
            entry(XEN_VERSION, 0, 0),
            entry(99, 0, 0),
            entry(MULTICALL, 0, 0),
            entry(XEN_VERSION, version::PAGESIZE, 0),
        ];
        guest.put(ARGS, list.as_bytes());
        assert_eq!(guest.hvc(MULTICALL, &[guest.ptr(ARGS), 4]), 0);
        let results: Vec<i64> = (0..4).map(|n| guest.get(ARGS + n * 64 + 8)).collect();
        assert_eq!(results, [VERSION, ENOSYS, EINVAL, 4096]);
        assert_eq!(guest.hvc(MULTICALL, &[wild(guest)[0], 1]), EFAULT);
        assert_eq!(guest.hvc(MULTICALL, &[0, 0]), 0);
    });
}
