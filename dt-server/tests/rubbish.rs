//! Nothing that can be in a device tree makes the parser panic.

mod common;

use common::{L1, L1_KERNEL, L1_RAMDISK, TestFiles, Tree};
use dt_server::{DtServer, NoFiles, Seeds, parse};
use dt_server_api::{Message, Request};
use proptest::prelude::*;

/// Parses; what is accepted must also be served.
fn exercise(bytes: &[u8]) -> bool {
    let _ = parse(bytes, &NoFiles);
    match parse(bytes, &TestFiles) {
        Err(found) => {
            assert!(found.has_errors());
            assert!(!found.to_string().is_empty());
            false
        }
        Ok(config) => {
            assert!((1..=8).contains(&config.domains.len()));
            let clients = config.domains.len();
            let mut server = DtServer::new(config, Seeds::none());
            for client in 0..=clients {
                for request in [
                    Request::Record,
                    Request::WriteTree { initrd: None },
                    Request::ReadTree { offset: 0 },
                ] {
                    let reply: Message = server.on_ppc(client, &request.encode());
                    assert_eq!(reply.label != 0, client == clients, "{request:?}");
                }
            }
            true
        }
    }
}

const NODES: [&str; 6] = [
    "/",
    "/memory@40000000",
    "/chosen",
    L1,
    L1_KERNEL,
    L1_RAMDISK,
];
const PROPERTIES: [&str; 28] = [
    "#address-cells",
    "#size-cells",
    "reg",
    "status",
    "device_type",
    "compatible",
    "memory",
    "cpus",
    "vpl011",
    "nr_spis",
    "xen,static-mem",
    "xen,static-heap",
    "xen,enhanced",
    "direct-map",
    "passthrough",
    "capabilities",
    "sve",
    "max_grant_version",
    "max_grant_frames",
    "max_maptrack_frames",
    "trap-unmapped-accesses",
    "xen,domain-p2m-mem-mb",
    "bootargs",
    "zazen,file",
    "zazen,size",
    "id",
    "xen,sci_type",
    "hard-affinity",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(!exercise(&bytes));
    }

    #[test]
    fn a_tree_with_bytes_changed(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut dtb = Tree::two().dtb();
        for (index, byte) in changes {
            let at = index.index(dtb.len());
            dtb[at] = byte;
        }
        exercise(&dtb);
    }

    #[test]
    fn a_tree_with_words_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![0u32..16, any::<u32>(), Just(u32::MAX)]), 1..4)
    ) {
        let mut dtb = Tree::two().dtb();
        for (index, word) in changes {
            let at = index.index(dtb.len() / 4) * 4;
            dtb[at..at + 4].copy_from_slice(&word.to_be_bytes());
        }
        exercise(&dtb);
    }

    #[test]
    fn a_tree_cut_off(index in any::<prop::sample::Index>(), fix_size in any::<bool>()) {
        let mut dtb = Tree::two().dtb();
        dtb.truncate(index.index(dtb.len()));
        if fix_size && dtb.len() >= 8 {
            let size = u32::try_from(dtb.len()).unwrap();
            dtb[4..8].copy_from_slice(&size.to_be_bytes());
        }
        prop_assert!(!exercise(&dtb));
    }

    #[test]
    fn properties_with_any_value(
        changes in prop::collection::vec(
            (prop::sample::select(&NODES[..]), prop::sample::select(&PROPERTIES[..]), prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                any::<u32>().prop_map(|cell| cell.to_be_bytes().to_vec()),
                any::<u64>().prop_map(|cells| cells.to_be_bytes().to_vec()),
                "[ -~]{0,20}".prop_map(|text| { let mut bytes = text.into_bytes(); bytes.push(0); bytes }),
            ]),
            1..5,
        )
    ) {
        let mut tree = Tree::two();
        for (node, property, value) in changes {
            tree.set(node, property, value);
        }
        exercise(&tree.dtb());
    }
}

#[test]
fn the_unchanged_tree_is_served() {
    assert!(exercise(&Tree::two().dtb()));
    assert!(exercise(&Tree::heap().dtb()));
}
