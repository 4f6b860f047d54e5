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
const STEPS: [Step; 4] = [
    ("all-reach-user-space", started),
    ("a-driver-that-crashes-leaves-guests-to-each-other", driver),
    ("a-server-that-crashes-closes-interfaces", server),
    ("the-guests-go-on", unharmed),
];

/// The scene on Microkit in `config`; on the EL2 host what crashes takes everything with it.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests = STEPS.map(|(step, _)| format!("{config}/net-crash/{step}"));
    if !suite.wants(&tests) {
        return;
    }
    let replaced = "net_driver=fragile-net-driver net_server=fragile-net-server";
    let lab = lab.clone().with_vmms(replaced);
    let name = format!("net-crash-{config}");
    let mut machine = lab
        .boot_with(config, "uplink.dts", &name, uplink::OPTIONS)
        .map(|mut machine| {
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
    for guest in 1..=3 {
        let reached = format!("zazen-guest: user space on linux{guest} ");
        machine.expect(&reached, PATIENCE)?;
    }
    uplink::up(machine, "linux1", 15)?;
    uplink::up(machine, "linux2", 16)
}

/// `guest` pings `other` until that is not answered, which is not a hang; meanwhile `server` stops,
/// and that is told.
fn pings_until_silence(
    machine: &mut Machine,
    guest: &str,
    other: &str,
    server: &str,
) -> Result<(), Failure> {
    let ping = format!(
        "sleep 1; while ping -c 100 -i 0.01 -W 1 {other} > /tmp/said; do grep -q ' 0% ' /tmp/said || break; \
         done; echo \"it says\": $(grep loss /tmp/said)"
    );
    let seen = ask(machine, guest, &ping)?;
    for wanted in [
        "% packet loss",
        &format!("{server} stopped: it gave up (a panic)"),
    ] {
        if !seen.contains(wanted) {
            return Err(Failure(format!("no \"{wanted}\" in:\n{seen}")));
        }
    }
    Ok(())
}

/// The driver stops: nothing leaves, and the two still hear each other.
fn driver(machine: &mut Machine) -> Result<(), Failure> {
    pings_until_silence(machine, "linux1", "10.0.2.2", "net_driver")?;
    let said = says(machine, "linux1", "ping -c 3 10.0.2.16")?;
    match said.contains(" 0% packet loss") {
        true => Ok(()),
        false => Err(Failure(format!("linux2 is not heard any more: {said}"))),
    }
}

/// Then the server: the interfaces have no carrier.
fn server(machine: &mut Machine) -> Result<(), Failure> {
    pings_until_silence(machine, "linux1", "10.0.2.16", "net_server")?;
    for guest in ["linux1", "linux2", "linux3"] {
        // What a front end does when its back end closes takes it some turns.
        let state =
            "sleep 2; cat /sys/bus/xen/devices/vif-0/state; cat /sys/class/net/eth0/carrier";
        let said = says(machine, guest, state)?;
        if said.split_whitespace().next_back() == Some("1") {
            return Err(Failure(format!("{guest} still has a carrier: {said}")));
        }
    }
    Ok(())
}

fn unharmed(machine: &mut Machine) -> Result<(), Failure> {
    for guest in ["linux1", "linux2", "linux3"] {
        let seen = ask(machine, guest, "echo $((6 * 7)) \"still\" here")?;
        if !seen.contains("42 still here") {
            return Err(Failure(format!("no answer in:\n{seen}")));
        }
    }
    Ok(())
}
