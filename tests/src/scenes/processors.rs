//! Linux on processors that have more than a guest is offered, and the random numbers that it
//! starts with.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{EL2, Lab, PATIENCE};
use crate::scenes::shell::{ask, focus};
use crate::suite::Suite;

/// QEMU's processors: both have SVE, the first has SME, pointer authentication, tags and RAS, too.
const PROCESSORS: [&str; 2] = ["max", "a64fx"];
/// What Linux would list in /proc/cpuinfo.
const NOT_OFFERED: &str = " (sve|sve2|sme|paca|pacg|mte|mte3|wfxt) ";
/// A line of the VMM's about what it made undefined.
const REFUSED: &str = "undefined for this one|guests have none of that name";

/// Runs the tests on the EL2 host.
pub fn run(suite: &mut Suite, lab: &Lab) {
    for processor in PROCESSORS {
        let name = format!("el2/processor-{processor}");
        let tests = [
            format!("{name}/boots"),
            format!("{name}/sees-what-it-may-use"),
        ];
        if !suite.wants(&tests) {
            continue;
        }
        let mut machine = None;
        suite.run(&tests[0], || {
            let booted = lab.boot_with(
                "el2",
                "one-linux.dts",
                &format!("processor-{processor}"),
                &format!("-cpu {processor}"),
            )?;
            machine
                .insert(booted)
                .expect("zazen-guest: user space on linux1 ", PATIENCE)
                .map(drop)
        });
        suite.run(&tests[1], || {
            let machine = machine
                .as_mut()
                .ok_or_else(|| Failure("the guest did not boot".into()))?;
            features(machine)
        });
    }
}

/// No feature is listed that a guest may not use, and nothing was made undefined.
fn features(machine: &mut Machine) -> Result<(), Failure> {
    let seen = machine.seen();
    let refused = regex::Regex::new(REFUSED).map_err(|error| Failure(error.to_string()))?;
    if let Some(line) = seen.lines().find(|line| refused.is_match(line)) {
        return Err(Failure(format!("an instruction was refused: {line}")));
    }
    let answer = ask(
        machine,
        "linux1",
        &format!(
            "grep ^Features /proc/cpuinfo; echo listed: $(sed 's/$/ /' /proc/cpuinfo | grep -cE '{NOT_OFFERED}')"
        ),
    )?;
    if !answer.contains(" asimd") {
        return Err(Failure(format!("no features in {answer}")));
    }
    if answer.lines().any(|line| line.ends_with("listed: 0")) {
        Ok(())
    } else {
        Err(Failure(format!("features that no guest has: {answer}")))
    }
}

/// On `config`: two guests and two lives of one get seeds of their own, and Linux has random
/// numbers before user space.
pub fn seeds(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = |test: &str| format!("{config}/seeds/{test}");
    let tests = [
        name("random-numbers-before-user-space"),
        name("two-guests-lie-at-different-places"),
        name("two-lives-lie-at-different-places"),
    ];
    if !suite.wants(&tests) {
        return;
    }
    let [before, guests, lives] = &tests;
    let (mut machine, mut kaslr) = (None, false);
    suite.run(before, || {
        let machine =
            machine.insert(lab.boot(config, "two-linux.dts", &format!("seeds-{config}"))?);
        for guest in ["linux1", "linux2"] {
            machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
        }
        let rng;
        [rng, kaslr] = given(machine, config)?;
        for guest in ["linux1", "linux2"].into_iter().filter(|_| rng) {
            ready_before_init(machine, guest)?;
        }
        Ok(())
    });
    let lost = || Failure("the guests did not boot".into());
    let mut places = Vec::new();
    suite.run(guests, || {
        let machine = machine.as_mut().ok_or_else(lost)?;
        for guest in ["linux1", "linux2"].into_iter().filter(|_| kaslr) {
            places.push(place(machine, guest)?);
        }
        different(&places)
    });
    suite.run(lives, || {
        let machine = machine.as_mut().ok_or_else(lost)?;
        focus(machine, "linux2")?;
        machine.mark();
        machine.send("reboot -f\n")?;
        machine.expect("zazen-guest: user space on linux2 ", PATIENCE)?;
        if kaslr {
            places.push(place(machine, "linux2")?);
        }
        different(&places)
    });
}

/// Whether guests get `rng-seed` and `kaslr-seed`, as the dt-server says. QEMU gives the EL2 host
/// both; elsewhere it depends on how much the clock tells while others use the host, too.
fn given(machine: &Machine, config: &str) -> Result<[bool; 2], Failure> {
    let line = r"dt_server: guests get (no random seeds|kaslr-seed, and no rng-seed|kaslr-seed and rng-seed)";
    let told = machine.expect(line, PATIENCE)?;
    let both = match told.get(1).map(String::as_str) {
        Some("no random seeds") => [false; 2],
        Some("kaslr-seed, and no rng-seed") => [false, true],
        _ => [true; 2],
    };
    if config == EL2 && both != [true; 2] {
        return Err(Failure(format!(
            "guests of the EL2 host miss seeds: {told:?}"
        )));
    }
    Ok(both)
}

/// Linux says that its random numbers are ready, in a line before the one that starts init.
fn ready_before_init(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    let answer = ask(
        machine,
        guest,
        "dmesg | grep -nE 'crng init done|Run /init' | sed 's/^[0-9]*:[^]]*] /order: /'",
    )?;
    // What was typed is echoed, and has other words behind the name.
    let answered = format!("{guest}: order: ");
    let order: Vec<_> = answer
        .lines()
        .filter(|line| line.starts_with(&answered))
        .collect();
    match order.as_slice() {
        [first, second, ..] if first.contains("crng init done") && second.contains("Run /init") => {
            Ok(())
        }
        _ => Err(Failure(format!("{guest}: {order:?}"))),
    }
}

/// Where Linux has put its kernel.
fn place(machine: &mut Machine, guest: &str) -> Result<String, Failure> {
    let answer = ask(
        machine,
        guest,
        "echo 0 >/proc/sys/kernel/kptr_restrict; sed -n 's/^\\([0-9a-f]*\\) T _stext$/at:\\1:/p' /proc/kallsyms",
    )?;
    let place = answer
        .lines()
        .find_map(|line| line.split_once("at:")?.1.strip_suffix(':'))
        .filter(|place| place.len() == 16)
        .ok_or_else(|| {
            Failure(format!(
                "{guest} does not tell where its kernel is: {answer}"
            ))
        })?;
    Ok(place.into())
}

fn different(places: &[String]) -> Result<(), Failure> {
    let twice = places
        .iter()
        .enumerate()
        .find(|(index, place)| places[..*index].contains(place));
    match twice {
        Some((_, place)) => Err(Failure(format!("two kernels at {place} of {places:?}"))),
        None => Ok(()),
    }
}
