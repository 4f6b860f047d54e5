extern crate std;
use std::vec;
use std::vec::Vec;

use dt_server_api::{Bank, DomainRecord, Module, PvFeatures};
use hv_types::Gpa;

use super::*;

const MIB: u64 = 1 << 20;

fn range(start: u64, size: u64) -> Range {
    Range::new(start, size).unwrap()
}

fn domain(n: u16, ram: u64, fixed: Option<u64>) -> dt_server::DomainConfig {
    let banks: heapless::Vec<_, _> = [Bank::new(Gpa::new(0x4000_0000), ram)]
        .into_iter()
        .collect();
    dt_server::DomainConfig {
        record: DomainRecord {
            domid: n,
            name: heapless::String::try_from("d").unwrap(),
            vcpus: 1,
            max_banks: banks.clone(),
            banks,
            extended: heapless::Vec::new(),
            shared: heapless::Vec::new(),
            layout: dt_server_api::XEN_LAYOUT,
            is_static: fixed.is_some(),
            direct_map: false,
            pv: PvFeatures::NoXenstore,
            vpl011: false,
            nr_spis: 32,
            max_grant_frames: 64,
            trap_unmapped: true,
            kernel: Module { region: 0, size: 1 },
            ramdisk: None,
            meets: 0,
            domains: 1,
        },
        static_mem: fixed.map(|start| range(start, ram)).into_iter().collect(),
        heap: if fixed.is_some() { 0 } else { ram },
        tables: 3 * MIB,
        extra: 67 * PAGE_SIZE,
        shared_ids: Vec::new(),
        vcpu_times: Vec::new(),
        devices: Default::default(),
        vcpu_cores: Vec::new(),
        bootargs: "".into(),
        kernel_file: "Image".into(),
        ramdisk_file: None,
        disks: Vec::new(),
        nics: Vec::new(),
    }
}

fn config(domains: Vec<dt_server::DomainConfig>) -> Config {
    Config {
        domains,
        memory: vec![range(0x4000_0000, 2048 * MIB)],
        ..Config::default()
    }
}

#[test]
fn every_byte_has_one_owner() {
    let config = config(vec![
        domain(1, 256 * MIB, Some(0x4000_0000)),
        domain(2, 100 * MIB, None),
        domain(3, 3 * MIB, Some(0x5010_0000)),
    ]);
    let host = range(0x6000_0000, 5 * MIB);
    let plan = Plan::new(&config, host).unwrap();
    let manifest = plan.manifest().unwrap();
    // decode() has checked that untypeds are disjoint; here that they leave the rest alone.
    let mut all: Vec<_> = manifest
        .untypeds()
        .map(|u| range(u.paddr, 1 << u.size_bits))
        .collect();
    let handed: u64 = all.iter().map(|r| r.size).sum();
    all.push(host);
    for (n, a) in all.iter().enumerate() {
        assert!(
            a.start >= 0x4000_0000 && a.end() <= 0xc000_0000,
            "{a} is no RAM"
        );
        assert!(
            all[..n].iter().all(|b| !a.overlaps(b)),
            "{a} belongs to two"
        );
    }
    assert_eq!(plan.unused, 2048 * MIB - host.size - handed);
    let of = |purpose| {
        manifest
            .untypeds()
            .filter(|u| u.purpose == purpose)
            .map(|u| 1_u64 << u.size_bits)
            .sum::<u64>()
    };
    assert_eq!(of(Purpose::Static(DomainIndex(0))), 256 * MIB);
    assert_eq!(of(Purpose::Static(DomainIndex(2))), 3 * MIB);
    assert_eq!(of(Purpose::Heap), (100 + 2 + 2) * MIB);
    // A table for each of 128 blocks and a few more.
    assert_eq!(of(Purpose::Tables(DomainIndex(0))), MIB / 2 + MIB / 8);
    assert!(
        manifest
            .untypeds()
            .all(|u| u.device == matches!(u.purpose, Purpose::Static(_)))
    );
}

#[test]
fn a_given_heap_is_all_of_it() {
    let mut config = config(vec![domain(1, 64 * MIB, None)]);
    config.static_heap = vec![range(0x7000_0000, 128 * MIB)];
    let plan = Plan::new(&config, range(0x6000_0000, MIB)).unwrap();
    let heap: Vec<_> = plan
        .manifest()
        .unwrap()
        .untypeds()
        .filter(|u| u.purpose == Purpose::Heap)
        .map(|u| u.paddr)
        .collect();
    assert_eq!(heap, [0x7000_0000]);
}

#[test]
fn all_of_it_leaves_less_than_blocks_over() {
    let mut all = config(vec![
        domain(1, 64 * MIB, None),
        domain(2, 64 * MIB, Some(0x4000_0000)),
    ]);
    let host = range(0xb000_0000, 16 * MIB);
    let needed = Plan::new(&all, host).unwrap();
    all.heap_all = true;
    let plan = Plan::new(&all, host).unwrap();
    assert!(
        needed.unused > 1024 * MIB && plan.unused < 4 * MIB,
        "{} MiB unused",
        plan.unused / MIB
    );
    let manifest = plan.manifest().unwrap();
    // 32 static blocks, 44 windows for the heap RAM, one block of extra pages, 4 to spare; not all
    // 960 blocks.
    assert_eq!(manifest.splits(), 81);
    let tables = Sizes::of(&manifest).bytes(&manifest) as u64 + HEAP;
    assert!(
        tables + FIXED / 2 + PER_DOMAIN <= own_bytes(&all),
        "{tables} of {}",
        own_bytes(&all)
    );
}

#[test]
fn what_the_host_keeps_suffices_for_its_tables() {
    for domains in [
        vec![domain(1, 16 * MIB, Some(0x4000_0000))],
        vec![domain(1, 256 * MIB, Some(0x4000_0000))],
        vec![
            domain(1, 256 * MIB, Some(0x4000_0000)),
            domain(2, 256 * MIB, None),
            domain(3, 256 * MIB, None),
        ],
        vec![domain(1, 1024 * MIB, None)],
        (1..=8).map(|n| domain(n, 16 * MIB, None)).collect(),
    ] {
        let config = config(domains);
        let plan = Plan::new(&config, range(0xb000_0000, 16 * MIB)).unwrap();
        let manifest = plan.manifest().unwrap();
        let p2m: u64 = config
            .domains
            .iter()
            .map(|d| topology::p2m_bytes(d.max_ram()))
            .sum();
        let tables = Sizes::of(&manifest).bytes(&manifest) as u64 + p2m + HEAP;
        let rest = FIXED / 2 + config.domains.len() as u64 * PER_DOMAIN / 2;
        assert!(
            tables + rest <= own_bytes(&config),
            "{tables} + {rest} of {}",
            own_bytes(&config)
        );
        assert!(
            own_bytes(&config) < 4 * MIB + p2m + 32 * 1024 * handed_blocks(&manifest),
            "not absurdly much"
        );
    }
}

fn handed_blocks(manifest: &Manifest<'_>) -> u64 {
    u64::from(layout::blocks(manifest))
}

#[test]
fn too_little_memory_is_told() {
    let host = range(0x4000_0000, MIB);
    assert_eq!(
        Plan::new(&config(vec![]), host).unwrap_err(),
        PlanError::NoDomain
    );
    let large = config(vec![domain(1, 4096 * MIB, None)]);
    assert!(matches!(
        Plan::new(&large, host).unwrap_err(),
        PlanError::NoRoom {
            what: "the heap",
            ..
        }
    ));
}

#[test]
fn without_a_memory_node_the_board_says_what_ram_there_is() {
    let mut nowhere = config(vec![domain(1, MIB, None)]);
    nowhere.memory.clear();
    let board = nowhere.board.ram.iter().map(|area| area.size).sum::<u64>();
    let sum = |config: &Config| ram(config).iter().map(|bank| bank.size).sum::<u64>();
    assert_eq!(sum(&nowhere), board);
    // Banks in any order, that touch, or that are named twice.
    let bank = |start, size| Range::new(start, size).unwrap();
    nowhere.memory = vec![
        bank(0x5000_0000, 0x1000_0000),
        bank(0x4000_0000, 0x1000_0000),
        bank(0x4000_0000, 0x2000_0000),
        bank(0x8000_0000, 0x1000),
    ];
    let merged = [bank(0x4000_0000, 0x2000_0000), bank(0x8000_0000, 0x1000)];
    assert_eq!(ram(&nowhere)[..], merged);
}
