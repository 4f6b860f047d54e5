//! From fault messages to lines, and to the memory server.

use core::fmt;

use memory_server_api::{Error, Relinquished};
use topology::{child, pd};

use crate::fault::Fault;
use crate::place::Place;
use crate::who::{Names, Who};

/// Most messages that one domain's end may take. Each takes back at least as much as one step's worth, so far fewer do; a
/// memory server that never comes to an end must not keep other faults from being told.
const MOST_MESSAGES: u32 = 1 << 20;
/// How often in a row the memory server may refuse.
const MOST_REFUSALS: u32 = 3;

/// Counts what each PD sent.
///
/// A PD faults once, but the capability behind its faults lies in its CSpace, so one that was taken over can send as many
/// messages as it likes. Its 1st, 2nd, 4th, 8th … are said.
#[derive(Debug)]
pub struct Server<'a> {
    names: &'a Names,
    /// Last address of a PD.
    top: u64,
    counts: [u32; child::COUNT + 1],
    /// The memory server has stopped: a call would wait for ever.
    alone: bool,
}

impl<'a> Server<'a> {
    /// A server for PDs with these names, whose address spaces end with byte `top` (seL4's `seL4_UserVSpaceTop`).
    pub const fn new(names: &'a Names, top: u64) -> Self {
        Self {
            names,
            top,
            counts: [0; child::COUNT + 1],
            alone: false,
        }
    }

    /// The domain, by its number from 0, whose VMM is child `child`.
    pub fn vmm(&self, child: usize) -> Option<u8> {
        Who::new(child, self.names).domain()
    }

    /// Child `child` has faulted; `line` gets each line to be logged. `crash` tells the memory server that the VMM of a
    /// domain, by its number from 0, has stopped, and returns its answer: whether something is left to take back, and what
    /// was taken back so far.
    ///
    /// Only the first message of a VMM is passed on. One that lies about itself loses its own domain's memory and nothing else.
    /// Returns whether this was the child's first.
    pub fn on_fault(
        &mut self,
        child: usize,
        fault: Fault,
        mut line: impl FnMut(fmt::Arguments<'_>),
        crash: impl FnMut(u8) -> Result<(bool, Relinquished), Error>,
    ) -> bool {
        // Numbers that no PD has share a counter.
        let index = child.min(child::COUNT);
        let Some(count) = self.counts.get_mut(index) else {
            return false;
        };
        *count = count.saturating_add(1);
        if !count.is_power_of_two() {
            return false;
        }
        let who = Who::new(child, self.names);
        if *count > 1 {
            line(format_args!(
                "{who} has sent {count} fault messages: it is not stopped but pretends to be"
            ));
            return false;
        }
        self.describe(&who, fault, &mut line);
        line(format_args!("  {}", who.consequence()));
        match fault.pc() {
            Some(pc) => line(format_args!(
                "  try: addr2line -fie {}.elf {pc:#x} names the source line; please report it with the lines above",
                who.program()
            )),
            None => line(format_args!("  try: please report it with the lines above")),
        }
        if who == Who::Server(pd::MEMORY_SERVER) {
            self.alone = true;
        }
        if let Some(domain) = who.domain() {
            self.take_back(&who, domain, &mut line, crash);
        }
        true
    }

    /// Has the memory server take back all that `domain` has.
    fn take_back(
        &self,
        who: &Who<'_>,
        domain: u8,
        line: &mut impl FnMut(fmt::Arguments<'_>),
        mut crash: impl FnMut(u8) -> Result<(bool, Relinquished), Error>,
    ) {
        if self.alone {
            line(format_args!(
                "{who}: its memory stays with it, because memory_server has stopped"
            ));
            return;
        }
        let mut refusals = 0;
        for _ in 0..MOST_MESSAGES {
            match crash(domain) {
                Ok((true, _)) => refusals = 0,
                Ok((false, Relinquished { ram, extra, tables })) => {
                    line(format_args!(
                        "{who}: {ram} pages of RAM, {extra} extra pages and {tables} page tables are back"
                    ));
                    return;
                }
                Err(error) => {
                    refusals += 1;
                    if refusals == MOST_REFUSALS {
                        line(format_args!(
                            "{who}: part of its memory stays with it: {error}"
                        ));
                        return;
                    }
                }
            }
        }
        line(format_args!(
            "{who}: part of its memory stays with it: memory_server came to no end"
        ));
    }

    fn describe(&self, who: &Who<'_>, fault: Fault, line: &mut impl FnMut(fmt::Arguments<'_>)) {
        match fault {
            Fault::Memory {
                access,
                address,
                forbidden,
                pc,
            } => {
                let place = Place::of(who, address, self.top);
                let why = match (forbidden, place) {
                    (true, _) => "which it may not",
                    (false, Place::GuestRam(_) | Place::Extra(_)) => {
                        "where nothing is mapped (taken back, or never granted)"
                    }
                    _ => "where nothing is mapped",
                };
                line(format_args!(
                    "{who} stopped: {} address {address:#x} ({place}), {why}; pc {pc:#x}",
                    access.words()
                ));
            }
            Fault::GaveUp => line(format_args!(
                "{who} stopped: it gave up (a panic); its own last lines say why"
            )),
            Fault::Instruction { pc: Some(pc) } => line(format_args!(
                "{who} stopped: it executed an instruction that it may not; pc {pc:#x}"
            )),
            Fault::Instruction { pc: None } => line(format_args!(
                "{who} stopped: it executed an instruction that it may not"
            )),
            Fault::Capability { pc } => line(format_args!(
                "{who} stopped: it called on a capability that is not there; pc {pc:#x}"
            )),
            Fault::SystemCall => line(format_args!(
                "{who} stopped: it made a system call that seL4 does not have"
            )),
            Fault::Other { label } => line(format_args!(
                "{who} stopped: the kernel sent a fault of unknown kind {label}"
            )),
        }
    }
}
