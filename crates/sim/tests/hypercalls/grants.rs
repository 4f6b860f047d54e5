//! grant_table_op: the table itself.

use super::*;

#[test]
fn grant_frames_can_be_mapped() {
    in_every_way(|guest| {
        let base = 0x3800_0000_u64 >> 12;
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, base), 0);
        assert!(guest.is_mapped(0x3800_0000));
        assert_eq!(guest.bytes(0x3800_0000, 4096), [0; 4096]);
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, base + 1), EBUSY);
        for idx in [64, 65, 255, 256, 1 << 31, 1 << 31 | 1, u64::MAX] {
            assert_eq!(
                guest.add_to_physmap(space::GRANT_TABLE, idx, base + 1),
                EINVAL,
                "{idx:#x}"
            );
        }
        assert_eq!(
            guest.add_to_physmap(space::GRANT_TABLE, 2, base + 2),
            0,
            "the table grows up to it"
        );
        let mut size = QuerySize {
            dom: SELF,
            ..QuerySize::default()
        };
        guest.put(ARGS, &size);
        assert_eq!(
            guest.hvc(GRANT_TABLE_OP, &[grant::QUERY_SIZE, guest.ptr(ARGS), 1]),
            0
        );
        size = guest.get(ARGS);
        assert_eq!(
            (size.nr_frames, size.max_nr_frames, size.status),
            (3, 64, status::OKAY)
        );
    });
}

#[test]
fn grant_table_queries() {
    in_every_way(|guest| {
        let at = guest.ptr(ARGS);
        guest.put(
            ARGS,
            &QuerySize {
                dom: SELF,
                ..QuerySize::default()
            },
        );
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::QUERY_SIZE, at, 1]), 0);
        let size: QuerySize = guest.get(ARGS);
        assert_eq!(
            (size.nr_frames, size.max_nr_frames, size.status),
            (1, 64, status::OKAY)
        );
        guest.put(
            ARGS,
            &QuerySize {
                dom: 99,
                ..QuerySize::default()
            },
        );
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::QUERY_SIZE, at, 1]), 0);
        assert_eq!(guest.get::<QuerySize>(ARGS).status, status::BAD_DOMAIN);
        for count in [0, 2, 1 << 31, 0xffff_ffff] {
            assert_eq!(
                guest.hvc(GRANT_TABLE_OP, &[grant::QUERY_SIZE, at, count]),
                EINVAL,
                "count {count:#x}"
            );
        }
        assert_eq!(
            guest.hvc(GRANT_TABLE_OP, &[grant::QUERY_SIZE | 1 << 12, at, 1]),
            EINVAL,
            "bits above the command"
        );

        guest.put(
            ARGS,
            &GetVersion {
                dom: SELF,
                pad: 0,
                version: 9,
            },
        );
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::GET_VERSION, at, 1]), 0);
        assert_eq!(guest.get::<GetVersion>(ARGS).version, 1);
        guest.put(
            ARGS,
            &GetVersion {
                dom: 99,
                pad: 0,
                version: 9,
            },
        );
        assert_eq!(
            guest.hvc(GRANT_TABLE_OP, &[grant::GET_VERSION, at, 1]),
            ESRCH
        );

        for (version, answer) in [(2, ENOSYS), (1, 0), (0, EINVAL), (3, EINVAL)] {
            guest.put(ARGS, &SetVersion { version });
            assert_eq!(
                guest.hvc(GRANT_TABLE_OP, &[grant::SET_VERSION, at, 1]),
                answer,
                "version {version}"
            );
            assert_eq!(
                guest.get::<SetVersion>(ARGS).version,
                1,
                "the version it has"
            );
        }
    });
}

#[test]
fn setup_table_tells_where_the_frames_are() {
    in_every_way(|guest| {
        let at = guest.ptr(ARGS);
        let list = ARGS + 0x200;
        let frame_list = GuestHandle::new(Gva::new(guest.ptr(list)));
        let arg = SetupTable {
            dom: SELF,
            nr_frames: 2,
            frame_list,
            ..SetupTable::default()
        };
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, 0x38000), 0);
        guest.put(ARGS, &arg);
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::SETUP_TABLE, at, 1]), 0);
        assert_eq!(guest.get::<SetupTable>(ARGS).status, status::OKAY);
        assert_eq!(
            guest.get::<[u64; 2]>(list),
            [0x38000, u64::MAX],
            "the second is not mapped"
        );
        guest.put(
            ARGS,
            &SetupTable {
                nr_frames: 65,
                ..arg
            },
        );
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::SETUP_TABLE, at, 1]), 0);
        assert_eq!(guest.get::<SetupTable>(ARGS).status, status::GENERAL_ERROR);
        guest.put(ARGS, &SetupTable { dom: 99, ..arg });
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::SETUP_TABLE, at, 1]), 0);
        assert_eq!(guest.get::<SetupTable>(ARGS).status, status::BAD_DOMAIN);
        guest.put(ARGS, &arg);
        assert_eq!(
            guest.hvc(GRANT_TABLE_OP, &[grant::SETUP_TABLE, at, 2]),
            EINVAL,
            "one at a time"
        );
        guest.put(
            ARGS,
            &SetupTable {
                frame_list: GuestHandle::new(Gva::new(8)),
                ..arg
            },
        );
        assert_eq!(guest.hvc(GRANT_TABLE_OP, &[grant::SETUP_TABLE, at, 1]), 0);
        assert_eq!(guest.get::<SetupTable>(ARGS).status, status::BAD_VIRT_ADDR);
    });
}
