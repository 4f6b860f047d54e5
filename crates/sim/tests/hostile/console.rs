//! The console ring, and floods.

use super::*;

#[test]
fn wfi_in_a_loop_costs_one_exit_each_and_nothing_else() {
    attack(|guest| {
        guest.enable_gic();
        guest.enable_interrupt(VTIMER);
        let now = guest.sys.now();
        guest.set_timer(now);
        assert!(guest.irq());
        for _ in 0..2000 {
            assert_eq!(guest.wfi(), Ran::Done);
            assert_eq!(guest.wfe(), Ran::Done);
            assert_eq!(guest.hvc(SCHED_OP, &[sched::YIELD, 0]), 0);
        }
        assert_eq!(guest.take_interrupts(), [VTIMER]);
    });
}

#[test]
fn broken_console_indices_are_reported_once_and_survived() {
    attack(|guest| {
        let port = guest.console_port();
        let broken = [
            (0, 2049),
            (5, 0),
            (0, u32::MAX),
            (1 << 31, 0),
            (u32::MAX, 2048),
        ];
        for (cons, prod) in broken {
            guest.put(CONSOLE_PAGE + u64::from(ring::OUT_CONS), &cons);
            guest.put(CONSOLE_PAGE + u64::from(ring::OUT_PROD), &prod);
            guest.put(CONSOLE_PAGE + u64::from(ring::IN_PROD), &prod);
            guest.put(CONSOLE_PAGE + u64::from(ring::IN_CONS), &cons);
            for _ in 0..100 {
                assert_eq!(guest.send(port), 0);
            }
            guest.sys.type_in(b"k");
            assert!(guest.is_running());
        }
        // The last pair is legal as numbers go: everything else was told once.
        assert!(
            guest.sys.vmm_log(0).len() <= 2 * broken.len(),
            "{:?}",
            guest.sys.vmm_log(0)
        );
        assert!(
            guest
                .sys
                .vmm_log(0)
                .iter()
                .any(|line| line.contains("indices")),
            "{:?}",
            guest.sys.vmm_log(0)
        );
        // Repaired it works again.
        for index in [ring::OUT_CONS, ring::OUT_PROD, ring::IN_CONS, ring::IN_PROD] {
            guest.put(CONSOLE_PAGE + u64::from(index), &0_u32);
        }
        guest.sys.seen();
        guest.print(b"repaired\n");
        guest.sys.advance(FREQUENCY);
        assert!(guest.sys.seen().contains("linux1: repaired\r\n"));
        guest.ring_take();
    });
}

#[test]
fn the_console_page_can_be_unmapped_and_the_console_goes_on() {
    attack(|guest| {
        let port = guest.console_port();
        guest.ring_put(b"before\n");
        assert_eq!(remove(guest, CONSOLE_PAGE >> 12), 0);
        assert!(!guest.is_mapped(CONSOLE_PAGE));
        assert_eq!(guest.send(port), 0);
        assert!(
            guest.sys.seen().contains("before"),
            "the page itself is still there"
        );
        guest.sys.type_in(b"typed");
        assert!(guest.is_running());
        let Ran::Exception(taken) = guest.access(CONSOLE_PAGE, Width::Word, false) else {
            panic!("unmapped")
        };
        assert_eq!(taken.far, CONSOLE_PAGE);
    });
}

#[test]
fn a_guest_that_floods_the_console_does_not_silence_the_other() {
    let mut sys = System::with_serial(
        &[Domain::new("linux1"), Domain::new("linux2").heap()],
        sim::Serial::slow(16, FREQUENCY / 11_520),
    );
    let flood = b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".repeat(16);
    let port = sys.guest(0).console_port();
    for round in 0..40 {
        let mut guest = sys.guest(0);
        // No newline, as fast as it can.
        guest.ring_put(&flood);
        guest.send(port);
        if round == 5 {
            sys.guest(1).print(b"may I?\n");
        }
        sys.advance(FREQUENCY / 20);
        if sys.transcript().contains("linux2: may I?") {
            return;
        }
    }
    panic!("two seconds and not a word: {}", sys.transcript());
}

/// SM-22: what a guest makes its VMM log is bounded by time, however fast it asks for it.
#[test]
fn unknown_hypercalls_and_accesses_at_speed_write_little() {
    in_every_way(|guest| {
        let index = usize::from(guest.domid()) - 1;
        for _ in 0..1000 {
            assert_eq!(guest.hvc(99, &[]), ENOSYS);
        }
        assert_eq!(
            guest.sys.vmm_log(index).len(),
            1,
            "{:?}",
            guest.sys.vmm_log(index)
        );
        // What is told, and how its line begins.
        let store = |guest: &mut Guest<'_>| guest.try_store(0x1000, Width::Word, 0);
        let call = |guest: &mut Guest<'_>| guest.hvc_imm(5, Way::Trap);
        let sve = |guest: &mut Guest<'_>| guest.trap(insn::NOP, 0x19 << 26 | 1 << 25);
        type Attack<'a> = &'a dyn Fn(&mut Guest<'_>) -> Ran;
        let attacks: [(Attack<'_>, &str, &str); 3] = [
            (
                &store,
                "store to gpa 0x1000 of 4 bytes, pc 0x",
                "before the GIC distributor",
            ),
            (&call, "hvc #0x5, pc 0x", "hvc #0xea1"),
            (&sve, "SVE instruction, pc 0x", "arm64.nosve"),
        ];
        for (attack, begins, says) in attacks {
            guest.sys.advance(FREQUENCY);
            let (start, before) = (guest.sys.now(), guest.sys.vmm_log(index).len());
            for _ in 0..200 {
                assert!(matches!(attack(guest), Ran::Exception(_)));
            }
            let seconds = (guest.sys.now() - start) / FREQUENCY + 1;
            let log = &guest.sys.vmm_log(index)[before..];
            let most = 1 + usize::try_from(seconds).unwrap() * 21;
            assert!((1..=most).contains(&log.len()), "{} lines", log.len());
            assert!(
                log.iter()
                    .any(|line| line.starts_with(begins) && line.contains(says)),
                "{log:?}"
            );
        }
    });
}

/// UP-7: an access to an extended region where nothing is mapped aborts, and the log says what the
/// region is for.
#[test]
fn an_empty_extended_region_is_named() {
    in_every_way(|guest| {
        let index = usize::from(guest.domid()) - 1;
        // RAM has 16 MiB; the region ends with the place for bank 0.
        let address = 0xffff_0000;
        assert!(matches!(
            guest.try_store(address, Width::Word, 0),
            Ran::Exception(_)
        ));
        let log = guest.sys.vmm_log(index);
        let line = log.last().expect("a line");
        assert!(
            line.starts_with("store to gpa 0xffff0000 of 4 bytes, pc 0x")
                && line.contains("into extended region 0 (0x")
                && line.contains("until the guest maps a grant"),
            "{line}"
        );
    });
}
