//! multicall, and SCHEDOP_poll, whose list is one too.

use super::argument::Arg;
use super::{Codes, WILD, scratch};
use crate::xen::{SELF, call2, errno, nr};

/// `multicall_entry`: op, result, args[6].
type Entry = [u64; 8];

const fn entry(op: u64, args: [u64; 2]) -> Entry {
    [op, 0x55, args[0], args[1], 0, 0, 0, 0]
}

fn run_list<const N: usize>(list: &mut [Entry; N], count: u64) -> i64 {
    call2(13, core::hint::black_box(list).as_mut_ptr() as u64, count)
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    lists(c);
    overlaps(c);
    polls(c);
}

fn lists(c: &mut Codes<'_>) {
    c.is("multi-nothing", call2(13, WILD, 0), 0);
    c.is("multi-wild", call2(13, WILD, 1), errno::FAULT);
    c.is("multi-wild-64", call2(13, WILD, 1 << 32), errno::FAULT);
    c.is("multi-wild-max", call2(13, WILD, u64::MAX), errno::FAULT);
    let version = 4 << 16 | 22;
    let mut list = [
        entry(nr::VERSION, [0, 0]),
        entry(13, [WILD, 1]),
        entry(99, [0, 0]),
        entry(1 << 32 | nr::VERSION, [0, 0]),
        entry(2, [0, 0]),
        entry(nr::SCHED, [99, WILD]),
        entry(nr::MEMORY, [3, WILD]),
        entry(nr::VCPU, [10, 9]),
        entry(nr::MEMORY, [1 | 7 << 6, WILD]),
        entry(nr::SCHED, [0, 0]),
        entry(nr::VERSION, [1 << 32, 0]),
    ];
    c.is("multi", run_list(&mut list, 11), 0);
    let want = [
        version,
        errno::INVAL,
        errno::NOSYS,
        errno::NOSYS,
        errno::NOSYS,
        errno::NOSYS,
        errno::FAULT,
        errno::NOENT,
        7,
        0,
        version,
    ];
    for (n, want) in want.into_iter().enumerate() {
        c.of(
            "multi-result",
            n as u64,
            list.get(n).map_or(0, |e| e[1] as i64),
            want,
        );
    }
    let mut list = [entry(nr::VERSION, [0, 0]); 40];
    c.is("multi-many", run_list(&mut list, 40), 0);
    c.is(
        "multi-many-results",
        list.iter().filter(|e| e[1] as i64 == version).count() as i64,
        40,
    );
    // The last entry lies in a hole: those before it are done.
    let edge = scratch::address(0) + 4096 - 64;
    let hole = [scratch::frame(1)];
    let reservation = |frames: &[u64]| {
        Arg::new()
            .long(0, frames.as_ptr() as u64)
            .long(8, 1)
            .half(24, SELF)
    };
    call2(nr::MEMORY, 1, reservation(&hole).at());
    for (n, word) in entry(nr::VERSION, [0, 0]).into_iter().enumerate() {
        scratch::write(edge + 8 * n as u64, word);
    }
    c.is("multi-into-hole", call2(13, edge, 2), errno::FAULT);
    c.is("multi-before-hole", scratch::read(edge + 8) as i64, version);
    scratch::write(edge + 8, 0x55);
    c.is("multi-before-hole-alone", call2(13, edge, 1), 0);
    // An entry that begins in the page and ends in the hole.
    c.is("multi-across", call2(13, edge + 8, 1), errno::FAULT);
    c.is(
        "multi-hole-back",
        call2(nr::MEMORY, 6, reservation(&hole).at()),
        1,
    );
}

/// A call that writes into its own entry, and into the next one.
fn overlaps(c: &mut Codes<'_>) {
    let mut list = [entry(nr::VERSION, [1, 0]), entry(nr::VERSION, [0, 0])];
    let at = core::hint::black_box(&mut list).as_mut_ptr() as u64;
    // xen_version(extraversion) writes 16 bytes over args[4] and args[5] of its own entry.
    list[0][3] = at + 48;
    c.is("multi-own-entry", run_list(&mut list, 2), 0);
    c.is("multi-own-entry-result", list[0][1] as i64, 0);
    c.is("multi-own-entry-kept", i64::from(list[0][6] != 0), 1);
    // Over the next entry's number: it is read after the first is done.
    let mut list = [entry(nr::VERSION, [1, 0]), entry(nr::VERSION, [0, 0])];
    let at = core::hint::black_box(&mut list).as_mut_ptr() as u64;
    list[0][3] = at + 64;
    c.is("multi-next-entry", run_list(&mut list, 2), 0);
    c.is("multi-next-entry-result", list[1][1] as i64, errno::NOSYS);
}

/// `sched_poll`: ports @0, nr_ports @8, timeout @16.
fn polls(c: &mut Codes<'_>) {
    let poll = |ports: u64, count: u32, timeout: u64| {
        call2(
            nr::SCHED,
            3,
            Arg::new()
                .long(0, ports)
                .word(8, count)
                .long(16, timeout)
                .at(),
        )
    };
    c.is("poll-many", poll(WILD, 129, 1), errno::INVAL);
    c.is("poll-ports", poll(WILD, 1, 1), errno::FAULT);
    let mut alloc = Arg::new().half(0, SELF).half(2, SELF);
    call2(nr::EVTCHN, 6, alloc.at());
    let port = alloc.get_word(4);
    for bad in [0, 63, 64, 1023, 4096, u32::MAX] {
        c.of(
            "poll-port",
            u64::from(bad),
            poll([bad].as_ptr() as u64, 1, 1),
            errno::INVAL,
        );
    }
    c.is("poll-timeout", poll([port].as_ptr() as u64, 1, 1), 0);
    c.is("poll-no-port-timeout", poll(WILD, 0, 1), 0);
    c.is(
        "poll-second-bad",
        poll([port, 0].as_ptr() as u64, 2, 1),
        errno::INVAL,
    );
    // A port to ourselves, made pending: the look ends there.
    let mut bind = Arg::new().half(0, SELF).word(4, port);
    call2(nr::EVTCHN, 0, bind.at());
    let near = bind.get_word(8);
    c.is("poll-pending", poll([near].as_ptr() as u64, 1, 0), 0);
    c.is(
        "poll-pending-then-bad",
        poll([near, 0].as_ptr() as u64, 2, 0),
        0,
    );
    c.is(
        "poll-pending-then-wild",
        poll([near].as_ptr() as u64, 128, 0),
        0,
    );
    for port in [port, near] {
        call2(nr::EVTCHN, 3, Arg::new().word(0, port).at());
    }
}
