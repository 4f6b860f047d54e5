//! The dump as the console prints it: runs of frames, and lines at the console's pace.

mod common;

use common::{MIB, System, domain, memory};
use console_api::{ConsolePort, LOG_LINE_MAX, Logger};
use memory_server::{DomainIndex, Purpose, RUNS_MAX, Report};
use memory_server_api::{Extra, Request};

const D0: DomainIndex = DomainIndex(0);
const D1: DomainIndex = DomainIndex(1);

/// A console that takes `room` bytes until it is emptied.
#[derive(Default)]
struct Port {
    keys: Vec<u8>,
    taken: Vec<u8>,
    room: usize,
}

impl ConsolePort for Port {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let count = self.room.min(bytes.len());
        self.taken.extend(&bytes[..count]);
        self.room -= count;
        count
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let count = self.keys.len().min(into.len());
        into[..count].copy_from_slice(&self.keys[..count]);
        self.keys.drain(..count);
        count
    }
    fn room(&self) -> usize {
        self.room
    }
}

fn pages(s: &mut System, gfns: impl IntoIterator<Item = u64>) {
    for gfn in gfns {
        s.place(D0, gfn).unwrap();
    }
}

/// EX-14, EX-15: what the console prints is the dump, whole and in order, however little room it
/// gives at a time, and nothing is printed without being asked for.
#[test]
fn a_slow_console_gets_the_whole_dump() {
    let mut s = System::usual();
    s.blocks(D0, 2).unwrap();
    for n in 0..40 {
        let kind = Extra::GrantFrame(n);
        s.ask(D1, Request::CreateExtra { kind }).unwrap();
    }
    let expected = s.dump();
    assert!(expected.lines().all(|line| line.len() <= 80), "{expected}");
    for room in [1, 7, 64, 8192] {
        let mut log = Logger::new(Port::default());
        let mut report = Report::default();
        log.port().room = room;
        report.on_console(&s.server, &mut log);
        assert_eq!(log.port().taken, b"");
        log.port().keys = b"xm?m".to_vec();
        let mut rounds = 0;
        loop {
            log.port().room = room;
            report.on_console(&s.server, &mut log);
            if log.port().room == room {
                break;
            }
            rounds += 1;
            assert!(rounds <= expected.len(), "it ends");
        }
        let taken = String::from_utf8(log.port().taken.clone()).unwrap();
        assert_eq!(taken, expected, "{room} bytes at a time");
        assert_eq!(rounds, expected.len().div_ceil(room));
    }
}

/// EX-14: other lines of the log do not get into the middle of a line of the dump.
#[test]
fn a_line_in_between_is_dropped_and_counted() {
    use core::fmt::Write;
    let s = System::usual();
    let mut log = Logger::new(Port::default());
    let mut report = Report::default();
    log.port().keys = b"m".to_vec();
    log.port().room = 10;
    report.on_console(&s.server, &mut log);
    writeln!(log, "d2: refused").unwrap();
    assert_eq!(log.dropped(), 1);
    log.port().room = 16 * LOG_LINE_MAX;
    report.on_console(&s.server, &mut log);
    writeln!(log, "d2: refused").unwrap();
    let taken = String::from_utf8(log.port().taken.clone()).unwrap();
    assert_eq!(
        taken,
        s.dump() + "(1 line dropped here: the console was full)\nd2: refused\n"
    );
}

/// EX-15: frames that follow each other for the guest and for the machine are one run, by size; the
/// number of runs is bounded.
#[test]
fn runs_are_merged_and_bounded() {
    let mut s = System::new(
        &[domain(1, true, 16), domain(2, false, 8)],
        &[
            memory(0x4000_0000, 24, true, Purpose::Static(D0)),
            memory(0x8000_0000, 24, false, Purpose::Heap),
            memory(0x6000_0000, 14, false, Purpose::Tables(D0)),
            memory(0x6000_4000, 14, false, Purpose::Tables(D1)),
        ],
        6,
    );
    s.blocks(D0, 3).unwrap();
    // Ascending together, apart, and descending.
    pages(&mut s, 0x80000..0x80100);
    pages(&mut s, (0..10).map(|n| 0x90000 + 2 * n));
    pages(&mut s, (0..100).map(|n| 0xa0100 - n));
    let dump = s.dump();
    let runs: Vec<_> = dump.lines().filter(|l| l.contains("gfn")).collect();
    assert_eq!(runs.len(), RUNS_MAX as usize, "{dump}");
    assert_eq!(
        runs[..3],
        [
            "    gfn 0x40000..0x405ff = mfn 0x40000..0x405ff (3 x 2 MiB)",
            "    gfn 0x80000..0x800ff = mfn 0x40600..0x406ff (256 x 4 KiB)",
            "    gfn 0x90000..0x90000 = mfn 0x40700..0x40700 (1 x 4 KiB)",
        ]
    );
    assert!(
        dump.contains("    ... and 96 more runs, 96 pages\n"),
        "{dump}"
    );
    assert_eq!(s.server.totals().static_held, 6 * MIB + 366 * 4096);
}
