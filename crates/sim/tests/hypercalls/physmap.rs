//! memory_op: what is where.

use super::*;

#[test]
fn reservation_queries() {
    in_every_way(|guest| {
        let own = guest.domid();
        for domid in [SELF, own] {
            for op in [memory::CURRENT_RESERVATION, memory::MAXIMUM_RESERVATION] {
                assert_eq!(
                    guest.op_in(MEMORY_OP, op, DomainArg { domid }),
                    4096,
                    "16 MiB, without extra pages"
                );
            }
        }
        for (domid, errno) in strangers(guest) {
            assert_eq!(
                guest.op_in(MEMORY_OP, memory::CURRENT_RESERVATION, DomainArg { domid }),
                errno,
                "{domid}"
            );
        }
    });
}

#[test]
fn shared_info_can_be_mapped_once() {
    in_every_way(|guest| {
        assert!(!guest.is_mapped(SHARED_INFO));
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 1, SHARED_INFO >> 12),
            EINVAL
        );
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, u64::MAX),
            EINVAL
        );
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, 1 << 40),
            EINVAL,
            "no IPA"
        );
        assert!(!guest.is_mapped(SHARED_INFO));
        guest.map_shared_info();
        assert_eq!(guest.bytes(SHARED_INFO, 1088), [0; 1088]);
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, SHARED_INFO >> 12),
            EBUSY
        );
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, (SHARED_INFO >> 12) + 1),
            EBUSY
        );
        assert!(!guest.is_mapped(SHARED_INFO + 0x1000));
        // Removed it can be mapped elsewhere, and it is the same page.
        guest.put(SHARED_INFO + 2000, &0x1234_u16);
        assert_eq!(remove(guest, SHARED_INFO >> 12), 0);
        assert!(!guest.is_mapped(SHARED_INFO));
        assert_eq!(remove(guest, SHARED_INFO >> 12), ENOENT);
        assert_eq!(
            guest.add_to_physmap(space::SHARED_INFO, 0, (SHARED_INFO >> 12) + 7),
            0
        );
        assert_eq!(guest.get::<u16>(SHARED_INFO + 0x7000 + 2000), 0x1234);
        assert_eq!(reservation(guest), 4096, "no RAM came or went");
    });
}

#[test]
fn add_to_physmap_refuses_what_is_not_there() {
    in_every_way(|guest| {
        let gfn = SHARED_INFO >> 12;
        for (space, errno) in [
            (space::GMFN, ENOSYS),
            (space::GMFN_RANGE, ENOSYS),
            (space::GMFN_FOREIGN, ENOSYS),
            (space::DEV_MMIO, EACCES),
            (6, ENOSYS),
            (u32::MAX, ENOSYS),
        ] {
            let arg = AddToPhysmap {
                domid: SELF,
                size: 1,
                space,
                idx: 0,
                gpfn: gfn,
            };
            assert_eq!(
                guest.op_in(MEMORY_OP, memory::ADD_TO_PHYSMAP, arg),
                errno,
                "space {space}"
            );
        }
        let own = AddToPhysmap {
            domid: SELF,
            size: 0,
            space: 0,
            idx: 0,
            gpfn: gfn,
        };
        for (domid, errno) in strangers(guest) {
            let other = AddToPhysmap { domid, ..own };
            assert_eq!(
                guest.op_in(MEMORY_OP, memory::ADD_TO_PHYSMAP, other),
                errno,
                "{domid}"
            );
        }
        assert_eq!(
            guest.op_in(MEMORY_OP, memory::ADD_TO_PHYSMAP | 1 << 22, own),
            EDOM,
            "a start of 2^16"
        );
        assert!(!guest.is_mapped(SHARED_INFO));
    });
}

#[test]
fn ram_that_is_removed_stays_the_domains() {
    in_every_way(|guest| {
        let gfn = FREE >> 12;
        guest.put(FREE, &0x1234_5678_u32);
        assert_eq!(remove(guest, gfn), 0);
        assert!(!guest.is_mapped(FREE));
        assert_eq!(reservation(guest), 4096, "it still counts");
        assert_eq!(remove(guest, gfn), ENOENT);
        for hole in [0x3001, 1 << 28, u64::MAX] {
            let errno = remove(guest, hole);
            assert!(errno == ENOENT || errno == EINVAL, "{hole:#x}: {errno}");
        }
        for (domid, errno) in strangers(guest) {
            let other = RemoveFromPhysmap {
                domid,
                pad: [0; 6],
                gpfn: gfn + 1,
            };
            assert_eq!(
                guest.op_in(MEMORY_OP, memory::REMOVE_FROM_PHYSMAP, other),
                errno,
                "{domid}"
            );
        }
        assert_eq!(populate(guest, &[gfn]), 1, "and comes back");
        assert_eq!(guest.get::<u32>(FREE), 0x1234_5678, "as it was");
        assert_eq!(reservation(guest), 4096);
    });
}
