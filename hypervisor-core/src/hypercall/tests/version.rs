use xen_abi::number::XEN_VERSION;
use xen_abi::version::{self as abi, CompileInfo, FeatureInfo};

use super::{BUF, EFAULT, EINVAL, ENOBUFS, ENOSYS, EPERM, Guest, HOLE, LAST_PAGE};

fn text(bytes: &[u8]) -> &str {
    let end = bytes.iter().position(|byte| *byte == 0).expect("a NUL");
    assert!(
        bytes[end..].iter().all(|byte| *byte == 0),
        "padded with NULs"
    );
    core::str::from_utf8(&bytes[..end]).expect("ASCII")
}

#[test]
fn version_is_4_22_and_its_argument_is_ignored() {
    let mut guest = Guest::new();
    for arg in [0, HOLE, u64::MAX] {
        assert_eq!(guest.result(XEN_VERSION, &[abi::VERSION, arg]), 0x0004_0016);
    }
    assert_eq!(
        guest.host.sysreg_reads, 0,
        "the cheapest hypercall looks at no register"
    );
}

#[test]
fn strings_fill_their_fields() {
    let mut guest = Guest::new();
    for (cmd, len, expected) in [
        (abi::EXTRAVERSION, 16, ".0-zazen"),
        (abi::CAPABILITIES, 1024, "xen-3.0-aarch64 "),
        (abi::CHANGESET, 64, "unavailable"),
        (abi::GUEST_HANDLE, 16, ""),
        (abi::COMMANDLINE, 9, "<denied>"),
    ] {
        guest.fill(BUF, len + 1, 0xaa);
        assert_eq!(guest.result(XEN_VERSION, &[cmd, BUF]), 0, "{cmd}");
        let bytes = guest.bytes(BUF, len + 1);
        if cmd != abi::GUEST_HANDLE {
            assert_eq!(text(&bytes[..len]), expected);
        } else {
            assert!(bytes[..len].iter().all(|byte| *byte == 0));
        }
        assert_eq!(bytes[len], 0xaa, "{cmd}: nothing behind the field");
        assert_eq!(guest.result(XEN_VERSION, &[cmd, HOLE]), EFAULT, "{cmd}");
    }
}

#[test]
fn a_field_that_ends_outside_of_ram_is_a_fault() {
    let mut guest = Guest::new();
    let last = LAST_PAGE + 4096 - 8;
    for cmd in [
        abi::EXTRAVERSION,
        abi::COMPILE_INFO,
        abi::CAPABILITIES,
        abi::CHANGESET,
    ] {
        assert_eq!(guest.result(XEN_VERSION, &[cmd, last]), EFAULT, "{cmd}");
    }
    assert_eq!(
        guest.result(XEN_VERSION, &[abi::PLATFORM_PARAMETERS, last]),
        0
    );
}

#[test]
fn compile_info_is_four_strings() {
    let mut guest = Guest::new();
    guest.fill(BUF, 145, 0xaa);
    assert_eq!(guest.result(XEN_VERSION, &[abi::COMPILE_INFO, BUF]), 0);
    let info: CompileInfo = guest.get(BUF);
    assert!(text(&info.compiler).starts_with("rustc"));
    assert!(!text(&info.compile_by).is_empty());
    text(&info.compile_domain);
    text(&info.compile_date);
    assert_eq!(guest.bytes(BUF + 144, 1), [0xaa]);
    assert_eq!(
        guest.result(XEN_VERSION, &[abi::COMPILE_INFO, HOLE]),
        EFAULT
    );
}

#[test]
fn the_hypervisor_is_nowhere_in_the_guests_address_space() {
    let mut guest = Guest::new();
    guest.fill(BUF, 16, 0xaa);
    assert_eq!(
        guest.result(XEN_VERSION, &[abi::PLATFORM_PARAMETERS, BUF]),
        0
    );
    assert_eq!(guest.bytes(BUF, 9), [0, 0, 0, 0, 0, 0, 0, 0, 0xaa]);
}

#[test]
fn features_are_the_words_of_xen() {
    let mut guest = Guest::new();
    for (direct_map, expected) in [(false, 0x0005_6005), (true, 0x0006_6005)] {
        guest.vm.domain.record.direct_map = direct_map;
        guest.put(
            BUF,
            &FeatureInfo {
                submap_idx: 0,
                submap: u32::MAX,
            },
        );
        assert_eq!(guest.result(XEN_VERSION, &[abi::GET_FEATURES, BUF]), 0);
        assert_eq!(
            guest.get::<FeatureInfo>(BUF),
            FeatureInfo {
                submap_idx: 0,
                submap: expected
            }
        );
    }
    for submap_idx in [1, u32::MAX] {
        guest.put(
            BUF,
            &FeatureInfo {
                submap_idx,
                submap: 7,
            },
        );
        assert_eq!(guest.result(XEN_VERSION, &[abi::GET_FEATURES, BUF]), EINVAL);
        assert_eq!(guest.get::<FeatureInfo>(BUF).submap, 7, "untouched");
    }
    assert_eq!(
        guest.result(XEN_VERSION, &[abi::GET_FEATURES, HOLE]),
        EFAULT
    );
}

#[test]
fn pagesize_takes_no_argument() {
    let mut guest = Guest::new();
    assert_eq!(guest.result(XEN_VERSION, &[abi::PAGESIZE, 0]), 4096);
    assert_eq!(guest.result(XEN_VERSION, &[abi::PAGESIZE, BUF]), EINVAL);
}

#[test]
fn strings_of_variable_length() {
    let mut guest = Guest::new();
    for (cmd, expected) in [
        (abi::EXTRAVERSION2, ".0-zazen"),
        (abi::CAPABILITIES2, "xen-3.0-aarch64 "),
        (abi::CHANGESET2, "unavailable"),
    ] {
        let len = expected.len();
        let result = i64::try_from(len).unwrap();
        assert_eq!(
            guest.result(XEN_VERSION, &[cmd, 0]),
            result,
            "{cmd}: length alone"
        );
        guest.fill(BUF, 64, 0xaa);
        guest.put(BUF, &(u32::try_from(len).unwrap() - 1));
        assert_eq!(guest.result(XEN_VERSION, &[cmd, BUF]), ENOBUFS);
        assert_eq!(
            guest.bytes(BUF + 4, len),
            vec![0xaa; len],
            "{cmd}: untouched"
        );
        guest.put(BUF, &u32::try_from(len).unwrap());
        assert_eq!(guest.result(XEN_VERSION, &[cmd, BUF]), result);
        assert_eq!(guest.bytes(BUF + 4, len), expected.as_bytes());
        assert_eq!(
            guest.bytes(BUF + 4 + len as u64, 1),
            [0xaa],
            "{cmd}: no NUL"
        );
        assert_eq!(guest.result(XEN_VERSION, &[cmd, HOLE]), EFAULT);
        assert_eq!(guest.result(XEN_VERSION, &[cmd, u64::MAX - 3]), EFAULT);
    }
    for cmd in [abi::BUILD_ID, abi::COMMANDLINE2] {
        for arg in [0, BUF, HOLE] {
            assert_eq!(guest.result(XEN_VERSION, &[cmd, arg]), EPERM, "{cmd}");
        }
    }
}

#[test]
fn the_command_is_an_int() {
    let mut guest = Guest::new();
    assert_eq!(
        guest.result(XEN_VERSION, &[0xdead_beef_0000_0000, 0]),
        0x0004_0016
    );
    for cmd in [15, 16, u64::from(u32::MAX)] {
        assert_eq!(guest.result(XEN_VERSION, &[cmd, BUF]), ENOSYS);
    }
}
