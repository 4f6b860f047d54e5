//! A front end that asks for anything, beside a Linux whose disk is another partition of the same
//! device: `domains/hostile-disk.dts`.

use std::fs;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE, tool};
use crate::scenes::shell::{ask, focus};
use crate::suite::Suite;

/// What is in the domains file.
const REQUESTS: &str = "requests=20000";
/// Percent of what it gets beside a guest that computes that a guest gets at least beside one that
/// attacks: docs/fairness.md.
const SHARE: u64 = 80;

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = ["the-front-end-is-answered", "linux-answers-afterwards"];
    let names = names.map(|name| format!("{config}/hostile-disk/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    let [answered, afterwards] = &names;
    suite.run(answered, || {
        let booted = boot(lab, config, "hostile-disk", REQUESTS)?;
        let booted = machine.insert(booted);
        attacked(booted)
    });
    suite.run(afterwards, || linux(machine.as_mut()));
}

/// The same with a million requests, and Linux reading its disk meanwhile.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = [
        "a-million-requests-are-answered",
        "linux-reads-meanwhile",
        "linux-answers-afterwards",
    ];
    let names = names.map(|name| format!("{config}/hostile-disk-long/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    let [answered, reads, afterwards] = &names;
    suite.run(answered, || {
        let lab = lab.clone().counting();
        let booted = boot(&lab, config, "hostile-disk-long", "requests=1000000")?;
        let booted = machine.insert(booted);
        attacked(booted)
    });
    suite.run(reads, || {
        let machine = machine.as_mut().ok_or_else(lost)?;
        let computing = reading(machine, true)?;
        // Again, from its first request on.
        focus(machine, "zazen")?;
        machine.mark();
        machine.send("rbad\r")?;
        machine.expect("^bad: disk: the attack begins", PATIENCE)?;
        let attacking = reading(machine, false)?;
        println!("        {computing} ticks beside one that computes, {attacking} beside this one");
        // It says how far it is, and is not over yet.
        if machine.seen().contains("disk served-afterwards") {
            return Err(Failure("the attack was over too early".into()));
        }
        machine.expect("^bad: disk: [0-9]+ requests", PATIENCE)?;
        if attacking * SHARE <= computing * 100 {
            return Ok(());
        }
        Err(Failure(format!("{attacking} ticks instead of {computing}")))
    });
    suite.run(afterwards, || linux(machine.as_mut()));
}

fn lost() -> Failure {
    Failure("the guests did not boot".into())
}

fn boot(lab: &Lab, config: &str, name: &str, requests: &str) -> Result<Machine, Failure> {
    let name = format!("{name}-{config}");
    let disk = lab.built(&format!("{name}.img"));
    let _ = fs::remove_file(&disk);
    fs::File::create(&disk)?.set_len(64 << 20)?;
    tool(&format!(
        "sgdisk -n 1:1M:+40M -c 1:linux -n 2:48M:+2M -c 2:bad '{}'",
        disk.display()
    ))?;
    let domains = lab.changed(config, "hostile-disk.dts", &name, &[(REQUESTS, requests)])?;
    let options = format!(
        "-global virtio-mmio.force-legacy=false -drive file='{}',format=raw,if=none,id=disk0 \
         -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0",
        disk.display()
    );
    let machine = lab.boot_file_with(config, &domains, &name, &options)?;
    machine.expect("zazen-guest: user space on linux1 ", PATIENCE)?;
    Ok(machine)
}

/// The attack ends, and its front end is served then.
fn attacked(machine: &Machine) -> Result<(), Failure> {
    for check in ["connect", "connect-again", "served-afterwards"] {
        let line = format!("^bad: probe: disk {check} (PASS|FAIL).*$");
        // A million requests take minutes.
        let said = machine.expect(&line, PATIENCE * 3)?;
        if said.get(1).is_none_or(|said| said != "PASS") {
            return Err(Failure(said.concat()));
        }
    }
    Ok(())
}

/// Ticks that Linux takes to read 8 MiB of its disk, in requests of 64 KiB.
fn reading(machine: &mut Machine, first: bool) -> Result<u64, Failure> {
    // The pages that it has read are forgotten.
    let command = "echo 3 > /proc/sys/vm/drop_caches; zazen-counter; \
                   dd if=/dev/xvda of=/dev/null bs=64k count=128 2>/dev/null; zazen-counter";
    if first {
        // The programs are in memory from now on.
        ask(machine, "linux1", command)?;
    }
    let seen = ask(machine, "linux1", command)?;
    let ticks: Vec<u64> = seen
        .lines()
        .filter_map(|line| line.split("zazen-boot: cntvct=").nth(1))
        .filter_map(|rest| rest.split(' ').next()?.parse().ok())
        .collect();
    match ticks.as_slice() {
        [from, to] => Ok(to - from),
        _ => Err(Failure(format!("no two counters in:\n{seen}"))),
    }
}

fn linux(machine: Option<&mut Machine>) -> Result<(), Failure> {
    let machine = machine.ok_or_else(lost)?;
    let read = "dd if=/dev/xvda bs=1M count=4 2>/dev/null | wc -c";
    let seen = ask(machine, "linux1", read)?;
    if seen.contains("4194304") {
        return Ok(());
    }
    Err(Failure(format!("Linux cannot read its disk:\n{seen}")))
}
