//! A guest's end of xenstore: the page, the port and messages.

use crate::abi_memory::map_shared_info;
use crate::cpu;
use crate::page::{self, Use};
use crate::xen::{SELF, call_with, nr};

/// Bytes of the longest payload.
const PAYLOAD: usize = 4096;
/// Bytes of either ring.
const RING: u32 = 1024;
/// Offsets in the page (public/io/xs_wire.h).
const REQ: u64 = 0;
const RSP: u64 = 1024;
const REQ_CONS: u64 = 2048;
const REQ_PROD: u64 = 2052;
const RSP_CONS: u64 = 2056;
const RSP_PROD: u64 = 2060;
const CONNECTION: u64 = 2068;
/// Offset of `evtchn_pending` in shared_info.
const PENDING: u64 = 48;
/// Type of an event, and of an error.
pub const EVENT: u32 = 15;
pub const ERROR: u32 = 16;

/// `xen_hvm_param`.
#[repr(C)]
struct Param {
    domain: u16,
    index: u32,
    value: u64,
}

/// `sched_poll`.
#[repr(C)]
struct Poll {
    ports: u64,
    count: u32,
    timeout: u64,
}

/// Bytes with a length.
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Puts a byte behind the others; one too many is dropped.
    pub fn push(&mut self, byte: u8) {
        if let Some(at) = self.bytes.get_mut(self.len) {
            *at = byte;
            self.len += 1;
        }
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.push(*byte));
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    pub fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// As text in which a NUL is `|`; at most the first 160 bytes.
    pub fn shown(&mut self) -> &str {
        let len = self.len.min(160);
        for byte in &mut self.bytes[..len] {
            if *byte == 0 {
                *byte = b'|';
            }
        }
        core::str::from_utf8(&self.bytes[..len]).unwrap_or("?")
    }
}

fn get(at: u64) -> u32 {
    // SAFETY: an aligned word of the store's page.
    unsafe { (at as *const u32).read_volatile() }
}

fn set(at: u64, value: u32) {
    // SAFETY: as for `get`; nothing of ours lives in the page.
    unsafe { (at as *mut u32).write_volatile(value) }
}

fn param(index: u32) -> u64 {
    let mut param = Param {
        domain: SELF,
        index,
        value: 0,
    };
    call_with(nr::HVM, 1, &mut param);
    param.value
}

/// The connection.
pub struct Store {
    page: u64,
    port: u32,
    next: u32,
    /// The last answer.
    pub answer: Text<PAYLOAD>,
    /// Its type.
    pub kind: u32,
    /// Payloads of the events that came, each with a `;` behind it.
    pub events: Text<512>,
}

impl Store {
    /// Waits for the store to connect; `None` where the guest has none.
    pub fn connect() -> Option<Self> {
        let (pfn, port) = (param(1), u32::try_from(param(2)).ok()?);
        if pfn == 0 || port == 0 {
            return None;
        }
        map_shared_info();
        let store = Self {
            page: pfn << 12,
            port,
            next: 1,
            answer: Text::new(),
            kind: 0,
            events: Text::new(),
        };
        while get(store.page + CONNECTION) != 0 {
            store.wait();
        }
        Some(store)
    }

    /// Sleeps until there was an event, or for a second.
    fn wait(&self) {
        let now = u128::from(cpu::counter()) * 1_000_000_000 / u128::from(cpu::frequency().max(1));
        let ports = [self.port];
        let mut poll = Poll {
            ports: ports.as_ptr() as u64,
            count: 1,
            timeout: now as u64 + 1_000_000_000,
        };
        call_with(nr::SCHED, 3, &mut poll);
        // Nothing else of the guest's has events.
        page::write(Use::SharedInfo, PENDING, 0);
    }

    fn signal(&self) {
        call_with(nr::EVTCHN, 4, &mut [self.port, 0]);
    }

    /// Puts a message into the ring, waiting for room.
    pub fn send(&mut self, kind: u32, tx: u32, payload: impl Iterator<Item = u8> + Clone) -> u32 {
        let id = self.next;
        self.next += 1;
        let len = payload.clone().count() as u32;
        let header = [kind, id, tx, len].map(u32::to_le_bytes);
        let mut prod = get(self.page + REQ_PROD);
        for byte in header.as_flattened().iter().copied().chain(payload) {
            while prod - get(self.page + REQ_CONS) == RING {
                set(self.page + REQ_PROD, prod);
                self.signal();
                if prod - get(self.page + REQ_CONS) == RING {
                    self.wait();
                }
            }
            let at = self.page + REQ + u64::from(prod % RING);
            // SAFETY: a byte of the ring in the store's page.
            unsafe { (at as *mut u8).write_volatile(byte) };
            prod += 1;
        }
        set(self.page + REQ_PROD, prod);
        self.signal();
        id
    }

    /// The next byte, waiting for it.
    fn byte(&self) -> u8 {
        let cons = get(self.page + RSP_CONS);
        while get(self.page + RSP_PROD) == cons {
            self.wait();
        }
        let at = self.page + RSP + u64::from(cons % RING);
        // SAFETY: as in `send`.
        let byte = unsafe { (at as *const u8).read_volatile() };
        set(self.page + RSP_CONS, cons + 1);
        byte
    }

    /// Takes the next answer, and the events before it.
    pub fn receive(&mut self) -> u32 {
        loop {
            let words: [u32; 4] =
                core::array::from_fn(|_| u32::from_le_bytes(core::array::from_fn(|_| self.byte())));
            let [kind, id, _, len] = words;
            let is_event = kind == EVENT;
            if !is_event {
                self.answer.clear();
            }
            for _ in 0..len {
                let byte = self.byte();
                if is_event {
                    self.events.push(byte);
                } else {
                    self.answer.push(byte);
                }
            }
            // There is room again.
            self.signal();
            if is_event {
                self.events.push(b';');
            } else {
                self.kind = kind;
                return id;
            }
        }
    }

    /// Asks, and waits for the answer; whether it is that of this request and no error.
    pub fn ask(&mut self, kind: u32, tx: u32, payload: &[u8]) -> bool {
        let id = self.send(kind, tx, payload.iter().copied());
        let answered = self.receive();
        answered == id && self.kind == kind
    }
}
