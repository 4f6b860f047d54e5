//! Two Debian guests with xenstore: `domains/store.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::ask;
use crate::suite::Suite;

/// The names of the domains in `domains/store.dts`; the page of the second one comes late.
const GUESTS: [&str; 2] = ["linux1", "linux2"];

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = STEPS.map(|(name, _)| format!("{config}/store/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    for ((_, step), name) in STEPS.into_iter().zip(&names) {
        // Later steps need the machine of the first; their failures then say so.
        suite.run(name, || match &mut machine {
            None => {
                let mut booted = lab.boot(config, "store.dts", &format!("store-{config}"))?;
                step(&mut booted)?;
                machine = Some(booted);
                Ok(())
            }
            Some(machine) => step(machine),
        });
    }
}

/// The tests, in the order in which they run on one machine.
const STEPS: [(&str, Step); 6] = [
    ("both-reach-user-space", boot),
    ("xenbus-is-up", xenbus),
    ("hvc0-gets-interrupts", interrupts),
    ("nodes-are-read-and-written", nodes),
    ("nothing-is-shared", apart),
    ("nodes-come-back-with-a-reboot", reboot),
];

type Step = fn(&mut Machine) -> Result<(), Failure>;

fn boot(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
    }
    Ok(())
}

/// Fails unless what `guest` answers to `command` has `wanted` in it.
fn answers(machine: &mut Machine, guest: &str, command: &str, wanted: &str) -> Result<(), Failure> {
    let seen = ask(machine, guest, command)?;
    if seen.contains(wanted) {
        return Ok(());
    }
    Err(Failure(format!("no '{wanted}' in:\n{seen}")))
}

fn xenbus(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        // Its bus exists when the store has connected.
        let command = "ls /sys/bus/xen/drivers /dev/xen; dmesg | grep -c 'Failed.*xenstore' | sed 's/^/failures: /'";
        answers(machine, guest, command, "xenbus")?;
        answers(machine, guest, command, "failures: 0")?;
    }
    Ok(())
}

/// Without a store Linux polls hvc0: the first channel that it binds gets interrupt 0, which it
/// takes for none. With one another channel comes first.
fn interrupts(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        let command = "a=$(grep hvc_console /proc/interrupts | awk '{print $2}'); echo more; \
             b=$(grep hvc_console /proc/interrupts | awk '{print $2}'); [ \"$b\" -gt \"$a\" ] && echo inter\"\"rupts grow";
        answers(machine, guest, command, "interrupts grow")?;
    }
    Ok(())
}

/// A request by the shell's own means: a header of 16 bytes with type and length, and the payload.
/// `payload` has `\0` for NULs; the answer's payload is printed behind `WHAT: `.
fn request(kind: u32, payload: &str, what: &str) -> String {
    // Each NUL takes two characters here.
    let len = payload.len() - payload.matches("\\0").count();
    format!(
        "exec 3<>/dev/xen/xenbus; printf '\\{kind:03o}\\0\\0\\0\\1\\0\\0\\0\\0\\0\\0\\0\\{:03o}\\{:03o}\\0\\0{payload}' >&3; \
         echo \"{what}: $(dd bs=4112 count=1 <&3 2>/dev/null | tail -c +17 | tr '\\0' '|')\"; exec 3>&-",
        len & 0xff,
        len >> 8,
    )
}

const READ: u32 = 2;
const WRITE: u32 = 11;

fn nodes(machine: &mut Machine) -> Result<(), Failure> {
    for (guest, id) in GUESTS.into_iter().zip(1..) {
        let ask = |machine: &mut Machine, kind, payload: &str, wanted: &str| {
            let wanted = format!("it says: {wanted}");
            answers(machine, guest, &request(kind, payload, "it says"), &wanted)
        };
        ask(machine, READ, "domid\\0", &id.to_string())?;
        ask(machine, READ, "name\\0", guest)?;
        ask(machine, READ, "memory/target\\0", "196608")?;
        ask(machine, READ, "data/mine\\0", "ENOENT|")?;
        ask(machine, WRITE, "data/mine\\0value of this guest", "OK|")?;
        ask(machine, READ, "data/mine\\0", "value of this guest")?;
        ask(machine, WRITE, "mine\\0x", "EACCES|")?;
    }
    Ok(())
}

fn apart(machine: &mut Machine) -> Result<(), Failure> {
    for (guest, other) in GUESTS.into_iter().zip([2, 1]) {
        for kind in [READ, WRITE] {
            let command = request(
                kind,
                &format!("/local/domain/{other}/data/mine\\0"),
                "it says",
            );
            answers(machine, guest, &command, "it says: EACCES|")?;
        }
    }
    Ok(())
}

fn reboot(machine: &mut Machine) -> Result<(), Failure> {
    machine.mark();
    crate::scenes::shell::focus(machine, "linux1")?;
    machine.send("reboot -f\n")?;
    machine.expect("zazen-guest: user space on linux1 ", PATIENCE)?;
    let read = request(READ, "data/mine\\0", "it says");
    answers(machine, "linux1", &read, "it says: ENOENT|")?;
    answers(machine, "linux2", &read, "it says: value of this guest")?;
    answers(
        machine,
        "linux1",
        &request(READ, "domid\\0", "it says"),
        "it says: 1",
    )
}
