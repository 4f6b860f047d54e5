//! A front end that sends anything, in the network of two Linux guests: `domains/hostile-net.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, focus, says};
use crate::suite::Suite;

/// What is in the domains file.
const REQUESTS: &str = "requests=20000";
/// Percent of what it gets beside a guest that computes that a guest gets at least beside one that
/// attacks: docs/fairness.md.
const SHARE: u64 = 80;
/// MiB of a stream.
const MIB: u32 = 4;

/// A test of the scene, with its name.
type Step = (&'static str, fn(&mut Machine) -> Result<(), Failure>);

/// The steps behind the first, each a test.
const STEPS: [Step; 2] = [
    ("the-front-end-is-answered", attacked),
    ("the-others-hear-each-other-afterwards", |machine| {
        up(machine)?;
        stream_is_whole(machine)
    }),
];

/// Those of the long one.
const LONG: [Step; 3] = [
    ("a-million-requests-are-answered", attacked),
    ("streams-are-whole-and-as-quick-meanwhile", meanwhile),
    ("the-others-hear-each-other-afterwards", stream_is_whole),
];

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    steps(suite, lab, config, ("hostile-net", REQUESTS), &STEPS);
}

/// The same with a million requests, and streams meanwhile.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    let lab = lab.clone().counting();
    let long = ("hostile-net-long", "requests=1000000");
    steps(suite, &lab, config, long, &LONG);
}

fn steps(
    suite: &mut Suite,
    lab: &Lab,
    config: &str,
    (scene, requests): (&str, &str),
    steps: &[Step],
) {
    let names = ["all-reach-user-space"].into_iter();
    let names = names.chain(steps.iter().map(|(name, _)| *name));
    let names: Vec<_> = names
        .map(|name| format!("{config}/{scene}/{name}"))
        .collect();
    if !suite.wants(&names) {
        return;
    }
    let name = format!("{scene}-{config}");
    let mut machine: Option<Machine> = None;
    suite.run(&names[0], || {
        let domains = lab.changed(config, "hostile-net.dts", &name, &[(REQUESTS, requests)])?;
        let booted = lab.boot_file_with(config, &domains, &name, "")?;
        machine = Some(booted);
        Ok(())
    });
    for (name, (_, step)) in names[1..].iter().zip(steps) {
        suite.run(name, || match &mut machine {
            Some(machine) => step(machine),
            None => Err(Failure("the guests did not boot".into())),
        });
    }
}

/// Gives the Linux guests their addresses, and the second something to be fetched.
fn up(machine: &mut Machine) -> Result<(), Failure> {
    for guest in ["linux1", "linux2"] {
        machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
    }
    for number in 1..=2 {
        let up = format!(
            "sleep 1; ip addr add 10.0.0.{number}/24 dev eth0; ip link set eth0 up; mkdir /tmp/www; \
             dd if=/dev/urandom of=/tmp/www/sent bs=1M count={MIB}; busybox httpd -h /tmp/www"
        );
        ask(machine, &format!("linux{number}"), &up)?;
    }
    Ok(())
}

/// The attack ends, and its front end is served then.
fn attacked(machine: &mut Machine) -> Result<(), Failure> {
    for check in ["connect", "connect-again", "served-afterwards"] {
        let line = format!("^bad: probe: net {check} (PASS|FAIL).*$");
        // A million requests take minutes.
        let said = machine.expect(&line, PATIENCE * 3)?;
        if said.get(1).is_none_or(|said| said != "PASS") {
            return Err(Failure(said.concat()));
        }
    }
    Ok(())
}

/// What the first guest fetches from the second is what that has; ticks that it took.
fn stream(machine: &mut Machine) -> Result<u64, Failure> {
    let sum = says(machine, "linux2", "md5sum < /tmp/www/sent")?;
    let fetch = "zazen-counter; busybox wget -q -O - http://10.0.0.2/sent | md5sum; zazen-counter";
    let seen = ask(machine, "linux1", fetch)?;
    if !seen.contains(sum.trim_end_matches([' ', '-'])) {
        return Err(Failure(format!(
            "linux2 has {sum}, and linux1 got:\n{seen}"
        )));
    }
    let ticks = seen
        .lines()
        .filter_map(|line| line.split("zazen-boot: cntvct=").nth(1))
        .filter_map(|rest| rest.split(' ').next()?.parse().ok());
    match ticks.collect::<Vec<u64>>().as_slice() {
        [from, to] => Ok(to - from),
        _ => Err(Failure(format!("no two counters in:\n{seen}"))),
    }
}

fn stream_is_whole(machine: &mut Machine) -> Result<(), Failure> {
    stream(machine).map(drop)
}

/// The attacker computes by now; then it attacks again.
fn meanwhile(machine: &mut Machine) -> Result<(), Failure> {
    up(machine)?;
    // The programs are in memory from now on.
    stream(machine)?;
    let computing = stream(machine)?;
    focus(machine, "zazen")?;
    machine.mark();
    machine.send("rbad\r")?;
    machine.expect("^bad: net: the attack begins", PATIENCE)?;
    let attacking = stream(machine)?;
    println!("        {computing} ticks beside one that computes, {attacking} beside this one");
    // It says how far it is, and is not over yet.
    if machine.seen().contains("net served-afterwards") {
        return Err(Failure("the attack was over too early".into()));
    }
    machine.expect("^bad: net: [0-9]+ requests", PATIENCE)?;
    if attacking * SHARE <= computing * 100 {
        return Ok(());
    }
    Err(Failure(format!("{attacking} ticks instead of {computing}")))
}
