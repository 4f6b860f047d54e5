//! Linux's balloon, without xenstore: a target in sysfs.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::shell::ask;

/// Where Linux takes the target.
const DIRECTORY: &str = "/sys/devices/system/xen_memory/xen_memory0";

/// What `guest` answers to `command` where it says "WHAT is NUMBER".
fn number(machine: &mut Machine, guest: &str, command: &str, what: &str) -> Result<u64, Failure> {
    let answer = ask(machine, guest, command)?;
    // The expression that the shell evaluates keeps the echo of the command from being taken for the answer.
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

/// Takes `kib` from `guest` and gives it back; `MemTotal` follows exactly.
///
/// # Errors
/// As [`set`]; `MemTotal` is another.
pub fn down_and_up(machine: &mut Machine, guest: &str, kib: u64) -> Result<(), Failure> {
    let (all, before) = (target(machine, guest)?, mem_total(machine, guest)?);
    for less in [kib, 0] {
        let now = set(machine, guest, all.saturating_sub(less))?;
        if now != before.saturating_sub(less) {
            return Err(Failure(format!(
                "{guest} had {before} kB and has {now} kB with {less} kB less"
            )));
        }
    }
    Ok(())
}
