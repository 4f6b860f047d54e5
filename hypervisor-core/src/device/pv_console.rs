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
use crate::evtchn::Service;
use crate::host::Host;

/// Bytes moved at a time.
const CHUNK: usize = 256;

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
        let (prod, cons) = (w.load_u32(at(OUT_PROD)), w.load_u32(at(OUT_CONS)));
        self.distance(Ring::Out, prod, cons)
            .is_none_or(|left| left == 0)
    }

    /// The news that a ring is broken, once for each time it breaks; for the log.
    pub fn take_broken(&mut self) -> Option<Broken> {
        self.report.take()
    }

    fn pump_out<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C) -> bool {
        // The sequentially consistent loads and stores of `Window` are the full barriers that the
        // protocol asks for between the indices and the bytes.
        let prod = w.load_u32(at(OUT_PROD));
        let mut cons = w.load_u32(at(OUT_CONS));
        let Some(mut left) = self.distance(Ring::Out, prod, cons) else {
            return false;
        };
        let mut moved = false;
        let mut chunk = [0; CHUNK];
        // At most the ring's size, because `prod` is not read again: a guest that goes on writing
        // sends another event.
        while left > 0 {
            let (offset, run) = run(cons, left, OUT_SIZE);
            let Some(bytes) = chunk.get_mut(..run) else {
                break;
            };
            w.read(at(OUT + offset), bytes);
            let taken = c.write(bytes).min(run);
            // At most CHUNK.
            let step = u32::try_from(taken).unwrap_or(0);
            cons = cons.wrapping_add(step);
            left -= step;
            moved |= taken > 0;
            if taken < run {
                break;
            }
        }
        if moved {
            w.store_u32(at(OUT_CONS), cons);
        }
        moved
    }

    fn pump_in<W: Window, C: ConsolePort>(&mut self, w: &W, c: &mut C) -> bool {
        let cons = w.load_u32(at(IN_CONS));
        let mut prod = w.load_u32(at(IN_PROD));
        let Some(used) = self.distance(Ring::In, prod, cons) else {
            return false;
        };
        let mut room = IN_SIZE - used;
        let mut moved = false;
        let mut chunk = [0; CHUNK];
        while room > 0 {
            let (offset, run) = run(prod, room, IN_SIZE);
            let Some(into) = chunk.get_mut(..run) else {
                break;
            };
            let got = c.read(into).min(run);
            let step = u32::try_from(got).unwrap_or(0);
            if step == 0 {
                break;
            }
            w.write(at(IN + offset), chunk.get(..got).unwrap_or(&[]));
            prod = prod.wrapping_add(step);
            room -= step;
            moved = true;
        }
        if moved {
            w.store_u32(at(IN_PROD), prod);
        }
        moved
    }

    /// `prod - cons` if that is possible, else remembers to say so.
    fn distance(&mut self, ring: Ring, prod: u32, cons: u32) -> Option<u32> {
        let (said, size) = match ring {
            Ring::In => (&mut self.said[0], IN_SIZE),
            Ring::Out => (&mut self.said[1], OUT_SIZE),
        };
        let distance = prod.wrapping_sub(cons);
        let broken = distance > size;
        if broken && !*said {
            self.report = Some(Broken { ring, prod, cons });
        }
        *said = broken;
        (!broken).then_some(distance)
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

/// Byte offset of free-running `index` in a ring of `size` bytes, and how many of `count` bytes lie
/// there in a row, at most [`CHUNK`].
fn run(index: u32, count: u32, size: u32) -> (u16, usize) {
    let offset = index & (size - 1);
    let run = usize::try_from(count.min(size - offset)).unwrap_or(0);
    // Below `size`, which is at most 2048.
    (u16::try_from(offset).unwrap_or(0), run.min(CHUNK))
}

/// A byte of the console page.
fn at(offset: u16) -> WindowAddr {
    WindowAddr::extra(Extra::Console.index(), offset)
}

#[cfg(test)]
mod tests;
