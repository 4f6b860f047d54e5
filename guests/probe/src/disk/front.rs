//! A front end of Xen's block devices (public/io/blkif.h): store, ring, event channel and grants.

use crate::abi_memory;
use crate::cpu;
use crate::page::{self, Use};
use crate::store::wire::{Store, Text};
use crate::xen::{SELF, call_with, call2, nr};

/// The device: `xvda`.
const DEVICE: &str = "51712";
/// Types of messages.
const READ: u32 = 2;
const WRITE: u32 = 11;
/// States (public/io/xenbus.h).
const INITIALISING: u8 = b'1';
const INIT_WAIT: u8 = b'2';
const INITIALISED: u8 = b'3';
const CONNECTED: u8 = b'4';
const CLOSED: u8 = b'6';
/// `sched_op(yield)`, and `event_channel_op`'s close, send and alloc_unbound.
const YIELD: u64 = 0;
const CLOSE: u64 = 3;
const SEND: u64 = 4;
const ALLOC: u64 = 6;
/// Offsets in the ring's page: indices, and the first slot.
const REQ_PROD: u64 = 0;
const RSP_PROD: u64 = 8;
const SLOTS_AT: u64 = 64;
/// Slots of a page, and 64-bit words of one.
pub const SLOTS: u32 = 32;
pub const WORDS: usize = 14;
/// `GTF_permit_access`.
pub const ACCESS: u16 = 1;
/// Grants: of the ring, and of a page with data.
pub const RING: u64 = 8;
pub const DATA: u64 = 9;
/// Seconds that the back end may take for what has to be done: the host may be busy.
pub const PATIENCE: u64 = 60;

/// `evtchn_alloc_unbound`.
#[repr(C)]
struct Alloc {
    domain: u16,
    remote: u16,
    port: u32,
}

/// Lets others have the processor.
pub fn give_way() {
    call2(nr::SCHED, YIELD, 0);
}

/// The front end.
pub struct Front {
    store: Store,
    me: Text<8>,
    port: u32,
    /// Requests put into the ring.
    prod: u32,
}

impl Front {
    /// `None` where the guest has no store.
    pub fn new() -> Option<Self> {
        let mut store = Store::connect()?;
        let mut me = Text::new();
        if store.ask(READ, 0, b"domid\0") {
            me.extend(store.answer.get());
        }
        abi_memory::map_grant_frame();
        Some(Self {
            store,
            me,
            port: 0,
            prod: 0,
        })
    }

    /// Gives domain 0 a page, or with `flags` 0 takes it back.
    pub fn grant(gref: u64, flags: u16, page: Use) {
        let entry = u64::from(flags) | page::frame(page) << 32;
        page::write(Use::Grant, 8 * gref, entry);
    }

    fn write(&mut self, name: &str, value: &[u8]) {
        let mut payload: Text<96> = Text::new();
        for part in ["device/vbd/", DEVICE, "/", name, "\0"] {
            payload.extend(part.as_bytes());
        }
        payload.extend(value);
        self.store.ask(WRITE, 0, payload.get());
    }

    fn number(&mut self, name: &str, value: u64) {
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
    fn waits_for(&mut self, states: &[u8]) -> bool {
        let mut path: Text<96> = Text::new();
        path.extend(b"/local/domain/0/backend/vbd/");
        path.extend(self.me.get());
        for part in ["/", DEVICE, "/state\0"] {
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

    /// Goes through the states; whether the back end came along.
    pub fn connect(&mut self) -> bool {
        if self.port != 0 {
            self.write("state", &[CLOSED]);
            self.waits_for(&[CLOSED]);
            call_with(nr::EVTCHN, CLOSE, &mut self.port);
        }
        self.write("state", &[INITIALISING]);
        if !self.waits_for(&[INIT_WAIT]) {
            return false;
        }
        for word in 0..512 {
            page::write(Use::Ring, 8 * word, 0);
        }
        self.prod = 0;
        Self::grant(RING, ACCESS, Use::Ring);
        Self::grant(DATA, ACCESS, Use::Data);
        let mut alloc = Alloc {
            domain: SELF,
            remote: 0,
            port: 0,
        };
        call_with(nr::EVTCHN, ALLOC, &mut alloc);
        self.port = alloc.port;
        self.number("ring-ref", RING);
        self.number("event-channel", self.port.into());
        self.write("protocol", b"arm-abi");
        self.write("state", &[INITIALISED]);
        self.waits_for(&[CONNECTED])
    }

    /// Puts a request into the ring, which the back end sees with [`Front::show`].
    pub fn put(&mut self, request: &[u64; WORDS]) {
        let slot = SLOTS_AT + u64::from(self.prod % SLOTS) * 8 * WORDS as u64;
        for (at, word) in (slot..).step_by(8).zip(request) {
            page::write(Use::Ring, at, *word);
        }
        self.prod = self.prod.wrapping_add(1);
    }

    fn index(at: u64) -> *mut u32 {
        (page::address(Use::Ring) + at) as *mut u32
    }

    /// Shows the back end what is in the ring and `jump` requests more, and sends the event.
    pub fn show(&mut self, jump: u32) {
        // SAFETY: an aligned word of the ring's page, which is ours; the barrier puts the requests
        // before it.
        unsafe {
            core::arch::asm!("dmb ish", options(nostack, preserves_flags));
            Self::index(REQ_PROD).write_volatile(self.prod.wrapping_add(jump));
        }
        call_with(nr::EVTCHN, SEND, &mut self.port);
    }

    /// Waits until all requests have their responses, for so many ticks; whether they came.
    /// `while_waiting` is called again and again.
    pub fn wait(&mut self, ticks: u64, while_waiting: fn()) -> bool {
        let end = cpu::counter() + ticks;
        loop {
            // SAFETY: as in `show`.
            if unsafe { Self::index(RSP_PROD).read_volatile() } == self.prod {
                return true;
            }
            if cpu::counter() > end {
                return false;
            }
            while_waiting();
            give_way();
        }
    }

    /// The status of the last response.
    pub fn status(&self) -> i16 {
        let slot = u64::from(self.prod.wrapping_sub(1) % SLOTS) * 8 * WORDS as u64;
        // A response is number, operation and status.
        (page::read(Use::Ring, SLOTS_AT + slot + 8) >> 16) as i16
    }
}
