//! What front ends have in common: how they connect by way of the store, grants and the event.

use crate::abi_memory;
use crate::cpu;
use crate::page::{self, Use};
use crate::store::wire::{Store, Text};
use crate::xen::{SELF, call_with, call2, nr};

/// Types of messages.
const READ: u32 = 2;
const WRITE: u32 = 11;
/// States (public/io/xenbus.h).
const INITIALISING: u8 = b'1';
const INIT_WAIT: u8 = b'2';
pub const INITIALISED: u8 = b'3';
pub const CONNECTED: u8 = b'4';
const CLOSED: u8 = b'6';
/// `sched_op(yield)`, and `event_channel_op`'s close, send and alloc_unbound.
const YIELD: u64 = 0;
const CLOSE: u64 = 3;
const SEND: u64 = 4;
const ALLOC: u64 = 6;
/// Offsets in a ring's page: indices, and the first slot.
const REQ_PROD: u64 = 0;
const RSP_PROD: u64 = 8;
pub const SLOTS_AT: u64 = 64;
/// `GTF_permit_access`.
pub const ACCESS: u16 = 1;
/// Seconds that the back end may take for what has to be done: the host may be busy.
pub const PATIENCE: u64 = 60;

/// `evtchn_alloc_unbound`.
#[repr(C)]
struct Alloc {
    domain: u16,
    remote: u16,
    port: u32,
}

/// Marsaglia's xorshift.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        (self.next() >> 11).is_multiple_of(n)
    }
}

/// Lets others have the processor.
pub fn give_way() {
    call2(nr::SCHED, YIELD, 0);
}

/// Gives domain 0 a page, or with `flags` 0 takes it back.
pub fn grant(gref: u64, flags: u16, page: Use) {
    let entry = u64::from(flags) | page::frame(page) << 32;
    page::write(Use::Grant, 8 * gref, entry);
}

fn index(ring: Use, at: u64) -> *mut u32 {
    (page::address(ring) + at) as *mut u32
}

/// Shows the back end that there are so many requests in a ring.
pub fn show(ring: Use, prod: u32) {
    // SAFETY: an aligned word of the ring's page, which is ours; the barrier puts the requests
    // before it.
    unsafe {
        core::arch::asm!("dmb ish", options(nostack, preserves_flags));
        index(ring, REQ_PROD).write_volatile(prod);
    }
}

/// Waits until a ring has so many responses, for so many ticks; whether they came. `while_waiting`
/// is called again and again.
pub fn wait(ring: Use, prod: u32, ticks: u64, while_waiting: fn()) -> bool {
    let end = cpu::counter() + ticks;
    loop {
        // SAFETY: as in `show`.
        if unsafe { index(ring, RSP_PROD).read_volatile() } == prod {
            return true;
        }
        if cpu::counter() > end {
            return false;
        }
        while_waiting();
        give_way();
    }
}

/// A device: its store and its event channel.
pub struct Link {
    store: Store,
    me: Text<8>,
    /// Its directory, as `vbd/51712`.
    device: &'static str,
    port: u32,
}

impl Link {
    /// `None` where the guest has no store.
    pub fn new(device: &'static str) -> Option<Self> {
        let mut store = Store::connect()?;
        let mut me = Text::new();
        if store.ask(READ, 0, b"domid\0") {
            me.extend(store.answer.get());
        }
        abi_memory::map_grant_frame();
        Some(Self {
            store,
            me,
            device,
            port: 0,
        })
    }

    /// Writes a node of its own.
    pub fn write(&mut self, name: &str, value: &[u8]) {
        let mut payload: Text<96> = Text::new();
        for part in ["device/", self.device, "/", name, "\0"] {
            payload.extend(part.as_bytes());
        }
        payload.extend(value);
        self.store.ask(WRITE, 0, payload.get());
    }

    /// The same with a number.
    pub fn number(&mut self, name: &str, value: u64) {
        let mut digits = [0; 20];
        let (mut at, mut rest) = (digits.len(), value);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.write(name, &digits[at..]);
    }

    /// Waits for the back end to have one of these states; whether it came.
    pub fn waits_for(&mut self, states: &[u8]) -> bool {
        let mut path: Text<96> = Text::new();
        path.extend(b"/local/domain/0/backend/");
        // The domain is between the two parts of its directory.
        let (kind, id) = self.device.split_once('/').unwrap_or_default();
        path.extend(kind.as_bytes());
        path.extend(b"/");
        path.extend(self.me.get());
        for part in ["/", id, "/state\0"] {
            path.extend(part.as_bytes());
        }
        let end = cpu::counter() + PATIENCE * cpu::frequency();
        while cpu::counter() < end {
            if self.store.ask(READ, 0, path.get()) {
                let state = self.store.answer.get();
                if state.first().is_some_and(|state| states.contains(state)) {
                    return true;
                }
            }
            give_way();
        }
        false
    }

    /// Closes what is connected and begins anew, with an event channel; whether the back end came
    /// along.
    pub fn begin(&mut self) -> bool {
        if self.port != 0 {
            self.write("state", &[CLOSED]);
            self.waits_for(&[CLOSED]);
            call_with(nr::EVTCHN, CLOSE, &mut self.port);
        }
        self.write("state", &[INITIALISING]);
        if !self.waits_for(&[INIT_WAIT]) {
            return false;
        }
        let mut alloc = Alloc {
            domain: SELF,
            remote: 0,
            port: 0,
        };
        call_with(nr::EVTCHN, ALLOC, &mut alloc);
        self.port = alloc.port;
        self.number("event-channel", self.port.into());
        true
    }

    /// Says that it has connected, by this state; whether the back end has, too.
    pub fn finish(&mut self, state: u8) -> bool {
        self.write("state", &[state]);
        self.waits_for(&[CONNECTED])
    }

    /// Sends the event.
    pub fn send(&mut self) {
        call_with(nr::EVTCHN, SEND, &mut self.port);
    }
}
