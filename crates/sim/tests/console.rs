//! The consoles of a guest: PV ring, `console_io`, UART.

mod common;

use common::in_every_way;
use sim::guest::insn::Width;
use sim::guest::{ARGS, CONSOLE_PAGE, UART, UART_INTID, UPCALL};
use sim::{Domain, FREQUENCY, Guest, Ran, Serial, System};
use xen_abi::console::ring;
use xen_abi::number::CONSOLE_IO;

/// Ticks that a byte takes at 115,200 baud.
const BYTE: u64 = FREQUENCY / 11_520;
const SWITCH: &[u8] = b"\x01\x01\x01";

/// What guest `name` printed, line by line, as the terminal shows it; without the lines of its VMM.
fn lines_of(transcript: &str, name: &str) -> Vec<String> {
    let prefix = format!("{name}: ");
    let lines = transcript
        .split("\r\n")
        .filter_map(|line| line.strip_prefix(&prefix));
    lines
        .filter(|line| !line.starts_with("[vmm] "))
        .map(str::to_owned)
        .collect()
}

/// Asserts that `name` printed just these lines.
fn assert_printed(sys: &mut System, name: &str, expected: &[String]) {
    let seen = lines_of(&sys.transcript(), name);
    let differs = seen.iter().zip(expected).position(|(a, b)| a != b);
    if let Some(n) = differs {
        panic!(
            "{name}, line {n}: {:?} instead of {:?}",
            seen[n], expected[n]
        );
    }
    assert_eq!(seen.len(), expected.len(), "lines of {name}");
}

/// `count` numbered lines of a guest.
fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| format!("{name} says line {n:05} of its long story"))
        .collect()
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| [line.as_bytes(), b"\n"].concat())
        .collect()
}

#[test]
fn the_ring_is_connected_and_empty() {
    let mut sys = System::two();
    let guest = sys.guest(0);
    for index in [ring::IN_CONS, ring::IN_PROD, ring::OUT_CONS, ring::OUT_PROD] {
        assert_eq!(guest.ring_index(index), 0);
    }
    assert_eq!(
        guest.get::<u8>(CONSOLE_PAGE + u64::from(ring::CONNECTION)),
        0,
        "connected"
    );
}

#[test]
fn what_is_written_to_the_ring_appears_with_the_guests_name() {
    in_every_way(|guest| {
        let name = if guest.domid() == 1 {
            "linux1"
        } else {
            "linux2"
        };
        guest.sys.seen();
        guest.print(b"Booting Linux\nDebian GNU/Linux 12\n");
        guest.sys.advance(FREQUENCY);
        let seen = guest.sys.seen();
        assert_eq!(
            seen,
            format!("{name}: Booting Linux\r\n{name}: Debian GNU/Linux 12\r\n")
        );
        assert_eq!(
            guest.ring_index(ring::OUT_CONS),
            guest.ring_index(ring::OUT_PROD),
            "all was taken"
        );
    });
}

#[test]
fn what_is_not_announced_by_an_event_stays_in_the_ring() {
    let mut sys = System::two();
    sys.seen();
    let mut guest = sys.guest(0);
    guest.ring_put(b"quiet\n");
    assert_eq!(guest.sys.seen(), "");
    let port = guest.console_port();
    guest.send(port);
    assert_eq!(guest.sys.seen(), "linux1: quiet\r\n");
}

#[test]
fn a_guest_that_writes_faster_than_the_uart_loses_nothing() {
    let two = [Domain::new("linux1"), Domain::new("linux2").heap()];
    let mut sys = System::with_serial(&two, Serial::slow(16, BYTE));
    let lines = numbered("one", 800);
    sys.guest(0).print(&joined(&lines));
    let other = numbered("two", 400);
    sys.guest(1).print(&joined(&other));
    // 50 KiB take 4.5 s.
    sys.advance(10 * FREQUENCY);
    assert_printed(&mut sys, "linux1", &lines);
    assert_printed(&mut sys, "linux2", &other);
}

#[test]
fn console_io_faster_than_the_uart_waits_and_loses_nothing() {
    let mut sys = System::with_serial(&[Domain::new("linux1")], Serial::slow(16, BYTE));
    let lines = numbered("early", 600);
    let mut guest = sys.guest(0);
    let start = guest.sys.now();
    for part in joined(&lines).chunks(1000) {
        assert_eq!(guest.console_io(part), 0);
    }
    assert!(guest.sys.now() > start, "it had to wait");
    sys.advance(10 * FREQUENCY);
    assert_printed(&mut sys, "linux1", &lines);
}

#[test]
fn a_guest_that_waits_for_the_console_counts_as_blocked_and_then_as_running() {
    use xen_abi::GuestHandle;
    use xen_abi::number::VCPU_OP;
    use xen_abi::vcpu::{REGISTER_RUNSTATE_MEMORY_AREA, RegisterRunstate, RunstateInfo};
    let mut sys = System::with_serial(&[Domain::new("linux1")], Serial::slow(16, BYTE));
    let mut guest = sys.guest(0);
    let area = sim::guest::FREE;
    guest.put(
        ARGS,
        &RegisterRunstate {
            addr: GuestHandle::new(hv_types::Gva::new(area)),
        },
    );
    assert_eq!(
        guest.hvc(VCPU_OP, &[REGISTER_RUNSTATE_MEMORY_AREA, 0, ARGS]),
        0
    );
    for part in joined(&numbered("early", 600)).chunks(1000) {
        assert_eq!(guest.console_io(part), 0);
    }
    let info: RunstateInfo = guest.get(area);
    assert!(info.time[2] > 0, "it waited");
    assert_eq!(info.state, 0, "and runs now");
}

#[test]
fn early_output_comes_before_that_of_the_ring() {
    let mut sys = System::two();
    sys.seen();
    let mut guest = sys.guest(0);
    guest.console_io(b"early 1\n");
    guest.console_io(b"early ");
    guest.console_io(b"2\n");
    guest.print(b"late\n");
    assert_eq!(
        guest.sys.seen(),
        "linux1: early 1\r\nlinux1: early 2\r\nlinux1: late\r\n"
    );
}

#[test]
fn lines_of_two_guests_do_not_mix() {
    let two = [Domain::new("linux1"), Domain::new("linux2").heap()];
    let mut sys = System::with_serial(&two, Serial::slow(16, BYTE));
    let stories = [numbered("one", 100), numbered("two", 100)];
    // Both write in small pieces that are no lines.
    let bytes = stories.each_ref().map(|lines| joined(lines));
    for (a, b) in bytes[0].chunks(13).zip(bytes[1].chunks(13)) {
        sys.guest(0).print(a);
        sys.guest(1).print(b);
        sys.advance(BYTE * 26);
    }
    sys.advance(20 * FREQUENCY);
    let transcript = sys.transcript();
    // The focused guest's line may be shown again where it was interrupted; each is there whole.
    for (name, story) in [("linux1", &stories[0]), ("linux2", &stories[1])] {
        let seen = lines_of(&transcript, name);
        let whole: Vec<&String> = seen.iter().filter(|line| story.contains(line)).collect();
        assert_eq!(whole.len(), 100, "{name}");
        assert!(
            seen.iter()
                .all(|line| story.iter().any(|s| s.starts_with(line.as_str()))),
            "{name}: mixed lines"
        );
    }
}

/// Takes what was typed, as a driver does at the event.
fn input(guest: &mut Guest<'_>) -> Vec<u8> {
    let bytes = guest.ring_take();
    let port = guest.console_port();
    guest.send(port);
    bytes
}

#[test]
fn typed_keys_reach_the_guest_with_the_focus_and_ctrl_a_three_times_moves_it() {
    let mut sys = System::two();
    assert!(sys.seen().contains("Input goes to linux1"));
    sys.type_in(b"ls\r");
    assert_eq!(input(&mut sys.guest(0)), b"ls\r");
    assert_eq!(input(&mut sys.guest(1)), b"");
    sys.type_in(SWITCH);
    assert!(sys.seen().contains("Input goes to linux2"));
    sys.type_in(b"pwd\r");
    assert_eq!(input(&mut sys.guest(0)), b"");
    assert_eq!(input(&mut sys.guest(1)), b"pwd\r");
    sys.type_in(SWITCH);
    sys.type_in(SWITCH);
    sys.type_in(b"a\x01b");
    assert_eq!(input(&mut sys.guest(0)), b"a\x01b", "one Ctrl-a is a key");
}

#[test]
fn typed_keys_are_an_event_on_the_console_port() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    guest.map_shared_info();
    guest.enable_gic();
    guest.enable_interrupt(UPCALL);
    let port = guest.console_port();
    guest.sys.type_in(b"x");
    assert!(guest.is_pending(port) && guest.irq());
    assert_eq!(guest.acknowledge(), UPCALL);
    assert_eq!(guest.take_events(sim::guest::SHARED_INFO), [port]);
    guest.end(UPCALL);
    assert!(!guest.irq());
    assert_eq!(guest.ring_take(), b"x");
}

#[test]
fn more_than_the_ring_holds_can_be_typed() {
    let mut sys = System::two();
    let typed: Vec<u8> = (0..3000_u32)
        .map(|n| b'a' + u8::try_from(n % 26).unwrap())
        .collect();
    sys.type_in(&typed);
    let mut got = Vec::new();
    for _ in 0..10 {
        got.extend(input(&mut sys.guest(0)));
    }
    assert_eq!(got, typed);
}

#[test]
fn console_io_reads_what_was_typed() {
    let mut sys = System::new(&[Domain {
        enhanced: None,
        ..Domain::new("plain")
    }]);
    sys.type_in(b"hello");
    let mut guest = sys.guest(0);
    assert_eq!(guest.hvc(CONSOLE_IO, &[1, 3, ARGS]), 3);
    assert_eq!(guest.bytes(ARGS, 3), b"hel");
    assert_eq!(guest.hvc(CONSOLE_IO, &[1, 64, ARGS]), 2);
    assert_eq!(guest.bytes(ARGS, 2), b"lo");
}

#[test]
fn the_backlog_of_a_guest_can_be_seen_again() {
    let mut sys = System::two();
    sys.guest(0).print(b"old news\n");
    sys.type_in(SWITCH);
    sys.type_in(SWITCH);
    sys.seen();
    sys.type_in(SWITCH);
    sys.type_in(SWITCH);
    sys.type_in(SWITCH);
    // The monitor again, with linux2 last: its backlog is its own.
    sys.guest(1).print(b"other news\n");
    sys.seen();
    sys.type_in(b"b");
    let seen = sys.seen();
    assert!(
        seen.contains("other news") && !seen.contains("old news"),
        "{seen}"
    );
}

#[test]
fn what_a_guest_prints_cannot_pass_for_another_guests_line() {
    let mut sys = System::two();
    sys.seen();
    sys.guest(1)
        .print(b"a\r\nlinux1: root login\r\n\x1b[2J\x1b]0;title\x07gone\n");
    let seen = sys.seen();
    assert!(
        seen.lines()
            .all(|line| line.is_empty() || line.starts_with("linux2: ")),
        "{seen}"
    );
    assert!(!seen.contains("\x1b[2J"));
}

#[test]
fn the_uart_prints_and_reads() {
    let mut sys = System::new(&[Domain::new("linux1").with_vpl011()]);
    sys.seen();
    let mut guest = sys.guest(0);
    for byte in b"over the UART\n" {
        guest.store(UART, Width::Byte, u64::from(*byte));
    }
    assert_eq!(guest.sys.seen(), "linux1: over the UART\r\n");
    assert_ne!(guest.load(UART + 0x18, Width::Word) & 1 << 7, 0, "TXFE");
}

/// What a driver that polls the UART reads until its receive FIFO is empty.
fn polled(guest: &mut Guest<'_>) -> Vec<u8> {
    let mut read = Vec::new();
    while guest.load(UART + 0x18, Width::Word) & 1 << 4 == 0 {
        read.push(u8::try_from(guest.load(UART, Width::Byte)).unwrap());
    }
    read
}

#[test]
fn a_guest_with_both_consoles_gets_its_input_where_it_reads() {
    let mut sys = System::new(&[Domain::new("linux1").with_vpl011()]);
    let mut guest = sys.guest(0);
    let line = joined(&numbered("typed", 3));
    // Firmware polls the UART.
    guest.sys.type_in(&line);
    assert_eq!(polled(&mut guest), line);
    // What is typed before a kernel has a console waits for it.
    guest.sys.type_in(&line);
    assert_eq!(input(&mut guest), b"");
    guest.print(b"hvc0 is up\n");
    assert_eq!(input(&mut guest), line);
    // From here on the ring has it all, whatever looks at the UART's flags.
    guest.sys.type_in(&line);
    assert_eq!(polled(&mut guest), b"");
    assert_eq!(input(&mut guest), line);
    // A driver opens the UART, and closes it while input waits.
    guest.store(UART + 0x38, Width::Word, 0x50);
    guest.sys.type_in(&line);
    assert_eq!(input(&mut guest), b"");
    assert_eq!(polled(&mut guest), line);
    guest.sys.type_in(&line);
    guest.store(UART + 0x38, Width::Word, 0);
    let mut both = polled(&mut guest);
    assert_eq!(both.len(), 32, "what the FIFO had taken");
    both.extend(input(&mut guest));
    assert_eq!(both, line);
}

#[test]
fn the_uarts_interrupt_comes_with_input_and_goes_when_it_is_read() {
    let mut sys = System::new(&[Domain {
        enhanced: None,
        ..Domain::new("plain").with_vpl011()
    }]);
    let mut guest = sys.guest(0);
    guest.enable_gic();
    guest.enable_interrupt(UART_INTID);
    guest.store(UART + 0x38, Width::Half, 0x50);
    assert!(!guest.irq());
    assert_eq!(guest.wfi(), Ran::Waiting);
    guest.sys.type_in(b"k");
    assert!(guest.is_running(), "input wakes");
    assert_eq!(guest.acknowledge(), UART_INTID);
    assert_eq!(guest.load(UART, Width::Byte), u64::from(b'k'));
    assert_ne!(guest.load(UART + 0x18, Width::Word) & 1 << 4, 0, "RXFE");
    guest.store(UART + 0x44, Width::Half, 0x50);
    guest.end(UART_INTID);
    assert!(!guest.irq());
    // 64-bit accesses and reading ICR are not there.
    for (offset, width) in [(0, Width::Double), (0x44, Width::Word), (0, Width::Pair)] {
        assert!(
            matches!(guest.access(UART + offset, width, false), Ran::Exception(_)),
            "{offset:#x} {width:?}"
        );
    }
}

#[test]
fn a_uart_driver_that_looks_at_the_flags_loses_nothing_on_a_slow_line() {
    let mut sys = System::with_serial(
        &[Domain::new("linux1").with_vpl011()],
        Serial::slow(16, BYTE),
    );
    let lines = numbered("uart", 300);
    let mut guest = sys.guest(0);
    for byte in joined(&lines) {
        while guest.load(UART + 0x18, Width::Word) & 1 << 5 != 0 {
            guest.sys.advance(BYTE);
        }
        guest.store(UART, Width::Byte, u64::from(byte));
    }
    sys.advance(10 * FREQUENCY);
    assert_printed(&mut sys, "linux1", &lines);
}

#[test]
fn a_guest_without_a_uart_aborts_where_it_would_be() {
    let mut sys = System::two();
    let mut guest = sys.guest(0);
    let Ran::Exception(taken) = guest.try_store(UART, Width::Byte, 65) else {
        panic!("there is no UART")
    };
    assert_eq!((taken.esr, taken.far), (0x9600_0000, UART));
}

/// EX-14, EX-15: `m` at the monitor prints what the memory server has granted, in the middle of
/// guests' output.
#[test]
fn the_memory_servers_state_is_a_key_away() {
    for serial in [Serial::fast(), Serial::slow(16, BYTE)] {
        let mut sys = System::with_serial(
            &[Domain::new("linux1"), Domain::new("linux2").heap()],
            serial,
        );
        sys.guest(1).print(&joined(&numbered("linux2", 50)));
        for keys in [SWITCH, SWITCH, b"hm"] {
            sys.type_in(keys);
        }
        sys.advance(20 * FREQUENCY);
        let transcript = sys.transcript();
        assert!(transcript.contains("zazen: m  memory: "), "{transcript}");
        let dump: String = lines_of(&transcript, "memory_server")
            .iter()
            .map(|line| format!("{line}\n"))
            .collect();
        let expected = sys.memory.dump();
        assert!(dump.contains(&expected), "{dump}");
        assert_eq!(dump.matches(" = all memory\n").count(), 1);
        assert!(!dump.contains("ERROR"), "{dump}");
        for (what, count) in [("shared_info", 2), ("console ring", 2), ("gfn", 2)] {
            assert!(dump.matches(what).count() >= count, "{what}: {dump}");
        }
        assert_printed(&mut sys, "linux2", &numbered("linux2", 50));
    }
}
