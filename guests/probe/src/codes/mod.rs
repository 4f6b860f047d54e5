//! Return codes of every hypercall that an unprivileged guest can make, with good and bad
//! arguments, several errors at once, and what is written where.
//!
//! The same binary runs on Xen and here. What must be equal is checked with [`Codes::is`]; the
//! differences that SUPPORT.md lists are checked with [`Codes::differs`], so that they stay what
//! the list says.

pub mod argument;
mod events;
mod extents;
pub mod grants;
mod loopback;
pub mod mapping;
mod memory;
mod multicalls;
pub mod physmap;
mod power;
pub mod scratch;
mod small;

use argument::Arg;

use crate::report::Report;
use crate::xen::{self, NOBODY, SELF, call2, nr};

/// An address outside any RAM of a small guest.
pub const WILD: u64 = 0x0100_0000;
/// Domain ids that name nobody, on any machine with at most a few guests.
pub const NOBODIES: [u16; 8] = [NOBODY, 0, 0x7ff1, 0x7ff2, 0x7ff4, 0x7ff5, 0x7fff, 0xffff];

/// The checks of this set and what they need to know.
pub struct Codes<'r> {
    report: &'r mut Report,
    zazen: bool,
    /// Our own domain id.
    pub me: u16,
    /// The id of another guest.
    pub other: u16,
}

impl Codes<'_> {
    /// `got` must be `want`, there and here.
    pub fn is(&mut self, name: &str, got: i64, want: i64) {
        self.report.equal("codes", name, got, want);
    }

    /// `got` must be `want`, there and here, in the case that `value` tells.
    pub fn of(&mut self, name: &str, value: u64, got: i64, want: i64) {
        self.report.check(
            "codes",
            name,
            got == want,
            format_args!("{value:#x}: got {got} want {want}"),
        );
    }

    /// A difference on purpose: `xen` there, `zazen` here.
    pub fn differs(&mut self, name: &str, got: i64, xen: i64, zazen: i64) {
        self.is(name, got, if self.zazen { zazen } else { xen });
    }

    /// Whether this runs on Zazen.
    pub fn on_zazen(&self) -> bool {
        self.zazen
    }
}

/// Runs the set.
pub fn run(report: &mut Report) {
    // An unbound port that we may bind ourselves tells our own id.
    let mut alloc = Arg::new().half(0, SELF).half(2, SELF);
    call2(nr::EVTCHN, 6, alloc.at());
    let mut status = Arg::new().half(0, SELF).word(4, alloc.get_word(4));
    call2(nr::EVTCHN, 5, status.at());
    let me = status.get_half(16);
    call2(nr::EVTCHN, 3, Arg::new().word(0, alloc.get_word(4)).at());
    let mut codes = Codes {
        report,
        zazen: xen::is_zazen(),
        me,
        other: if me == 1 { 2 } else { 1 },
    };
    codes.of("own-id", u64::from(me), i64::from((1..16).contains(&me)), 1);
    small::run(&mut codes);
    events::run(&mut codes);
    multicalls::run(&mut codes);
    memory::run(&mut codes);
    extents::run(&mut codes);
    physmap::run(&mut codes);
    grants::run(&mut codes);
    loopback::run(&mut codes);
    power::run(&mut codes);
}
