//! Two Debian guests with four vCPUs each: `domains/smp-linux.dts`.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, focus};
use crate::suite::Suite;

/// The names of the domains in `domains/smp-linux.dts`.
const GUESTS: [&str; 2] = ["linux1", "linux2"];
/// vCPUs of each.
const VCPUS: usize = 4;
/// How often vCPUs go off and on again.
const ROUNDS: usize = 20;
/// How often one guest reboots.
const REBOOTS: u32 = 5;

/// The tests, in the order in which they run on one machine.
#[derive(Clone, Copy)]
enum Step {
    Boot,
    Count(&'static str),
    Interrupts(&'static str),
    Busy(&'static str),
    Hotplug,
    Reboot,
    PowerOff,
}

/// Runs the scene in the configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let mut steps = vec![Step::Boot];
    for guest in GUESTS {
        steps.extend([
            Step::Count(guest),
            Step::Interrupts(guest),
            Step::Busy(guest),
        ]);
    }
    steps.extend([Step::Hotplug, Step::Reboot, Step::PowerOff]);
    let name = |step: &Step| {
        let test = match step {
            Step::Boot => "both-reach-user-space".into(),
            Step::Count(guest) => format!("{guest}-has-four-processors"),
            Step::Interrupts(guest) => format!("{guest}-takes-interrupts-on-all"),
            Step::Busy(guest) => format!("{guest}-runs-processes-on-all"),
            Step::Hotplug => "processors-go-off-and-on".into(),
            Step::Reboot => "reboots-come-back-with-all-processors".into(),
            Step::PowerOff => "poweroff-leaves-the-other-running".into(),
        };
        format!("{config}/smp-linux/{test}")
    };
    let names: Vec<String> = steps.iter().map(name).collect();
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    for (step, name) in steps.iter().zip(&names) {
        // Later steps need the machine of the first; their failures then say so.
        suite.run(name, || match (step, &mut machine) {
            (Step::Boot, machine) => {
                let log = format!("smp-linux-{config}");
                let booted = lab.boot(config, "smp-linux.dts", &log)?;
                for guest in GUESTS {
                    booted.expect(&user_space(guest), PATIENCE)?;
                }
                *machine = Some(booted);
                Ok(())
            }
            (_, None) => Err(Failure("the guests did not boot".into())),
            (step, Some(machine)) => try_step(*step, machine),
        });
    }
}

fn user_space(guest: &str) -> String {
    format!("zazen-guest: user space on {guest} ")
}

fn try_step(step: Step, machine: &mut Machine) -> Result<(), Failure> {
    let [first, second] = GUESTS;
    match step {
        Step::Boot => Ok(()),
        Step::Count(guest) => processors(machine, guest, VCPUS),
        Step::Interrupts(guest) => interrupts(machine, guest),
        Step::Busy(guest) => busy(machine, guest),
        Step::Hotplug => hotplug(machine, first),
        Step::Reboot => reboot(machine, first, second),
        Step::PowerOff => {
            focus(machine, first)?;
            machine.mark();
            machine.send("poweroff\n")?;
            machine.expect("reboot: Power down", PATIENCE)?;
            processors(machine, second, VCPUS)
        }
    }
}

/// What `command` prints behind `answer is `, in numbers. The shell puts the words together, so
/// that the echo of the command is not taken for its answer.
fn numbers(machine: &mut Machine, guest: &str, command: &str) -> Result<Vec<u64>, Failure> {
    let said = ask(
        machine,
        guest,
        &format!("echo \"ans\"\"wer is $({command}).\""),
    )?;
    let answer = Regex::new(r"answer is ([0-9 ]*)\.").map_err(|e| Failure(e.to_string()))?;
    let found = answer.captures(&said).ok_or(Failure(said.clone()))?;
    let numbers = found[1].split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().map_err(|_| Failure(said))
}

fn processors(machine: &mut Machine, guest: &str, expected: usize) -> Result<(), Failure> {
    let found = numbers(machine, guest, "nproc")?;
    if found == [expected as u64] {
        return Ok(());
    }
    Err(Failure(format!("{guest} has {found:?} processors")))
}

/// Interrupts of `kind` so far, by processor.
fn counts(machine: &mut Machine, guest: &str, kind: &str) -> Result<Vec<u64>, Failure> {
    let command = format!(
        "grep '{kind}' /proc/interrupts | sed 's/^[^:]*://' | tr -s ' ' | cut -d ' ' -f 2-5"
    );
    let counts = numbers(machine, guest, &command)?;
    match counts.len() {
        VCPUS => Ok(counts),
        _ => Err(Failure(format!("{kind}: {counts:?}"))),
    }
}

/// Timer interrupts come on all processors, and those that one sends the others.
fn interrupts(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    for kind in ["arch_timer", "Function call interrupts"] {
        let counts = counts(machine, guest, kind)?;
        if counts.contains(&0) {
            return Err(Failure(format!("{kind} on {guest}: {counts:?}")));
        }
    }
    Ok(())
}

/// More processes than processors come and go, and all processors have worked.
fn busy(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    let user = "grep '^cpu[0-9]' /proc/stat | cut -d ' ' -f 2,4 | tr ' ' '\\n' | tr '\\n' ' '";
    let before = numbers(machine, guest, user)?;
    let storm =
        "for n in $(seq 1 60); do (i=0; while [ $i -lt 300 ]; do i=$((i + 1)); done) & done; wait";
    ask(machine, guest, storm)?;
    let after = numbers(machine, guest, user)?;
    if before.len() != 2 * VCPUS || after.len() != 2 * VCPUS {
        return Err(Failure(format!("{before:?}, {after:?}")));
    }
    let sums =
        |numbers: &[u64]| -> Vec<u64> { numbers.chunks(2).map(|pair| pair.iter().sum()).collect() };
    let (before, after) = (sums(&before), sums(&after));
    if before
        .iter()
        .zip(&after)
        .all(|(before, after)| before < after)
    {
        return Ok(());
    }
    Err(Failure(format!(
        "not all processors of {guest} have worked: {before:?}, then {after:?}"
    )))
}

/// Each processor but the first goes off and on again, a few times.
fn hotplug(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    let at = |n: &str| format!("/sys/devices/system/cpu/cpu{n}/online");
    let (file, rounds) = (at("$c"), ROUNDS);
    let round = format!(
        "for c in 1 2 3; do echo 0 > {file}; done; for c in 3 1 2; do echo 1 > {file}; done"
    );
    let command = format!("for n in $(seq 1 {rounds}); do {round}; done");
    ask(machine, guest, &format!("dmesg -n 1; {command}"))?;
    processors(machine, guest, VCPUS)?;
    ask(machine, guest, &format!("echo 0 > {}", at("2")))?;
    processors(machine, guest, VCPUS - 1)?;
    ask(machine, guest, &format!("echo 1 > {}", at("2")))?;
    processors(machine, guest, VCPUS)?;
    // Those that came back take part.
    busy(machine, guest)
}

/// One guest reboots a few times from whichever processor the program runs on; the other was there
/// all along.
fn reboot(machine: &mut Machine, leaver: &str, stayer: &str) -> Result<(), Failure> {
    ask(machine, stayer, "witness=$((41 + 1))")?;
    for n in 1..=REBOOTS {
        focus(machine, leaver)?;
        machine.mark();
        machine.send("reboot -f\n")?;
        machine.expect(&format!(r"guest restarts \(restart {n}\)"), PATIENCE)?;
        machine.expect(&user_space(leaver), PATIENCE)?;
        processors(machine, leaver, VCPUS)?;
        let answer = ask(machine, stayer, "echo witness is $witness")?;
        if !answer.contains("witness is 42") {
            return Err(Failure(answer));
        }
    }
    interrupts(machine, leaver)
}
