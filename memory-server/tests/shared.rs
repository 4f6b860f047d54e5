//! Static shared memory: who gets which frames, in which order, and what is left at an end.
#![allow(missing_docs, reason = "tests")]

mod common;

use common::{D0, D1, System, domain, memory};
use hv_types::FrameSize;
use memory_server::kernel::Object;
use memory_server::manifest::{self, ManifestError};
use memory_server::{DomainConfig, DomainIndex, Purpose, Shares, Untyped, cost, layout};
use memory_server_api::{Error, Extra, Lending, NO_LEND, Reply, Request, Slot};

const D2: DomainIndex = DomainIndex(2);
const MIB: u64 = 1 << 20;

const fn shared(region: u8, blocks: bool) -> Purpose {
    Purpose::Shared { region, blocks }
}

/// Region 0 is 4 MiB and 8 KiB of device memory in blocks, 1 is 64 KiB of the kernel's, 2 is 4 MiB
/// in pages; they are not in order. D0 has 0 and 1, D1 has 0 and 2, D2 has none.
fn untypeds() -> Vec<Untyped> {
    let mut all = vec![
        memory(0x4000_0000, 23, true, Purpose::Static(D0)),
        memory(0x8000_0000, 24, false, Purpose::Heap),
        memory(0x7000_0000, 16, false, shared(1, true)),
        memory(0x5000_0000, 22, true, shared(0, true)),
        memory(0x5040_0000, 13, true, shared(0, true)),
        memory(0x7040_0000, 22, true, shared(2, false)),
    ];
    for (n, d) in (0..).zip([D0, D1, D2]) {
        all.push(memory(
            0x6000_0000 + n * 0x4000,
            14,
            false,
            Purpose::Tables(d),
        ));
    }
    all
}

fn domains() -> [DomainConfig; 3] {
    let all = untypeds();
    let shares = |regions| layout::shares(all.iter().copied(), regions);
    [
        DomainConfig {
            shares: shares(0b011),
            ..domain(1, true, 8)
        },
        DomainConfig {
            shares: shares(0b101),
            ..domain(2, false, 8)
        },
        domain(3, false, 2),
    ]
}

fn system() -> System {
    System::new(&domains(), &untypeds(), 10)
}

fn share(s: &mut System, d: DomainIndex, frame: u32) -> Result<(Slot, u32, FrameSize), Error> {
    s.ask(d, Request::Shared { frame })
        .map(|reply| match reply {
            Reply::Shared { first, count, size } => (first, count, size),
            other => panic!("{other:?}"),
        })
}

/// All shared memory of `d` in its order: (physical address, bytes).
fn all(s: &mut System, d: DomainIndex) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    loop {
        let frame = u32::try_from(found.len()).unwrap();
        match share(s, d, frame) {
            Ok((first, count, size)) => {
                assert!((1..=Request::MAX_SHARED).contains(&count));
                for n in 0..count {
                    let cap = s.kernel.granted[&(d, first.nth(n))];
                    assert_eq!(cap.object, Object::Frame(size));
                    found.push((cap.paddr, size.bytes()));
                }
            }
            Err(Error::NotYours) => return found,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn held(s: &System, d: DomainIndex) -> usize {
    s.kernel.granted.keys().filter(|(of, _)| *of == d).count()
}

#[test]
fn each_gets_its_regions_and_the_same_frames() {
    let mut s = system();
    let of_0 = all(&mut s, D0);
    let blocks = [(0x5000_0000, 2 * MIB), (0x5020_0000, 2 * MIB)];
    assert_eq!(of_0[..2], blocks);
    assert_eq!(of_0[2..4], [(0x5040_0000, 4096), (0x5040_1000, 4096)]);
    assert_eq!((of_0.len(), of_0[4]), (4 + 16, (0x7000_0000, 4096)));
    let of_1 = all(&mut s, D1);
    assert_eq!(of_1[..4], of_0[..4]);
    assert_eq!(of_1.len(), 4 + 1024);
    let pages = (0..).zip(&of_1[4..]);
    for (n, page) in pages {
        assert_eq!(*page, (0x7040_0000 + n * 4096, 4096));
    }
    assert_eq!(all(&mut s, D2), []);
    assert_eq!(share(&mut s, D2, 0), Err(Error::NotYours));
    // It counts for nobody.
    assert_eq!((s.usage(D0).ram, s.usage(D0).extra), (0, 0));
    let totals = s.server.totals();
    assert_eq!(totals.shared, 8 * MIB + 8192 + 65536);
    assert_eq!(totals.sum(), totals.all);
}

/// Of device memory each frame once, before anybody has it; the kernel has zeroed its own.
#[test]
fn they_are_zeroed_once() {
    let mut s = system();
    all(&mut s, D0);
    all(&mut s, D1);
    let mut scrubbed: Vec<u64> = s.kernel.scrubbed.iter().map(|(paddr, _)| *paddr).collect();
    assert_eq!(scrubbed.len(), 4 + 1024);
    scrubbed.sort_unstable();
    scrubbed.dedup();
    assert_eq!(scrubbed.len(), 4 + 1024, "none twice");
    assert!(
        !scrubbed
            .iter()
            .any(|at| (0x7000_0000..0x7001_0000).contains(at))
    );
    // Whoever ends and lives again, however often: nothing is zeroed, nobody else loses anything.
    let before = held(&s, D1);
    for _ in 0..3 {
        while s.server.destroy(&mut s.kernel, D0).is_err() {}
        assert_eq!(held(&s, D0), 0);
        s.server.revive(D0).unwrap();
        assert_eq!(all(&mut s, D0).len(), 20);
    }
    assert_eq!(held(&s, D1), before);
    assert_eq!(s.kernel.scrubbed.len(), scrubbed.len());
}

/// One after the other: a VMM that asks for a later one gets nothing, and one that it has again.
#[test]
fn a_vmm_asks_in_order() {
    let mut s = system();
    assert_eq!(share(&mut s, D0, 1), Err(Error::WrongState));
    assert_eq!(share(&mut s, D0, 20), Err(Error::NotYours));
    assert_eq!(share(&mut s, D0, u32::MAX), Err(Error::NotYours));
    assert_eq!(held(&s, D0), 0);
    let first = share(&mut s, D0, 0).unwrap();
    let held_then = held(&s, D0);
    let again = share(&mut s, D0, 0).unwrap();
    assert_eq!((first.0, first.2), (again.0, again.2));
    assert!(again.1 >= first.1);
    assert!(held(&s, D0) >= held_then);
}

/// A hostile VMM names the slots of shared memory in every other request.
#[test]
fn no_other_request_names_a_shared_frame() {
    let mut s = system();
    all(&mut s, D0);
    let (first, ..) = share(&mut s, D0, 0).unwrap();
    let before = (held(&s, D0), s.server.totals());
    for n in 0..20 {
        let slot = first.nth(n);
        for request in [
            Request::Release { slot },
            Request::Split {
                slot,
                patient: false,
            },
            Request::SplitDone { slot },
            Request::SplitAbort { slot },
            Request::Chunk { slot },
            Request::Alias { slot, alias: 0 },
            Request::Window { slot, sight: 0 },
            Request::Unalias { slot, alias: 0 },
        ] {
            let answer = s.ask(D0, request);
            assert!(answer.is_err(), "{request:?}: {answer:?}");
        }
        let lend = Lending::Lend {
            domain: 0,
            gref: 1,
            was: 1,
            now: 1,
            gfn: 0,
            slot: slot.0,
            like: NO_LEND,
            to: 1,
            lend: 0,
            writable: true,
        };
        assert!(s.server.on_lending(&mut s.kernel, lend).is_err());
    }
    assert_eq!((held(&s, D0), s.server.totals()), before);
}

/// Whatever the kernel refuses, the request can be repeated, and nothing is given before it is
/// zeroed.
#[test]
fn what_the_kernel_refuses_comes_later() {
    for step in 0..60 {
        let mut s = system();
        s.kernel.fail_in = Some(step);
        let mut failures = 0;
        for frame in 0..20 {
            while let Err(error) = share(&mut s, D0, frame) {
                assert_eq!(error, Error::Kernel);
                failures += 1;
                assert!(failures < 3, "at step {step}");
            }
        }
        s.kernel.fail_in = None;
        assert_eq!(all(&mut s, D0).len(), 20, "step {step}");
        for block in [0x5000_0000, 0x5020_0000, 0x5040_0000, 0x5040_1000] {
            assert!(s.kernel.scrubbed.iter().any(|(at, _)| *at == block));
        }
        // The same at the end.
        s.kernel.fail_in = Some(step);
        while s.server.destroy(&mut s.kernel, D0).is_err() {}
        assert_eq!(held(&s, D0), 0, "step {step}");
    }
}

/// When its VMM has stopped, what it had goes; the others keep theirs.
#[test]
fn a_vmm_that_stopped_has_none() {
    let mut s = system();
    all(&mut s, D0);
    all(&mut s, D1);
    s.ask(
        D1,
        Request::CreateExtra {
            kind: Extra::Console,
        },
    )
    .unwrap();
    let before = held(&s, D0);
    while s.server.crashed(&mut s.kernel, D1).unwrap().0 {}
    assert_eq!((held(&s, D0), held(&s, D1)), (before, 0));
    assert_eq!(share(&mut s, D1, 0), Err(Error::Dying));
}

/// No message does more than one may.
#[test]
fn a_message_is_bounded() {
    let mut s = system();
    let mut messages = 0;
    for d in [D0, D1] {
        let mut frame = 0;
        loop {
            messages += 1;
            assert!(messages < 1000);
            let answer = s.send(d, Request::Shared { frame });
            let spent = s.kernel.cost;
            assert!(spent <= cost::MESSAGE + cost::BEFORE, "{frame}: {spent}");
            match answer {
                Ok(Reply::Shared { count, .. }) => frame += count,
                Err(Error::Again) => {}
                Err(Error::NotYours) => break,
                other => panic!("{other:?}"),
            }
        }
    }
    loop {
        s.kernel.cost = 0;
        let (more, _) = s.server.crashed(&mut s.kernel, D1).unwrap();
        assert!(s.kernel.cost <= cost::MESSAGE + cost::BEFORE);
        if !more {
            break;
        }
    }
}

#[test]
fn a_manifest_that_is_not_sound_is_refused() {
    let refused = |domains: &[DomainConfig], untypeds: &[Untyped]| {
        manifest::encode(domains, untypeds, 10).unwrap_err()
    };
    let (good, all) = (domains(), untypeds());
    let mut wrong = good;
    wrong[1].shares.frames += 1;
    assert_eq!(refused(&wrong, &all), ManifestError::Shares(1));
    wrong[1].shares = Shares {
        regions: 0b1000,
        frames: 1,
    };
    assert_eq!(refused(&wrong, &all), ManifestError::Shares(1));
    for purpose in [shared(32, false), shared(255, true)] {
        let mut wrong = all.clone();
        wrong[2].purpose = purpose;
        assert_eq!(refused(&good, &wrong), ManifestError::Shape(2));
    }
    let mut small = all.clone();
    small[2].size_bits = 11;
    assert_eq!(refused(&good, &small), ManifestError::Shape(2));
    let mut twice = all;
    twice[2].paddr = 0x5000_0000;
    assert!(matches!(refused(&good, &twice), ManifestError::Overlap(..)));
}
