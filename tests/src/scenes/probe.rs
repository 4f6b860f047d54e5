//! The probe guest: what it reports, line by line, on `domains/bad-guest.dts`, `domains/abi.dts`,
//! `domains/codes.dts`, `domains/smp.dts`, `domains/peers.dts` and `domains/shared.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell;
use crate::suite::Suite;

/// How far below zero the sweep of x7 goes: a debug kernel of any board acts on values below -11,
/// up to halting.
fn last_x7(config: &str) -> u8 {
    if config.ends_with("debug") { 11 } else { 64 }
}

/// A guest that does what none should, beside a Linux guest that must not notice.
pub fn bad_guest(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = |test: &str| format!("{config}/bad-guest/{test}");
    let tests = [
        name("every-access-has-its-answer"),
        name("linux-boots-beside-it"),
        name("linux-answers-afterwards"),
    ];
    if !suite.wants(&tests) {
        return;
    }
    let [answers, boots, afterwards] = &tests;
    let x7 = format!("x7={}", last_x7(config));
    let mut machine = None;
    suite.run(answers, || {
        let booted = lab.boot_changed(
            config,
            "bad-guest.dts",
            &format!("bad-guest-{config}"),
            ("x7=11", &x7),
        )?;
        let booted = machine.insert(booted);
        no_failure(booted, "bad")
    });
    let lost = || Failure("the guests did not boot".into());
    suite.run(boots, || {
        machine
            .as_ref()
            .ok_or_else(lost)?
            .expect("zazen-guest: user space on linux1 ", PATIENCE)
            .map(drop)
    });
    suite.run(afterwards, || {
        shell::ask(machine.as_mut().ok_or_else(lost)?, "linux1", "true").map(drop)
    });
}

/// Return codes, on static memory and on memory from the heap: the set of which each line is a
/// story, with a guest beside it that checks its store, the set that is the same on Xen, that of
/// four vCPUs, that of two guests that meet, and that of two that share memory.
pub fn abi(suite: &mut Suite, lab: &Lab, config: &str) {
    for set in ["abi", "codes", "smp", "peers", "shared"] {
        return_codes(suite, lab, config, set);
    }
}

/// The set of four vCPUs alone.
pub fn smp(suite: &mut Suite, lab: &Lab, config: &str) {
    return_codes(suite, lab, config, "smp");
}

fn return_codes(suite: &mut Suite, lab: &Lab, config: &str, set: &str) {
    let mut domains = vec!["static", "heap"];
    if set == "abi" {
        domains.push("store");
    }
    let name = |domain: &&str| match *domain {
        "store" => format!("{config}/{set}/store"),
        memory => format!("{config}/{set}/{memory}-memory"),
    };
    let tests: Vec<_> = domains.iter().map(name).collect();
    if !suite.wants(&tests) {
        return;
    }
    // Four vCPUs that wait for each other make no way on a busy host.
    let counting = lab.clone().counting();
    let lab = if set == "smp" { &counting } else { lab };
    let mut machine = None;
    for (domain, test) in domains.iter().zip(&tests) {
        suite.run(test, || {
            if machine.is_none() {
                let domains = format!("{set}.dts");
                machine = Some(lab.boot(config, &domains, &format!("{set}-{config}"))?);
            }
            let machine = machine
                .as_ref()
                .ok_or_else(|| Failure("the guests did not boot".into()))?;
            no_failure(machine, domain)
        });
    }
}

/// Waits for the probe in `domain` to be done; a failure names each check that failed.
fn no_failure(machine: &Machine, domain: &str) -> Result<(), Failure> {
    let done = machine.expect(
        &format!(r"^{domain}: probe: done (\d+) passed, (\d+) failed$"),
        PATIENCE,
    )?;
    let failed: Vec<_> = machine
        .seen()
        .lines()
        .filter(|line| line.starts_with(&format!("{domain}: probe: ")) && line.contains(" FAIL"))
        .map(str::to_owned)
        .collect();
    let count = |n: usize| {
        done.get(n)
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    if count(1) == 0 || count(2) != 0 || !failed.is_empty() {
        return Err(Failure(format!(
            "{} of {}:\n      {}",
            count(2),
            count(1) + count(2),
            failed.join("\n      ")
        )));
    }
    Ok(())
}
