//! Linux's balloon, without xenstore: a target in sysfs.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::PATIENCE;
use crate::scenes::shell::{ask, focus};

/// Where Linux takes the target.
const DIRECTORY: &str = "/sys/devices/system/xen_memory/xen_memory0";

/// What `guest` answers to `command` where it says "WHAT is NUMBER".
fn number(machine: &mut Machine, guest: &str, command: &str, what: &str) -> Result<u64, Failure> {
    let answer = ask(machine, guest, command)?;
    // The expression that the shell evaluates keeps the echo of the command from being taken for
    // the answer.
    Regex::new(&format!(r"{what} is (\d+)"))
        .ok()
        .and_then(|number| number.captures(&answer)?.get(1)?.as_str().parse().ok())
        .ok_or(Failure(answer))
}

/// KiB of `MemTotal`.
///
/// # Errors
/// The guest's shell does not answer.
pub fn mem_total(machine: &mut Machine, guest: &str) -> Result<u64, Failure> {
    let tell = "echo \"total is $(grep -o '[0-9]* kB' /proc/meminfo | head -n 1)\"";
    number(machine, guest, tell, "total")
}

/// KiB of the balloon's target.
///
/// # Errors
/// As [`mem_total`].
pub fn target(machine: &mut Machine, guest: &str) -> Result<u64, Failure> {
    let tell = format!("echo \"target is $(cat {DIRECTORY}/target_kb)\"");
    number(machine, guest, &tell, "target")
}

/// Sets the target of `guest` to `kib`, waits until it is reached and returns `MemTotal`.
///
/// # Errors
/// As [`mem_total`]; it is not reached in time.
pub fn set(machine: &mut Machine, guest: &str, kib: u64) -> Result<u64, Failure> {
    ask(
        machine,
        guest,
        &format!(
            "cd {DIRECTORY}; echo {kib} > target_kb; while [ $(cat info/current_kb) != {kib} ]; do sleep 0.1; done; cd /"
        ),
    )?;
    mem_total(machine, guest)
}

/// What the memory server says by the monitor's `m`; its sums must hold.
///
/// # Errors
/// The monitor does not answer, or the server reports an error.
pub fn dump(machine: &mut Machine) -> Result<String, Failure> {
    focus(machine, "zazen")?;
    machine.mark();
    machine.send("m")?;
    machine.expect(r"^memory_server:   sum +\d+ bytes = all memory$", PATIENCE)?;
    let seen = machine.seen();
    match seen.lines().find(|line| line.contains("ERROR")) {
        Some(error) => Err(Failure(error.to_owned())),
        None => Ok(seen),
    }
}

/// Pages of RAM that the memory server says `guest` has.
///
/// # Errors
/// As [`dump`]; it does not know the guest.
pub fn server_ram(machine: &mut Machine, guest: &str) -> Result<u64, Failure> {
    let seen = dump(machine)?;
    let pattern = format!(
        r"d\d+ {guest} \(alive, [^)]*\)\n(?:[^\n]*\n)*?memory_server:   ram (\d+) static, (\d+) heap, "
    );
    let found = Regex::new(&pattern)
        .ok()
        .and_then(|pattern| pattern.captures(&seen))
        .ok_or_else(|| Failure(format!("nothing about {guest} in:\n{seen}")))?;
    let pages = |n: usize| -> Option<u64> { found.get(n)?.as_str().parse().ok() };
    match (pages(1), pages(2)) {
        (Some(of_static), Some(of_heap)) => Ok(of_static + of_heap),
        _ => Err(Failure(seen)),
    }
}

/// What the memory server's count of a guest's RAM does while the guest balloons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// It follows.
    Follows,
    /// It stays: frames of a direct-mapped guest are kept for it (DM-2).
    Stays,
}

/// BL-1, BL-2, SM-13: takes `kib` from `guest` and gives it back; `MemTotal` follows exactly, and
/// the memory server's count of the guest's RAM does what `count` says, with sums that hold at
/// every step.
///
/// # Errors
/// As [`set`] and [`server_ram`]; a number is another.
pub fn down_and_up(
    machine: &mut Machine,
    guest: &str,
    kib: u64,
    count: Count,
) -> Result<(), Failure> {
    let (all, before) = (target(machine, guest)?, mem_total(machine, guest)?);
    let pages = server_ram(machine, guest)?;
    for less in [kib, 0] {
        let now = set(machine, guest, all.saturating_sub(less))?;
        if now != before.saturating_sub(less) {
            return Err(Failure(format!(
                "{guest} had {before} kB and has {now} kB with {less} kB less"
            )));
        }
        let fewer = if count == Count::Follows { less / 4 } else { 0 };
        let counted = server_ram(machine, guest)?;
        if counted != pages.saturating_sub(fewer) {
            return Err(Failure(format!(
                "the memory server counted {pages} pages for {guest} and counts {counted} with {less} kB less"
            )));
        }
    }
    Ok(())
}
