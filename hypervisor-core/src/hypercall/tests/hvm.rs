use xen_abi::hvm::{GET_PARAM, GUEST_REQUEST_VM_EVENT, HvmParam, SET_PARAM};
use xen_abi::number::HVM_OP;

use hv_types::{Gfn, Port};

use super::{BUF, DOMID, EFAULT, EINVAL, ENOSYS, EPERM, ESRCH, Guest, HOLE, SELF};
use crate::device::pv_console::PvConsole;

fn param(domid: u16, index: u32) -> HvmParam {
    HvmParam {
        domid,
        pad: 0,
        index,
        value: 0x5555,
    }
}

#[test]
fn a_guest_reads_its_five_parameters() {
    let mut guest = Guest::new();
    guest.vm.devices.pv_console = Some(PvConsole::new(Gfn::new(0x39000), Port(1)));
    for (index, value) in [(0, 0), (1, 0), (2, 0), (17, 0x39000), (18, 1)] {
        for domid in [DOMID, SELF] {
            guest.put(BUF, &param(domid, index));
            assert_eq!(guest.result(HVM_OP, &[GET_PARAM, BUF]), 0);
            assert_eq!(
                guest.get::<HvmParam>(BUF),
                HvmParam {
                    value,
                    ..param(domid, index)
                }
            );
        }
    }
}

#[test]
fn no_console_means_zero() {
    let mut guest = Guest::new();
    guest.vm.devices.pv_console = None;
    for index in [17, 18] {
        guest.put(BUF, &param(SELF, index));
        assert_eq!(guest.result(HVM_OP, &[GET_PARAM, BUF]), 0);
        assert_eq!(guest.get::<HvmParam>(BUF).value, 0);
    }
}

#[test]
fn every_other_parameter_is_refused() {
    let mut guest = Guest::new();
    for index in (0..64).chain([u32::MAX, 0x8000_0000]) {
        guest.put(BUF, &param(SELF, index));
        let expected = match index {
            0 | 1 | 2 | 17 | 18 => 0,
            28 => EPERM,
            _ => EINVAL,
        };
        assert_eq!(
            guest.result(HVM_OP, &[GET_PARAM, BUF]),
            expected,
            "get {index}"
        );
        let expected = match index {
            0 | 1 | 2 | 17 | 18 | 28 => EPERM,
            _ => EINVAL,
        };
        assert_eq!(
            guest.result(HVM_OP, &[SET_PARAM, BUF]),
            expected,
            "set {index}"
        );
    }
}

#[test]
fn other_domains_are_not_touched() {
    let mut guest = Guest::new();
    for domid in [0, DOMID + 1, 0x7ff1, 0x7ff4, 0xffff] {
        guest.put(BUF, &param(domid, 17));
        assert_eq!(guest.result(HVM_OP, &[GET_PARAM, BUF]), ESRCH, "{domid:#x}");
        assert_eq!(guest.result(HVM_OP, &[SET_PARAM, BUF]), ESRCH, "{domid:#x}");
    }
    guest.put(BUF, &param(DOMID - 1, 17));
    assert_eq!(guest.result(HVM_OP, &[GET_PARAM, BUF]), EPERM);
    assert_eq!(guest.result(HVM_OP, &[SET_PARAM, BUF]), EPERM);
}

#[test]
fn bad_pointers_and_operations() {
    let mut guest = Guest::new();
    for op in [GET_PARAM, SET_PARAM] {
        for arg in [0, HOLE, u64::MAX, u64::MAX - 7] {
            assert_eq!(guest.result(HVM_OP, &[op, arg]), EFAULT);
        }
    }
    assert_eq!(guest.result(HVM_OP, &[GUEST_REQUEST_VM_EVENT, 0]), 0);
    assert_eq!(guest.result(HVM_OP, &[GUEST_REQUEST_VM_EVENT, BUF]), EINVAL);
    for op in [2, 9, 23, 25, 0x1_0000_0000] {
        assert_eq!(guest.result(HVM_OP, &[op, BUF]), ENOSYS, "{op:#x}");
    }
}
