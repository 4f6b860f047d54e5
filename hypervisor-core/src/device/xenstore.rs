//! The xenstore ring (public/io/xs_wire.h, `xenstore_domain_interface`).
//!
//! The page lies in guest memory, so indices and bytes may be anything and change at any time: each
//! index is read once per pass and used only if it is possible. Bytes go to the xenstore server and
//! come from it; nobody here looks at them.
//!
//! The page is made before the guest starts and says that the store is about to connect: the store
//! makes the guest's nodes first. A guest waits for the event that says when it has. From then on
//! the guest may ask for a fresh connection at any time, the same way.

use core::fmt;

use dt_server_api::{DomainRecord, PvFeatures};
use guest_mem::Window;
use hv_types::{Gfn, Port, WindowAddr};
use memory_server_api::Extra;
use xen_abi::grant::{RESERVED_XENSTORE, gtf};
use xen_abi::store::ring::{
    CONNECTION, ERROR, REQ, REQ_CONS, REQ_PROD, RSP, RSP_CONS, RSP_PROD, SERVER_FEATURES, SIZE,
};
use xen_abi::store::{CONNECTED, RECONNECT, error, feature};
use xenstore_server_api::StorePort;

use super::model::{Device, Words};
use super::page_ring::PageRing;
use crate::evtchn::Service;
use crate::host::Host;

/// From the guest to the store.
const REQUESTS: PageRing = PageRing {
    page: Extra::Xenstore,
    prod: REQ_PROD,
    cons: REQ_CONS,
    bytes: REQ,
    size: SIZE,
};
/// From the store to the guest.
const ANSWERS: PageRing = PageRing {
    page: Extra::Xenstore,
    prod: RSP_PROD,
    cons: RSP_CONS,
    bytes: RSP,
    size: SIZE,
};

/// What the store offers.
const FEATURES: u32 =
    feature::RECONNECTION | feature::ERROR | feature::WATCH_DEPTH | feature::DOMID_ANY;

/// What becomes of the guest's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The store has not connected yet.
    Waits,
    /// They are moved.
    Connected,
    /// They are not: something made no sense. The guest may ask for a fresh connection.
    Broken,
}

/// The guest's indices cannot be; for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Broken {
    name: &'static str,
    prod: u32,
    cons: u32,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, prod, cons } = self;
        write!(
            f,
            "the guest broke its xenstore page: {name}_prod {prod:#x} and {name}_cons {cons:#x} are more than {SIZE} bytes \
             apart; the store ignores it until the guest asks for a fresh connection"
        )
    }
}

/// The ring and what the guest is told about it.
#[derive(Clone, Debug)]
pub struct Xenstore {
    gfn: Gfn,
    port: Port,
    state: State,
    /// The guest is told where the page is when the store connects, and not before.
    late: bool,
    /// It was told.
    told: bool,
    report: Option<Broken>,
}

impl Xenstore {
    /// The guest end of its event channel is `port` from now on.
    pub const fn bind(&mut self, port: Port) {
        self.port = port;
    }

    /// Where the guest finds the page.
    pub const fn gfn(&self) -> Gfn {
        self.gfn
    }

    /// `HVM_PARAM_STORE_PFN`: the page, or all ones where it comes later.
    pub const fn pfn_param(&self) -> u64 {
        if self.told { self.gfn.raw() } else { u64::MAX }
    }

    /// `HVM_PARAM_STORE_EVTCHN`.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// Moves bytes in both directions as far as there is room, and connects; returns whether to
    /// signal the guest's port.
    fn pump<W: Window, S: StorePort>(&mut self, w: &W, store: &mut S) -> bool {
        if !store.is_ready() {
            return false;
        }
        if self.state == State::Waits {
            self.connect(w);
            return true;
        }
        if w.load_u32(at(CONNECTION)) == RECONNECT {
            self.state = State::Waits;
            store.again();
            return false;
        }
        if self.state == State::Broken {
            return false;
        }
        let refused = store.error();
        if refused != error::NONE {
            w.store_u32(at(ERROR), refused);
            self.state = State::Broken;
            return true;
        }
        let moved = self
            .pump_requests(w, store)
            .and_then(|asked| Some(asked | self.pump_answers(w, store)?));
        moved.unwrap_or_else(|| {
            w.store_u32(at(ERROR), error::RING_INDEX);
            self.state = State::Broken;
            // What it has open there goes.
            store.again();
            true
        })
    }

    /// The store has connected: an empty ring.
    fn connect<W: Window>(&mut self, w: &W) {
        for word in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            w.store_u32(at(word), 0);
        }
        w.store_u32(at(ERROR), error::NONE);
        w.store_u32(at(SERVER_FEATURES), FEATURES);
        w.store_u32(at(CONNECTION), CONNECTED);
        self.state = State::Connected;
        if !self.told {
            self.told = true;
            self.seed_grant(w);
        }
    }

    /// The page's reserved grant, which Xen makes for domain 0.
    fn seed_grant<W: Window>(&self, w: &W) {
        let entry = u64::from(gtf::PERMIT_ACCESS) | self.gfn.raw() << 32;
        let offset = u16::try_from(8 * RESERVED_XENSTORE).unwrap_or(0);
        let grants = WindowAddr::extra(Extra::GrantFrame(0).index(), offset);
        w.store_u64(grants, entry);
    }

    fn pump_requests<W: Window, S: StorePort>(&mut self, w: &W, store: &mut S) -> Option<bool> {
        let (prod, cons) = (REQUESTS.prod(w), REQUESTS.cons(w));
        let used = self.used(&REQUESTS, "req", prod, cons)?;
        Some(REQUESTS.drain(w, cons, used, |bytes| store.send(bytes)))
    }

    fn pump_answers<W: Window, S: StorePort>(&mut self, w: &W, store: &mut S) -> Option<bool> {
        let (cons, prod) = (ANSWERS.cons(w), ANSWERS.prod(w));
        let used = self.used(&ANSWERS, "rsp", prod, cons)?;
        Some(ANSWERS.fill(w, prod, used, |into| store.receive(into)))
    }

    /// Bytes in `ring`, if that is possible, else remembers to say so.
    fn used(&mut self, ring: &PageRing, name: &'static str, prod: u32, cons: u32) -> Option<u32> {
        let used = ring.used(prod, cons);
        if used.is_none() {
            self.report = Some(Broken { name, prod, cons });
        }
        used
    }
}

impl Device for Xenstore {
    const WORDS: Words = Words {
        name: "the xenstore ring",
        refuses: "it is a page and has no registers",
        absent: (
            "the place of a xenstore ring",
            "the domain has none: give it `xen,enhanced = \"enabled\"`",
        ),
    };

    fn is_in(record: &DomainRecord) -> bool {
        record.pv.has_store()
    }
    fn new(record: &DomainRecord) -> Self {
        let late = record.pv == PvFeatures::Legacy;
        Self {
            // The console's comes first. Its port follows when the event channels are there.
            gfn: Gfn::new(record.layout.magic.gfn().raw() + 1),
            port: Port(0),
            state: State::Waits,
            late,
            told: false,
            report: None,
        }
    }
    fn work<H: Host>(&mut self, host: &mut H) -> Option<Service> {
        let (window, store) = host.window_and_store();
        self.pump(window, store).then_some(Service::Store)
    }
    fn report<H: Host>(&mut self, host: &mut H) {
        if let Some(broken) = self.report.take() {
            host.log(format_args!("{broken}"));
        }
    }
    fn end<H: Host>(&mut self, host: &mut H) {
        host.store().end();
    }
    fn reset<H: Host>(&mut self, host: &mut H) {
        self.state = State::Waits;
        self.told = !self.late;
        self.report = None;
        let window = host.window();
        window.store_u32(at(CONNECTION), RECONNECT);
        if self.told {
            self.seed_grant(window);
        }
        let (port, gfn) = (self.port.0, self.gfn.raw());
        host.store().begin(port, gfn);
    }
}

/// A byte of the page.
fn at(offset: u16) -> WindowAddr {
    WindowAddr::extra(Extra::Xenstore.index(), offset)
}

#[cfg(test)]
mod tests;
