//! Direct-mapped domains (DM): each guest frame is the machine frame of the same number, or
//! nothing.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, MIB, System, domain, memory};
use hv_types::FrameSize;
use memory_server::manifest::{self, ManifestError};
use memory_server::{DomainConfig, Purpose};
use memory_server_api::{Error, Extra, Granted, Reply, Request, Slot, SplitKind};
use proptest::prelude::*;

const BASE: u64 = 0x4000_0000;
const GFN: u64 = BASE >> 12;

fn direct(domid: u16, mib: u64) -> DomainConfig {
    DomainConfig {
        direct: true,
        ..domain(domid, true, mib)
    }
}

/// A direct-mapped domain with 8 MiB at [`BASE`] in two untypeds, and an ordinary static one with 4
/// MiB after it.
fn system(device: bool) -> System {
    System::new(
        &[direct(1, 8), domain(2, true, 4)],
        &[
            memory(BASE, 22, device, Purpose::Static(D0)),
            memory(BASE + 4 * MIB, 22, device, Purpose::Static(D0)),
            memory(BASE + 8 * MIB, 22, device, Purpose::Static(D1)),
            memory(0x8000_0000, 21, false, Purpose::Heap),
            memory(0x6000_0000, 14, false, Purpose::Tables(D0)),
            memory(0x6000_4000, 14, false, Purpose::Tables(D1)),
        ],
        6,
    )
}

fn blocks(s: &mut System, gfn: u64, blocks: u32) -> Result<Granted, Error> {
    s.run(D0, gfn, blocks)
}

fn page(s: &mut System, gfn: u64) -> Result<Slot, Error> {
    s.place(D0, gfn)
}

/// DM-1: a direct-mapped domain without static memory is refused.
#[test]
fn only_static_domains_are_direct_mapped() {
    let config = DomainConfig {
        is_static: false,
        ..direct(1, 8)
    };
    assert_eq!(
        manifest::encode(&[config], &[], 0).unwrap_err(),
        ManifestError::DirectWithoutStatic(0)
    );
}

/// DM-2, DM-6, SM-25: at boot each 2 MiB frame is the one with the guest's address, in whatever
/// order they are asked for.
#[test]
fn blocks_are_those_that_are_named() {
    let mut s = system(true);
    let last = blocks(&mut s, GFN + 3 * 512, 1).unwrap();
    assert_eq!(s.paddr(D0, last.slot(0)), BASE + 6 * MIB);
    let rest = blocks(&mut s, GFN, 64).unwrap();
    assert_eq!((rest.count, rest.size), (3, FrameSize::Block));
    for n in 0..3 {
        assert_eq!(s.paddr(D0, rest.slot(n)), BASE + u64::from(n) * 2 * MIB);
    }
    assert_eq!(s.usage(D0).ram, 2048);
    assert_eq!(s.usage(D0).reserve, 0);
}

/// DM-2, SM-26: a frame that is not the domain's own stops the request, wherever it is: a
/// neighbour's, heap, nothing.
#[test]
fn nobody_elses_frame_can_be_named() {
    let mut s = system(true);
    for gfn in [GFN - 512, GFN + 2048, 0x8_0000, 0x6_0000, 0, 1 << 40, !511] {
        assert_eq!(
            blocks(&mut s, gfn, 1).unwrap_err(),
            Error::NotYours,
            "{gfn:#x}"
        );
        assert_eq!(page(&mut s, gfn).unwrap_err(), Error::NotYours, "{gfn:#x}");
    }
    assert_eq!((s.usage(D0).ram, s.usage(D0).reserve), (0, 2048));
    assert!(s.kernel.granted.is_empty());
}

/// DM-2, SM-4: a frame is granted once, and released it is the same frame again, with its contents.
#[test]
fn a_frame_comes_back_at_its_number_alone() {
    let mut s = system(true);
    let run = blocks(&mut s, GFN, 64).unwrap();
    assert_eq!(blocks(&mut s, GFN, 1).unwrap_err(), Error::OverQuota);
    let slot = run.slot(1);
    let Ok(Reply::Split { kind, pages }) = s.ask(D0, Request::split(slot)) else {
        panic!("no split");
    };
    assert_eq!(kind, SplitKind::InPlace);
    for n in [7, 3, 5] {
        s.release(D0, pages.slot(n)).unwrap();
    }
    assert_eq!(page(&mut s, GFN + 512 + 4).unwrap_err(), Error::WrongState);
    // Not first in, first out: each by its number.
    for n in [3u32, 5, 7] {
        let slot = page(&mut s, GFN + 512 + u64::from(n)).unwrap();
        assert_eq!(slot, pages.slot(n));
        assert_eq!(s.paddr(D0, slot), BASE + 2 * MIB + u64::from(n) * 4096);
    }
    assert!(
        s.kernel
            .scrubbed
            .iter()
            .all(|(_, size)| *size == FrameSize::Block),
        "its own contents (SM-14)"
    );
    assert_eq!(page(&mut s, GFN + 512 + 3).unwrap_err(), Error::OverQuota);
}

/// DM-3, SM-7: whole blocks can be had again after something was given back, unlike for other
/// static domains.
#[test]
fn whole_blocks_after_a_release() {
    let mut s = system(true);
    let run = blocks(&mut s, GFN, 64).unwrap();
    s.release(D0, run.slot(2)).unwrap();
    s.release(D0, run.slot(0)).unwrap();
    let again = blocks(&mut s, GFN, 1).unwrap();
    assert_eq!(s.paddr(D0, again.slot(0)), BASE);
    let again = blocks(&mut s, GFN + 1024, 1).unwrap();
    assert_eq!(s.paddr(D0, again.slot(0)), BASE + 4 * MIB);
}

/// DM-6: memory that the kernel owns is granted in pages, because a split there would move it.
#[test]
fn memory_of_the_kernel_comes_in_pages() {
    let mut s = system(false);
    assert_eq!(blocks(&mut s, GFN, 4).unwrap_err(), Error::NoMemory);
    for n in (0..2048).rev() {
        let slot = page(&mut s, GFN + n).unwrap();
        assert_eq!(s.paddr(D0, slot), BASE + n * 4096);
    }
    assert_eq!(s.usage(D0).ram, 2048);
}

/// EX-4, DM-2: extra pages are of the heap, never of the frames that have a number.
#[test]
fn extra_pages_are_of_the_heap() {
    let mut s = system(true);
    let kind = Extra::SharedInfo;
    let extra = s.granted(D0, Request::CreateExtra { kind }).unwrap();
    assert!(s.paddr(D0, extra.first) >= 0x8000_0000);
}

/// DM-2, SM-9: what the kernel refuses changes nothing, and the frame can be had afterwards.
#[test]
fn a_refused_grant_leaves_the_frame_in_its_place() {
    for n in 0..9 {
        let mut s = system(true);
        blocks(&mut s, GFN, 2).unwrap();
        s.kernel.fail_in = Some(n);
        let first = page(&mut s, GFN + 1024 + 9);
        s.kernel.fail_in = None;
        let slot = match first {
            Ok(slot) => slot,
            Err(error) => {
                assert_eq!(error, Error::Kernel);
                assert_eq!((s.usage(D0).ram, s.usage(D0).reserve), (1024, 1024));
                page(&mut s, GFN + 1024 + 9).unwrap()
            }
        };
        assert_eq!(s.paddr(D0, slot), BASE + 4 * MIB + 9 * 4096);
    }
}

proptest! {
    /// DM-2, SM-13, SM-16: whatever is populated and released in whatever order, each grant is the
    /// frame that was named.
    #[test]
    fn every_grant_is_the_frame_that_was_named(
        kernel_owned: bool,
        steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0u64..2048), 1..60),
    ) {
        let mut s = system(!kernel_owned);
        let mut held = std::collections::BTreeMap::new();
        for (whole, give, n) in steps {
            let n = if whole { n & !511 } else { n };
            if give {
                if let Some((slot, _)) = held.remove(&n) {
                    s.release(D0, slot).unwrap();
                }
            } else if whole {
                if let Ok(run) = blocks(&mut s, GFN + n, 1) {
                    prop_assert_eq!(s.paddr(D0, run.first), BASE + n * 4096);
                    prop_assert!(held.insert(n, (run.first, FrameSize::Block)).is_none());
                }
            } else if let Ok(slot) = page(&mut s, GFN + n) {
                prop_assert_eq!(s.paddr(D0, slot), BASE + n * 4096);
                prop_assert!(held.insert(n, (slot, FrameSize::Page)).is_none());
            }
            let pages: u64 = held.values().map(|(_, size)| u64::from(size.pages())).sum();
            let usage = s.usage(D0);
            prop_assert_eq!((usage.ram, usage.reserve), (pages, 2048 - pages));
        }
    }
}
