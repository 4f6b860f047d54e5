//! Takes the place of a VMM and does what none should, by the name of its domain:
//!
//! - `window` reads its window onto guest memory where nothing is mapped,
//! - `module` writes to the file of its guest's kernel,
//! - `overflow` uses up its stack,
//! - `panic` panics,
//! - anybody else floods the servers with garbage, begins something and never ends it.
//!
//! It is for boot tests and in no product image: the tests put it where `vmm.elf` would be.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod garbage;
mod random;

use core::fmt::Write;
use core::hint::black_box;

use console_api::Logger;
use dt_server_api::DtServer;
use guest_mem::Window;
use hv_types::WindowAddr;
use zazen_rt::clients::dt_call;
use zazen_rt::log::{VmmConsole, vmm_console};
use zazen_rt::{ChannelSet, Handler, Infallible, protection_domain, region};

use crate::garbage::Garbage;

protection_domain!(init);

/// The log, as a VMM has it.
pub(crate) type Log = Logger<VmmConsole>;

struct Silent;

fn init() -> Silent {
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
        "panic" => panic!("{name} panics, as asked"),
        _ => Garbage::new().run(&mut log),
    }
    Silent
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

impl Handler for Silent {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }
}
