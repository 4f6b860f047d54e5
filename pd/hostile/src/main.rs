//! Takes the place of a VMM and does what none should, by the name of its domain:
//!
//! - `window` reads its window onto guest memory where nothing is mapped,
//! - `module` writes to the file of its guest's kernel,
//! - `overflow` uses up its stack,
//! - `panic` panics,
//! - `fragile` and `brittle` are VMMs like any other until somebody types `!` at their guests, then
//!   they panic,
//! - those of [`greedy`] are VMMs like any other until their guests run, then take all the time
//!   they get,
//! - those of [`syscalls`] make system calls that no VMM makes,
//! - `dear` sends the memory server its dearest messages and says how long each takes,
//! - anybody else floods the servers with garbage, begins something, never ends it, and pretends to
//!   have stopped.
//!
//! It is for boot tests and in no product image: the tests put it where `vmm.elf` would be.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod dear;
mod fragile;
mod garbage;
mod greedy;
mod random;
mod syscalls;

use core::fmt::Write;
use core::hint::black_box;

use console_api::Logger;
use dt_server_api::DtServer;
use guest_mem::Window;
use hv_types::{VcpuId, WindowAddr};
use static_cell::StaticCell;
use zazen_rt::clients::dt_call;
use zazen_rt::event::{Event, Signals};
use zazen_rt::lent::{self, Answer, Lent, Replies};
use zazen_rt::log::{VmmConsole, vmm_console};
use zazen_rt::{MessageInfo, protection_domain, region};
use zazen_vmm::Vmm;

use crate::fragile::Fragile;
use crate::garbage::Garbage;
use crate::greedy::Greedy;

protection_domain!(init);

/// The log, as a VMM has it.
pub(crate) type Log = Logger<VmmConsole>;

/// The VMM as it should be, of those who are one for a while. It is too large to be handed about on
/// the stack.
static VMM: StaticCell<Vmm> = StaticCell::new();

/// Starts that VMM; called once.
pub(crate) fn vmm() -> &'static mut Vmm {
    VMM.init_with(zazen_vmm::start)
}

enum Hostile {
    /// Handles nothing any more.
    Silent(Replies),
    Fragile(Fragile),
    Greedy(Greedy),
}

fn init() -> Lent<Hostile> {
    Lent(hostile())
}

fn hostile() -> Hostile {
    let mut log = Logger::new(vmm_console());
    let record = dt_server_api::Client::new(dt_call).record();
    let name = record.as_ref().map_or("", |record| record.name.as_str());
    let _ = writeln!(log, "[hostile] {name} starts");
    match name {
        "window" => {
            let mut word = [0; 8];
            region::guest_window().read(WindowAddr::new(0x4100_0008), &mut word);
            let _ = writeln!(log, "[hostile] read {word:?}");
        }
        "module" => region::poke_module(),
        "overflow" => {
            let _ = writeln!(log, "[hostile] {}", deeper(1));
        }
        "fragile" | "brittle" => return Hostile::Fragile(Fragile::new()),
        "dear" => dear::run(&mut log),
        "panic" => panic!("{name} panics, as asked"),
        _ if syscalls::run(name, &mut log) => {}
        _ => match Greedy::new(name) {
            Some(greedy) => return Hostile::Greedy(greedy),
            None => Garbage::new().run(&mut log),
        },
    }
    Hostile::Silent(Replies::new(false))
}

/// Uses a page of stack for each level; more than there is.
fn deeper(level: u64) -> u64 {
    let mut page = [level; 512];
    black_box(&mut page);
    if level == 1 << 20 {
        return level;
    }
    page[7] + deeper(level + 1)
}

impl lent::Vmm for Hostile {
    fn notified(&mut self, signals: Signals) -> Answer {
        match self {
            Self::Silent(_) => None,
            Self::Fragile(fragile) => fragile.notified(signals),
            Self::Greedy(greedy) => greedy.notified(signals),
        }
    }

    fn fault(&mut self, id: VcpuId, info: MessageInfo) -> Answer {
        match self {
            Self::Silent(_) => None,
            Self::Fragile(fragile) => fragile.vmm.fault(id, info),
            Self::Greedy(greedy) => greedy.fault(id, info),
        }
    }

    fn next(&mut self, answer: Answer) -> Event {
        match self {
            Self::Silent(replies) => replies.next(answer),
            Self::Fragile(fragile) => fragile.vmm.next(answer),
            Self::Greedy(greedy) => greedy.vmm.next(answer),
        }
    }
}
