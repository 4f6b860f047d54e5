//! The driver of the uplink and the net server crash while guests use their networks:
//! `domains/uplink.dts`. Both are the product's own until they have been notified so often
//! (`pd/hostile`).

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, says};
use crate::scenes::uplink;
use crate::suite::Suite;

/// A test of the scene, with its name.
type Step = (&'static str, fn(&mut Machine) -> Result<(), Failure>);

/// The steps, each a test.
const STEPS: [Step; 5] = [
    ("guests-hear-each-other", started),
    ("a-driver-that-crashes-leaves-guests-to-each-other", driver),
    ("a-server-that-crashes-closes-all-interfaces", crash),
    ("closed-interfaces-go-with-their-front-ends", front_ends),
    ("the-guests-go-on", unharmed),
];

const GUESTS: [&str; 3] = ["linux1", "linux2", "linux3"];

/// The machine outside, as QEMU's user network has it, and linux2.
const OUTSIDE: &str = "10.0.2.2";
const LINUX2: &str = "10.0.2.16";

/// The scene on Microkit in `config`; on the EL2 host what crashes takes everything with it.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests = STEPS.map(|(step, _)| format!("{config}/net-crash/{step}"));
    if !suite.wants(&tests) {
        return;
    }
    let replaced = "net_driver=fragile-net-driver net_server=fragile-net-server";
    let lab = lab.clone().with_vmms(replaced);
    let name = format!("net-crash-{config}");
    let mut machine = lab.boot(config, "uplink.dts", &name).map(|mut machine| {
        machine.expect_faults();
        machine
    });
    for (test, (_, act)) in tests.iter().zip(STEPS) {
        suite.run(test, || match &mut machine {
            Ok(machine) => act(machine),
            Err(failure) => Err(failure.clone()),
        });
    }
}

fn started(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
    }
    for (number, guest) in (15..).zip(GUESTS) {
        uplink::up(machine, guest, number)?;
    }
    answers(machine, OUTSIDE)?;
    answers(machine, LINUX2)
}

/// linux1 has all answers of `other`.
fn answers(machine: &mut Machine, other: &str) -> Result<(), Failure> {
    let seen = ask(machine, "linux1", &format!("sleep 1; ping -c 3 {other}"))?;
    if seen.contains(" 0% packet loss") {
        return Ok(());
    }
    Err(Failure(seen))
}

/// linux1 pings `other` as fast as that answers, until nothing comes any more; in the meantime it
/// is said that `server` stopped. What was seen.
fn silence(machine: &mut Machine, other: &str, server: &str) -> Result<String, Failure> {
    let flood = format!(
        "until ping -q -A -c 20 -W 2 {other} > /tmp/said; grep -q '100% packet loss' /tmp/said; \
         do :; done; echo \"it says\": $(cat /tmp/said)"
    );
    let seen = ask(machine, "linux1", &flood)?;
    // What was typed has the words, too.
    let said = seen.split("it says: ").nth(1).unwrap_or_default();
    let told = format!("{server} stopped: it gave up (a panic)");
    if !said.contains("100% packet loss") || !seen.contains(&told) {
        return Err(Failure(format!("no loss or no \"{told}\" in:\n{seen}")));
    }
    Ok(seen)
}

/// Nothing leaves any more, and guests still hear each other.
fn driver(machine: &mut Machine) -> Result<(), Failure> {
    silence(machine, OUTSIDE, "net_driver")?;
    answers(machine, LINUX2)
}

/// Who sends when the server stops does not hang, and all hear of it, those who sent nothing too.
fn crash(machine: &mut Machine) -> Result<(), Failure> {
    let seen = silence(machine, LINUX2, "net_server")?;
    for guest in GUESTS {
        let closed = format!(
            "{guest}: [vmm] network interface 0: the net server has stopped; it is closed for good"
        );
        if seen.matches(&closed).count() != 1 {
            return Err(Failure(format!("\"{closed}\" is not once in:\n{seen}")));
        }
    }
    Ok(())
}

/// Whoever takes its interface down, and its front end away, which waits for the back end, is done.
fn front_ends(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        let seen = says(
            machine,
            guest,
            "ip link set eth0 down; echo vif-0 > /sys/bus/xen/drivers/vif/unbind; \
             busybox rmmod xen-netfront; grep -q netfront /proc/modules || ls /sys/class/net",
        )?;
        if seen != "lo" {
            return Err(Failure(format!(
                "{guest} has its front end or more than lo: {seen}"
            )));
        }
    }
    Ok(())
}

fn unharmed(machine: &mut Machine) -> Result<(), Failure> {
    for guest in GUESTS {
        let seen = ask(machine, guest, "echo $((6 * 7)) \"still\" here")?;
        if !seen.contains("42 still here") {
            return Err(Failure(format!("no answer in:\n{seen}")));
        }
    }
    Ok(())
}
