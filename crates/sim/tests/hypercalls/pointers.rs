//! Arguments that are nowhere.

use sim::guest::{ARGS_PAGES, TABLES};

use super::*;

/// The last-level table of the view [`SCRAMBLED`].
const SCRAMBLED_TABLE: u64 = TABLES + 5 * 0x1000;

#[test]
fn a_wild_argument_is_efault() {
    in_every_way(|guest| {
        let reads = [
            (XEN_VERSION, version::GET_FEATURES),
            (MEMORY_OP, memory::CURRENT_RESERVATION),
            (MEMORY_OP, memory::MAXIMUM_RESERVATION),
            (MEMORY_OP, memory::ADD_TO_PHYSMAP),
            (MEMORY_OP, memory::REMOVE_FROM_PHYSMAP),
            (EVENT_CHANNEL_OP, event::CLOSE),
            (EVENT_CHANNEL_OP, event::SEND),
            (EVENT_CHANNEL_OP, event::STATUS),
            (EVENT_CHANNEL_OP, event::ALLOC_UNBOUND),
            (EVENT_CHANNEL_OP, event::BIND_VCPU),
            (EVENT_CHANNEL_OP, event::UNMASK),
            (HVM_OP, xen_abi::hvm::GET_PARAM),
            (HVM_OP, xen_abi::hvm::SET_PARAM),
            (SCHED_OP, sched::SHUTDOWN),
            (SCHED_OP, sched::POLL),
            (GRANT_TABLE_OP, grant::SETUP_TABLE),
            (GRANT_TABLE_OP, grant::QUERY_SIZE),
            (GRANT_TABLE_OP, grant::SET_VERSION),
            (GRANT_TABLE_OP, grant::GET_VERSION),
        ];
        for at in wild(guest) {
            for (nr, cmd) in reads {
                assert_eq!(
                    guest.hvc(nr, &[cmd, at, 1]),
                    EFAULT,
                    "hypercall {nr} op {cmd} at {at:#x}"
                );
            }
            for cmd in [version::EXTRAVERSION, version::CAPABILITIES] {
                assert_eq!(guest.hvc(XEN_VERSION, &[cmd, at]), EFAULT, "{at:#x}");
            }
            for cmd in [REGISTER_VCPU_INFO, REGISTER_RUNSTATE_MEMORY_AREA] {
                assert_eq!(guest.hvc(VCPU_OP, &[cmd, 0, at]), EFAULT, "{at:#x}");
            }
            assert_eq!(guest.hvc(CONSOLE_IO, &[0, 4, at]), EFAULT, "{at:#x}");
        }
        guest.put(ARGS, &[0_u8; 64]);
        for at in not_writable(guest) {
            for cmd in [version::EXTRAVERSION, version::CAPABILITIES] {
                assert_eq!(guest.hvc(XEN_VERSION, &[cmd, at]), EFAULT, "{at:#x}");
            }
            assert_eq!(
                guest.hvc(XEN_VERSION, &[version::GET_FEATURES, at]),
                EFAULT,
                "read, not written: {at:#x}"
            );
        }
    });
}

/// SM-22: operations that write one field need no more than that field writable, as on Xen.
#[test]
fn what_is_not_written_need_not_be_writable() {
    in_every_way(|guest| {
        if !guest.mmu_is_on() {
            return;
        }
        // Two pages that follow each other in the upper half, and the entries that map them.
        let gpa = |page: u64| ARGS + (ARGS_PAGES - 1 - page) * 0x1000;
        let entry = |page: u64| SCRAMBLED_TABLE + 8 * page;
        let writable: [u64; 2] = [guest.get(entry(0)), guest.get(entry(1))];
        let structure = |dom: u64, frames: u64| (dom | frames << 32).to_le_bytes();
        let setup = [structure(SELF.into(), 1), [0; 8], [0; 8]].concat();
        let status_frames = [structure(0, SELF.into()), [0; 8]].concat();
        let version = structure(SELF.into(), 0).to_vec();
        let size = [structure(SELF.into(), 0), [0; 8]].concat();
        // Which page may be written, and how many bytes of the structure lie in the first one.
        for (op, bytes, page, first, want) in [
            (grant::SETUP_TABLE, &setup, 0, 12, 0),
            (grant::SETUP_TABLE, &setup, 1, 8, 0),
            (grant::SETUP_TABLE, &setup, 0, 8, EFAULT),
            (grant::GET_STATUS_FRAMES, &status_frames, 0, 8, 0),
            (grant::GET_STATUS_FRAMES, &status_frames, 1, 4, 0),
            (grant::GET_STATUS_FRAMES, &status_frames, 0, 4, EFAULT),
            (grant::GET_VERSION, &version, 1, 4, 0),
            (grant::GET_VERSION, &version, 0, 4, EFAULT),
            (grant::QUERY_SIZE, &size, 0, 12, EFAULT),
            (grant::QUERY_SIZE, &size, 1, 4, EFAULT),
        ] {
            let (head, tail) = bytes.split_at(first);
            guest.put(gpa(0) + 0x1000 - head.len() as u64, head);
            guest.put(gpa(1), tail);
            for (n, flags) in writable.into_iter().enumerate() {
                let flags = if n == page { flags } else { flags | 1 << 7 };
                guest.put(entry(n as u64), &flags);
            }
            let at = SCRAMBLED + 0x1000 - head.len() as u64;
            assert_eq!(
                guest.hvc(GRANT_TABLE_OP, &[op, at, 1]),
                want,
                "{op} {first} of it in page 0, page {page} to be written"
            );
        }
    });
}
