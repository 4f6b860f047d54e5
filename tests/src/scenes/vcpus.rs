//! The monitor's list of vCPUs.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::PATIENCE;
use crate::scenes::shell::{ask, focus};

/// A row of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    guest: String,
    vcpu: usize,
    core: u64,
    state: String,
    /// Tenths of a second.
    time: u64,
}

/// The list, of which the row of vCPU `last` of `guest` is the last.
fn list(machine: &mut Machine, guest: &str, last: usize) -> Result<Vec<Row>, Failure> {
    focus(machine, "zazen")?;
    machine.mark();
    machine.send("v")?;
    let row = |guest: &str, vcpu: &str| {
        format!(r"^zazen: .{{3}} ({guest}) +({vcpu}) +(\d+)  (runs|waits|off) +(\d+)\.(\d)$")
    };
    machine.expect(&row(guest, &last.to_string()), PATIENCE)?;
    let any = Regex::new(&format!("(?m){}", row(r"\S+", r"\d")));
    let any = any.map_err(|error| Failure(error.to_string()))?;
    let seen = machine.seen();
    let rows = any.captures_iter(&seen).map(|found| {
        let number = |n: usize| found[n].parse::<u64>().map_err(|_| Failure(seen.clone()));
        Ok(Row {
            guest: found[1].to_owned(),
            vcpu: found[2].parse().map_err(|_| Failure(seen.clone()))?,
            core: number(3)?,
            state: found[4].to_owned(),
            time: 10 * number(5)? + number(6)?,
        })
    });
    rows.collect()
}

/// Two guests with `vcpus` vCPUs each are listed: one that the first guest switches off is off, and
/// what the guest computes is counted for its vCPUs and not for the other's. (A VMM works for one
/// vCPU on the time of another that waits, so a single one's time says less.) With `spread`
/// each vCPU of a guest is on a core of its own, else all are on the first.
///
/// # Errors
/// The list says otherwise.
pub fn told(
    machine: &mut Machine,
    [first, second]: [&str; 2],
    vcpus: usize,
    spread: bool,
) -> Result<(), Failure> {
    let last = vcpus - 1;
    let online = format!("/sys/devices/system/cpu/cpu{last}/online");
    ask(machine, first, &format!("echo 0 > {online}"))?;
    let before = list(machine, second, last)?;
    ask(
        machine,
        first,
        "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done",
    )?;
    let after = list(machine, second, last)?;
    ask(machine, first, &format!("echo 1 > {online}"))?;
    let again = list(machine, second, last)?;

    let fail = |why: &str| Err(Failure(format!("{why}: {before:?}, {after:?}, {again:?}")));
    for rows in [&before, &after, &again] {
        let all = [first, second].into_iter();
        let all = all.flat_map(|guest| (0..vcpus).map(move |vcpu| (guest, vcpu)));
        if !rows.iter().map(|row| (&*row.guest, row.vcpu)).eq(all) {
            return fail("not every vCPU is listed once");
        }
        for guest in rows.chunks(vcpus) {
            let mut cores: Vec<_> = guest.iter().map(|row| row.core).collect();
            cores.sort_unstable();
            cores.dedup();
            let wanted = if spread { vcpus } else { 1 };
            if cores.len() != wanted || (!spread && cores != [0]) {
                return fail("a vCPU is on another core");
            }
        }
    }
    let off = |rows: &[Row]| -> Vec<usize> {
        let off = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.state == "off");
        off.map(|(at, _)| at).collect()
    };
    if off(&before) != [last] || off(&after) != [last] || !off(&again).is_empty() {
        return fail("another vCPU is off");
    }
    let used = |at: std::ops::Range<usize>| -> u64 {
        let pairs = before[at.clone()].iter().zip(&after[at]);
        pairs
            .map(|(before, after)| after.time.saturating_sub(before.time))
            .sum()
    };
    let (computed, idle) = (used(0..vcpus), used(vcpus..2 * vcpus));
    if computed < 2 || computed <= idle {
        return fail("the guest that computed has not used more time");
    }
    Ok(())
}
