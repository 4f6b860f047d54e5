//! How long a guest stands still while it gives 128 MiB up and takes them back:
//! `domains/bench-pause.dts` and `domains/bench-pause-heap.dts`. The guest measures it, by a timer
//! that is due every 10 µs; the machine counts instructions, so figures repeat exactly.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::suite::Suite;

/// Kinds of memory, and their domains files.
const KINDS: [(&str, &str); 2] = [
    ("static", "bench-pause.dts"),
    ("heap", "bench-pause-heap.dts"),
];
/// Instructions that a guest may stand still for.
const BOUND: u64 = 200_000;
/// The same on the EL2 host.
const EL2_BOUND: u64 = 100_000;
/// Pages of 128 MiB.
const PAGES: u64 = 128 << 8;

/// Runs the scene in the configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let bound = if config == "el2" { EL2_BOUND } else { BOUND };
    for (kind, domains) in KINDS {
        let test = format!("{config}/pause/{kind}");
        if !suite.wants(std::slice::from_ref(&test)) {
            continue;
        }
        suite.run(&test, || {
            let name = format!("pause-{kind}-{config}");
            let lab = lab.clone().counting();
            let machine = lab.boot(config, domains, &name)?;
            let down = number(&machine, r"bench: pause_down (\d+)")?;
            let up = number(&machine, r"bench: pause_up (\d+)")?;
            let gone = number(&machine, r"pause: (\d+) pages went")?;
            let back = number(&machine, r"pages went and (\d+) came back")?;
            check([down, up], [gone, back], bound)
        });
    }
}

/// The number that the guest says where `pattern` has it.
fn number(machine: &Machine, pattern: &str) -> Result<u64, Failure> {
    let found = machine.expect(pattern, PATIENCE)?;
    let number = found.get(1).and_then(|text| text.parse().ok());
    number.ok_or_else(|| Failure(format!("no number for {pattern}")))
}

/// A pause of 0 would be a timer that was never late: one that nobody looked at.
fn check(pauses: [u64; 2], pages: [u64; 2], bound: u64) -> Result<(), Failure> {
    if pages != [PAGES; 2] {
        return Err(Failure(format!(
            "{} pages went and {} came back, not {PAGES}",
            pages[0], pages[1]
        )));
    }
    if pauses.iter().all(|pause| (1..=bound).contains(pause)) {
        return Ok(());
    }
    Err(Failure(format!(
        "the guest stood still for {} instructions on the way down and {} on the way up (at most {bound})",
        pauses[0], pauses[1]
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_can_fail() {
        let all = [PAGES; 2];
        assert!(check([1, 100], all, 100).is_ok());
        assert!(check([1, 101], all, 100).is_err() && check([0, 1], all, 100).is_err());
        assert!(check([1, 1], [PAGES, PAGES - 1], 100).is_err());
    }
}
