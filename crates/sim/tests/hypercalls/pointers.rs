//! Arguments that are nowhere.

use super::*;

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
