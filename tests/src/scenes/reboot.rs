//! Guests that restart for ever beside one that must not notice: `domains/reboot.dts`.

use std::collections::BTreeSet;
use std::time::Duration;

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell;
use crate::suite::Suite;

/// The guests that restart: name and domain id.
const RESTARTING: [(&str, u32); 2] = [("static", 2), ("heap", 3)];
/// Restarts that each of them must have had.
const RESTARTS: usize = 100;

/// Runs the scene in the seL4 configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = |test: &str| format!("{config}/reboot/{test}");
    let tests = [
        name("linux-boots-beside-it"),
        name("a-hundred-lives-each"),
        name("memory-comes-back-whole"),
        name("linux-answers-beside-it"),
    ];
    if !suite.wants(&tests) {
        return;
    }
    let [boots, lives, memory, answers] = &tests;
    let mut machine = None;
    // Each life of the guests is longer than a second, and most of that is sleep, which costs a
    // machine that counts nothing.
    let lab = lab.clone().counting();
    suite.run(boots, || {
        let booted = lab.boot(config, "reboot.dts", &format!("reboot-{config}"))?;
        machine
            .insert(booted)
            .expect("zazen-guest: user space on linux1 ", PATIENCE)
            .map(drop)
    });
    let lost = || Failure("the guests did not boot".into());
    suite.run(lives, || {
        let machine = machine.as_ref().ok_or_else(lost)?;
        RESTARTING
            .iter()
            .try_for_each(|(guest, _)| hundred_lives(machine, guest))
    });
    suite.run(memory, || {
        let seen = machine.as_ref().ok_or_else(lost)?.seen();
        RESTARTING
            .iter()
            .try_for_each(|(_, domid)| taken_back(&seen, *domid))
    });
    suite.run(answers, || {
        let machine = machine.as_mut().ok_or_else(lost)?;
        shell::ask(machine, "linux1", "sleep 1").map(drop)
    });
}

/// Waits for the restarts. Each life must find the machine in its reset state.
fn hundred_lives(machine: &Machine, guest: &str) -> Result<(), Failure> {
    let line = format!("{guest}: probe: done 10 passed, 0 failed");
    let failed = Regex::new(&format!("(?m)^{guest}: probe: .* FAIL .*$"))
        .map_err(|error| Failure(error.to_string()))?;
    let mut lives = 0;
    // As long as anything comes there is hope.
    for _ in 0..PATIENCE.as_secs() {
        let seen = machine.seen();
        if let Some(failure) = failed.find(&seen) {
            return Err(Failure(format!(
                "after {lives} lives: {}",
                failure.as_str()
            )));
        }
        lives = seen.matches(&line).count();
        // The first life was no restart.
        if lives > RESTARTS {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    Err(Failure(format!("{guest} has had {lives} lives only")))
}

/// What the memory server took back is the same each time, and the reserve of a static domain is
/// complete. The first life had a vCPU that was not the memory server's.
fn taken_back(seen: &str, domid: u32) -> Result<(), Failure> {
    let line = Regex::new(&format!(
        r"d{domid} restarts (\d+): (.* taken back); free now: (reserve \d+ pages)"
    ))
    .map_err(|error| Failure(error.to_string()))?;
    let reports: Vec<(String, String)> = line
        .captures_iter(seen)
        .filter(|report| &report[1] != "1")
        .map(|report| {
            (
                report[1].to_owned(),
                format!("{}, {}", &report[2], &report[3]),
            )
        })
        .collect();
    let different: BTreeSet<&str> = reports.iter().map(|(_, what)| what.as_str()).collect();
    if reports.len() < 2 || different.len() != 1 {
        return Err(Failure(format!(
            "domain {domid}'s memory was not taken back alike: {reports:?}"
        )));
    }
    Ok(())
}
