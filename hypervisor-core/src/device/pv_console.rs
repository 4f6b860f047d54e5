//! Backend of the PV console: the page that the guest's `hvc0` driver shares with us.
//!
//! The page (`struct xencons_interface`, xen/include/public/io/console.h) is the extra page
//! [`Extra::Console`]. The guest owns `out_prod` and `in_cons`, we own `out_cons` and `in_prod`;
//! both pairs are read from the page each time, so a guest that starts the page afresh (a second
//! kernel, a boot loader before it) is followed. It may write anything there: a pair is used only
//! if it is at most the ring's size apart.
//!
//! Nothing is lost: bytes stay in the guest's ring until the console takes them, and input stays
//! with the console until the guest's ring has room.

use console_api::ConsolePort;
use dt_server_api::{DomainRecord, PvFeatures};
use guest_mem::Window;
use hv_types::{Gfn, Port, WindowAddr};
use memory_server_api::Extra;
use xen_abi::console::ring::{
    CONNECTION, IN, IN_CONS, IN_PROD, IN_SIZE, OUT, OUT_CONS, OUT_PROD, OUT_SIZE,
};

use super::model::{Device, Words};
use super::page_ring::PageRing;
use crate::evtchn::Service;
use crate::host::Host;

/// From the console to the guest.
const INPUT: PageRing = PageRing {
    page: Extra::Console,
    prod: IN_PROD,
    cons: IN_CONS,
    bytes: IN,
    size: IN_SIZE,
};
/// From the guest to the console.
const OUTPUT: PageRing = PageRing {
    page: Extra::Console,
    prod: OUT_PROD,
    cons: OUT_CONS,
    bytes: OUT,
    size: OUT_SIZE,
};

/// Which of the two rings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ring {
    /// From the console to the guest.
    In,
    /// From the guest to the console.
    Out,
}

/// The guest's indices cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which ring.
    pub ring: Ring,
    /// Its producer index.
    pub prod: u32,
    /// Its consumer index.
    pub cons: u32,
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (name, size) = match self.ring {
            Ring::In => ("in", IN_SIZE),
            Ring::Out => ("out", OUT_SIZE),
        };
        write!(
            f,
            "PV console: the guest's indices {name}_prod {:#x} and {name}_cons {:#x} are more than {size} bytes apart; \
             ring ignored until the guest repairs them",
            self.prod, self.cons
        )
    }
}

/// State of the backend.
#[derive(Debug)]
pub struct PvConsole {
    gfn: Gfn,
    port: Port,
    /// Said to be broken already: `in`, `out`.
    said: [bool; 2],
    report: Option<Broken>,
    /// Input is for this console now.
    input: bool,
}

impl PvConsole {
    /// A backend whose page the guest finds at `gfn`, and whose guest end of the event channel is
    /// `port`.
    pub const fn new(gfn: Gfn, port: Port) -> Self {
        Self {
            gfn,
            port,
            said: [false; 2],
            report: None,
            input: true,
        }
    }

    /// The guest end of its event channel is `port` from now on.
    pub const fn bind(&mut self, port: Port) {
        self.port = port;
    }

    /// Says whether input is for this console now.
    pub const fn take_input(&mut self, input: bool) {
        self.input = input;
    }

    /// Where the guest finds the page (`HVM_PARAM_CONSOLE_PFN`).
    pub const fn gfn(&self) -> Gfn {
        self.gfn
    }

    /// The guest's event channel port (`HVM_PARAM_CONSOLE_EVTCHN`).
    pub const fn port(&self) -> Port {
        self.port
    }

    /// Makes the page that of a connected console with empty rings; before the guest starts.
    pub fn connect<W: Window>(&self, w: &W) {
        for word in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
            w.store_u32(at(word), 0);
        }
        // XENCONSOLE_CONNECTED.
        w.swap_u8(at(CONNECTION), 0);
    }

    /// Moves output to the console and, where `input` says that it is for this console, input to
    /// the guest, as far as there is room; returns whether to signal the guest's port.
    ///
    /// To be called when the guest sends on the port and when the console sends a notification.
    /// Where the console was full, its notification brings the rest.
    pub fn pump<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C, input: bool) -> bool {
        let output = self.pump_out(w, c);
        let input = input && self.pump_in(w, c);
        output || input
    }

    /// Moves what is left of a guest's output that has stopped; returns whether nothing is left to
    /// move.
    pub fn drain_to<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C) -> bool {
        self.pump_out(w, c);
        let (prod, cons) = (OUTPUT.prod(w), OUTPUT.cons(w));
        self.distance(Ring::Out, prod, cons)
            .is_none_or(|left| left == 0)
    }

    /// The news that a ring is broken, once for each time it breaks; for the log.
    pub fn take_broken(&mut self) -> Option<Broken> {
        self.report.take()
    }

    fn pump_out<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C) -> bool {
        let (prod, cons) = (OUTPUT.prod(w), OUTPUT.cons(w));
        self.distance(Ring::Out, prod, cons)
            .is_some_and(|used| OUTPUT.drain(w, cons, used, |bytes| c.write(bytes)))
    }

    fn pump_in<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C) -> bool {
        let (cons, prod) = (INPUT.cons(w), INPUT.prod(w));
        self.distance(Ring::In, prod, cons)
            .is_some_and(|used| INPUT.fill(w, prod, used, |into| c.read(into)))
    }

    /// `prod - cons` if that is possible, else remembers to say so.
    fn distance(&mut self, ring: Ring, prod: u32, cons: u32) -> Option<u32> {
        let (said, place) = match ring {
            Ring::In => (&mut self.said[0], INPUT),
            Ring::Out => (&mut self.said[1], OUTPUT),
        };
        let used = place.used(prod, cons);
        let broken = used.is_none();
        if broken && !*said {
            self.report = Some(Broken { ring, prod, cons });
        }
        *said = broken;
        used
    }
}

impl Device for PvConsole {
    const WORDS: Words = Words {
        name: "the PV console",
        refuses: "it is a page and has no registers",
        absent: (
            "the place of a PV console",
            "the domain has none: add `xen,enhanced;` to it",
        ),
    };

    fn is_in(record: &DomainRecord) -> bool {
        record.pv != PvFeatures::None
    }
    fn new(record: &DomainRecord) -> Self {
        // Its port follows when the event channels are there.
        Self::new(record.layout.magic.gfn(), Port(0))
    }
    fn work<H: Host>(&mut self, host: &mut H) -> Option<Service> {
        let (window, console) = host.window_and_console();
        let input = self.input;
        self.pump(window, console, input)
            .then_some(Service::Console)
    }
    fn report<H: Host>(&mut self, host: &mut H) {
        if let Some(broken) = self.take_broken() {
            host.log(format_args!("{broken}"));
        }
    }
    fn drain<H: Host>(&mut self, host: &mut H) -> bool {
        let (window, console) = host.window_and_console();
        self.drain_to(window, console)
    }
    fn reset<H: Host>(&mut self, host: &mut H) {
        *self = Self::new(self.gfn, self.port);
        self.connect(host.window());
    }
}

/// A byte of the console page.
fn at(offset: u16) -> WindowAddr {
    WindowAddr::extra(Extra::Console.index(), offset)
}

#[cfg(test)]
mod tests;
