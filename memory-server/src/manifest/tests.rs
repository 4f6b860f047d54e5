use super::*;

fn domain(domid: u16, is_static: bool) -> DomainConfig {
    DomainConfig {
        domid: DomId(domid),
        name: DomainConfig::pad_name("alpha"),
        max_pages: 1024,
        is_static,
        direct: false,
        table_quota: 16,
        grant_radix: 13,
        lenders: 0,
        shares: Shares::NONE,
    }
}

fn untyped(paddr: u64, size_bits: u8, purpose: Purpose) -> Untyped {
    Untyped {
        paddr,
        size_bits,
        device: false,
        purpose,
    }
}

#[test]
fn what_is_encoded_is_decoded() {
    let domains = [domain(1, true), domain(2, false)];
    let untypeds = [
        Untyped {
            device: true,
            ..untyped(0x4000_0000, 22, Purpose::Static(DomainIndex(0)))
        },
        untyped(0x8000_0000, 30, Purpose::Heap),
        untyped(0x6000_0000, 16, Purpose::Tables(DomainIndex(1))),
    ];
    let words = encode(&domains, &untypeds, 7).unwrap();
    let manifest = Manifest::decode(&words).unwrap();
    assert_eq!(manifest.splits(), 7);
    assert!(manifest.domains().map(|(_, c)| c).eq(domains));
    assert!(manifest.untypeds().eq(untypeds));
    assert_eq!(manifest.domain(DomainIndex(0)).unwrap().name(), "alpha");
    assert_eq!(manifest.domain(DomainIndex(2)), None);
    // 2 blocks of static memory, 512 of heap, none of tables.
    assert_eq!(layout::blocks(&manifest), 514);
    // 193 + 2 * 514 blocks, up to 1248; 7 * 32 chunks; two splits are for static memory, so the
    // heap has 5 * 512 pages: 4032 slots.
    assert_eq!(layout::own_radix(&manifest), 12);
}

#[test]
fn a_symbol_that_was_not_patched_is_told() {
    assert_eq!(
        Manifest::decode(&[0; MANIFEST_WORDS]).unwrap_err(),
        ManifestError::NotPatched
    );
    assert_eq!(
        Manifest::decode(&[0; 3]).unwrap_err(),
        ManifestError::Length(3)
    );
}

/// SH-4, SM-11: overlapping memory is refused.
#[test]
fn overlapping_memory_is_refused_sh_4() {
    let domains = [domain(1, true)];
    let d = DomainIndex(0);
    let untypeds = [
        untyped(0x4020_0000, 21, Purpose::Heap),
        untyped(0x4000_0000, 22, Purpose::Static(d)),
    ];
    assert_eq!(
        encode(&domains, &untypeds, 0),
        Err(ManifestError::Overlap(0, 1))
    );
}

/// SM-26, SM-17: static memory belongs to static domains.
#[test]
fn static_memory_for_a_heap_domain_is_refused_sm_26() {
    let domains = [domain(1, false)];
    let untypeds = [untyped(0x4000_0000, 21, Purpose::Static(DomainIndex(0)))];
    assert_eq!(
        encode(&domains, &untypeds, 0),
        Err(ManifestError::NotStatic(0))
    );
}

#[test]
fn impossible_untypeds_are_refused() {
    let domains = [domain(1, true)];
    let refused = |u: Untyped| encode(&domains, &[u], 0).unwrap_err();
    assert_eq!(
        refused(untyped(0x4000_1000, 21, Purpose::Heap)),
        ManifestError::Shape(0)
    );
    assert_eq!(
        refused(untyped(0x4000_0000, 3, Purpose::Heap)),
        ManifestError::Shape(0)
    );
    assert_eq!(
        refused(untyped(0, 48, Purpose::Heap)),
        ManifestError::Shape(0)
    );
    assert_eq!(
        refused(untyped(0, 21, Purpose::Tables(DomainIndex(1)))),
        ManifestError::NoDomain(0)
    );
    let device = Untyped {
        device: true,
        ..untyped(0, 21, Purpose::Tables(DomainIndex(0)))
    };
    assert_eq!(refused(device), ManifestError::DeviceTables(0));
    assert_eq!(
        refused(untyped(0, 22, Purpose::Tables(DomainIndex(0)))),
        ManifestError::LargeTables(0)
    );
}

#[test]
fn domains_are_checked() {
    assert_eq!(encode(&[], &[], 0), Err(ManifestError::Domains(0)));
    assert_eq!(
        encode(&[domain(1, true), domain(1, true)], &[], 0),
        Err(ManifestError::SameDomid(0, 1))
    );
    assert_eq!(
        encode(&[domain(0x7ff0, true)], &[], 0),
        Err(ManifestError::Domid(0))
    );
    let small = DomainConfig {
        grant_radix: 11,
        ..domain(1, false)
    };
    // 2 blocks of RAM and 4 windows more, plus the tail: 6 * 512 + 930 slots.
    assert_eq!(
        encode(&[small], &[], 0),
        Err(ManifestError::GrantRadix {
            domain: 0,
            need: 12
        })
    );
}

#[test]
fn an_error_says_what_to_do() {
    extern crate std;
    use std::string::ToString;
    let text = ManifestError::GrantRadix {
        domain: 1,
        need: 14,
    }
    .to_string();
    assert_eq!(text, "domain 1: its grant CNode needs radix 14 at least");
}
