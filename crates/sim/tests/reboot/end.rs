//! The order of the end, and ends after which there is no other life.

use hypervisor_core::domain::shutdown::StopReason;
use memory_server::Life;
use memory_server_api::{Error, Reply, Request};
use sim::Serial;

use super::*;

/// Ticks of a byte at 115,200 baud.
const BYTE: u64 = FREQUENCY / 11_520;

/// EX-7, EX-8, EV-3: once the guest has stopped, while its output still goes out, nothing writes to
/// its pages: no input, no event, no wake-up. Then the output is complete, and the pages go.
#[test]
fn an_event_during_teardown_writes_nothing() {
    let domains = [Domain::new("linux1"), Domain::new("linux2").heap()];
    let mut sys = System::with_serial(&domains, Serial::slow(16, BYTE));
    sys.advance(FREQUENCY);
    let mut guest = sys.guest(0);
    live(&mut guest, 1);
    let port = guest.console_port();
    guest.set_mask(port, false);
    // More than the console's own buffers hold: the rest stays in the guest's ring.
    let line = b"x".repeat(71);
    while guest.ring_put(&[&line[..], b"\n"].concat()) == 72 {
        guest.send(port);
    }
    let pages: Vec<u64> = {
        let domain = System::domain(0);
        let machine = guest.sys.memory.machine().look();
        [SHARED_INFO, CONSOLE_PAGE]
            .into_iter()
            .map(|at| {
                machine
                    .translate(domain, sim::caps::Side::Guest, at)
                    .unwrap()
            })
            .collect()
    };
    let page = |sys: &System, n: usize| -> Vec<u8> {
        let mut machine = sys.memory.machine().change();
        (0..4096).map(|i| machine.peek(pages[n] + i)).collect()
    };
    assert_eq!(guest.smc(&[RESET]), Ran::Restarts);
    assert!(!sys.is_alive(0), "it waits for the console");
    assert_eq!(sys.restarts(0), 0);
    let shared = page(&sys, 0);
    let input = |ring: Vec<u8>| ring[..1024].to_vec();
    let ring = input(page(&sys, 1));
    sys.type_in(b"\x01\x01\x01anybody there?");
    sys.advance(FREQUENCY / 100);
    assert_eq!(sys.restarts(0), 0, "it still waits");
    assert_eq!(page(&sys, 0), shared);
    assert_eq!(input(page(&sys, 1)), ring, "no input arrives");
    sys.advance(20 * FREQUENCY);
    assert!(sys.is_alive(0));
    assert_eq!(sys.restarts(0), 1);
    let seen = sys.seen();
    let (last, restarts) = (seen.rfind("xxxx"), seen.find("guest restarts (restart 1)"));
    assert!(last.is_some() && last < restarts, "{seen}");
}

/// EX-6, EX-15, SM-15: a guest that stays down has nothing any more, is listed as dead without
/// frames, and cannot be asked back to life by anything that happens to it.
#[test]
fn whoever_stays_down_gives_everything_back() {
    let reasons = [
        (0, StopReason::PowerOff),
        (2, StopReason::Suspend),
        (3, StopReason::Crash),
        (4, StopReason::Watchdog),
        (5, StopReason::SoftReset),
    ];
    for (reason, why) in reasons {
        for index in [0, 1] {
            let mut sys = System::two();
            let before = sys.memory.totals();
            let usage = sys.memory.usage(System::domain(index));
            let mut guest = sys.guest(index);
            live(&mut guest, 3);
            guest.put(ARGS, &Shutdown { reason });
            let ran = guest.try_hvc(SCHED_OP, &[SHUTDOWN, ARGS]);
            assert_eq!(ran, Ran::Stopped(why));
            sys.advance(FREQUENCY);
            assert_eq!((sys.is_alive(index), sys.restarts(index)), (false, 0));
            let now = sys.memory.usage(System::domain(index));
            assert_eq!((now.ram, now.extra, now.tables), (0, 0, 0));
            let held = sys.memory.machine().look();
            assert_eq!(
                held.held_frames()
                    .filter(|frame| frame.domain == System::domain(index))
                    .count(),
                0
            );
            drop(held);
            let totals = sys.memory.totals();
            assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
            let ram = usage.ram * PAGE_SIZE;
            if index == 0 {
                assert_eq!((totals.static_held, totals.static_free), (0, ram));
            } else {
                let extra = usage.extra * PAGE_SIZE;
                assert_eq!(totals.heap_free, before.heap_free + ram + extra);
            }
            let name = ["linux1", "linux2"][index];
            assert!(
                sys.memory.dump().contains(&format!("{name} (dead")),
                "{}",
                sys.memory.dump()
            );
            let log = sys.vmm_log(index);
            assert!(
                log.iter().any(|line| line.contains("its memory went back")),
                "{log:?}"
            );
        }
    }
}

/// SM-3, SM-14, BL-7: heap memory of a guest that switched itself off serves the other guest,
/// zeroed.
#[test]
fn memory_of_a_guest_that_is_off_serves_the_other() {
    let domains = ["linux1", "linux2"].map(|name| Domain::new(name).heap());
    let mut sys = System::new(&domains);
    let mut first = sys.guest(0);
    let theirs = frames(first.sys, 0);
    for page in (FREE..RAM + (14 << 20)).step_by(0x1000) {
        first.put(page, &MARK);
    }
    assert_eq!(
        first.smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    );
    sys.advance(FREQUENCY);
    // The heap's blocks go round: the oldest are served first.
    let mut others = 0;
    for _ in 0..4 {
        restart(&mut sys.guest(1), true);
        let now = frames(&sys, 1);
        others += now
            .iter()
            .filter(|frame| theirs.binary_search(frame).is_ok())
            .count();
        let second = sys.guest(1);
        for page in (FREE..RAM + (14 << 20)).step_by(0x1000) {
            assert_ne!(second.bytes(page, 8), MARK);
        }
    }
    assert!(others >= 2048, "{others} pages were the first's");
    sys.assert_consistent();
}

/// EX-5, SM-9: a guest for which there is not enough memory gives back what it had of it, and the
/// others do not notice.
#[test]
fn a_guest_that_cannot_be_built_gives_back_what_it_had() {
    // The heap has 64 MiB.
    let [mut one, mut two] = ["linux1", "linux2"].map(|name| Domain::new(name).heap());
    one.ram = 40 << 20;
    two.ram = 40 << 20;
    let mut sys = System::new(&[one, two]);
    assert!(sys.is_alive(0) && !sys.is_alive(1));
    let log = sys.vmm_log(1);
    assert!(
        log.iter()
            .any(|line| line.contains("the guest is not started: RAM at gfn")),
        "{log:?}"
    );
    let usage = sys.memory.usage(System::domain(1));
    assert_eq!((usage.ram, usage.extra, usage.tables), (0, 0, 0));
    let totals = sys.memory.totals();
    assert_eq!(totals.heap_held, 40 << 20);
    assert_eq!(totals.heap_held + totals.heap_free + totals.extra, 64 << 20);
    restart(&mut sys.guest(0), true);
    assert!(sys.is_alive(0));
    sys.assert_consistent();
}

/// SM-15, SM-16: while a domain is dying it gets nothing, releases are served, and a VMM that never
/// goes on holds up nobody; whoever goes on later gets the whole reserve.
#[test]
fn a_vmm_that_stops_in_the_middle_holds_up_nobody() {
    for index in [0, 1] {
        let mut sys = System::two();
        let domain = System::domain(index);
        let other = 1 - index;
        live(&mut sys.guest(index), 5);
        sys.hang(index);
        let memory = sys.memory.clone();
        let ask = |request| memory.call(domain, request);
        let first = ask(Request::Relinquish { again: true }).unwrap();
        let Reply::Relinquished { more: true, taken } = first else {
            panic!("{first:?}")
        };
        assert!(taken.ram < 4096, "a part: {taken:?}");
        for request in [
            Request::populate_page(hv_types::Gfn::new(7)),
            Request::Tables { count: 1 },
            Request::Vcpu {
                vcpu: hv_types::VcpuId::BOOT,
            },
            Request::CreateExtra {
                kind: memory_server_api::Extra::Xenstore,
            },
        ] {
            assert_eq!(ask(request), Err(Error::Dying));
        }
        // Others go on, and may restart too.
        let mut guest = sys.guest(other);
        live(&mut guest, 1);
        restart(&mut guest, false);
        assert!(sys.is_alive(other));
        let totals = memory.totals();
        assert_eq!((totals.sum(), totals.lost), (totals.all, 0));
        assert_eq!(memory.life(domain), Some(Life::Dying));
        let mut messages = 1;
        loop {
            messages += 1;
            let before = memory.machine().look().operations;
            let answer = ask(Request::Relinquish { again: true });
            let operations = memory.machine().look().operations - before;
            assert!(operations <= 90, "{operations} in one message");
            match answer {
                Ok(Reply::Relinquished { more: true, .. }) => {}
                Ok(Reply::Relinquished { taken, .. }) => {
                    assert!(taken.extra >= 3 && taken.tables > 0, "{taken:?}");
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(messages > 5, "in bounded steps: {messages}");
        assert_eq!(memory.life(domain), Some(Life::Alive));
        let usage = memory.usage(domain);
        let reserve = if index == 0 { 4096 } else { 0 };
        assert_eq!((usage.ram, usage.reserve), (0, reserve));
    }
}

/// EX-6: what is over is over: asking again changes nothing.
#[test]
fn a_dead_domain_has_nothing_more_to_give() {
    let mut sys = System::two();
    assert!(matches!(
        sys.guest(0).smc(&[0x8400_0008]),
        Ran::Stopped(StopReason::PowerOff)
    ));
    sys.advance(FREQUENCY);
    let before = sys.memory.machine().look().capabilities();
    let operations = sys.memory.machine().look().operations;
    let answer = sys
        .memory
        .call(System::domain(0), Request::Relinquish { again: false });
    assert!(matches!(
        answer,
        Ok(Reply::Relinquished { more: false, .. })
    ));
    let machine = sys.memory.machine().look();
    assert_eq!(
        (machine.capabilities(), machine.operations),
        (before, operations)
    );
}

/// A guest whose lives are all shorter than a second waits longer and longer for the next, and
/// after ten stays down with words; nobody else notices.
#[test]
fn a_guest_that_always_ends_at_once_stays_down() {
    for index in [0, 1] {
        let mut sys = System::two();
        let mut waits = Vec::new();
        for _ in 1..10 {
            restart(&mut sys.guest(index), true);
            let ended = sys.now();
            while !sys.is_alive(index) {
                assert!(sys.advance_to_next_event());
            }
            waits.push((sys.now() - ended) * 1000 / FREQUENCY);
        }
        assert!(waits[..3].iter().all(|ms| *ms < 10), "{waits:?}");
        for (n, ms) in [62, 125, 250, 500, 1000, 2000].iter().enumerate() {
            assert!((*ms..*ms + 10).contains(&waits[3 + n]), "{waits:?}");
        }
        let ran = sys.guest(index).smc(&[RESET]);
        assert_eq!(ran, Ran::Stopped(StopReason::ShortLives));
        sys.advance(60 * FREQUENCY);
        assert!(!sys.is_alive(index) && sys.is_alive(1 - index));
        assert_eq!(sys.restarts(index), 9);
        let log = sys.vmm_log(index);
        let told = |words: &str| log.iter().any(|line| line.contains(words));
        assert!(
            told("4 times in a row: it starts again in 62 ms"),
            "{log:?}"
        );
        let why = StopReason::ShortLives.to_string();
        assert!(why.contains("10 times in a row") && why.contains("Try "));
        let usage = sys.memory.usage(System::domain(index));
        assert_eq!((usage.ram, usage.extra, usage.tables), (0, 0, 0));
        restart(&mut sys.guest(1 - index), true);
        assert!(sys.is_alive(1 - index));
        sys.assert_consistent();
    }
}

/// A life of a second is no short one: whoever restarts every second does so for ever, at once.
#[test]
fn a_guest_that_lives_for_a_second_restarts_as_often_as_it_likes() {
    let mut sys = System::two();
    for n in 1..=30 {
        // Two short ones between the long ones.
        if n % 3 == 0 {
            sys.advance(FREQUENCY);
        }
        restart(&mut sys.guest(0), true);
        assert!(sys.is_alive(0));
        assert_eq!(sys.restarts(0), n);
    }
}
