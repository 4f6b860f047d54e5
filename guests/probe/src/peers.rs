//! Event channels to another guest, and grants: two roles of one program.
//!
//! `role=host` sets ports aside, `role=caller` binds to them. They agree by events alone, so
//! neither knows the other's port numbers but by trying. The caller restarts itself once in the
//! middle: in its first life it finds one port to bind to, in its second two.

pub mod bench;
mod grants;
pub mod shared;

use core::sync::atomic::{Ordering, fence};

use crate::abi_memory::map_shared_info;
use crate::codes::argument::Arg;
use crate::cpu;
use crate::page::{self, Use};
use crate::report::Report;
use crate::xen::{NOBODY, SELF, call2, errno, nr};

const SET: &str = "peers";
/// Bytes of `evtchn_pending` in shared_info, and of `evtchn_mask`.
const PENDING: u64 = 48;
const MASK: u64 = 560;
/// Words of either.
const WORDS: u64 = 64;
/// Highest port that the other guest may have set aside.
const MOST: u32 = 24;
/// Events there and back, and events in a flood.
const ROUNDS: u32 = 200;
const FLOOD: u32 = 2000;
/// Seconds after which the other guest will not come any more.
const PATIENCE: u64 = 120;

const UNBOUND: u32 = 1;
const INTERDOMAIN: u32 = 2;

fn op(cmd: u64, mut arg: Arg) -> i64 {
    call2(nr::EVTCHN, cmd, arg.at())
}

fn on(cmd: u64, port: u32) -> i64 {
    op(cmd, Arg::new().word(0, port))
}

fn close(port: u32) -> i64 {
    on(3, port)
}

fn send(port: u32) -> i64 {
    on(4, port)
}

fn alloc(dom: u16, remote: u16) -> (i64, u32) {
    let mut arg = Arg::new().half(0, dom).half(2, remote);
    (call2(nr::EVTCHN, 6, arg.at()), arg.get_word(4))
}

fn bind(dom: u16, port: u32) -> (i64, u32) {
    let mut arg = Arg::new().half(0, dom).word(4, port);
    (call2(nr::EVTCHN, 0, arg.at()), arg.get_word(8))
}

/// State, domain at the other end, port there.
fn status(port: u32) -> (u32, u16, u32) {
    let mut arg = Arg::new().half(0, SELF).word(4, port);
    call2(nr::EVTCHN, 5, arg.at());
    (arg.get_word(8), arg.get_half(16), arg.get_word(20))
}

/// Takes the event at `port`, if there is one. One CPU, whose only writer beside the hypervisor
/// this is; a bit that comes in between would be lost, so the word is looked at for that bit alone
/// and written when nobody sends to another port of it.
fn take(port: u32) -> bool {
    let at = PENDING + 8 * u64::from(port / 64);
    let bit = 1 << (port % 64);
    fence(Ordering::SeqCst);
    let word = page::read(Use::SharedInfo, at);
    if word & bit == 0 {
        return false;
    }
    page::write(Use::SharedInfo, at, word & !bit);
    fence(Ordering::SeqCst);
    true
}

/// Waits for an event at `port` in SCHEDOP_poll; false after a while.
fn wait(port: u32) -> bool {
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    while cpu::counter() < end {
        if take(port) {
            return true;
        }
        poll(port);
    }
    false
}

/// Lets others run until there is an event at `port`, or for a while.
fn poll(port: u32) {
    let mut ports = [port];
    let list = core::hint::black_box(ports.as_mut_ptr()) as u64;
    // Port list, count, and a time in nanoseconds at which to look again.
    let now = u128::from(cpu::counter()) * 1_000_000_000 / u128::from(cpu::frequency());
    let timeout = u64::try_from(now).unwrap_or(u64::MAX) + 10_000_000;
    let mut poll = Arg::new().long(0, list).word(8, 1).long(16, timeout);
    call2(nr::SCHED, 3, poll.at());
}

/// No event becomes an interrupt.
fn mask_all() {
    (0..WORDS).for_each(|word| page::write(Use::SharedInfo, MASK + 8 * word, u64::MAX));
}

/// Lets half a second pass, in which the other guest sees what became of this one's ports: neither
/// knows when the other runs.
fn pause() {
    let end = cpu::counter() + cpu::frequency() / 2;
    while cpu::counter() < end {
        call2(nr::SCHED, 0, 0);
    }
}

/// Waits until `port` is in `state`; what it is then.
fn until(port: u32, state: u32) -> (u32, u16, u32) {
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    loop {
        let found = status(port);
        if found.0 == state || cpu::counter() > end {
            return found;
        }
        call2(nr::SCHED, 0, 0);
    }
}

/// Binds to some port of `other` but `not`; the own port and the other's.
fn find(other: u16, not: u32, patience: bool) -> Option<(u32, u32)> {
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    loop {
        for port in (1..MOST).filter(|port| *port != not) {
            let (done, own) = bind(other, port);
            if done == 0 {
                return Some((own, port));
            }
        }
        if !patience || cpu::counter() > end {
            return None;
        }
        call2(nr::SCHED, 0, 0);
    }
}

/// Runs the set. Where guests are not started again (`lives=1`, on a Xen without a toolstack) the
/// caller does not restart.
pub fn run(report: &mut Report, role: &str, other: u16, restarts: bool) {
    map_shared_info();
    mask_all();
    match role {
        "host" => host(report, other, restarts),
        _ => caller(report, other, restarts),
    }
    grants::run(report, role, me(), other);
}

/// The own id: that of the other end of a port that is one's own to bind to.
fn me() -> u16 {
    let (_, port) = alloc(SELF, SELF);
    let (_, me, _) = status(port);
    close(port);
    me
}

fn host(r: &mut Report, other: u16, restarts: bool) {
    let is = |r: &mut Report, name: &str, got: i64, want: i64| r.equal(SET, name, got, want);
    // Xen's dummy policy does not look whether there is such a domain, its default one does.
    let (done, port) = alloc(SELF, NOBODY);
    let pass = done == errno::SRCH || (done == 0 && close(port) == 0);
    r.check(SET, "alloc-for-nobody", pass, format_args!("{done}"));
    is(r, "alloc-of-other", alloc(other, SELF).0, errno::PERM);
    is(
        r,
        "alloc-of-other-for-other",
        alloc(other, other).0,
        errno::PERM,
    );
    let (done, first) = alloc(SELF, other);
    is(r, "alloc", done, 0);
    let found = status(first).0;
    r.check(SET, "waits", found != 0, format_args!("{found}"));
    is(r, "send-to-who-may-come", send(first), 0);
    is(
        r,
        "bind-what-is-anothers",
        bind(SELF, first).0,
        errno::INVAL,
    );
    let found = until(first, INTERDOMAIN);
    let pass = found.0 == INTERDOMAIN && found.1 == other && found.2 != 0;
    r.check(SET, "is-bound", pass, format_args!("{found:?}"));
    is(r, "bound-twice", bind(SELF, first).0, errno::INVAL);
    if restarts {
        let found = until(first, UNBOUND);
        let pass = found.0 == UNBOUND && found.1 == other;
        r.check(SET, "peer-restarts", pass, format_args!("{found:?}"));
        is(r, "send-to-the-dead", send(first), 0);
    }
    let (done, port) = alloc(SELF, other);
    is(r, "alloc-another", done, 0);
    let found = until(port, INTERDOMAIN);
    let pass = found.0 == INTERDOMAIN && found.1 == other;
    r.check(SET, "peer-comes-back", pass, format_args!("{found:?}"));
    let got = (0..ROUNDS)
        .take_while(|_| wait(port) && send(port) == 0)
        .count();
    r.check(SET, "rounds", got == ROUNDS as usize, format_args!("{got}"));
    // A flood, and the word that it is over.
    let mut events = 0;
    while wait(port) {
        events += 1;
        send(port);
        if status(first).0 == UNBOUND {
            break;
        }
    }
    // The peer waits for an answer. If its first port was gone already when an event of the flood
    // was looked at, that event's answer came too early for it.
    send(port);
    let pass = events > 0 && events <= FLOOD + 1;
    r.check(SET, "flood", pass, format_args!("{events} of {FLOOD}"));
    // It closes its end, and comes back.
    let found = until(port, UNBOUND);
    let pass = found.0 == UNBOUND && found.1 == other;
    r.check(SET, "peer-closes", pass, format_args!("{found:?}"));
    is(r, "send-to-the-closed", send(port), 0);
    is(r, "close-first", close(first), 0);
    let found = until(port, INTERDOMAIN);
    r.check(
        SET,
        "peer-binds-again",
        found.0 == INTERDOMAIN,
        format_args!("{found:?}"),
    );
    let came = wait(port);
    r.check(SET, "event-again", came, format_args!(""));
    is(r, "close", close(port), 0);
    is(r, "close-twice", close(port), errno::INVAL);
}

fn caller(r: &mut Report, other: u16, restarts: bool) {
    let is = |r: &mut Report, name: &str, got: i64, want: i64| r.equal(SET, name, got, want);
    pause();
    let Some((own, first)) = find(other, 0, true) else {
        r.check(SET, "finds-a-port", false, format_args!(""));
        return;
    };
    let Some((port, theirs)) = find(other, first, !restarts) else {
        // The first life: the host sets another one aside when it has seen this one bound, and
        // free again.
        pause();
        cpu::reset();
        return;
    };
    let (own, port, theirs) = match theirs > first {
        true => (own, port, theirs),
        false => (port, own, first),
    };
    is(r, "bind-no-port", bind(other, 0).0, errno::INVAL);
    is(r, "bind-far-port", bind(other, 9999).0, errno::INVAL);
    is(r, "bind-taken", bind(other, theirs).0, errno::INVAL);
    is(r, "bind-of-nobody", bind(NOBODY, theirs).0, errno::SRCH);
    r.check(SET, "pending-once", take(port), format_args!(""));
    r.check(SET, "and-no-more", !take(port), format_args!(""));
    let found = status(port);
    let want = (INTERDOMAIN, other, theirs);
    r.check(SET, "status", found == want, format_args!("{found:?}"));
    let got = (0..ROUNDS)
        .take_while(|_| send(port) == 0 && wait(port))
        .count();
    r.check(SET, "rounds", got == ROUNDS as usize, format_args!("{got}"));
    let sent = (0..FLOOD).take_while(|_| send(port) == 0).count();
    is(r, "flood-sent", sent as i64, i64::from(FLOOD));
    r.check(SET, "flood-answered", wait(port), format_args!(""));
    is(r, "close-first", close(own), 0);
    is(r, "send-closed", send(own), errno::INVAL);
    send(port);
    // Whatever is on its way there.
    let found = until(port, INTERDOMAIN);
    r.check(
        SET,
        "still-bound",
        found.0 == INTERDOMAIN,
        format_args!("{found:?}"),
    );
    wait(port);
    is(r, "close", close(port), 0);
    pause();
    let again = bind(other, theirs);
    is(r, "bind-again", again.0, 0);
    r.check(
        SET,
        "lowest-free",
        again.1 == own.min(port),
        format_args!("{}", again.1),
    );
    is(r, "send-again", send(again.1), 0);
    let found = until(again.1, UNBOUND);
    let pass = found.0 == UNBOUND && found.1 == other;
    r.check(SET, "host-closes", pass, format_args!("{found:?}"));
    is(r, "send-to-the-closed", send(again.1), 0);
}
